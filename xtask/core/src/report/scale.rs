//! Axes: which values get a line and a label, and where on the picture a value is.
//!
//! Must not: draw.

use std::time::{Duration, SystemTime};

use crate::quantity::{self, Unit};
use crate::series::Span;

/// A place on an axis that has a label.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tick {
    /// The value there.
    pub(super) value: f64,
    /// What is written beside it.
    pub(super) label: String,
}

/// The axis of values.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Values {
    low: f64,
    high: f64,
    logarithmic: bool,
    /// Its labelled places, from the lowest.
    pub(super) ticks: Vec<Tick>,
    /// What it measures, and in which unit.
    pub(super) title: String,
}

/// How many parts an axis has at most: more labels would stand too near to one another on a small screen.
const PARTS: f64 = 5.0;

impl Values {
    /// From nothing to at least `highest`.
    pub(super) fn linear(highest: f64, unit: Unit) -> Self {
        let highest = if highest > 0.0 { highest } else { 1.0 };
        let (scale, title) = match unit {
            Unit::Bytes => {
                let (scale, name) = quantity::binary(highest);
                (scale, name.to_owned())
            }
            Unit::Ratio => (0.01, "percent".to_owned()),
            unit => (1.0, unit.axis().to_owned()),
        };
        let mut step = nice(highest / scale / PARTS);
        if unit == Unit::Count {
            step = step.max(1.0);
        }
        let count = (highest / scale / step).ceil().max(1.0);
        let tick =
            |number: f64| Tick { value: number * step * scale, label: quantity::number(number * step) };
        let ticks = counted(count).map(tick).collect();
        Self { low: 0.0, high: count * step * scale, logarithmic: false, ticks, title }
    }

    /// From the power of ten below `lowest` to the one above `highest`, both more than nothing.
    pub(super) fn logarithmic(lowest: f64, highest: f64, unit: Unit) -> Self {
        let (first, last) = (lowest.log10().floor(), highest.log10().ceil());
        let last = last.max(first + 1.0);
        // Few powers leave room for what is between.
        let between: &[f64] = if last - first <= 2.0 { &[1.0, 2.0, 5.0] } else { &[1.0] };
        let high = 10_f64.powf(last);
        let values = counted(last - first)
            .flat_map(|power| between.iter().map(move |factor| factor * 10_f64.powf(first + power)));
        let ticks = values
            .filter(|value| *value <= high * 1.001)
            .map(|value| Tick { value, label: quantity::text(value, unit) })
            .collect();
        let title = format!("{}, logarithmic", unit.axis());
        Self { low: 10_f64.powf(first), high, logarithmic: true, ticks, title }
    }

    /// Where a value is: 0 at the bottom, 1 at the top. What is off the axis is at its end.
    pub(super) fn place(&self, value: f64) -> f64 {
        let place = if self.logarithmic {
            (value.max(self.low) / self.low).log10() / (self.high / self.low).log10()
        } else {
            value / self.high
        };
        place.clamp(0.0, 1.0)
    }
}

/// 0, 1, 2, … up to a count, which is small.
fn counted(count: f64) -> impl Iterator<Item = f64> {
    std::iter::successors(Some(0.0), |number| Some(number + 1.0)).take_while(move |number| *number <= count)
}

/// The next number at or above that is 1, 2 or 5 times a power of ten.
fn nice(value: f64) -> f64 {
    let power = 10_f64.powf(value.log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| factor * power >= value * 0.999_999);
    factor.unwrap_or(10.0) * power
}

/// Seconds between two labels of time, as people divide it.
const TIME_STEPS: [u64; 17] =
    [5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200, 86_400, 172_800];
/// How many labels of time a picture has at most.
const TIMES: u64 = 7;

/// The labels of an axis of time.
pub(super) fn times(span: Span) -> Vec<Tick> {
    let long = span.end.saturating_sub(span.start).max(1);
    let step = TIME_STEPS.into_iter().find(|step| long / step <= TIMES).unwrap_or(86_400 * 7);
    let first = span.start.div_ceil(step) * step;
    let ticks = (first..=span.end).step_by(usize::try_from(step).unwrap_or(usize::MAX));
    ticks
        .map(|at| {
            let label = match step {
                ..60 => clock(at),
                _ if at.is_multiple_of(86_400) && long > 86_400 => day(at),
                _ => clock(at)[..5].to_owned(),
            };
            Tick { value: seconds(at), label }
        })
        .collect()
}

/// A time as a number that can be drawn.
#[expect(clippy::cast_precision_loss, reason = "seconds since 1970 are far below 2^52")]
pub(super) fn seconds(at: u64) -> f64 {
    at as f64
}

/// `2026-11-25T16:40:00Z`
fn rfc3339(at: u64) -> String {
    humantime::format_rfc3339_seconds(SystemTime::UNIX_EPOCH + Duration::from_secs(at)).to_string()
}

/// `16:40:05`, UTC.
pub(super) fn clock(at: u64) -> String {
    rfc3339(at)[11..19].to_owned()
}

/// `25 Nov`, UTC.
pub(super) fn day(at: u64) -> String {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let text = rfc3339(at);
    let month = text[5..7].parse::<usize>().map_or("", |month| MONTHS[month - 1]);
    format!("{} {month}", text[8..10].trim_start_matches('0'))
}

/// `25 Nov 16:40:05`, UTC.
pub(super) fn moment(at: u64) -> String {
    format!("{} {}", day(at), clock(at))
}

/// A time that was measured, to the second.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "seconds since 1970, not negative"
)]
pub(super) fn whole(at: f64) -> u64 {
    at.max(0.0).round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(ticks: &[Tick]) -> Vec<&str> {
        ticks.iter().map(|tick| tick.label.as_str()).collect()
    }

    #[test]
    fn values_have_round_labels() {
        let linear = |highest, unit| {
            let axis = Values::linear(highest, unit);
            (labels(&axis.ticks).join(" "), axis.title)
        };
        let table = [
            (0.0, Unit::Count, "0 1", "number"),
            (0.0, Unit::Seconds, "0 0.2 0.4 0.6 0.8 1", "seconds"),
            (1.0, Unit::Count, "0 1", "number"),
            (16.0, Unit::Count, "0 5 10 15 20", "number"),
            (41.9, Unit::RequestsPerSecond, "0 10 20 30 40 50", "requests/s"),
            (0.003, Unit::Ratio, "0 0.1 0.2 0.3", "percent"),
            (300.0 * 1024.0 * 1024.0, Unit::Bytes, "0 100 200 300", "MiB"),
            (0.07, Unit::Cores, "0 0.02 0.04 0.06 0.08", "cores"),
        ];
        for (highest, unit, ticks, title) in table {
            assert_eq!(linear(highest, unit), (ticks.to_owned(), title.to_owned()), "{highest} {unit:?}");
        }
        for value in [1.0, 2.0, 5.0, 0.1, 0.002] {
            assert!((nice(value) / value - 1.0).abs() < 1e-9, "{value} is one");
        }
        // A single value has an axis too.
        let axis = Values::logarithmic(1.0, 1.0, Unit::Seconds);
        assert_eq!((axis.place(1.0), axis.place(10.0)), (0.0, 1.0));
        let axis = Values::linear(4.0, Unit::Count);
        assert_eq!((axis.place(0.0), axis.place(1.0), axis.place(9.0)), (0.0, 0.25, 1.0));
        let axis = Values::logarithmic(0.000_3, 0.02, Unit::Seconds);
        assert_eq!(labels(&axis.ticks), ["100 µs", "1 ms", "10 ms", "100 ms"]);
        let axis = Values::logarithmic(0.002, 0.009, Unit::Seconds);
        assert_eq!(labels(&axis.ticks), ["1 ms", "2 ms", "5 ms", "10 ms"]);
        assert_eq!((axis.place(0.001), axis.place(0.01), axis.place(5.0)), (0.0, 1.0, 1.0));
    }

    #[test]
    fn times_are_those_of_a_clock() {
        let start = 1_795_547_660; // 2026-11-24T19:14:20Z
        let span = |long| Span { start, end: start + long, step: 20 };
        assert_eq!(
            labels(&times(span(60))),
            ["19:14:20", "19:14:30", "19:14:40", "19:14:50", "19:15:00", "19:15:10", "19:15:20"]
        );
        assert_eq!(labels(&times(span(3_600))), ["19:20", "19:30", "19:40", "19:50", "20:00", "20:10"]);
        assert_eq!(labels(&times(span(2 * 86_400))), ["25 Nov", "12:00", "26 Nov", "12:00"]);
        let days = times(span(7 * 86_400));
        assert_eq!(labels(&days)[..2], ["25 Nov", "26 Nov"]);
        assert_eq!(labels(&times(span(14 * 86_400)))[..2], ["25 Nov", "27 Nov"]);
        assert_eq!(labels(&times(span(30 * 86_400))), ["26 Nov", "3 Dec", "10 Dec", "17 Dec", "24 Dec"]);
        // Within a day midnight is a time like others.
        assert_eq!(labels(&times(span(86_400)))[..3], ["00:00", "06:00", "12:00"]);
    }
}
