//! Which stage may begin, beside which others. Pure.
//!
//! Must not: run one.

use std::collections::BTreeMap;

use crate::cli::Stage;

/// All stages, in the order in which they are begun and told.
pub(super) const ALL: [Stage; 9] = [
    Stage::Lint,
    Stage::Security,
    Stage::Test,
    Stage::Coverage,
    Stage::Stack,
    Stage::Build,
    Stage::Push,
    Stage::Deploy,
    Stage::Verify,
];

/// Beside what a stage may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Company {
    /// Beside anything: it waits for the network or a disk, or compiles into a directory of its own.
    Any,
    /// Not beside another of these: cargo would let them compile only in turn, each waiting within its own bounds.
    Debug,
    /// Beside nothing: it talks to the terminal itself, and judges how fast pods get ready.
    Nobody,
}

const fn company(stage: Stage) -> Company {
    match stage {
        Stage::Security | Stage::Build | Stage::Push => Company::Any,
        Stage::Lint | Stage::Test | Stage::Coverage | Stage::Stack => Company::Debug,
        Stage::Deploy | Stage::Verify => Company::Nobody,
    }
}

/// The stages that must have passed before another one may begin, as far as they are run at all. What leaves this machine,
/// or replaces what serves, waits for every check: a version that was published stays published.
const fn needs(stage: Stage) -> &'static [Stage] {
    use Stage::{Build, Coverage, Deploy, Lint, Push, Security, Stack, Test};
    match stage {
        Push => &[Build, Lint, Security, Test, Coverage, Stack],
        // What was pushed is what is deployed.
        Deploy => &[Build, Push, Lint, Security, Test, Coverage, Stack],
        Stage::Verify => &[Deploy],
        _ => &[],
    }
}

/// What is to be done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Begin this one.
    Begin(Stage),
    /// This one is not run, because that one failed.
    Skip(Stage, Stage),
}

/// The stages of a run, and how far they are.
#[derive(Debug)]
pub(super) struct Schedule {
    waiting: Vec<Stage>,
    running: Vec<Stage>,
    /// Whether what needs it may go on.
    ended: BTreeMap<Stage, bool>,
}

impl Schedule {
    /// Nothing has begun.
    pub(super) fn new(mut stages: Vec<Stage>) -> Self {
        stages.sort();
        stages.dedup();
        Self { waiting: stages, running: Vec::new(), ended: BTreeMap::new() }
    }

    /// What can be done now; asked until there is nothing.
    pub(super) fn next(&mut self) -> Option<Next> {
        for place in 0..self.waiting.len() {
            let stage = self.waiting[place];
            if let Some(failed) = needs(stage).iter().find(|need| self.ended.get(need) == Some(&false)) {
                self.waiting.remove(place);
                self.ended.insert(stage, false);
                return Some(Next::Skip(stage, *failed));
            }
            if self.may_begin(stage) {
                self.waiting.remove(place);
                self.running.push(stage);
                return Some(Next::Begin(stage));
            }
        }
        None
    }

    fn may_begin(&self, stage: Stage) -> bool {
        let to_come = |need: &&Stage| self.waiting.contains(need) || self.running.contains(need);
        let beside = match company(stage) {
            Company::Any => true,
            Company::Debug => self.running.iter().all(|other| company(*other) != Company::Debug),
            Company::Nobody => self.running.is_empty(),
        };
        let disturbs = self.running.iter().any(|other| company(*other) == Company::Nobody);
        beside && !disturbs && !needs(stage).iter().any(|need| to_come(&need))
    }

    /// A stage has ended; `well` when what needs it may go on.
    pub(super) fn end(&mut self, stage: Stage, well: bool) {
        self.running.retain(|running| *running != stage);
        self.ended.insert(stage, well);
    }

    /// Begins nothing more.
    pub(super) fn stop(&mut self) {
        self.waiting.clear();
    }

    /// Whether another one runs.
    pub(super) fn runs_another_than(&self, stage: Stage) -> bool {
        self.running.iter().any(|running| *running != stage)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Stage::{Build, Deploy, Lint, Push, Security, Stack, Test, Verify};

    /// What is begun and skipped when stages end in the order in which they began; those in `failing` fail.
    fn told(stages: &[Stage], failing: &[Stage]) -> String {
        let mut schedule = Schedule::new(stages.to_vec());
        let mut rounds = Vec::new();
        loop {
            let mut round = Vec::new();
            while let Some(next) = schedule.next() {
                round.push(match next {
                    Next::Begin(stage) => format!("{stage:?}"),
                    Next::Skip(stage, because) => format!("-{stage:?} ({because:?})"),
                });
            }
            if !round.is_empty() {
                rounds.push(round.join(" "));
            }
            let Some(first) = schedule.running.first().copied() else { break };
            schedule.end(first, !failing.contains(&first));
        }
        assert_eq!(schedule.waiting, [], "none is forgotten");
        rounds.join(" | ")
    }

    #[test]
    fn stages_begin_as_soon_as_they_may() {
        let table: [(&[Stage], &[Stage], &str); 11] = [
            (&[], &[], ""),
            (&[Lint], &[], "Lint"),
            (&[Verify, Lint, Lint], &[], "Lint | Verify"),
            (&[Lint, Security, Test], &[], "Lint Security | Test"),
            (
                &[Lint, Security, Stack, Build, Push, Deploy, Verify],
                &[],
                "Lint Security Build | Stack | Push | Deploy | Verify",
            ),
            (
                &[Build, Push, Deploy, Verify],
                &[Build],
                "Build | -Push (Build) -Deploy (Build) -Verify (Deploy)",
            ),
            (&[Build, Push, Deploy, Verify], &[Push], "Build | Push | -Deploy (Push) -Verify (Deploy)"),
            (&[Deploy, Verify], &[Deploy], "Deploy | -Verify (Deploy)"),
            (&[Lint, Test], &[Lint], "Lint | Test"),
            (&[Test, Push], &[Test], "Test | -Push (Test)"),
            (&[Security, Build, Deploy], &[Security], "Security Build | -Deploy (Security)"),
        ];
        for (stages, failing, expected) in table {
            assert_eq!(told(stages, failing), expected, "{stages:?}, {failing:?} failing");
        }
    }

    #[test]
    fn after_a_stop_what_runs_ends_and_nothing_begins() {
        let mut schedule = Schedule::new(vec![Security, Build, Push]);
        assert!(matches!(schedule.next(), Some(Next::Begin(Security))));
        assert!(!schedule.runs_another_than(Security), "it is the only one");
        assert!(matches!(schedule.next(), Some(Next::Begin(Build))));
        assert!(schedule.runs_another_than(Security));
        schedule.stop();
        schedule.end(Security, true);
        schedule.end(Build, true);
        assert!(schedule.next().is_none(), "push waited for them");
        assert!(!schedule.runs_another_than(Push));
    }

    #[test]
    fn a_stage_comes_after_those_it_needs() {
        assert!(ALL.is_sorted(), "they begin in the order in which they are listed");
        for stage in ALL {
            assert!(needs(stage).iter().all(|need| *need < stage), "{stage:?}");
        }
    }
}
