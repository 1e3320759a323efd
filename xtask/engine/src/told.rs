//! What `xtask-buildkit` writes while it builds, a line of JSON each; the order it reads is an [`ImageBuild`] as a line of
//! JSON with the context's bytes behind it.
//!
//! [`ImageBuild`]: super::ImageBuild

use serde::{Deserialize, Serialize};

use super::build::BuildReport;
use super::error::EngineError;

/// A line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Told {
    /// An instruction begins.
    Step(String),
    /// A line of an instruction's output.
    Line(String),
    /// The engine refuses; its own words.
    Refused(String),
    /// There was no answer that could be taken, or no engine.
    Failed(String),
}

impl From<BuildReport<'_>> for Told {
    fn from(report: BuildReport<'_>) -> Self {
        match report {
            BuildReport::Step(text) => Self::Step(text.to_owned()),
            BuildReport::Line(text) => Self::Line(text.to_owned()),
        }
    }
}

impl From<EngineError> for Told {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Refused { message, .. } => Self::Refused(message),
            error => Self::Failed(error.to_string()),
        }
    }
}
