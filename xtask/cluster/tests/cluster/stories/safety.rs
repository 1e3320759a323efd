//! What must not happen: privileged pods, secrets that leak, somebody else's cluster touched, data lost.

use std::process::Command;

use xtask_cluster::http::Request;

use crate::program;
use crate::site::{Site, until};

/// The namespace enforces `restricted`, and every pod in it runs under it: a pod that asks for more is refused.
pub(crate) fn pods_are_unprivileged(site: &mut Site) {
    site.deployed();
    let plain = site.kubectl_command(&["run", "plain", "--image", "redis:8", "--dry-run=server"]);
    program::start(plain).end().expect(1).says(&["violates PodSecurity \"restricted"]);
    let pods = site.get(&["pods"]);
    for pod in pods["items"].as_array().expect("a list") {
        let (name, spec) = (&pod["metadata"]["name"], &pod["spec"]);
        assert_eq!(spec["securityContext"]["runAsNonRoot"], true, "{name}");
        assert_eq!(spec["automountServiceAccountToken"], false, "{name}");
        for container in spec["containers"].as_array().expect("a list") {
            let context = &container["securityContext"];
            assert_eq!(context["readOnlyRootFilesystem"], true, "{name}");
            assert_eq!(context["allowPrivilegeEscalation"], false, "{name}");
            assert_eq!(context["capabilities"]["drop"][0], "ALL", "{name}");
        }
    }
    // What the kernel knows of the service's process, not what the manifests say.
    let mut status = Command::new("docker");
    let look = "for p in $(pgrep -x service); do grep -h ^Uid: /proc/$p/status; done";
    status.args(["exec", &site.node(), "sh", "-c", look]);
    let users = program::output(status);
    assert!(
        !users.is_empty()
            && users.lines().all(|line| line.split_whitespace().all(|word| word == "Uid:" || word == "1000")),
        "{users}"
    );
}

/// Not in a log, an event, a revision, a command line or an image.
pub(crate) fn no_secret_leaks(site: &mut Site) {
    site.deployed();
    let secrets: Vec<String> = [
        ("postgres-secret", "POSTGRES_PASSWORD"),
        ("app-secret", "DB_PASSWORD"),
        ("exporter-secret", "EXPORTER_PASSWORD"),
    ]
    .map(|(name, key)| {
        let path = format!("go-template={{{{.data.{key} | base64decode}}}}");
        site.kubectl(&["get", "secret", name, "--output", &path])
    })
    .into();
    assert!(secrets.iter().all(|secret| secret.len() >= 32), "they are long");
    let mut places: Vec<(String, String)> = Vec::new();
    for pod in site.kubectl(&["get", "pods", "--output", "name"]).lines() {
        places.push((format!("log of {pod}"), site.kubectl(&["logs", "--all-containers", "--tail=-1", pod])));
    }
    for kind in ["events", "configmaps", "deployments", "pods"] {
        places.push((kind.to_owned(), site.get(&[kind]).to_string()));
    }
    let mut processes = Command::new("docker");
    processes.args(["exec", &site.node(), "ps", "-eww", "-o", "args"]);
    places.push(("process list".to_owned(), program::output(processes)));
    let mut image = Command::new("docker");
    image.args(["image", "inspect", &site.first()]);
    places.push(("image".to_owned(), program::output(image)));
    places.push(("run".to_owned(), site.run_here(&["deploy-kind"]).expect(0).said));
    for (place, text) in &places {
        assert!(!text.is_empty(), "nothing was read of {place}");
        assert!(!secrets.iter().any(|secret| text.contains(secret.as_str())), "a secret is in {place}");
    }
}

/// A cluster of our name without our mark.
pub(crate) fn a_cluster_that_is_not_ours_is_left_alone(site: &mut Site) {
    site.deployed();
    let node = site.node();
    let name = site.name().to_owned();
    site.kubectl(&["label", "node", &node, "dev.homeport/project-"]);
    for arguments in [
        &["deploy-kind"][..],
        &["deploy-kind", "--recreate"],
        &["deploy-kind", "--dry-run"],
        &["destroy-kind"],
    ] {
        let told = format!("kind cluster {name} is not one that this project made");
        site.run_here(arguments).expect(4).says(&["error[cluster-unusable]", &told, "was left alone"]);
    }
    site.kubectl(&["label", "node", &node, &format!("dev.homeport/project={name}")]);
    site.run_here(&["deploy-kind"]).expect(0).says(&["nothing was to be changed"]);
}

pub(crate) fn data_outlives_postgres_pod(site: &mut Site) {
    site.deployed();
    let create = Request {
        method: "POST",
        path: "/api/data",
        json: Some(r#"{"name": "outlives", "value": 7}"#),
        key: None,
    };
    let answer = site.send(&create);
    assert_eq!(answer.status, 201);
    let location = answer.headers["location"].to_str().expect("a path").to_owned();
    site.kubectl(&["delete", "pod", "--selector", "app.kubernetes.io/name=postgres"]);
    site.settle();
    // The service's connections are the old pod's. Each of its pods makes new ones by itself and says 503 until then; what
    // is lost would be 404.
    until("the item is answered", || match site.send(&Request::get(&location)).status {
        200 => Some(()),
        503 => None,
        status => panic!("the item is answered with {status}"),
    });
}
