//! What an answer of Prometheus must be for a panel to be right: expressions as Grafana sends them, the metrics they
//! name, and values held to the panel's unit. Pure; who asks a Prometheus is somebody else.
//!
//! Must not: know a metric or a dashboard by name.

use std::collections::BTreeSet;
use std::time::Duration;

use regex_lite::Regex;

use super::source::{Dashboard, Kind};

/// One expression of a dashboard, with what is known of its values.
#[derive(Debug, Clone, PartialEq)]
pub struct Question<'a> {
    /// The title of the panel, or the name of the annotation.
    pub shown_by: &'a str,
    /// The expression, as the source has it.
    pub expr: &'a str,
    /// The unit of its values; an annotation's have none.
    pub unit: Option<&'a str>,
    /// Whether only the last value is asked for.
    pub instant: bool,
    /// The largest value that makes sense, where the unit alone says too little or too much.
    pub most: Option<f64>,
}

/// Every expression of a dashboard.
pub fn questions(dashboard: &Dashboard) -> Vec<Question<'_>> {
    let panels = dashboard.rows.iter().flat_map(|row| &row.panels);
    let shown = panels.flat_map(|panel| {
        // A heat map's unit is that of its buckets; what it asks for is how many are in each.
        let unit = if panel.kind == Kind::Heatmap { "short" } else { panel.unit.as_str() };
        panel.queries.iter().map(move |query| Question {
            shown_by: &panel.title,
            expr: &query.expr,
            unit: Some(unit),
            instant: panel.kind == Kind::Table,
            most: panel.most.or(panel.max),
        })
    });
    let marks = dashboard.annotations.iter().map(|mark| Question {
        shown_by: &mark.name,
        expr: &mark.expr,
        unit: None,
        instant: false,
        most: None,
    });
    shown.chain(marks).collect()
}

/// What Grafana's variables stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// The time that is shown.
    pub range: Duration,
    /// The step between two values, never below `scrape`.
    pub step: Duration,
    /// The data source's `timeInterval`.
    pub scrape: Duration,
}

/// The expression as Grafana sends it: `$__interval`, `$__range` and `$__rate_interval` replaced, the last by Grafana's
/// own rule ("Prometheus template variables": the larger of step + scrape interval and four scrape intervals).
///
/// # Errors
/// Names what starts with `$` and is none of these: no dashboard here has variables.
pub fn as_grafana_asks(expr: &str, window: Window) -> Result<String, String> {
    let seconds = |time: Duration| format!("{}s", time.as_secs());
    let rate = (window.step + window.scrape).max(window.scrape * 4);
    let asked = expr
        .replace("$__rate_interval", &seconds(rate))
        .replace("$__interval", &seconds(window.step))
        .replace("$__range", &seconds(window.range));
    match asked.split_once('$') {
        None => Ok(asked),
        Some((_, rest)) => {
            let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || "_{}:".contains(c)));
            Err(format!("nothing sets ${}", &rest[..end.unwrap_or(rest.len())]))
        }
    }
}

/// The expression without a zero that stands in for no data: a misspelt name must not look like nothing to count.
pub fn without_default(expr: &str) -> &str {
    expr.strip_suffix(" or vector(0)").unwrap_or(expr)
}

/// The metrics that an expression reads.
pub fn metrics(expr: &str) -> BTreeSet<String> {
    let pattern = |text: &str| Regex::new(text).expect("a pattern of ours");
    let without = [
        r#""[^"]*""#,
        r"\{[^}]*\}",
        r"\[[^\]]*\]",
        r"\b(by|on|without|ignoring|group_left|group_right)\s*\([^)]*\)",
    ];
    let bare = without.iter().fold(expr.to_owned(), |text, part| {
        // A word's end must stay one: `x{…}` is followed by what stood behind the braces.
        pattern(part).replace_all(&text, " ").into_owned()
    });
    let words = pattern(r"[a-zA-Z_:][a-zA-Z0-9_:]*\s*\(?");
    let words = words.find_iter(&bare).map(|word| word.as_str());
    let keywords = ["and", "or", "unless", "by", "on", "without", "ignoring", "bool", "offset", "group_left"];
    words
        .filter(|word| !word.ends_with('('))
        .map(str::trim)
        .filter(|word| !keywords.contains(word))
        .map(str::to_owned)
        .collect()
}

/// Whether an expression can have this unit, judged by the names in it, whose endings are units (Prometheus, "Metric
/// and label naming"). Values alone would not tell milliseconds from seconds.
///
/// # Errors
/// Says what the expression lacks.
pub fn fits_names(unit: &str, expr: &str) -> Result<(), String> {
    let names = metrics(expr);
    let any = |part: &str| names.iter().any(|name| name.contains(part));
    let (fits, wanted) = match unit {
        // postgres_exporter tells a duration in seconds without saying so.
        "s" => (
            any("_seconds") || any("_duration") || expr.contains("time()"),
            "a metric in seconds (_seconds, _duration)",
        ),
        "bytes" => (any("_bytes"), "a metric in bytes (_bytes)"),
        "percentunit" => {
            (any("ratio") || expr.contains('/') || expr.contains("avg"), "a ratio, a quotient or a mean")
        }
        "reqps" => (any("requests"), "a metric of requests"),
        "ops" => (expr.contains("rate("), "a rate"),
        "short" => (true, ""),
        other => return Err(format!("nobody says what values of unit {other:?} can be")),
    };
    if fits { Ok(()) } else { Err(format!("its unit is {unit:?}, but it has not {wanted}")) }
}

/// The largest rate that a development stack reaches, in events a second: bare Rocket answers some 90 000.
const LARGEST_RATE: f64 = 1e6;

/// The largest size: a terabyte, more than a laptop's disk.
const LARGEST_SIZE: f64 = 1e12;

/// The smallest size that something of a stack has: Postgres' and Redis' smallest unit is a page or a kilobyte.
const SMALLEST_SIZE: f64 = 1024.0;

/// The largest number of anything else: far below a time in seconds since 1970, which nothing counts.
const LARGEST_NUMBER: f64 = 1e9;

/// Holds values to their unit. `age` is how long the stack has lived: no duration that it measured can be longer.
///
/// # Errors
/// Says what is wrong: no value, only NaN, or the value that cannot be.
pub fn judge(question: &Question<'_>, values: &[f64], age: Duration) -> Result<(), String> {
    if values.is_empty() {
        return Err("it is empty".to_owned());
    }
    let numbers: Vec<f64> = values.iter().copied().filter(|value| !value.is_nan()).collect();
    let (Some(least), Some(most)) =
        (numbers.iter().copied().reduce(f64::min), numbers.iter().copied().reduce(f64::max))
    else {
        return Err("it is NaN and nothing else".to_owned());
    };
    let Some(unit) = question.unit else { return Ok(()) };
    let bound = question.most.unwrap_or(match unit {
        "percentunit" => 1.0,
        "s" => age.as_secs_f64(),
        "bytes" => LARGEST_SIZE,
        "reqps" | "ops" => LARGEST_RATE,
        _ => LARGEST_NUMBER,
    });
    // Computed from floating-point samples.
    if least < 0.0 || most > bound * (1.0 + 1e-9) {
        return Err(format!("it goes from {least} to {most}, expected 0 to {bound} ({unit})"));
    }
    if unit == "bytes" && most < SMALLEST_SIZE {
        return Err(format!("its largest value is {most}, expected bytes"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Question, Window, as_grafana_asks, fits_names, judge, metrics, questions, without_default};

    const WINDOW: Window = Window {
        range: Duration::from_secs(1800),
        step: Duration::from_secs(5),
        scrape: Duration::from_secs(5),
    };

    #[test]
    fn variables_are_what_grafana_makes_of_them() {
        let asked = |expr| as_grafana_asks(expr, WINDOW);
        assert_eq!(asked("rate(a[$__rate_interval])").unwrap(), "rate(a[20s])");
        assert_eq!(asked("rate(a[$__interval]) + b[$__range]").unwrap(), "rate(a[5s]) + b[1800s]");
        let coarse = Window { step: Duration::from_secs(60), ..WINDOW };
        assert_eq!(as_grafana_asks("a[$__rate_interval]", coarse).unwrap(), "a[65s]");
        assert_eq!(asked("a{instance=\"$instance\"}").unwrap_err(), "nothing sets $instance");
        assert_eq!(asked("a{instance=\"${instance}\"}").unwrap_err(), "nothing sets ${instance}");
    }

    #[test]
    fn the_metrics_of_an_expression_are_found() {
        for (expr, expected) in [
            ("sum by (job) (rate(a_total{x=~\"b_c\"}[5m]))", vec!["a_total"]),
            (
                "(time() - start_seconds{job=\"x\"}) * on (instance) group_left (version) info",
                vec!["info", "start_seconds"],
            ),
            ("service:a:rate1m > 0 or 0 * b and c unless d", vec!["b", "c", "d", "service:a:rate1m"]),
            ("vector(2)", vec![]),
            ("sum(pg_size_bytes) / (1 > 0)", vec!["pg_size_bytes"]),
            ("128 * 1024 ^ 2", vec![]),
        ] {
            assert_eq!(metrics(expr).into_iter().collect::<Vec<_>>(), expected, "{expr}");
        }
        assert_eq!(without_default("count(a) or vector(0)"), "count(a)");
        assert_eq!(without_default("a or b"), "a or b");
    }

    #[test]
    fn a_unit_is_known_by_the_names() {
        for (unit, expr) in [
            ("s", "a_seconds:p95_1m"),
            ("s", "time() - x"),
            ("bytes", "sum(a_bytes)"),
            ("percentunit", "a / b"),
            ("reqps", "rate(a_requests_total[1m])"),
            ("ops", "rate(a[1m])"),
            ("short", "a"),
        ] {
            assert_eq!(fits_names(unit, expr), Ok(()), "{unit} {expr}");
        }
        for (unit, expr) in [
            ("s", "a_milliseconds"),
            ("bytes", "a_kilobytes"),
            ("percentunit", "a"),
            ("reqps", "rate(a_commands_total[1m])"),
            ("ops", "a_total"),
            ("ms", "a_seconds * 1000"),
        ] {
            assert!(fits_names(unit, expr).is_err(), "{unit} {expr}");
        }
    }

    #[test]
    fn values_are_held_to_their_unit() {
        let judged = |unit, most, values: &[f64]| {
            let question = Question { shown_by: "p", expr: "a", unit, instant: false, most };
            judge(&question, values, Duration::from_secs(100))
        };
        let nan = f64::NAN;
        for (unit, most, values) in [
            (Some("percentunit"), None, &[0.0, 1.0, nan][..]),
            (Some("percentunit"), Some(10.0), &[3.0]),
            (Some("s"), None, &[0.000_02, 99.0]),
            (Some("bytes"), None, &[0.0, 8192.0]),
            (Some("bytes"), None, &[1024.0]),
            (Some("bytes"), None, &[5e9]),
            (Some("reqps"), None, &[0.0]),
            (None, None, &[-1.0]),
        ] {
            assert_eq!(judged(unit, most, values), Ok(()), "{unit:?} {values:?}");
        }
        for (unit, values, message) in [
            (Some("short"), &[][..], "it is empty"),
            (Some("short"), &[nan, nan], "it is NaN and nothing else"),
            (None, &[], "it is empty"),
            (Some("percentunit"), &[0.5, 1.5], "it goes from 0.5 to 1.5, expected 0 to 1 (percentunit)"),
            (Some("percentunit"), &[0.5, 93.0], "it goes from 0.5 to 93, expected 0 to 1 (percentunit)"),
            (Some("s"), &[0.1, 250.0], "it goes from 0.1 to 250, expected 0 to 100 (s)"),
            (Some("s"), &[f64::INFINITY], "it goes from inf to inf, expected 0 to 100 (s)"),
            (Some("bytes"), &[64.0, 12.0], "its largest value is 64, expected bytes"),
            (Some("ops"), &[-0.1, 1.0], "it goes from -0.1 to 1, expected 0 to 1000000 (ops)"),
            (
                Some("short"),
                &[1.7e9],
                "it goes from 1700000000 to 1700000000, expected 0 to 1000000000 (short)",
            ),
        ] {
            assert_eq!(judged(unit, None, values).unwrap_err(), message);
        }
    }

    #[test]
    fn every_expression_comes_with_what_is_known_of_it() {
        let dashboard = crate::dashboards::parse(
            "
uid: u
title: T
description: d
annotations: [{name: Start, expr: changes(x), text: t, color: blue}]
rows:
  - title: R
    panels:
      - {title: Heat, description: d, unit: s, kind: heatmap, queries: [{expr: a}]}
      - {title: Table, description: d, unit: s, kind: table, most: 5, queries: [{expr: b}]}
",
        )
        .unwrap();
        let found = questions(&dashboard);
        let of = |index: usize| (found[index].unit, found[index].instant, found[index].most);
        assert_eq!(of(0), (Some("short"), false, None));
        assert_eq!(of(1), (Some("s"), true, Some(5.0)));
        assert_eq!(of(2), (None, false, None));
    }
}
