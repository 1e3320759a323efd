//! What containers have said that a `dev` in the foreground followed, from its run logs: of one that is gone nobody else has
//! it.
//!
//! Must not: decide which of them is gone; the engine knows that.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::Deserialize;

use super::{DEV, DIRECTORY, is_of, logs};
use crate::event::WITH_ENGINE;
use crate::limits;

/// What the run logs have.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// The lines, in the order of time.
    pub lines: Vec<SaidLine>,
    /// The newest run log of which an earlier part was not read.
    pub unread: Option<PathBuf>,
    /// The newest run log in which lines are missing, because there was no room for them.
    pub gap: Option<PathBuf>,
}

/// A line of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SaidLine {
    /// When it was seen.
    pub at: SystemTime,
    /// Whose it is.
    pub service: String,
    /// The engine's identifier of the container that said it.
    pub container: String,
    /// Whether it went to standard error.
    pub stderr: bool,
    /// The line, without its end.
    pub text: String,
}

/// A record of a run log, as far as it tells of a line.
#[derive(Deserialize)]
struct Record {
    timestamp: String,
    service: String,
    stderr: bool,
    line: String,
    project: String,
    container: String,
}

/// A record of a run log, as far as it tells that a project's containers are gone.
#[derive(Deserialize)]
struct Down {
    event: String,
    project: String,
}

/// What was said in a project since a time, and since the last `down` that took its containers away: it was to take
/// everything away. At most the last [`limits::SAID`] bytes of the run logs are read.
pub fn said(scratch: &Path, project: &str, since: Option<SystemTime>) -> Said {
    let mut said = Said::default();
    let mut left = limits::SAID;
    for path in logs_since_down(scratch, project) {
        let is_old = |path: &Path| fs::metadata(path).and_then(|seen| seen.modified()).ok() < since;
        if since.is_some() && is_old(&path) {
            break;
        }
        let Some((text, whole)) = end(&path, left) else { continue };
        left = left.saturating_sub(text.len() as u64);
        let lines = text.lines().filter(|line| line.contains("\"event\":\"log\""));
        let ours: Vec<SaidLine> = lines.filter_map(|line| read(line, project)).collect();
        if said.gap.is_none() && !ours.is_empty() && text.lines().any(tells_of_gap) {
            said.gap = Some(path.clone());
        }
        said.lines.extend(ours.into_iter().filter(|line| since.is_none_or(|since| line.at >= since)));
        if !whole {
            said.unread = Some(path);
            break;
        }
    }
    said.lines.sort_by_key(|line| line.at);
    said
}

/// Whether a record says that lines are missing from there on.
fn tells_of_gap(line: &str) -> bool {
    !line.contains("\"event\":\"log\"") && line.contains(WITH_ENGINE)
}

/// The run logs of `dev`, the newest first, as far as the last `down` that took the project's containers away.
fn logs_since_down(scratch: &Path, project: &str) -> Vec<PathBuf> {
    let newest = logs(&scratch.join(DIRECTORY)).unwrap_or_default().into_iter().rev();
    let newest = newest.take_while(|path| !is_of(path, "down") || !is_down(path, project));
    newest.filter(|path| is_of(path, DEV)).collect()
}

/// Whether a run of `down` took a project's containers away: one that was refused, or stopped, has not.
fn is_down(path: &Path, project: &str) -> bool {
    let records = end(path, limits::SAID).map(|(text, _)| text).unwrap_or_default();
    let mut records = records.lines().filter_map(|line| serde_json::from_str::<Down>(line).ok());
    records.any(|record| record.event == "taken-down" && record.project == project)
}

/// The last whole lines of a file, and whether they are all of it.
fn end(path: &Path, most: u64) -> Option<(String, bool)> {
    let mut file = File::open(path).ok()?;
    let before = file.metadata().ok()?.len().saturating_sub(most);
    file.seek(SeekFrom::Start(before)).ok()?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    if before == 0 {
        return Some((text.into_owned(), true));
    }
    Some((text.split_once('\n').map_or_else(String::new, |(_, whole)| whole.to_owned()), false))
}

fn read(line: &str, project: &str) -> Option<SaidLine> {
    let record: Record = serde_json::from_str(line).ok()?;
    if record.project != project {
        return None;
    }
    let at = humantime::parse_rfc3339(&record.timestamp).ok()?;
    let Record { service, container, stderr, line: text, .. } = record;
    Some(SaidLine { at, service, container, stderr, text })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::RunLog;
    use super::*;
    use crate::event::{Event, LogOrigin};

    fn at(second: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000 + second)
    }

    /// Keeps the log of a run in which a container said something once a second from then on.
    fn run(scratch: &Path, command: &str, second: u64, project: &str, words: &[&str]) {
        let mut log = RunLog::create(scratch, command, at(second)).expect("a new log");
        log.record(&Event::Note { text: "\"event\":\"log\"".to_owned() }, at(second))
            .expect("it can be written");
        for (later, word) in (1..).zip(words) {
            let origin = LogOrigin { project: project.to_owned(), container: format!("c{second}") };
            let (service, line) = ("web".to_owned(), (*word).to_owned());
            let event = Event::Log { service, stderr: false, line, origin: Some(origin) };
            log.record(&event, at(second + later)).expect("it can be written");
        }
    }

    /// Keeps the log of a `down`, which may have taken a project's containers away.
    fn down(scratch: &Path, second: u64, taken: Option<&str>) {
        let mut log = RunLog::create(scratch, "down", at(second)).expect("a new log");
        let taken = taken.map(|project| Event::TakenDown { project: project.to_owned() });
        let failure = taken.is_none().then_some("project-busy");
        let ended = Event::RunFinished { took: Duration::ZERO, failure, exit: 0 };
        for event in taken.iter().chain([&ended]) {
            log.record(event, at(second)).expect("it can be written");
        }
    }

    fn words(said: &Said) -> Vec<&str> {
        said.lines.iter().map(|line| line.text.as_str()).collect()
    }

    #[test]
    fn what_was_said_since_the_last_down_is_found_in_its_order() {
        let scratch = tempfile::tempdir().expect("a directory for the test");
        let of = |project, since| said(scratch.path(), project, since);
        assert_eq!(of("shop", None), Said::default(), "there is no run log yet");
        run(scratch.path(), "dev", 0, "shop", &["taken down"]);
        down(scratch.path(), 5, Some("shop"));
        run(scratch.path(), "dev", 10, "shop", &["one", "two"]);
        run(scratch.path(), "dev", 20, "other", &["of another project"]);
        // One that was refused, and one of another project.
        down(scratch.path(), 22, None);
        down(scratch.path(), 24, Some("another"));
        run(scratch.path(), "dev", 30, "shop", &["three"]);
        let all = of("shop", None);
        assert_eq!((words(&all), &all.unread), (vec!["one", "two", "three"], &None));
        let first = &all.lines[0];
        assert_eq!((first.at, first.service.as_str(), first.container.as_str()), (at(11), "web", "c10"));
        assert_eq!(words(&of("shop", Some(at(12)))), ["two", "three"]);
        assert_eq!(words(&of("other", None)), ["of another project"]);
    }

    #[test]
    fn where_there_was_no_room_for_lines_a_gap_is_told() {
        let scratch = tempfile::tempdir().expect("a directory for the test");
        run(scratch.path(), "dev", 0, "shop", &["one", &format!("a service may say: {WITH_ENGINE}")]);
        assert_eq!(said(scratch.path(), "shop", None).gap, None);
        let mut log = RunLog::create(scratch.path(), "dev", at(10)).expect("a new log");
        let origin = Some(LogOrigin { project: "shop".to_owned(), container: "c".to_owned() });
        let line = |line: &str| {
            let (service, line) = ("web".to_owned(), line.to_owned());
            Event::Log { service, stderr: false, line, origin: origin.clone() }
        };
        log.room = Some(crate::run_log::json_line(&line("two"), at(10)).len() as u64);
        for word in ["two", "six"] {
            log.record(&line(word), at(10)).expect("it can be written");
        }
        let seen = said(scratch.path(), "shop", None);
        assert!(!words(&seen).contains(&"six"), "{seen:?}");
        assert_eq!(seen.gap.as_deref(), Some(log.path()));
        assert_eq!(said(scratch.path(), "other", None).gap, None, "it is not of that one");
    }

    #[test]
    fn of_a_long_log_the_end_is_read_in_whole_lines() {
        let directory = tempfile::tempdir().expect("a directory for the test");
        let path = directory.path().join("log");
        fs::write(&path, "first\nsecond\nthird\n").expect("it can be written");
        assert_eq!(end(&path, 100), Some(("first\nsecond\nthird\n".to_owned(), true)));
        assert_eq!(end(&path, 8), Some(("third\n".to_owned(), false)));
        assert_eq!(end(&path, 3), Some((String::new(), false)));
        assert_eq!(end(&directory.path().join("none"), 3), None);
    }
}
