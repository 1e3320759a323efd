//! Our own checks of YAML, workflows and Dockerfiles: text in, faults out, each with its file and line. Pure.
//!
//! They hold what this project promises of its files; they do not replace `actionlint` and `hadolint`, which know the
//! languages whole and which `lint` runs beside them where they are installed.
//!
//! Must not: read a file, or know what is done about a fault.

mod dockerfile;
mod workflow;
mod yaml;

use std::fmt;

pub use dockerfile::check as dockerfile;
pub(crate) use dockerfile::unsafe_instructions;
pub use workflow::check as workflow;
pub use yaml::check as yaml;

/// Something wrong in a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// The line, counted from 1; 0 when it is the file as a whole.
    pub line: usize,
    /// What was seen and expected.
    pub message: String,
}

impl Fault {
    fn new(line: usize, message: impl Into<String>) -> Self {
        Self { line, message: message.into() }
    }

    /// As a compiler would say it: `compose/compose.yaml:12: …`.
    pub fn of(&self, path: &str) -> String {
        if self.line == 0 { format!("{path}: {}", self.message) } else { format!("{path}:{self}") }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.line, self.message)
    }
}

/// What a file is, by its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A GitHub workflow, which is YAML too.
    Workflow,
    /// Any other YAML.
    Yaml,
    /// A Dockerfile.
    Dockerfile,
}

impl Kind {
    /// The kind of a file below the checkout's top; `None` when it is none of these.
    pub fn of(path: &str) -> Option<Self> {
        let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
        let extension = name.rsplit_once('.').map(|(_, extension)| extension);
        match extension {
            Some("yaml" | "yml") if directory == ".github/workflows" => Some(Self::Workflow),
            Some("yaml" | "yml") => Some(Self::Yaml),
            _ if name == "Dockerfile" || name.starts_with("Dockerfile.") => Some(Self::Dockerfile),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_tells_the_kind() {
        let table = [
            (".github/workflows/ci.yml", Some(Kind::Workflow)),
            ("k8s/base/prometheus.yaml", Some(Kind::Yaml)),
            ("compose.yml", Some(Kind::Yaml)),
            ("Dockerfile", Some(Kind::Dockerfile)),
            ("compose/images/redis/Dockerfile", Some(Kind::Dockerfile)),
            ("README.md", None),
            ("yaml", None),
        ];
        for (path, kind) in table {
            assert_eq!(Kind::of(path), kind, "{path}");
        }
    }

    #[test]
    fn a_fault_is_told_as_compilers_do() {
        assert_eq!(Fault::new(3, "no").of("a.yaml"), "a.yaml:3: no");
        assert_eq!(Fault::new(0, "no").of("a.yaml"), "a.yaml: no");
    }
}
