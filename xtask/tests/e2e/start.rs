//! Where the time of a start went, told at its end and afterwards.

use serde_json::Value;

use crate::checkout::Checkout;

const CHAIN: &str = include_str!("stacks/chain.yaml");

/// The chain of steps that a start was as long as.
fn path(profile: &Value) -> Vec<String> {
    let links = profile["path"].as_array().expect("a chain").iter();
    links.map(|link| link["step"].as_str().expect("a text").to_owned()).collect()
}

#[test]
fn a_start_tells_what_it_waited_for() {
    let checkout = Checkout::small("start", CHAIN);
    let none = checkout.run(&["status", "--start"]).expect(0);
    assert!(none.stderr().contains("no run log under target/homeport/runs"), "{}", none.stderr());

    let up = checkout.run(&["dev", "--detach", "--profile", "--format", "json"]).expect(0);
    let told = up.event("start-profiled");
    let steps = path(&told);
    // What it all depends on, one after the other.
    let expected = [
        "start container store",
        "await store healthy",
        "start container prepare",
        "await prepare completed",
        "start container front",
        "await front healthy",
    ];
    assert_eq!(steps[steps.len() - expected.len()..], expected, "{told}");
    let seconds = |value: &Value| value.as_f64().expect("a number");
    let last = &told["path"][steps.len() - 1];
    assert_eq!(last["until"], told["took"]);
    let bystander = told["others"].as_array().expect("others").iter();
    let bystander = bystander.filter(|other| other["step"] == "await bystander healthy").collect::<Vec<_>>();
    assert_eq!(bystander.len(), 1, "{told}");
    assert!(seconds(&bystander[0]["slack"]) > 0.0, "nobody waits for it: {told}");

    // The run log tells the same, also after a start that had nothing to do.
    let again = checkout.run(&["dev", "--detach", "--profile"]).expect(0);
    assert!(again.stderr().contains("nothing to profile"), "{}", again.stderr());
    let later = checkout.run(&["status", "--start", "--format", "json"]).expect(0).event("start-profiled");
    assert_eq!(path(&later), steps);
    let human = checkout.run(&["status", "--start"]).expect(0).stdout();
    assert!(human.contains("await front healthy") && human.contains("COULD HAVE ENDED LATER BY"), "{human}");
}
