//! Pictures of values over time: curves, or areas on one another; and the table that says which is which, with its figures.
//!
//! Must not: know what the values are of.

use std::fmt::Write as _;

use super::markup::Markup;
use super::panels::{Kind, Panel};
use super::picture::{Frame, HEIGHT, picture, units};
use super::scale::{Values, seconds};
use crate::quantity::{self, Unit};
use crate::series::{Point, Span};

/// How many curves are told apart; more of them would not be.
const COLOURS: usize = 8;

/// A curve: its name and its values, those that are no number left out.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Curve {
    /// What it is called.
    pub(super) name: String,
    /// In the order of time.
    pub(super) points: Vec<Point>,
}

impl Curve {
    fn highest(&self) -> f64 {
        self.points.iter().map(|point| point.value).fold(0.0, f64::max)
    }

    fn lowest_above_nothing(&self) -> Option<f64> {
        let values = self.points.iter().map(|point| point.value).filter(|value| *value > 0.0);
        values.reduce(f64::min)
    }

    #[expect(clippy::cast_precision_loss, reason = "a picture has some hundred points")]
    fn mean(&self) -> f64 {
        self.points.iter().map(|point| point.value).sum::<f64>() / self.points.len().max(1) as f64
    }

    fn last(&self) -> f64 {
        self.points.last().map_or(f64::NAN, |point| point.value)
    }
}

/// The class of a curve's colour. That of an answer's status means something; the others only differ.
fn colour(name: &str, index: usize) -> &'static str {
    const OTHERS: [&str; COLOURS] = ["c0", "c1", "c2", "c3", "c4", "c5", "c6", "c7"];
    match name {
        "2xx" => "good",
        "3xx" => "neutral",
        "4xx" => "caution",
        "5xx" => "bad",
        _ => OTHERS[index % COLOURS],
    }
}

/// Draws a panel's curves, with the marks of starts, and their table.
pub(super) fn draw(to: &mut Markup, panel: &Panel, span: Span, curves: &[Curve], marks: &[(f64, String)]) {
    let frame = Frame::of_values(span);
    let stacked = panel.kind == Kind::Stacked;
    let bound = match panel.kind {
        Kind::Curves { bound } => bound,
        _ => None,
    };
    let sums = stack(curves);
    let drawn = if stacked { &sums } else { curves };
    let values = axis(panel, drawn, bound);
    picture(to, panel.id, panel.title, &description(curves, panel.unit), HEIGHT, |svg| {
        frame.draw_values(svg, &values);
        frame.draw_times(svg);
        frame.draw_marks(svg, marks);
        if let Some((value, what)) = bound {
            let line = frame.across(frame.y(values.place(value)));
            svg.element("path", &[("class", "bound"), ("d", &line)], |path| path.leaf("title", &[], what));
        }
        // The highest area first: each lower one lies on it.
        let mut order: Vec<usize> = (0..drawn.len()).collect();
        if stacked {
            order.reverse();
        }
        for index in order {
            let curve = &drawn[index];
            let form = if stacked { "area" } else { "curve" };
            let class = format!("{form} {}", colour(&curve.name, index));
            let line = path(&frame, &values, span, &curve.points, stacked);
            svg.element("path", &[("class", &class), ("d", &line), ("data-values", "")], |path| {
                path.leaf("title", &[], &curve.name);
            });
        }
    });
    table(to, panel, curves, stacked);
}

fn axis(panel: &Panel, drawn: &[Curve], bound: Option<(f64, &str)>) -> Values {
    let highest = drawn.iter().map(Curve::highest).fold(bound.map_or(0.0, |(value, _)| value), f64::max);
    let lowest = drawn.iter().filter_map(Curve::lowest_above_nothing).reduce(f64::min);
    match (panel.kind, lowest) {
        (Kind::Logarithmic, Some(lowest)) => Values::logarithmic(lowest, highest, panel.unit),
        _ => Values::linear(highest, panel.unit),
    }
}

/// Each curve with all before it added: where one has no value, it adds nothing.
fn stack(curves: &[Curve]) -> Vec<Curve> {
    let mut sums: Vec<Point> = Vec::new();
    for point in curves.iter().flat_map(|curve| &curve.points) {
        if let Err(place) = sums.binary_search_by(|sum| sum.at.total_cmp(&point.at)) {
            sums.insert(place, Point { at: point.at, value: 0.0 });
        }
    }
    let mut add = |curve: &Curve| {
        for point in &curve.points {
            if let Ok(place) = sums.binary_search_by(|sum| sum.at.total_cmp(&point.at)) {
                sums[place].value += point.value;
            }
        }
        Curve { name: curve.name.clone(), points: sums.clone() }
    };
    curves.iter().map(&mut add).collect()
}

/// The line through points, broken where some are missing. An area is closed at the bottom.
fn path(frame: &Frame, values: &Values, span: Span, points: &[Point], closed: bool) -> String {
    let mut line = String::new();
    let far = seconds(span.step) * 1.5;
    for run in points.chunk_by(|one, next| next.at - one.at <= far) {
        let place = |point: &Point| {
            format!("{} {}", units(frame.x(point.at)), units(frame.y(values.place(point.value))))
        };
        let (first, last) = (&run[0], &run[run.len() - 1]);
        let bottom = units(frame.y(0.0));
        if closed {
            // One point alone is as wide as its step.
            let right = frame.x(last.at.max(first.at + seconds(span.step) / 2.0));
            let _ = write!(line, "M{} {bottom}", units(frame.x(first.at)));
            for point in run {
                let _ = write!(line, "L{}", place(point));
            }
            let _ = write!(line, "H{}V{bottom}Z", units(right));
        } else {
            let _ = write!(line, "M{}", place(first));
            // A point alone is a dot: a line of no length with round ends.
            let _ = if run.len() == 1 { write!(line, "h0") } else { Ok(()) };
            for point in &run[1..] {
                let _ = write!(line, "L{}", place(point));
            }
        }
    }
    line
}

fn description(curves: &[Curve], unit: Unit) -> String {
    let one = |curve: &Curve| {
        format!(
            "{}: {} in the mean, {} at most, {} at the end",
            curve.name,
            quantity::text(curve.mean(), unit),
            quantity::text(curve.highest(), unit),
            quantity::text(curve.last(), unit)
        )
    };
    curves.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// What stands above the names: the unit, where the values beside them do not carry it, to leave room on a narrow page.
const fn unit_of_all(unit: Unit) -> &'static str {
    match unit {
        Unit::RequestsPerSecond | Unit::Cores => unit.axis(),
        _ => "",
    }
}

fn table(to: &mut Markup, panel: &Panel, curves: &[Curve], stacked: bool) {
    to.element("table", &[("class", "legend")], |table| {
        table.element("thead", &[], |head| {
            head.element("tr", &[], |row| {
                row.leaf("td", &[("class", "about")], unit_of_all(panel.unit));
                for title in ["mean", "highest", "last"] {
                    row.leaf("th", &[("scope", "col")], title);
                }
            });
        });
        table.element("tbody", &[], |body| {
            for (index, curve) in curves.iter().enumerate() {
                body.element("tr", &[], |row| {
                    row.element("th", &[("scope", "row")], |name| {
                        let form = if stacked { "swatch full" } else { "swatch" };
                        let class = format!("{form} {}", colour(&curve.name, index));
                        name.leaf("span", &[("class", &class)], "");
                        name.text(&curve.name);
                    });
                    for value in [curve.mean(), curve.highest(), curve.last()] {
                        let text = match panel.unit {
                            Unit::RequestsPerSecond | Unit::Cores => quantity::number(value),
                            unit => quantity::text(value, unit),
                        };
                        row.leaf("td", &[], &text);
                    }
                });
            }
        });
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPAN: Span = Span { start: 1_200, end: 1_800, step: 60 };

    fn points(points: &[(f64, f64)]) -> Vec<Point> {
        points.iter().map(|&(at, value)| Point { at, value }).collect()
    }

    #[test]
    fn answers_have_the_colours_of_their_status_and_others_differ() {
        let told = ["2xx", "3xx", "4xx", "5xx"].map(|name| colour(name, 0));
        assert_eq!(told, ["good", "neutral", "caution", "bad"]);
        assert_eq!([0, 1, 7, 8].map(|index| colour("web", index)), ["c0", "c1", "c7", "c0"]);
    }

    #[test]
    fn a_logarithmic_axis_begins_at_the_least_that_is_more_than_nothing() {
        let curve = Curve { name: String::new(), points: points(&[(0.0, 0.0), (1.0, 0.5), (2.0, 0.2)]) };
        assert_eq!(curve.lowest_above_nothing(), Some(0.2));
        assert_eq!(Curve { points: points(&[(0.0, 0.0)]), ..curve }.lowest_above_nothing(), None);
    }

    #[test]
    fn a_line_is_broken_where_a_value_is_missing() {
        let frame = Frame::of_values(SPAN);
        let values = Values::linear(1.0, Unit::Count);
        // (when the second value came, whether it is drawn as the next of the first)
        for (at, next) in [(1_260.0, true), (1_290.0, true), (1_291.0, false), (1_320.0, false)] {
            let line = path(&frame, &values, SPAN, &points(&[(1_200.0, 1.0), (at, 1.0)]), false);
            assert_eq!(
                (line.matches('M').count(), line.contains('L')),
                if next { (1, true) } else { (2, false) },
                "{line}"
            );
        }
    }

    #[test]
    fn an_area_of_one_value_is_half_a_step_wide() {
        let frame = Frame::of_values(SPAN);
        let values = Values::linear(1.0, Unit::Count);
        let right = |line: &str| {
            line.split_once('H').and_then(|(_, rest)| rest.split_once('V')).map(|(right, _)| right.to_owned())
        };
        let alone = path(&frame, &values, SPAN, &points(&[(1_320.0, 1.0)]), true);
        assert_eq!(right(&alone), Some(units(frame.x(1_350.0))), "{alone}");
        let two = path(&frame, &values, SPAN, &points(&[(1_320.0, 1.0), (1_380.0, 1.0)]), true);
        assert_eq!(right(&two), Some(units(frame.x(1_380.0))), "{two}");
    }

    #[test]
    fn the_unit_of_all_values_stands_once_where_they_do_not_carry_it() {
        let told = [Unit::RequestsPerSecond, Unit::Cores, Unit::Seconds, Unit::Count].map(unit_of_all);
        assert_eq!(told, ["requests/s", "cores", "", ""]);
    }
}
