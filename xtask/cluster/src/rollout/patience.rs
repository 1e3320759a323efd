//! How long problems have lasted. Pure: the time is handed in.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Problem, ProblemKind};

/// Remembers when each problem was first seen. One that goes is forgotten.
#[derive(Debug, Default)]
pub struct Patience {
    since: BTreeMap<(String, Option<String>, ProblemKind), Duration>,
}

impl Patience {
    /// The problems that have lasted longer than they may, `now` being the time since the rollout began.
    pub fn overdue(&mut self, problems: &[Problem], now: Duration) -> Vec<Problem> {
        let key = |problem: &Problem| (problem.workload.clone(), problem.pod.clone(), problem.kind);
        let standing: Vec<_> = problems.iter().map(key).collect();
        self.since.retain(|key, _| standing.contains(key));
        problems
            .iter()
            .filter(|problem| {
                let since = *self.since.entry(key(problem)).or_insert(now);
                now.saturating_sub(since) >= problem.kind.patience()
            })
            .cloned()
            .collect()
    }
}
