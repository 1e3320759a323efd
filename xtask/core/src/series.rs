//! Values over a time, as Prometheus tells them.
//!
//! Must not: ask for them.

use std::collections::BTreeMap;

/// The times at which an expression is asked for: in seconds since 1970, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// The first.
    pub start: u64,
    /// The last, or less than a step behind it.
    pub end: u64,
    /// Seconds from one to the next.
    pub step: u64,
}

impl Span {
    /// The steps that people count in.
    const STEPS: [u64; 12] = [5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1_800, 3_600];

    /// The same time in about so many points, at a step that people count in, its points on multiples of it.
    #[must_use]
    pub fn with_points(self, points: u64) -> Self {
        let wanted = (self.end - self.start) / points.max(1);
        let step =
            Self::STEPS.into_iter().find(|step| *step >= wanted).unwrap_or(wanted.next_multiple_of(3_600));
        Self { start: self.start / step * step, step, ..self }
    }
}

/// A value at a time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Seconds since 1970.
    pub at: f64,
    /// The value; not a number where Prometheus says so.
    pub value: f64,
}

/// The values of one set of labels.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Series {
    /// Its labels, `__name__` among them when it has one.
    pub labels: BTreeMap<String, String>,
    /// Its values in the order of time; one when it was asked for now.
    pub points: Vec<Point>,
}

impl Series {
    /// A label's value, empty when there is none, as Prometheus sees it.
    pub fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_lie_on_multiples_of_a_step_that_people_count_in() {
        // (seconds, points, the step)
        let table = [
            (3_600, 100, 60),
            (3_600, 60, 60),
            (3_600, 3_600, 5),
            (36_000, 10, 3_600),
            // No step is as long: whole hours.
            (8_650_000, 10, 867_600),
            // None is one.
            (600, 0, 600),
        ];
        for (seconds, points, step) in table {
            let end = 1_767_229_213;
            let asked = Span { start: end - seconds, end, step: 1 };
            let told = asked.with_points(points);
            assert_eq!((told.step, told.end), (step, end), "{seconds} s in {points} points");
            assert!(told.start.is_multiple_of(step), "{told:?}");
            assert!(told.start <= asked.start && asked.start - told.start < step, "{told:?} of {asked:?}");
        }
    }

    #[test]
    fn a_label_that_is_not_there_is_empty() {
        let labels = [("route".to_owned(), "/items".to_owned())].into();
        let series = Series { labels, ..Series::default() };
        assert_eq!((series.label("route"), series.label("status")), ("/items", ""));
    }
}
