//! The key figures at the top: what somebody who has ten seconds wants to know.
//!
//! Must not: draw pictures.

use super::Report;
use super::history::{Fired, Started};
use super::panels::{Minutes, Totals};
use super::scale::{clock, day, moment, seconds, whole};
use crate::quantity::{self, Unit};
use crate::series::{Point, Series};

/// The objective: the part of the requests that may fail (compose/prometheus/service.alerts.yml).
const OBJECTIVE: f64 = 0.001;
/// The time above which the service is called slow (as above, `ServiceSlow`).
const SLOW: f64 = 0.5;

/// One figure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Figure {
    /// What it is.
    pub(super) name: &'static str,
    /// The figure itself.
    pub(super) value: String,
    /// What goes with it.
    pub(super) remark: String,
    /// Whether that is as it should be, where that can be said.
    pub(super) well: Option<bool>,
}

impl Figure {
    fn new(name: &'static str, value: String, remark: String) -> Self {
        Self { name, value, remark, well: None }
    }

    /// One that nobody knows, and why.
    fn unknown(name: &'static str, why: &str) -> Self {
        Self::new(name, "–".to_owned(), why.to_owned())
    }

    fn judged(mut self, well: bool) -> Self {
        self.well = Some(well);
        self
    }
}

/// What stands for a figure that Prometheus does not tell.
const NOT_KNOWN: &str = "not known";

/// The figures of a report; of starts and alerts, as far as they are known.
pub(super) fn figures(report: &Report, starts: Option<&[Started]>, fired: Option<&[Fired]>) -> Vec<Figure> {
    let totals = Totals::of(report.span);
    let requests = report.number(&totals.requests, None);
    vec![
        all_requests(report, requests),
        errors(requests, report.number(&totals.errors, Some(0.0))),
        match report.number(&totals.p95, None) {
            Some(p95) => Figure::new(
                "p95",
                quantity::text(p95, Unit::Seconds),
                "95 of 100 requests are answered within".to_owned(),
            )
            .judged(p95 <= SLOW),
            None => Figure::unknown("p95", NOT_KNOWN),
        },
        worst_minute(report),
        all_starts(starts),
        alerts(fired),
    ]
}

fn all_requests(report: &Report, requests: Option<f64>) -> Figure {
    let Some(requests) = requests else { return Figure::unknown("Requests", NOT_KNOWN) };
    let rate = requests / seconds(report.span.end - report.span.start);
    let remark = format!("{} in the mean", quantity::text(rate, Unit::RequestsPerSecond));
    Figure::new("Requests", quantity::number(requests.round()), remark)
}

fn errors(requests: Option<f64>, failed: Option<f64>) -> Figure {
    const NAME: &str = "Error ratio";
    match requests.zip(failed) {
        None => Figure::unknown(NAME, NOT_KNOWN),
        Some((requests, _)) if requests <= 0.0 => Figure::unknown(NAME, "no requests"),
        Some((requests, failed)) => {
            let remark = format!("{} answered with 5xx; objective 0.1 %", quantity::number(failed.round()));
            let ratio = failed / requests;
            Figure::new(NAME, quantity::text(ratio, Unit::Ratio), remark).judged(ratio <= OBJECTIVE)
        }
    }
}

fn all_starts(starts: Option<&[Started]>) -> Figure {
    let Some(starts) = starts else { return Figure::unknown("Starts", NOT_KNOWN) };
    let of_service = starts.iter().filter(|start| start.part == "service").count();
    let remark = format!("of the service; {} of other parts", starts.len() - of_service);
    Figure::new("Starts", of_service.to_string(), remark)
}

fn alerts(fired: Option<&[Fired]>) -> Figure {
    let Some(fired) = fired else { return Figure::unknown("Alerts", NOT_KNOWN) };
    let still: Vec<&str> =
        fired.iter().filter(|alert| alert.still).map(|alert| alert.alert.as_str()).collect();
    let remark = if still.is_empty() {
        "none fires at the end".to_owned()
    } else {
        format!("fires still: {}", still.join(", "))
    };
    Figure::new("Alerts", fired.len().to_string(), remark).judged(still.is_empty())
}

/// The minute with most errors; without any, the slowest one.
fn worst_minute(report: &Report) -> Figure {
    const NAME: &str = "Worst minute";
    let minutes = Minutes::of(report.span);
    let points = |answer: Result<&[Series], &str>| -> Vec<Point> {
        let series = answer.ok().and_then(<[Series]>::first);
        let points = series.map(|series| series.points.clone()).unwrap_or_default();
        points.into_iter().filter(|point| point.value.is_finite()).collect()
    };
    let asked = report.over_time(&minutes.errors);
    let errors = points(asked);
    let latency = points(report.over_time(&minutes.p95));
    let most =
        |points: &[Point]| points.iter().copied().max_by(|one, other| one.value.total_cmp(&other.value));
    let at = |points: &[Point], at: f64| {
        points.iter().find(|point| point.at.total_cmp(&at).is_eq()).map(|point| point.value)
    };
    let failed = most(&errors).filter(|point| point.value > 0.0);
    let Some(worst) = failed.or_else(|| most(&latency)) else {
        return Figure::unknown(
            NAME,
            if asked.is_err() { NOT_KNOWN } else { "no requests that a rate tells of" },
        );
    };
    let ratio = at(&errors, worst.at).map(|ratio| format!("{} errors", quantity::text(ratio, Unit::Ratio)));
    let p95 = at(&latency, worst.at).map(|p95| format!("p95 {}", quantity::text(p95, Unit::Seconds)));
    let told: Vec<String> = ratio.into_iter().chain(p95).collect();
    // A point of a minute's rule is of the minute before it.
    let at = whole(worst.at).saturating_sub(60);
    let value = if day(at) == day(report.span.end) { clock(at) } else { moment(at) };
    Figure::new(NAME, value.strip_suffix(":00").unwrap_or(&value).to_owned(), told.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Answer, Question};
    use crate::series::Span;

    const SPAN: Span = Span { start: 1_795_622_400, end: 1_795_623_000, step: 60 };

    /// What is said of the worst minute when these are the values of each minute, the first one at the second.
    fn worst(errors: &[f64], latency: &[f64]) -> (String, String) {
        let answer = |values: &[f64]| -> Answer {
            let at = (SPAN.start + 60..).step_by(60).map(seconds);
            let points = at.zip(values).map(|(at, value)| Point { at, value: *value }).collect();
            Ok(vec![Series { points, ..Series::default() }])
        };
        let minutes = Minutes::of(SPAN);
        let asked = [(minutes.errors, errors), (minutes.p95, latency)];
        let answers = asked.map(|(query, values)| (Question::of(&query), answer(values))).into();
        let report = Report { project: String::new(), version: "", span: SPAN, answers, starts: Vec::new() };
        let figure = worst_minute(&report);
        (figure.value, figure.remark)
    }

    #[test]
    fn the_worst_minute_has_most_errors_or_is_the_slowest() {
        let told = |value: &str, remark: &str| (value.to_owned(), remark.to_owned());
        assert_eq!(worst(&[0.0, 0.5, 0.1], &[2.0, 0.1, 0.1]), told("16:01", "50 % errors, p95 100 ms"));
        assert_eq!(worst(&[0.0, 0.0, 0.0], &[0.1, 2.0, 0.1]), told("16:01", "0 % errors, p95 2 s"));
        assert_eq!(worst(&[], &[]), told("–", "no requests that a rate tells of"));
    }

    #[test]
    fn without_requests_there_is_no_ratio_of_errors() {
        assert_eq!(errors(Some(0.0), Some(0.0)), Figure::unknown("Error ratio", "no requests"));
        let some = errors(Some(1_000.0), Some(1.0));
        assert_eq!((some.value.as_str(), some.well), ("0.1 %", Some(true)));
        assert_eq!(errors(Some(1_000.0), Some(2.0)).well, Some(false));
        assert_eq!(errors(None, Some(0.0)), Figure::unknown("Error ratio", NOT_KNOWN));
    }

    #[test]
    fn starts_of_the_service_are_counted_apart() {
        let start = |part: &str| Started { part: part.to_owned(), instance: String::new(), at: 0.0 };
        let figure = all_starts(Some(&[start("service"), start("redis exporter"), start("service")]));
        assert_eq!(
            (figure.value.as_str(), figure.remark.as_str()),
            ("2", "of the service; 1 of other parts")
        );
    }
}
