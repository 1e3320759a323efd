//! The last lines of logs that are chosen, and no more of them in memory than are wanted.
//!
//! Must not: choose, read a log, or show a line.

use std::collections::{BTreeMap, VecDeque};
use std::time::SystemTime;

use super::choice::Verdict;
use crate::engine::LogLine;
use crate::stack::ServiceName;

/// How many times as many lines as are wanted are asked for, where so many were not enough: nine of ten lines of an idle
/// service are probes.
const WIDER: usize = 16;

/// How many lines are asked for then at least: a moment's work.
const WIDE: usize = 1_000;

/// How many last lines are asked for, one after the other, until so many are chosen: first as many, in the end all.
pub(super) fn rounds(most: usize) -> [Option<usize>; 3] {
    [Some(most), Some(most.saturating_mul(WIDER).max(WIDE)), None]
}

/// A line that is chosen, and how many probes were left out between it and the next one.
#[derive(Debug)]
struct Kept {
    /// Its place in time: never before that of a line before it in its log.
    at: Option<SystemTime>,
    line: LogLine,
    probes: usize,
}

/// The last lines of one log that are chosen.
#[derive(Debug)]
pub(super) struct Last {
    most: usize,
    kept: VecDeque<Kept>,
    /// How many probes were left out before the first of them.
    probes: usize,
    /// The time of the newest line, chosen or not.
    pub(super) newest: Option<SystemTime>,
}

impl Last {
    pub(super) fn of(most: usize) -> Self {
        Self { most, kept: VecDeque::new(), probes: 0, newest: None }
    }

    /// Takes the next line of the log.
    pub(super) fn take(&mut self, line: LogLine, verdict: Verdict) {
        self.newest = self.newest.max(line.at);
        match verdict {
            Verdict::Chosen => {
                if self.is_full() {
                    self.kept.pop_front();
                }
                self.kept.push_back(Kept { at: self.newest, line, probes: 0 });
            }
            Verdict::Probe => *self.kept.back_mut().map_or(&mut self.probes, |last| &mut last.probes) += 1,
            Verdict::Other => {}
        }
    }

    /// Whether there are as many as are wanted.
    pub(super) fn is_full(&self) -> bool {
        self.kept.len() >= self.most
    }
}

/// The last lines of each service, whichever of its containers said them, in the order of time; and how many probes were left
/// out since the first of them.
pub(super) fn merged(logs: Vec<(ServiceName, Last)>, most: usize) -> (Vec<(ServiceName, LogLine)>, usize) {
    let mut found: BTreeMap<ServiceName, usize> = BTreeMap::new();
    for (service, last) in &logs {
        *found.entry(service.clone()).or_default() += last.kept.len();
    }
    // Where lines are left out, so is what was said before them.
    let is_whole = |service: &ServiceName| found[service] < most;
    let mut probes: usize =
        logs.iter().filter(|(service, _)| is_whole(service)).map(|(_, last)| last.probes).sum();
    let mut lines: Vec<(ServiceName, Kept)> = logs
        .into_iter()
        .flat_map(|(service, last)| last.kept.into_iter().map(move |kept| (service.clone(), kept)))
        .collect();
    lines.sort_by_key(|(_, kept)| kept.at);
    let lines = lines.into_iter().filter_map(|(service, kept)| {
        let left = found.get_mut(&service)?;
        *left -= 1;
        (*left < most).then(|| {
            probes += kept.probes;
            (service, kept.line)
        })
    });
    let lines = lines.collect();
    (lines, probes)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// A log whose lines are a second each: `-` is a probe, `.` is something else, whatever is not chosen.
    fn log(service: &str, start: u64, most: usize, lines: &[&str]) -> (ServiceName, Last) {
        let mut last = Last::of(most);
        for (second, text) in (start..).zip(lines) {
            let at = Some(SystemTime::UNIX_EPOCH + Duration::from_secs(second));
            let verdict = match *text {
                "-" => Verdict::Probe,
                "." => Verdict::Other,
                _ => Verdict::Chosen,
            };
            last.take(LogLine { at, stderr: false, text: (*text).to_owned() }, verdict);
        }
        (ServiceName::new(service), last)
    }

    fn told(logs: &[(&str, u64, &[&str])], most: usize) -> (Vec<String>, usize) {
        let logs = logs.iter().map(|(service, start, lines)| log(service, *start, most, lines)).collect();
        let (lines, probes) = merged(logs, most);
        (lines.into_iter().map(|(service, line)| format!("{service}{}", line.text)).collect(), probes)
    }

    #[test]
    fn the_last_lines_are_those_of_a_service_whichever_container_said_them() {
        let logs: [(&str, u64, &[&str]); 3] = [("a", 0, &["1"]), ("b", 1, &["2"]), ("a", 2, &["3", "4"])];
        assert_eq!(told(&logs, 9).0, ["a1", "b2", "a3", "a4"]);
        assert_eq!(told(&logs, 2).0, ["b2", "a3", "a4"]);
        assert_eq!(told(&logs, 1).0, ["b2", "a4"]);
    }

    #[test]
    fn what_is_not_chosen_takes_no_place_and_probes_among_the_lines_are_counted() {
        let table: [(&[&str], usize, &[&str], usize); 6] = [
            (&["1", "-", "-", "-"], 1, &["a1"], 3),
            (&["1", "-", "2", ".", "3", "-"], 2, &["a2", "a3"], 1),
            (&["-", "1", "-"], 2, &["a1"], 2),
            (&["-", "1", "-"], 1, &["a1"], 1),
            (&["-", "-"], 3, &[], 2),
            (&["."], 3, &[], 0),
        ];
        for (lines, most, expected, probes) in table {
            let expected: Vec<String> = expected.iter().map(|line| (*line).to_owned()).collect();
            assert_eq!(told(&[("a", 0, lines)], most), (expected, probes), "{most} of {lines:?}");
        }
    }

    #[test]
    fn the_newest_line_is_known_whether_it_is_chosen_or_not() {
        let (_, last) = log("a", 5, 1, &["1", "."]);
        assert_eq!(last.newest, Some(SystemTime::UNIX_EPOCH + Duration::from_secs(6)));
        assert!(last.is_full());
    }

    #[test]
    fn lines_of_one_log_keep_their_order_whatever_their_times() {
        let mut last = Last::of(9);
        for (text, second) in [("1", 7), ("2", 3), ("3", 8)] {
            let at = Some(SystemTime::UNIX_EPOCH + Duration::from_secs(second));
            last.take(LogLine { at, stderr: false, text: text.to_owned() }, Verdict::Chosen);
        }
        let (lines, _) = merged(vec![(ServiceName::new("a"), last)], 9);
        assert_eq!(lines.iter().map(|(_, line)| line.text.as_str()).collect::<Vec<_>>(), ["1", "2", "3"]);
    }

    #[test]
    fn at_first_as_many_as_are_wanted_are_asked_for_and_in_the_end_all() {
        assert_eq!(rounds(20), [Some(20), Some(1_000), None]);
        assert_eq!(rounds(500), [Some(500), Some(8_000), None]);
        assert_eq!(rounds(usize::MAX), [Some(usize::MAX), Some(usize::MAX), None]);
    }
}
