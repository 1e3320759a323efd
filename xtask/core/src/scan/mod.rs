//! The security rules: what manifests, Dockerfiles, an image, its program's dependencies and the repository's files
//! must not be.
//!
//! Pure: texts and listings come in, findings go out. Must not: read a file, start a program, talk to the engine.

pub mod bill;
pub mod dependencies;
pub mod dockerfile;
pub mod image;
pub mod manifests;
pub mod secrets;
pub mod trivy;

use std::fmt;

/// Something that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Where: `k8s/base/prometheus.yaml: Deployment prometheus`, `compose/env.template:4`.
    pub place: String,
    /// A lower-case fragment: what is there, what is expected.
    pub message: String,
}

impl Finding {
    fn new(place: impl Into<String>, message: impl Into<String>) -> Self {
        Self { place: place.into(), message: message.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}
