//! What happened at which time, a row a name: processes that were started, alerts that fired.
//!
//! Must not: say whether that was bad.

use super::markup::Markup;
use super::picture::{Frame, ROW, picture, units};
use super::scale::{moment, seconds, whole};
use crate::series::{Series, Span};

/// How far two values of one start may differ, in seconds: a process computes its start from the machine's, to the second.
const SAME_START: f64 = 2.0;
/// How many lines of a table are shown: the picture has all.
const LINES: usize = 20;
/// How wide a letter of a row's name is in the mean, in a picture's units, with the larger letters of a narrow page.
const LETTER: f64 = 8.6;
/// How many letters of a row's name are shown.
const LETTERS: usize = 22;

/// A process that was started.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Started {
    /// The part of the stack that it is of.
    pub(super) part: String,
    /// Where it was seen.
    pub(super) instance: String,
    /// When, in seconds since 1970.
    pub(super) at: f64,
}

/// The starts within a time, the first one first.
pub(super) fn started(series: &[Series], span: Span) -> Vec<Started> {
    let mut starts: Vec<Started> = Vec::new();
    for series in series {
        for at in series.points.iter().map(|point| point.value).filter(|at| *at >= seconds(span.start)) {
            let part = match series.label("job") {
                watched @ ("postgres" | "redis") => format!("{watched} exporter"),
                part => part.to_owned(),
            };
            let known = |start: &Started| start.part == part && (start.at - at).abs() <= SAME_START;
            if !starts.iter().any(known) {
                starts.push(Started { part, instance: series.label("instance").to_owned(), at });
            }
        }
    }
    starts.sort_by(|one, other| one.at.total_cmp(&other.at));
    starts
}

/// An alert while it fired.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Fired {
    pub(super) alert: String,
    severity: String,
    about: String,
    from: f64,
    to: f64,
    /// Whether it fired at the end.
    pub(super) still: bool,
}

/// What fired when, the first one first.
pub(super) fn fired(series: &[Series], span: Span) -> Vec<Fired> {
    let step = seconds(span.step);
    let mut fired: Vec<Fired> = Vec::new();
    for series in series {
        let about: Vec<&str> = ["job", "instance"]
            .into_iter()
            .map(|name| series.label(name))
            .filter(|value| !value.is_empty())
            .collect();
        for run in series.points.chunk_by(|one, next| next.at - one.at <= step * 1.5) {
            let to = run[run.len() - 1].at;
            fired.push(Fired {
                alert: series.label("alertname").to_owned(),
                severity: series.label("severity").to_owned(),
                about: about.join(" "),
                // A point stands for the step before it.
                from: (run[0].at - step).max(seconds(span.start)),
                to,
                still: to + step > seconds(span.end),
            });
        }
    }
    fired.sort_by(|one, other| one.from.total_cmp(&other.from));
    fired
}

/// Draws starts: a mark each.
pub(super) fn draw_starts(to: &mut Markup, title: &str, span: Span, starts: &[Started]) {
    let rows = rows(starts.iter().map(|start| start.part.as_str()));
    let told: Vec<String> =
        starts.iter().map(|start| format!("{} at {}", start.part, moment(whole(start.at)))).collect();
    draw_rows(to, "starts", title, &told.join("; "), span, &rows, |svg, frame, row, y| {
        for start in starts.iter().filter(|start| start.part == row) {
            let (x, what) = (frame.x(start.at), format!("{} {}", start.part, moment(whole(start.at))));
            let line = format!("M{} {}l6 6l-6 6l-6 -6Z", units(x), units(y - 6.0));
            svg.element("path", &[("class", "event"), ("d", &line), ("data-values", "")], |path| {
                path.leaf("title", &[], &what);
            });
        }
    });
    let lines = starts
        .iter()
        .rev()
        .map(|start| [moment(whole(start.at)), start.part.clone(), start.instance.clone()]);
    table(to, ["started, UTC", "part", "seen at"], lines.collect());
}

/// Draws alerts: a bar each.
pub(super) fn draw_alerts(to: &mut Markup, title: &str, span: Span, fired: &[Fired]) {
    let rows = rows(fired.iter().map(|alert| alert.alert.as_str()));
    let words = |alert: &Fired| {
        let until = if alert.still {
            "and fires still".to_owned()
        } else {
            format!("until {}", moment(whole(alert.to)))
        };
        format!("{} from {} {until}", alert.alert, moment(whole(alert.from)))
    };
    let told: Vec<String> = fired.iter().map(words).collect();
    draw_rows(to, "alerts", title, &told.join("; "), span, &rows, |svg, frame, row, y| {
        for alert in fired.iter().filter(|alert| alert.alert == row) {
            let left = frame.x(alert.from);
            // What was short is seen too.
            let right = frame.x(alert.to).max(left + 3.0);
            let line = format!("M{} {}H{}v10H{}Z", units(left), units(y - 5.0), units(right), units(left));
            let class = if alert.severity == "page" { "bar bad" } else { "bar caution" };
            svg.element("path", &[("class", class), ("d", &line), ("data-values", "")], |path| {
                path.leaf("title", &[], &words(alert));
            });
        }
    });
    let lines = fired.iter().rev().map(|alert| {
        let until = if alert.still { "fires still".to_owned() } else { moment(whole(alert.to)) };
        let name = format!("{} ({})", alert.alert, alert.severity);
        [moment(whole(alert.from)), until, name, alert.about.clone()]
    });
    table(to, ["from, UTC", "until", "alert", "about"], lines.collect());
}

/// Each name once, in the order of first being seen.
fn rows<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut rows: Vec<&str> = Vec::new();
    for name in names {
        if !rows.contains(&name) {
            rows.push(name);
        }
    }
    rows
}

fn draw_rows(
    to: &mut Markup,
    id: &str,
    title: &str,
    description: &str,
    span: Span,
    rows: &[&str],
    mut row: impl FnMut(&mut Markup, &Frame, &str, f64),
) {
    let shown: Vec<String> = rows.iter().map(|name| shorten(name)).collect();
    let longest = shown.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let frame = Frame::of_rows(span, 14.0 + LETTER * count(longest), count(rows.len()));
    picture(to, id, title, description, frame.height(), |svg| {
        frame.draw_times(svg);
        for (index, (name, shown)) in rows.iter().zip(&shown).enumerate() {
            let y = 4.0 + (count(index) + 0.5) * ROW;
            svg.leaf("path", &[("class", "grid"), ("d", &frame.across(y))], "");
            frame.label_left(svg, shown, y);
            row(svg, &frame, name, y);
        }
    });
}

fn shorten(name: &str) -> String {
    if name.chars().count() <= LETTERS {
        return name.to_owned();
    }
    name.chars().take(LETTERS - 1).chain(['…']).collect()
}

fn count(number: usize) -> f64 {
    u32::try_from(number).map_or(f64::MAX, f64::from)
}

/// A table of what happened, the newest first, and how much more there was.
pub(super) fn table<const N: usize>(to: &mut Markup, header: [&str; N], lines: Vec<[String; N]>) {
    let more = lines.len().saturating_sub(LINES);
    to.element("table", &[("class", "list")], |table| {
        table.element("thead", &[], |head| {
            head.element("tr", &[], |row| {
                for title in header {
                    row.leaf("th", &[("scope", "col")], title);
                }
            });
        });
        table.element("tbody", &[], |body| {
            for line in lines.into_iter().take(LINES) {
                body.element("tr", &[], |row| {
                    // Where a page is narrow, the titles stand before what they are of.
                    for (title, text) in header.iter().zip(&line) {
                        row.leaf("td", &[("data-title", title)], text);
                    }
                });
            }
        });
    });
    if more > 0 {
        to.leaf("p", &[("class", "about")], &format!("And {more} before."));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::Point;

    const SPAN: Span = Span { start: 1_200, end: 1_800, step: 60 };

    fn series(labels: &[(&str, &str)], points: &[(f64, f64)]) -> Series {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Series { labels, points: points.iter().map(|&(at, value)| Point { at, value }).collect() }
    }

    #[test]
    fn two_starts_are_one_when_they_are_two_seconds_apart() {
        let starts = |second: f64| {
            let service = series(&[("job", "service")], &[(1_300.0, 1_250.0), (1_600.0, second)]);
            started(&[service], SPAN).iter().map(|start| start.at).collect::<Vec<_>>()
        };
        assert_eq!(starts(1_252.0), [1_250.0]);
        assert_eq!(starts(1_248.0), [1_250.0]);
        assert_eq!(starts(1_253.0), [1_250.0, 1_253.0]);
        assert_eq!(starts(1_590.0), [1_250.0, 1_590.0]);
    }

    /// From when to when, and whether it fires still.
    fn times(at: &[f64]) -> Vec<(f64, f64, bool)> {
        let points: Vec<(f64, f64)> = at.iter().map(|&at| (at, 1.0)).collect();
        let fired = fired(&[series(&[("alertname", "A")], &points)], SPAN);
        fired.iter().map(|alert| (alert.from, alert.to, alert.still)).collect()
    }

    #[test]
    fn an_alert_fires_from_a_step_before_its_first_value_to_its_last() {
        assert_eq!(times(&[1_320.0, 1_380.0]), [(1_260.0, 1_380.0, false)]);
        assert_eq!(times(&[1_200.0]), [(1_200.0, 1_200.0, false)], "nothing is known of before");
        assert_eq!(times(&[1_320.0, 1_410.0]).len(), 1, "a value came late");
        assert_eq!(times(&[1_320.0, 1_411.0]).len(), 2);
        assert_eq!(times(&[1_740.0]), [(1_680.0, 1_740.0, false)], "its value is missing at the end");
        assert_eq!(times(&[1_800.0]), [(1_740.0, 1_800.0, true)]);
    }

    #[test]
    fn what_was_short_is_seen_too() {
        let brief = Span { step: 1, ..SPAN };
        let fired = fired(&[series(&[("alertname", "A")], &[(1_320.0, 1.0)])], brief);
        let mut markup = Markup::default();
        draw_alerts(&mut markup, "Alerts", brief, &fired);
        let text = markup.into_text();
        let bar =
            text.split("class=\"bar").nth(1).and_then(|rest| rest.split_once(" d=\"M")).expect("a bar").1;
        let number = |text: &str| {
            text.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect::<String>().parse::<f64>()
        };
        let left = number(bar).expect("its left");
        let right = bar.split_once('H').map(|(_, rest)| number(rest)).expect("its right").expect("a number");
        assert!((right - left - 3.0).abs() < 0.11, "{bar}");
    }

    #[test]
    fn a_long_name_is_cut() {
        let name = "a".repeat(22);
        assert_eq!(shorten(&name), name);
        assert_eq!(shorten(&format!("{name}a")), format!("{}…", "a".repeat(21)));
    }

    #[test]
    fn a_table_says_how_much_it_leaves_out() {
        let told = |lines: usize| {
            let mut markup = Markup::default();
            table(&mut markup, ["what"], vec![["x".to_owned()]; lines]);
            let text = markup.into_text();
            (
                text.matches("<td").count(),
                text.split_once("And ").map(|(_, rest)| rest.starts_with("1 before.")),
            )
        };
        assert_eq!(told(20), (20, None));
        assert_eq!(told(21), (20, Some(true)));
    }
}
