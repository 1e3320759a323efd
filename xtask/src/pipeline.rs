//! Whether a pipeline runs this program: then nothing may be left out, and nobody watches.

/// The variable that every common CI service sets.
pub const VARIABLE: &str = "CI";

/// Whether a pipeline runs this program.
pub fn is_here() -> bool {
    is_said_by(std::env::var(VARIABLE).ok().as_deref())
}

/// What a value of the variable says: empty and `false` are how a person takes it back for one command.
pub fn is_said_by(value: Option<&str>) -> bool {
    value.is_some_and(|value| !value.is_empty() && value != "false")
}

#[cfg(test)]
mod tests {
    use super::is_said_by;

    #[test]
    fn any_value_means_a_pipeline_but_those_that_take_it_back() {
        let table = [
            (None, false),
            (Some(""), false),
            (Some("false"), false),
            (Some("true"), true),
            (Some("1"), true),
        ];
        for (value, expected) in table {
            assert_eq!(is_said_by(value), expected, "{value:?}");
        }
    }
}
