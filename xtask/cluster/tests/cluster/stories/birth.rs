//! From no cluster to the whole architecture, and what a second run finds.

use crate::site::{Site, until};

/// The first run is killed while kind is at work, which leaves a cluster that answers and lacks parts; the next one makes it
/// anew.
pub(crate) fn from_nothing(site: &mut Site) {
    site.destroy();
    let mut killed = site.start_here(&["deploy-kind"]);
    killed.until(&format!("kind cluster {}: ", site.name()));
    killed.kill();
    site.run_here(&["deploy-kind"]).expect(0).says(&["smoke tests", "passed"]);
    site.settle();
    let deployments = site.get(&["deployments"]);
    let mut names: Vec<&str> = deployments["items"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|deployment| deployment["metadata"]["name"].as_str())
        .filter(|name| *name != "grafana")
        .collect();
    names.sort_unstable();
    let expected =
        ["hello-deployment", "postgres", "postgres-exporter", "prometheus", "redis", "redis-exporter"];
    assert_eq!(names, expected);
}

/// Postgres' and Redis' own numbers reach Prometheus through the network policies: each exporter answers it and reaches its
/// store. By what Prometheus says: the exporters' images have no program to ask with.
pub(crate) fn prometheus_sees_the_stores(site: &mut Site) {
    site.deployed();
    for (query, wanted) in [("pg_up", "1"), ("redis_up", "1")] {
        let url = format!("http://127.0.0.1:9090/api/v1/query?query={query}");
        until(&format!("{query} is {wanted}"), || {
            let said = site.kubectl(&["exec", "deploy/prometheus", "--", "wget", "-q", "-O", "-", &url]);
            let answer: serde_json::Value = serde_json::from_str(&said).ok()?;
            (answer["data"]["result"][0]["value"][1] == wanted).then_some(())
        });
    }
}

pub(crate) fn a_second_run_changes_nothing(site: &mut Site) {
    site.deployed();
    let generations = |site: &Site| {
        site.kubectl(&["get", "deployments", "--output", "jsonpath={.items[*].metadata.generation}"])
    };
    let before = generations(site);
    site.run_here(&["deploy-kind"])
        .expect(0)
        .says(&["unchanged  load images into the node", "no difference", "nothing was to be changed"])
        .does_not_say(&["apply revision"]);
    assert_eq!(generations(site), before);
    site.run_here(&["deploy-kind", "--dry-run"]).expect(0).says(&["no difference"]);
}
