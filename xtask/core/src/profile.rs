//! Where the time of a start went: the chain of steps that it was as long as, what each of them waited for, and how much
//! later the others could have ended. Pure: computed from what was done when, as a run tells it or as its log does.

use std::time::{Duration, Instant, SystemTime};

use serde::Serialize;
use serde_json::Value;

use crate::event::{PlannedStep, StepId, seconds};
use crate::execute::Report;

/// One plan that was carried out.
#[derive(Debug, Clone, PartialEq)]
pub struct Pass {
    /// When it began, from the beginning of the start.
    pub begun: Duration,
    /// Its steps.
    pub steps: Vec<Taken>,
}

/// A step, and when it was carried out.
#[derive(Debug, Clone, PartialEq)]
pub struct Taken {
    /// As the plan announced it.
    pub step: PlannedStep,
    /// When it began and ended, from the beginning of the start; `None` when it was not begun.
    pub during: Option<(Duration, Duration)>,
}

/// Where the time went.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Profile {
    /// How long it took until the last thing was ready.
    #[serde(serialize_with = "seconds")]
    pub took: Duration,
    /// How much of that was over before the first step of the chain could begin.
    #[serde(serialize_with = "seconds")]
    pub before: Duration,
    /// The steps one of which began when the one before it ended: what has to be shorter for the start to be.
    pub path: Vec<Link>,
    /// The other steps, those that could have ended least later first.
    pub others: Vec<Other>,
}

/// A step that the start was waiting for.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Link {
    /// What it did.
    pub step: String,
    /// How long it worked.
    #[serde(serialize_with = "seconds")]
    pub worked: Duration,
    /// When it ended.
    #[serde(serialize_with = "seconds")]
    pub until: Duration,
    /// What it waited for when everything else that it needs was there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waited: Option<Waited>,
}

/// A wait of one step for another.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Waited {
    /// For which step.
    pub on: String,
    /// How long.
    #[serde(rename = "for", serialize_with = "seconds")]
    pub time: Duration,
}

/// A step that nobody was kept waiting by.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Other {
    /// What it did.
    pub step: String,
    /// How long it worked.
    #[serde(serialize_with = "seconds")]
    pub worked: Duration,
    /// When it ended.
    #[serde(serialize_with = "seconds")]
    pub until: Duration,
    /// How much later it could have ended.
    #[serde(serialize_with = "seconds")]
    pub slack: Duration,
}

impl Pass {
    /// What a run tells of a plan that it began to carry out at `begun`; the start began at `start`.
    pub fn of(steps: Vec<PlannedStep>, report: &Report, begun: Instant, start: Instant) -> Self {
        let since = |at: Instant| at.saturating_duration_since(start);
        let taken = |step: PlannedStep| {
            let during = report.spent.get(&step.step).map(|spent| (since(spent.began), since(spent.ended)));
            Taken { step, during }
        };
        Self { begun: since(begun), steps: steps.into_iter().map(taken).collect() }
    }
}

impl Profile {
    /// Of the plans of a start in their order. `None` when nothing was done.
    pub fn of(passes: &[Pass]) -> Option<Self> {
        let steps = Steps::of(passes);
        let last = steps.last()?;
        let took = steps.during(last)?.1;
        let mut path = vec![last];
        while let Some(before) = steps.awaited(path[path.len() - 1]) {
            path.push(before);
        }
        path.reverse();
        let link = |&index: &usize| {
            let (began, ended) = steps.during(index)?;
            let waited = steps.waited(index);
            Some(Link { step: steps.title(index), worked: ended.saturating_sub(began), until: ended, waited })
        };
        let slacks = steps.slacks(took);
        let other = |index: usize| {
            let (began, ended) = steps.during(index)?;
            // What ends later keeps nobody waiting.
            let slack = slacks[index].filter(|_| ended <= took)?;
            let worked = ended.saturating_sub(began);
            Some(Other { step: steps.title(index), worked, until: ended, slack })
        };
        let mut others: Vec<Other> =
            (0..steps.all.len()).filter(|index| !path.contains(index)).filter_map(other).collect();
        others.sort_by_key(|other| (other.slack, other.until));
        let before = steps.during(path[0])?.0;
        Some(Self { took, before, path: path.iter().filter_map(link).collect(), others })
    }
}

/// The steps of all plans, numbered through.
struct Steps<'a> {
    all: Vec<(&'a Taken, Duration)>,
    /// Those that each one needed and that were begun; of those that were not, what they needed.
    needs: Vec<Vec<usize>>,
}

impl<'a> Steps<'a> {
    fn of(passes: &'a [Pass]) -> Self {
        let mut steps = Self { all: Vec::new(), needs: Vec::new() };
        for pass in passes {
            let first = steps.all.len();
            for taken in &pass.steps {
                let mut needs = Vec::new();
                for need in &taken.step.needs {
                    let need = first + need.0 as usize - 1;
                    match passes_through(&steps, need) {
                        Some(behind) => needs.extend(behind),
                        None => needs.push(need),
                    }
                }
                needs.sort_unstable();
                needs.dedup();
                steps.needs.push(needs);
                steps.all.push((taken, pass.begun));
            }
        }
        steps
    }

    fn title(&self, index: usize) -> String {
        self.all[index].0.step.title.clone()
    }

    fn during(&self, index: usize) -> Option<(Duration, Duration)> {
        self.all[index].0.during
    }

    fn ended(&self, index: usize) -> Duration {
        self.during(index).map_or(Duration::ZERO, |(_, ended)| ended)
    }

    /// The step with which everything was ready: what is taken away afterwards keeps nobody waiting.
    fn last(&self) -> Option<usize> {
        let begun = || (0..self.all.len()).filter(|&index| self.during(index).is_some());
        let latest =
            |indices: &mut dyn Iterator<Item = usize>| indices.max_by_key(|&index| self.ended(index));
        latest(&mut begun().filter(|&index| self.all[index].0.step.makes_ready))
            .or_else(|| latest(&mut begun()))
    }

    /// The one of its needs that ended last.
    fn awaited(&self, index: usize) -> Option<usize> {
        self.needs[index].iter().copied().max_by_key(|&need| self.ended(need))
    }

    fn waited(&self, index: usize) -> Option<Waited> {
        let on = self.awaited(index)?;
        let others = self.needs[index].iter().filter(|&&need| need != on);
        let rest = others.map(|&need| self.ended(need)).max()?;
        let time = self.ended(on).saturating_sub(rest.max(self.all[index].1));
        Some(Waited { on: self.title(on), time })
    }

    /// How much later each could have ended without anything being ready later than `end`.
    fn slacks(&self, end: Duration) -> Vec<Option<Duration>> {
        let mut latest = vec![end; self.all.len()];
        // Needs point backwards.
        for index in (0..self.all.len()).rev() {
            let Some((began, ended)) = self.during(index).filter(|(_, ended)| *ended <= end) else {
                continue;
            };
            let start = latest[index].saturating_sub(ended.saturating_sub(began));
            for &need in &self.needs[index] {
                latest[need] = latest[need].min(start);
            }
        }
        let slack = |index: usize| Some(latest[index].saturating_sub(self.during(index)?.1));
        (0..self.all.len()).map(slack).collect()
    }
}

/// What stands behind a step that was not begun, because nothing had to be done.
fn passes_through(steps: &Steps<'_>, need: usize) -> Option<Vec<usize>> {
    steps.during(need).is_none().then(|| steps.needs[need].clone())
}

/// A start that a run log tells of: when it began, in RFC 3339, and where its time went.
#[derive(Debug, Clone, PartialEq)]
pub struct Start {
    /// When it began.
    pub at: String,
    /// Where the time went.
    pub profile: Profile,
}

/// Reads the log of one run of `dev`. `None` when it did not come to its end, or had nothing to do.
pub fn read(log: &str) -> Option<Start> {
    let mut events = log.lines().map_while(|line| serde_json::from_str::<Value>(line).ok());
    let first = events.next().filter(|event| event["event"] == "run-started")?;
    let start = moment(&first)?;
    let mut passes: Vec<Pass> = Vec::new();
    for event in events {
        let at = moment(&event)?.duration_since(start).unwrap_or_default();
        let step = || usize::try_from(event["step"].as_u64()?).ok()?.checked_sub(1);
        match event["event"].as_str()? {
            "planned" => passes.push(Pass { begun: at, steps: planned(&event)? }),
            "step-started" => passes.last_mut()?.steps.get_mut(step()?)?.during = Some((at, at)),
            "step-finished" => {
                if let Some(during) = &mut passes.last_mut()?.steps.get_mut(step()?)?.during {
                    during.1 = at;
                }
            }
            "summary" => {
                let at = first["timestamp"].as_str()?.to_owned();
                return Some(Start { at, profile: Profile::of(&passes)? });
            }
            _ => {}
        }
    }
    None
}

fn planned(event: &Value) -> Option<Vec<Taken>> {
    let number = |value: &Value| u32::try_from(value.as_u64()?).ok().map(StepId);
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let step = |step: &Value| {
        let own = number(&step["step"])?;
        let need = |value: &Value| number(value).filter(|need| (StepId(1)..own).contains(need));
        let needs = step["needs"].as_array()?.iter().map(need).collect::<Option<_>>()?;
        let (title, cause) = (text(&step["title"])?, text(&step["cause"])?);
        let makes_ready = step["makes_ready"].as_bool().unwrap_or_default();
        let step = PlannedStep { step: own, title, cause, needs, makes_ready };
        Some(Taken { step, during: None })
    };
    event["steps"].as_array()?.iter().map(step).collect()
}

fn moment(event: &Value) -> Option<SystemTime> {
    humantime::parse_rfc3339(event["timestamp"].as_str()?).ok()
}

#[cfg(test)]
mod tests;
