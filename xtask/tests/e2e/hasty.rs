//! Prometheus' configuration and rules with short times: what takes the stack's own Prometheus half an hour to notice and
//! to forget, one that reads these does in a minute. Thresholds, expressions and names stay; only durations change, so a
//! rule `…rate5m` is then over ten seconds. Pure: text in, text out.

use std::time::Duration;

use regex_lite::{Captures, Regex};
use serde_json::Value;

/// Half an hour becomes a minute.
const FACTOR: u32 = 30;

/// How often such a Prometheus looks for targets, computes, and scrapes what says how often it wants to be: the service.
const INTERVAL: Duration = Duration::from_secs(1);

/// How often it scrapes the others, and how long each may take: Postgres' exporter asks a dozen questions, which has been seen
/// to take 0.9 s on two cores with a load of 20. An alert that wants several scrapes in a row would wait for a quieter moment.
const OTHERS: Duration = Duration::from_secs(2);

/// The shortest range: enough samples for a rate, also when a busy machine misses some.
const SHORTEST_RANGE: Duration = Duration::from_secs(5);

/// A file of rules: `for` and the ranges in brackets are divided, ranges down to [`SHORTEST_RANGE`].
pub(crate) fn rules(text: &str) -> String {
    let mut document = parse(text);
    for group in list(&mut document["groups"]) {
        for rule in list(&mut group["rules"]) {
            if let Some(time) = rule.get("for").and_then(Value::as_str) {
                rule["for"] = written(read(time) / FACTOR).into();
            }
            let expr = rule["expr"].as_str().expect("a rule has an expression");
            rule["expr"] = ranges(expr).into();
        }
    }
    document.to_string()
}

/// The main file: everything is looked at each second or two.
pub(crate) fn configuration(text: &str) -> String {
    let mut document = parse(text);
    hasten(&mut document);
    for time in ["scrape_interval", "scrape_timeout"] {
        document["global"][time] = written(OTHERS).into();
    }
    document.to_string()
}

fn hasten(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                if name.ends_with("_interval") || name == "scrape_timeout" {
                    *field = written(INTERVAL).into();
                } else {
                    hasten(field);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(hasten),
        _ => {}
    }
}

fn ranges(expr: &str) -> String {
    let range = Regex::new(r"\[([^\]]*)\]").expect("a pattern of ours");
    let shorter =
        |found: &Captures<'_>| format!("[{}]", written((read(&found[1]) / FACTOR).max(SHORTEST_RANGE)));
    range.replace_all(expr, shorter).into_owned()
}

/// Prometheus' own way to write durations, with one unit.
fn read(time: &str) -> Duration {
    let end = time.find(|c: char| !c.is_ascii_digit()).unwrap_or(time.len());
    let number: u64 = time[..end].parse().unwrap_or_else(|error| panic!("duration {time:?}: {error}"));
    match &time[end..] {
        "s" => Duration::from_secs(number),
        "m" => Duration::from_secs(number * 60),
        "h" => Duration::from_secs(number * 3600),
        other => panic!("duration {time:?} has the unit {other:?}, expected s, m or h"),
    }
}

fn written(time: Duration) -> String {
    format!("{}ms", time.as_millis())
}

fn parse(text: &str) -> Value {
    serde_saphyr::from_str(text).expect("Prometheus reads this file too")
}

fn list(value: &mut Value) -> &mut Vec<Value> {
    value.as_array_mut().expect("a list")
}

#[test]
fn times_are_divided_and_nothing_else_is() {
    let text = "
groups:
  - name: g
    rules:
      - {record: 'a:b:rate1h', expr: 'sum(rate(b{c!~\"x\"}[1h])) > 14.4 * 0.001'}
      - {alert: A, expr: 'rate(b[1m]) > 0', for: 15s, labels: {severity: page}}
";
    let shorter: Value = serde_json::from_str(&rules(text)).expect("JSON");
    let rule = |index: usize| shorter["groups"][0]["rules"][index].clone();
    assert_eq!(rule(0)["record"], "a:b:rate1h");
    assert_eq!(rule(0)["expr"], "sum(rate(b{c!~\"x\"}[120000ms])) > 14.4 * 0.001");
    assert_eq!(rule(1)["expr"], "rate(b[5000ms]) > 0");
    assert_eq!(
        (rule(1)["for"].clone(), rule(1)["labels"]["severity"].clone()),
        ("500ms".into(), "page".into())
    );
}

#[test]
fn everything_is_looked_at_each_second_or_two() {
    let text = "{global: {scrape_interval: 5s, scrape_timeout: 4s, evaluation_interval: 5s}, scrape_configs: [{job_name: j, \
                scrape_timeout: 2s, dns_sd_configs: [{names: [n], refresh_interval: 5s}], sample_limit: 5000}]}";
    let shorter: Value = serde_json::from_str(&configuration(text)).expect("JSON");
    assert_eq!(shorter["global"]["scrape_interval"], "2000ms");
    assert_eq!(shorter["global"]["scrape_timeout"], "2000ms");
    assert_eq!(shorter["global"]["evaluation_interval"], "1000ms");
    let job = &shorter["scrape_configs"][0];
    assert_eq!(job["scrape_timeout"], "1000ms");
    assert_eq!(job["dns_sd_configs"][0]["refresh_interval"], "1000ms");
    assert_eq!((job["sample_limit"].clone(), job["job_name"].clone()), (5000.into(), "j".into()));
}
