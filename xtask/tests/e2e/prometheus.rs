//! What a real Prometheus answers: values, rules, the names of its metrics.
//!
//! Must not: know a metric by name, but for what Prometheus says of itself (`ALERTS`).

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::http;

/// A Prometheus and when it was first asked.
#[derive(Debug)]
pub(crate) struct Prometheus {
    base: String,
    begun: SystemTime,
}

/// A rule as Prometheus sees it.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) name: String,
    pub(crate) records: bool,
    /// What went wrong when it was last computed; empty when nothing did.
    pub(crate) error: String,
}

impl Prometheus {
    /// The one at this port.
    pub(crate) fn at(port: &str) -> Self {
        Self { base: format!("http://127.0.0.1:{port}"), begun: SystemTime::now() }
    }

    /// How long it has been known.
    pub(crate) fn age(&self) -> Duration {
        self.begun.elapsed().expect("a clock that goes forward")
    }

    fn ask(&self, what: &str, parameters: &[(&str, &str)]) -> Result<Value, String> {
        let answer = http::try_query(&format!("{}/api/v1/{what}", self.base), parameters)?;
        // One that starts says so in plain text.
        let answer: Value = serde_json::from_str(&answer.body).map_err(|_| answer.body)?;
        if answer["status"] == "success" {
            return Ok(answer["data"].clone());
        }
        Err(answer["error"].as_str().unwrap_or("an answer that is neither success nor error").to_owned())
    }

    /// The values that an expression has now.
    pub(crate) fn now(&self, expr: &str) -> Result<Vec<f64>, String> {
        let answer = self.ask("query", &[("query", expr)])?;
        Ok(series(&answer).iter().filter_map(|series| number(&series["value"])).collect())
    }

    /// The values that an expression had since the beginning, of all its series.
    pub(crate) fn since_the_beginning(&self, expr: &str, step: Duration) -> Result<Vec<f64>, String> {
        let seconds = |time: SystemTime| {
            time.duration_since(UNIX_EPOCH).expect("a clock that is set").as_secs_f64().to_string()
        };
        let (start, end, step) =
            (seconds(self.begun), seconds(SystemTime::now()), step.as_secs_f64().to_string());
        let answer =
            self.ask("query_range", &[("query", expr), ("start", &start), ("end", &end), ("step", &step)])?;
        let values = |series: &Value| series["values"].as_array().cloned().unwrap_or_default();
        Ok(series(&answer).iter().flat_map(values).filter_map(|value| number(&value)).collect())
    }

    /// Whether an expression has a value now. A Prometheus that does not answer has none.
    pub(crate) fn has(&self, expr: &str) -> bool {
        self.now(expr).is_ok_and(|values| !values.is_empty())
    }

    /// What fires now, as `name{job}`.
    pub(crate) fn firing(&self) -> Result<BTreeSet<String>, String> {
        let answer = self.ask("query", &[("query", "ALERTS{alertstate=\"firing\"}")])?;
        let label = |series: &Value, name: &str| series["metric"][name].as_str().unwrap_or("").to_owned();
        let name = |series| format!("{}{{{}}}", label(series, "alertname"), label(series, "job"));
        Ok(series(&answer).iter().map(name).collect())
    }

    /// Its rules.
    pub(crate) fn rules(&self) -> Result<Vec<Rule>, String> {
        let answer = self.ask("rules", &[])?;
        let groups = answer["groups"].as_array().cloned().unwrap_or_default();
        let rules = groups.iter().flat_map(|group| group["rules"].as_array().cloned().unwrap_or_default());
        let text = |rule: &Value, key: &str| rule[key].as_str().unwrap_or("").to_owned();
        let rule = |rule: Value| Rule {
            name: text(&rule, "name"),
            records: rule["type"] == "recording",
            error: text(&rule, "lastError"),
        };
        Ok(rules.map(rule).collect())
    }

    /// The names of all metrics it has ever seen.
    pub(crate) fn names(&self) -> Result<BTreeSet<String>, String> {
        let answer = self.ask("label/__name__/values", &[])?;
        let names = answer.as_array().cloned().unwrap_or_default();
        Ok(names.iter().filter_map(Value::as_str).map(str::to_owned).collect())
    }
}

fn series(answer: &Value) -> Vec<Value> {
    answer["result"].as_array().cloned().unwrap_or_default()
}

/// A value beside its time. Prometheus writes numbers as text: JSON has no NaN.
fn number(pair: &Value) -> Option<f64> {
    pair[1].as_str()?.parse().ok()
}
