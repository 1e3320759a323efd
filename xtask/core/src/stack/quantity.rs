//! Durations, sizes and shares of a processor as Compose writes them. Pure text → number.

use std::time::Duration;

const UNITS: &[(&str, u64)] = &[
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60 * 1_000_000_000),
    ("h", 3_600 * 1_000_000_000),
    ("d", 86_400 * 1_000_000_000),
    ("w", 7 * 86_400 * 1_000_000_000),
];

/// A duration, one or more numbers each with its unit: `1m30s`, `1.5h`, `200ms` (Compose Specification, "Specifying
/// durations"; units us, ms, s, m, h, and ns, d, w as Compose itself takes them). `0` needs none.
///
/// # Errors
/// When the text is not one, or longer than 584 years.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let refuse = || format!("{text:?} is not a duration such as 1m30s, 10s or 500ms");
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut total: u64 = 0;
    let mut rest = text;
    if rest.is_empty() {
        return Err(refuse());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(refuse)?;
        let (number, after) = rest.split_at(digits);
        let unit_end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        let (_, nanoseconds) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(refuse)?;
        let part = scaled(number, *nanoseconds).ok_or_else(refuse)?;
        total = total.checked_add(part).ok_or_else(refuse)?;
        rest = after;
    }
    Ok(Duration::from_nanos(total))
}

/// A size in bytes: `512m`, `1.5gb`, `64KiB`, `1024`. Units are powers of 1024 whatever their spelling, as Compose reads
/// them (Compose Specification, "Specifying byte values").
///
/// # Errors
/// When the text is not one, or does not fit.
pub(super) fn bytes(text: &str) -> Result<u64, String> {
    let refuse = || format!("{text:?} is not a size such as 256m, 1gb or 65536");
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = unit.strip_prefix(' ').unwrap_or(unit).to_ascii_lowercase();
    let power = match unit.as_str() {
        "" | "b" => 0,
        _ => {
            let (letter, rest) = unit.split_at_checked(1).ok_or_else(refuse)?;
            if !matches!(rest, "" | "b" | "ib") {
                return Err(refuse());
            }
            "kmgtp".find(letter).ok_or_else(refuse)? + 1
        }
    };
    scaled(number, 1 << (10 * power)).ok_or_else(refuse)
}

/// A number of processors in billionths: `0.5`, `2`.
///
/// # Errors
/// When the text is not a number without sign, or does not fit.
pub(super) fn cpus(text: &str) -> Result<u64, String> {
    let refuse = || format!("{text:?} is not a number of processors such as 0.5 or 2");
    // Compose keeps the number in 32 bits and prints the shortest decimal that tells it from its neighbours.
    let number: f32 = text.parse().map_err(|_| refuse())?;
    scaled(&number.to_string(), 1_000_000_000).ok_or_else(refuse)
}

/// A decimal number without sign times `unit`, exact, the fraction of the product cut off.
fn scaled(number: &str, unit: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    // Nineteen digits fit; what is beyond them is less than a billionth of the smallest unit.
    let fraction = &fraction[..fraction.len().min(19)];
    let numerator: u128 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    let denominator = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    let product = whole.checked_mul(unit.into())? + numerator * u128::from(unit) / denominator;
    u64::try_from(product).ok()
}
