//! How much of each room the tests reach: from the lines that an lcov file counts, without those that are tests
//! themselves, to a row a room and a verdict.
//!
//! Must not: run the measurement.

use std::collections::BTreeMap;

use serde::Serialize;

use super::rooms::Room;

/// How many lines of a hundred the tests must reach. What remains is what cannot be brought about in a test: refusals
/// of the system, `main`.
pub const LEAST: f64 = 90.0;

/// What was measured of one room.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RoomCoverage {
    /// What it is called.
    pub room: String,
    /// How many lines of code it has.
    pub lines: usize,
    /// How many of them ran.
    pub covered: usize,
    /// The same in a hundred.
    pub percent: f64,
    /// Whether it is as much as is promised.
    pub enough: bool,
    /// The files with the most lines that did not run, and how many.
    pub gaps: Vec<(String, usize)>,
}

/// Files, each with its lines, and how often each ran.
pub type Lines = BTreeMap<String, BTreeMap<usize, u64>>;

/// Reads an lcov file. Paths are cut to below `root`; a file that is elsewhere is nobody's room.
pub fn read_lcov(text: &str, root: &str) -> Lines {
    let mut lines = Lines::new();
    let mut file = None;
    for line in text.lines() {
        if let Some(path) = line.strip_prefix("SF:") {
            let path = path.strip_prefix(root).map(|path| path.trim_start_matches(['/', '\\']));
            file = path.map(|path| path.replace('\\', "/"));
        } else if let (Some(file), Some(data)) = (&file, line.strip_prefix("DA:"))
            && let Some((number, count)) = data.split_once(',')
            && let (Ok(number), Ok(count)) = (number.parse(), count.parse::<u64>())
        {
            let ran: &mut u64 = lines.entry(file.clone()).or_default().entry(number).or_default();
            *ran = (*ran).max(count);
        }
    }
    lines
}

/// Removes the lines that are tests: whole files of tests, and the tests at the end of a file, whose text `source` gives.
pub fn without_tests(lines: &mut Lines, source: impl Fn(&str) -> Option<String>) {
    lines.retain(|path, _| !path.split('/').any(|part| matches!(part, "tests" | "tests.rs" | "samples.rs")));
    for (path, lines) in lines.iter_mut() {
        if let Some(first) = source(path).as_deref().and_then(first_line_of_tests) {
            lines.retain(|number, _| *number < first);
        }
    }
}

/// Where a file's tests begin: at `#[cfg(test)]` before a module with a body.
fn first_line_of_tests(text: &str) -> Option<usize> {
    let lines: Vec<&str> = text.lines().collect();
    let at = lines.windows(2).position(|pair| pair[0] == "#[cfg(test)]" && pair[1].ends_with('{'))?;
    Some(at + 1)
}

/// One row a room.
pub fn judge(lines: &Lines, rooms: impl IntoIterator<Item = Room>) -> Vec<RoomCoverage> {
    rooms.into_iter().map(|room| judge_room(lines, room)).collect()
}

#[expect(clippy::cast_precision_loss, reason = "no room has 2^52 lines")]
fn judge_room(lines: &Lines, room: Room) -> RoomCoverage {
    /// As many as a person can act on at once.
    const GAPS: usize = 3;
    let files = lines.iter().filter(|(path, _)| path.starts_with(room.path));
    let (mut all, mut covered, mut gaps) = (0, 0, Vec::new());
    for (path, lines) in files {
        let ran = lines.values().filter(|count| **count > 0).count();
        all += lines.len();
        covered += ran;
        if ran < lines.len() {
            gaps.push((path.clone(), lines.len() - ran));
        }
    }
    gaps.sort_by_key(|(_, missing)| std::cmp::Reverse(*missing));
    gaps.truncate(GAPS);
    // A room without a line was renamed or not measured: that is not enough.
    let percent = if all == 0 { 0.0 } else { covered as f64 * 100.0 / all as f64 };
    RoomCoverage { room: room.name.to_owned(), lines: all, covered, percent, enough: percent >= LEAST, gaps }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: Room = Room { name: "plan", path: "src/plan/" };

    fn percent(lines: &Lines) -> (usize, usize, bool) {
        let row = judge(lines, [ROOM]).remove(0);
        (row.lines, row.covered, row.enough)
    }

    #[test]
    fn a_room_is_the_sum_of_its_files() {
        let text = "SF:/w/src/plan/a.rs\nFN:1,x\nDA:1,5\nDA:2,0\nDA:2,1\nend_of_record\n\
            SF:/w/src/plan/b.rs\nDA:7,0\nDA:8,3\nDA:9,0\nend_of_record\n\
            SF:/w/src/other.rs\nDA:1,0\nend_of_record\nSF:/elsewhere/src/plan/c.rs\nDA:1,0\nend_of_record\n";
        let row = judge(&read_lcov(text, "/w"), [ROOM]).remove(0);
        assert_eq!((row.lines, row.covered, row.enough), (5, 3, false));
        assert_eq!(row.gaps, [("src/plan/b.rs".to_owned(), 2)]);
    }

    #[test]
    fn ninety_of_a_hundred_are_enough_and_one_less_is_not() {
        let lines = |covered: usize| {
            let file = (1..=100).map(|line| (line, u64::from(line <= covered))).collect();
            Lines::from([("src/plan/a.rs".to_owned(), file)])
        };
        assert_eq!(percent(&lines(90)), (100, 90, true));
        assert_eq!(percent(&lines(89)), (100, 89, false));
    }

    #[test]
    fn a_room_of_which_nothing_was_measured_is_not_enough() {
        assert_eq!(percent(&Lines::new()), (0, 0, false));
    }

    #[test]
    fn tests_do_not_count() {
        let four = || (1..=4).map(|line| (line, 1)).collect();
        let mut lines = Lines::from([
            ("src/plan/a.rs".to_owned(), four()),
            ("src/plan/tests/b.rs".to_owned(), four()),
            ("src/plan/tests.rs".to_owned(), four()),
            ("src/plan/c.rs".to_owned(), four()),
        ]);
        let source = |path: &str| {
            // The tests of the second are a file of their own: what follows is code.
            let text = if path.ends_with("a.rs") {
                "fn a() {}\n\n#[cfg(test)]\nmod tests {\n}\n"
            } else {
                "#[cfg(test)]\nmod tests;\n\nfn c() {\n}\n"
            };
            Some(text.to_owned())
        };
        without_tests(&mut lines, source);
        let left: Vec<(&str, Vec<usize>)> =
            lines.iter().map(|(path, lines)| (path.as_str(), lines.keys().copied().collect())).collect();
        assert_eq!(left, [("src/plan/a.rs", vec![1, 2]), ("src/plan/c.rs", vec![1, 2, 3, 4])]);
    }
}
