//! What `verify` shows: that the release serves, that bad ones do not stay, and that neither is said when it is not so.

use crate::site::Site;

/// The numbers and states of the revisions that the cluster knows.
fn revisions(site: &Site) -> String {
    let columns = "custom-columns=NAME:.metadata.name,STATE:.data.state";
    site.kubectl(&["get", "configmaps", "--selector", "dev.homeport/revision", "--output", columns])
}

/// Both planted faults are rolled back under load, and nothing tells of them afterwards; Ctrl-C takes the fault back first.
pub(crate) fn verify_tries_and_proves(site: &mut Site) {
    site.deployed();
    let (version, before) = (site.serving(), revisions(site));
    site.under_load(|site| {
        site.run(&["verify"]).expect(0).says(&[
            "a revision whose pods crash",
            "hello ended 2 times",
            "a revision that fails its smoke tests",
            &format!("smoke test: GET / of hello-service: expected version {version}"),
            "2 planted faults were rolled back",
        ]);
    });
    assert_eq!((site.serving(), revisions(site)), (version.clone(), before.clone()));

    let mut stopped = site.start(&["verify"]);
    stopped.until("done       apply revision");
    stopped.interrupt();
    stopped.end().expect(130).says(&["taking the planted fault back first"]);
    assert_eq!((site.serving(), revisions(site)), (version, before));
    site.run_here(&["deploy-kind"]).expect(0).says(&["nothing was to be changed"]);
}

/// Only smoke tests, whatever serves there.
pub(crate) fn a_named_cluster_gets_no_fault(site: &mut Site) {
    site.deployed();
    let generation = |site: &Site| {
        site.kubectl(&[
            "get",
            "deployment",
            "hello-deployment",
            "--output",
            "jsonpath={.metadata.generation}",
        ])
    };
    let (context, before) = (site.context(), generation(site));
    site.run(&["verify", "--context", &context])
        .expect(0)
        .says(&["smoke tests", "no rollback is tried where others may be served"])
        .does_not_say(&["apply revision"]);
    assert_eq!(generation(site), before);
    site.run(&["verify", "--context", "no-such-context"]).expect(2).says(&[&context]);
}

/// A smoke test that fails turns it red, and so does a cluster that is not as it was deployed. No fault is planted then, and
/// a deployment that changes nothing does not hold it against the revision that went well before.
pub(crate) fn what_is_wrong_is_seen(site: &mut Site) {
    site.deployed();
    let before = revisions(site);
    let rename = |site: &Site, from: &str, to: &str| {
        let psql = format!(
            "PGPASSWORD=\"$POSTGRES_PASSWORD\" psql -h 127.0.0.1 -U \"$POSTGRES_USER\" -d \"$POSTGRES_DB\" -c 'ALTER TABLE {from} RENAME TO {to}'"
        );
        site.kubectl(&["exec", "deployment/postgres", "--", "sh", "-c", &psql]);
    };
    rename(site, "items", "items_hidden");
    let wrong = site.run(&["verify"]);
    let unchanged = site.run_here(&["deploy-kind"]);
    // Whatever is said: the table is back before anything is judged.
    rename(site, "items_hidden", "items");
    unchanged.expect(6).says(&["error[not-healthy]", "smoke test: "]).does_not_say(&["put back"]);
    assert_eq!(revisions(site), before);
    wrong.expect(6).says(&["error[not-healthy]", "smoke test: "]).does_not_say(&["apply revision"]);

    site.kubectl(&["scale", "deployment", "prometheus", "--replicas", "0"]);
    site.run(&["verify"]).expect(5).says(&["prometheus"]).does_not_say(&["apply revision"]);
    site.deployed();
}
