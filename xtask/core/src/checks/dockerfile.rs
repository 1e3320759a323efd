//! What we hold of a Dockerfile: bases with a tag, packages without what they only recommend and without their lists,
//! commands that no shell stands before, nothing secret, nothing fetched past the package manager.
//!
//! Must not: know the language whole; that is hadolint's.

use super::Fault;
use crate::images::dockerfile::{Arguments, Instruction, argument, from, instructions};

/// Dockerfile reference, "Overview"; `MAINTAINER` is deprecated and so left out.
const KEYWORDS: [&str; 17] = [
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

/// The parts of a variable's name that say that its value is secret.
const SECRET: [&str; 4] = ["PASSWORD", "SECRET", "TOKEN", "PRIVATE_KEY"];

/// The faults of a Dockerfile, in the order of their lines.
pub fn check(text: &str) -> Vec<Fault> {
    let all = instructions(text);
    let mut faults = Vec::new();
    if !all.iter().any(|instruction| instruction.keyword == "FROM") {
        faults.push(Fault::new(0, "it has no FROM"));
    }
    faults.extend(unsafe_instructions(&all));
    let last_stage = all.iter().rposition(|instruction| instruction.keyword == "FROM").unwrap_or(0);
    for (place, instruction) in all.iter().enumerate() {
        check_one(instruction, place > last_stage, &mut faults);
    }
    faults.sort();
    faults
}

/// What makes an image unsafe, of the stand-ins for development too.
pub(crate) fn unsafe_instructions(all: &[Instruction]) -> Vec<Fault> {
    let mut faults = Vec::new();
    bases(all, &mut faults);
    for Instruction { line, keyword, rest } in all {
        let mut fault = |message: String| faults.push(Fault::new(*line, message));
        match keyword.as_str() {
            "ADD" => fault("ADD unpacks and fetches by itself, expected COPY".to_owned()),
            "ENV" | "ARG" => {
                let secret = |name: &str| SECRET.iter().any(|part| name.to_uppercase().contains(part));
                for (name, value) in assigned(rest) {
                    if secret(name) && !value.trim_matches(['"', '\'']).is_empty() {
                        fault(format!("{name} has a value, which everybody who has the image can read"));
                    }
                }
            }
            "RUN" => {
                let fetches = ["curl ", "wget "].iter().any(|program| rest.contains(program));
                let mut piped = rest.split('|').skip(1).map(str::trim_start);
                if fetches && piped.any(|next| next.starts_with("sh") || next.starts_with("bash")) {
                    fault("what was fetched is run unseen".to_owned());
                }
                if rest.split_whitespace().any(|word| word == "sudo") {
                    fault("sudo in an image: USER says who runs it".to_owned());
                }
            }
            _ => {}
        }
    }
    faults
}

/// The assignments of an `ENV` or `ARG`; `ENV NAME value` is the older way of writing one (Dockerfile reference, "ENV").
fn assigned(rest: &str) -> Vec<(&str, &str)> {
    let words: Vec<&str> = rest.split_whitespace().collect();
    match words.first() {
        Some(first) if !first.contains('=') => rest
            .split_once(char::is_whitespace)
            .map(|(name, value)| (name, value.trim()))
            .into_iter()
            .collect(),
        _ => words.into_iter().filter_map(|word| word.split_once('=')).collect(),
    }
}

/// Without a tag it is `latest`, another image every day.
fn bases(all: &[Instruction], faults: &mut Vec<Fault>) {
    let mut arguments = Arguments::new();
    let mut stages: Vec<String> = Vec::new();
    for instruction in all {
        match instruction.keyword.as_str() {
            "ARG" if stages.is_empty() => arguments.extend(argument(&instruction.rest)),
            "FROM" => {
                let (image, name) = from(&instruction.rest, &arguments);
                let own = image == "scratch" || stages.contains(&image);
                let tag = image.rsplit('/').next().and_then(|last| last.split_once(':')).map(|(_, tag)| tag);
                if !own && matches!(tag, None | Some("" | "latest")) && !image.contains('@') {
                    let message = format!("the base {image:?} has no tag that stands for one version");
                    faults.push(Fault::new(instruction.line, message));
                }
                stages.push(name.unwrap_or_default().to_owned());
            }
            _ => {}
        }
    }
}

fn check_one(instruction: &Instruction, in_last_stage: bool, faults: &mut Vec<Fault>) {
    let Instruction { line, keyword, rest } = instruction;
    let mut fault = |message: String| faults.push(Fault::new(*line, message));
    match keyword.as_str() {
        "RUN" => {
            for message in run(rest, in_last_stage) {
                fault(message);
            }
        }
        // With a shell before it the program is not process 1 and hears no SIGTERM.
        "CMD" | "ENTRYPOINT" if !rest.starts_with('[') => {
            fault(format!("{keyword} {rest} runs through a shell, expected a JSON list of words"));
        }
        "WORKDIR" if !rest.starts_with(['/', '$']) => {
            fault(format!("WORKDIR {rest} depends on the one before, expected an absolute path"));
        }
        known if KEYWORDS.contains(&known) => {}
        unknown => fault(format!("{unknown} is no instruction")),
    }
}

fn run(command: &str, in_last_stage: bool) -> Vec<String> {
    let mut found = Vec::new();
    let words: Vec<&str> = command.split_whitespace().collect();
    let installs = command.contains("apt-get") && words.contains(&"install");
    if installs && !words.contains(&"--no-install-recommends") {
        found.push("apt-get install without --no-install-recommends".to_owned());
    }
    if installs && !words.iter().any(|word| matches!(*word, "-y" | "--yes" | "-qy" | "-yq")) {
        found.push("apt-get install without --yes waits for an answer".to_owned());
    }
    if in_last_stage && command.contains("apt-get update") && !command.contains("/var/lib/apt/lists") {
        found.push(
            "package lists stay in the image, expected rm -rf /var/lib/apt/lists/* in the same RUN"
                .to_owned(),
        );
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "\
# A comment.
ARG BASE=debian:trixie-slim
FROM ${BASE} AS build
ARG TOKEN=
RUN apt-get update \\
 && apt-get install --yes --no-install-recommends gcc
FROM build
RUN apt-get update \\
 # why
 && apt-get install -y --no-install-recommends redis \\
 && rm -rf /var/lib/apt/lists/*
ENV LANG=C.UTF-8
WORKDIR /src
COPY a /a
USER 1000:1000
ENTRYPOINT [\"/a\"]
";

    #[test]
    fn a_good_one_has_no_fault() {
        assert_eq!(check(GOOD), []);
        assert_eq!(check("FROM scratch\nCOPY a /a\n"), []);
        assert_eq!(check("FROM host:5000/a@sha256:00\n"), []);
        // Only what stands before the first stage is known to a base.
        assert_eq!(check("FROM a:1 AS one\nARG BASE=debian\nFROM ${BASE:-b:1}\n"), []);
        for command in ["cat a | sh", "curl -o a https://x", "apt-get clean", "make install"] {
            assert_eq!(check(&GOOD.replace("COPY a /a", &format!("RUN {command}"))), [], "{command}");
        }
    }

    #[test]
    fn every_planted_fault_is_found_on_its_line() {
        let table = [
            ("debian:trixie-slim", "debian", 3, "the base \"debian\" has no tag"),
            ("debian:trixie-slim", "debian:latest", 3, "has no tag"),
            ("debian:trixie-slim", "host:5000/debian", 3, "has no tag"),
            ("ARG TOKEN=", "ARG TOKEN=abc", 4, "TOKEN has a value"),
            ("LANG=C.UTF-8", "DB_PASSWORD hunter2", 12, "DB_PASSWORD has a value"),
            ("LANG=C.UTF-8", "DB_PASSWORD=\"x\"", 12, "DB_PASSWORD has a value"),
            ("--yes --no-install-recommends gcc", "--yes gcc", 5, "without --no-install-recommends"),
            ("-y --no-install-recommends redis", "--no-install-recommends redis", 8, "without --yes"),
            (" \\\n && rm -rf /var/lib/apt/lists/*", "", 8, "package lists stay"),
            ("COPY a /a", "ADD a /a", 14, "ADD unpacks"),
            ("[\"/a\"]", "/a --serve", 16, "runs through a shell"),
            ("WORKDIR /src", "WORKDIR src", 13, "expected an absolute path"),
            ("COPY a /a", "RUN curl -s https://x | sh", 14, "run unseen"),
            ("COPY a /a", "RUN sudo true", 14, "sudo"),
            ("COPY a /a", "COPPY a /a", 14, "COPPY is no instruction"),
        ];
        for (good, bad, line, message) in table {
            assert!(GOOD.contains(good), "{good:?}");
            let faults = check(&GOOD.replacen(good, bad, 1));
            let found = faults.len() == 1 && faults[0].line == line && faults[0].message.contains(message);
            assert!(found, "{bad:?}: expected {line}: {message}, found {faults:#?}");
        }
        assert_eq!(check("RUN true\n")[0].message, "it has no FROM");
    }
}
