//! Holds what Grafana and Prometheus are given to what is written beside it: each dashboard's JSON to its source, each
//! file to the `ConfigMap` that carries it, each alert to its section of the runbook and its tests. Needs no engine.
//!
//! After a change of a source: `HOMEPORT_UPDATE=1 cargo test --package xtask --test dashboards` writes the JSON anew.

use std::{collections::BTreeSet, fs, path::Path, path::PathBuf};

use xtask::dashboards;

fn compose() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace").join("compose")
}

fn read(path: &str) -> String {
    fs::read_to_string(compose().join(path)).unwrap_or_else(|error| panic!("read {path}: {error}"))
}

/// The names of a folder's files, without their extension.
fn stems(folder: &str) -> BTreeSet<String> {
    let entries =
        fs::read_dir(compose().join(folder)).unwrap_or_else(|error| panic!("list {folder}: {error}"));
    entries
        .map(|entry| entry.expect("a readable folder").path())
        .map(|path| path.file_stem().expect("a file's name").to_string_lossy().into_owned())
        .collect()
}

#[test]
fn dashboards_are_what_their_sources_say() {
    let sources = stems("grafana/sources");
    assert!(
        sources.contains("service"),
        "the dashboard that Grafana opens with is missing among {sources:?}"
    );
    for name in &sources {
        let source = read(&format!("grafana/sources/{name}.yml"));
        let rendered = dashboards::parse(&source).and_then(|dashboard| {
            assert_eq!(&dashboard.uid, name, "a dashboard's uid is its file's name");
            dashboards::render(&dashboard)
        });
        let rendered = rendered.unwrap_or_else(|error| panic!("{name}: {error}"));
        let target = compose().join(format!("grafana/dashboards/{name}.json"));
        if std::env::var_os("HOMEPORT_UPDATE").is_some() {
            fs::write(&target, &rendered).expect("a writable work tree");
        }
        let written = fs::read_to_string(&target).unwrap_or_default();
        assert!(
            written == rendered,
            "{} differs from its source; to write it: HOMEPORT_UPDATE=1 cargo test --package xtask --test dashboards",
            target.display()
        );
    }
    assert_eq!(stems("grafana/dashboards"), sources, "each dashboard has a source");
}

#[test]
fn kubernetes_gets_every_file_that_compose_mounts() {
    let list = read("kustomization.yaml");
    for folder in ["grafana/dashboards", "grafana/datasources", "grafana/dashboard-providers", "prometheus"] {
        for entry in fs::read_dir(compose().join(folder)).expect("a folder") {
            let path = entry.expect("a readable folder").path();
            if path.is_file() {
                let name = path.file_name().expect("a name").to_string_lossy().into_owned();
                assert!(
                    list.contains(&format!("{folder}/{name}\n")),
                    "{folder}/{name} is not in kustomization.yaml"
                );
            }
        }
    }
}

#[test]
fn every_alert_has_its_section_in_the_runbook_and_its_tests() {
    let (alerts, runbook) = (read("prometheus/service.alerts.yml"), read("prometheus/runbook.html"));
    let tests = read("prometheus/tests/service.alerts.test.yml");
    let names: Vec<&str> = alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(names.len() > 5, "{names:?}");
    for name in &names {
        assert!(runbook.contains(&format!("<h2 id=\"{name}\">")), "{name} has no section");
        assert!(
            alerts.contains(&format!("/user/runbook.html#{name}\"")),
            "{name} does not link to its section"
        );
        assert!(tests.contains(&format!("- alertname: {name}\n")), "{name} is not made to fire");
        assert!(
            tests
                .lines()
                .any(|line| line.contains(&format!("alertname: {name},")) && line.contains("exp_alerts: []")),
            "{name} is not seen silent"
        );
    }
    let sections = runbook.matches("<h2 id=").count();
    assert_eq!(sections, names.len(), "the runbook has as many sections as there are alerts");
}

#[test]
fn every_recording_rule_is_tested_and_every_recorded_name_exists() {
    let (rules, tests) =
        (read("prometheus/service.rules.yml"), read("prometheus/tests/service.rules.test.yml"));
    let names: BTreeSet<&str> =
        rules.lines().filter_map(|line| line.trim().strip_prefix("- record: ")).collect();
    assert!(names.len() > 10, "{names:?}");
    for name in &names {
        assert!(tests.contains(*name), "{name} is not tested");
    }
    for dashboard in stems("grafana/sources") {
        let source =
            dashboards::parse(&read(&format!("grafana/sources/{dashboard}.yml"))).expect("a dashboard");
        for (title, expr) in dashboards::expressions(&source) {
            let words = expr.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'));
            for word in words.filter(|word| word.contains(':')) {
                assert!(names.contains(word), "{dashboard}, {title}: nothing records {word}");
            }
        }
    }
}
