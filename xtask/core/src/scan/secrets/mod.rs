//! Secrets in texts: by the shapes that issuers give their tokens, by values that are assigned to a telling name, and by
//! being one of those that this checkout made.
//!
//! Must not: repeat a secret in a finding. It is told by its fingerprint.

mod allowed;
mod shapes;
#[cfg(test)]
mod tests;

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
