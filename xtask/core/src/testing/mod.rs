//! What a run of tests said: every case with its name, time and outcome, for a table, for CI and for a program; how much of
//! each room the tests reach, and which changes they would notice. Pure: text in, figures out.
//!
//! Must not: run a program, read a file or a clock, or print.

pub mod coverage;
mod junit;
mod libtest;
pub mod mutants;
pub mod rooms;

use std::time::Duration;

use serde::Serialize;

use crate::event::seconds;

pub use junit::junit;
pub use libtest::{NOT_RUN, Reader};

/// How a test case ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CaseOutcome {
    /// As it should.
    Passed,
    /// It failed.
    Failed,
    /// It was left out.
    Skipped,
}

/// One test case.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Case {
    /// Its path: `plan::tests::changes::an_edit`.
    pub name: String,
    /// How it ended.
    pub outcome: CaseOutcome,
    /// How long it took.
    #[serde(serialize_with = "seconds")]
    pub took: Duration,
    /// What it said, line by line, when it failed; why, when it was left out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub said: Vec<String>,
}

/// One program of tests.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Program {
    /// The crate and its source: `xtask src/lib.rs`.
    pub name: String,
    /// How long it ran.
    #[serde(serialize_with = "seconds")]
    pub took: Duration,
    /// What it ran, in the order in which they ended.
    pub cases: Vec<Case>,
}

/// One suite: what cargo was asked for, one call after the other.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SuiteReport {
    /// `unit`, `integration`, `e2e`.
    pub suite: String,
    /// How long cargo compiled.
    #[serde(serialize_with = "seconds")]
    pub compiling: Duration,
    /// How long all of it took.
    #[serde(serialize_with = "seconds")]
    pub took: Duration,
    /// The programs, in the order in which they ran.
    pub programs: Vec<Program>,
}

impl SuiteReport {
    /// A suite of which nothing has run yet.
    pub fn new(suite: impl Into<String>) -> Self {
        let (compiling, took) = (Duration::ZERO, Duration::ZERO);
        Self { suite: suite.into(), compiling, took, programs: Vec::new() }
    }

    /// Takes a failure that no case stands for: it did not compile, or was stopped.
    pub fn fail(&mut self, message: String) {
        if self.count(CaseOutcome::Failed) > 0 {
            return;
        }
        let case = Case {
            name: "the suite itself".to_owned(),
            outcome: CaseOutcome::Failed,
            took: Duration::ZERO,
            said: vec![message],
        };
        self.programs.push(Program { name: self.suite.clone(), took: Duration::ZERO, cases: vec![case] });
    }

    /// Its cases.
    pub fn cases(&self) -> impl Iterator<Item = &Case> {
        self.programs.iter().flat_map(|program| &program.cases)
    }

    /// How many of its cases ended like this.
    pub fn count(&self, outcome: CaseOutcome) -> usize {
        self.cases().filter(|case| case.outcome == outcome).count()
    }
}

/// The slowest cases of all suites, the slowest first: the suite, and the case.
pub fn slowest(suites: &[SuiteReport], how_many: usize) -> Vec<(&str, &Case)> {
    let cases = |suite| SuiteReport::cases(suite).map(|case| (suite.suite.as_str(), case));
    let mut all: Vec<(&str, &Case)> = suites.iter().flat_map(cases).collect();
    all.sort_by_key(|(_, case)| std::cmp::Reverse(case.took));
    all.truncate(how_many);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_come_first() {
        let case = |name: &str, seconds| Case {
            name: name.to_owned(),
            outcome: CaseOutcome::Passed,
            took: Duration::from_secs(seconds),
            said: Vec::new(),
        };
        let suite = |name: &str, cases| SuiteReport {
            programs: vec![Program { name: "p".to_owned(), took: Duration::ZERO, cases }],
            ..SuiteReport::new(name)
        };
        let suites =
            [suite("unit", vec![case("a", 1), case("b", 3)]), suite("e2e", vec![case("c", 2), case("d", 0)])];
        let named: Vec<(&str, &str)> =
            slowest(&suites, 3).into_iter().map(|(suite, case)| (suite, case.name.as_str())).collect();
        assert_eq!(named, [("unit", "b"), ("e2e", "c"), ("unit", "a")]);
        assert_eq!(suites[0].count(CaseOutcome::Passed), 2);
        assert_eq!(suites[0].count(CaseOutcome::Failed), 0);
    }

    #[test]
    fn a_suite_that_failed_has_a_case_that_did() {
        let mut suite = SuiteReport::new("unit");
        suite.fail("it does not compile".to_owned());
        suite.fail("and so on".to_owned());
        let said: Vec<&[String]> = suite.cases().map(|case| case.said.as_slice()).collect();
        assert_eq!(
            (suite.count(CaseOutcome::Failed), said),
            (1, vec![&["it does not compile".to_owned()][..]])
        );
    }
}
