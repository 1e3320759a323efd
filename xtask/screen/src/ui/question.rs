//! A question to a person, answered at the terminal.
//!
//! Must not: be asked where no terminal is.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

/// Whether there is somebody to ask: standard input and standard error are a terminal.
pub fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks, and waits for a line. Only `y` and `yes` agree; the end of the input does not.
///
/// # Errors
/// When the terminal refuses.
pub fn agrees(question: &str) -> io::Result<bool> {
    let mut to = io::stderr().lock();
    write!(to, "{question} [y/N] ")?;
    to.flush()?;
    drop(to);
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(is_yes(&answer))
}

fn is_yes(answer: &str) -> bool {
    matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_yes_is_one() {
        for (answer, expected) in
            [("y\n", true), ("Yes\r\n", true), ("", false), ("\n", false), ("n\n", false), ("yo\n", false)]
        {
            assert_eq!(is_yes(answer), expected, "{answer:?}");
        }
    }
}
