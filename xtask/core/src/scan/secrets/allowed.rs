//! What looks like a secret and is none: the file `secrets.allow` at the checkout's top. A line is a fingerprint, as a
//! finding tells it, and the reason; `#` begins a comment.
//!
//! Must not: hold a value. A fingerprint is the beginning of its SHA-256.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

use crate::stack::hex;

/// The file's name.
pub const FILE: &str = "secrets.allow";

/// How many hexadecimal digits a fingerprint has: 48 bits, so that no two values of a repository meet by chance.
const DIGITS: usize = 12;

/// The fingerprints that are allowed, each with its reason.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allowed(BTreeMap<String, String>);

impl Allowed {
    /// Reads the file's text.
    ///
    /// # Errors
    /// When a line is no fingerprint, or has no reason; in words, with the line's number.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut allowed = BTreeMap::new();
        for (number, line) in (1..).zip(text.lines().map(str::trim)) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (print, reason) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
            let is_print = print.len() == DIGITS && print.bytes().all(|byte| byte.is_ascii_hexdigit());
            if !is_print {
                return Err(format!(
                    "line {number}: {print:?} is no fingerprint of {DIGITS} hexadecimal digits"
                ));
            }
            if reason.trim().is_empty() {
                return Err(format!("line {number}: {print} is allowed without a reason"));
            }
            allowed.insert(print.to_lowercase(), reason.trim().to_owned());
        }
        Ok(Self(allowed))
    }

    /// Whether this fingerprint is allowed.
    pub fn contains(&self, print: &str) -> bool {
        self.0.contains_key(print)
    }
}

/// What a value is called where it must not be repeated.
pub fn fingerprint(value: &str) -> String {
    let mut digits = hex(&Sha256::digest(value.as_bytes()));
    digits.truncate(DIGITS);
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_a_fingerprint_with_its_reason() {
        let allowed =
            Allowed::parse("# examples\n\n0123456789AB the key in RFC 7519\n").expect("well written");
        assert!(allowed.contains("0123456789ab"));
        assert!(!allowed.contains("0123456789ac"));
        let table = [
            ("\n0123456789ab\n", "line 2: 0123456789ab is allowed without a reason"),
            ("0123456789 short", "line 1: \"0123456789\" is no fingerprint of 12 hexadecimal digits"),
            ("secret-words of a test", "line 1: \"secret-words\" is no fingerprint of 12 hexadecimal digits"),
            ("secret of a test", "line 1: \"secret\" is no fingerprint of 12 hexadecimal digits"),
        ];
        for (text, expected) in table {
            assert_eq!(Allowed::parse(text), Err(expected.to_owned()));
        }
    }
}
