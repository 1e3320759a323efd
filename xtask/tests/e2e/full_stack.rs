//! The real stack from this checkout: one command to healthy, every route, the measurements, data that survives, nothing
//! left.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::checkout::{Checkout, until};
use crate::engine;
use crate::http;

/// What each service's state is, in a summary.
fn states(summary: &Value) -> BTreeMap<String, String> {
    let rows = summary["services"].as_array().expect("a row a service");
    let text = |row: &Value, key: &str| row[key].as_str().expect("it is in every row").to_owned();
    rows.iter().map(|row| (text(row, "service"), text(row, "state"))).collect()
}

/// Grafana has no recipe: it is there exactly when some source has its image.
fn expected_states(checkout: &Checkout) -> BTreeMap<String, String> {
    let listing = checkout.run(&["image", "list", "--format", "json"]).expect(0);
    let listing = listing.events().into_iter().find(|line| line["images"].is_array()).expect("a listing");
    let images = listing["images"].as_array().expect("an array");
    let grafana = images
        .iter()
        .find(|image| image["image"].as_str().is_some_and(|name| name.starts_with("grafana/")))
        .expect("Grafana's image is listed");
    let grafana = if grafana["state"] == "unavailable" { "unavailable" } else { "healthy" };
    [
        ("grafana", grafana),
        ("migrate", "completed"),
        ("postgres", "healthy"),
        // Neither has a health check, see the Compose file.
        ("postgres-exporter", "running"),
        ("prometheus", "healthy"),
        ("redis", "healthy"),
        ("redis-exporter", "running"),
        ("service", "healthy"),
    ]
    .map(|(service, state)| (service.to_owned(), state.to_owned()))
    .into()
}

fn base(checkout: &Checkout) -> String {
    format!("http://127.0.0.1:{}", checkout.variable("HOMEPORT_SERVICE_PORT"))
}

/// Every route, as `/openapi.json` says; returns the path of an item that was made.
fn every_route_answers(base: &str) -> String {
    http::until_ready(base);
    let greeting = http::get(&format!("{base}/"));
    assert_eq!((greeting.status, greeting.json()["visitor"].is_u64()), (200, true), "{}", greeting.body);
    assert_eq!(greeting.json()["version"], "dev");

    assert_eq!(http::get(&format!("{base}/health")).status, 200);

    let visitors = http::get(&format!("{base}/api/visitors")).json();
    assert!(visitors["visitors"].as_u64().is_some_and(|count| count >= 1), "{visitors}");

    let made = http::create(base, "first", &json!({"deep": [1, null]}));
    let location = made.location.expect("a Location");
    let item = http::get_stored(&format!("{base}{location}"));
    assert_eq!((item.status, item.json()["value"].clone()), (200, json!({"deep": [1, null]})));
    http::create(base, "second", &json!(2));
    let page = http::get_stored(&format!("{base}/api/data?limit=2")).json();
    let names: Vec<&Value> =
        page["items"].as_array().expect("items").iter().map(|item| &item["name"]).collect();
    assert_eq!(names, ["second", "first"], "newest first");

    let metrics = http::get(&format!("{base}/metrics"));
    assert!(metrics.content_type.starts_with("text/plain"), "{}", metrics.content_type);
    assert!(metrics.body.contains("app_requests_total{"), "{}", metrics.body);

    let document = http::get(&format!("{base}/openapi.json")).json();
    assert!(document["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")), "{document}");

    let nowhere = http::get(&format!("{base}/nowhere"));
    assert_eq!((nowhere.status, nowhere.content_type.as_str()), (404, "application/problem+json"));
    location
}

/// What Prometheus has of a query.
fn query(prometheus: &str, query: &str) -> Option<f64> {
    let found = http::try_get(&format!("{prometheus}/api/v1/query?query={query}")).ok()?.json();
    found["data"]["result"][0]["value"][1].as_str()?.parse().ok()
}

fn prometheus_sees_the_service(checkout: &Checkout, base: &str) {
    let prometheus = format!("http://127.0.0.1:{}", checkout.variable("HOMEPORT_PROMETHEUS_PORT"));
    let mut jobs = vec!["postgres", "prometheus", "redis", "service"];
    if engine::runs(&format!("{}-grafana", checkout.name())) {
        jobs.insert(0, "grafana");
    }
    until("every target is up", || {
        let answer = http::try_get(&format!("{prometheus}/api/v1/targets?state=active")).ok()?.json();
        let targets = answer["data"]["activeTargets"].as_array()?.clone();
        let mut up: Vec<&str> = targets
            .iter()
            .filter(|target| target["health"] == "up")
            .filter_map(|target| target["labels"]["job"].as_str())
            .collect();
        up.sort_unstable();
        (up == jobs).then_some(())
    });
    let requests = "sum(app_requests_total{endpoint=\"/api/visitors\"})"
        .replace('{', "%7B")
        .replace('}', "%7D")
        .replace('"', "%22");
    let before = until("the requests are counted", || query(&prometheus, &requests));
    http::get(&format!("{base}/api/visitors"));
    until("app_requests_total moves", || {
        query(&prometheus, &requests).filter(|&now| now >= before + 1.0).map(|_| ())
    });
}

fn the_service_logs_json(checkout: &Checkout, location: &str) {
    let logs = checkout.run(&["logs", "service"]).expect(0).stdout();
    let lines: Vec<Value> = logs
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("not JSON ({error}): {line}")))
        .collect();
    let request = lines
        .iter()
        .find(|line| line["path"] == location && line["method"] == "GET")
        .unwrap_or_else(|| panic!("the request for {location} is not logged:\n{logs}"));
    for field in
        ["timestamp", "method", "path", "endpoint", "status", "latency", "ip", "request_id", "trace_id"]
    {
        assert!(!request[field].is_null(), "{field} in {request}");
    }
    let last = checkout.run(&["logs", "--tail", "1", "service", "redis"]).expect(0).stdout();
    assert_eq!(last.lines().count(), 2, "one line of each of two services:\n{last}");
}

#[test]
fn one_command_brings_up_the_whole_stack_and_one_takes_it_away() {
    let checkout = Checkout::full("stack");
    let up = checkout.run(&["dev", "--detach", "--format", "json"]).expect(0);
    let expected = expected_states(&checkout);
    assert_eq!(states(&up.event("summary")), expected);
    let status = checkout.run(&["status", "--format", "json"]).expect(0);
    assert_eq!(states(&status.event("summary")), expected);
    assert_eq!(checkout.plan(), [], "a second run has nothing to do");
    if expected["grafana"] == "unavailable" {
        let human = checkout.run(&["status"]).expect(0).stdout();
        let row = human.lines().find(|line| line.starts_with("grafana")).expect("a row of its own");
        assert!(row.contains("unavailable") && row.contains("optional"), "{row}");
    }

    let base = base(&checkout);
    let location = every_route_answers(&base);
    prometheus_sees_the_service(&checkout, &base);
    the_service_logs_json(&checkout, &location);

    // The data outlives the containers.
    let visitors = http::get(&format!("{base}/api/visitors")).json();
    checkout.run(&["down", "--verify"]).expect(0);
    let left = engine::objects(checkout.name());
    assert!(!left.is_empty() && left.iter().all(|object| object.starts_with("volume ")), "{left:?}");
    checkout.up();
    http::until_ready(&base);
    let kept = http::get_stored(&format!("{base}{location}"));
    assert_eq!(kept.status, 200, "an acknowledged item is lost");
    assert_eq!(http::get(&format!("{base}/api/visitors")).json(), visitors);

    checkout.run(&["down", "--volumes", "--verify"]).expect(0);
    assert_eq!(engine::objects(checkout.name()), Vec::<String>::new());
    let status = checkout.run(&["status", "--format", "json"]).expect(0).event("summary");
    let absent = |state: &String| state == "absent" || state == "unavailable";
    assert!(states(&status).values().all(absent), "{status}");
}

#[test]
fn the_whole_stack_converges_after_a_kill_at_its_longest_steps() {
    let checkout = Checkout::full("killed-stack");
    let halts = [
        ("after", "build image"),
        // initdb is at work in the volume.
        ("before", "await postgres healthy"),
        ("after", "start container migrate"),
        ("before", "await service healthy"),
    ];
    for (when, title) in halts {
        let plan = checkout.plan();
        let step = plan.iter().find(|step| step.title.starts_with(title));
        let halt = format!("{when}:{}", step.unwrap_or_else(|| panic!("no step {title}")).step);
        let mut run = checkout.xtask(&["dev", "--detach"]).env("HOMEPORT_HALT", &halt).start();
        run.until("halted");
        run.kill();
        checkout.up();
        assert_eq!(checkout.plan(), [], "after a kill {when} {title}");
        http::until_ready(&base(&checkout));
        checkout.run(&["down", "--volumes", "--verify"]).expect(0);
        assert_eq!(engine::objects(checkout.name()), Vec::<String>::new());
    }
}
