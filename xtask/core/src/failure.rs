//! What went wrong, in a form a person and a script can use: a stable code, an exit status, a message and the next
//! command to run.
//!
//! Rooms have error enums of their own; a command turns them into a [`Failure`] where it knows what was attempted.

use std::fmt;

/// The exit statuses of the program (README, "When something fails").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Exit {
    /// A bug in Homeport itself.
    Bug = 1,
    /// The command line was wrong.
    Usage = 2,
    /// A configuration file was wrong.
    Configuration = 3,
    /// Something this machine must have is missing.
    Prerequisite = 4,
    /// A step was tried and failed.
    Step = 5,
    /// Something did not become healthy in time.
    Unhealthy = 6,
    /// A rollout failed and the previous revision was put back.
    RolledBack = 7,
    /// Tests failed.
    Tests = 8,
    /// Stopped by Ctrl-C or SIGTERM (128 + SIGINT, as shells report it).
    Interrupted = 130,
}

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $variant:ident => $text:literal, $exit:ident;)+) => {
        /// Every way a command can fail. The text is stable: scripts may match on it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Code {
            /// All of them, in the order of the documentation.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The stable text.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            /// The exit status that goes with it.
            pub const fn exit(self) -> Exit {
                match self { $(Self::$variant => Exit::$exit,)+ }
            }

            /// What it means, in one line.
            pub const fn description(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc),+),)+ }
            }
        }
    };
}

codes! {
    /// something happened that Homeport has no name for: a bug
    Internal => "internal", Bug;
    /// the command line names something that does not exist
    Usage => "usage", Usage;
    /// the Compose file cannot be read as a stack
    ComposeInvalid => "compose-invalid", Configuration;
    /// a file of the project (not the Compose file) is missing or wrong
    ProjectInvalid => "project-invalid", Configuration;
    /// no container engine answers
    EngineUnreachable => "engine-unreachable", Prerequisite;
    /// the engine is too old
    EngineTooOld => "engine-too-old", Prerequisite;
    /// no source has an image that is needed
    ImageUnavailable => "image-unavailable", Prerequisite;
    /// a program that is needed is not installed
    ProgramMissing => "program-missing", Prerequisite;
    /// a port that is to be published is taken by somebody else
    PortTaken => "port-taken", Prerequisite;
    /// the machine lacks something that `doctor` checks
    MachineUnready => "machine-unready", Prerequisite;
    /// the stack's Postgres, whose database a command works on, does not run
    DatabaseAbsent => "database-absent", Prerequisite;
    /// another command works on the same project
    ProjectBusy => "project-busy", Prerequisite;
    /// the project's containers or data are another checkout's
    ProjectForeign => "project-foreign", Prerequisite;
    /// the cluster is not ours, is broken, or does not answer
    ClusterUnusable => "cluster-unusable", Prerequisite;
    /// the compiler refused the service
    BuildFailed => "build-failed", Step;
    /// an image could not be obtained
    ImageFailed => "image-failed", Step;
    /// the engine refused an operation
    EngineRefused => "engine-refused", Step;
    /// the cluster refused an operation
    ClusterRefused => "cluster-refused", Step;
    /// somebody else has set in the cluster what is to be set
    ApplyConflict => "apply-conflict", Step;
    /// Postgres refused a script
    DatabaseRefused => "database-refused", Step;
    /// a container ended that should run, or a one-shot ended with an error
    ContainerExited => "container-exited", Step;
    /// something is left over that should be gone
    LeftBehind => "left-behind", Step;
    /// a check of style, rules or manifests found something
    ChecksFailed => "checks-failed", Step;
    /// a service did not become healthy in time
    NotHealthy => "not-healthy", Unhealthy;
    /// a rollout failed; the previous revision serves
    RolledBack => "rolled-back", RolledBack;
    /// tests failed
    TestsFailed => "tests-failed", Tests;
    /// stopped by Ctrl-C or SIGTERM
    Interrupted => "interrupted", Interrupted;
}

/// A failure as it is shown: what was attempted, on what, what was seen and expected; then evidence; then what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Which failure it is.
    pub code: Code,
    /// A lower-case fragment without a full stop.
    pub message: String,
    /// Evidence, line by line: the last log lines of a container, the compiler's errors.
    pub details: Vec<String>,
    /// The next command to run, or what to change.
    pub hint: Option<String>,
}

impl Failure {
    /// A failure without evidence or hint.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), details: Vec::new(), hint: None }
    }

    /// Adds what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds evidence.
    #[must_use]
    pub fn details(mut self, lines: impl IntoIterator<Item = String>) -> Self {
        self.details.extend(lines);
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.message)
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_written_as_its_message_and_its_code_is_explained() {
        let failure = Failure::new(Code::Internal, "reading compose.yaml").hint("try again");
        assert_eq!(failure.to_string(), "reading compose.yaml");
        for code in Code::ALL {
            assert!(!code.description().trim().is_empty() && !code.as_str().is_empty(), "{code:?}");
        }
    }
}
