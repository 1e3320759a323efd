//! The picture of how many requests took how long: a column a time, a row between two bounds, the stronger the more.
//!
//! Must not: know what the values are of.

use std::fmt::Write as _;

use super::markup::Markup;
use super::panels::Panel;
use super::picture::{Frame, HEIGHT, picture, units};
use super::scale::seconds;
use crate::quantity::{self, Unit};
use crate::series::{Series, Span};

/// The classes of strength, the weakest first: as many as the eye tells apart in one colour.
const LEVELS: [&str; 5] = ["h1", "h2", "h3", "h4", "h5"];

/// A row: what lies above the bound below and at or below its own.
struct Row {
    /// Its upper bound.
    bound: f64,
    /// Requests a second at each time.
    cells: Vec<(f64, f64)>,
}

/// The rows of a histogram whose series count all at or below `le`, from the fastest; only those between the first and the
/// last that have anything.
fn rows(series: &[Series]) -> Vec<Row> {
    let mut bounds: Vec<(f64, &Series)> =
        series.iter().filter_map(|series| Some((series.label("le").parse().ok()?, series))).collect();
    bounds.sort_by(|one, other| one.0.total_cmp(&other.0));
    let mut below: Option<&Series> = None;
    let mut rows = Vec::new();
    for (bound, series) in bounds {
        let before = |at: f64| {
            let point =
                below.and_then(|below| below.points.iter().find(|point| point.at.total_cmp(&at).is_eq()));
            point.map_or(0.0, |point| point.value)
        };
        let cells = series.points.iter().map(|point| (point.at, point.value - before(point.at)));
        // Rates are computed apart, so a difference of nothing may be a little more or less.
        let cells = cells.map(|(at, rate)| (at, if rate > 1e-6 { rate } else { 0.0 })).collect();
        rows.push(Row { bound, cells });
        below = Some(series);
    }
    let used = |row: &Row| row.cells.iter().any(|(_, rate)| *rate > 0.0);
    let last = rows.iter().rposition(used).map_or(0, |last| last + 1);
    rows.truncate(last);
    rows.drain(..rows.iter().position(used).unwrap_or(0));
    rows
}

/// Draws the picture; `false` when there is nothing to be drawn.
pub(super) fn draw(to: &mut Markup, panel: &Panel, span: Span, series: &[Series]) -> bool {
    let rows = rows(series);
    let most = rows.iter().flat_map(|row| &row.cells).map(|(_, rate)| *rate).fold(0.0, f64::max);
    if most <= 0.0 {
        return false;
    }
    // The least bound below the first row, for its lower end.
    let lowest = below_first(series, rows[0].bound);
    let frame = Frame::of_values(span);
    let part = 1.0 / f64::from(u32::try_from(rows.len()).unwrap_or(1));
    picture(to, panel.id, panel.title, &description(&rows), HEIGHT, |svg| {
        svg.leaf("text", &[("class", "unit"), ("x", "2"), ("y", "15")], "seconds, bounds of the histogram");
        frame.draw_times(svg);
        let mut lines = vec![String::new(); LEVELS.len()];
        let mut bottom = 0.0;
        let every = if rows.len() > 8 { 2 } else { 1 };
        frame.label_left(svg, &quantity::text(lowest, Unit::Seconds), frame.y(0.0));
        for (index, row) in rows.iter().enumerate() {
            let top = bottom + part;
            for (at, rate) in row.cells.iter().filter(|(_, rate)| *rate > 0.0) {
                let cell = cell(&frame, span, *at, bottom, top);
                lines[level(*rate, most)].push_str(&cell);
            }
            bottom = top;
            if (index + 1) % every == 0 {
                frame.label_left(svg, &quantity::text(row.bound, Unit::Seconds), frame.y(top));
            }
        }
        for (class, line) in LEVELS.iter().zip(&lines).filter(|(_, line)| !line.is_empty()) {
            let class = format!("cell {class}");
            svg.leaf("path", &[("class", &class), ("d", line), ("data-values", "")], "");
        }
    });
    key(to, most);
    true
}

fn below_first(series: &[Series], first: f64) -> f64 {
    let bounds = series.iter().filter_map(|series| series.label("le").parse::<f64>().ok());
    bounds.filter(|bound| *bound < first).fold(0.0, f64::max)
}

/// The rectangle of one cell: its rate is that of the time before it.
fn cell(frame: &Frame, span: Span, at: f64, bottom: f64, top: f64) -> String {
    let (left, right) = (frame.x(at - seconds(span.step)), frame.x(at));
    let (bottom, top) = (frame.y(bottom), frame.y(top));
    let mut line = String::new();
    if right - left > 0.05 {
        let _ = write!(
            line,
            "M{} {}H{}V{}H{}Z",
            units(left),
            units(bottom),
            units(right),
            units(top),
            units(left)
        );
    }
    line
}

/// Which class of strength a rate has: by its root, so that few are seen beside many.
fn level(rate: f64, most: f64) -> usize {
    (1..LEVELS.len()).rfind(|level| rate > least(*level, most)).unwrap_or(0)
}

/// The rate at which a class of strength begins.
fn least(level: usize, most: f64) -> f64 {
    let part =
        f64::from(u32::try_from(level).unwrap_or(0)) / f64::from(u32::try_from(LEVELS.len()).unwrap_or(1));
    part * part * most
}

fn key(to: &mut Markup, most: f64) {
    to.element("ul", &[("class", "key")], |list| {
        for (index, class) in LEVELS.iter().enumerate() {
            list.element("li", &[], |item| {
                item.leaf("span", &[("class", &format!("swatch full {class}"))], "");
                item.text(&format!("up to {}", quantity::number(least(index + 1, most))));
            });
        }
        list.leaf("li", &[], "requests/s");
    });
}

fn description(rows: &[Row]) -> String {
    let total = |row: &Row| row.cells.iter().map(|(_, rate)| rate).sum::<f64>();
    let all: f64 = rows.iter().map(total).sum();
    let one = |row: &Row| {
        let part = quantity::text(total(row) / all, Unit::Ratio);
        format!("{part} within {}", quantity::text(row.bound, Unit::Seconds))
    };
    let told: Vec<String> = rows.iter().filter(|row| total(row) > 0.0).map(one).collect();
    format!("Parts of the requests by the bound that they took at most: {}", told.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::panels::panels;
    use crate::series::Point;

    const SPAN: Span = Span { start: 1_200, end: 1_800, step: 60 };

    /// The series of a bound: how many requests a second took at most as long, from the second time on.
    fn series(le: &str, values: &[f64]) -> Series {
        let at = (SPAN.start + 60..).step_by(60).map(seconds);
        let points = at.zip(values).map(|(at, value)| Point { at, value: *value }).collect();
        Series { labels: [("le".to_owned(), le.to_owned())].into(), points }
    }

    fn drawn(series: &[Series]) -> String {
        let panels = panels(SPAN);
        let panel = panels.iter().find(|panel| panel.id == "heat").expect("the picture");
        let mut markup = Markup::default();
        assert!(draw(&mut markup, panel, SPAN, series));
        markup.into_text()
    }

    /// The labels beside the rows, from the lowest.
    fn labels(text: &str) -> Vec<&str> {
        let values = text.split("class=\"value\"").skip(1);
        let texts = values.filter_map(|rest| rest.split_once('>')?.1.split_once('<'));
        texts.map(|(label, _)| label).filter(|label| *label != "UTC").collect()
    }

    #[test]
    fn only_what_took_some_time_is_a_cell() {
        let text = drawn(&[series("0.1", &[1.0, 0.0, 2.0]), series("0.2", &[1.0, 0.0, 5.0])]);
        let cells: usize = text
            .split(" d=\"")
            .filter(|rest| rest.contains("data-values"))
            .map(|rest| rest.matches('M').count())
            .sum();
        assert_eq!(cells, 3, "{text}");
    }

    #[test]
    fn rows_are_labelled_from_the_bound_below_the_first_that_has_something() {
        let text = drawn(&[series("0.001", &[0.0]), series("0.01", &[1.0]), series("0.1", &[3.0])]);
        assert_eq!(labels(&text), ["1 ms", "10 ms", "100 ms"]);
        // Of many every second.
        let many = |count: u8| -> Vec<Series> {
            (1..=count).map(|bound| series(&bound.to_string(), &[f64::from(bound)])).collect()
        };
        assert_eq!(labels(&drawn(&many(8))).len(), 9);
        assert_eq!(labels(&drawn(&many(9))), ["0 s", "2 s", "4 s", "6 s", "8 s"]);
    }

    #[test]
    fn a_rate_at_the_bound_of_a_strength_is_of_it() {
        // Fifths, squared: 1, 4, 9, 16 and 25.
        let levels = [0.5, 1.0, 1.1, 4.0, 9.0, 16.0, 25.0].map(|rate| level(rate, 25.0));
        assert_eq!(levels, [0, 0, 1, 1, 2, 3, 4]);
    }

    #[test]
    fn a_row_of_nothing_is_not_told() {
        let series = [series("0.1", &[1.0]), series("0.2", &[1.0]), series("0.5", &[4.0])];
        assert_eq!(
            description(&rows(&series)),
            "Parts of the requests by the bound that they took at most: 25 % within 100 ms, 75 % within 500 ms"
        );
    }
}
