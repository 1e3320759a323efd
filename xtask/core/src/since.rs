//! From when on something is told, as a person writes it: how far back, or a point in time.
//!
//! Must not: read a clock.

use std::time::{Duration, SystemTime};

/// What a person is told who wrote something else.
const EXPECTED: &str = "expected how far back (`90s`, `10m`, `1h 30m`, `2d`) or a point in time \
                        (`2026-11-26T10:00:00Z`, `2026-11-26T10:00:00+01:00`; UTC where no zone is said, as in `2026-11-26T10:00`)";

/// From when on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// So long ago.
    Ago(Duration),
    /// This point in time.
    At(SystemTime),
}

impl Since {
    /// Reads a duration, or a point in time as RFC 3339 writes it; seconds, time and zone may be missing.
    ///
    /// # Errors
    /// When it is neither; the text says what is expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Some(at) = point(text) {
            return Ok(Self::At(at));
        }
        humantime::parse_duration(text).map(Self::Ago).map_err(|error| format!("{error}; {EXPECTED}"))
    }

    /// The point in time, seen from now; the epoch, when it lies before that.
    pub fn point(self, now: SystemTime) -> SystemTime {
        match self {
            Self::At(at) => at,
            Self::Ago(ago) => {
                now.checked_sub(ago).map_or(SystemTime::UNIX_EPOCH, |at| at.max(SystemTime::UNIX_EPOCH))
            }
        }
    }
}

fn point(text: &str) -> Option<SystemTime> {
    let (date, time) = text.split_once(['T', 't', ' ']).unwrap_or((text, "00:00"));
    let (clock, zone) = match time.find(['Z', 'z', '+', '-']) {
        Some(at) => time.split_at(at),
        None => (time, "Z"),
    };
    let seconds = if clock.len() == "10:00".len() { ":00" } else { "" };
    let local = humantime::parse_rfc3339_weak(&format!("{date}T{clock}{seconds}Z")).ok()?;
    let (east, offset) = match zone {
        "Z" | "z" => (true, Duration::ZERO),
        _ => (zone.starts_with('+'), offset(&zone[1..])?),
    };
    if east { local.checked_sub(offset) } else { local.checked_add(offset) }
}

/// `01:00`
fn offset(text: &str) -> Option<Duration> {
    let (hours, minutes) = text.split_once(':')?;
    let two_digits = |text: &str| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
    if !two_digits(hours) || !two_digits(minutes) {
        return None;
    }
    let (hours, minutes): (u64, u64) = (hours.parse().ok()?, minutes.parse().ok()?);
    (hours < 24 && minutes < 60).then(|| Duration::from_secs(hours * 3600 + minutes * 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_far_back_and_points_in_time_are_read() {
        let at = |time: &str| Some(Since::At(humantime::parse_rfc3339(time).expect("a time")));
        let ago = |seconds| Some(Since::Ago(Duration::from_secs(seconds)));
        let table = [
            ("90s", ago(90)),
            ("1h 30m", ago(5400)),
            ("2026-11-26T10:00:00Z", at("2026-11-26T10:00:00Z")),
            ("2026-11-26T10:00:00.250Z", at("2026-11-26T10:00:00.250Z")),
            ("2026-11-26T10:00:00", at("2026-11-26T10:00:00Z")),
            ("2026-11-26 10:00:00", at("2026-11-26T10:00:00Z")),
            ("2026-11-26T10:00", at("2026-11-26T10:00:00Z")),
            ("2026-11-26T10:00Z", at("2026-11-26T10:00:00Z")),
            ("2026-11-26", at("2026-11-26T00:00:00Z")),
            ("2026-11-26T10:00:00+01:30", at("2026-11-26T08:30:00Z")),
            ("2026-11-26T22:00:00-08:00", at("2026-11-27T06:00:00Z")),
            ("2026-11-26T10:00:00+1:30", None),
            ("2026-11-26T10:00:00+01:60", None),
            ("2026-11-26T10:00:00+24:00", None),
            ("2026-11-26T25:00:00Z", None),
            ("2026-13-26", None),
            ("10:00", None),
            ("yesterday", None),
            ("10", None),
            ("", None),
        ];
        for (text, expected) in table {
            assert_eq!(Since::parse(text).ok(), expected, "{text}");
        }
        assert!(Since::parse("yesterday").is_err_and(|error| error.ends_with(EXPECTED)));
    }

    #[test]
    fn a_point_is_seen_from_now() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(100);
        let second = |second| SystemTime::UNIX_EPOCH + Duration::from_secs(second);
        assert_eq!(Since::Ago(Duration::from_secs(40)).point(now), second(60));
        assert_eq!(Since::Ago(Duration::from_secs(400)).point(now), second(0));
        assert_eq!(Since::At(second(7)).point(now), second(7));
    }
}
