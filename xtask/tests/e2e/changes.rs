//! A change in the Compose file replaces what it concerns, and says why.

use crate::checkout::Checkout;
use crate::engine::container_id;
use crate::program::Planned;

const CHAIN: &str = include_str!("stacks/chain.yaml");

fn causes(plan: &[Planned]) -> Vec<(&str, &str)> {
    plan.iter().map(|step| (step.title.as_str(), step.cause.as_str())).collect()
}

#[test]
fn one_changed_service_is_replaced_with_what_depends_on_it() {
    let checkout = Checkout::small("change", CHAIN);
    let container = |service: &str| container_id(&format!("{}-{service}", checkout.name()));
    let all = || ["store", "prepare", "front", "bystander"].map(container);
    checkout.up();
    let before = all();
    assert_eq!(checkout.plan(), [], "a stack that is up asks for nothing");

    // A one-shot's work is done for whatever runs already.
    checkout.edit(&[("set, prepared, \"yes\"", "set, prepared, again")]);
    let run = checkout.run(&["dev", "--detach", "--format", "json"]).expect(0);
    assert_eq!(
        causes(&run.plan()),
        [
            ("remove container prepare", "configuration changed"),
            ("create container prepare", "configuration changed"),
            ("start container prepare", "created"),
            ("await prepare completed", "started"),
        ]
    );
    let after = all();
    assert_eq!(before.each_ref().map(|id| after.contains(id)), [true, false, true, true]);
    assert_eq!(checkout.plan(), []);

    // At the chain's beginning: what stands on it follows, through the one-shot too.
    checkout.edit(&[("--dir, /data", "--dir, /data, --loglevel, notice")]);
    let run = checkout.run(&["dev", "--detach", "--format", "json"]).expect(0);
    assert_eq!(
        causes(&run.plan()),
        [
            ("remove container front", "prepare replaced"),
            ("remove container prepare", "configuration changed"),
            ("remove container store", "configuration changed"),
            ("create container store", "configuration changed"),
            ("create container prepare", "configuration changed"),
            ("create container front", "prepare replaced"),
            ("start container store", "created"),
            ("await store healthy", "started"),
            ("start container prepare", "created"),
            ("await prepare completed", "started"),
            ("start container front", "created"),
            ("await front healthy", "started"),
        ]
    );
    for step in run.events_of("step-finished") {
        assert_eq!(step["outcome"]["result"], "done", "{step}");
    }
    let before = after;
    let after = all();
    assert_eq!(before.each_ref().map(|id| after.contains(id)), [false, false, false, true]);
    assert_eq!(checkout.plan(), []);

    // A service that the file no longer names goes.
    checkout.restore();
    checkout.up();
    let bystander =
        CHAIN.find("  bystander:").expect("it is there")..CHAIN.find("volumes:\n  store-data").expect("too");
    checkout.edit(&[(&CHAIN[bystander], "")]);
    let run = checkout.run(&["dev", "--detach", "--format", "json"]).expect(0);
    assert_eq!(causes(&run.plan()), [("remove container bystander", "orphan")]);
    assert_eq!(checkout.plan(), []);
}

#[test]
fn only_the_services_asked_for_are_brought_up_with_what_they_need() {
    let checkout = Checkout::small("chosen", CHAIN);
    checkout.run(&["dev", "--detach", "prepare"]).expect(0);
    let status = checkout.run(&["status", "--format", "json"]).expect(0).event("summary");
    let rows: Vec<(&str, &str)> = status["services"]
        .as_array()
        .expect("a row a service")
        .iter()
        .map(|row| (row["service"].as_str().expect("its name"), row["state"].as_str().expect("its state")))
        .collect();
    assert_eq!(
        rows,
        [("bystander", "absent"), ("front", "absent"), ("prepare", "completed"), ("store", "healthy")]
    );
}
