//! What is wrong with a Compose file, each fault with its key and line. It must not decide what is a fault.

use std::cell::RefCell;
use std::fmt;
use std::path::PathBuf;

use super::ProjectName;

/// One fault (or, in [`super::Parsed::warnings`], one thing worth a second look).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// The line in the file, counted from 1; 0 when the fault is in no single line.
    pub line: usize,
    /// The key, dotted, list positions in brackets and counted from 0: `services.web.ports[0]`. Empty when the fault
    /// is in the document as a whole.
    pub key: String,
    /// A lower-case fragment without a full stop: what was seen, what is expected, what to write instead.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "{}: ", self.line)?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)
    }
}

/// A Compose file that is not a stack: every fault found, sorted by line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StackError {
    /// The file as its user named it.
    pub file: PathBuf,
    /// What the project is called, as far as the file still tells it, or its caller has.
    pub project: Option<ProjectName>,
    /// The faults; never empty.
    pub faults: Vec<Fault>,
}

impl StackError {
    /// The faults as lines that an editor or terminal can follow: `compose/compose.yaml:42: services.web.image: …`.
    pub fn lines(&self) -> impl Iterator<Item = String> + '_ {
        self.faults.iter().map(|fault| format!("{}:{fault}", self.file.display()))
    }
}

impl fmt::Display for StackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, line) in self.lines().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{line}")?;
        }
        Ok(())
    }
}

impl std::error::Error for StackError {}

/// Where faults are gathered while the rest of the file is still read, so that one run names them all.
#[derive(Debug, Default)]
pub(super) struct Faults(RefCell<Vec<Fault>>);

impl Faults {
    /// Adds one.
    pub(super) fn add(&self, line: usize, key: &str, message: impl Into<String>) {
        self.0.borrow_mut().push(Fault { line, key: key.to_owned(), message: message.into() });
    }

    /// All of them, by line, each once.
    pub(super) fn into_sorted(self) -> Vec<Fault> {
        let mut faults = self.0.into_inner();
        faults.sort();
        faults.dedup();
        faults
    }
}
