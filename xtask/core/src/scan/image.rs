//! What a release image must be: one static program, run by an unprivileged user, with nothing to break out with.
//!
//! Must not: unpack an archive. It is told what is in the image.

use std::collections::BTreeMap;

use super::Finding;
use super::dockerfile::user_fault;
use super::secrets::{Rules, secrets};

/// An image as its configuration describes it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Configuration {
    /// The user, as the engine writes it: `1000:1000`.
    pub user: String,
    /// The variables it sets, `NAME=value`.
    pub environment: Vec<String>,
    /// Whether it says how to ask whether it is healthy.
    pub has_health_check: bool,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// What it runs: the entry point, the command, the health check, a word each.
    pub command: Vec<String>,
    /// The instructions that made it, build arguments included, as the engine keeps them.
    pub history: Vec<String>,
    /// Bytes unpacked.
    pub size: u64,
}

/// One file of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// From the root, without a leading slash.
    pub path: String,
    /// The permission bits, set-user-id and its like included.
    pub mode: u32,
    /// What is in it, as far as it was read.
    pub content: Vec<u8>,
}

/// The names that shells and interpreters go by, and the programs that contain one. A version may follow: `python3.13`.
const SHELLS: [&str; 26] = [
    "ash", "bash", "busybox", "csh", "dash", "elvish", "fish", "gawk", "irb", "ksh", "lua", "luajit", "mksh",
    "node", "nu", "perl", "php", "pwsh", "python", "rbash", "ruby", "sh", "tcsh", "toybox", "yash", "zsh",
];

/// Set-user-id and set-group-id (stat(2)).
const SET_ID: u32 = 0o6000;

/// The labels that say what it is and where it comes from (OCI image specification, "Pre-Defined Annotation Keys").
const LABELS: [&str; 3] = ["version", "revision", "licenses"];

/// Values of a label that say nothing.
const NOTHING: [&str; 3] = ["", "unknown", "none"];

/// Holds an image to the rules; `most` is what its size may be, in bytes, where somebody has set a bound.
pub fn image(
    name: &str,
    configuration: &Configuration,
    files: &[File],
    most: Option<u64>,
    rules: &Rules,
) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut say = |message: String| found.push(Finding::new(name, message));
    if let Some(fault) = user_fault(&configuration.user) {
        say(fault);
    }
    if !configuration.has_health_check {
        say("has no health check".to_owned());
    }
    for label in LABELS {
        let label = format!("org.opencontainers.image.{label}");
        match configuration.labels.get(&label) {
            None => say(format!("has no label {label}")),
            Some(value) if NOTHING.contains(&value.trim()) => {
                say(format!("has the label {label} with {value:?}, which says nothing"));
            }
            Some(_) => {}
        }
    }
    if let Some(most) = most.filter(|most| configuration.size > *most) {
        say(format!("has {} bytes; at most {most} are expected", configuration.size));
    }
    let labels: Vec<String> =
        configuration.labels.iter().map(|(label, value)| format!("{label}={value}")).collect();
    let texts = [
        ("environment", configuration.environment.join("\n")),
        ("labels", labels.join("\n")),
        ("command", configuration.command.join("\n")),
        ("history", configuration.history.join("\n")),
    ];
    for (what, text) in texts {
        found.extend(in_configuration(name, what, &text, rules));
    }
    for file in files {
        found.extend(of_file(name, file, rules));
    }
    found
}

/// What the engine tells of an image to everybody who has it.
fn in_configuration(name: &str, what: &str, text: &str, rules: &Rules) -> Vec<Finding> {
    let place = format!("{name}: its {what}");
    secrets(what, text, rules).into_iter().map(|finding| Finding::new(&place, finding.message)).collect()
}

/// Whether a file's name is that of a shell or an interpreter, whichever version.
fn is_shell(name: &str) -> bool {
    let name = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.' || c == '-');
    SHELLS.contains(&name)
}

fn of_file(name: &str, file: &File, rules: &Rules) -> Vec<Finding> {
    let place = format!("{name}: /{}", file.path);
    let mut found = Vec::new();
    let last = file.path.rsplit('/').next().unwrap_or_default();
    if is_shell(last) {
        found.push(Finding::new(&place, "is a shell or an interpreter"));
    }
    if file.mode & SET_ID != 0 {
        // Some archives write the kind of file into the mode.
        let mode = file.mode & 0o7777;
        found.push(Finding::new(&place, format!("has the mode {mode:04o}, which changes the user")));
    }
    let is_docker_configuration = file.path.ends_with(".docker/config.json");
    if matches!(last, ".env" | "id_rsa" | "id_ed25519" | ".netrc") || is_docker_configuration {
        found.push(Finding::new(&place, "is a file that holds secrets"));
    }
    found.extend(secrets(&place, &String::from_utf8_lossy(&file.content), rules));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    type Plant = fn(&mut Configuration, &mut Vec<File>);

    fn good() -> (Configuration, Vec<File>) {
        let configuration = Configuration {
            user: "1000:1000".to_owned(),
            environment: vec!["PATH=/".to_owned()],
            has_health_check: true,
            labels: LABELS
                .map(|label| (format!("org.opencontainers.image.{label}"), "1.0".to_owned()))
                .into(),
            command: vec!["/service".to_owned(), "serve".to_owned()],
            history: vec!["|1 VERSION=1.0 /bin/sh -c #(nop) USER 1000:1000".to_owned()],
            size: 10,
        };
        let program = File { path: "service".to_owned(), mode: 0o755, content: b"\x7fELF".to_vec() };
        (configuration, vec![program])
    }

    fn found(configuration: &Configuration, files: &[File]) -> Vec<String> {
        let found = image("i", configuration, files, Some(10), &Rules::default());
        let without_print = |finding: &Finding| {
            let said = finding.to_string();
            said.split(" (fingerprint").next().unwrap_or_default().to_owned()
        };
        found.iter().map(without_print).collect()
    }

    /// Put together here, so that this file has no secret in it.
    fn secret() -> String {
        ["Ab1Cd2Ef3Gh4", "Ij5Kl6Mn"].concat()
    }

    fn label(configuration: &mut Configuration, name: &str, value: &str) {
        configuration.labels.insert(format!("org.opencontainers.image.{name}"), value.to_owned());
    }

    #[test]
    fn each_broken_rule_is_named() {
        let (configuration, files) = good();
        assert_eq!(found(&configuration, &files), Vec::<String>::new());
        let planted: &[(&str, Plant)] = &[
            ("i: runs as root; a user other than 0 is expected", |c, _| c.user = "0:0".to_owned()),
            ("i: names no user, so it runs as root", |c, _| c.user.clear()),
            ("i: names its user \"app\"; Kubernetes' runAsNonRoot wants a number", |c, _| {
                c.user = "app".to_owned();
            }),
            ("i: runs in the group root; a group other than 0 is expected", |c, _| {
                c.user = "1000:0".to_owned();
            }),
            ("i: names no group, so it runs in the group root; USER 1000:1000 names one", |c, _| {
                c.user = "1000".to_owned();
            }),
            ("i: has no health check", |c, _| c.has_health_check = false),
            ("i: has no label org.opencontainers.image.revision", |c, _| {
                c.labels.retain(|l, _| !l.ends_with("revision"));
            }),
            ("i: has the label org.opencontainers.image.version with \"\", which says nothing", |c, _| {
                label(c, "version", "");
            }),
            (
                "i: has the label org.opencontainers.image.revision with \"unknown\", which says nothing",
                |c, _| {
                    label(c, "revision", "unknown");
                },
            ),
            ("i: has 11 bytes; at most 10 are expected", |c, _| c.size = 11),
            ("i: its environment: assigns what looks like a secret", |c, _| {
                c.environment = vec![format!("DB_PASSWORD={}", secret())];
            }),
            ("i: its environment: assigns what looks like a secret", |c, _| {
                c.environment = vec!["DB_PASS=hunter2".to_owned()];
            }),
            ("i: its labels: assigns what looks like a secret", |c, _| label(c, "api-token", &secret())),
            ("i: its command: assigns what looks like a secret", |c, _| {
                c.command.push(format!("--password={}", secret()));
            }),
            ("i: its history: assigns what looks like a secret", |c, _| {
                c.history.push(format!("|1 NPM_TOKEN={} /bin/sh -c npm ci", secret()));
            }),
            ("i: /service: has the mode 4755, which changes the user", |_, f| f[0].mode = 0o104_755),
            ("i: /service: has the mode 2755, which changes the user", |_, f| f[0].mode = 0o2755),
            ("i: /app/.env: is a file that holds secrets", |_, f| f[0].path = "app/.env".to_owned()),
        ];
        for (expected, plant) in planted {
            let (mut configuration, mut files) = good();
            plant(&mut configuration, &mut files);
            assert_eq!(found(&configuration, &files), [*expected]);
        }
    }

    #[test]
    fn every_shell_and_interpreter_is_named_whichever_version() {
        let shells = [
            "bin/sh",
            "bin/dash",
            "bin/ash",
            "bin/busybox",
            "usr/bin/zsh",
            "usr/bin/fish",
            "usr/bin/python3.13",
        ];
        for path in
            shells.into_iter().chain(["usr/bin/perl5", "usr/bin/ruby", "bin/bash-5.2", "usr/bin/node"])
        {
            let (configuration, mut files) = good();
            files[0].path = path.to_owned();
            assert_eq!(found(&configuration, &files), [format!("i: /{path}: is a shell or an interpreter")]);
        }
        for path in ["service", "usr/share/shadow", "lib/libpython3.so"] {
            assert!(!is_shell(path.rsplit('/').next().unwrap_or_default()), "{path}");
        }
    }
}
