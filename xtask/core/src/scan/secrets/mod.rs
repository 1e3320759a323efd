//! Secrets in texts: by the shapes that issuers give their tokens, by values that are assigned to a telling name, and by
//! being one of those that this checkout made.
//!
//! Must not: repeat a secret in a finding. It is told by its fingerprint.

mod allowed;
mod shapes;

use std::ops::Range;
use std::sync::LazyLock;

use regex_lite::Regex;

pub use allowed::{Allowed, FILE, fingerprint};
use shapes::{ASSIGNED, BEARER, IN_ADDRESS, SETTING, SETTING_IN_ADDRESS, SHAPES, Shape, TELLING};

use super::Finding;

/// What a search goes by, besides the shapes.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// What looks like a secret and is none.
    pub allowed: Allowed,
    /// The secrets of this checkout, name and value: they must be nowhere else.
    pub known: Vec<(String, String)>,
}

/// How much a value must vary to be random, in bits a character (Shannon): hex digits of a key have 3.4 and more, words
/// that are joined mostly less.
const RANDOM: f64 = 3.4;

/// The shortest of a checkout's own secrets that is searched for: a shorter one may stand anywhere by chance.
const KNOWN: usize = 12;

/// What stands in the place of a password and is none.
const NO_PASSWORD: [&str; 8] = ["true", "false", "null", "none", "yes", "no", "required", "optional"];

static PATTERNS: LazyLock<Vec<(&Shape, Regex)>> =
    LazyLock::new(|| SHAPES.iter().map(|shape| (shape, compiled(shape.pattern))).collect());
static VALUES: LazyLock<[Regex; 3]> = LazyLock::new(|| [ASSIGNED, IN_ADDRESS, BEARER].map(compiled));
static SETTINGS: LazyLock<[Regex; 2]> = LazyLock::new(|| [SETTING, SETTING_IN_ADDRESS].map(compiled));

fn compiled(pattern: &str) -> Regex {
    Regex::new(pattern).expect("the pattern is ours")
}

/// One secret in a text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hit {
    /// The line, counted from 1.
    pub line: usize,
    /// What it is, and what it does there: `holds a token of GitHub`.
    pub what: String,
    /// What it is called.
    pub fingerprint: String,
}

/// The secrets in a text, as findings.
pub fn secrets(path: &str, text: &str, rules: &Rules) -> Vec<Finding> {
    let said = |hit: Hit| {
        Finding::new(
            format!("{path}:{}", hit.line),
            format!("{} (fingerprint {})", hit.what, hit.fingerprint),
        )
    };
    hits(path, text, rules).into_iter().map(said).collect()
}

/// The secrets in a text, each once a line. Only where a telling word stands is a pattern tried: that is what makes a
/// repository's worth of text a matter of milliseconds.
pub fn hits(path: &str, text: &str, rules: &Rules) -> Vec<Hit> {
    // What is allowed hides nothing beside it: each secret has its own place, and only what lies within another's is none.
    let mut found: Vec<(Range<usize>, String)> = Vec::new();
    for (name, value) in rules.known.iter().filter(|(_, value)| value.len() >= KNOWN) {
        let places = text.match_indices(value.as_str()).map(|(at, _)| at..at + value.len());
        found.extend(places.map(|place| (place, format!("holds this checkout's {name}"))));
    }
    for (shape, pattern) in PATTERNS.iter() {
        for (at, _) in text.match_indices(shape.telling) {
            let (from, window) = around(text, at);
            let groups = pattern.captures_iter(window).find(|groups| {
                let whole = groups.get(0).expect("a match has a whole");
                (from + whole.start()..from + whole.end()).contains(&at)
            });
            let Some(groups) = groups else { continue };
            let secret = groups.get(1).or(groups.get(0)).expect("a match has a whole").range();
            found.push((from + secret.start..from + secret.end, format!("holds {}", shape.what)));
        }
    }
    let settings = is_of_settings(path);
    let mut begin = 0;
    for line in text.split_inclusive('\n') {
        for value in assigned_in(line, settings) {
            let place = begin + value.start..begin + value.end;
            if !found.iter().any(|(other, _)| overlap(other, &place)) {
                found.push((place, "assigns what looks like a secret".to_owned()));
            }
        }
        begin += line.len();
    }
    let line_of = |at: usize| text[..at].matches('\n').count() + 1;
    let mut hits: Vec<Hit> = found
        .into_iter()
        .map(|(place, what)| (fingerprint(&text[place.clone()]), place.start, what))
        .filter(|(print, ..)| !rules.allowed.contains(print))
        .map(|(fingerprint, at, what)| Hit { line: line_of(at), what, fingerprint })
        .collect();
    hits.sort();
    hits.dedup();
    hits
}

fn overlap(one: &Range<usize>, other: &Range<usize>) -> bool {
    one.start < other.end && other.start < one.end
}

/// The longest line that is searched as a whole: a program's "lines" have megabytes.
const LINE: usize = 2048;

/// Where the values of a line are that are secrets, where a telling word stands in it.
fn assigned_in(line: &str, settings: bool) -> Vec<Range<usize>> {
    // Of the same length, so that places are the same.
    let lower = line.to_ascii_lowercase();
    let mut places = TELLING.iter().flat_map(|word| lower.match_indices(word)).map(|(at, _)| at).peekable();
    if line.len() <= LINE {
        return if places.peek().is_some() { assigned(line, settings) } else { Vec::new() };
    }
    places
        .map(|at| around(line, at))
        .flat_map(|(from, window)| {
            assigned(window, settings).into_iter().map(move |value| from + value.start..from + value.end)
        })
        .collect()
}

/// Where the values of a line, or of a part of one, are that are secrets.
fn assigned(line: &str, settings: bool) -> Vec<Range<usize>> {
    let values = |patterns: &'static [Regex]| {
        let captures = patterns.iter().flat_map(move |pattern| pattern.captures_iter(line));
        captures.filter_map(|groups| groups.get(1))
    };
    let random = values(VALUES.as_slice()).filter(|value| is_random(value.as_str()));
    // In a comment a word behind a colon is prose.
    let prose = |value: &str| line.trim_start().starts_with('#') && value.chars().all(char::is_alphabetic);
    let password = |value: &str| settings && is_password(value) && !prose(value);
    let passwords = values(SETTINGS.as_slice()).filter(|value| password(value.as_str()));
    random.chain(passwords).map(|value| value.range()).collect()
}

/// Whether a file is one of settings, by its name: what stands there is meant, not an example in a text.
fn is_of_settings(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default().to_lowercase();
    let (stem, end) = name.rsplit_once('.').unwrap_or((&name, ""));
    matches!(
        end,
        "env"
            | "yaml"
            | "yml"
            | "properties"
            | "ini"
            | "cfg"
            | "conf"
            | "tfvars"
            | "pgpass"
            | "npmrc"
            | "pypirc"
    ) || matches!(stem, "env" | ".env" | "dockerfile")
        || matches!(name.as_str(), "dockerfile" | "environment" | "labels" | "command" | "history")
}

/// Whether what is assigned to a password is one: not filled in elsewhere, not a place, not a word of the format.
fn is_password(value: &str) -> bool {
    let is_elsewhere =
        value.contains(['$', '<', '{', '%', '*', '(', '\\']) || value.starts_with(['/', '!', '&', '|']);
    !is_elsewhere && !NO_PASSWORD.contains(&value.to_lowercase().as_str())
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

    const ALPHABET: &str = "Ab1Cd2Ef3Gh4Ij5Kl6Mn7Op8Qr9St0UvWxYzAb1Cd2Ef3Gh4Ij5Kl6Mn7Op8Qr9";
    const BODY: &str = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj";

    fn found(path: &str, text: &str) -> Vec<String> {
        hits(path, text, &Rules::default()).iter().map(|hit| format!("{}: {}", hit.line, hit.what)).collect()
    }

    /// Put together here, so that this file has no secret in it.
    fn tokens() -> Vec<(String, &'static str)> {
        let of = |start: &str, length: usize| format!("{start}{}", &ALPHABET[..length]);
        let capitals = ALPHABET.to_uppercase();
        vec![
            (format!("{}{}", "AK", "IAIOSFODNN7EXAMPLE"), "an access key of AWS"),
            (of("ghp_", 36), "a token of GitHub"),
            (of("github_pat_", 60), "a token of GitHub"),
            (of("glpat-", 20), "a token of GitLab"),
            (of("gldt-", 20), "a token of GitLab"),
            (of("glrt-", 20), "a token of GitLab"),
            (of("dckr_pat_", 27), "a token of Docker Hub"),
            (
                format!("{{\"auths\": {{\"r\": {{\"{}\": \"{}\"}}}}}}", "auth", "YXBwOmh1bnRlcg=="),
                "an account of a registry",
            ),
            (of("cio", 32), "a token of crates.io"),
            (of("npm_", 36), "a token of npm"),
            (of("pypi-AgEI", 50), "a token of PyPI"),
            (of("xoxb-", 24), "a token of Slack"),
            (of("xapp-1-", 24), "a token of Slack"),
            (
                of("https://hooks.slack.com/services/T0AB/B0CD/", 24),
                "an address of Slack at which anybody may post",
            ),
            (of("sk_live_", 24), "a key of Stripe"),
            (of("rk_live_", 24), "a key of Stripe"),
            (of("AIza", 35), "a key of a Google API"),
            (of("GOCSPX-", 28), "a client secret of Google"),
            (format!("SG.{}.{}", &ALPHABET[..22], &ALPHABET[..43]), "a key of SendGrid"),
            (of("sk-proj-", 40), "a key of a model's API"),
            (format!("hf_{}", "abcdefghijklmnopqrstuvwxyzabcdefgh"), "a token of Hugging Face"),
            (format!("dop_v1_{}", "0123456789abcdef".repeat(4)), "a token of DigitalOcean"),
            (of("hvs.", 24), "a token of Vault"),
            (format!("AGE-SECRET-KEY-1{}", &capitals[..58]), "a private key"),
            (format!("eyJ{0}.eyJ{0}.{0}", &ALPHABET[..20]), "a JSON web token"),
            (format!("machine h\n  login me\n  {} {}", "password", "hunter2"), "a password of .netrc"),
        ]
    }

    #[test]
    fn every_shape_of_a_token_is_found() {
        for (text, what) in tokens() {
            let lines = found("notes", &format!("first line\n{text}\n"));
            let hit = lines.iter().any(|line| line.ends_with(&format!("holds {what}")));
            assert!(hit, "{what}: {text}: {lines:?}");
        }
        let all: std::collections::BTreeSet<&str> = tokens().into_iter().map(|(_, what)| what).collect();
        let untested: Vec<&str> =
            SHAPES.iter().map(|shape| shape.what).filter(|what| !all.contains(what)).collect();
        assert_eq!(untested, Vec::<&str>::new());
    }

    #[test]
    fn private_keys_of_every_kind_are_found() {
        let key = |kind: &str, middle: &str| {
            format!("x\n-----BEGIN {kind}{}-----\n{middle}{BODY}\n", "PRIVATE KEY")
        };
        let texts = [
            key("", ""),
            key("RSA ", ""),
            key("EC ", ""),
            key("OPENSSH ", ""),
            key("ENCRYPTED ", ""),
            key("RSA ", "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\n"),
            key("PGP ", "Version: 1\n\n").replace("KEY-----", "KEY BLOCK-----"),
            key("", "").replace('\n', "\n    "),
            format!("x\n{{\"key\": \"{}\"}}", key("", "").trim_start_matches("x\n").replace('\n', "\\n")),
            format!("x\nPuTTY-User-Key-{}: ssh-rsa\nEncryption: none\nPrivate-{}: 8\n", "File-2", "Lines"),
        ];
        for text in texts {
            assert_eq!(found("f", &text), ["2: holds a private key"], "{text}");
        }
    }

    #[test]
    fn what_is_assigned_to_a_telling_name_is_found() {
        let random = &ALPHABET[..24];
        let anywhere = [
            format!("DB_PASSWORD={random}"),
            format!("DB_PASS={random}"),
            format!("ROCKET_SECRET_KEY={}", &ALPHABET[..44]),
            format!("aws_secret_access_key = {}", &ALPHABET[..40]),
            format!("secretAccessKey: {}", &ALPHABET[..40]),
            format!("URL=postgres://app:{random}@db/app"),
            format!("\"api-key\": \"{random}\""),
            format!("Authorization: Bearer {random}"),
            format!("curl -H 'authorization: basic {random}'"),
        ];
        for text in anywhere {
            assert_eq!(found("f.rs", &text), ["1: assigns what looks like a secret"], "{text}");
        }
        let of_settings = [
            ("a/.env", "DB_PASS=hunter2"),
            ("env.production", "export PASSWORD='correct horse'"),
            ("compose.yaml", "  - DB_PASSWORD=hunter2"),
            ("compose.yaml", "  environment: {POSTGRES_PASSWORD: hunter2}"),
            ("app.yml", "password: \"letmein\""),
            ("Dockerfile", "ENV DB_PASSWD=hunter2"),
            ("redis.conf", "url = redis://default:hunter2@cache:6379"),
        ];
        for (path, text) in of_settings {
            assert_eq!(found(path, text), ["1: assigns what looks like a secret"], "{path}: {text}");
            assert_eq!(found("README.md", text), Vec::<String>::new(), "only an example: {text}");
        }
    }

    #[test]
    fn a_program_is_searched_like_a_text_without_lines() {
        let padding = "\0x".repeat(LINE);
        let text = format!("{padding}DB_PASSWORD={}{padding}", &ALPHABET[..24]);
        assert_eq!(found("service", &text), ["1: assigns what looks like a secret"]);
    }

    #[test]
    fn what_is_allowed_hides_nothing_beside_it() {
        let [token, other] = [0, 4].map(|from| format!("{}{}", "ghp_", &ALPHABET[from..from + 36]));
        let (random, another) = (&ALPHABET[..24], &ALPHABET[20..44]);
        let lines = [
            format!("{token} {other}"),
            format!("X={token} DB_PASSWORD={random}"),
            format!("A_PASSWORD={random} B_PASSWORD={another}"),
        ];
        for (line, [allowed, remaining]) in
            lines.iter().zip([[token.as_str(), other.as_str()], [token.as_str(), random], [random, another]])
        {
            let both = hits("f", line, &Rules::default());
            assert_eq!(both.len(), 2, "{line}: {both:?}");
            for (allowed, remaining) in [(allowed, remaining), (remaining, allowed)] {
                let allowed =
                    Allowed::parse(&format!("{} an example", fingerprint(allowed))).expect("well written");
                let left = hits("f", line, &Rules { allowed, ..Rules::default() });
                let prints: Vec<&str> = left.iter().map(|hit| hit.fingerprint.as_str()).collect();
                assert_eq!(prints, [fingerprint(remaining)], "{line}");
            }
        }
    }

    #[test]
    fn what_only_speaks_of_secrets_is_none() {
        let innocent = [
            "POSTGRES_PASSWORD: ${POSTGRES_PASSWORD:?run cargo xtask dev}",
            "POSTGRES_PASSWORD=",
            "DB_PASSWORD_FILE=/run/secrets/database-password",
            "password: /run/secrets/password",
            "password: ${{ secrets.REGISTRY_PASSWORD }}",
            "secretKeyRef: {name: app-secret, key: DB_PASSWORD}",
            "-----BEGIN PRIVATE KEY-----",
            "token: deny",
            "postgres://app:${DB_PASSWORD}@db/app",
            "https://example.org:8443/a/page-of-2026@home",
            "let token = CancellationToken::new();",
            "bypass: true",
            "# DB_USER, DB_PASSWORD: the service's role",
        ];
        for text in innocent {
            assert_eq!(found("f.yaml", text), Vec::<String>::new(), "{text}");
        }
        let joined = "password = \"correct-horse-battery-staple\"";
        assert_eq!(found("f.rs", joined), Vec::<String>::new());
    }

    #[test]
    fn a_secret_of_this_checkout_is_found_wherever_it_stands_and_however_it_looks() {
        let known = vec![
            ("DB_PASSWORD".to_owned(), "plain words here".to_owned()),
            ("SHORT".to_owned(), "a".to_owned()),
        ];
        let rules = Rules { known, ..Rules::default() };
        let hits = hits("run.jsonl", "a\n{\"line\": \"plain words here\"}\n", &rules);
        let expected = Hit {
            line: 2,
            what: "holds this checkout's DB_PASSWORD".to_owned(),
            fingerprint: fingerprint("plain words here"),
        };
        assert_eq!(hits, [expected]);
    }

    #[test]
    fn a_finding_has_a_fingerprint_by_which_it_is_allowed_and_not_the_secret() {
        let token = format!("{}{}", "ghp_", &ALPHABET[..36]);
        let said: Vec<String> =
            secrets("f", &token, &Rules::default()).iter().map(ToString::to_string).collect();
        let print = fingerprint(&token);
        assert_eq!(said, [format!("f:1: holds a token of GitHub (fingerprint {print})")]);
        assert!(!said[0].contains(&token[4..12]));
        let allowed = Allowed::parse(&format!("{print} made for a test")).expect("well written");
        assert_eq!(secrets("f", &token, &Rules { allowed, ..Rules::default() }), []);
    }
}
