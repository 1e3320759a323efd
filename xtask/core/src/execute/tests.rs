//! What execution promises, against an operator that does as it is told: tables, and properties over random plans.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use proptest::prelude::*;
use tokio_util::sync::CancellationToken;

use super::{Effect, Halt, Operator, Report, execute};
use crate::event::{Arriving, Event, Events, Outcome, StepId, StepReporter};
use crate::failure::{Code, Failure};
use crate::limits;
use crate::plan::{Action, Cause, Need, On, Plan, Step};
use crate::stack::VolumeName;

/// More than any of these tests needs on the slowest machine; less means that it hangs.
const BOUND: Duration = Duration::from_secs(30);

/// What an operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Does {
    Changes,
    Nothing,
    Fails,
    /// Goes on until it is dropped.
    Hangs,
    /// Fires the token and then changes something.
    Cancels,
}

/// An operator that does as it is told, step by step, and writes down what it was asked.
struct Obedient {
    does: Vec<Does>,
    /// How many turns of the scheduler each operation takes.
    turns: Vec<u8>,
    cancel: CancellationToken,
    begun: RefCell<Vec<u32>>,
    dropped: RefCell<Vec<u32>>,
    running: Cell<usize>,
    most: Cell<usize>,
}

impl Obedient {
    fn new(does: &[Does]) -> Self {
        Self {
            does: does.to_vec(),
            // Of steps that begin at once the first ends first.
            turns: (1..=9).collect(),
            cancel: CancellationToken::new(),
            begun: RefCell::default(),
            dropped: RefCell::default(),
            running: Cell::new(0),
            most: Cell::new(0),
        }
    }
}

/// Notices when an operation is dropped before its end.
struct Under<'a> {
    operator: &'a Obedient,
    number: u32,
    ended: bool,
}

impl Drop for Under<'_> {
    fn drop(&mut self) {
        self.operator.running.set(self.operator.running.get() - 1);
        if !self.ended {
            self.operator.dropped.borrow_mut().push(self.number);
        }
    }
}

impl Operator for Obedient {
    async fn perform(&self, action: &Action, _reporter: &StepReporter) -> Result<Effect, Failure> {
        let Action::CreateVolume(name) = action else {
            panic!("the plans of these tests only create volumes")
        };
        let number: u32 = name.as_str().parse().expect("volumes are numbered");
        let index = number as usize - 1;
        self.begun.borrow_mut().push(number);
        self.running.set(self.running.get() + 1);
        self.most.set(self.most.get().max(self.running.get()));
        let mut under = Under { operator: self, number, ended: false };
        for _ in 0..self.turns[index % self.turns.len()] {
            tokio::task::yield_now().await;
        }
        let does = self.does[index];
        if does == Does::Hangs {
            std::future::pending::<()>().await;
        }
        under.ended = true;
        match does {
            Does::Nothing => Ok(Effect::unchanged()),
            Does::Fails => Err(Failure::new(Code::EngineRefused, format!("refused {number}"))),
            Does::Cancels => {
                self.cancel.cancel();
                Ok(Effect::changed())
            }
            Does::Changes | Does::Hangs => Ok(Effect::changed().detail("made")),
        }
    }
}

/// A step that creates the volume of its own number.
fn step(number: u32, needs: &[(u32, On)], optional: bool) -> Step {
    Step {
        action: Action::CreateVolume(VolumeName::new(number.to_string())),
        cause: Cause::Missing,
        needs: needs.iter().map(|&(step, on)| Need { step: StepId(step), on }).collect(),
        optional,
    }
}

/// Steps with what each needs.
fn plan(needs: &[&[(u32, On)]]) -> Plan {
    let steps = (1..).zip(needs).map(|(number, needs)| step(number, needs, false)).collect();
    Plan { steps, notes: Vec::new() }
}

/// Carries out a plan; gives the report and what was told, a word or two an event.
fn run(plan: &Plan, operator: &Obedient, halt: Option<&Halt>) -> (Report, Vec<String>) {
    let (events, receiver) = Events::channel();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let report = runtime.block_on(async {
        let executed = execute(plan, operator, &events, &operator.cancel, halt);
        tokio::time::timeout(BOUND, executed).await.expect("an execution ends")
    });
    drop(events);
    (report, told(receiver))
}

fn told(mut receiver: Arriving) -> Vec<String> {
    let mut words = Vec::new();
    while let Ok(event) = receiver.try_recv() {
        words.push(match event {
            Event::StepStarted { step, title, service } => {
                assert_eq!(title, format!("create volume {}", step.0));
                assert_eq!(service, None);
                format!("{} begins", step.0)
            }
            Event::StepFinished { step, title, outcome, .. } => {
                assert_eq!(title, format!("create volume {}", step.0));
                let how = match outcome {
                    Outcome::Done { detail } => detail.unwrap_or_else(|| "done".to_owned()),
                    Outcome::Unchanged => "unchanged".to_owned(),
                    Outcome::Skipped { because } => format!("skipped: {because}"),
                    Outcome::Cancelled => "cancelled".to_owned(),
                    Outcome::Failed { message } => message,
                };
                format!("{} {how}", step.0)
            }
            Event::Warning { text } => format!("warning: {text}"),
            Event::Note { text } => format!("note: {text}"),
            other => panic!("{other:?}"),
        });
    }
    words
}

fn messages(report: &Report) -> Vec<&str> {
    report.failures.iter().map(|(_, failure)| failure.message.as_str()).collect()
}

#[test]
fn steps_go_in_the_order_of_their_needs() {
    let operator = Obedient::new(&[Does::Changes, Does::Nothing, Does::Changes]);
    let chain = plan(&[&[], &[(1, On::Done)], &[(2, On::Done)]]);
    let (report, told) = run(&chain, &operator, None);
    assert_eq!(told, ["1 begins", "1 made", "2 begins", "2 unchanged", "3 begins", "3 made"]);
    assert!(report.failures.is_empty() && !report.cancelled);
}

#[test]
fn an_empty_plan_ends_at_once() {
    let (report, told) = run(&plan(&[]), &Obedient::new(&[]), None);
    assert!(told.is_empty() && report.failures.is_empty() && !report.cancelled);
}

#[test]
fn independent_steps_run_at_once_and_no_more_than_the_bound() {
    let many = limits::PARALLEL * 2 + 3;
    let operator = Obedient::new(&vec![Does::Changes; many]);
    let (_, told) = run(&plan(&vec![&[] as &[_]; many]), &operator, None);
    assert_eq!(operator.most.get(), limits::PARALLEL);
    assert_eq!(told.len(), 2 * many);
    assert!(told[..limits::PARALLEL].iter().all(|word| word.ends_with("begins")), "{told:?}");
}

#[test]
fn a_failure_skips_what_needs_it_and_nothing_else() {
    let operator = Obedient::new(&[Does::Fails, Does::Changes, Does::Changes, Does::Changes, Does::Changes]);
    let steps = plan(&[&[], &[], &[(1, On::Done), (2, On::Done)], &[(3, On::Changed)], &[(2, On::Done)]]);
    let (report, told) = run(&steps, &operator, None);
    assert_eq!(
        told,
        [
            "1 begins",
            "2 begins",
            "1 refused 1",
            "3 skipped: create volume 1",
            "4 skipped: create volume 3",
            "2 made",
            "5 begins",
            "5 made"
        ]
    );
    assert_eq!(messages(&report), ["refused 1"]);
    assert_eq!(*operator.begun.borrow(), [1, 2, 5]);
}

#[test]
fn what_is_for_a_failure_is_done_only_then() {
    // 2 waits for 1, and 3 is for the case that 2 does not come about, whether it failed or was not tried.
    let steps = plan(&[&[], &[(1, On::Changed)], &[(2, On::Failed)]]);
    let table = [
        ([Does::Changes, Does::Changes], "3 unchanged"),
        ([Does::Changes, Does::Nothing], "3 unchanged"),
        ([Does::Nothing, Does::Changes], "3 unchanged"),
        ([Does::Changes, Does::Fails], "3 made"),
        ([Does::Fails, Does::Changes], "3 made"),
    ];
    for (does, last) in table {
        let operator = Obedient::new(&[does.as_slice(), &[Does::Changes]].concat());
        let (report, told) = run(&steps, &operator, None);
        assert_eq!(told.last().map(String::as_str), Some(last), "{does:?}");
        assert_eq!(report.failures.len(), usize::from(does.contains(&Does::Fails)), "{does:?}");
    }
}

#[test]
fn failures_are_reported_in_the_order_of_failing() {
    let mut operator = Obedient::new(&[Does::Fails, Does::Fails]);
    operator.turns = vec![5, 1];
    let (report, _) = run(&plan(&[&[], &[]]), &operator, None);
    assert_eq!(messages(&report), ["refused 2", "refused 1"]);
}

#[test]
fn what_is_optional_may_fail() {
    let operator = Obedient::new(&[Does::Fails, Does::Changes, Does::Changes]);
    let steps = vec![step(1, &[], true), step(2, &[(1, On::Done)], true), step(3, &[], false)];
    let (report, told) = run(&Plan { steps, notes: Vec::new() }, &operator, None);
    assert!(report.failures.is_empty() && !report.cancelled);
    let expected = [
        "1 begins",
        "3 begins",
        "warning: left out, being optional: refused 1",
        "1 refused 1",
        "2 skipped: create volume 1",
        "3 made",
    ];
    assert_eq!(told, expected);
}

#[test]
fn a_need_on_change_is_met_by_one_that_changed() {
    use Does::{Changes, Fails, Nothing};
    let table = [
        ([Changes, Changes, Changes], "4 made"),
        ([Changes, Nothing, Changes], "4 made"),
        ([Nothing, Changes, Nothing], "4 made"),
        ([Nothing, Nothing, Changes], "4 unchanged"),
        ([Nothing, Nothing, Nothing], "4 unchanged"),
        ([Changes, Fails, Changes], "4 skipped: create volume 2"),
        ([Nothing, Nothing, Fails], "4 skipped: create volume 3"),
    ];
    let steps = plan(&[&[], &[], &[], &[(1, On::Changed), (2, On::Changed), (3, On::Done)]]);
    for (does, expected) in table {
        let mut operator = Obedient::new(&does);
        operator.does.push(Changes);
        let (_, told) = run(&steps, &operator, None);
        assert!(told.contains(&expected.to_owned()), "{does:?}: {told:?}");
        assert_eq!(operator.begun.borrow().contains(&4), expected == "4 made", "{does:?}");
    }
}

#[test]
fn what_changed_nothing_is_passed_on() {
    let operator = Obedient::new(&[Does::Nothing, Does::Changes, Does::Changes, Does::Changes]);
    let steps = plan(&[&[], &[(1, On::Changed)], &[(2, On::Changed)], &[(3, On::Done)]]);
    let (_, told) = run(&steps, &operator, None);
    assert_eq!(told, ["1 begins", "1 unchanged", "2 unchanged", "3 unchanged", "4 begins", "4 made"]);
}

#[test]
fn cancelling_drops_what_runs_and_starts_nothing() {
    let operator = Obedient::new(&[Does::Hangs, Does::Cancels, Does::Changes, Does::Changes, Does::Changes]);
    let steps = plan(&[&[], &[], &[(2, On::Done)], &[(1, On::Done)], &[(4, On::Changed)]]);
    let (report, told) = run(&steps, &operator, None);
    let expected =
        ["1 begins", "2 begins", "2 done", "1 cancelled", "3 cancelled", "4 cancelled", "5 cancelled"];
    assert_eq!(told, expected);
    assert!(report.cancelled && report.failures.is_empty());
    assert_eq!(*operator.dropped.borrow(), [1]);
    assert_eq!(*operator.begun.borrow(), [1, 2]);
}

#[test]
fn a_run_that_is_cancelled_before_it_begins_does_nothing() {
    let operator = Obedient::new(&[Does::Changes]);
    operator.cancel.cancel();
    let (report, told) = run(&plan(&[&[]]), &operator, None);
    assert_eq!(told, ["1 cancelled"]);
    assert!(report.cancelled);
}

#[test]
fn a_run_that_was_done_when_it_was_cancelled_is_done() {
    let operator = Obedient::new(&[Does::Changes, Does::Cancels]);
    let (report, told) = run(&plan(&[&[], &[(1, On::Done)]]), &operator, None);
    assert_eq!(told.last().unwrap(), "2 done");
    assert!(!report.cancelled);
}

#[test]
fn a_failure_is_told_although_the_run_is_cancelled() {
    let mut operator = Obedient::new(&[Does::Fails, Does::Cancels, Does::Changes, Does::Hangs]);
    operator.turns = vec![1, 2];
    let steps = plan(&[&[], &[], &[(1, On::Done)], &[]]);
    let (report, told) = run(&steps, &operator, None);
    assert!(told.contains(&"3 skipped: create volume 1".to_owned()), "{told:?}");
    assert!(told.contains(&"4 cancelled".to_owned()), "{told:?}");
    assert_eq!(messages(&report), ["refused 1"]);
    assert!(report.cancelled);
}

/// Runs until it stands still, and gives what was told until then and what the operator was asked.
fn halted(halt: &str) -> (Vec<String>, Vec<u32>) {
    let steps = plan(&[&[], &[], &[(1, On::Done)], &[(2, On::Done)]]);
    let operator = Obedient::new(&[Does::Changes; 4]);
    let (events, mut receiver) = Events::channel();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let mut seen = Vec::new();
    let halt = Halt::parse(halt).expect("it is one");
    runtime.block_on(async {
        let executed = execute(&steps, &operator, &events, &operator.cancel, Some(&halt));
        tokio::pin!(executed);
        // It goes on with what does not need the step that stands still, then nothing moves any more.
        for _ in 0..100 {
            let moved = futures_util::future::poll_immediate(&mut executed).await;
            assert!(moved.is_none(), "it ended though it should stand still");
            tokio::task::yield_now().await;
        }
        while let Ok(event) = receiver.try_recv() {
            seen.push(event);
        }
        operator.cancel.cancel();
        let report = tokio::time::timeout(BOUND, executed).await.expect("cancelling ends a halt too");
        assert!(report.cancelled);
    });
    let (sender, replayed) = Events::channel();
    for event in seen {
        sender.send(event);
    }
    (told(replayed), operator.begun.into_inner())
}

#[test]
fn a_halt_before_a_step_announces_it_and_does_not_begin_it() {
    let (told, begun) = halted("before:1");
    assert_eq!(told, ["1 begins", "note: halted", "2 begins", "2 made", "4 begins", "4 made"]);
    assert_eq!(begun, [2, 4]);
}

#[test]
fn a_halt_after_a_step_has_done_it_and_does_not_report_it() {
    let (told, begun) = halted("after:1");
    assert_eq!(told, ["1 begins", "2 begins", "note: halted", "2 made", "4 begins", "4 made"]);
    assert_eq!(begun, [1, 2, 4]);
}

prop_compose! {
    /// A random plan: each step needs some of those before it.
    fn any_plan()(steps in prop::collection::vec((any::<u64>(), any::<u64>(), any::<bool>()), 0..24)) -> Plan {
        let steps = (1u32..).zip(steps).map(|(number, (needed, on_change, optional))| {
            // Sparse enough that much runs at once.
            let needs: Vec<(u32, On)> = (1..number)
                .filter(|other| needed >> other & needed >> (other + 7) & 1 == 1)
                .map(|other| (other, if on_change >> other & 1 == 1 { On::Changed } else { On::Done }))
                .collect();
            step(number, &needs, optional)
        });
        Plan { steps: steps.collect(), notes: Vec::new() }
    }
}

fn any_operation() -> impl Strategy<Value = Does> {
    prop_oneof![
        6 => Just(Does::Changes),
        3 => Just(Does::Nothing),
        2 => Just(Does::Fails),
        1 => Just(Does::Cancels),
    ]
}

proptest! {
    #[test]
    fn every_step_ends_once_as_the_plan_says(
        plan in any_plan(),
        does in prop::collection::vec(any_operation(), 24),
        turns in prop::collection::vec(0u8..5, 1..7),
    ) {
        let operator = Obedient { turns, ..Obedient::new(&does) };
        let (report, told) = run(&plan, &operator, None);
        let place = |word: &str| told.iter().position(|told| told == word);
        let end = |number: u32| {
            let prefix = format!("{number} ");
            let ends: Vec<(usize, &str)> = (0..)
                .zip(&told)
                .filter_map(|(place, told)| Some((place, told.strip_prefix(&prefix)?)))
                .filter(|(_, how)| *how != "begins")
                .collect();
            prop_assert_eq!(ends.len(), 1, "step {} in {:?}", number, &told);
            Ok(ends[0])
        };
        let fired = operator.begun.borrow().iter().any(|&number| does[number as usize - 1] == Does::Cancels);
        let mut failures = 0;
        let mut cancelled = false;
        for (id, step) in plan.numbered() {
            let (ended_at, how) = end(id.0)?;
            let begun_at = place(&format!("{} begins", id.0));
            let mut changed = None;
            let mut unmet = false;
            for need in &step.needs {
                let (need_at, need_how) = end(need.step.0)?;
                if let Some(begun_at) = begun_at {
                    prop_assert!(need_at < begun_at, "{} began before {} ended: {:?}", id.0, need.step.0, told);
                }
                let need_changed = matches!(need_how, "made" | "done");
                unmet |= !(need_changed || need_how == "unchanged");
                if need.on == On::Changed {
                    changed = Some(changed.unwrap_or(false) | need_changed);
                }
            }
            match begun_at {
                Some(begun_at) => {
                    prop_assert!(begun_at < ended_at);
                    prop_assert!(!unmet && changed != Some(false), "{} began though it should not: {:?}", id.0, told);
                    let expected = match does[id.0 as usize - 1] {
                        Does::Changes => "made".to_owned(),
                        Does::Cancels => "done".to_owned(),
                        Does::Nothing => "unchanged".to_owned(),
                        Does::Fails => format!("refused {}", id.0),
                        Does::Hangs => unreachable!("not generated"),
                    };
                    prop_assert!(how == expected || how == "cancelled" && fired);
                    failures += usize::from(how.starts_with("refused") && !step.optional);
                }
                None if how == "cancelled" => prop_assert!(fired),
                None if unmet => prop_assert!(how.starts_with("skipped: ") , "{} {how}", id.0),
                None => {
                    prop_assert_eq!(how, "unchanged");
                    prop_assert_eq!(changed, Some(false));
                }
            }
            cancelled |= how == "cancelled";
        }
        prop_assert_eq!(report.failures.len(), failures);
        prop_assert_eq!(report.cancelled, cancelled);
        prop_assert!(operator.most.get() <= limits::PARALLEL);
        prop_assert_eq!(operator.running.get(), 0);
    }
}
