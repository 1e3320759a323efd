//! Credentials are made by the command that starts something with them, and by no other; and data that was made with
//! others is not met in silence.

use crate::checkout::Checkout;
use crate::engine::{self, runs};

const SINGLE: &str = include_str!("stacks/single.yaml");

/// A store that is given a password.
fn sealed(test: &str) -> Checkout {
    let checkout = Checkout::small(test, SINGLE);
    checkout.edit(&[(
        "    stop_grace_period: 5s\n",
        "    stop_grace_period: 5s\n    environment: {PASSWORD: \"${STORE_PASSWORD:?made by dev}\"}\n",
    )]);
    checkout.write("compose/env.template", "STORE_USER=store\nSTORE_PASSWORD=<random:16>\n");
    checkout
}

fn is_made(checkout: &Checkout) -> bool {
    checkout.root().join("compose/.env").exists()
}

#[test]
fn whoever_looks_or_takes_away_makes_none() {
    let checkout = sealed("no-env");
    for command in [&["status"] as &[_], &["logs"], &["down"], &["image", "list"], &["dev", "--dry-run"]] {
        checkout.run(command).expect(0);
        assert!(!is_made(&checkout), "{command:?} made credentials");
    }

    let up = checkout.run(&["dev", "--detach"]).expect(0);
    assert!(up.stderr().contains("made STORE_USER, STORE_PASSWORD in compose/.env"), "{}", up.stderr());
    assert!(!up.stderr().contains("holds data"), "there was none:\n{}", up.stderr());
    assert_eq!(checkout.plan(), []);

    // Lost while the stack runs.
    std::fs::remove_file(checkout.root().join("compose/.env")).expect("it was made");
    let status = checkout.run(&["status"]).expect(0);
    assert!(
        status.stderr().contains("compose/.env has no STORE_PASSWORD, STORE_USER yet"),
        "{}",
        status.stderr()
    );
    assert!(status.stdout().contains("healthy"), "{}", status.stdout());
    checkout.run(&["logs", "store"]).expect(0);
    assert!(runs(&format!("{}-store", checkout.name())), "looking changes nothing");
    checkout.run(&["down", "--verify"]).expect(0);
    assert!(!is_made(&checkout));

    // New ones, and the old data.
    let up = checkout.run(&["dev", "--detach"]).expect(0);
    for told in [
        "volume store-data holds data that store made with another STORE_PASSWORD",
        "It may be another checkout's, that stood here and was moved",
        "cargo xtask down --volumes",
    ] {
        assert!(up.stderr().contains(told), "{told:?} is not in\n{}", up.stderr());
    }
    std::fs::remove_file(checkout.root().join("compose/.env")).expect("it was made");
    checkout.run(&["down", "--volumes", "--verify"]).expect(0);
    assert_eq!(engine::objects(checkout.name()), Vec::<String>::new());
    let up = checkout.run(&["dev", "--detach"]).expect(0);
    assert!(!up.stderr().contains("holds data"), "the data is gone:\n{}", up.stderr());
}
