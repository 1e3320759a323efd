//! The problems that stand while `dev` runs: each is shown until what it is about is well.
//!
//! Must not: bring anything up, or know how a problem is drawn.

use std::collections::BTreeSet;

use crate::event::{Event, Events};
use crate::failure::{Code, Failure};
use crate::session::{Fault, Origin, Setback};

/// What a problem with the Compose file is about. It is solved when that has been read, and by nothing else.
const COMPOSE: &str = "compose";

/// The problems that stand.
#[derive(Debug, Default)]
pub(super) struct Standing {
    problems: Vec<Problem>,
    compose: bool,
}

#[derive(Debug)]
struct Problem {
    about: String,
    origin: Origin,
    code: Code,
    message: String,
}

impl Problem {
    fn is(&self, fault: &Fault) -> bool {
        let Fault { origin, failure } = fault;
        self.code == failure.code && (self.origin == *origin || self.message == failure.message)
    }
}

impl Standing {
    /// The Compose file cannot be read.
    pub(super) fn unread(&mut self, events: &Events, failure: &Failure) {
        self.compose = true;
        complain(events, COMPOSE, failure);
    }

    /// The Compose file has been read.
    pub(super) fn read(&mut self, events: &Events) {
        if std::mem::take(&mut self.compose) {
            solved(events, COMPOSE);
        }
    }

    /// Everything went well, but for what a look at the end has shown.
    pub(super) fn end_well(&mut self, events: &Events, but: Option<&Failure>) {
        let fault = but.map(|failure| Fault { origin: Origin::End, failure: failure.clone() });
        self.settle(events, fault.as_slice(), |_| false);
    }

    /// Something failed. What was not tried again for that is no better than before.
    pub(super) fn end_badly(&mut self, events: &Events, setback: &Setback) {
        let at_outset = setback.is_at_outset();
        self.settle(events, &setback.faults, |origin| match origin {
            Origin::Outset => false,
            Origin::Step(step) => at_outset || setback.skipped.contains(step),
            // How things stand is looked at when all is well.
            Origin::End => true,
        });
    }

    /// These stand now, and beside them those of before that stay.
    fn settle(&mut self, events: &Events, faults: &[Fault], stays: impl Fn(&Origin) -> bool) {
        let mut before = std::mem::take(&mut self.problems);
        // The same once more takes its own place, another one that of its kind: nothing was solved in between.
        let mut take = |is_it: &dyn Fn(&Problem) -> bool| {
            let place = before.iter().position(is_it)?;
            Some(before.remove(place).about)
        };
        let mut places: Vec<_> = faults.iter().map(|fault| take(&|one| one.is(fault))).collect();
        for (fault, place) in faults.iter().zip(&mut places).filter(|(_, place)| place.is_none()) {
            *place = take(&|one| one.code == fault.failure.code && !stays(&one.origin));
        }
        let (kept, gone): (Vec<_>, Vec<_>) = before.into_iter().partition(|one| stays(&one.origin));
        for problem in gone {
            solved(events, &problem.about);
        }
        let mut taken: BTreeSet<String> = kept.iter().map(|one| one.about.clone()).collect();
        taken.extend(places.iter().flatten().cloned());
        self.problems = kept;
        for (fault, place) in faults.iter().zip(places) {
            let about = place.unwrap_or_else(|| free(fault.failure.code, &taken));
            taken.insert(about.clone());
            complain(events, &about, &fault.failure);
            let Fault { origin, failure } = fault.clone();
            self.problems.push(Problem { about, origin, code: failure.code, message: failure.message });
        }
    }
}

/// A failure's code; of several that have the same one, the later ones with a number.
fn free(code: Code, taken: &BTreeSet<String>) -> String {
    let numbered = (2..).map(|number| format!("{code} ({number})", code = code.as_str()));
    let mut names = std::iter::once(code.as_str().to_owned()).chain(numbered);
    names.find(|name| !taken.contains(name)).unwrap_or_default()
}

fn complain(events: &Events, about: &str, failure: &Failure) {
    let lines = std::iter::once(failure.message.clone())
        .chain(failure.details.iter().cloned())
        .chain(failure.hint.iter().map(|hint| format!("hint: {hint}")))
        .collect();
    events.send(Event::Problem { about: about.to_owned(), lines });
}

fn solved(events: &Events, about: &str) {
    events.send(Event::ProblemSolved { about: about.to_owned() });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Arriving;

    const BUILD: &str = "build image web:dev";
    const AWAIT: &str = "await successor of web healthy";
    const RELOAD: &str = "send SIGHUP to metrics";

    fn fault(step: &str, code: Code, message: &str) -> Fault {
        Fault { origin: Origin::Step(step.to_owned()), failure: Failure::new(code, message) }
    }

    fn broken_build() -> Fault {
        fault(BUILD, Code::BuildFailed, "1 error")
    }

    fn crash() -> Fault {
        fault(AWAIT, Code::ContainerExited, "web ended with status 3")
    }

    fn refusal() -> Fault {
        fault(RELOAD, Code::ChecksFailed, "metrics would refuse its mounted files")
    }

    fn setback(faults: &[Fault], skipped: &[&str]) -> Setback {
        let skipped = skipped.iter().map(|&step| step.to_owned()).collect();
        Setback { faults: faults.to_vec(), skipped, reached: None }
    }

    /// What was told since the last look: `+` for a problem, `-` for one that is solved.
    fn told(arrived: &mut Arriving) -> Vec<String> {
        let mut told = Vec::new();
        while let Ok(event) = arrived.try_recv() {
            told.push(match event {
                Event::Problem { about, lines } => format!("+ {about}: {}", lines[0]),
                Event::ProblemSolved { about } => format!("- {about}"),
                other => panic!("{other:?}"),
            });
        }
        told
    }

    #[test]
    fn a_broken_compose_file_and_a_broken_build_each_stand_until_they_are_mended() {
        let unread = Failure::new(Code::ComposeInvalid, "line 3");
        let compose_first = [true, false];
        for compose_first in compose_first {
            let (events, mut arrived) = Events::channel();
            let mut standing = Standing::default();
            if compose_first {
                standing.unread(&events, &unread);
            }
            standing.end_badly(&events, &setback(&[broken_build()], &[AWAIT]));
            if !compose_first {
                standing.unread(&events, &unread);
            }
            let mut both = told(&mut arrived);
            both.sort();
            assert_eq!(both, ["+ build-failed: 1 error", "+ compose: line 3"]);
            standing.end_well(&events, None);
            assert_eq!(told(&mut arrived), ["- build-failed"], "nobody has read the file");
            standing.read(&events);
            standing.read(&events);
            standing.end_well(&events, None);
            assert_eq!(told(&mut arrived), ["- compose"]);
        }
    }

    #[test]
    fn each_failure_of_a_run_stands_for_itself() {
        let (events, mut arrived) = Events::channel();
        let mut standing = Standing::default();
        standing.end_badly(&events, &setback(&[refusal()], &[]));
        told(&mut arrived);
        standing.end_badly(&events, &setback(&[refusal(), broken_build()], &[AWAIT]));
        let refused = "+ checks-failed: metrics would refuse its mounted files";
        assert_eq!(told(&mut arrived), [refused, "+ build-failed: 1 error"]);
        standing.end_badly(&events, &setback(&[refusal()], &[]));
        assert_eq!(told(&mut arrived), ["- build-failed", refused]);
        standing.end_well(&events, None);
        assert_eq!(told(&mut arrived), ["- checks-failed"]);
    }

    #[test]
    fn what_was_not_tried_again_stands() {
        let (events, mut arrived) = Events::channel();
        let mut standing = Standing::default();
        standing.end_badly(&events, &setback(&[crash()], &[]));
        told(&mut arrived);
        standing.end_badly(&events, &setback(&[broken_build()], &[AWAIT]));
        assert_eq!(told(&mut arrived), ["+ build-failed: 1 error"]);
        let refused = Failure::new(Code::EngineRefused, "it does not answer");
        standing.end_badly(&events, &refused.into());
        assert_eq!(told(&mut arrived), ["+ engine-refused: it does not answer"], "nothing was tried");
        // Well built, it crashes again.
        standing.end_badly(&events, &setback(&[crash()], &[]));
        let crashed = "+ container-exited: web ended with status 3";
        assert_eq!(told(&mut arrived), ["- build-failed", "- engine-refused", crashed]);
        // Nothing is tried, because that version was; then it is another.
        standing.end_well(&events, Some(&crash().failure));
        assert_eq!(told(&mut arrived), [crashed]);
        standing.end_well(&events, None);
        assert_eq!(told(&mut arrived), ["- container-exited"]);
    }

    #[test]
    fn of_one_kind_several_may_stand() {
        let (events, mut arrived) = Events::channel();
        let mut standing = Standing::default();
        let mail = fault("await mail healthy", Code::ContainerExited, "mail ended with status 1");
        standing.end_badly(&events, &setback(&[crash(), mail.clone()], &[]));
        let mailed = "+ container-exited (2): mail ended with status 1";
        assert_eq!(told(&mut arrived), ["+ container-exited: web ended with status 3", mailed]);
        standing.end_badly(&events, &setback(std::slice::from_ref(&mail), &[]));
        assert_eq!(told(&mut arrived), ["- container-exited", mailed], "it keeps its place");
        standing.end_badly(&events, &setback(&[crash(), mail], &[]));
        assert_eq!(told(&mut arrived), ["+ container-exited: web ended with status 3", mailed]);
    }
}
