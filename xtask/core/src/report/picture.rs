//! What all pictures over time share: the frame with its axes, the marks of starts, the words for who cannot see it.
//!
//! Must not: know what is drawn in the frame.

use super::markup::Markup;
use super::scale::{Tick, Values, seconds, times};
use crate::series::Span;

/// The size of a picture in its own units. Small, so that its letters are large enough where a page is narrow.
pub(super) const WIDTH: f64 = 480.0;
/// As above.
pub(super) const HEIGHT: f64 = 230.0;
/// The room above the frame, for the axis' title.
const TOP: f64 = 27.0;
/// The room below it, for the labels of time.
const BOTTOM: f64 = 26.0;
/// The room right of it.
const RIGHT: f64 = 10.0;
/// How near a label of time may come to the frame's end, so that it stays within the picture and off the zone's name.
const MARGIN: f64 = 20.0;

/// The room for a label of time, with the larger letters of a narrow page.
const TIME: f64 = 52.0;

/// The part of a picture in which data is drawn.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame {
    span: Span,
    left: f64,
    top: f64,
    bottom: f64,
}

impl Frame {
    /// The frame of a picture with labels of values on the left.
    pub(super) fn of_values(span: Span) -> Self {
        Self { span, left: 68.0, top: TOP, bottom: HEIGHT - BOTTOM }
    }

    /// The frame of a picture with so many rows, whose names need `left` units.
    pub(super) fn of_rows(span: Span, left: f64, rows: f64) -> Self {
        Self { span, left, top: 4.0, bottom: 4.0 + rows * ROW }
    }

    /// The height of the whole picture.
    pub(super) fn height(&self) -> f64 {
        self.bottom + BOTTOM
    }

    /// Where a time is, from left to right. What is outside is at the frame's end.
    pub(super) fn x(&self, at: f64) -> f64 {
        let (start, end) = (seconds(self.span.start), seconds(self.span.end));
        let part = ((at - start) / (end - start).max(1.0)).clamp(0.0, 1.0);
        self.left + part * (WIDTH - RIGHT - self.left)
    }

    /// Where a place on the axis of values is (0 the bottom, 1 the top), from above.
    pub(super) fn y(&self, place: f64) -> f64 {
        self.bottom - place * (self.bottom - self.top)
    }

    /// The lines and labels of values.
    pub(super) fn draw_values(&self, to: &mut Markup, values: &Values) {
        let title = [("class", "unit"), ("x", "2"), ("y", "15")];
        to.leaf("text", &title, &values.title);
        for tick in &values.ticks {
            let y = self.y(values.place(tick.value));
            to.leaf("path", &[("class", "grid"), ("d", &self.across(y))], "");
            self.label_left(to, &tick.label, y);
        }
    }

    /// A label left of the frame, at this height.
    pub(super) fn label_left(&self, to: &mut Markup, label: &str, y: f64) {
        let (x, y) = (units(self.left - 6.0), units(y + 4.0));
        to.leaf("text", &[("class", "value"), ("x", &x), ("y", &y)], label);
    }

    /// The lines and labels of time.
    pub(super) fn draw_times(&self, to: &mut Markup) {
        let baseline = units(self.bottom + 20.0);
        let zone = units(self.left - 6.0);
        to.leaf("text", &[("class", "value"), ("x", &zone), ("y", &baseline)], "UTC");
        let mut free = self.left + MARGIN;
        for Tick { value, label } in times(self.span) {
            let x = self.x(value);
            let line = format!("M{} {}V{}", units(x), units(self.top), units(self.bottom));
            to.leaf("path", &[("class", "grid"), ("d", &line)], "");
            if x >= free && x <= WIDTH - RIGHT - MARGIN {
                free = x + TIME;
                to.leaf("text", &[("class", "time"), ("x", &units(x)), ("y", &baseline)], &label);
            }
        }
    }

    /// A line from the left to the right.
    pub(super) fn across(&self, y: f64) -> String {
        format!("M{} {}H{}", units(self.left), units(y), units(WIDTH - RIGHT))
    }

    /// Dotted lines at times, each with what happened.
    pub(super) fn draw_marks(&self, to: &mut Markup, marks: &[(f64, String)]) {
        for (at, what) in marks {
            let line = format!("M{} {}V{}", units(self.x(*at)), units(self.top), units(self.bottom));
            to.element("path", &[("class", "mark"), ("d", &line)], |inside| inside.leaf("title", &[], what));
        }
    }
}

/// The height of a row of a picture of rows.
pub(super) const ROW: f64 = 22.0;

/// A number of units as it is written: a tenth of one is finer than any screen.
pub(super) fn units(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

/// A picture with its words: what it is called, and what is to be seen on it.
pub(super) fn picture(
    to: &mut Markup,
    id: &str,
    title: &str,
    description: &str,
    height: f64,
    inside: impl FnOnce(&mut Markup),
) {
    let (title_id, description_id) = (format!("{id}-title"), format!("{id}-description"));
    let both = format!("{title_id} {description_id}");
    let size = format!("0 0 {} {}", units(WIDTH), units(height));
    let attributes =
        [("role", "img"), ("aria-labelledby", both.as_str()), ("viewBox", &size), ("data-picture", id)];
    to.element("svg", &attributes, |svg| {
        svg.leaf("title", &[("id", &title_id)], title);
        svg.leaf("desc", &[("id", &description_id)], description);
        inside(svg);
    });
    to.line();
}
