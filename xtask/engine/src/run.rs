//! The name of a run, as labels carry it: a process, told apart from every other one that has or had its number, on this
//! machine before it was started anew, or in another container beside the same engine.
//!
//! Must not: remove anything.

use std::fmt;
use std::fs;
use std::str::FromStr;
use std::sync::LazyLock;

/// How long a run may take whose end cannot be seen from here, in hundredths of a second: a day, several times what the
/// longest is bounded by.
const LONGEST: u64 = 24 * 60 * 60 * 100;

/// A process, by its number and by what makes the number mean one process only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    process: u32,
    /// When it began and where; `None` where the system does not tell (it is no Linux).
    birth: Option<Birth>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Birth {
    /// Hundredths of a second since the kernel was started (`starttime` of `proc_pid_stat(5)`).
    at: u64,
    place: Place,
}

/// Where a number means one process.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    /// The kernel's start: the beginning of its `boot_id`.
    boot: String,
    /// The namespace of process numbers (`pid_namespaces(7)`).
    namespace: String,
}

impl Run {
    /// This process.
    pub fn this() -> &'static Self {
        static THIS: LazyLock<Run> = LazyLock::new(|| Run::of(std::process::id()));
        &THIS
    }

    /// A process of this machine.
    pub fn of(process: u32) -> Self {
        let birth = || Some(Birth { at: started(process)?, place: Place::here()? });
        Self { process, birth: birth() }
    }

    /// Whether it has ended. Of one in another container beside this that is not known, and it is taken to live for a day.
    /// `is_running` is asked where a number is all there is.
    pub fn has_ended(&self, is_running: impl Fn(u32) -> bool) -> bool {
        self.has_ended_by(now(), is_running)
    }

    /// As [`Run::has_ended`], `now` hundredths of a second after the kernel was started.
    fn has_ended_by(&self, now: Option<u64>, is_running: impl Fn(u32) -> bool) -> bool {
        let (Some(birth), Some(here)) = (&self.birth, Place::here()) else {
            return !is_running(self.process);
        };
        if birth.place.boot != here.boot {
            return true;
        }
        if birth.place.namespace == here.namespace {
            return started(self.process) != Some(birth.at);
        }
        now.is_some_and(|now| now.saturating_sub(birth.at) > LONGEST)
    }
}

impl fmt::Display for Run {
    /// `PROCESS`, or `PROCESS.BEGAN.BOOT.NAMESPACE`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.process)?;
        let Some(Birth { at, place }) = &self.birth else { return Ok(()) };
        write!(formatter, ".{at}.{}.{}", place.boot, place.namespace)
    }
}

/// A text that is no run's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoRun;

impl FromStr for Run {
    type Err = NoRun;

    fn from_str(text: &str) -> Result<Self, NoRun> {
        let mut words = text.split('.');
        let process = words.next().unwrap_or_default().parse().map_err(|_| NoRun)?;
        let words: Vec<&str> = words.collect();
        let birth = match words[..] {
            [] => None,
            [at, boot, namespace] => {
                let place = Place { boot: boot.to_owned(), namespace: namespace.to_owned() };
                Some(Birth { at: at.parse().map_err(|_| NoRun)?, place })
            }
            _ => return Err(NoRun),
        };
        Ok(Self { process, birth })
    }
}

impl Place {
    fn here() -> Option<Self> {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        let namespace = fs::read_link("/proc/self/ns/pid").ok()?;
        let digits = namespace.to_string_lossy().chars().filter(char::is_ascii_digit).collect();
        Some(Self { boot: boot.chars().take(8).collect(), namespace: digits })
    }
}

/// When a process began; `None` when there is none of this number.
fn started(process: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name stands in parentheses and may hold any character; the state comes after it, as the third of all.
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut words = rest.split(' ');
    // One that has ended and was not waited for has a number still.
    let ended = matches!(words.next()?, "Z" | "X");
    if ended { None } else { words.nth(18)?.parse().ok() }
}

/// Hundredths of a second since the kernel was started.
fn now() -> Option<u64> {
    let uptime = fs::read_to_string("/proc/uptime").ok()?;
    let (seconds, hundredths) = uptime.split(' ').next()?.split_once('.')?;
    Some(seconds.parse::<u64>().ok()? * 100 + hundredths.parse::<u64>().ok()?)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    fn nobody_is_asked(_: u32) -> bool {
        panic!("the number is not all there is")
    }

    fn changed(change: impl FnOnce(&mut Birth)) -> Run {
        let mut run = Run::this().clone();
        change(run.birth.as_mut().expect("Linux tells it"));
        run
    }

    #[test]
    fn a_run_is_its_name() {
        let run = Run::this();
        assert_eq!(run.to_string().parse(), Ok(run.clone()));
        assert_eq!("17".parse(), Ok(Run { process: 17, birth: None }));
        for text in ["", "planted", "17.", "17.1.boot", "17.x.boot.1", "17.1.boot.1.2", "-1"] {
            assert_eq!(text.parse::<Run>(), Err(NoRun), "{text}");
        }
    }

    #[test]
    fn a_number_alone_does_not_make_a_run() {
        assert!(!Run::this().has_ended(nobody_is_asked));
        assert!(changed(|birth| birth.at -= 1).has_ended(nobody_is_asked), "the number was given anew");
        assert!(
            changed(|birth| birth.place.boot = "another".to_owned()).has_ended(nobody_is_asked),
            "the machine was started anew"
        );
    }

    #[test]
    fn a_run_beside_the_same_engine_is_left_alone_for_a_day() {
        let elsewhere = changed(|birth| {
            birth.place.namespace = "1".to_owned();
            birth.at = 100;
        });
        assert!(!elsewhere.has_ended_by(Some(100 + LONGEST), nobody_is_asked));
        assert!(elsewhere.has_ended_by(Some(100 + LONGEST + 1), nobody_is_asked));
        assert!(!elsewhere.has_ended_by(None, nobody_is_asked));
        assert!(now().expect("Linux tells it") > 0);
    }

    #[test]
    fn of_a_number_alone_the_system_is_asked() {
        let run = Run { process: 17, birth: None };
        assert!(run.has_ended(|_| false));
        assert!(!run.has_ended(|process| process == 17));
    }
}
