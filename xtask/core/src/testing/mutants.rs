//! What came of changes that were made to see whether a test notices. Pure: the lists that cargo-mutants keeps in, figures
//! out.

use std::fmt;

/// What came of the mutants of a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tally {
    /// A test failed.
    pub caught: usize,
    /// The tests did not end: the change made something endless, or the machine was busy.
    pub timed_out: usize,
    /// They did not compile.
    pub unviable: usize,
    /// No test failed; each in cargo-mutants' words.
    pub missed: Vec<String>,
}

impl Tally {
    /// From the lists, a mutant a line.
    pub fn of(caught: &str, timeout: &str, unviable: &str, missed: &str) -> Self {
        Self {
            caught: caught.lines().count(),
            timed_out: timeout.lines().count(),
            unviable: unviable.lines().count(),
            missed: missed.lines().map(str::to_owned).collect(),
        }
    }

    /// How many there were.
    pub fn tried(&self) -> usize {
        self.caught + self.timed_out + self.unviable + self.missed.len()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let judged = self.caught + self.timed_out + self.missed.len();
        write!(
            formatter,
            "{} of {judged} caught, {} by a time-out, {} did not compile",
            self.caught + self.timed_out,
            self.timed_out,
            self.unviable
        )
    }
}

/// Whether this is a part as cargo-mutants names one: `K/N`, K from 0 to below N.
pub fn is_shard(text: &str) -> bool {
    let numbers = text
        .split_once('/')
        .and_then(|(part, parts)| Some((part.parse::<u32>().ok()?, parts.parse::<u32>().ok()?)));
    numbers.is_some_and(|(part, parts)| part < parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_noticed_is_kept_and_the_rest_counted() {
        let tally = Tally::of("a\nb\n", "c\n", "d\n", "e: replace + with -\n");
        assert_eq!(tally.missed, ["e: replace + with -"]);
        assert_eq!(
            (tally.tried(), tally.to_string()),
            (5, "3 of 4 caught, 1 by a time-out, 1 did not compile".to_owned())
        );
        assert_eq!(Tally::of("", "", "", "").tried(), 0);
    }

    #[test]
    fn a_shard_is_one_of_its_number() {
        for (text, is) in [("0/1", true), ("3/16", true), ("16/16", false), ("1", false), ("a/2", false)] {
            assert_eq!(is_shard(text), is, "{text}");
        }
    }
}
