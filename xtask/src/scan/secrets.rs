//! Secrets in texts: by the shapes that issuers give their tokens, and values that are assigned to a telling name.
//!
//! Must not: repeat a secret in a finding.

use std::sync::LazyLock;

use regex_lite::Regex;

use super::Finding;

/// What a secret begins with, what it looks like, and what it is. A private key is one only with its body: programs that
/// read keys contain the first line.
const SHAPES: [(&str, &str, &str); 9] = [
    (
        "PRIVATE KEY-----",
        r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----(?:\\[nr]|\s)+[A-Za-z0-9+/=\s]{40}",
        "a private key",
    ),
    ("IA", r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b", "an access key of AWS"),
    ("gh", r"\bgh[pousr]_[A-Za-z0-9]{36}\b", "a token of GitHub"),
    ("github_pat_", r"\bgithub_pat_[A-Za-z0-9_]{60,}", "a token of GitHub"),
    ("glpat-", r"\bglpat-[A-Za-z0-9_-]{20}\b", "a token of GitLab"),
    ("dckr_pat_", r"\bdckr_pat_[A-Za-z0-9_-]{27}\b", "a token of Docker Hub"),
    ("cio", r"\bcio[A-Za-z0-9]{32}\b", "a token of crates.io"),
    ("xox", r"\bxox[abprs]-[A-Za-z0-9-]{20,}", "a token of Slack"),
    ("eyJ", r"\beyJ[A-Za-z0-9_-]{16,}\.eyJ[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}", "a JSON web token"),
];

/// An assignment to a name that tells: `DB_PASSWORD=…`, `api-key: "…"`. The value is what a generator makes.
const ASSIGNED: &str = r#"(?i)[A-Za-z0-9_.-]*(?:password|passwd|secret(?:[_-]?(?:access[_-]?)?key)?|token|api[_-]?key)["']?\s*[:=]\s*["']?([A-Za-z0-9+/_=-]{16,})"#;

/// A password in an address: `postgres://user:…@host`.
const IN_ADDRESS: &str = r#"://[^\s/:@"']*:([A-Za-z0-9+_=%.~-]{16,})@"#;

/// How much a value must vary to be random, in bits a character (Shannon): hex digits of a key have 3.4 and more, words
/// that are joined mostly less.
const RANDOM: f64 = 3.4;

/// The words of which [`ASSIGNED`] or [`IN_ADDRESS`] wants one, in lower case.
const TELLING: [&str; 5] = ["passw", "secret", "token", "api", "://"];

static PATTERNS: LazyLock<Vec<(&str, Regex, &str)>> = LazyLock::new(|| {
    let compiled = |(start, pattern, what)| (start, Regex::new(pattern).expect("the pattern is ours"), what);
    SHAPES.map(compiled).into()
});
static VALUES: LazyLock<[Regex; 2]> =
    LazyLock::new(|| [ASSIGNED, IN_ADDRESS].map(|pattern| Regex::new(pattern).expect("the pattern is ours")));

/// The secrets in a text, each with its line. Only where a telling word stands is a pattern tried: that is what makes a
/// repository's worth of text a matter of milliseconds.
pub fn secrets(path: &str, text: &str) -> Vec<Finding> {
    let mut found: Vec<Finding> = Vec::new();
    for (start, pattern, what) in PATTERNS.iter().filter(|(start, ..)| text.contains(start)) {
        for (at, _) in text.match_indices(start) {
            let (from, window) = around(text, at);
            let hit = pattern.find(window).map(|hit| from + hit.start()..from + hit.end());
            if hit.is_some_and(|hit| hit.contains(&at)) {
                let line = text[..at].matches('\n').count() + 1;
                found.push(Finding::new(format!("{path}:{line}"), format!("holds {what}")));
            }
        }
    }
    for (index, line) in text.lines().enumerate() {
        let lower = line.to_lowercase();
        if !TELLING.iter().any(|word| lower.contains(word)) {
            continue;
        }
        let values =
            VALUES.iter().flat_map(|pattern| pattern.captures_iter(line)).filter_map(|hit| hit.get(1));
        if values.map(|value| value.as_str()).any(is_random) {
            let place = format!("{path}:{}", index + 1);
            if !found.iter().any(|finding| finding.place == place) {
                found.push(Finding::new(place, "assigns what looks like a secret"));
            }
        }
    }
    found.sort();
    found.dedup();
    found
}

/// A part of the text that has everything of a secret whose telling word is at `at`, and where the part begins: no more, so
/// that a program of megabytes is searched in one go.
fn around(text: &str, at: usize) -> (usize, &str) {
    const BEFORE: usize = 40;
    const BEHIND: usize = 400;
    let boundary = |mut index: usize| {
        while !text.is_char_boundary(index) {
            index -= 1;
        }
        index
    };
    let from = boundary(at.saturating_sub(BEFORE));
    (from, &text[from..boundary(text.len().min(at + BEHIND))])
}

fn is_random(value: &str) -> bool {
    let digits = value.chars().any(|c| c.is_ascii_digit());
    let letters = value.chars().any(char::is_alphabetic);
    digits && letters && variety(value) >= RANDOM
}

/// Shannon's entropy, in bits a character.
#[expect(clippy::cast_precision_loss, reason = "a value has some hundred characters at most")]
fn variety(text: &str) -> f64 {
    let mut counts = std::collections::BTreeMap::new();
    for character in text.chars() {
        *counts.entry(character).or_insert(0_usize) += 1;
    }
    let total = text.chars().count().max(1) as f64;
    counts.values().map(|count| *count as f64 / total).map(|share| -share * share.log2()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Put together here, so that this file has no secret in it.
    fn planted() -> Vec<(String, &'static str)> {
        let body = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj".to_owned();
        let alphabet = "Ab1Cd2Ef3Gh4Ij5Kl6Mn7Op8Qr9St0UvWxYzAb1Cd2Ef3Gh4Ij5Kl6Mn7Op8Qr9";
        vec![
            (format!("x\n-----BEGIN {}PRIVATE KEY-----\n{body}\n", "RSA "), "f:2: holds a private key"),
            (
                format!("{{\"key\": \"-----BEGIN {}KEY-----\\n{body}\"}}", "PRIVATE "),
                "f:1: holds a private key",
            ),
            (format!("id = {}{}", "AKIA", "IOSFODNN7EXAMPLE"), "f:1: holds an access key of AWS"),
            (format!("{}{}", "ghp_", &alphabet[..36]), "f:1: holds a token of GitHub"),
            (format!("{}{}", "glpat-", &alphabet[..20]), "f:1: holds a token of GitLab"),
            (format!("{}{}", "dckr_pat_", &alphabet[..27]), "f:1: holds a token of Docker Hub"),
            (format!("{}{}", "xoxb-", &alphabet[..24]), "f:1: holds a token of Slack"),
            (format!("eyJ{0}.eyJ{0}.{0}", &alphabet[..20]), "f:1: holds a JSON web token"),
            (format!("a: b\nDB_PASSWORD={}\n", &alphabet[..24]), "f:2: assigns what looks like a secret"),
            (format!("ROCKET_SECRET_KEY={}", &alphabet[..44]), "f:1: assigns what looks like a secret"),
            (format!("aws_secret_access_key = {}", &alphabet[..40]), "f:1: assigns what looks like a secret"),
            (
                format!("URL=postgres://app:{}@db/app", &alphabet[..24]),
                "f:1: assigns what looks like a secret",
            ),
            (format!("\"api-key\": \"{}\"", &alphabet[..24]), "f:1: assigns what looks like a secret"),
        ]
    }

    #[test]
    fn a_planted_secret_is_found_and_not_repeated() {
        for (text, expected) in planted() {
            let found: Vec<String> = secrets("f", &text).iter().map(ToString::to_string).collect();
            assert_eq!(found, [expected], "{text}");
        }
    }

    #[test]
    fn what_only_speaks_of_secrets_is_none() {
        let innocent = [
            "POSTGRES_PASSWORD: ${POSTGRES_PASSWORD:?run cargo xtask dev}",
            "password = \"correct-horse-battery-staple\"",
            "DB_PASSWORD_FILE=/run/secrets/database-password",
            "secretKeyRef: {name: app-secret, key: DB_PASSWORD}",
            "-----BEGIN PRIVATE KEY-----",
            "token: deny",
            "postgres://app:${DB_PASSWORD}@db/app",
            "https://example.org:8443/a/page-of-2026@home",
            "let token = CancellationToken::new();",
        ];
        for text in innocent {
            assert_eq!(secrets("f", text), [], "{text}");
        }
    }
}
