//! How long it took until what a plan asks for served, part by part.

use std::fmt;
use std::time::{Duration, Instant};

use crate::execute::Report;
use crate::plan::{Action, Plan};
use crate::quantity::duration;

/// The parts of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// When the last of what it brought up was ready, and reached by whoever asks for it.
    pub served: Instant,
    compiled: Duration,
    packed: Duration,
    started: Duration,
}

impl Pace {
    /// The pace of a run that began at `begun`; `None` when it changed nothing.
    pub fn of(plan: &Plan, report: &Report, begun: Instant) -> Option<Self> {
        let at = |is_it: fn(&Action) -> bool| {
            let those = report.done.iter().filter(|(step, _)| is_it(&plan.step(**step).action));
            those.map(|(_, done)| done.at).max()
        };
        let served = at(Action::makes_ready).or_else(|| at(|_| true))?;
        let made = at(|action| matches!(action, Action::BuildImage { .. })).unwrap_or(begun);
        let mut pace = Self {
            served,
            compiled: Duration::ZERO,
            packed: Duration::ZERO,
            started: served.saturating_duration_since(made),
        };
        for built in report.done.values().filter_map(|done| done.built) {
            pace.compiled += built.compiled;
            pace.packed += built.packed;
        }
        Some(pace)
    }
}

impl fmt::Display for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.compiled + self.packed > Duration::ZERO {
            write!(f, "build {}, image {}, ", duration(self.compiled), duration(self.packed))?;
        }
        write!(f, "start {}", duration(self.started))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::event::StepId;
    use crate::execute::{Built, Done};
    use crate::plan::{Cause, Seat, Step};
    use crate::stack::{ImageReference, ServiceName};

    fn plan(actions: Vec<Action>) -> Plan {
        let step = |action| Step { action, cause: Cause::Asked, needs: Vec::new(), optional: false };
        Plan { steps: actions.into_iter().map(step).collect(), notes: Vec::new() }
    }

    #[test]
    fn what_is_taken_away_afterwards_does_not_count() {
        let web = ServiceName::new("web");
        let plan = plan(vec![
            Action::BuildImage { image: ImageReference::new("web:dev"), package: "web".to_owned() },
            Action::AwaitHealthy(Seat::successor(&web)),
            Action::Switch(Seat::successor(&web)),
            Action::RenameSuccessor(web),
        ]);
        let begun = Instant::now();
        let after = |milliseconds| begun + Duration::from_millis(milliseconds);
        let built = Built { compiled: Duration::from_millis(100), packed: Duration::from_millis(400) };
        let mut done: BTreeMap<StepId, Done> = [(1, 500), (2, 700), (3, 720), (4, 5000)]
            .map(|(step, at)| (StepId(step), Done { at: after(at), built: None }))
            .into();
        done.entry(StepId(1)).and_modify(|done| done.built = Some(built));
        let pace =
            Pace::of(&plan, &Report { done, ..Report::default() }, begun).expect("it changed something");
        assert_eq!(pace.served, after(720));
        assert_eq!(pace.to_string(), "build 0.1s, image 0.4s, start 0.2s");
    }

    #[test]
    fn without_a_build_none_is_told_and_without_a_change_nothing() {
        let plan = plan(vec![Action::RemoveSuccessor(ServiceName::new("web"))]);
        let begun = Instant::now();
        let at = begun + Duration::from_millis(300);
        let done = BTreeMap::from([(StepId(1), Done { at, built: None })]);
        let pace =
            Pace::of(&plan, &Report { done, ..Report::default() }, begun).expect("it changed something");
        assert_eq!(pace.to_string(), "start 0.3s");
        assert_eq!(Pace::of(&plan, &Report::default(), begun), None);
    }
}
