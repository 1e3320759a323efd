//! What containers have said that a `dev` in the foreground followed, from its run logs: of one that is gone nobody else has
//! it.
//!
//! Must not: decide which of them is gone; the engine knows that.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::Deserialize;

use super::{DIRECTORY, EXTENSION};
use crate::limits;

/// What the run logs have.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// The lines, in the order of time.
    pub lines: Vec<SaidLine>,
    /// The newest run log of which an earlier part was not read.
    pub unread: Option<PathBuf>,
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

/// What was said in a project since a time, and since its last `down`: that was to take everything away. At most the last
/// [`limits::SAID`] bytes of the run logs are read.
pub fn said(scratch: &Path, project: &str, since: Option<SystemTime>) -> Said {
    let mut said = Said::default();
    let mut left = limits::SAID;
    for path in logs_since_down(scratch) {
        let is_old = |path: &Path| fs::metadata(path).and_then(|seen| seen.modified()).ok() < since;
        if since.is_some() && is_old(&path) {
            break;
        }
        let Some((text, whole)) = end(&path, left) else { continue };
        left = left.saturating_sub(text.len() as u64);
        let lines = text
            .lines()
            .filter(|line| line.contains("\"event\":\"log\""))
            .filter_map(|line| read(line, project));
        said.lines.extend(lines.filter(|line| since.is_none_or(|since| line.at >= since)));
        if !whole {
            said.unread = Some(path);
            break;
        }
    }
    said.lines.sort_by_key(|line| line.at);
    said
}

/// The run logs of `dev`, the newest first, as far as the last `down`.
fn logs_since_down(scratch: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(scratch.join(DIRECTORY)).into_iter().flatten();
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == EXTENSION));
    paths.sort();
    // `20260921T141320123Z-dev`, or `…-dev-1` for a second one within a millisecond.
    let command = |path: &Path| {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        name.split('-').nth(1).unwrap_or_default().to_owned()
    };
    let newest = paths.into_iter().rev().take_while(|path| command(path) != "down");
    newest.filter(|path| command(path) == "dev").collect()
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

    fn words(said: &Said) -> Vec<&str> {
        said.lines.iter().map(|line| line.text.as_str()).collect()
    }

    #[test]
    fn what_was_said_since_the_last_down_is_found_in_its_order() {
        let scratch = tempfile::tempdir().expect("a directory for the test");
        let of = |project, since| said(scratch.path(), project, since);
        assert_eq!(of("shop", None), Said::default(), "there is no run log yet");
        run(scratch.path(), "dev", 0, "shop", &["taken down"]);
        run(scratch.path(), "down", 5, "shop", &["no dev"]);
        run(scratch.path(), "dev", 10, "shop", &["one", "two"]);
        run(scratch.path(), "dev", 20, "other", &["of another project"]);
        run(scratch.path(), "dev", 30, "shop", &["three"]);
        let all = of("shop", None);
        assert_eq!((words(&all), &all.unread), (vec!["one", "two", "three"], &None));
        let first = &all.lines[0];
        assert_eq!((first.at, first.service.as_str(), first.container.as_str()), (at(11), "web", "c10"));
        assert_eq!(words(&of("shop", Some(at(12)))), ["two", "three"]);
        assert_eq!(words(&of("other", None)), ["of another project"]);
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
