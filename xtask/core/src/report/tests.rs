//! The page of made-up answers: what stands on it, what does not, and that nothing of the data becomes markup.

use std::collections::BTreeSet;

use super::history::{fired, started};
use super::panels::panels;
use super::starts::{Ending, Start};
use super::{Question, Report, page, questions, starts};
use crate::series::{Point, Series, Span};

/// 2026-11-25T16:00:00Z, ten minutes, few points.
const SPAN: Span = Span { start: 1_795_622_400, end: 1_795_623_000, step: 60 };

fn series(labels: &[(&str, &str)], values: &[f64]) -> Series {
    let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let at = (SPAN.start..=SPAN.end).step_by(60).map(super::scale::seconds);
    Series { labels, points: at.zip(values).map(|(at, value)| Point { at, value: *value }).collect() }
}

/// Like `series`, with a hole in the middle and a point alone after it.
fn broken(labels: &[(&str, &str)], values: &[f64]) -> Series {
    let mut series = series(labels, values);
    series.points.drain(3..8);
    series.points.truncate(4);
    series
}

/// What a Prometheus says that has seen some traffic, an outage, a restart and an alert. Questions are known by a part of
/// them, the first that fits.
fn answer(expr: &str) -> Vec<Series> {
    let falling = [12.0, 11.0, 10.0, 9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0];
    let started = super::scale::seconds(SPAN.start + 300);
    let first = super::scale::seconds(SPAN.start - 900);
    let fires = [1.0; 3];
    let table: [(&str, Vec<Series>); 14] = [
        (
            "status:app_requests",
            vec![series(&[("class", "2xx")], &falling), series(&[("class", "5xx")], &[0.0, 2.0, 1.0])],
        ),
        ("max_over_time(service:app_request_errors", vec![series(&[], &[0.0, 0.002, f64::NAN, 0.001])]),
        (
            "_bucket:rate1m",
            vec![
                series(&[("le", "0.001")], &[0.0, 1.0, 2.0]),
                series(&[("le", "0.01")], &[3.0, 3.0, 3.0]),
                series(&[("le", "+Inf")], &[3.0, 3.0, 3.0]),
            ],
        ),
        (":p50_1m", vec![broken(&[], &falling.map(|value| value / 9_000.0))]),
        ("(service:app_request_latency_seconds:p9", vec![series(&[], &falling.map(|value| value / 900.0))]),
        ("in_flight", vec![series(&[], &falling)]),
        (
            "ALERTS",
            vec![series(
                &[
                    ("alertname", "PostgresUnreachable"),
                    ("severity", "page"),
                    ("job", "service"),
                    ("instance", "a:8000"),
                ],
                &fires,
            )],
        ),
        ("process_resident_memory", vec![series(&[("part", "service")], &[9.5e6, 12.0e6])]),
        (
            "increase(app_requests_total{endpoint!~\"/health|/ready|/metrics\"}[",
            vec![series(&[], &[12_345.4])],
        ),
        ("status=~\"5..\"", vec![series(&[], &[37.0])]),
        ("histogram_quantile", vec![series(&[], &[0.0042])]),
        (
            "process_start_time",
            vec![
                series(
                    &[("job", "service"), ("instance", "a:8000")],
                    &[first, first, started, started + 1.0],
                ),
                series(&[("job", "redis"), ("instance", "r:9121")], &[first, started]),
            ],
        ),
        (
            "app_build_info",
            vec![series(&[("version", "1.0")], &[1.0]), series(&[("version", "1.1")], &[1.0])],
        ),
        ("service:app_request", vec![series(&[], &[0.0, 0.02, 0.01])]),
    ];
    table.into_iter().find(|(part, _)| expr.contains(part)).map(|(_, series)| series).unwrap_or_default()
}

fn report(answer: impl Fn(&Question) -> super::Answer) -> Report {
    let start = |at, took, ending, steps, slowest: &[(&str, f64)]| Start {
        at,
        took,
        ending,
        steps,
        slowest: slowest.iter().map(|(step, took)| ((*step).to_owned(), *took)).collect(),
    };
    Report {
        project: "shop".to_owned(),
        version: "0.1.0",
        span: SPAN,
        answers: questions(SPAN).into_iter().map(|question| (question.clone(), answer(&question))).collect(),
        starts: vec![
            start(SPAN.start + 60, Some(0.05), Ending::Up, 0, &[]),
            start(
                SPAN.start,
                Some(12.5),
                Ending::Up,
                20,
                &[("await postgres healthy", 7.5), ("build image x", 2.0)],
            ),
            start(SPAN.start - 86_400, Some(3.0), Ending::Failed("port-taken".to_owned()), 1, &[]),
            start(SPAN.start - 86_500, None, Ending::Unfinished, 1, &[]),
        ],
    }
}

#[test]
fn a_page_with_everything() {
    let page = page(&report(|question| Ok(answer(&question.expr))));
    // The style sheet has no data, and is read in its own file.
    let (before, rest) = page.split_once("<style>").expect("it has one");
    let (_, after) = rest.split_once("</style>").expect("it ends");
    insta::assert_snapshot!("page", format!("{before}{after}").replace("><", ">\n<"));
}

#[test]
fn without_prometheus_every_section_says_why() {
    let page = page(&report(|_| Err("service prometheus is exited".to_owned())));
    for panel in panels(SPAN) {
        let told = format!("data-absent=\"{}\">No data: service prometheus is exited.", panel.id);
        assert!(page.contains(&told), "{told}");
    }
    for id in ["starts", "alerts"] {
        assert!(
            page.contains(&format!("data-absent=\"{id}\">No data: service prometheus is exited.")),
            "{id}"
        );
    }
    assert_eq!(page.matches("<td class=\"figure\">–</td>").count(), 6, "no figure is made up");
    // What does not come from Prometheus is there all the same.
    assert_eq!(page.matches("<svg").count(), 1);
    assert!(page.contains("data-picture=\"startup\""));
}

#[test]
fn without_data_every_section_says_why() {
    let mut report = report(|_| Ok(Vec::new()));
    report.starts.clear();
    let page = page(&report);
    assert_eq!(page.matches("<svg").count(), 0);
    assert_eq!(page.matches("data-absent=").count(), panels(SPAN).len() + 3);
    assert!(page.contains("No data: no request came after Prometheus first looked at the service."));
    assert!(page.contains("No data: no alert fired in this time."));
}

#[test]
fn nothing_of_the_data_becomes_markup_or_a_request() {
    let evil = "</title></style><script>\"'&";
    let mut report = report(|question| {
        let mut answer = answer(&question.expr);
        answer.iter_mut().flat_map(|series| series.labels.values_mut()).for_each(|label| {
            // Bounds of buckets must be numbers to be drawn.
            if label.parse::<f64>().is_err() {
                *label = evil.to_owned();
            }
        });
        Ok(answer)
    });
    evil.clone_into(&mut report.project);
    report.starts[0].slowest.push((evil.to_owned(), 1.0));
    let page = page(&report);
    assert!(page.matches("&lt;script").count() > 5, "it is told");
    assert!(!page.contains("<script"), "as a text");
    for request in [" src=", " href=", "url(", "@import", "<link", "<img"] {
        assert!(!page.contains(request), "{request}");
    }
}

#[test]
fn a_start_is_told_once_and_only_within_the_time() {
    let starts = started(&answer("process_start_time"), SPAN);
    let told: Vec<_> = starts.iter().map(|start| (start.part.as_str(), start.at)).collect();
    let at = super::scale::seconds(SPAN.start + 300);
    assert_eq!(told, [("service", at), ("redis exporter", at)]);
}

#[test]
fn an_alert_that_fires_again_is_told_twice() {
    let mut alert = series(&[("alertname", "A")], &[1.0; 11]);
    alert.points.drain(2..8);
    let told: Vec<_> = fired(&[alert], SPAN).iter().map(|fired| (fired.alert.clone(), fired.still)).collect();
    assert_eq!(told, [("A".to_owned(), false), ("A".to_owned(), true)]);
}

#[test]
fn starts_are_read_from_run_logs() {
    let line = |second: u32, event: &str| {
        format!("{{\"timestamp\":\"2026-11-25T16:00:{second:02}.500Z\",{event}}}\n")
    };
    let began = line(0, r#""event":"run-started","command":"dev","directory":"/x""#);
    let step = |second, title: &str, took: f64| {
        line(
            second,
            &format!(
                r#""event":"step-finished","step":1,"title":"{title}","outcome":{{"result":"done"}},"took":{took}"#
            ),
        )
    };
    let steps = step(1, "one", 0.5) + &step(2, "two", 2.5) + &step(3, "three", 1.0) + &step(4, "four", 0.1);
    let idle = line(
        5,
        r#""event":"step-finished","step":9,"title":"idle","outcome":{"result":"unchanged"},"took":9.0"#,
    );
    let up = line(6, r#""event":"summary","services":[]"#);
    let later = step(30, "a save", 20.0);
    let failed = line(7, r#""event":"run-finished","took":6.5,"failure":"port-taken","exit":4"#);
    let dry = line(1, r#""event":"run-finished","took":0.1,"exit":0"#);

    let start = starts::read(&format!("{began}{steps}{idle}{up}{later}")).expect("a start");
    assert_eq!((start.at, start.took, start.ending, start.steps), (SPAN.start, Some(6.0), Ending::Up, 4));
    let names: Vec<&str> = start.slowest.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["two", "three", "one"]);

    let start = starts::read(&format!("{began}{failed}")).expect("a start");
    assert_eq!((start.took, start.ending), (Some(6.5), Ending::Failed("port-taken".to_owned())));

    let cut = starts::read(&format!("{began}{steps}{{\"timest")).expect("a start");
    assert_eq!((cut.took, cut.ending, cut.steps), (None, Ending::Unfinished, 4));

    assert_eq!(starts::read(&format!("{began}{dry}")), None, "`--dry-run` is no start");
    assert_eq!(starts::read(""), None);
    assert_eq!(starts::read("no log"), None);
}

#[test]
fn a_report_is_about_the_time_before_its_end() {
    let asked = super::span(SPAN.end, 3_600);
    assert_eq!((asked.end, asked.start + 3_600), (SPAN.end, SPAN.end));
    let totals = super::panels::Totals::of(SPAN);
    for part in ["[600s]", "> time() - 600"] {
        assert!(totals.requests.contains(part), "{}", totals.requests);
    }
}

#[test]
fn labels_of_time_do_not_lie_on_one_another() {
    let frame = super::picture::Frame::of_rows(SPAN, 300.0, 1.0);
    let mut markup = super::markup::Markup::default();
    frame.draw_times(&mut markup);
    let text = markup.into_text();
    let labels = text.split("class=\"time\" x=\"").skip(1);
    let places: Vec<f64> =
        labels.map(|rest| rest.split('"').next().and_then(|x| x.parse().ok()).expect("a place")).collect();
    assert!(places.len() > 1 && places.is_sorted_by(|one, next| next - one >= 52.0), "{places:?}");
}

#[test]
fn every_picture_begins_a_line_of_the_source() {
    let page = page(&report(|question| Ok(answer(&question.expr))));
    let pictures = page.matches("<svg").count();
    assert_eq!(page.lines().filter(|line| line.contains("<svg")).count(), pictures);
}

#[test]
fn every_question_is_asked_once() {
    let mut seen = BTreeSet::new();
    for question in questions(super::span(SPAN.end, 3_600)) {
        assert!(!question.expr.contains("$over") && !question.expr.contains("$people"), "{question:?}");
        assert!(seen.insert(question.clone()), "{question:?}");
    }
}
