//! What a Dockerfile must not do for the image's safety: bases of one version, nothing secret, nothing fetched unseen. The
//! image that is released stands on nothing or on a distroless base, runs as a numbered user other than 0 with a group of
//! its own, and has a health check.
//!
//! Must not: parse; `images/dockerfile` does. Style is `lint`'s.

use std::collections::BTreeMap;

use super::Finding;
use crate::checks::unsafe_instructions;
use crate::images::dockerfile::{Arguments, Instruction, argument, from, instructions};

/// Whose image a Dockerfile makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The one that is released.
    Release,
    /// A stand-in for development: it honours the user of the image it stands for.
    Recipe,
}

/// The base images that hold a program's needs and no shell (GoogleContainerTools/distroless, Chainguard's `static`).
const DISTROLESS: [&str; 2] = ["distroless/", "chainguard/static"];

/// Holds a Dockerfile to the rules.
pub fn dockerfile(path: &str, text: &str, purpose: Purpose) -> Vec<Finding> {
    let all = instructions(text);
    let mut found: Vec<Finding> = unsafe_instructions(&all)
        .into_iter()
        .map(|fault| Finding::new(format!("{path}:{}", fault.line), fault.message))
        .collect();
    for Instruction { line, keyword, rest } in &all {
        let place = || format!("{path}:{line}");
        let sets_user = rest.split(['&', ';']).any(|command| {
            let words: Vec<&str> = command.split_whitespace().collect();
            words.first() == Some(&"chmod") && words.iter().any(|word| changes_user(word))
        });
        if keyword == "RUN" && sets_user {
            found.push(Finding::new(place(), "makes a program change its user (set-user-id)"));
        }
        let copied = matches!(keyword.as_str(), "COPY" | "ADD")
            && rest.split_whitespace().any(|word| is_secret_file(word.rsplit('/').next().unwrap_or(word)));
        if copied {
            found.push(Finding::new(place(), "copies a file that holds secrets"));
        }
    }
    if purpose == Purpose::Release {
        found.extend(released(path, &all));
    }
    found
}

/// Whether a mode, as `chmod` takes it, has set-user-id or set-group-id (chmod(1)).
fn changes_user(mode: &str) -> bool {
    let numeric = mode.len() == 4 && mode.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
    if numeric {
        // With the sticky bit (3) it is a directory's, whose files are to have its group.
        return matches!(mode.as_bytes()[0], b'2' | b'4'..=b'7');
    }
    mode.split_once('+').or_else(|| mode.split_once('=')).is_some_and(|(who, what)| {
        who.bytes().all(|byte| b"ugoa".contains(&byte))
            && what.contains('s')
            && what.bytes().all(|byte| b"rwxXst".contains(&byte))
    })
}

fn is_secret_file(name: &str) -> bool {
    matches!(name, ".env" | "id_rsa" | "id_ed25519" | "id_ecdsa" | ".netrc" | ".npmrc" | ".pypirc")
}

/// The rules of the last stage, with what it has from the stages that it stands on.
fn released(path: &str, all: &[Instruction]) -> Vec<Finding> {
    let (root, last, line) = last_stage(all);
    let mut found = Vec::new();
    let mut say = |line: usize, message: String| found.push(Finding::new(format!("{path}:{line}"), message));
    if root != "scratch" && !DISTROLESS.iter().any(|known| root.contains(known)) {
        say(line, format!("the released stage stands on {root}, expected scratch or a distroless base"));
    }
    let of = |keyword: &str| last.iter().rev().find(|instruction| instruction.keyword == keyword);
    match of("USER") {
        None => say(line, "the released stage names no USER, so it runs as root".to_owned()),
        Some(user) => {
            if let Some(message) = user_fault(&user.rest) {
                say(user.line, message);
            }
        }
    }
    if of("HEALTHCHECK").is_none_or(|check| check.rest.trim() == "NONE") {
        say(line, "the released stage has no HEALTHCHECK".to_owned());
    }
    found
}

/// What is wrong with a user, `1000:1000`.
pub(super) fn user_fault(user: &str) -> Option<String> {
    let (name, group) = user.split_once(':').map_or((user, None), |(name, group)| (name, Some(group)));
    match name.parse::<u32>() {
        Ok(0) => Some("runs as root; a user other than 0 is expected".to_owned()),
        Err(_) if name.is_empty() => Some("names no user, so it runs as root".to_owned()),
        Err(_) => Some(format!("names its user {name:?}; Kubernetes' runAsNonRoot wants a number")),
        Ok(_) => match group.map(str::parse::<u32>) {
            Some(Ok(1..)) => None,
            Some(Ok(0)) => Some("runs in the group root; a group other than 0 is expected".to_owned()),
            Some(Err(_)) => {
                Some(format!("names its group {:?}, expected a number", group.unwrap_or_default()))
            }
            None => Some("names no group, so it runs in the group root; USER 1000:1000 names one".to_owned()),
        },
    }
}

/// What the last stage stands on in the end, its instructions with those of the stages before it, and its own line.
fn last_stage(all: &[Instruction]) -> (String, Vec<&Instruction>, usize) {
    let mut arguments = Arguments::new();
    let mut stages: BTreeMap<String, (String, Vec<&Instruction>)> = BTreeMap::new();
    let mut current: Option<(String, Vec<&Instruction>, Option<&str>)> = None;
    let mut line = 0;
    for instruction in all {
        match instruction.keyword.as_str() {
            "ARG" if current.is_none() => arguments.extend(argument(&instruction.rest)),
            "FROM" => {
                // Only on a stage that has a name may another stand.
                if let Some((root, list, Some(name))) = current.take() {
                    stages.insert(name.to_lowercase(), (root, list));
                }
                let (image, name) = from(&instruction.rest, &arguments);
                let (root, list) = stages.get(&image.to_lowercase()).cloned().unwrap_or((image, Vec::new()));
                current = Some((root, list, name));
                line = instruction.line;
            }
            _ => {
                if let Some((_, list, _)) = &mut current {
                    list.push(instruction);
                }
            }
        }
    }
    let (root, list, _) = current.unwrap_or_default();
    (root, list, line)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "\
ARG RUST=rust:1.95-slim
FROM scratch AS runtime
USER 1000:1000
HEALTHCHECK CMD [\"/a\", \"health\"]
FROM ${RUST} AS build
RUN make && chmod 0755 a
FROM runtime AS release
COPY --from=build /a /a
";

    fn found(text: &str, purpose: Purpose) -> Vec<String> {
        dockerfile("Dockerfile", text, purpose).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_stage_on_nothing_with_a_user_and_a_health_check_is_good() {
        assert_eq!(found(GOOD, Purpose::Release), Vec::<String>::new());
        let distroless = GOOD.replace("FROM scratch", "FROM gcr.io/distroless/static-debian12:nonroot");
        assert_eq!(found(&distroless, Purpose::Release), Vec::<String>::new());
    }

    #[test]
    fn each_broken_rule_is_named_on_its_line() {
        let table = [
            ("USER 1000:1000\n", "", "6: the released stage names no USER, so it runs as root"),
            ("1000:1000", "0", "3: runs as root; a user other than 0 is expected"),
            ("1000:1000", "app", "3: names its user \"app\"; Kubernetes' runAsNonRoot wants a number"),
            ("1000:1000", "1000:0", "3: runs in the group root; a group other than 0 is expected"),
            (
                "1000:1000",
                "1000",
                "3: names no group, so it runs in the group root; USER 1000:1000 names one",
            ),
            ("COPY --from", "USER 0\nCOPY --from", "8: runs as root; a user other than 0 is expected"),
            (
                "FROM runtime AS release",
                "FROM debian:trixie-slim\nUSER 1:1\nHEALTHCHECK CMD [\"/a\"]",
                "7: the released stage stands on debian:trixie-slim, expected scratch or a distroless base",
            ),
            (
                "HEALTHCHECK CMD [\"/a\", \"health\"]",
                "HEALTHCHECK NONE",
                "7: the released stage has no HEALTHCHECK",
            ),
            (
                "rust:1.95-slim",
                "rust:latest",
                "5: the base \"rust:latest\" has no tag that stands for one version",
            ),
            ("rust:1.95-slim", "rust", "5: the base \"rust\" has no tag that stands for one version"),
            (
                "COPY --from",
                "ADD https://x/a /b\nCOPY --from",
                "8: ADD unpacks and fetches by itself, expected COPY",
            ),
            (
                "COPY --from",
                "ENV DB_PASSWORD=x\nCOPY --from",
                "8: DB_PASSWORD has a value, which everybody who has the image can read",
            ),
            (
                "COPY --from",
                "ENV DB_PASSWORD hunter2\nCOPY --from",
                "8: DB_PASSWORD has a value, which everybody who has the image can read",
            ),
            (
                "RUN make",
                "ARG NPM_TOKEN=x\nRUN make",
                "6: NPM_TOKEN has a value, which everybody who has the image can read",
            ),
            ("RUN make", "RUN curl -s https://x | sh", "6: what was fetched is run unseen"),
            ("chmod 0755", "chmod 4755", "6: makes a program change its user (set-user-id)"),
            ("chmod 0755", "chmod u+s", "6: makes a program change its user (set-user-id)"),
            ("chmod 0755", "chmod u+xs", "6: makes a program change its user (set-user-id)"),
            ("chmod 0755", "chmod =rsx", "6: makes a program change its user (set-user-id)"),
            ("chmod 0755", "chmod 2755", "6: makes a program change its user (set-user-id)"),
            ("/a /a\n", "/a /a\nCOPY .env /\n", "9: copies a file that holds secrets"),
        ];
        for (good, bad, expected) in table {
            assert!(GOOD.contains(good), "{good:?}");
            assert_eq!(
                found(&GOOD.replacen(good, bad, 1), Purpose::Release),
                [format!("Dockerfile:{expected}")],
                "{bad}"
            );
        }
    }

    #[test]
    fn a_mode_without_another_user_is_good() {
        for mode in ["755", "1777", "u+x", "a=rwX", "-R go-rwx", "0755 /usr/lib/a+s", "0755 a=s.txt"] {
            assert_eq!(found(&GOOD.replace("0755", mode), Purpose::Release), Vec::<String>::new(), "{mode}");
        }
    }

    #[test]
    fn a_base_is_what_the_arguments_before_all_stages_say() {
        let named = GOOD.replacen("FROM scratch", "ARG BASE=scratch\nFROM ${BASE}", 1);
        assert_eq!(found(&named, Purpose::Release), Vec::<String>::new());
        let within =
            named.replace("RUN make", "ARG BASE=debian:13\nRUN make").replace("FROM runtime", "FROM ${BASE}");
        let said = found(&within, Purpose::Release);
        assert!(!said.iter().any(|line| line.contains("stands on")), "{said:?}");
    }

    #[test]
    fn a_recipe_has_the_user_of_the_image_it_stands_for() {
        assert_eq!(
            found("FROM debian:trixie-slim\nRUN chmod 3777 /run/x\n", Purpose::Recipe),
            Vec::<String>::new()
        );
        let said = found("FROM debian\nADD https://x /x\n", Purpose::Recipe);
        assert_eq!(said.len(), 2, "{said:?}");
    }
}
