//! What measurements come to: medians with their spread, ratios, and how they stand to the budgets. Pure.
//!
//! Must not: measure, or know how anything is measured.

mod budget;
mod markdown;

use serde::Serialize;

pub use budget::{Budget, Limit, Unit, Work};
pub use markdown::{Facts, markdown, remarks, row};

/// What one contender was seen to do, one value a run, in the order of the runs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Series {
    /// Who, as a person would type it.
    pub contender: String,
    /// In the unit of the work: seconds, requests a second, bytes.
    pub values: Vec<f64>,
}

impl Series {
    /// No values yet.
    pub fn of(contender: impl Into<String>) -> Self {
        Self { contender: contender.into(), values: Vec::new() }
    }

    /// The middle value; of an even number, the mean of the middle two. 0 without values.
    pub fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// The first and the third quartile: half of all runs lie between them.
    pub fn spread(&self) -> (f64, f64) {
        (self.quantile(0.25), self.quantile(0.75))
    }

    /// Between two values, as far as the place lies between theirs (R's type 7).
    fn quantile(&self, part: f64) -> f64 {
        let mut sorted = self.values.clone();
        sorted.sort_by(f64::total_cmp);
        let Some(last) = sorted.len().checked_sub(1) else { return 0.0 };
        #[expect(clippy::cast_precision_loss, reason = "there are tens of runs")]
        let place = part * last as f64;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and the last")]
        let below = place.floor() as usize;
        let above = (below + 1).min(last);
        sorted[below] + (sorted[above] - sorted[below]) * place.fract()
    }
}

/// How a measurement stands to its budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Within it.
    Met,
    /// Beyond it.
    Missed,
}

/// One budget, and what was measured of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Entry {
    /// Which.
    pub work: Work,
    /// What was seen.
    #[serde(flatten)]
    pub seen: Seen,
}

/// What was seen of a budget.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "result", rename_all = "kebab-case")]
pub enum Seen {
    /// It was measured.
    Measured {
        /// This project.
        ours: Series,
        /// What a user would pick instead; none where the budget is a number of its own.
        theirs: Option<Series>,
    },
    /// It could not be measured here.
    NotMeasured {
        /// Why not.
        why: String,
    },
}

impl Entry {
    /// A measurement.
    pub fn measured(work: Work, ours: Series, theirs: impl Into<Option<Series>>) -> Self {
        Self { work, seen: Seen::Measured { ours, theirs: theirs.into() } }
    }

    /// What could not be measured.
    pub fn not_measured(work: Work, why: impl Into<String>) -> Self {
        Self { work, seen: Seen::NotMeasured { why: why.into() } }
    }

    /// What the budget limits: the ratio of the medians, their difference, or our median. `None` when not measured.
    pub fn figure(&self) -> Option<f64> {
        let Seen::Measured { ours, theirs } = &self.seen else { return None };
        match (self.work.budget().limit, theirs) {
            (Limit::AtMost(_) | Limit::AtLeast(_), Some(theirs)) => Some(ours.median() / theirs.median()),
            (Limit::Beyond(_), Some(theirs)) => Some(ours.median() - theirs.median()),
            (Limit::Itself(_), None) => Some(ours.median()),
            _ => None,
        }
    }

    /// How it stands to its budget; `None` when not measured.
    pub fn verdict(&self) -> Option<Verdict> {
        let figure = self.figure()?;
        let met = match self.work.budget().limit {
            Limit::AtMost(limit) | Limit::Beyond(limit) | Limit::Itself(limit) => figure <= limit,
            Limit::AtLeast(limit) => figure >= limit,
        };
        Some(if met { Verdict::Met } else { Verdict::Missed })
    }

    /// Whether a gate may close on it: what is missed and no matter of how fast the machine is.
    pub fn closes_the_gate(&self) -> bool {
        self.verdict() == Some(Verdict::Missed) && !self.work.budget().is_in_seconds()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(values: &[f64]) -> Series {
        Series { contender: "it".to_owned(), values: values.to_vec() }
    }

    #[test]
    fn medians_and_quartiles_are_those_of_the_sorted_values() {
        assert_eq!(series(&[3.0, 1.0, 2.0]).median().to_bits(), 2.0f64.to_bits());
        assert_eq!(series(&[4.0, 1.0, 2.0, 3.0]).median().to_bits(), 2.5f64.to_bits());
        assert_eq!(series(&[5.0, 1.0, 2.0, 3.0, 4.0]).spread(), (2.0, 4.0));
        assert_eq!(series(&[7.0]).spread(), (7.0, 7.0));
        assert_eq!(series(&[]).median().to_bits(), 0.0f64.to_bits());
    }

    #[test]
    fn each_kind_of_budget_is_judged_by_its_own_figure() {
        let cases = [
            // A ratio of times: one outlier changes nothing.
            (Work::Cold, &[1.0, 1.2, 9.0][..], Some(&[2.0, 2.0, 2.0][..]), 0.6, Verdict::Met, false),
            (Work::Cold, &[1.3], Some(&[2.0]), 0.65, Verdict::Missed, true),
            // A ratio of rates.
            (Work::Insert, &[7.0], Some(&[10.0]), 0.7, Verdict::Met, false),
            (Work::Insert, &[6.0], Some(&[10.0]), 0.6, Verdict::Missed, true),
            // A difference in seconds, and seconds alone, close no gate.
            (Work::Save, &[1.0], Some(&[0.25]), 0.75, Verdict::Missed, false),
            (Work::Help, &[61.0], None, 61.0, Verdict::Missed, false),
            // Bytes do.
            (Work::Image, &[16e6], None, 16e6, Verdict::Missed, true),
        ];
        for (work, ours, theirs, figure, verdict, closes) in cases {
            let entry = Entry::measured(work, series(ours), theirs.map(series));
            assert!((entry.figure().expect("measured") - figure).abs() < 1e-9, "{work:?}");
            assert_eq!((entry.verdict(), entry.closes_the_gate()), (Some(verdict), closes), "{work:?}");
        }
        let entry = Entry::not_measured(Work::Cold, "no engine");
        assert_eq!((entry.figure(), entry.verdict(), entry.closes_the_gate()), (None, None, false));
    }
}
