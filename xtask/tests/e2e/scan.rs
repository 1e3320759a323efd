//! `scan`: a planted fault of each kind is found and named; what could not be looked at is said, and fails the pipeline.

use std::os::unix::ffi::OsStringExt as _;
use std::process::Command;

use crate::checkout::Checkout;
use crate::engine::{OwnImage, tag_image};

const SINGLE: &str = include_str!("stacks/single.yaml");

/// A small project that git knows.
fn known_to_git(test: &str) -> Checkout {
    let checkout = Checkout::small(test, SINGLE);
    let made = Command::new("git").args(["init", "--quiet"]).current_dir(checkout.root()).status();
    assert!(made.expect("the scan needs git").success());
    checkout
}

#[test]
fn a_secret_in_a_file_and_a_pod_with_privileges_are_found() {
    let checkout = known_to_git("scan");
    let clean = checkout.run(&["scan", "secrets", "manifests"]).expect(0);
    assert!(clean.stderr().contains("secrets in the repository"), "{}", clean.stderr());

    // Put together here, so that this file has no secret in it.
    let secret = ["ghp_", "Ab1Cd2Ef3Gh4Ij5Kl6Mn7Op8Qr9St0UvWxYz"].concat();
    checkout.write("notes/access", &format!("of the registry:\n{secret}\n"));
    checkout.write(
        "k8s/pod.yaml",
        "kind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: c, image: i, securityContext: {privileged: true}}]}\n",
    );
    let run = checkout.run(&["scan", "secrets", "manifests"]).expect(5);
    for found in [
        "notes/access:2: holds a token of GitHub",
        "k8s/pod.yaml: Pod p, container c: is privileged",
        "k8s/pod.yaml: Pod p: is given a token of its service account",
        "error[checks-failed]: the scan found something: secrets in the repository, Kubernetes manifests",
    ] {
        assert!(run.stderr().contains(found), "{found:?} is not in\n{}", run.stderr());
    }
    assert!(!run.stderr().contains(&secret), "a secret is repeated:\n{}", run.stderr());
    // What git ignores is nobody's to see.
    checkout.write(".gitignore", "notes\nk8s\n");
    checkout.run(&["scan", "secrets", "manifests"]).expect(0);
}

#[test]
fn a_check_that_breaks_keeps_no_other_from_running() {
    let checkout = known_to_git("scan-broken");
    checkout.write("k8s/pod.yaml", "a: [\n");
    let scan = ["scan", "manifests", "image", "--image", "redis:8"];
    let run = checkout.run(&scan).expect(5);
    for found in [
        "redis:8: names no user, so it runs as root",
        "error[checks-failed]: the scan found something: release image",
        "Kubernetes manifests: cannot read k8s/pod.yaml",
    ] {
        assert!(run.stderr().contains(found), "{found:?} is not in\n{}", run.stderr());
    }
    let run = checkout.run(&["scan", "secrets", "manifests"]).expect(3);
    assert!(run.stderr().contains("error[project-invalid]: cannot read k8s/pod.yaml"), "{}", run.stderr());
}

#[test]
fn a_secret_in_a_file_that_is_not_all_utf8_is_found() {
    let checkout = known_to_git("scan-latin");
    let secret = ["ghp_", "Ab1Cd2Ef3Gh4Ij5Kl6Mn7Op8Qr9St0UvWxYz"].concat();
    let latin = [b"caf\xe9\n", secret.as_bytes()].concat();
    std::fs::write(checkout.root().join("access"), latin).expect("a file of the checkout");
    let run = checkout.run(&["scan", "secrets"]).expect(5);
    assert!(run.stderr().contains("access:2: holds a token of GitHub"), "{}", run.stderr());
    // Nor does a name in another encoding hide its file, or those that come after it.
    let name = std::ffi::OsString::from_vec(b"acc\xe8s".to_vec());
    std::fs::rename(checkout.root().join("access"), checkout.root().join(name)).expect("a file");
    let run = checkout.run(&["scan", "secrets"]).expect(5);
    assert!(run.stderr().contains("acc\u{fffd}s:2: holds a token of GitHub"), "{}", run.stderr());
}

#[test]
fn an_image_that_runs_as_root_or_is_too_large_is_found() {
    let checkout = known_to_git("scan-image");
    let repository = format!("{}/app", checkout.name());
    let version = env!("CARGO_PKG_VERSION");
    let _image = OwnImage::new(&format!("{repository}:{version}"));
    tag_image("redis:8", &repository, version);
    let service = format!("image: '{repository}:dev', x-homeport: {{package: app, max_size: 14m}}");
    checkout.write("compose/compose.yaml", &format!("services: {{app: {{{service}}}}}\n"));
    let run = checkout.run(&["scan", "image"]).expect(5);
    for found in [
        "names no user, so it runs as root",
        "bytes; at most 14680064 are expected",
        "has no label org.opencontainers.image.revision",
        "is a shell or an interpreter",
    ] {
        assert!(run.stderr().contains(found), "{found:?} is not in\n{}", run.stderr());
    }
    // The bound is one of the service, and nobody's else.
    let run = checkout.run(&["scan", "image", "--image", "redis:8"]).expect(5);
    assert!(run.stderr().contains("is a shell"), "{}", run.stderr());
    assert!(!run.stderr().contains("are expected"), "{}", run.stderr());
}

#[test]
fn what_could_not_be_scanned_is_said_and_fails_the_pipeline() {
    let checkout = known_to_git("scan-nothing");
    let scan = ["scan", "image", "--image", "nowhere/nothing:1"];
    let run = checkout.run(&scan).expect(0);
    let said = "not run: release image: the engine does not have nowhere/nothing:1";
    assert!(run.stderr().contains(said), "{}", run.stderr());
    let run = checkout.xtask(&scan).env("CI", "true").run().expect(5);
    assert!(run.stderr().contains("not everything could be scanned"), "{}", run.stderr());
}

/// Runs git in a checkout, as somebody.
fn git(checkout: &Checkout, arguments: &[&str]) {
    let somebody = ["-c", "user.name=somebody", "-c", "user.email=somebody@localhost"];
    let run = Command::new("git").args(somebody).args(arguments).current_dir(checkout.root()).status();
    assert!(run.expect("the scan needs git").success(), "git {arguments:?}");
}

#[test]
fn a_secret_that_was_removed_is_found_in_the_history_and_can_be_allowed() {
    let checkout = known_to_git("scan-history");
    let secret = ["glpat-", "Ab1Cd2Ef3Gh4Ij5Kl6Mn"].concat();
    checkout.write("notes/access", &format!("of the registry:\n{secret}\n"));
    git(&checkout, &["add", "."]);
    git(&checkout, &["commit", "--quiet", "-m", "add"]);
    checkout.run(&["scan", "history"]).expect(0);
    checkout.write("notes/access", "of the registry: ask\n");
    checkout.run(&["scan", "secrets"]).expect(0);
    let run = checkout.run(&["scan", "history"]).expect(5);
    let only_edited = "notes/access:2 of commit ";
    assert!(run.stderr().contains(only_edited), "nothing but the file was changed: {}", run.stderr());
    git(&checkout, &["add", "."]);
    git(&checkout, &["commit", "--quiet", "-m", &["remove sk_", "live_Ab1Cd2Ef3Gh4Ij5Kl"].concat()]);
    checkout.run(&["scan", "secrets"]).expect(0);

    let run = checkout.run(&["scan", "history"]).expect(5);
    for found in
        ["notes/access:2 of commit ", "holds a token of GitLab", "message of ", "holds a key of Stripe"]
    {
        assert!(run.stderr().contains(found), "{found:?} is not in\n{}", run.stderr());
    }
    assert!(!run.stderr().contains(&secret), "a secret is repeated:\n{}", run.stderr());

    checkout.write("secrets.allow", "0123456789ab\n");
    let run = checkout.run(&["scan", "history"]).expect(3);
    assert!(run.stderr().contains("0123456789ab is allowed without a reason"), "{}", run.stderr());
    let prints: Vec<String> = checkout_fingerprints(&checkout);
    assert_eq!(prints.len(), 2);
    checkout
        .write("secrets.allow", &prints.iter().map(|print| format!("{print} revoked\n")).collect::<String>());
    checkout.run(&["scan", "history"]).expect(0);
}

#[test]
fn a_history_that_cannot_be_read_to_its_end_is_not_said_to_be_clean() {
    let checkout = known_to_git("scan-damaged");
    checkout.write("notes/access", "of the registry: ask\n");
    git(&checkout, &["add", "."]);
    git(&checkout, &["commit", "--quiet", "-m", "add"]);
    checkout.run(&["scan", "history"]).expect(0);
    let id =
        Command::new("git").args(["rev-parse", "HEAD:notes/access"]).current_dir(checkout.root()).output();
    let id = String::from_utf8(id.expect("git").stdout).expect("an identifier");
    let object = checkout.root().join(".git/objects").join(&id[..2]).join(id[2..].trim());
    std::fs::remove_file(&object).expect("it is loose");
    std::fs::write(&object, "damaged").expect("its directory is there");
    let run = checkout.run(&["scan", "history"]).expect(3);
    assert!(
        run.stderr().contains("cannot read the repository's history: git showed 5 of 6 objects"),
        "{}",
        run.stderr()
    );
}

#[test]
fn a_history_that_is_not_here_is_not_said_to_be_clean() {
    let checkout = known_to_git("scan-shallow");
    for text in ["one", "two"] {
        checkout.write("notes", text);
        git(&checkout, &["add", "."]);
        git(&checkout, &["commit", "--quiet", "-m", text]);
    }
    let run = checkout.run(&["scan", "history"]).expect(0);
    assert!(!run.stderr().contains("not run"), "{}", run.stderr());
    // What `git clone --depth 1` writes: the commit whose parents are not here.
    let head = Command::new("git").args(["rev-parse", "HEAD"]).current_dir(checkout.root()).output();
    std::fs::write(checkout.root().join(".git/shallow"), head.expect("the scan needs git").stdout)
        .expect("a file");
    let run = checkout.run(&["scan", "history"]).expect(0);
    let said = "not run: secrets in the history: the clone is shallow";
    assert!(run.stderr().contains(said), "{}", run.stderr());
    let run = checkout.xtask(&["scan", "history"]).env("CI", "true").run().expect(5);
    assert!(run.stderr().contains("not everything could be scanned"), "{}", run.stderr());
}

/// The fingerprints that a scan of the history tells.
fn checkout_fingerprints(checkout: &Checkout) -> Vec<String> {
    std::fs::remove_file(checkout.root().join("secrets.allow")).expect("it was written");
    let said = checkout.run(&["scan", "history"]).expect(5).stderr();
    let prints = said.split("(fingerprint ").skip(1).filter_map(|rest| rest.split(')').next());
    prints.map(str::to_owned).collect()
}

#[test]
fn a_secret_of_the_checkout_is_found_in_what_runs_left() {
    let checkout = known_to_git("scan-logs");
    checkout.write("compose/.env", "DB_PASSWORD=only words of mine\n");
    checkout.run(&["scan", "logs"]).expect(0);
    checkout.write("target/homeport/runs/x.jsonl", "{}\n{\"line\": \"only words of mine\"}\n");
    let run = checkout.run(&["scan", "logs"]).expect(5);
    let said = "target/homeport/runs/x.jsonl:2: holds this checkout's DB_PASSWORD";
    assert!(run.stderr().contains(said), "{}", run.stderr());
    assert!(!run.stderr().contains("only words"), "a secret is repeated:\n{}", run.stderr());
}

#[test]
fn what_a_kustomization_makes_is_held_to_the_rules_as_well() {
    let checkout = known_to_git("scan-made");
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m, labels: {}}\ndata: {a: b}\n";
    checkout.write("k8s/map.yaml", map);
    checkout.write("k8s/kustomization.yaml", "resources: [map.yaml]\n");
    checkout.run(&["scan", "manifests"]).expect(0);
    // In no file, and only by what is put over what, is it a right over the cluster. No kubectl is needed to see that.
    let binding = "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {name: b}\n";
    let role = |name: &str| {
        format!(
            "{binding}roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: {name}}}\n"
        )
    };
    checkout.write("k8s/map.yaml", &role("view"));
    checkout.write("k8s/kustomization.yaml", "resources: [map.yaml]\npatches:\n  - path: patch.txt\n");
    checkout.write("k8s/patch.txt", &role("cluster-admin"));
    let git = Command::new("sh").args(["-c", "command -v git"]).output().expect("a shell").stdout;
    let only_git = checkout.root().join("only-git");
    std::fs::create_dir(&only_git).expect("a directory");
    let git = String::from_utf8(git).expect("a path");
    std::os::unix::fs::symlink(git.trim(), only_git.join("git")).expect("a link");
    let without_kubectl =
        || checkout.xtask(&["scan", "manifests"]).env("PATH", only_git.to_str().expect("text"));
    let run = without_kubectl().run().expect(5);
    let said = "k8s (as made): ClusterRoleBinding b: grants cluster-admin";
    assert!(run.stderr().contains(said), "{}", run.stderr());
    // The same in words that only kubectl reads.
    checkout.write(
        "k8s/map.yaml",
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {name: b}\nroleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: view}\nsubjects: []\n",
    );
    checkout.write(
        "k8s/kustomization.yaml",
        "resources: [map.yaml]\npatches:\n  - target: {kind: ClusterRoleBinding}\n    patch: |-\n      - op: replace\n        path: /roleRef/name\n        value: cluster-admin\n",
    );
    let run = checkout.run(&["scan", "manifests"]).expect(5);
    assert!(run.stderr().contains(said), "{}", run.stderr());
    checkout.write("k8s/kustomization.yaml", "resources: [map.yaml]\nnamePrefix: a-\n");
    checkout.run(&["scan", "manifests"]).expect(0);
    let run = without_kubectl().run().expect(0);
    assert!(
        run.stderr().contains("not run: Kubernetes manifests: k8s says what only kubectl reads"),
        "{}",
        run.stderr()
    );
}

#[test]
fn a_dockerfile_that_releases_as_root_is_found() {
    let checkout = known_to_git("scan-dockerfile");
    let good = "FROM scratch\nUSER 1000:1000\nHEALTHCHECK CMD [\"/a\"]\nCOPY a /a\n";
    checkout.write("Dockerfile", good);
    checkout.write("compose/images/x/Dockerfile", "FROM debian:trixie-slim\nUSER 0\n");
    checkout.run(&["scan", "dockerfiles"]).expect(0);
    checkout.write("Dockerfile", &good.replace("USER 1000:1000\n", ""));
    let run = checkout.run(&["scan", "dockerfiles"]).expect(5);
    let said = "Dockerfile:1: the released stage names no USER, so it runs as root";
    assert!(run.stderr().contains(said), "{}", run.stderr());
}

#[test]
fn that_trivy_cannot_be_had_is_said_and_fails_the_pipeline_unless_it_is_accepted() {
    let checkout = known_to_git("scan-no-trivy");
    // Nothing listens at port 1: this registry refuses at once.
    let (variable, nowhere) = ("HOMEPORT_TRIVY_IMAGE", "127.0.0.1:1/trivy:1");
    let scan = ["scan", "trivy", "--image", "redis:8"];
    let xtask = |arguments: &[&str]| checkout.xtask(arguments).env(variable, nowhere);
    let said = format!("release image (Trivy): {nowhere} cannot be had (engine's store: not there");
    let run = xtask(&scan).run().expect(0);
    assert!(run.stderr().contains(&format!("not run: {said}")), "{}", run.stderr());
    let run = xtask(&scan).env("CI", "true").run().expect(5);
    assert!(run.stderr().contains("not everything could be scanned"), "{}", run.stderr());
    let accepting = ["scan", "trivy", "--image", "redis:8", "--without", "trivy"];
    let accepted = format!("NOT RUN, as --without or HOMEPORT_SCAN_WITHOUT accepts: {said}");
    for run in [
        xtask(&accepting).env("CI", "true").run(),
        xtask(&scan).env("CI", "true").env("HOMEPORT_SCAN_WITHOUT", "image,trivy").run(),
    ] {
        let run = run.expect(0);
        assert!(run.stderr().contains(&accepted), "{}", run.stderr());
    }
    let run = xtask(&scan).env("HOMEPORT_SCAN_WITHOUT", "trivvy").run().expect(2);
    assert!(run.stderr().contains("names \"trivvy\", which is no check"), "{}", run.stderr());
}

/// Speaks Trivy's command line as its documentation has it, and gives the report that a test put into its cache: the real
/// one can be had from a registry only.
const SPEAKS_AS_TRIVY: &str = r#"#!/bin/sh
set -eu
[ "$1" = image ]
echo "$*" > /trivy/asked
while [ $# -gt 0 ]; do
  case "$1" in
    --input) tar -tf "$2" | grep -q '^manifest.json$' ;;
    --output) output=$2 ;;
    --cache-dir) cache=$2 ;;
  esac
  shift
done
if [ ! -f "$cache/report.json" ]; then
  echo "FATAL Fatal error: init error: DB error: failed to download vulnerability DB" >&2
  exit 1
fi
cp "$cache/report.json" "$output"
"#;

#[test]
fn what_trivy_reports_is_judged_and_what_is_ignored_has_a_reason() {
    let checkout = known_to_git("scan-trivy").with_own_image("HOMEPORT_TRIVY_IMAGE");
    checkout.write(
        "compose/images/trivy/Dockerfile",
        "FROM redis:8\nCOPY trivy /usr/local/bin/trivy\nRUN chmod 0755 /usr/local/bin/trivy\n",
    );
    checkout.write("compose/images/trivy/trivy", SPEAKS_AS_TRIVY);
    let scan = ["scan", "trivy", "--image", "redis:8"];
    let run = checkout.run(&scan).expect(0);
    let said = "not run: release image (Trivy): Trivy ended with status 1 and no report: FATAL";
    assert!(run.stderr().contains(said), "{}", run.stderr());

    checkout.write("target/homeport/trivy/cache/report.json", r#"{"SchemaVersion": 2}"#);
    let run = checkout.run(&scan).expect(0);
    let said = "not run: release image (Trivy): Trivy saw no package in redis:8";
    assert!(run.stderr().contains(said), "a report of nothing is no pass: {}", run.stderr());

    let one = r#"{"VulnerabilityID": "CVE-2026-1", "PkgName": "libssl3", "InstalledVersion": "3.0.1", "FixedVersion": "3.0.2", "Severity": "SEVERITY"}"#;
    let report = format!(
        r#"{{"SchemaVersion": 2, "Results": [{{"Target": "redis:8 (debian 13)", "Packages": [{{"Name": "libssl3"}}], "Vulnerabilities": [{one}]}}]}}"#
    );
    let write = |severity: &str| {
        checkout.write("target/homeport/trivy/cache/report.json", &report.replace("SEVERITY", severity));
    };
    write("MEDIUM");
    let run = checkout.run(&scan).expect(0);
    assert!(
        run.stderr().contains("redis:8, 1 packages; 1 of lesser severity, 0 ignored"),
        "{}",
        run.stderr()
    );
    write("CRITICAL");
    let run = checkout.run(&["scan", "trivy", "--image", "redis:8", "--without", "trivy"]).expect(5);
    let found = "redis:8 (debian 13): libssl3 3.0.1: CRITICAL CVE-2026-1; fixed in 3.0.2";
    assert!(run.stderr().contains(found), "accepted is only that it is not run: {}", run.stderr());

    let asked =
        || std::fs::read_to_string(checkout.root().join("target/homeport/trivy/asked")).expect("asked");
    assert!(!asked().contains("--skip-db-update"), "{}", asked());
    let ignore = "vulnerabilities:\n  - id: CVE-2026-1\n    statement: not reached\n";
    checkout.write(".trivyignore.yaml", ignore);
    let run = checkout.run(&scan).expect(5);
    let for_ever = ".trivyignore.yaml: CVE-2026-1: is ignored for ever, expected a day (expired_at)";
    assert!(run.stderr().contains(for_ever), "{}", run.stderr());
    checkout.write(".trivyignore.yaml", &format!("{ignore}    expired_at: 9999-12-31\n"));
    let run = checkout.run(&["scan", "trivy", "--image", "redis:8", "--offline"]).expect(0);
    assert!(
        run.stderr().contains("redis:8, 1 packages; 0 of lesser severity, 1 ignored"),
        "{}",
        run.stderr()
    );
    assert!(asked().contains("--offline-scan --skip-db-update --skip-java-db-update"), "{}", asked());
}
