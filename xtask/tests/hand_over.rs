//! The commands on Kubernetes as they are handed over: first compiled, by a cargo that sees no secret, then started with
//! all that the caller has given. Cargo and the other program are stand-ins that tell what they were given.

#![cfg(unix)]

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

const SECRETS: [(&str, &str); 3] = [
    ("HOMEPORT_KUBECONFIG", "kubeconfig-of-a-test"),
    ("HOMEPORT_REGISTRY_USER", "user-of-a-test"),
    ("HOMEPORT_REGISTRY_PASSWORD", "password-of-a-test"),
];

fn script(path: &Path, text: &str) {
    std::fs::write(path, format!("#!/bin/sh\n{text}\n")).expect("it can be written");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("it is ours");
}

/// `xtask deploy --context somewhere`, with the secrets in its environment and this for its cargo.
fn deploy(directory: &Path, cargo: &str) -> Output {
    script(&directory.join("cargo"), cargo);
    let path = std::env::var("PATH").expect("a search path");
    Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(["deploy", "--context", "some where"])
        .env("PATH", format!("{}:{path}", directory.display()))
        .envs(SECRETS)
        .output()
        .expect("it can be started")
}

#[test]
fn cargo_sees_no_secret_and_the_other_program_sees_all() {
    let directory = tempfile::tempdir().expect("a directory");
    let told = |name: &str| std::fs::read_to_string(directory.path().join(name)).expect("it was run");
    let here = directory.path().display();
    script(
        &directory.path().join("companion"),
        &format!("env > {here}/companion.env\nprintf '%s|' \"$@\"\nexit 7"),
    );
    let made = format!(r#"{{"target":{{"name":"xtask-cluster"}},"executable":"{here}/companion"}}"#);
    let ended = deploy(directory.path(), &format!("env > {here}/cargo.env\necho '{made}'"));
    assert_eq!(ended.status.code(), Some(7), "{}", String::from_utf8_lossy(&ended.stderr));
    assert_eq!(String::from_utf8_lossy(&ended.stdout), "deploy|--context|some where|");
    for (name, secret) in SECRETS {
        assert!(!told("cargo.env").contains(secret), "cargo sees {name}");
        assert!(told("companion.env").contains(&format!("{name}={secret}")), "{name} is not handed on");
    }
}

#[test]
fn what_does_not_compile_is_said_to() {
    let directory = tempfile::tempdir().expect("a directory");
    let ended = deploy(directory.path(), "echo 'error: it does not' >&2\nexit 101");
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(5), "{said}");
    assert!(said.contains("error: it does not"), "{said}");
    assert!(said.contains("cannot compile xtask-cluster: cargo ended with exit status: 101"), "{said}");
}
