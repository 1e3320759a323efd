//! Owns the reading of single variables: each read notes its fault and goes on, so that all faults come out together.
//! Knows no variable by name.

use std::{
    collections::BTreeMap,
    fmt::{self, Display},
    net::IpAddr,
    str::FromStr,
    time::Duration,
};

/// A text that must not be shown: its `Debug` says nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes the text in.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for the one who must send it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(…)")
    }
}

/// One thing that is wrong with one variable. Never holds the value of a secret one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{variable}: {problem}")]
pub struct Fault {
    /// The variable's name.
    pub variable: String,
    /// What was seen and what was expected.
    pub problem: String,
}

/// A reader of variables that collects faults.
pub(super) struct Variables<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
    faults: Vec<Fault>,
}

impl<'a> Variables<'a> {
    pub(super) fn new(lookup: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self { lookup, faults: Vec::new() }
    }

    /// `value` if nothing was wrong.
    pub(super) fn finish<T>(self, value: T) -> Result<T, Vec<Fault>> {
        if self.faults.is_empty() { Ok(value) } else { Err(self.faults) }
    }

    pub(super) fn optional(&mut self, name: &str) -> Option<String> {
        let value = (self.lookup)(name).filter(|value| !value.is_empty())?;
        if value.contains('\0') {
            self.fault(name, "contains a NUL character");
            return None;
        }
        Some(value)
    }

    /// A required text; empty when it is missing, which `finish` never lets out.
    pub(super) fn text(&mut self, name: &str) -> String {
        let before = self.faults.len();
        let value = self.optional(name);
        if value.is_none() && self.faults.len() == before {
            self.fault(name, "is not set");
        }
        value.unwrap_or_default()
    }

    pub(super) fn secret(&mut self, name: &str) -> Secret {
        Secret::new(self.text(name))
    }

    pub(super) fn number<T: FromStr + PartialOrd + Display + Copy>(
        &mut self,
        name: &str,
        default: T,
        least: T,
        most: T,
    ) -> T {
        let Some(text) = self.optional(name) else { return default };
        match text.parse::<T>() {
            Ok(value) if value >= least && value <= most => value,
            _ => {
                self.fault(name, format!("is {text:?}, expected a whole number from {least} to {most}"));
                default
            }
        }
    }

    pub(super) fn seconds(&mut self, name: &str, default: f64, least: f64, most: f64) -> Duration {
        let Some(text) = self.optional(name) else { return Duration::from_secs_f64(default) };
        match text.parse::<f64>() {
            Ok(value) if value >= least && value <= most => Duration::from_secs_f64(value),
            _ => {
                self.fault(name, format!("is {text:?}, expected seconds from {least} to {most}"));
                Duration::from_secs_f64(default)
            }
        }
    }

    /// A share of a whole: 0 to 1.
    pub(super) fn share(&mut self, name: &str, default: f64) -> f64 {
        let Some(text) = self.optional(name) else { return default };
        match text.parse::<f64>() {
            Ok(value) if (0.0..=1.0).contains(&value) => value,
            _ => {
                self.fault(name, format!("is {text:?}, expected a number from 0 to 1"));
                default
            }
        }
    }

    pub(super) fn address(&mut self, name: &str, default: IpAddr) -> IpAddr {
        let Some(text) = self.optional(name) else { return default };
        text.parse().unwrap_or_else(|_| {
            self.fault(name, format!("is {text:?}, expected an IP address"));
            default
        })
    }

    /// A header's name: an RFC 9110 section 5.1 token.
    pub(super) fn header_name(&mut self, name: &str) -> Option<String> {
        let text = self.optional(name)?;
        if text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)) {
            return Some(text);
        }
        self.fault(name, format!("is {text:?}, expected the name of a header"));
        None
    }

    pub(super) fn level(&mut self, name: &str, default: slog::Level) -> slog::Level {
        let known = BTreeMap::from([
            ("debug", slog::Level::Debug),
            ("info", slog::Level::Info),
            ("warning", slog::Level::Warning),
            ("error", slog::Level::Error),
        ]);
        let Some(text) = self.optional(name) else { return default };
        known.get(text.to_ascii_lowercase().as_str()).copied().unwrap_or_else(|| {
            self.fault(name, format!("is {text:?}, expected debug, info, warning or error"));
            default
        })
    }

    pub(super) fn fault(&mut self, variable: &str, problem: impl Into<String>) {
        self.faults.push(Fault { variable: variable.to_owned(), problem: problem.into() });
    }
}
