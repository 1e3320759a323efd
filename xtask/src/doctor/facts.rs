//! What is known of the machine, as plain data: the input of the judgement, and of its tests.
//!
//! Must not: look, or judge.

use std::path::PathBuf;
use std::time::SystemTime;

use super::platform::Platform;
use super::ports::Holder;
use crate::images::{Availability, Catalogue, Needed, Source};
use crate::stack::ImageReference;

/// Everything the judgement looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The system, and what may be done on it.
    pub platform: Platform,
    /// The Rust compiler.
    pub rust: Tool,
    /// The oldest Rust version that the workspace's `Cargo.toml` allows: `1.89`.
    pub oldest_rust: String,
    /// The C compiler, which also links.
    pub compiler: Compiler,
    /// The container engine.
    pub engine: EngineSeen,
    /// Room on disks.
    pub disks: Vec<Disk>,
    /// Memory: the engine's machine's, as containers run there.
    pub memory: Option<Memory>,
    /// The ports that are to be published.
    pub ports: Vec<PortSeen>,
    /// kind.
    pub kind: Tool,
    /// Whether the system's package manager offers kind.
    pub kind_is_packaged: bool,
    /// Docker's command line, which kind uses.
    pub docker_cli: Tool,
    /// Whether the system's package manager offers it apart from the engine.
    pub docker_cli_is_packaged: bool,
    /// Docker's Compose plugin.
    pub compose: Tool,
    /// The version of control groups, 1 or 2.
    pub cgroup_version: Option<u8>,
    /// Limits on watching files (Linux).
    pub inotify: Option<Inotify>,
    /// Whether the package mirror answers.
    pub mirror: Reach,
    /// Whether Docker Hub answers.
    pub registry: Reach,
    /// The stack's images.
    pub images: ImagesSeen,
    /// mmdebstrap.
    pub mmdebstrap: Tool,
    /// Debian's docker-registry, for the tests that push and pull; `None` outside CI, where they may be left out.
    pub docker_registry: Option<Tool>,
    /// A browser that runs without a screen, for the test that looks at the report's page.
    pub browser: Tool,
    /// Whether this is CI, where no test may be left out.
    pub in_ci: bool,
    /// cargo-deny.
    pub cargo_deny: Tool,
    /// actionlint, and Go, which compiles it.
    pub actionlint: Tool,
    /// See `actionlint`.
    pub go: Tool,
    /// hadolint, and Python's pip, which brings it.
    pub hadolint: Tool,
    /// See `hadolint`.
    pub pip: Tool,
    /// This machine's clock.
    pub clock: Clock,
}

/// A program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tool {
    /// It answers with this version.
    Version(String),
    /// It is not there.
    Missing,
    /// It is there and does not run; what it said.
    Broken(String),
}

/// What the C compiler can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compiler {
    /// It links a program, statically too.
    Works,
    /// It links only with shared libraries; what it said of the other.
    OnlyShared(String),
    /// It is there and links nothing; what it said.
    Broken(String),
    /// There is none.
    Missing,
}

/// The container engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EngineSeen {
    /// It answers.
    Answers {
        /// Its version.
        version: String,
        /// The newest version of its API.
        api: String,
        /// Its system, for a person.
        system: String,
        /// That it is another machine's, and how to name another engine.
        elsewhere: Option<(String, String)>,
    },
    /// None answers.
    Silent {
        /// What was tried and seen.
        message: String,
        /// Whether it is there, and this user may not talk to it.
        forbidden: bool,
        /// Whether it was looked for where an engine of this machine's own would be (nothing names another place).
        own: bool,
        /// Whether an engine is installed that could be started.
        installed: bool,
    },
    /// It speaks an API that is too old or too new.
    WrongVersion {
        /// Both versions.
        message: String,
        /// What to do.
        hint: String,
    },
    /// Docker's configuration names none that could be used.
    Misconfigured {
        /// What is wrong.
        message: String,
        /// What to do.
        hint: String,
    },
}

/// Room on one disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// What it is needed for.
    pub used_for: DiskUse,
    /// The directory that was asked about.
    pub path: PathBuf,
    /// Bytes that an unprivileged user may still write.
    pub free: u64,
}

/// What a disk is needed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskUse {
    /// Images, containers and volumes.
    Engine,
    /// cargo's target directory.
    Build,
}

/// Memory, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// In all.
    pub total: u64,
    /// Free or to be freed without harm; unknown on a machine that is not ours to look into.
    pub available: Option<u64>,
}

/// A port that is to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortSeen {
    /// Its number.
    pub port: u16,
    /// The service that wants it.
    pub service: String,
    /// How it stands.
    pub state: PortState,
}

/// How a port stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PortState {
    /// Nobody has it.
    Free,
    /// A container of this project has it, or the `dev` that stands before one.
    Ours,
    /// Somebody else has it; who, as far as we may see.
    Taken(Option<Holder>),
    /// It cannot be had for another reason, in the system's words: a number below 1024 without the right to it.
    Refused(String),
}

/// The kernel's limits on watching files, a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inotify {
    /// `fs.inotify.max_user_watches`
    pub watches: u64,
    /// `fs.inotify.max_user_instances`
    pub instances: u64,
}

/// Whether something on the network answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// It does.
    Answers {
        /// Its address.
        address: String,
    },
    /// It does not.
    Silent {
        /// Its address.
        address: String,
        /// What was seen.
        seen: String,
    },
    /// It was not asked: the command goes without the network.
    NotAsked,
}

/// What is known of the stack's images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImagesSeen {
    /// Nothing: no engine answers.
    Unknown,
    /// Where they are.
    Known {
        /// Those that are not in the engine's store.
        absent: Vec<String>,
        /// Whether the base of recipes that are to be used must be made by mmdebstrap.
        bootstrap: bool,
    },
}

impl ImagesSeen {
    /// Reads a survey; what the host's cargo builds is no image that a source must have.
    pub fn read(catalogue: &Catalogue, needed: &[Needed]) -> Self {
        let built_here = |image: &ImageReference| {
            needed.iter().any(|needed| needed.built_here && needed.reference == *image)
        };
        let absent = catalogue
            .iter()
            .filter(|(image, seen)| !matches!(seen, Availability::Present { .. }) && !built_here(image))
            .map(|(image, _)| image.to_string())
            .collect();
        let bootstrap =
            catalogue.values().any(|seen| matches!(seen, Availability::Obtainable(Source::Bootstrap(_))));
        Self::Known { absent, bootstrap }
    }
}

/// This machine's clock, and one to compare it with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clock {
    /// What it says.
    pub now: SystemTime,
    /// What others say at that time, and who they are.
    pub others: Vec<(String, SystemTime)>,
}
