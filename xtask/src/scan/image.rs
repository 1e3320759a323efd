//! What a release image must be: one static program, run by an unprivileged user, with nothing to break out with.
//!
//! Must not: unpack an archive. It is told what is in the image.

use super::{Finding, secrets::secrets};

/// An image as its configuration describes it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Configuration {
    /// The user, as the engine writes it: `1000:1000`.
    pub user: String,
    /// The variables it sets, `NAME=value`.
    pub environment: Vec<String>,
    /// Whether it says how to ask whether it is healthy.
    pub has_health_check: bool,
    /// The names of its labels.
    pub labels: Vec<String>,
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

/// The names that shells go by, and the programs that contain one.
const SHELLS: [&str; 12] =
    ["sh", "ash", "bash", "busybox", "csh", "dash", "fish", "ksh", "mksh", "tcsh", "toybox", "zsh"];

/// Set-user-id and set-group-id (stat(2)).
const SET_ID: u32 = 0o6000;

/// The labels that say what it is and where it comes from (OCI image specification, "Pre-Defined Annotation Keys").
const LABELS: [&str; 3] = ["version", "revision", "licenses"];

/// Holds an image to the rules; `largest` is what its size may be, in bytes.
pub fn image(name: &str, configuration: &Configuration, files: &[File], largest: u64) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut say = |message: String| found.push(Finding::new(name, message));
    let user = configuration.user.split(':').next().unwrap_or_default();
    match user.parse::<u32>() {
        Ok(0) => say("runs as root; a user other than 0 is expected".to_owned()),
        Ok(_) => {}
        Err(_) if user.is_empty() => say("names no user, so it runs as root".to_owned()),
        Err(_) => say(format!("names its user {user:?}; Kubernetes' runAsNonRoot wants a number")),
    }
    if !configuration.has_health_check {
        say("has no health check".to_owned());
    }
    for label in LABELS {
        let label = format!("org.opencontainers.image.{label}");
        if !configuration.labels.contains(&label) {
            say(format!("has no label {label}"));
        }
    }
    if configuration.size > largest {
        say(format!("has {} bytes; at most {largest} are expected", configuration.size));
    }
    found.extend(secrets(&format!("{name}: its environment"), &configuration.environment.join("\n")));
    for file in files {
        found.extend(of_file(name, file));
    }
    found
}

fn of_file(name: &str, file: &File) -> Vec<Finding> {
    let place = format!("{name}: /{}", file.path);
    let mut found = Vec::new();
    let last = file.path.rsplit('/').next().unwrap_or_default();
    if SHELLS.contains(&last) {
        found.push(Finding::new(&place, "is a shell"));
    }
    if file.mode & SET_ID != 0 {
        found.push(Finding::new(&place, format!("has the mode {:04o}, which changes the user", file.mode)));
    }
    let is_docker_configuration = file.path.ends_with(".docker/config.json");
    if matches!(last, ".env" | "id_rsa" | "id_ed25519" | ".netrc") || is_docker_configuration {
        found.push(Finding::new(&place, "is a file that holds secrets"));
    }
    found.extend(secrets(&place, &String::from_utf8_lossy(&file.content)));
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
            labels: LABELS.map(|label| format!("org.opencontainers.image.{label}")).into(),
            size: 10,
        };
        let program = File { path: "service".to_owned(), mode: 0o755, content: b"\x7fELF".to_vec() };
        (configuration, vec![program])
    }

    #[test]
    fn each_broken_rule_is_named() {
        let (configuration, files) = good();
        assert_eq!(image("i", &configuration, &files, 10), []);
        let planted: [(&str, Plant); 10] = [
            ("i: runs as root; a user other than 0 is expected", |c, _| c.user = "0:0".to_owned()),
            ("i: names no user, so it runs as root", |c, _| c.user.clear()),
            ("i: names its user \"app\"; Kubernetes' runAsNonRoot wants a number", |c, _| {
                c.user = "app".to_owned();
            }),
            ("i: has no health check", |c, _| c.has_health_check = false),
            ("i: has no label org.opencontainers.image.revision", |c, _| {
                c.labels.retain(|l| !l.ends_with("revision"));
            }),
            ("i: has 11 bytes; at most 10 are expected", |c, _| c.size = 11),
            ("i: its environment:1: assigns what looks like a secret", |c, _| {
                // Put together here, so that this file has no secret in it.
                c.environment = vec![format!("DB_PASSWORD={}", ["Ab1Cd2Ef3Gh4", "Ij5Kl6Mn"].concat())];
            }),
            ("i: /bin/sh: is a shell", |_, f| f[0].path = "bin/sh".to_owned()),
            ("i: /service: has the mode 4755, which changes the user", |_, f| f[0].mode = 0o4755),
            ("i: /app/.env: is a file that holds secrets", |_, f| f[0].path = "app/.env".to_owned()),
        ];
        for (expected, plant) in planted {
            let (mut configuration, mut files) = good();
            plant(&mut configuration, &mut files);
            let found: Vec<String> =
                image("i", &configuration, &files, 10).iter().map(ToString::to_string).collect();
            assert_eq!(found, [expected]);
        }
    }
}
