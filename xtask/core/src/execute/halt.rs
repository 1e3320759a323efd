//! Where a run is to stand still, so that a test can kill it there. One grammar for every command that has steps:
//! `before:` or `after:`, then a step's number or its title.
//!
//! Must not: read the environment.

use crate::event::StepId;

/// The variable that says so.
pub const HALT_VARIABLE: &str = "HOMEPORT_HALT";

/// Where a run is to stand still.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Halt {
    when: When,
    place: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    /// The step is announced but not begun.
    Before,
    /// The step's operation is done but not reported.
    After,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Number(StepId),
    /// For a step whose number depends on what happens to be there.
    Title(String),
}

impl Halt {
    /// Reads `before:N`, `after:N`, `before:TITLE` or `after:TITLE`.
    ///
    /// # Errors
    /// When it is none of them; the text says what is expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{HALT_VARIABLE} is {text:?}; expected `before:` or `after:` and a step's number or title"
            )
        };
        let (when, place) = text.split_once(':').ok_or_else(wrong)?;
        let when = match when {
            "before" => When::Before,
            "after" => When::After,
            _ => return Err(wrong()),
        };
        let place = match place.parse() {
            Ok(number) => Place::Number(StepId(number)),
            Err(_) if place.trim().is_empty() => return Err(wrong()),
            Err(_) => Place::Title(place.to_owned()),
        };
        Ok(Self { when, place })
    }

    /// Whether it is before this step.
    pub fn is_before(&self, step: StepId, title: &str) -> bool {
        self.when == When::Before && self.is_at(step, title)
    }

    /// Whether it is after this step.
    pub fn is_after(&self, step: StepId, title: &str) -> bool {
        self.when == When::After && self.is_at(step, title)
    }

    fn is_at(&self, step: StepId, title: &str) -> bool {
        match &self.place {
            Place::Number(number) => *number == step,
            Place::Title(wanted) => wanted == title,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_halt_is_when_and_a_step() {
        let table = [
            ("before:3", [true, false, false, false]),
            ("after:3", [false, true, false, false]),
            ("before:apply it", [false, false, true, false]),
            ("after:apply it", [false, false, false, true]),
            ("before:4", [false; 4]),
            ("after:apply", [false; 4]),
        ];
        for (text, expected) in table {
            let halt = Halt::parse(text).expect("it is one");
            let (third, named) = ((StepId(3), "create it"), (StepId(7), "apply it"));
            let seen = [
                halt.is_before(third.0, third.1),
                halt.is_after(third.0, third.1),
                halt.is_before(named.0, named.1),
                halt.is_after(named.0, named.1),
            ];
            assert_eq!(seen, expected, "{text}");
        }
        for wrong in ["during:1", "befor:1", "before", "before:", "after: ", "3", ""] {
            assert!(Halt::parse(wrong).is_err_and(|error| error.contains("expected `before:`")), "{wrong:?}");
        }
    }
}
