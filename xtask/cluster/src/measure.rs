//! What a load was answered with: rates, latencies, failures, replicas. Pure but for the clock that it is begun by.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::Serialize;
use xtask::ui::{Answer, Cell, Role, Style, Table};

use crate::api::Scaling;

/// One request's end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sample {
    /// It was answered.
    Answered {
        /// The status.
        status: u16,
        /// From before it was sent to the end of its body.
        took: Duration,
    },
    /// There was no answer, and why.
    Failed(String),
    /// It was not sent: too many were under way.
    Dropped,
}

/// Kinds of failures that are told apart; the messages hold addresses of connections, so there may be many.
const REASONS: usize = 5;

/// All of it.
#[derive(Debug)]
pub struct Measured {
    begun: Instant,
    took: Duration,
    /// In microseconds, of every request that was answered below 500.
    latencies: Vec<u32>,
    statuses: BTreeMap<u16, u64>,
    failed: u64,
    reasons: BTreeMap<String, u64>,
    dropped: u64,
    second: Vec<u32>,
    last_second: (usize, u32, u32),
    scaling: Option<Scaling>,
    replicas: Vec<i32>,
}

impl Default for Measured {
    fn default() -> Self {
        Self {
            begun: Instant::now(),
            took: Duration::ZERO,
            latencies: Vec::new(),
            statuses: BTreeMap::new(),
            failed: 0,
            reasons: BTreeMap::new(),
            dropped: 0,
            second: Vec::new(),
            last_second: (0, 0, 0),
            scaling: None,
            replicas: Vec::new(),
        }
    }
}

impl Measured {
    /// Adds a request.
    pub fn add(&mut self, sample: Sample) {
        match sample {
            Sample::Answered { status, took } => {
                *self.statuses.entry(status).or_default() += 1;
                if status >= 500 {
                    self.failed += 1;
                    return;
                }
                let micros = u32::try_from(took.as_micros()).unwrap_or(u32::MAX);
                self.latencies.push(micros);
                self.second.push(micros);
            }
            Sample::Failed(why) => {
                self.failed += 1;
                if self.reasons.len() < REASONS || self.reasons.contains_key(&why) {
                    *self.reasons.entry(why).or_default() += 1;
                }
            }
            Sample::Dropped => self.dropped += 1,
        }
    }

    /// Ends a second of the live view, with the autoscaler's numbers when there are any.
    pub fn look(&mut self, scaling: Option<Scaling>) {
        self.second.sort_unstable();
        self.last_second = (self.second.len(), share(&self.second, 50), share(&self.second, 99));
        self.second.clear();
        if let Some(seen) = scaling {
            if self.replicas.last() != Some(&seen.current) {
                self.replicas.push(seen.current);
            }
            self.scaling = Some(seen);
        }
    }

    /// Ends it.
    pub fn end(&mut self) {
        self.took = self.begun.elapsed();
        self.latencies.sort_unstable();
    }

    /// Requests that were answered below 500.
    pub fn answered(&self) -> usize {
        self.latencies.len()
    }

    /// The last second on one line.
    pub fn live(&self) -> String {
        let (rate, middle, high) = self.last_second;
        let errors = self.failed;
        let pods = self.scaling.map_or_else(String::new, |seen| {
            let cpu = seen.cpu_percent.map_or_else(|| "unknown".to_owned(), |percent| format!("{percent} %"));
            format!(", {} pods (wanted {}, CPU {cpu})", seen.current, seen.desired)
        });
        format!("{rate}/s, p50 {}, p99 {}, {errors} failed{pods}", brief(middle), brief(high))
    }

    /// All of it on one line.
    pub fn told(&self) -> String {
        format!("{} answered, {} failed", self.answered(), self.failed)
    }

    #[expect(clippy::cast_precision_loss, reason = "a rate is shown without decimals")]
    fn rate(&self) -> f64 {
        self.latencies.len() as f64 / self.took.as_secs_f64().max(0.001)
    }
}

/// The value that so many percent are not above; the values are sorted.
fn share(sorted: &[u32], percent: usize) -> u32 {
    let place = (sorted.len() * percent).div_ceil(100).max(1) - 1;
    sorted.get(place).copied().unwrap_or(0)
}

/// For the live view: with decimals only where they say something.
fn brief(micros: u32) -> String {
    if micros < 10_000 { milliseconds(micros) } else { format!("{:.0} ms", f64::from(micros) / 1000.0) }
}

fn milliseconds(micros: u32) -> String {
    format!("{:.1} ms", f64::from(micros) / 1000.0)
}

impl Serialize for Measured {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serde_json::json!({
            "seconds": (self.took.as_secs_f64() * 1000.0).round() / 1000.0,
            "answered": self.answered(),
            "rate": self.rate().round(),
            "failed": self.failed,
            "dropped": self.dropped,
            "statuses": self.statuses,
            "reasons": self.reasons,
            "p50_ms": f64::from(share(&self.latencies, 50)) / 1000.0,
            "p95_ms": f64::from(share(&self.latencies, 95)) / 1000.0,
            "p99_ms": f64::from(share(&self.latencies, 99)) / 1000.0,
            "max_ms": f64::from(share(&self.latencies, 100)) / 1000.0,
            "replicas": self.replicas,
        })
        .serialize(serializer)
    }
}

impl Answer for Measured {
    fn human(&self, style: Style, columns: Option<usize>) -> Vec<String> {
        let mut table =
            Table::new(["ANSWERED", "RATE", "FAILED", "NOT SENT", "P50", "P95", "P99", "MAX", "PODS"]);
        let pods: Vec<String> = self.replicas.iter().map(ToString::to_string).collect();
        let role = if self.failed == 0 { Role::Good } else { Role::Bad };
        table.row([
            Cell::plain(self.answered().to_string()),
            Cell::plain(format!("{:.0}/s", self.rate())),
            Cell::new(role, self.failed.to_string()),
            Cell::plain(self.dropped.to_string()),
            Cell::plain(milliseconds(share(&self.latencies, 50))),
            Cell::plain(milliseconds(share(&self.latencies, 95))),
            Cell::plain(milliseconds(share(&self.latencies, 99))),
            Cell::plain(milliseconds(share(&self.latencies, 100))),
            Cell::plain(pods.join(" → ")),
        ]);
        let mut lines = table.lines(style, columns);
        let statuses = self.statuses.iter().filter(|(status, _)| **status >= 500);
        lines.extend(statuses.map(|(status, count)| format!("{count} × status {status}")));
        lines.extend(self.reasons.iter().map(|(why, count)| format!("{count} × {why}")));
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_of_the_sorted_values() {
        let hundred: Vec<u32> = (1..=100).collect();
        for (percent, expected) in [(50, 50), (95, 95), (99, 99), (100, 100)] {
            assert_eq!(share(&hundred, percent), expected);
        }
        assert_eq!(share(&[7], 50), 7);
        assert_eq!(share(&[], 99), 0);
    }

    #[test]
    fn what_failed_is_counted_apart() {
        let mut measured = Measured::default();
        let took = Duration::from_millis(2);
        measured.add(Sample::Answered { status: 200, took });
        measured.add(Sample::Answered { status: 503, took });
        measured.add(Sample::Failed("reset".to_owned()));
        measured.add(Sample::Dropped);
        measured.look(Some(Scaling { current: 3, desired: 5, cpu_percent: Some(140) }));
        assert_eq!(measured.live(), "1/s, p50 2.0 ms, p99 2.0 ms, 2 failed, 3 pods (wanted 5, CPU 140 %)");
        measured.add(Sample::Answered { status: 200, took: Duration::from_micros(152_700) });
        measured.look(Some(Scaling { current: 5, desired: 5, cpu_percent: None }));
        assert_eq!(measured.live(), "1/s, p50 153 ms, p99 153 ms, 2 failed, 5 pods (wanted 5, CPU unknown)");
        measured.end();
        assert_eq!(measured.told(), "2 answered, 2 failed");
        assert_eq!(serde_json::to_value(&measured).expect("JSON")["replicas"], serde_json::json!([3, 5]));
    }
}
