//! Owns the text of a moment, as the log and answers write it: RFC 3339, UTC, microseconds.

use std::{
    cell::RefCell,
    num::NonZero,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use time::{
    OffsetDateTime, UtcOffset,
    format_description::well_known::{
        Iso8601,
        iso8601::{Config, EncodedConfig, TimePrecision},
    },
};

/// The one form of ISO 8601 that RFC 3339 and the width of [`Timestamp`] allow.
const FORMAT: EncodedConfig = Config::DEFAULT
    .set_time_precision(TimePrecision::Second { decimal_digits: NonZero::new(DIGITS) })
    .encode();

/// Of a second's fraction: what Postgres keeps.
const DIGITS: u8 = 6;

/// `2026-01-02T03:04:05.123456Z`
const LENGTH: usize = 27;

/// Where the fraction ends, before the `Z`.
const FRACTION_END: usize = LENGTH - 1;

/// A moment's text: `2026-01-02T03:04:05.123456Z`.
#[derive(Clone, Copy)]
pub struct Timestamp([u8; LENGTH]);

impl Timestamp {
    /// Of years 0 to 9999, which is all that RFC 3339 can write; any other moment is shown as 1970.
    pub fn of(moment: OffsetDateTime) -> Self {
        let mut text = *b"1970-01-01T00:00:00.000000Z";
        let utc = moment.to_offset(UtcOffset::UTC);
        let mut whole = [0; LENGTH];
        if utc.format_into(&mut whole.as_mut_slice(), &Iso8601::<FORMAT>).is_ok_and(|length| length == LENGTH)
        {
            text = whole;
        }
        Self(text)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The same second with another fraction.
    fn set_microseconds(&mut self, mut microseconds: u32) {
        for place in (FRACTION_END - usize::from(DIGITS)..FRACTION_END).rev() {
            self.0[place] = b'0' + u8::try_from(microseconds % 10).unwrap_or_default();
            microseconds /= 10;
        }
    }
}

/// Hands the present time's text to `use_text`.
pub(crate) fn with_now<T>(use_text: impl FnOnce(&str) -> T) -> T {
    // A clock before 1970 is shown as 1970.
    with_text(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO), use_text)
}

/// The text of a whole second is kept, because thousands of lines share it, and a date is made of each only once.
fn with_text<T>(since_epoch: Duration, use_text: impl FnOnce(&str) -> T) -> T {
    thread_local! {
        static SECOND: RefCell<Option<(u64, Timestamp)>> = const { RefCell::new(None) };
    }
    let second = since_epoch.as_secs();
    SECOND.with_borrow_mut(|kept| {
        let (_, text) = match kept {
            Some(known) if known.0 == second => known,
            _ => kept.insert((second, Timestamp::of(moment(second)))),
        };
        text.set_microseconds(since_epoch.subsec_micros());
        use_text(text.as_str())
    })
}

/// A second's number since 1970 as a moment; 1970 where it has none.
fn moment(second: u64) -> OffsetDateTime {
    let moment =
        i64::try_from(second).ok().and_then(|second| OffsetDateTime::from_unix_timestamp(second).ok());
    moment.unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use time::{OffsetDateTime, UtcOffset, format_description::well_known::Rfc3339};

    use super::{Timestamp, with_now, with_text};

    #[test]
    fn the_text_reads_back_as_the_moment_it_was_made_of() {
        for (seconds, micros) in
            [(0, 0), (951_782_400, 1), (1_767_225_599, 999_999), (1_767_225_599, 7), (1_767_225_600, 120_000)]
        {
            let since_epoch = Duration::from_secs(seconds) + Duration::from_micros(micros);
            let moment = OffsetDateTime::UNIX_EPOCH + since_epoch;
            let text = Timestamp::of(moment).as_str().to_owned();
            assert_eq!(OffsetDateTime::parse(&text, &Rfc3339).unwrap(), moment, "{text}");
            assert_eq!(text.len(), super::LENGTH);
            // Of a second that is kept, or of another one.
            assert_eq!(with_text(since_epoch, str::to_owned), text);
        }
    }

    #[test]
    fn it_is_in_utc_with_every_digit() {
        let moment = OffsetDateTime::from_unix_timestamp_nanos(1_767_225_599_120_000_999).unwrap();
        let east = moment.to_offset(UtcOffset::from_hms(5, 30, 0).unwrap());
        assert_eq!(Timestamp::of(east).as_str(), "2025-12-31T23:59:59.120000Z");
        assert_eq!(with_text(Duration::MAX, str::to_owned), "1970-01-01T00:00:00.999999Z");
        let before_christ = OffsetDateTime::UNIX_EPOCH - time::Duration::days(366 * 2000);
        assert_eq!(Timestamp::of(before_christ).as_str(), "1970-01-01T00:00:00.000000Z");
    }

    #[test]
    fn now_is_between_before_and_after() {
        let before = OffsetDateTime::now_utc() - time::Duration::MICROSECOND;
        let text = with_now(str::to_owned);
        let now = OffsetDateTime::parse(&text, &Rfc3339).unwrap();
        assert!(before <= now && now <= OffsetDateTime::now_utc(), "{text}");
    }
}
