//! From no cluster to the whole architecture, and what a second run finds.

use crate::site::Site;

/// The first run is killed while kind is at work, which leaves a cluster that answers and lacks parts; the next one makes it
/// anew.
pub(crate) fn from_nothing(site: &mut Site) {
    site.destroy();
    let mut killed = site.start_here(&["deploy-kind"]);
    killed.until(&format!("kind cluster {}: ", site.node().trim_end_matches("-control-plane")));
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
    assert_eq!(names, ["hello-deployment", "postgres", "prometheus", "redis"]);
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
