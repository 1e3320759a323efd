//! Measured quantities as a person reads them: a number with some three digits that matter, and its unit.
//!
//! Must not: know what is measured.

use std::time::Duration;

/// What a number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Requests a second.
    RequestsPerSecond,
    /// Seconds.
    Seconds,
    /// A part of a whole, 0 to 1.
    Ratio,
    /// Bytes, in binary units as containers' limits are.
    Bytes,
    /// Processor cores.
    Cores,
    /// Things.
    Count,
}

impl Unit {
    /// What an axis of it is called.
    pub const fn axis(self) -> &'static str {
        match self {
            Self::RequestsPerSecond => "requests/s",
            Self::Seconds => "seconds",
            Self::Ratio => "percent",
            Self::Bytes => "bytes",
            Self::Cores => "cores",
            Self::Count => "number",
        }
    }
}

/// The value with its unit: `4.2 ms`, `0.12 %`, `12.3 MiB`, `1,234`.
pub fn text(value: f64, unit: Unit) -> String {
    if !value.is_finite() {
        return if value == f64::INFINITY { "∞".to_owned() } else { "–".to_owned() };
    }
    match unit {
        Unit::RequestsPerSecond => format!("{} requests/s", number(value)),
        Unit::Seconds => match value.abs() {
            0.0 => "0 s".to_owned(),
            size if size < 0.000_999_5 => format!("{} µs", number(value * 1e6)),
            size if size < 0.999_5 => format!("{} ms", number(value * 1e3)),
            _ => format!("{} s", number(value)),
        },
        Unit::Ratio => format!("{} %", number(value * 100.0)),
        Unit::Bytes => {
            let (scale, name) = binary(value);
            format!("{} {name}", number(value / scale))
        }
        Unit::Cores if value.abs() > 0.0 && value.abs() < 0.001 => "less than 0.001 cores".to_owned(),
        Unit::Cores => format!("{} cores", number(value)),
        Unit::Count => number(value),
    }
}

/// The binary unit that a number of bytes is best told in, and its size.
pub fn binary(bytes: f64) -> (f64, &'static str) {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut scale = 1.0;
    let mut unit = 0;
    // 999.5 would be shown with four digits.
    while bytes.abs() / scale >= 999.5 && unit + 1 < UNITS.len() {
        scale *= 1024.0;
        unit += 1;
    }
    (scale, UNITS[unit])
}

/// Three digits that matter, no zeros at the end, thousands apart: `0.0123`, `4.2`, `12,345`.
pub fn number(value: f64) -> String {
    let size = value.abs();
    if size == 0.0 {
        return "0".to_owned();
    }
    let decimals = match size {
        size if size >= 99.95 => 0,
        size if size >= 9.995 => 1,
        size if size >= 0.995 => 2,
        size if size >= 0.0995 => 3,
        _ => 4,
    };
    let text = format!("{value:.decimals$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    if text.trim_start_matches('-') == "0" {
        return "0".to_owned();
    }
    let (whole, rest) = text.split_once('.').map_or((text, None), |(whole, rest)| (whole, Some(rest)));
    let (sign, digits) = whole.strip_prefix('-').map_or(("", whole), |digits| ("-", digits));
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    rest.map_or_else(|| format!("{sign}{grouped}"), |rest| format!("{sign}{grouped}.{rest}"))
}

/// A duration as a person reads it: `0.3s`, `12.0s`, `2m 05s`, `1h 02m`.
pub fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if duration < Duration::from_secs(60) {
        // Cut, not rounded, so that 59.97 s is not "60.0s".
        format!("{seconds}.{}s", duration.subsec_millis() / 100)
    } else if seconds < 3600 {
        format!("{}m {:02}s", seconds / 60, seconds % 60)
    } else {
        format!("{}h {:02}m", seconds / 3600, seconds % 3600 / 60)
    }
}

/// A number of bytes in decimal units, as registries and disks count: `950 B`, `1.2 MB`, `36 MB`.
#[expect(clippy::cast_precision_loss, reason = "one decimal place is shown")]
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let decimals = usize::from(unit > 0 && value < 9.95);
    format!("{value:.decimals$} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_read_well() {
        let table = [
            (0.0, Unit::Seconds, "0 s"),
            (0.000_085, Unit::Seconds, "85 µs"),
            // The first that is told in the larger unit, because the smaller one would need four digits.
            (0.000_999_5, Unit::Seconds, "1 ms"),
            (0.000_999_9, Unit::Seconds, "1 ms"),
            (0.004_2, Unit::Seconds, "4.2 ms"),
            (0.999_5, Unit::Seconds, "1 s"),
            (0.999_9, Unit::Seconds, "1 s"),
            (12.34, Unit::Seconds, "12.3 s"),
            (0.0, Unit::Ratio, "0 %"),
            (0.001_234, Unit::Ratio, "0.123 %"),
            (1.0, Unit::Ratio, "100 %"),
            (12.0 * 1024.0 * 1024.0, Unit::Bytes, "12 MiB"),
            (1_000.0, Unit::Bytes, "0.977 KiB"),
            (5.0 * 1024.0_f64.powi(5), Unit::Bytes, "5,120 TiB"),
            (41.86, Unit::RequestsPerSecond, "41.9 requests/s"),
            (0.000_01, Unit::RequestsPerSecond, "0 requests/s"),
            (0.000_01, Unit::Cores, "less than 0.001 cores"),
            (0.0, Unit::Cores, "0 cores"),
            (0.001, Unit::Cores, "0.001 cores"),
            (0.25, Unit::Cores, "0.25 cores"),
            (0.012_34, Unit::Count, "0.0123"),
            (4.236, Unit::Count, "4.24"),
            (1_234_567.0, Unit::Count, "1,234,567"),
            (-1_234.0, Unit::Count, "-1,234"),
            (999.5, Unit::Count, "1,000"),
            (f64::INFINITY, Unit::Seconds, "∞"),
            (f64::NEG_INFINITY, Unit::Seconds, "–"),
            (f64::NAN, Unit::Seconds, "–"),
        ];
        for (value, unit, told) in table {
            assert_eq!(text(value, unit), told, "{value} {unit:?}");
        }
    }

    #[test]
    fn durations_and_sizes_read_well() {
        let durations = [
            (0, "0.0s"),
            (349, "0.3s"),
            (59_990, "59.9s"),
            (60_000, "1m 00s"),
            (125_000, "2m 05s"),
            (3_600_000, "1h 00m"),
            (3_725_000, "1h 02m"),
        ];
        for (milliseconds, text) in durations {
            assert_eq!(duration(Duration::from_millis(milliseconds)), text);
        }
        let sizes = [
            (0, "0 B"),
            (999, "999 B"),
            (1_200, "1.2 kB"),
            (9_950, "10 kB"),
            (9_960_000, "10 MB"),
            (999_600, "1.0 MB"),
            (36_000_000_000, "36 GB"),
            (5_000_000_000_000_000, "5000 TB"),
        ];
        for (count, text) in sizes {
            assert_eq!(bytes(count), text);
        }
    }
}
