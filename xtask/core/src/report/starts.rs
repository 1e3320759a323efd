//! Starts of the stack, read from the run logs of `dev`: when, how long until it was up, which steps took longest.
//!
//! Must not: open a file.

use std::time::SystemTime;

use serde_json::Value;

/// How many of the slowest steps are told of each start.
const SLOWEST: usize = 3;

/// One start.
#[derive(Debug, Clone, PartialEq)]
pub struct Start {
    /// When, in seconds since 1970.
    pub at: u64,
    /// Seconds until it was up, or failed; nothing when it came to neither.
    pub took: Option<f64>,
    /// How it ended.
    pub ending: Ending,
    /// How many steps were carried out.
    pub steps: usize,
    /// The slowest of them, each with its seconds.
    pub slowest: Vec<(String, f64)>,
}

/// How a start ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// All was up.
    Up,
    /// With this code.
    Failed(String),
    /// It was killed, or is under way.
    Unfinished,
}

/// Reads the log of one run of `dev`. `None` when it is none of a start (`--dry-run`), or no log.
pub fn read(log: &str) -> Option<Start> {
    // The last line of a run that was killed may be cut.
    let mut events = log.lines().map_while(|line| serde_json::from_str::<Value>(line).ok());
    let began = moment(&events.next().filter(|event| event["event"] == "run-started")?)?;
    let at = began.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs();
    let mut start = Start { at, took: None, ending: Ending::Unfinished, steps: 0, slowest: Vec::new() };
    for event in events {
        match event["event"].as_str()? {
            "step-finished" if event["outcome"]["result"] == "done" => {
                let (title, took) = (event["title"].as_str()?, event["took"].as_f64()?);
                start.steps += 1;
                start.slowest.push((title.to_owned(), took));
            }
            "summary" => {
                start.took = moment(&event)?.duration_since(began).ok().map(|took| took.as_secs_f64());
                start.ending = Ending::Up;
                break;
            }
            "run-finished" => {
                // Without a summary and a failure it was no start.
                start.ending = Ending::Failed(event["failure"].as_str()?.to_owned());
                start.took = event["took"].as_f64();
                break;
            }
            _ => {}
        }
    }
    start.slowest.sort_by(|one, other| other.1.total_cmp(&one.1));
    start.slowest.truncate(SLOWEST);
    Some(start)
}

fn moment(event: &Value) -> Option<SystemTime> {
    humantime::parse_rfc3339(event["timestamp"].as_str()?).ok()
}
