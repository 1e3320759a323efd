//! The picture of the stack's starts: a bar each, as long as it took.
//!
//! Must not: read logs.

use super::history::table;
use super::markup::Markup;
use super::picture::{ROW, WIDTH, picture, units};
use super::scale::moment;
use super::starts::{Ending, Start};
use crate::quantity::{self, Unit};

/// The room for the time of a start.
const LEFT: f64 = 140.0;
/// The room for how long it took, or how it ended.
const RIGHT: f64 = 165.0;

/// Draws the starts, the newest first.
pub(super) fn draw(to: &mut Markup, title: &str, starts: &[Start]) {
    let longest = starts.iter().filter_map(|start| start.took).fold(0.001, f64::max);
    let told: Vec<String> =
        starts.iter().map(|start| format!("{}: {}", moment(start.at), ending(start))).collect();
    let mut height = 4.0;
    let rows: Vec<(f64, &Start)> = starts
        .iter()
        .map(|start| {
            height += ROW;
            (height - ROW / 2.0, start)
        })
        .collect();
    picture(to, "startup", title, &told.join("; "), height + 4.0, |svg| {
        for (y, start) in rows {
            let (label_x, baseline) = (units(LEFT - 8.0), units(y + 4.0));
            svg.leaf("text", &[("class", "value"), ("x", &label_x), ("y", &baseline)], &moment(start.at));
            // A start with nothing to do is seen too.
            let width = (start.took.unwrap_or(0.0) / longest * (WIDTH - LEFT - RIGHT)).max(2.0);
            let line = format!("M{} {}h{}v12h-{}Z", units(LEFT), units(y - 6.0), units(width), units(width));
            let class = match start.ending {
                Ending::Up => "bar good",
                Ending::Failed(_) => "bar bad",
                Ending::Unfinished => "bar neutral",
            };
            svg.leaf("path", &[("class", class), ("d", &line), ("data-values", "")], "");
            let after = units(LEFT + width + 6.0);
            svg.leaf("text", &[("class", "after"), ("x", &after), ("y", &baseline)], &ending(start));
        }
    });
    let lines = starts.iter().map(|start| {
        let slowest = start
            .slowest
            .iter()
            .map(|(step, took)| format!("{step} {}", quantity::text(*took, Unit::Seconds)));
        let slowest: Vec<String> = slowest.collect();
        let steps = match start.steps {
            0 => "nothing to do".to_owned(),
            steps => steps.to_string(),
        };
        [moment(start.at), ending(start), steps, slowest.join(", ")]
    });
    table(to, ["begun, UTC", "took", "steps", "the slowest"], lines.collect());
}

fn ending(start: &Start) -> String {
    let took = start.took.map(|took| quantity::text(took, Unit::Seconds)).unwrap_or_default();
    match &start.ending {
        Ending::Up => took,
        Ending::Failed(code) => format!("{took}, {code}"),
        Ending::Unfinished => "never up".to_owned(),
    }
}
