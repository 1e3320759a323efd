//! What `dev` ends with, what its table says and what `status` says is one story, and it is the engine's.

use serde_json::Value;

use crate::checkout::{Checkout, until};
use crate::engine::{self, container_id};

const SINGLE: &str = include_str!("stacks/single.yaml");
const CHAIN: &str = include_str!("stacks/chain.yaml");
const BRIEF: &str = include_str!("stacks/brief.yaml");

fn row(summary: &Value, service: &str) -> Value {
    let rows = summary["services"].as_array().expect("a row a service");
    rows.iter()
        .find(|row| row["service"] == service)
        .unwrap_or_else(|| panic!("no {service} in {summary}"))
        .clone()
}

/// What is done to a network and a container on it.
type Cut = fn(&str, &str);

#[test]
fn a_container_that_is_off_its_network_is_told_and_replaced() {
    let checkout = Checkout::small("off-network", CHAIN);
    let (network, container) =
        (format!("{}-default", checkout.name()), format!("{}-bystander", checkout.name()));
    checkout.up();
    let healthy = container_id(&container);
    let cuts: [(&str, Cut); 2] = [
        ("not on network default", |network, container| engine::disconnect(network, container)),
        ("not known as bystander on network default", |network, container| {
            engine::disconnect(network, container);
            engine::connect(network, container);
        }),
    ];
    for (cause, cut) in cuts {
        cut(&network, &container);
        let status = checkout.run(&["status", "--format", "json"]).expect(0).event("summary");
        let reason = row(&status, "bystander")["reason"].clone();
        assert_eq!(reason, format!("{cause}; `cargo xtask dev` replaces it"));
        let plan = checkout.plan();
        assert_eq!((plan[0].title.as_str(), plan[0].cause.as_str()), ("remove container bystander", cause));
        checkout.up();
        assert_eq!(checkout.plan(), []);
    }
    assert_ne!(container_id(&container), healthy);
}

#[test]
fn what_the_engine_calls_unhealthy_is_not_called_healthy_by_a_probe() {
    let checkout = Checkout::small("unhealthy-yet", SINGLE);
    // An interval in which a run that goes by its own probe has long ended.
    checkout.edit(&[
        (
            "command: [redis-server, --dir, /data]",
            "entrypoint: [sh, -c, \"touch /data/well; exec redis-server\"]",
        ),
        (
            "{test: [CMD, redis-cli, -e, ping], interval: 1s, timeout: 20s, retries: 5, start_period: 30s}",
            "{test: [CMD, test, -f, /data/well], interval: 8s, timeout: 8s, retries: 1}",
        ),
    ]);
    let container = format!("{}-store", checkout.name());
    checkout.up();
    engine::run_in(&container, &["rm", "/data/well"]);
    until("the engine calls it unhealthy", || engine::is_unhealthy(&container).then_some(()));
    engine::run_in(&container, &["touch", "/data/well"]);
    let run = checkout.run(&["dev", "--detach", "--format", "json"]).expect(0);
    assert_eq!(row(&run.event("summary"), "store")["state"], "healthy");
    assert_eq!(checkout.plan(), []);
}

#[test]
fn a_service_that_was_well_and_is_not_any_more_fails_the_run() {
    let checkout = Checkout::small("brief", BRIEF);
    let run = checkout.run(&["dev", "--detach", "--format", "json"]).expect(5);
    assert_eq!(run.event("failed")["code"], "container-exited");
    // When the machine is slow, it has ended before it was first looked at: then there is no table.
    if let Some(summary) = run.events_of("summary").first() {
        assert_eq!(row(summary, "brief")["state"], "exited");
        assert_eq!(row(summary, "patient")["state"], "healthy");
    }
}
