//! What a look at the machine found: how it stands, what that means, what mends it.
//!
//! Must not: look itself.

use serde::Serialize;

use crate::failure::{Code, Failure};

/// A command that needs something of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Need {
    /// `cargo xtask dev`
    Dev,
    /// `cargo xtask test`
    Test,
    /// `cargo xtask deploy-kind`
    DeployKind,
    /// `cargo xtask scan`
    Scan,
    /// `cargo xtask lint`
    Lint,
}

impl Need {
    /// Each of them.
    pub const ALL: [Self; 5] = [Self::Dev, Self::Test, Self::DeployKind, Self::Scan, Self::Lint];

    /// What is looked at unless others are named: `scan` wants a program that takes minutes to compile, `lint` works
    /// without the programs that it wants; whoever needs them asks for them.
    pub const BY_DEFAULT: &[Self] = &[Self::Dev, Self::Test, Self::DeployKind];

    /// The command's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dev => "dev",
            Self::Test => "test",
            Self::DeployKind => "deploy-kind",
            Self::Scan => "scan",
            Self::Lint => "lint",
        }
    }
}

/// What was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Check {
    /// The Rust toolchain.
    Rust,
    /// C compiler and linker.
    Linker,
    /// Whether a container engine answers.
    Engine,
    /// The version of its API.
    EngineApi,
    /// Room where the engine stores.
    EngineDisk,
    /// Room for the build.
    BuildDisk,
    /// Memory.
    Memory,
    /// A port of this number.
    Port(u16),
    /// kind.
    Kind,
    /// Docker's command line.
    DockerCli,
    /// Docker's Compose plugin.
    Compose,
    /// The version of control groups.
    Cgroup,
    /// Limits on watching files.
    Inotify,
    /// A mirror of packages.
    Packages,
    /// An image registry.
    Registry,
    /// mmdebstrap.
    Mmdebstrap,
    /// A registry to run, for tests.
    DockerRegistry,
    /// A browser, for tests.
    Browser,
    /// cargo-deny.
    CargoDeny,
    /// actionlint.
    Actionlint,
    /// hadolint.
    Hadolint,
    /// The clock.
    Clock,
}

impl std::fmt::Display for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = match self {
            Self::Rust => "Rust",
            Self::Linker => "linker",
            Self::Engine => "engine",
            Self::EngineApi => "engine API",
            Self::EngineDisk => "disk of the engine",
            Self::BuildDisk => "disk for the build",
            Self::Memory => "memory",
            Self::Port(port) => return f.pad(&format!("port {port}")),
            Self::Kind => "kind",
            Self::DockerCli => "docker command",
            Self::Compose => "Compose plugin",
            Self::Cgroup => "control groups",
            Self::Inotify => "file watches",
            Self::Packages => "package mirror",
            Self::Registry => "image registry",
            Self::Mmdebstrap => "mmdebstrap",
            Self::DockerRegistry => "docker-registry",
            Self::Browser => "browser",
            Self::CargoDeny => "cargo-deny",
            Self::Actionlint => "actionlint",
            Self::Hadolint => "hadolint",
            Self::Clock => "clock",
        };
        f.pad(name)
    }
}

/// How it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// As it should be.
    Ok,
    /// It works, but not as well as it could, or not for long.
    Warning,
    /// What needs it cannot work.
    Missing,
}

impl Status {
    /// The word that is shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Missing => "missing",
        }
    }
}

/// What we can do about a finding ourselves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "mend", rename_all = "kebab-case")]
pub enum Mend {
    /// Install packages of Debian or Ubuntu.
    Install {
        /// Their names.
        packages: Vec<&'static str>,
    },
    /// Let cargo compile and install a program of crates.io.
    Compile {
        /// The crate.
        name: &'static str,
    },
    /// Let Go compile and install a program, where cargo's are.
    Go {
        /// Its package, with the version.
        module: &'static str,
        /// What must be installed for that.
        packages: Vec<&'static str>,
    },
    /// Let pip install a program, where cargo's are.
    Pip {
        /// Its package, with the version.
        package: &'static str,
        /// What must be installed for that.
        packages: Vec<&'static str>,
    },
    /// Start the engine that is installed.
    StartEngine,
    /// Install packages, one of them the engine, and start it.
    InstallEngine {
        /// Their names.
        packages: Vec<&'static str>,
    },
}

/// What mends a finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Remedy {
    /// Commands to type or what to do, one a line.
    pub commands: Vec<String>,
    /// The same, done by `--fix`; `None` when a person must do it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mend: Option<Mend>,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub check: Check,
    /// How it stands.
    pub status: Status,
    /// What was seen: `rustc 1.95.0`, `taken by python3 (pid 4242)`.
    pub seen: String,
    /// What that means, when it is not as it should be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub meaning: Option<String>,
    /// What mends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<Remedy>,
    /// The commands that need it; none is needed by no command, only told.
    pub needed_for: Vec<Need>,
}

impl Finding {
    /// Whether it says something about one of these commands. What none needs is told when all are asked about.
    pub fn matters_for(&self, needs: &[Need]) -> bool {
        let told = self.needed_for.is_empty() && Need::BY_DEFAULT.iter().all(|need| needs.contains(need));
        told || self.needed_for.iter().any(|need| needs.contains(need))
    }

    /// The same, standing worse, and what that means.
    #[must_use]
    pub fn but(mut self, status: Status, meaning: impl Into<String>) -> Self {
        self.status = status;
        self.meaning = Some(meaning.into());
        self
    }

    /// The same, with what mends it.
    #[must_use]
    pub fn mended_by(mut self, commands: Vec<String>, mend: Option<Mend>) -> Self {
        self.remedy = Some(Remedy { commands, mend }).filter(|remedy| !remedy.commands.is_empty());
        self
    }
}

/// The failure that missing things make, if anything is missing: code `machine-unready`, or `engine-unreachable` when
/// it is only the engine.
pub fn failure(findings: &[Finding]) -> Option<Failure> {
    let missing: Vec<&Finding> =
        findings.iter().filter(|finding| finding.status == Status::Missing).collect();
    let code = match missing.as_slice() {
        [] => return None,
        [Finding { check: Check::Engine, .. }] => Code::EngineUnreachable,
        [Finding { check: Check::EngineApi, .. }] => Code::EngineTooOld,
        [Finding { check: Check::Port(_), .. }] => Code::PortTaken,
        _ => Code::MachineUnready,
    };
    let names: Vec<String> = missing.iter().map(|finding| finding.check.to_string()).collect();
    let details = missing.iter().flat_map(|finding| {
        let meaning = finding.meaning.as_ref().map(|meaning| format!(": {meaning}")).unwrap_or_default();
        let commands = finding.remedy.iter().flat_map(|remedy| &remedy.commands);
        std::iter::once(format!("{}: {}{meaning}", finding.check, finding.seen))
            .chain(commands.map(|command| format!("    {command}")))
    });
    let can_be_mended = missing.iter().any(|f| f.remedy.as_ref().is_some_and(|remedy| remedy.mend.is_some()));
    let hint = if can_be_mended {
        "`cargo xtask doctor --fix` mends what it can, or run the commands above"
    } else {
        "run the commands above, then `cargo xtask doctor`"
    };
    let message = format!("this machine is not ready: {}", names.join(", "));
    Some(Failure::new(code, message).details(details).hint(hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(check: Check, status: Status) -> Finding {
        let seen = "nothing".to_owned();
        Finding { check, status, seen, meaning: None, remedy: None, needed_for: Vec::new() }
    }

    #[test]
    fn a_check_is_named_in_a_column() {
        assert_eq!(format!("{:<8}|{:<9}|", Check::Kind, Check::Port(80)), "kind    |port 80  |");
        assert_eq!(Check::EngineApi.to_string(), "engine API");
    }

    #[test]
    fn a_finding_matters_for_the_commands_that_need_it() {
        let of_dev = Finding { needed_for: vec![Need::Dev, Need::Test], ..finding(Check::Kind, Status::Ok) };
        let of_none = finding(Check::Clock, Status::Ok);
        let table: [(&[Need], bool, bool); 5] = [
            (&[Need::Dev], true, false),
            (&[Need::Lint, Need::Test], true, false),
            (&[Need::Lint], false, false),
            (&[], false, false),
            (Need::BY_DEFAULT, true, true),
        ];
        for (needs, dev, none) in table {
            assert_eq!((of_dev.matters_for(needs), of_none.matters_for(needs)), (dev, none), "{needs:?}");
        }
    }

    #[test]
    fn a_remedy_has_a_command() {
        let mended = |commands: &[&str]| {
            let commands = commands.iter().map(|&command| command.to_owned()).collect();
            finding(Check::Kind, Status::Missing).mended_by(commands, None).remedy
        };
        assert_eq!(mended(&[]), None);
        assert_eq!(mended(&["apt install x"]).map(|remedy| remedy.commands.len()), Some(1));
    }

    #[test]
    fn what_is_missing_makes_a_failure() {
        let missing = |check| finding(check, Status::Missing);
        let code = |findings: &[Finding]| failure(findings).map(|failure| failure.code);
        let well = [finding(Check::Rust, Status::Ok), finding(Check::Memory, Status::Warning)];
        assert_eq!(code(&well), None);
        for (check, expected) in [
            (Check::Engine, Code::EngineUnreachable),
            (Check::EngineApi, Code::EngineTooOld),
            (Check::Port(80), Code::PortTaken),
            (Check::Rust, Code::MachineUnready),
        ] {
            let [one, two] = well.clone();
            assert_eq!(code(&[one, missing(check), two]), Some(expected), "{check}");
        }
        assert_eq!(code(&[missing(Check::Engine), missing(Check::Port(80))]), Some(Code::MachineUnready));
    }
}
