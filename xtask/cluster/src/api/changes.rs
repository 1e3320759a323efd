//! What an apply would change, counted and put into words. Pure.

use crate::object::{Key, Object};

/// What becomes of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It is not there.
    Create,
    /// It differs; the lines that do.
    Update(Vec<String>),
    /// It is as it should be.
    Unchanged,
    /// The manifests no longer hold it.
    Remove,
}

/// What an apply would change.
#[derive(Debug)]
pub struct Changes {
    /// Each object that is there or will be.
    pub items: Vec<(Key, Change)>,
    pub(super) wanted: Vec<Object>,
    pub(super) force: bool,
}

impl Changes {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.items.iter().all(|(_, change)| *change == Change::Unchanged)
    }

    /// How many objects are created, changed and removed.
    pub fn count(&self) -> (usize, usize, usize) {
        let count = |wanted: fn(&Change) -> bool| self.items.iter().filter(|(_, it)| wanted(it)).count();
        (
            count(|change| *change == Change::Create),
            count(|change| matches!(change, Change::Update(_))),
            count(|change| *change == Change::Remove),
        )
    }

    /// `2 created, 1 changed`
    pub fn told(&self) -> String {
        let (created, changed, removed) = self.count();
        let parts = [(created, "created"), (changed, "changed"), (removed, "removed")];
        let parts: Vec<String> =
            parts.iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{n} {word}")).collect();
        if parts.is_empty() {
            format!("{} objects, no difference", self.items.len())
        } else {
            parts.join(", ")
        }
    }

    /// The difference as text, an object's lines below its name.
    pub fn text(&self) -> String {
        let told = |(key, change): &(Key, Change)| {
            let (verb, lines): (&str, &[String]) = match change {
                Change::Unchanged => return None,
                Change::Create => ("create", &[]),
                Change::Remove => ("remove", &[]),
                Change::Update(lines) => ("change", lines),
            };
            let lines: String = lines.iter().map(|line| format!("    {line}\n")).collect();
            Some(format!("{verb} {key}\n{lines}"))
        };
        self.items.iter().filter_map(told).collect()
    }
}
