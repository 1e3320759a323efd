//! What a run that did not end well has come to: everything that failed in it, what was not tried because of that, and what
//! got ready all the same.
//!
//! Must not: tell it, or judge what was tried before.

use std::collections::BTreeSet;
use std::time::Instant;

use crate::event::StepId;
use crate::execute::Report;
use crate::failure::{Code, Failure};
use crate::pace::Pace;
use crate::plan::Plan;

/// Where a failure came up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Before the first step, of which none was tried.
    Outset,
    /// In this step of a plan, as it is printed.
    Step(String),
    /// In how things stand once every step has ended well.
    End,
}

/// Something that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where.
    pub origin: Origin,
    /// What.
    pub failure: Failure,
}

/// What a run that did not end well has come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setback {
    /// What failed, in the order of failing.
    pub faults: Vec<Fault>,
    /// The steps that were not tried, as they are printed.
    pub skipped: BTreeSet<String>,
    /// What got ready all the same.
    pub reached: Option<Box<Reached>>,
}

/// What got ready beside what failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reached {
    /// How long it took.
    pub pace: Pace,
    /// Whose steps they were.
    pub services: BTreeSet<String>,
}

impl Setback {
    /// What a run came to that began at `begun`; `None` when nothing failed.
    pub(super) fn of(plan: &Plan, report: &Report, begun: Instant) -> Option<Self> {
        if report.failures.is_empty() {
            return None;
        }
        let title = |step: StepId| plan.step(step).action.to_string();
        let faults = report
            .failures
            .iter()
            .map(|(step, failure)| Fault { origin: Origin::Step(title(*step)), failure: failure.clone() });
        Some(Self {
            faults: faults.collect(),
            skipped: report.skipped.iter().map(|step| title(*step)).collect(),
            reached: reached(plan, report, begun).map(Box::new),
        })
    }

    /// Whether it was stopped by Ctrl-C.
    pub fn is_interruption(&self) -> bool {
        self.faults.iter().any(|fault| fault.failure.code == Code::Interrupted)
    }

    /// Whether no step was tried.
    pub fn is_at_outset(&self) -> bool {
        self.faults.iter().all(|fault| fault.origin == Origin::Outset)
    }

    /// All that failed, in one line.
    pub fn message(&self) -> String {
        self.faults.iter().map(|fault| fault.failure.message.as_str()).collect::<Vec<_>>().join("; ")
    }

    /// What failed first.
    pub(super) fn first(&self) -> Option<&Failure> {
        self.faults.first().map(|fault| &fault.failure)
    }

    /// Adds a failure that is not among the others.
    pub(super) fn beside(&mut self, failure: Failure) {
        let known =
            |fault: &Fault| fault.failure.code == failure.code && fault.failure.message == failure.message;
        if !self.faults.iter().any(known) {
            self.faults.push(Fault { origin: Origin::End, failure });
        }
    }
}

/// The services that got ready wholly, and how long that took.
fn reached(plan: &Plan, report: &Report, begun: Instant) -> Option<Reached> {
    let whose = |step: StepId| {
        let action = &plan.step(step).action;
        action.service().filter(|_| action.makes_ready()).map(ToString::to_string)
    };
    let failed = report.failures.iter().map(|(step, _)| *step);
    let lost: BTreeSet<String> = failed.chain(report.skipped.iter().copied()).filter_map(whose).collect();
    let ready = report.done.keys().copied().filter_map(whose);
    let services: BTreeSet<String> = ready.filter(|service| !lost.contains(service)).collect();
    let pace = Pace::of(plan, report, begun).filter(|_| !services.is_empty())?;
    Some(Reached { pace, services })
}

impl From<Failure> for Setback {
    fn from(failure: Failure) -> Self {
        let fault = Fault { origin: Origin::Outset, failure };
        Self { faults: vec![fault], skipped: BTreeSet::new(), reached: None }
    }
}

impl From<Setback> for Failure {
    fn from(setback: Setback) -> Self {
        let first = setback.faults.into_iter().next().map(|fault| fault.failure);
        first.unwrap_or_else(|| Self::new(Code::Internal, "a run failed and nothing in it did"))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::*;
    use crate::execute::Done;
    use crate::plan::{Action, Cause, Seat, Step};
    use crate::stack::{ImageReference, ServiceName};

    #[test]
    fn all_that_failed_is_kept_and_so_is_what_got_ready_beside_it() {
        let [web, mail, page] = ["web", "mail", "page"].map(ServiceName::new);
        let build = Action::BuildImage { image: ImageReference::new("web:dev"), package: "web".to_owned() };
        let actions = [
            build,
            Action::AwaitHealthy(Seat::successor(&web)),
            Action::AwaitHealthy(Seat::holder(&mail)),
            Action::AwaitHealthy(Seat::holder(&page)),
        ];
        let step = |action| Step { action, cause: Cause::Asked, needs: Vec::new(), optional: false };
        let plan = Plan { steps: actions.into_iter().map(step).collect(), notes: Vec::new() };
        let begun = Instant::now();
        assert_eq!(Setback::of(&plan, &Report::default(), begun), None);

        let crash = Failure::new(Code::ContainerExited, "mail ended with status 3");
        let complaint = Failure::new(Code::BuildFailed, "1 error");
        let mut report = Report {
            failures: vec![(StepId(3), crash.clone()), (StepId(1), complaint.clone())],
            skipped: [StepId(2)].into(),
            ..Report::default()
        };
        let setback = Setback::of(&plan, &report, begun).expect("it failed");
        let origins: Vec<_> = setback.faults.iter().map(|fault| fault.origin.clone()).collect();
        let at = |title: &str| Origin::Step(title.to_owned());
        assert_eq!(origins, [at("await mail healthy"), at("build image web:dev from package web")]);
        assert_eq!(setback.skipped, ["await successor of web healthy".to_owned()].into());
        assert_eq!((setback.reached.clone(), setback.is_at_outset()), (None, false));
        assert_eq!(setback.message(), "mail ended with status 3; 1 error");
        assert_eq!(Failure::from(setback.clone()), crash);
        let mut once = setback.clone();
        once.beside(complaint);
        assert_eq!(once, setback, "each is there once");

        report.done = BTreeMap::from([(StepId(4), Done { at: begun + Duration::from_secs(2), built: None })]);
        let reached = Setback::of(&plan, &report, begun).and_then(|setback| setback.reached).expect("page");
        assert_eq!(reached.services, ["page".to_owned()].into());
        assert_eq!(reached.pace.to_string(), "start 2.0s");
    }

    #[test]
    fn what_fails_before_the_first_step_is_all_there_is() {
        let setback = Setback::from(Failure::new(Code::Interrupted, "stopped"));
        assert!(setback.is_at_outset() && setback.is_interruption());
    }
}
