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
