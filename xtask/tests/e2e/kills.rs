//! `kill -9` at every step: the next command goes on from what it finds, and nothing is left that it does not know.

use crate::checkout::Checkout;
use crate::engine::{self, OBJECT_LABEL, PROJECT_LABEL, Planted, runs};
use crate::program::Planned;

const CHAIN: &str = include_str!("stacks/chain.yaml");
const STUBBORN: &str = include_str!("stacks/stubborn.yaml");

/// Lets a command stand still at a step of its plan, kills it there.
fn kill_at(checkout: &Checkout, arguments: &[&str], halt: &str) {
    let mut run = checkout.xtask(arguments).env("HOMEPORT_HALT", halt).start();
    run.until("halted");
    run.kill();
}

fn steps(plan: &[Planned]) -> impl Iterator<Item = u64> + use<> {
    assert!(!plan.is_empty(), "there is something to kill");
    1..=u64::try_from(plan.len()).expect("a plan is short")
}

/// From nothing: killed at a step, `dev` converges, `down --volumes --verify` leaves nothing.
fn every_first_start_that_is_killed_converges(test: &str, when: &str) {
    let checkout = Checkout::small(test, CHAIN);
    for step in steps(&checkout.plan()) {
        kill_at(&checkout, &["dev", "--detach"], &format!("{when}:{step}"));
        checkout.up();
        assert_eq!(checkout.plan(), [], "after a kill {when} step {step}");
        assert!(runs(&format!("{}-front", checkout.name())), "after a kill {when} step {step}");
        checkout.run(&["down", "--volumes", "--verify"]).expect(0);
        assert_eq!(engine::objects(checkout.name()), Vec::<String>::new());
    }
}

#[test]
fn a_first_start_that_is_killed_before_any_step_converges() {
    every_first_start_that_is_killed_converges("kill-before", "before");
}

#[test]
fn a_first_start_that_is_killed_after_any_step_converges() {
    every_first_start_that_is_killed_converges("kill-after", "after");
}

#[test]
fn a_replacement_that_is_killed_at_any_step_converges() {
    let checkout = Checkout::small("kill-replace", CHAIN);
    let edits =
        [("prepared, \"yes\"", "prepared, \"no\""), ("store 6379,", "store 6379, --loglevel, notice,")];
    checkout.up();
    checkout.edit(&edits);
    let steps: Vec<u64> = steps(&checkout.plan()).collect();
    let mut is_new = true;
    for halt in steps.iter().flat_map(|step| [format!("before:{step}"), format!("after:{step}")]) {
        // Every round replaces the other way.
        if is_new {
            checkout.edit(&edits);
        } else {
            checkout.restore();
        }
        is_new = !is_new;
        kill_at(&checkout, &["dev", "--detach"], &halt);
        checkout.up();
        assert_eq!(checkout.plan(), [], "after a kill {halt}");
    }
}

#[test]
fn a_teardown_that_is_killed_at_any_step_is_finished_by_the_next() {
    let checkout = Checkout::small("kill-down", CHAIN);
    checkout.up();
    // Four containers, a network, a volume.
    for step in 1..=6 {
        for when in ["before", "after"] {
            kill_at(&checkout, &["down", "--volumes"], &format!("{when}:{step}"));
            checkout.run(&["down", "--volumes", "--verify"]).expect(0);
            assert_eq!(engine::objects(checkout.name()), Vec::<String>::new());
            checkout.up();
        }
    }
}

/// A run that is killed may leave a request that the engine goes on with: what it makes comes after the next command's
/// first look.
#[test]
fn what_appears_after_a_kill_while_the_stack_is_taken_down_is_taken_down_too() {
    let checkout = Checkout::small("late", STUBBORN);
    let container = format!("{}-stubborn", checkout.name());
    let mut killed = checkout.start(&["dev"]);
    killed.until("watching for saves");
    killed.kill();

    let mut down = checkout.start(&["down", "--verify"]);
    down.until("remove container stubborn");
    // It has looked and waits for the container: what is made now it has not seen.
    let labels = [(PROJECT_LABEL, checkout.name())];
    let _container = Planted::container(&format!("{}-late", checkout.name()), &labels);
    let _network = Planted::network(&format!("{}-late-network", checkout.name()), &labels);
    engine::kill_container(&container);
    down.end().expect(0);
    assert_eq!(engine::objects(checkout.name()), Vec::<String>::new());
}

#[test]
fn what_is_planted_is_named_by_verify() {
    let checkout = Checkout::small("planted", CHAIN);
    checkout.up();
    let name = |what: &str| format!("{}-{what}", checkout.name());

    // Ours by label, made behind the stack's back: `down` removes it.
    let _ours = Planted::container(&name("stray"), &[(PROJECT_LABEL, checkout.name())]);
    checkout.run(&["down", "--volumes", "--verify"]).expect(0);

    // The stack's names without our label: not ours to remove, and not hidden either.
    let _volume = Planted::volume(&name("store-data"), &[]);
    let _container = Planted::container(&name("front"), &[("dev.homeport.service", "front")]);
    let _network = Planted::network(&name("default"), &[]);
    let down = checkout.run(&["down", "--volumes", "--verify"]).expect(5);
    for left in ["volume ", "container ", "network "].into_iter().zip(["store-data", "front", "default"]) {
        let left = format!("{}{}", left.0, name(left.1));
        assert!(down.stderr().contains(&left), "{left} is not named:\n{}", down.stderr());
    }
    assert!(down.stderr().contains("left-behind"), "{}", down.stderr());
    assert_eq!(engine::objects(checkout.name()).len(), 3, "it removed what is not ours");
}

#[test]
fn a_network_that_was_made_twice_is_one_again() {
    let checkout = Checkout::small("twice", CHAIN);
    let network = format!("{}-default", checkout.name());
    let made = |checkout: &Checkout| {
        Planted::network(&network, &[(PROJECT_LABEL, checkout.name()), (OBJECT_LABEL, "default")])
    };
    let duplicates = |checkout: &Checkout| {
        let steps = checkout.plan().into_iter().filter(|step| step.cause == "duplicate");
        steps.map(|step| step.title).collect::<Vec<_>>()
    };

    // Beside one that containers use, and while some of them do not run.
    checkout.up();
    let _second = made(&checkout);
    assert_eq!(duplicates(&checkout), ["remove network default"]);
    checkout.up();
    assert_eq!(checkout.plan(), []);

    // Before anything uses one.
    checkout.run(&["down"]).expect(0);
    let (_third, _fourth, _fifth) = (made(&checkout), made(&checkout), made(&checkout));
    assert_eq!(duplicates(&checkout), ["remove network default", "remove network default"]);
    checkout.up();
    assert_eq!(checkout.plan(), []);
}
