//! The budgets: each piece of work, what it is measured against, and how far it may go.

use serde::Serialize;

/// A piece of work that has a budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Work {
    /// `dev --detach` with nothing to do, the program alone.
    NothingToDo,
    /// The same with cargo's own start.
    NothingToDoWithCargo,
    /// `dev --detach` with containers absent and images present.
    Cold,
    /// `down --volumes`.
    Down,
    /// A saved file to the new version served, beyond the compiler's own time.
    Save,
    /// The same against what watches for saves too.
    SaveAgainstWatch,
    /// A changed image to a cluster that is up, which leaves the contender the room that its own cluster would.
    Deploy,
    /// The same, both in the room of `deploy-kind`'s cluster.
    DeploySameRoom,
    /// `GET /` without Redis.
    Hello,
    /// `GET /api/visitors`.
    Visitors,
    /// `POST /api/data`.
    Insert,
    /// The service's resident memory under all of these loads.
    Memory,
    /// The same with bodies of nearly the largest size.
    MemoryLargeBodies,
    /// The release image.
    Image,
    /// `cargo xtask --help` on a fresh clone.
    Help,
}

/// What the control plane of a plain `kind create cluster` asks for beyond that of a cluster of `deploy-kind`, in
/// thousandths of a core: kubeadm's 250, 200 and 100 for the API server, the controller manager and the scheduler, seen
/// in a cluster of kind 0.33 with Kubernetes 1.34, against 100, 50 and 50.
pub const PLAIN_CONTROL_PLANE_ASKS_MORE: u32 = 350;

/// What values are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// Seconds; less is better.
    Seconds,
    /// A second; more is better.
    PerSecond,
    /// Bytes of memory, shown in MiB; less is better.
    Memory,
    /// Bytes of what is stored and sent, shown in MB; less is better.
    Bytes,
}

/// How far a piece of work may go.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Limit {
    /// Ours divided by theirs, at most.
    AtMost(f64),
    /// Ours divided by theirs, at least.
    AtLeast(f64),
    /// Ours less theirs, at most, in the unit.
    Beyond(f64),
    /// Ours at most, in the unit.
    Itself(f64),
}

/// A budget.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Budget {
    /// What is done, in words.
    pub work: &'static str,
    /// What values are.
    pub unit: Unit,
    /// How far it may go.
    pub limit: Limit,
}

impl Budget {
    /// Whether it depends on how fast the machine is.
    pub fn is_in_seconds(&self) -> bool {
        self.unit == Unit::Seconds && matches!(self.limit, Limit::Beyond(_) | Limit::Itself(_))
    }
}

impl Work {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 15] = [
        Self::NothingToDo,
        Self::NothingToDoWithCargo,
        Self::Cold,
        Self::Down,
        Self::Save,
        Self::SaveAgainstWatch,
        Self::Deploy,
        Self::DeploySameRoom,
        Self::Hello,
        Self::Visitors,
        Self::Insert,
        Self::Memory,
        Self::MemoryLargeBodies,
        Self::Image,
        Self::Help,
    ];

    /// Its budget (BENCHMARKS.md).
    pub const fn budget(self) -> Budget {
        use Limit::{AtLeast, AtMost, Beyond, Itself};
        use Unit::{Bytes, Memory, PerSecond, Seconds};
        let (work, unit, limit) = match self {
            Self::NothingToDo => ("`dev --detach`, nothing to do, the program alone", Seconds, AtMost(0.1)),
            Self::NothingToDoWithCargo => ("`cargo xtask dev --detach`, nothing to do", Seconds, AtMost(0.3)),
            Self::Cold => ("`dev --detach`, containers absent, images present", Seconds, AtMost(0.6)),
            Self::Down => ("`down --volumes`", Seconds, AtMost(1.0)),
            Self::Save => ("a saved file to the new version served", Seconds, Beyond(0.5)),
            Self::SaveAgainstWatch => ("a saved file to served, against Compose", Seconds, AtMost(0.4)),
            Self::Deploy => ("`deploy-kind`, changed image, cluster up", Seconds, AtMost(0.7)),
            Self::DeploySameRoom => {
                ("`deploy-kind`, as above, both in the cluster that it makes", Seconds, AtMost(1.0))
            }
            Self::Hello => ("`GET /` without Redis", PerSecond, AtLeast(0.9)),
            Self::Visitors => ("`GET /api/visitors`", PerSecond, AtLeast(0.9)),
            Self::Insert => ("`POST /api/data`", PerSecond, AtLeast(0.7)),
            Self::Memory => ("the service's resident memory under these loads", Memory, Itself(32.0 * MIB)),
            Self::MemoryLargeBodies => {
                ("the service's resident memory, posting bodies of 60 KB too", Memory, Itself(32.0 * MIB))
            }
            Self::Image => ("the release image", Bytes, Itself(15e6)),
            Self::Help => ("`cargo xtask --help` on a fresh clone", Seconds, Itself(60.0)),
        };
        Budget { work, unit, limit }
    }
}

/// A mebibyte.
pub(super) const MIB: f64 = 1024.0 * 1024.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_budget_is_one_that_its_unit_can_have() {
        for work in Work::ALL {
            let budget = work.budget();
            // More is better only of rates, and what is compared with nobody has to be below something.
            let (fits, bound) = match budget.limit {
                Limit::AtLeast(ratio) => (budget.unit == Unit::PerSecond, ratio),
                Limit::AtMost(ratio) => (budget.unit == Unit::Seconds, ratio),
                Limit::Beyond(value) => (budget.unit == Unit::Seconds, value),
                Limit::Itself(value) => (budget.unit != Unit::PerSecond, value),
            };
            assert!(fits && bound > 0.0 && !budget.work.is_empty(), "{work:?}: {budget:?}");
        }
    }
}
