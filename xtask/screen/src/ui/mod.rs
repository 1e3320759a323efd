//! The screen. Architecture invariant: the only room that prints. It turns the stream of events into what a person
//! sees in a terminal, into plain lines, or into JSON lines, and prints the data that a command answers with.
//!
//! Progress and logs go to standard error, data to standard output. Must not: decide what happens, or ask the engine.

mod json;
mod live;
pub mod log_line;
mod names;
mod plain;
mod problem;
mod question;
mod results;
#[cfg(test)]
mod samples;
mod screen;
mod style;
mod table;
mod terminal;
#[cfg(test)]
mod tests;
mod words;

use std::io::{self, Write};

use serde::Serialize;

pub use question::{agrees, can_ask};
pub use screen::{Screen, Settings};
pub use style::{Role, Style};
pub use table::{Cell, Table, wrap};
pub use terminal::{Facts, Terminal};
pub use words::services;

use crate::failure::Failure;

/// The form of the output (`--format`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For a person: redrawn in a terminal, plain lines elsewhere.
    #[default]
    Human,
    /// For a program: one JSON object a line on standard output, nothing else there.
    Json,
}

/// What a command answers with: a table for a person, an object for a program.
pub trait Answer: Serialize {
    /// The lines for a person. `columns` is the width to fit into, `None` where nothing is to be cut.
    fn human(&self, style: Style, columns: Option<usize>) -> Vec<String>;
}

/// Prints an answer to standard output.
///
/// # Errors
/// When standard output refuses, a closed pipe excepted: a reader that has seen enough (`| head`) is no failure.
pub fn answer(format: Format, terminal: &Terminal, answer: &impl Answer) -> io::Result<()> {
    match format {
        Format::Human => {
            let columns = terminal.columns.filter(|_| terminal.stdout_is_terminal);
            print(&answer.human(terminal.stdout_style, columns))
        }
        Format::Json => print(&[serde_json::to_string(answer)?]),
    }
}

/// An answer as an event, for a command that runs others at once.
pub fn answered(terminal: &Terminal, answer: &impl Answer) -> crate::event::Event {
    let columns = terminal.columns.filter(|_| terminal.stdout_is_terminal);
    let lines = answer.human(terminal.stdout_style, columns);
    // Plain data with text keys.
    let value = serde_json::to_value(answer).unwrap_or_default();
    crate::event::Event::Answered { lines, value }
}

/// Prints a text (a plan, a completion script) to standard output as it is.
///
/// # Errors
/// As for [`answer`].
pub fn print_text(text: &str) -> io::Result<()> {
    forgive_closed_pipe(write_text(&mut io::stdout().lock(), text))
}

/// Shows a failure where no screen runs (yet): to a person on standard error, to a program on standard output, as the
/// event that a screen would have shown.
pub fn show_failure(format: Format, terminal: &Terminal, failure: &Failure) {
    let event = crate::event::Event::from(failure);
    // Nothing is left to be done about a standard stream that refuses.
    let _ = match format {
        Format::Human => {
            let hint = failure.hint.as_deref();
            let style = terminal.stderr_style;
            let lines =
                words::failure(failure.code.as_str(), &failure.message, &failure.details, hint, style);
            write_lines(&mut io::stderr().lock(), &lines)
        }
        Format::Json => {
            let line = crate::run_log::json_line(&event, std::time::SystemTime::now());
            write_lines(&mut io::stdout().lock(), &[line])
        }
    };
}

fn print(lines: &[String]) -> io::Result<()> {
    forgive_closed_pipe(write_lines(&mut io::stdout().lock(), lines))
}

fn write_lines(to: &mut impl Write, lines: &[String]) -> io::Result<()> {
    for line in lines {
        to.write_all(line.as_bytes())?;
        to.write_all(b"\n")?;
    }
    to.flush()
}

fn write_text(to: &mut impl Write, text: &str) -> io::Result<()> {
    to.write_all(text.as_bytes())?;
    to.flush()
}

fn forgive_closed_pipe(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}
