//! Reads what `cargo test` says as it comes: what was compiled, which program runs, how each case ended and when.
//!
//! A stable toolchain's test programs do not say how long a case took. They begin the cases in the order of their names,
//! so many at once as they are told, and say at once when one ends: the case that comes Nth in that order begins when
//! the (N − threads)th has ended. That is what [`Reader::finish`] computes.
//!
//! Must not: run anything.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Case, CaseOutcome, Program};

/// Begins cargo's line about a program that ended otherwise than its tests do.
const DIED: &str = "process didn't exit successfully: `";

/// Begins the line of a test that could not run for want of something: `not run: NAME: WHY`.
pub const NOT_RUN: &str = "not run: ";

/// What one call of cargo has said so far. Times are counted from the call.
#[derive(Debug, Default)]
pub struct Reader {
    compiled: Duration,
    /// The programs' names and files. They come on another stream than what the programs say, so they are brought together
    /// by their order.
    names: Vec<(String, String)>,
    /// Files of programs that did not end by themselves.
    died: Vec<String>,
    blocks: Vec<Block>,
}

/// What one program has said.
#[derive(Debug, Default)]
struct Block {
    announced: usize,
    begun: Duration,
    closed: Option<Duration>,
    /// Name, outcome, and when it ended.
    ended: Vec<(String, CaseOutcome, Duration)>,
    /// The case whose outcome stands on a later line, after what its children printed in between.
    open: Option<String>,
    /// What had been printed of a line of the harness when a case said that it did not run.
    cut: String,
    failures: bool,
    /// Cases that said of themselves that they did not run, and why.
    not_run: BTreeMap<String, String>,
    said: BTreeMap<String, Vec<String>>,
    speaker: Option<String>,
}

impl Reader {
    /// Takes a line of either stream, and when it came.
    pub fn line(&mut self, line: &str, at: Duration) {
        let trimmed = line.trim();
        if let Some(rest) = trimmed.strip_prefix("Running ")
            && let Some(name) = program_name(rest)
        {
            self.names.push(name);
        } else if let Some(file) = trimmed.strip_prefix(DIED).and_then(file_name) {
            self.died.push(file.to_owned());
        } else if trimmed.starts_with("Finished `") {
            self.compiled = at;
        } else if let Some(block) = self.blocks.last_mut().filter(|block| block.closed.is_none()) {
            block.line(line, at);
        } else if let Some(announced) = announced(trimmed) {
            self.blocks.push(Block { announced, begun: at, ..Block::default() });
        }
    }

    /// How many cases have passed so far.
    pub fn passed(&self) -> usize {
        let ended = self.blocks.iter().flat_map(|block| &block.ended);
        ended.filter(|(_, outcome, _)| *outcome == CaseOutcome::Passed).count()
    }

    /// How long cargo compiled, and what each program ran, with at most `threads` cases at once. `at` is when the call
    /// ended.
    pub fn finish(self, threads: usize, at: Duration) -> (Duration, Vec<Program>) {
        let mut names = self.names;
        let mut programs = Vec::new();
        // Of those that died, as many as there is nothing of have said nothing.
        for file in &self.died {
            if names.len() > self.blocks.len()
                && let Some(place) = names.iter().position(|(_, named)| named == file)
            {
                let (name, _) = names.remove(place);
                programs.push(Program::silent(name));
            }
        }
        let names = names.into_iter().map(|(name, _)| Some(name)).chain(std::iter::repeat(None));
        programs.extend(self.blocks.into_iter().zip(names).map(|(block, name)| {
            let name = name.unwrap_or_else(|| "tests".to_owned());
            block.finish(name, threads, at)
        }));
        (self.compiled, programs)
    }
}

impl Block {
    fn line(&mut self, line: &str, at: Duration) {
        if let Some((before, name, why)) = not_run(line).filter(|_| !self.failures) {
            self.not_run.insert(name.to_owned(), why.to_owned());
            self.cut.push_str(before);
            return;
        }
        let whole = std::mem::take(&mut self.cut) + line;
        let line = whole.as_str();
        if line.starts_with("test result: ") {
            self.closed = Some(at);
        } else if self.failures {
            self.failure_line(line);
        } else if line == "failures:" {
            self.failures = true;
        } else if let Some((name, rest)) = case(line) {
            match outcome(rest) {
                Some(outcome) => self.ended.push((name.to_owned(), outcome, at)),
                None => self.open = Some(name.to_owned()),
            }
        } else if let Some(outcome) = outcome(line)
            && let Some(name) = self.open.take()
        {
            self.ended.push((name, outcome, at));
        }
    }

    /// `---- plan::tests::an_edit stdout ----`, then what the case said, up to the next or to the list of names.
    fn failure_line(&mut self, line: &str) {
        let head = line.strip_prefix("---- ").and_then(|rest| rest.strip_suffix(" ----"));
        if let Some(name) = head {
            let name = name.strip_suffix(" stdout").unwrap_or(name);
            self.speaker = Some(name.to_owned());
        } else if line == "failures:" {
            self.speaker = None;
        } else if let Some(speaker) = &self.speaker {
            self.said.entry(speaker.clone()).or_default().push(line.to_owned());
        }
    }

    fn finish(mut self, name: String, threads: usize, at: Duration) -> Program {
        let closed = self.closed.unwrap_or(at);
        for (ended, outcome, _) in &mut self.ended {
            if *outcome == CaseOutcome::Passed
                && let Some(why) = self.not_run.remove(ended.as_str())
            {
                *outcome = CaseOutcome::Skipped;
                self.said.insert(ended.clone(), vec![why]);
            }
        }
        let mut order: Vec<&str> = self.ended.iter().map(|(name, ..)| name.as_str()).collect();
        order.sort_unstable();
        let begun = |name: &str| {
            let place = order.binary_search(&name).unwrap_or(0);
            place.checked_sub(threads.max(1)).map_or(self.begun, |before| self.ended[before].2)
        };
        let mut cases: Vec<Case> = self
            .ended
            .iter()
            .map(|(name, outcome, ended)| Case {
                name: name.clone(),
                outcome: *outcome,
                took: ended.saturating_sub(begun(name)),
                said: self.said.remove(name).map(without_blank_ends).unwrap_or_default(),
            })
            .collect();
        if self.closed.is_none() && cases.len() < self.announced {
            let missing = self.announced - cases.len();
            cases.push(broke_off(format!("it ended before {missing} of its {} cases did", self.announced)));
        }
        Program { name, took: closed.saturating_sub(self.begun), cases }
    }
}

impl Program {
    /// One that ended before it said which cases it has.
    fn silent(name: String) -> Self {
        Self {
            name,
            took: Duration::ZERO,
            cases: vec![broke_off("it ended before its cases began".to_owned())],
        }
    }
}

/// The case that stands for a program which did not come to its end.
fn broke_off(said: String) -> Case {
    Case {
        name: "the program itself".to_owned(),
        outcome: CaseOutcome::Failed,
        took: Duration::ZERO,
        said: vec![said],
    }
}

/// `running 12 tests` → 12.
fn announced(line: &str) -> Option<usize> {
    let rest = line.strip_prefix("running ")?;
    rest.strip_suffix(" tests").or_else(|| rest.strip_suffix(" test"))?.parse().ok()
}

/// `unittests src/lib.rs (target/debug/deps/xtask-0123456789abcdef)` → `xtask src/lib.rs`, and the file's name.
fn program_name(rest: &str) -> Option<(String, String)> {
    let (source, path) = rest.strip_suffix(')')?.split_once(" (")?;
    let file = file_name(path)?;
    let name = file.rsplit_once('-').map_or(file, |(name, _)| name);
    Some((format!("{name} {}", source.strip_prefix("unittests ").unwrap_or(source)), file.to_owned()))
}

/// The name of a program's file, of its path with or without options after it.
fn file_name(line: &str) -> Option<&str> {
    let path = line.split('`').next()?.split(" --").next()?;
    path.rsplit(['/', '\\']).next()
}

/// `test plan::tests::an_edit ... ok` → its name, and what stands after the dots: where one case runs at a time, its name
/// is printed before it runs, and what its children print comes between the dots and the outcome.
fn case(line: &str) -> Option<(&str, &str)> {
    let (name, rest) = line.strip_prefix("test ")?.split_once(" ... ")?;
    let name = name.trim_end();
    Some((name.strip_suffix(" - should panic").unwrap_or(name), rest))
}

/// What a case says that did not run: what the harness had printed of a line of its own before, the name, and why. The harness
/// prints a line in pieces, and one case at a time is named before it runs.
fn not_run(line: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = line.split_once(NOT_RUN)?;
    let (name, why) = rest.split_once(": ")?;
    (before.is_empty() || before.starts_with("test ")).then_some((before, name, why))
}

fn outcome(word: &str) -> Option<CaseOutcome> {
    match word {
        "ok" => Some(CaseOutcome::Passed),
        "FAILED" => Some(CaseOutcome::Failed),
        _ if word == "ignored" || word.starts_with("ignored, ") => Some(CaseOutcome::Skipped),
        _ => None,
    }
}

fn without_blank_ends(mut lines: Vec<String>) -> Vec<String> {
    let filled = |line: &String| !line.trim().is_empty();
    lines.truncate(lines.iter().rposition(filled).map_or(0, |last| last + 1));
    lines.drain(..lines.iter().position(filled).unwrap_or(0));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines, each with its second.
    fn read(lines: &[(u64, &str)], threads: usize) -> (Duration, Vec<Program>) {
        let mut reader = Reader::default();
        for (second, line) in lines {
            reader.line(line, Duration::from_secs(*second));
        }
        reader.finish(threads, Duration::from_secs(99))
    }

    fn told(program: &Program) -> Vec<(&str, CaseOutcome, u64)> {
        program.cases.iter().map(|case| (case.name.as_str(), case.outcome, case.took.as_secs())).collect()
    }

    #[test]
    fn every_case_is_read_with_its_time() {
        let (compiled, programs) = read(
            &[
                (1, "   Compiling xtask v0.1.0"),
                (7, "    Finished `test` profile [unoptimized] target(s) in 7.0s"),
                (7, "     Running unittests src/lib.rs (target/debug/deps/xtask-0123456789abcdef)"),
                (10, "running 4 tests"),
                // Two at once: a and b begin at 10, c when the first ends, d when the second does.
                (12, "test b ... ok"),
                (15, "test a - should panic ... ok"),
                (16, "test c ... ignored, needs nothing"),
                (20, "test d     ... ok"),
                (20, "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out"),
                (20, "     Running tests/e2e/main.rs (target/debug/deps/e2e-0123456789abcdef)"),
                (21, "running 1 test"),
                (22, "test only ... ok"),
                (23, "test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out"),
            ],
            2,
        );
        assert_eq!(compiled, Duration::from_secs(7));
        let names: Vec<(&str, u64)> =
            programs.iter().map(|program| (program.name.as_str(), program.took.as_secs())).collect();
        assert_eq!(names, [("xtask src/lib.rs", 10), ("e2e tests/e2e/main.rs", 2)]);
        let (passed, skipped) = (CaseOutcome::Passed, CaseOutcome::Skipped);
        assert_eq!(
            told(&programs[0]),
            [("b", passed, 2), ("a", passed, 5), ("c", skipped, 4), ("d", passed, 5)]
        );
        assert_eq!(told(&programs[1]), [("only", passed, 1)]);
    }

    #[test]
    fn a_failure_keeps_what_it_said_even_when_that_looks_like_another_program() {
        let (_, programs) = read(
            &[
                (0, "running 2 tests"),
                (1, "test bad ... FAILED"),
                (1, "test good ... ok"),
                (1, ""),
                (1, "failures:"),
                (1, ""),
                (1, "---- bad stdout ----"),
                (1, ""),
                (1, "running 7 tests"),
                (1, "test good ... FAILED"),
                (1, "assertion failed"),
                (1, ""),
                (1, ""),
                (1, "failures:"),
                (1, "    bad"),
                (1, ""),
                (2, "test result: FAILED. 1 passed; 1 failed; 0 ignored"),
            ],
            1,
        );
        assert_eq!(programs.len(), 1);
        assert_eq!(programs[0].name, "tests");
        assert_eq!(told(&programs[0]), [("bad", CaseOutcome::Failed, 1), ("good", CaseOutcome::Passed, 0)]);
        assert_eq!(
            programs[0].cases[0].said,
            ["running 7 tests", "test good ... FAILED", "assertion failed"]
        );
        assert!(programs[0].cases[1].said.is_empty());
    }

    #[test]
    fn what_children_print_comes_between_a_case_and_its_outcome() {
        let (_, programs) = read(
            &[
                (0, "running 3 tests"),
                (1, "test a ... deploy: done"),
                (2, "ok, said the child"),
                (3, "ok"),
                (4, "test b ... ok"),
                (4, "ok"),
                (5, "test c ... {\"pods\": 3}"),
                (6, "FAILED"),
                (6, ""),
                (6, "failures:"),
                (6, "test result: FAILED. 2 passed; 1 failed; 0 ignored"),
            ],
            1,
        );
        let (passed, failed) = (CaseOutcome::Passed, CaseOutcome::Failed);
        assert_eq!(told(&programs[0]), [("a", passed, 3), ("b", passed, 1), ("c", failed, 2)]);
    }

    #[test]
    fn a_case_that_says_that_it_did_not_run_was_left_out() {
        let (_, programs) = read(
            &[
                (0, "running 2 tests"),
                (1, "not run: door::opens: there is no key"),
                (1, "test door::opens ... ok"),
                (2, "test door::shuts ... ok"),
                (2, "test result: ok. 2 passed; 0 failed; 0 ignored"),
            ],
            1,
        );
        let (passed, skipped) = (CaseOutcome::Passed, CaseOutcome::Skipped);
        assert_eq!(told(&programs[0]), [("door::opens", skipped, 1), ("door::shuts", passed, 1)]);
        assert_eq!(programs[0].cases[0].said, ["there is no key"]);
    }

    #[test]
    fn what_a_case_says_may_come_in_the_middle_of_a_line() {
        let (_, programs) = read(
            &[
                (0, "running 3 tests"),
                (1, "test a ... not run: b: there is no key"),
                (1, "ok"),
                (2, "test b ... oknot run: c: there is no door"),
                (2, ""),
                (3, "test c ... ok"),
                (3, "test result: ok. 3 passed; 0 failed; 0 ignored"),
            ],
            1,
        );
        let (passed, skipped) = (CaseOutcome::Passed, CaseOutcome::Skipped);
        assert_eq!(told(&programs[0]), [("a", passed, 1), ("b", skipped, 1), ("c", skipped, 1)]);
        assert_eq!(programs[0].cases[2].said, ["there is no door"]);
    }

    #[test]
    fn a_program_that_dies_before_its_first_case_is_a_failure_of_its_own() {
        let (_, programs) = read(
            &[
                (0, "     Running tests/dies.rs (target/debug/deps/dies-0123456789abcdef)"),
                (1, "error: test failed, to rerun pass `-p a --test dies`"),
                (1, "Caused by:"),
                (
                    1,
                    "  process didn't exit successfully: `/a b/target/debug/deps/dies-0123456789abcdef --test-threads=2` \
                     (signal: 6, SIGABRT: process abort signal)",
                ),
                (1, "     Running tests/lives.rs (target/debug/deps/lives-0123456789abcdef)"),
                (2, "running 1 test"),
                (3, "test only ... ok"),
                (3, "test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out"),
            ],
            2,
        );
        let names: Vec<&str> = programs.iter().map(|program| program.name.as_str()).collect();
        assert_eq!(names, ["dies tests/dies.rs", "lives tests/lives.rs"]);
        assert_eq!(told(&programs[0]), [("the program itself", CaseOutcome::Failed, 0)]);
        assert_eq!(told(&programs[1]), [("only", CaseOutcome::Passed, 1)]);
    }

    #[test]
    fn a_program_that_breaks_off_is_a_failure() {
        let (_, programs) = read(&[(0, "running 3 tests"), (4, "test a ... ok")], 1);
        assert_eq!(
            told(&programs[0]),
            [("a", CaseOutcome::Passed, 4), ("the program itself", CaseOutcome::Failed, 0)]
        );
        assert_eq!(programs[0].cases[1].said, ["it ended before 2 of its 3 cases did"]);
        assert_eq!(programs[0].took, Duration::from_secs(99));
    }

    #[test]
    fn a_program_all_of_whose_cases_ended_has_not_broken_off() {
        let (_, programs) = read(&[(0, "running 1 test"), (4, "test a ... ok")], 1);
        assert_eq!(told(&programs[0]), [("a", CaseOutcome::Passed, 4)]);
    }

    #[test]
    fn how_many_have_passed_is_known_meanwhile() {
        let mut reader = Reader::default();
        let lines = ["running 4 tests", "test a ... ok", "test b ... FAILED", "test c ... ok"];
        for line in lines {
            reader.line(line, Duration::ZERO);
        }
        assert_eq!(reader.passed(), 2);
    }

    #[test]
    fn nothing_is_read_out_of_other_lines() {
        for line in ["test of patience", "running late", "test a ... maybe", "Running late", "failures:"] {
            let (_, programs) = read(&[(0, line)], 1);
            assert_eq!(programs, [], "{line}");
        }
        assert_eq!(Reader::default().passed(), 0);
    }
}
