//! Owns the log's time stamp: RFC 3339, UTC, microseconds. Reads the clock, and nothing else.

use std::{
    cell::RefCell,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use time::OffsetDateTime;

/// The text of one second, kept because thousands of lines share it.
struct Second {
    number: u64,
    text: [u8; LENGTH],
}

/// `2026-01-02T03:04:05.123456Z`
const LENGTH: usize = 27;

/// Where the six digits of the microseconds end.
const FRACTION_END: usize = 26;

thread_local! {
    static SECOND: RefCell<Second> = const {
        RefCell::new(Second { number: u64::MAX, text: *b"0000-00-00T00:00:00.000000Z" })
    };
}

/// Hands the present time's text to `use_text`.
pub(super) fn with_now<T>(use_text: impl FnOnce(&str) -> T) -> T {
    // A clock before 1970 is shown as 1970.
    with_text(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO), use_text)
}

fn with_text<T>(since_epoch: Duration, use_text: impl FnOnce(&str) -> T) -> T {
    SECOND.with(|second| {
        let mut second = second.borrow_mut();
        if second.number != since_epoch.as_secs() {
            second.number = since_epoch.as_secs();
            write_second(&mut second.text, since_epoch.as_secs());
        }
        let mut rest = since_epoch.subsec_micros();
        for place in (FRACTION_END - 6..FRACTION_END).rev() {
            second.text[place] = digit(rest);
            rest /= 10;
        }
        use_text(std::str::from_utf8(&second.text).unwrap_or_default())
    })
}

fn write_second(text: &mut [u8; LENGTH], seconds: u64) {
    let moment = i64::try_from(seconds)
        .ok()
        .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
        .unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let year = u32::try_from(moment.year()).unwrap_or_default();
    let parts = [
        (0, year / 100),
        (2, year % 100),
        (5, u32::from(u8::from(moment.month()))),
        (8, u32::from(moment.day())),
        (11, u32::from(moment.hour())),
        (14, u32::from(moment.minute())),
        (17, u32::from(moment.second())),
    ];
    for (place, number) in parts {
        text[place] = digit(number / 10);
        text[place + 1] = digit(number);
    }
}

fn digit(number: u32) -> u8 {
    b'0' + u8::try_from(number % 10).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use time::{OffsetDateTime, format_description::well_known::Rfc3339};

    use super::{with_now, with_text};

    #[test]
    fn the_text_reads_back_as_the_moment_it_was_made_of() {
        for (seconds, micros) in
            [(0, 0), (951_782_400, 1), (1_767_225_599, 999_999), (1_767_225_600, 120_000)]
        {
            let moment = Duration::from_secs(seconds) + Duration::from_micros(micros);
            let text = with_text(moment, str::to_owned);
            let read = OffsetDateTime::parse(&text, &Rfc3339).unwrap();
            assert_eq!(read.unix_timestamp_nanos(), i128::try_from(moment.as_nanos()).unwrap(), "{text}");
            assert_eq!(text.len(), super::LENGTH);
        }
    }

    #[test]
    fn now_is_between_before_and_after() {
        let before = OffsetDateTime::now_utc() - time::Duration::MICROSECOND;
        let text = with_now(str::to_owned);
        let now = OffsetDateTime::parse(&text, &Rfc3339).unwrap();
        assert!(before <= now && now <= OffsetDateTime::now_utc(), "{text}");
    }
}
