//! Whether a pipeline runs this program: then nothing may be left out, and nobody watches.

use crate::testing::NOT_RUN;
use crate::ui;

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

/// For a test that cannot run because something is missing, before it returns: says so, in the words by which
/// `cargo xtask test` counts it as left out.
///
/// # Panics
/// In a pipeline, where nothing may be left out.
pub fn leave_out(missing: &str) {
    assert!(!is_here(), "{missing}");
    // libtest calls a test's thread after it.
    let thread = std::thread::current();
    let line = format!("{NOT_RUN}{}: {missing}\n", thread.name().unwrap_or("a test"));
    // Who has no standard output reads none of this.
    let _ = ui::print_text(&line);
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
