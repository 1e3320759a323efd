//! `scan`: a planted fault of each kind is found and named; what could not be looked at is said, and fails the pipeline.

use std::process::Command;

use crate::checkout::Checkout;

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
}

#[test]
fn an_image_that_runs_as_root_or_is_too_large_is_found() {
    let checkout = known_to_git("scan-image");
    let run = checkout.run(&["scan", "image", "--image", "redis:8"]).expect(5);
    for found in [
        "redis:8: names no user, so it runs as root",
        "bytes; at most 15000000 are expected",
        "redis:8: has no label org.opencontainers.image.revision",
    ] {
        assert!(run.stderr().contains(found), "{found:?} is not in\n{}", run.stderr());
    }
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
