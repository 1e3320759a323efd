//! What measurements come to: medians with their spread, ratios, and how they stand to the budgets. Pure.
//!
//! Must not: measure, or know how anything is measured.

mod budget;
mod facts;
mod markdown;

use serde::Serialize;

pub use budget::{Budget, Limit, PLAIN_CONTROL_PLANE_ASKS_MORE, Unit, Work};
pub use facts::{Commit, Facts};
pub use markdown::{markdown, remarks, row};

/// What one contender was seen to do so far, one value a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Runs {
    /// Who, as a person would type it.
    pub contender: String,
    values: Vec<f64>,
}

impl Runs {
    /// None yet.
    pub fn of(contender: impl Into<String>) -> Self {
        Self { contender: contender.into(), values: Vec::new() }
    }

    /// Of what is measured once.
    pub fn once(contender: impl Into<String>, value: f64) -> Self {
        Self { contender: contender.into(), values: vec![value] }
    }

    /// Adds what the next run came to, in the unit of the work: seconds, requests a second, bytes.
    pub fn push(&mut self, value: f64) {
        self.values.push(value);
    }

    /// The series, or why these runs are none.
    fn series(self) -> Result<Series, String> {
        let Self { contender, values } = self;
        if values.is_empty() {
            return Err(format!("{contender} had no turn"));
        }
        // Nothing that is measured takes no time, serves nobody or has no size.
        match values.iter().find(|value| !(value.is_finite() && **value > 0.0)) {
            Some(value) => Err(format!("{contender} came to {value}, which nothing can")),
            None => Ok(Series { contender, values }),
        }
    }
}

/// What one contender was seen to do, in the order of the runs. Has at least one value, and only values that a measurement
/// can have: [`Entry`] makes it of [`Runs`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Series {
    contender: String,
    values: Vec<f64>,
}

impl Series {
    /// Who, as a person would type it.
    pub fn contender(&self) -> &str {
        &self.contender
    }

    /// How many runs there were.
    pub fn runs(&self) -> usize {
        self.values.len()
    }

    /// The middle value; of an even number, the mean of the middle two.
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
        let last = sorted.len() - 1;
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
    /// A measurement against a contender, or, where the budget is a number of its own, against none. Runs that are no
    /// measurement make an entry that was not measured: a contender that had no turn, a budget of a comparison that was
    /// made with nobody.
    pub fn measured(work: Work, ours: Runs, theirs: impl Into<Option<Runs>>) -> Self {
        let seen = || {
            let (ours, theirs) = (ours.series()?, theirs.into().map(Runs::series).transpose()?);
            match (work.budget().limit, &theirs) {
                (Limit::Itself(_), Some(theirs)) => {
                    Err(format!("nothing is compared with {}", theirs.contender))
                }
                (Limit::AtMost(_) | Limit::AtLeast(_) | Limit::Beyond(_), None) => {
                    Err(format!("{} was compared with nobody", ours.contender))
                }
                _ => Ok(Seen::Measured { ours, theirs }),
            }
        };
        Self { work, seen: seen().unwrap_or_else(|why| Seen::NotMeasured { why }) }
    }

    /// What could not be measured.
    pub fn not_measured(work: Work, why: impl Into<String>) -> Self {
        Self { work, seen: Seen::NotMeasured { why: why.into() } }
    }

    /// What the budget limits: the ratio of the medians, their difference, or our median. `None` when not measured.
    pub fn figure(&self) -> Option<f64> {
        let Seen::Measured { ours, theirs } = &self.seen else { return None };
        let theirs = theirs.as_ref().map(Series::median);
        Some(match (self.work.budget().limit, theirs) {
            (Limit::AtMost(_) | Limit::AtLeast(_), Some(theirs)) => ours.median() / theirs,
            (Limit::Beyond(_), Some(theirs)) => ours.median() - theirs,
            (_, _) => ours.median(),
        })
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

    /// Why a gate closes on it: it is missed and no matter of how fast the machine is, or nobody knows.
    pub fn closes_the_gate(&self) -> Option<String> {
        let budget = self.work.budget();
        match self.verdict() {
            None => Some(format!("not measured: {}", budget.work)),
            Some(Verdict::Missed) if !budget.is_in_seconds() => Some(format!("missed: {}", budget.work)),
            Some(Verdict::Met | Verdict::Missed) => None,
        }
    }
}

/// One entry for each of these pieces of work: what a group has measured, or why it has not. A piece of which the group
/// tells nothing was not measured.
pub fn complete(works: &[Work], measured: Result<Vec<Entry>, String>) -> Vec<Entry> {
    let (entries, why) = match measured {
        Ok(entries) => (entries, "its group told nothing of it".to_owned()),
        Err(why) => (Vec::new(), why),
    };
    let of = |work: &Work| entries.iter().find(|entry| entry.work == *work).cloned();
    works.iter().map(|work| of(work).unwrap_or_else(|| Entry::not_measured(*work, &why))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(contender: &str, values: &[f64]) -> Runs {
        Runs { contender: contender.to_owned(), values: values.to_vec() }
    }

    #[test]
    fn medians_and_quartiles_are_those_of_the_sorted_values() {
        let series = |values: &[f64]| runs("it", values).series().expect("values");
        assert_eq!(series(&[3.0, 1.0, 2.0]).median().to_bits(), 2.0f64.to_bits());
        assert_eq!(series(&[4.0, 1.0, 2.0, 3.0]).median().to_bits(), 2.5f64.to_bits());
        assert_eq!(series(&[5.0, 1.0, 2.0, 3.0, 4.0]).spread(), (2.0, 4.0));
        assert_eq!(series(&[7.0]).spread(), (7.0, 7.0));
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
            let entry =
                Entry::measured(work, runs("ours", ours), theirs.map(|values| runs("theirs", values)));
            assert!((entry.figure().expect("measured") - figure).abs() < 1e-9, "{work:?}");
            assert_eq!(
                (entry.verdict(), entry.closes_the_gate().is_some()),
                (Some(verdict), closes),
                "{work:?}"
            );
        }
    }

    #[test]
    fn what_is_no_measurement_has_no_figure_and_closes_the_gate() {
        let entries = [
            (Entry::not_measured(Work::Cold, "no engine"), "no engine"),
            (
                // The compiler had no turn, because what it shares a checkout with could not start.
                Entry::measured(Work::Save, runs("`dev`", &[2.23]), runs("`cargo build` alone", &[])),
                "`cargo build` alone had no turn",
            ),
            (Entry::measured(Work::Help, Runs::of("help"), None), "help had no turn"),
            (
                Entry::measured(Work::Insert, runs("ours", &[7.0]), runs("pgbench", &[0.0])),
                "pgbench came to 0, which nothing can",
            ),
            (
                Entry::measured(Work::Image, Runs::once("image", f64::NAN), None),
                "image came to NaN, which nothing can",
            ),
            (Entry::measured(Work::Down, runs("`down`", &[1.0]), None), "`down` was compared with nobody"),
            (
                Entry::measured(Work::Image, Runs::once("image", 1e6), Runs::once("another", 1e6)),
                "nothing is compared with another",
            ),
        ];
        for (entry, expected) in entries {
            let Seen::NotMeasured { why } = &entry.seen else { panic!("{entry:?}") };
            assert_eq!((why.as_str(), entry.figure(), entry.verdict()), (expected, None, None));
            let closed = entry.closes_the_gate().expect("nobody knows whether it is met");
            assert_eq!(closed, format!("not measured: {}", entry.work.budget().work));
        }
    }

    #[test]
    fn a_group_tells_of_each_of_its_budgets() {
        let works = [Work::Hello, Work::Memory];
        let hello = Entry::measured(Work::Hello, Runs::once("ours", 9.0), Runs::once("bare", 10.0));
        let stray = Entry::measured(Work::Image, Runs::once("image", 1e6), None);
        let memory = Entry::not_measured(Work::Memory, "its group told nothing of it");
        assert_eq!(complete(&works, Ok(vec![stray, hello.clone()])), [hello, memory]);
        let all = complete(&works, Err("no wrk".to_owned()));
        assert_eq!(all, works.map(|work| Entry::not_measured(work, "no wrk")));
    }
}
