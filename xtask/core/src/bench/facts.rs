//! What figures depend on besides the program: the machine, and the commit that was measured.

use serde::Serialize;

/// Names and values, in the order in which they are shown.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Facts(pub Vec<(String, String)>);

/// What is measured: some groups measure the checkout as it stands, others a clone of its commit. Only where the two
/// are the same does the commit say what the figures are those of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    name: String,
    changed: Vec<String>,
}

/// How many changed files are named.
const NAMED: usize = 3;

impl Commit {
    /// The commit that is checked out, as a person names it, and what `git status --porcelain` says of the files.
    pub fn new(name: &str, status: &str) -> Self {
        // Two letters and a blank stand before the path.
        let changed = status.lines().filter_map(|line| line.get(3..)).map(str::to_owned).collect();
        Self { name: name.to_owned(), changed }
    }

    /// What the table of facts says of it; `now` is what is checked out at the end.
    pub fn told_with(&self, now: &Self) -> String {
        if self == now { self.told() } else { format!("{}; at the end {}", self.told(), now.told()) }
    }

    fn told(&self) -> String {
        if self.changed.is_empty() {
            self.name.clone()
        } else {
            format!("{}, {}", self.name, self.difference())
        }
    }

    fn difference(&self) -> String {
        let named = self.changed.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
        let more = match self.changed.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        format!("with uncommitted changes ({named}{more})")
    }

    /// Why a page must not call what was measured this commit, if it must not. `now` is what is checked out at the end.
    pub fn is_not_what_was_measured(&self, now: &Self) -> Option<String> {
        if !self.changed.is_empty() {
            return Some(format!("what would be measured is {}", self.told()));
        }
        (self != now).then(|| format!("the checkout was {} and became {}", self.told(), now.told()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_with_changes_is_called_so_and_is_no_commit_to_measure() {
        let clean = Commit::new("a808b282 of 2026-11-26", "");
        assert_eq!(clean.told(), "a808b282 of 2026-11-26");
        assert_eq!(clean.is_not_what_was_measured(&clean), None);

        let status = " M service/src/lib.rs\n?? new\nR  a -> b\nD  gone\n M x\n";
        let changed = Commit::new("a808b282 of 2026-11-26", status);
        let told =
            "a808b282 of 2026-11-26, with uncommitted changes (service/src/lib.rs, new, a -> b and 2 more)";
        assert_eq!(changed.told(), told);
        let why = changed.is_not_what_was_measured(&changed);
        assert_eq!(why, Some(format!("what would be measured is {told}")));
    }

    #[test]
    fn a_checkout_that_changes_while_it_is_measured_is_noticed() {
        let before = Commit::new("a808b282", "");
        for (name, status, told) in
            [("a808b282", " M x", "a808b282, with uncommitted changes (x)"), ("b", "", "b")]
        {
            let why = before.is_not_what_was_measured(&Commit::new(name, status));
            assert_eq!(why, Some(format!("the checkout was a808b282 and became {told}")));
            let now = Commit::new(name, status);
            assert_eq!(before.told_with(&now), format!("a808b282; at the end {told}"));
            assert_eq!(now.told_with(&now), told);
        }
    }
}
