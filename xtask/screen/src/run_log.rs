//! What a run did, kept: every event as a JSON line under `target/homeport/runs/`, the newest runs only. Of what services log
//! in a run that goes on for days, only the beginning. From it a run
//! can be told again: why a step was taken, what a builder said, which step was waited for.
//!
//! Must not: be read back to decide anything. The engine alone says what is.

mod said;

use std::fs::{self, File, TryLockError};
use std::io::{self, BufWriter, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::Serialize;

use crate::event::{Event, WITH_ENGINE};
use crate::limits;

pub use said::{Said, SaidLine, said};

/// Where run logs are kept, below the project's scratch directory (`target/homeport`).
const DIRECTORY: &str = "runs";
/// The command whose services' lines are kept.
const DEV: &str = "dev";
/// What a run log's name ends with.
const EXTENSION: &str = "jsonl";

/// An event with the time it was seen at.
#[derive(Debug, Serialize)]
struct Record<'a> {
    /// RFC 3339, UTC, milliseconds.
    timestamp: String,
    #[serde(flatten)]
    event: &'a Event,
}

/// The event as one line of JSON, without its end: a `timestamp` (RFC 3339, UTC, milliseconds), then the event's own
/// fields. The same line in the run log and with `--format json`.
pub fn json_line(event: &Event, at: SystemTime) -> String {
    let record = Record { timestamp: humantime::format_rfc3339_millis(at).to_string(), event };
    serde_json::to_string(&record).expect("events are plain data with text keys")
}

/// A run log that is being written.
#[derive(Debug)]
pub struct RunLog {
    path: PathBuf,
    file: BufWriter<File>,
    /// How many bytes of services' logs are still kept; `None` once it was told that there is no more room.
    room: Option<u64>,
}

impl RunLog {
    /// Begins the log of one run under `scratch` and drops all but the newest [`limits::RUN_LOGS`]; those that are still
    /// written and the newest one of `dev` stay, because what replaced versions said is nowhere else.
    ///
    /// # Errors
    /// When the directory or the file cannot be made. Old logs that cannot be removed are left.
    pub fn create(scratch: &Path, command: &str, at: SystemTime) -> io::Result<Self> {
        let directory = scratch.join(DIRECTORY);
        fs::create_dir_all(&directory)?;
        let (path, file) = new_file(&directory, command, at)?;
        // For as long as it is written. A file system without locks is no reason to keep no log.
        let _ = file.try_lock();
        prune(&directory, limits::RUN_LOGS)?;
        Ok(Self { path, file: BufWriter::new(file), room: Some(limits::RUN_LOG_LINES) })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds an event. A step's beginning and end reach the disk at once, so that a run that is killed has told how far
    /// it came.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn record(&mut self, event: &Event, at: SystemTime) -> io::Result<()> {
        let line = json_line(event, at);
        if matches!(event, Event::Log { .. }) {
            let Some(room) = self.room else { return Ok(()) };
            self.room = room.checked_sub(line.len() as u64);
            if self.room.is_none() {
                let text = format!("from here on no lines of services are kept: {WITH_ENGINE}");
                return self.record(&Event::Note { text }, at);
            }
        }
        writeln!(self.file, "{line}")?;
        match event {
            Event::StepProgress { .. } | Event::Output { .. } | Event::Log { .. } => Ok(()),
            _ => self.file.flush(),
        }
    }

    /// Writes out what is still held.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for RunLog {
    fn drop(&mut self) {
        // Also of a program that is being started at this moment, which has the file until it is.
        let _ = self.file.get_ref().unlock();
    }
}

/// The beginnings of the logs of a command's runs, the newest first, each at most [`limits::REPORTED_LOG`] long. What cannot
/// be read is left out.
pub fn newest(scratch: &Path, command: &str) -> impl Iterator<Item = String> + use<> {
    let command = command.to_owned();
    let logs = logs(&scratch.join(DIRECTORY)).unwrap_or_default().into_iter().rev();
    logs.filter(move |path| is_of(path, &command)).filter_map(|path| {
        let mut beginning = Vec::new();
        File::open(path).ok()?.take(limits::REPORTED_LOG).read_to_end(&mut beginning).ok()?;
        Some(String::from_utf8_lossy(&beginning).into_owned())
    })
}

/// The run logs in a directory, the oldest first.
fn logs(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut logs: Vec<PathBuf> = fs::read_dir(directory)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == EXTENSION))
        .collect();
    logs.sort();
    Ok(logs)
}

/// Whether a log is one of a command's runs: `20260921T141320123Z-dev`, or `…-dev-1` for a second one within a millisecond.
fn is_of(path: &Path, command: &str) -> bool {
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    let name = name.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end_matches('-');
    name.split_once('-').is_some_and(|(_, of)| of == command)
}

/// Whether its run has not ended.
fn is_written(path: &Path) -> bool {
    let lock = File::open(path).map(|file| file.try_lock_shared());
    matches!(lock, Ok(Err(TryLockError::WouldBlock)))
}

/// A file of a name that no other run has: two runs may begin within one millisecond.
fn new_file(directory: &Path, command: &str, at: SystemTime) -> io::Result<(PathBuf, File)> {
    // Basic format of ISO 8601: no colon, which not every file system takes; sorted by name is sorted by time.
    let time: String =
        humantime::format_rfc3339_millis(at).to_string().chars().filter(|c| !"-:.".contains(*c)).collect();
    let command: String =
        command.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '-' }).collect();
    let mut taken = 0_u32;
    loop {
        let suffix = if taken == 0 { String::new() } else { format!("-{taken}") };
        let path = directory.join(format!("{time}-{command}{suffix}.{EXTENSION}"));
        match File::options().write(true).create_new(true).open(&path) {
            Ok(file) => return Ok((path, file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => taken += 1,
            Err(error) => return Err(error),
        }
    }
}

fn prune(directory: &Path, keep: usize) -> io::Result<()> {
    let logs = logs(directory)?;
    let surplus = logs.len().saturating_sub(keep);
    let newest_dev = logs.iter().rfind(|path| is_of(path, DEV));
    for path in &logs[..surplus] {
        if Some(path) == newest_dev || is_written(path) {
            continue;
        }
        match fs::remove_file(path) {
            Ok(()) => {}
            // Another run prunes too, or the file is not ours to remove: one log too many harms nobody.
            Err(error)
                if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn names(target: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(target.join(DIRECTORY))
            .expect("the directory was made")
            .map(|entry| entry.expect("it can be read").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn every_event_is_a_line_with_its_time() {
        let target = tempfile::tempdir().expect("a directory for the test");
        let at = SystemTime::UNIX_EPOCH + Duration::from_millis(1_790_000_000_123);
        let mut log = RunLog::create(target.path(), "db reset", at).expect("a new log");
        log.record(&Event::Note { text: "one".to_owned() }, at).expect("it can be written");
        log.record(
            &Event::Log { service: "a".to_owned(), stderr: false, line: "two".to_owned(), origin: None },
            at,
        )
        .expect("it can be written");
        log.flush().expect("it can be written");
        assert_eq!(names(target.path()), ["20260921T141320123Z-db-reset.jsonl"]);
        let text = fs::read_to_string(log.path()).expect("it is there");
        assert_eq!(
            text,
            "{\"timestamp\":\"2026-09-21T14:13:20.123Z\",\"event\":\"note\",\"text\":\"one\"}\n\
             {\"timestamp\":\"2026-09-21T14:13:20.123Z\",\"event\":\"log\",\"service\":\"a\",\"stderr\":false,\"line\":\"two\"}\n"
        );
    }

    #[test]
    fn services_that_never_cease_to_speak_fill_no_disk() {
        let target = tempfile::tempdir().expect("a directory for the test");
        let at = SystemTime::UNIX_EPOCH;
        let mut log = RunLog::create(target.path(), "dev", at).expect("a new log");
        let line = |text: &str| Event::Log {
            service: "a".to_owned(),
            stderr: false,
            line: text.to_owned(),
            origin: None,
        };
        let length = json_line(&line("0"), at).len() as u64;
        log.room = Some(length * 2);
        for number in 0..9 {
            log.record(&line(&number.to_string()), at).expect("it can be written");
        }
        log.record(&Event::Note { text: "kept".to_owned() }, at).expect("it can be written");
        let text = fs::read_to_string(log.path()).expect("it is there");
        let told: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let told: Vec<&str> = told
            .iter()
            .map(|line| line["line"].as_str().or(line["text"].as_str()).expect("a text"))
            .collect();
        let full = "from here on no lines of services are kept: `cargo xtask logs` has them only while their container is \
                    there";
        assert_eq!(told, ["0", "1", full, "kept"]);
    }

    #[test]
    fn the_newest_of_a_command_come_first() {
        let target = tempfile::tempdir().expect("a directory for the test");
        let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000);
        for (second, command) in [(0, "dev"), (1, "down"), (2, "dev"), (2, "dev"), (3, "other-dev-tool")] {
            let at = start + Duration::from_secs(second);
            let mut log = RunLog::create(target.path(), command, at).expect("a new log");
            log.record(&Event::Note { text: command.to_owned() }, at).expect("it can be written");
        }
        assert!(is_of(Path::new("20260921T141320123Z-deploy-kind-1.jsonl"), "deploy-kind"));
        let logs: Vec<String> = newest(target.path(), "dev").collect();
        assert_eq!(logs.len(), 3, "{logs:?}");
        assert!(logs[0].contains(":22.000Z") && logs[2].contains(":20.000Z"), "{logs:?}");
        assert!(logs.iter().all(|log| log.contains("\"dev\"")), "{logs:?}");
        assert_eq!(newest(&target.path().join("nowhere"), "dev").count(), 0);
    }

    /// What versions said that a save has replaced is nowhere else, and a start is told of long after it.
    #[test]
    fn the_log_of_a_run_that_goes_on_and_the_newest_of_dev_are_kept() {
        let target = tempfile::tempdir().expect("a directory for the test");
        let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000);
        let create = |second, command| {
            RunLog::create(target.path(), command, start + Duration::from_secs(second)).expect("a new log")
        };
        drop(create(0, "dev"));
        let goes_on = create(1, "dev");
        drop(create(2, "dev"));
        let commands = limits::RUN_LOGS as u64;
        (3..3 + commands).for_each(|second| drop(create(second, "test")));
        let of_dev = || -> Vec<String> {
            names(target.path()).into_iter().filter(|name| name.ends_with("-dev.jsonl")).collect()
        };
        assert_eq!(of_dev(), ["20260921T141321000Z-dev.jsonl", "20260921T141322000Z-dev.jsonl"]);
        drop(goes_on);
        drop(create(4 + commands, "test"));
        assert_eq!(of_dev(), ["20260921T141322000Z-dev.jsonl"], "it has ended");
        assert_eq!(names(target.path()).len(), limits::RUN_LOGS + 1);
    }

    #[test]
    fn the_newest_are_kept_and_two_at_once_differ() {
        let target = tempfile::tempdir().expect("a directory for the test");
        let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000);
        for second in 0..limits::RUN_LOGS as u64 + 5 {
            RunLog::create(target.path(), "dev", start + Duration::from_secs(second)).expect("a new log");
        }
        let kept = names(target.path());
        assert_eq!(kept.len(), limits::RUN_LOGS);
        assert_eq!(kept[0], "20260921T141325000Z-dev.jsonl");
        RunLog::create(target.path(), "dev", start + Duration::from_secs(1_000)).expect("a new log");
        RunLog::create(target.path(), "dev", start + Duration::from_secs(1_000)).expect("a second one");
        let newest = names(target.path()).split_off(limits::RUN_LOGS - 2);
        assert_eq!(newest, ["20260921T143000000Z-dev-1.jsonl", "20260921T143000000Z-dev.jsonl"]);
    }
}
