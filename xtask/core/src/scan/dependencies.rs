//! What cargo-deny says of the dependencies (`--format json`: one object a line), as findings, and how old the advisories
//! may be that it judged by.
//!
//! Must not: decide what is an error; `deny.toml` does.

use std::time::{Duration, SystemTime};

use serde_json::Value;

use super::Finding;

/// The errors among cargo-deny's lines; `None` when there is no summary, so that it did not come to its end.
pub fn dependencies(lines: &[String]) -> Option<Vec<Finding>> {
    let values: Vec<Value> = lines.iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
    values.iter().find(|value| value["type"] == "summary")?;
    let errors = values.iter().filter(|value| value["type"] == "diagnostic");
    Some(
        errors
            .map(|value| &value["fields"])
            .filter(|fields| fields["severity"] == "error")
            .map(finding)
            .collect(),
    )
}

/// What cargo says when the lock file does not fit the manifests and it must not write it (`--locked`). cargo-deny passes
/// it on, and ends.
pub fn is_stale_lock(lines: &[String]) -> bool {
    let of_lock = |line: &String| line.contains("lock file") || line.contains("Cargo.lock");
    lines.iter().any(|line| of_lock(line) && line.contains("--locked"))
}

/// How old advisories may be before it is said: RustSec publishes some every week.
pub const FRESH: Duration = Duration::from_secs(30 * DAY);

const DAY: u64 = 24 * 60 * 60;

/// What the age of a database of advisories means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Age {
    /// Of the last weeks.
    Fresh,
    /// Of so many days: to be said.
    Old(u64),
    /// Of so many days, and at most so many are allowed.
    TooOld(u64, u64),
}

/// Judges the age of a database whose newest entry is of `newest`. One from the future is fresh: clocks differ.
pub fn age(newest: SystemTime, now: SystemTime, most: Duration) -> Age {
    let age = now.duration_since(newest).unwrap_or_default();
    let days = age.as_secs() / DAY;
    if age > most {
        Age::TooOld(days, most.as_secs() / DAY)
    } else if age > FRESH {
        Age::Old(days)
    } else {
        Age::Fresh
    }
}

/// How old advisories may be by deny.toml: `maximum-db-staleness` (cargo-deny, "advisories"), 90 days when it says
/// nothing, as in cargo-deny. cargo-deny itself asks when a database was fetched, and one that is given was fetched now.
///
/// # Errors
/// When the value is no whole number of days, weeks, months or years (ISO 8601); in words.
pub fn most_allowed(configuration: &str) -> Result<Duration, String> {
    let value = configuration.lines().find_map(|line| {
        let (key, value) = line.split_once('=')?;
        (key.trim() == "maximum-db-staleness").then(|| value.split('#').next().unwrap_or_default().trim())
    });
    let Some(value) = value else { return Ok(Duration::from_secs(90 * DAY)) };
    let fault = || format!("maximum-db-staleness is {value}, expected days as \"P90D\"");
    let text = value.trim_matches(['"', '\'']).strip_prefix('P').ok_or_else(fault)?;
    let unit = text.chars().last().ok_or_else(fault)?;
    let number: u64 = text[..text.len() - unit.len_utf8()].parse().map_err(|_| fault())?;
    let days = match unit {
        'D' => 1,
        'W' => 7,
        'M' => 30,
        'Y' => 365,
        _ => return Err(fault()),
    };
    number.checked_mul(days * DAY).map(Duration::from_secs).ok_or_else(fault)
}

/// The newest day in the texts of advisories (`date = "2026-08-21"`), for a database without a history.
pub fn newest_day<'a>(texts: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let day = |line: &'a str| {
        let (key, value) = line.split_once('=')?;
        let is_day = matches!(key.trim(), "date" | "withdrawn");
        let value = value.trim().trim_matches('"');
        (is_day && value.len() == 10 && value.is_ascii()).then_some(value)
    };
    texts.flat_map(str::lines).filter_map(day).max()
}

fn finding(fields: &Value) -> Finding {
    let package = &fields["graphs"][0]["Krate"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let place = match package["name"].as_str() {
        Some(name) => format!("{name} {}", text(&package["version"])),
        // About the configuration or the whole lock file.
        None => text(&fields["code"]),
    };
    let mut message = text(&fields["message"]);
    if let Some(advisory) = fields["advisory"]["id"].as_str() {
        message = format!("{advisory}: {message}");
    }
    // What a licence or a source is rejected for stands at the place that is pointed at.
    let spans = fields["labels"].as_array().into_iter().flatten();
    let pointed: Option<&str> =
        spans.filter_map(|label| label["span"].as_str()).find(|span| !span.is_empty() && span.len() <= 100);
    match pointed.filter(|_| fields["advisory"].is_null()) {
        Some(span) => Finding::new(place, format!("{message} ({span})")),
        None => Finding::new(place, message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines as cargo-deny 0.20 writes them, shortened.
    const LICENCE: &str = r#"{"fields":{"code":"rejected","graphs":[{"Krate":{"name":"pq-src","version":"0.3.14"}}],"labels":[{"column":12,"line":228,"message":"","span":"PostgreSQL"}],"message":"failed to satisfy license requirements","severity":"error"},"type":"diagnostic"}"#;
    const ADVISORY: &str = r#"{"fields":{"advisory":{"id":"RUSTSEC-2020-0071"},"code":"vulnerability","graphs":[{"Krate":{"name":"time","version":"0.1.40"}}],"labels":[{"span":"time 0.1.40 registry+https://github.com/rust-lang/crates.io-index"}],"message":"Potential segfault in the time crate","severity":"error"},"type":"diagnostic"}"#;
    const WARNING: &str = r#"{"fields":{"code":"license-not-encountered","graphs":[],"labels":[],"message":"license was not encountered","severity":"warning"},"type":"diagnostic"}"#;
    const SUMMARY: &str = r#"{"fields":{"advisories":{"errors":1}},"type":"summary"}"#;

    #[test]
    fn errors_are_findings_and_warnings_are_none() {
        let lines = [LICENCE, WARNING, ADVISORY, SUMMARY].map(str::to_owned);
        let found: Vec<String> =
            dependencies(&lines).expect("it ended").iter().map(ToString::to_string).collect();
        let expected = [
            "pq-src 0.3.14: failed to satisfy license requirements (PostgreSQL)",
            "time 0.1.40: RUSTSEC-2020-0071: Potential segfault in the time crate",
        ];
        assert_eq!(found, expected);
        assert_eq!(dependencies(&["error: no such option".to_owned()]), None);
        assert_eq!(dependencies(&[LICENCE.to_owned()]), None, "it broke off");
    }

    #[test]
    fn only_a_short_place_is_told() {
        let long = "x".repeat(101);
        for (span, place) in
            [("", None), ("MIT", Some("MIT")), (&long[..100], Some(&long[..100])), (&long, None)]
        {
            let lines = [LICENCE.replace("PostgreSQL", span), SUMMARY.to_owned()];
            let found = dependencies(&lines).expect("it ended")[0].to_string();
            let told = found.split_once(" (").and_then(|(_, rest)| rest.strip_suffix(')'));
            assert_eq!(told, place, "{found}");
        }
    }

    #[test]
    fn a_lock_file_that_does_not_fit_is_told_from_everything_else() {
        let said =
            "error: the lock file /a/Cargo.lock needs to be updated but --locked was passed to prevent this";
        assert!(is_stale_lock(&["x".to_owned(), said.to_owned()]));
        let newer =
            "error: cannot update the lock file /a/Cargo.lock because --locked was passed to prevent this";
        assert!(is_stale_lock(&[newer.to_owned()]));
        for named in ["the lock file", "/a/Cargo.lock"] {
            assert!(is_stale_lock(&[format!("error: {named} needs to be updated but --locked was passed")]));
        }
        assert!(!is_stale_lock(&["error: failed to fetch with --locked".to_owned()]));
    }

    #[test]
    fn an_age_is_judged_by_days() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000 * DAY);
        let most = Duration::from_secs(180 * DAY);
        let table = [
            (1_001, Age::Fresh),
            (1_000, Age::Fresh),
            (970, Age::Fresh),
            (969, Age::Old(31)),
            (820, Age::Old(180)),
            (819, Age::TooOld(181, 180)),
        ];
        for (day, expected) in table {
            let newest = SystemTime::UNIX_EPOCH + Duration::from_secs(day * DAY);
            assert_eq!(age(newest, now, most), expected, "{day}");
        }
    }

    #[test]
    fn the_bound_is_the_one_of_deny_toml() {
        let table = [
            ("maximum-db-staleness = \"P180D\"", Some(180)),
            ("[advisories]\n  maximum-db-staleness=\"P2W\" # why", Some(14)),
            ("maximum-db-staleness = \"P1Y\"", Some(365)),
            ("maximum-db-staleness = \"P6M\"", Some(180)),
            ("", Some(90)),
            ("maximum-db-staleness = \"180\"", None),
            ("maximum-db-staleness = \"P\"", None),
            ("maximum-db-staleness = \"P1Y6M\"", None),
        ];
        for (text, days) in table {
            let expected = days.map(|days| Duration::from_secs(days * DAY));
            assert_eq!(most_allowed(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn the_newest_day_is_the_one_of_an_advisory() {
        let texts = [
            "[advisory]\ndate = \"2026-01-02\"\n",
            "date = \"2025-12-31\"\nwithdrawn = \"2026-02-01\"",
            "x = \"2027-01-01\"",
        ];
        assert_eq!(newest_day(texts.into_iter()), Some("2026-02-01"));
        assert_eq!(newest_day(std::iter::empty()), None);
    }
}
