//! Owns the one form of a value: what it may hold, and how it will be read back.

use std::fmt::{self, Write};

use serde_json::{Map, Number, Value};

use super::Refusal;

/// The deepest nesting of a value. JSON has no bound (RFC 8259 section 9 lets a reader set one); data nested deeper than
/// this is an attack or a mistake.
pub const DEEPEST_VALUE: usize = 64;

/// The most digits that those numbers of a value may take together which JSON writes with an exponent: `jsonb` keeps them
/// as decimals, so that `1e308` has 309. Twice the largest body: no data that is meant comes near it, and a body full of
/// such numbers does not grow fiftyfold.
pub const MOST_DIGITS: usize = 128 * 1024;

/// The value as it will be read back from `jsonb`, which keeps numbers as decimals: what `serde_json` writes with an
/// exponent and fits an integer comes back as that integer, and there is no negative zero.
pub(super) fn canonical(value: Value) -> Result<Value, Refusal> {
    within(value, DEEPEST_VALUE, &mut Digits(0))
}

fn within(value: Value, depth: usize, digits: &mut Digits) -> Result<Value, Refusal> {
    Ok(match value {
        Value::String(text) if text.contains('\0') => return Err(Refusal::Nul),
        Value::Number(number) => Value::Number(canonical_number(number, digits)?),
        Value::Array(values) => {
            let depth = depth.checked_sub(1).ok_or(Refusal::Depth)?;
            let values = values.into_iter().map(|value| within(value, depth, digits));
            Value::Array(values.collect::<Result<_, _>>()?)
        }
        Value::Object(fields) => {
            let depth = depth.checked_sub(1).ok_or(Refusal::Depth)?;
            let field = |(name, value): (String, Value)| {
                if name.contains('\0') {
                    return Err(Refusal::Nul);
                }
                Ok((name, within(value, depth, digits)?))
            };
            Value::Object(fields.into_iter().map(field).collect::<Result<Map<_, _>, _>>()?)
        }
        other => other,
    })
}

/// The digits, so far, of numbers that JSON writes with an exponent.
struct Digits(usize);

impl Digits {
    fn count(&mut self, float: f64) -> Result<(), Refusal> {
        // Rust writes a float as `jsonb` does: without an exponent.
        write!(self, "{float}").map_err(|_| Refusal::Digits)
    }
}

impl Write for Digits {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 += text.len();
        if self.0 > MOST_DIGITS { Err(fmt::Error) } else { Ok(()) }
    }
}

/// Outside of these `serde_json` writes a float with an exponent.
const WITHOUT_EXPONENT: std::ops::Range<f64> = 1e-5..1e16;

fn canonical_number(number: Number, digits: &mut Digits) -> Result<Number, Refusal> {
    let Some(float) = number.as_f64().filter(|_| number.is_f64()) else { return Ok(number) };
    if float == 0.0 {
        return Ok(Number::from_f64(0.0).unwrap_or(number));
    }
    if WITHOUT_EXPONENT.contains(&float.abs()) {
        return Ok(number);
    }
    digits.count(float)?;
    if float.abs() < WITHOUT_EXPONENT.start {
        return Ok(number);
    }
    // Such a float is whole, so its decimal text without a fraction is exact.
    Ok(format!("{float:.0}").parse().unwrap_or(number))
}
