//! The system this machine runs, and the commands that install and start things on it.
//!
//! Must not: run them.

use std::path::Path;

/// Which system it is, as far as the commands differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Os {
    /// Debian, Ubuntu and what is made from them: `apt-get` works.
    Debian,
    /// Another Linux.
    Linux,
    /// macOS.
    MacOs,
    /// Something else.
    Other,
}

/// Which distribution it is, as far as its packages differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Distribution {
    /// Debian itself, and its release.
    Debian(u32),
    /// Ubuntu itself, some of whose packages only fetch a snap.
    Ubuntu,
    /// Another.
    Other,
}

/// The system, and what may be done on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Platform {
    /// Which system.
    pub os: Os,
    /// Its name for a person: `Debian GNU/Linux 12 (bookworm)`.
    pub name: String,
    /// Which distribution.
    pub distribution: Distribution,
    /// Whether we are root.
    pub root: bool,
    /// Whether `sudo` works without a password.
    pub sudo: bool,
    /// Whether systemd runs this machine.
    pub systemd: bool,
}

impl Platform {
    /// Judges by what the system's files say: the text of `/etc/os-release` (os-release(5)), and the target system of
    /// this build.
    pub fn judge(target_os: &str, os_release: Option<&str>, root: bool, sudo: bool, systemd: bool) -> Self {
        let field = |name: &str| {
            let lines = os_release.unwrap_or_default().lines();
            let mut values = lines.filter_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            values.next().map(|value| value.trim_matches(['"', '\'']).to_owned()).unwrap_or_default()
        };
        let family = format!("{} {}", field("ID"), field("ID_LIKE"));
        let os = match target_os {
            "linux" if family.split_whitespace().any(|id| id == "debian" || id == "ubuntu") => Os::Debian,
            "linux" => Os::Linux,
            "macos" => Os::MacOs,
            _ => Os::Other,
        };
        let name = Some(field("PRETTY_NAME")).filter(|name| !name.is_empty());
        let distribution = match field("ID").as_str() {
            "debian" => field("VERSION_ID").parse().map_or(Distribution::Other, Distribution::Debian),
            "ubuntu" => Distribution::Ubuntu,
            _ => Distribution::Other,
        };
        Self { os, name: name.unwrap_or_else(|| target_os.to_owned()), distribution, root, sudo, systemd }
    }

    /// Whether `kind` and `docker-cli` are packages of their own here, from what is known of releases: for a machine whose
    /// apt has no lists yet. Debian has them from 13 on.
    pub fn packages_by_release(&self) -> bool {
        matches!(self.distribution, Distribution::Debian(13..))
    }

    /// Whether packages can be installed and services started by us.
    pub fn can_mend(&self) -> bool {
        self.os == Os::Debian && (self.root || self.sudo)
    }

    /// A command line as an administrator types it.
    pub fn as_administrator(&self, command: &str) -> String {
        if self.root { command.to_owned() } else { format!("sudo {command}") }
    }

    /// The command that installs: Debian's packages, or Homebrew's formula where there is one.
    pub fn install(&self, packages: &[&str], brew: Option<&str>) -> Vec<String> {
        match self.os {
            Os::Debian => {
                let line = format!("apt-get install -y --no-install-recommends {}", packages.join(" "));
                vec![self.as_administrator("apt-get update"), self.as_administrator(&line)]
            }
            Os::MacOs => brew.map(|formula| format!("brew install {formula}")).into_iter().collect(),
            Os::Linux | Os::Other => {
                vec![format!("install {} with the system's package manager", packages.join(", "))]
            }
        }
    }

    /// The commands that start an installed engine.
    pub fn start_engine(&self) -> Vec<String> {
        match self.os {
            Os::MacOs => vec!["open -a Docker    # or: colima start".to_owned()],
            Os::Debian | Os::Linux if self.systemd => {
                vec![self.as_administrator("systemctl enable --now docker")]
            }
            Os::Debian | Os::Linux => {
                vec![self.as_administrator(&format!("sh -c '{}'", background_engine(Path::new(ENGINE_LOG))))]
            }
            Os::Other => vec!["start Docker Desktop".to_owned()],
        }
    }
}

/// Where an engine that we start without systemd writes its log.
pub(super) const ENGINE_LOG: &str = "/var/log/dockerd.log";

/// The shell command that starts an engine which outlives us: a session of its own, no terminal, its output in a file.
pub(super) fn background_engine(log: &Path) -> String {
    format!("setsid --fork dockerd >>{} 2>&1 </dev/null", log.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systems_are_told_apart() {
        let debian = "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nID=debian\n";
        let mint = "ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n";
        let fedora = "ID=fedora\nPRETTY_NAME='Fedora Linux 42'\n";
        let table = [
            ("linux", Some(debian), Os::Debian, "Debian GNU/Linux 12 (bookworm)"),
            ("linux", Some(mint), Os::Debian, "linux"),
            ("linux", Some(fedora), Os::Linux, "Fedora Linux 42"),
            ("linux", None, Os::Linux, "linux"),
            ("macos", None, Os::MacOs, "macos"),
            ("windows", None, Os::Other, "windows"),
        ];
        for (target, release, os, name) in table {
            let platform = Platform::judge(target, release, false, false, false);
            assert_eq!((platform.os, platform.name.as_str()), (os, name), "{target} {release:?}");
        }
    }

    #[test]
    fn releases_are_told_apart() {
        // release, what it is, whether it has the packages
        let table = [
            ("ID=debian\nVERSION_ID=\"13\"\n", Distribution::Debian(13), true),
            ("ID=debian\nVERSION_ID=\"12\"\n", Distribution::Debian(12), false),
            ("ID=debian\n", Distribution::Other, false),
            ("ID=ubuntu\nID_LIKE=debian\nVERSION_ID=\"24.04\"\n", Distribution::Ubuntu, false),
            ("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\nVERSION_ID=\"22\"\n", Distribution::Other, false),
        ];
        for (release, distribution, packaged) in table {
            let platform = Platform::judge("linux", Some(release), false, false, false);
            let judged = (platform.distribution, platform.packages_by_release());
            assert_eq!(judged, (distribution, packaged), "{release}");
        }
    }
}
