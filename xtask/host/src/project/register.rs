//! The checkouts of this machine's user that have decided what they are called: so that two whose first `dev` comes at once
//! do not take one name, and one that is down keeps its own.
//!
//! Architecture invariant: the register names directories and nothing else. What each is called, and its ports, stand in its
//! own `compose/.env`; a directory that is no checkout any more, or decides nothing, is forgotten. Lost, the register costs
//! no more than that: what runs is known from the engine.

use std::collections::BTreeSet;
use std::fs::{File, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use super::{PROJECT_VARIABLE, Project, environment, file_lock};
use crate::limits;

/// What a variable that holds a port ends with.
const PORT: &str = "_PORT";

/// The register, held: nobody else decides meanwhile. The lock is the kernel's, and goes with the process.
#[derive(Debug)]
pub struct Register {
    file: File,
    checkouts: BTreeSet<PathBuf>,
}

/// What other checkouts have decided.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decided {
    /// Their projects.
    pub projects: BTreeSet<String>,
    /// The ports that they publish, whether they are up or not.
    pub ports: BTreeSet<u16>,
}

impl Register {
    /// Where it is kept: with what programs of this user keep from run to run (XDG Base Directory Specification).
    pub fn path() -> Option<PathBuf> {
        let absolute = |path: &PathBuf| path.is_absolute();
        let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(absolute);
        let home = || std::env::home_dir().filter(absolute).map(|home| home.join(".local/state"));
        Some(state.or_else(home)?.join("homeport/checkouts"))
    }

    /// Opens it, and waits up to [`limits::CHECKOUT_DECIDES`] for another checkout that is just deciding.
    ///
    /// # Errors
    /// When it cannot be read or written, or another one holds it for too long.
    pub async fn open(path: &Path) -> std::io::Result<Self> {
        path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
        let mut file = file_lock::open(path)?;
        match file_lock::take(&file, limits::CHECKOUT_DECIDES).await {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(std::io::ErrorKind::TimedOut.into()),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        Ok(Self { file, checkouts: text.lines().map(PathBuf::from).collect() })
    }

    /// Whether a checkout stands in it, without a lock: what decided before there was a register, or lost it, does not.
    pub fn knows(path: &Path, project: &Project) -> bool {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.lines().any(|directory| Path::new(directory) == project.root())
    }

    /// What the others have decided.
    pub fn others(&self, project: &Project) -> Decided {
        let mut decided = Decided::default();
        for directory in self.checkouts.iter().filter(|directory| *directory != project.root()) {
            let variables = environment::read(&Project::at(directory).environment_file()).unwrap_or_default();
            decided.projects.extend(variables.get(PROJECT_VARIABLE).cloned());
            let ports = variables.iter().filter(|(name, _)| name.ends_with(PORT));
            decided.ports.extend(ports.filter_map(|(_, port)| port.parse::<u16>().ok()));
        }
        decided
    }

    /// Enters a checkout that has decided, forgets those that are no more, and lets the next one decide.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn enter(mut self, project: &Project) -> std::io::Result<()> {
        self.checkouts.retain(|directory| Project::at(directory).environment_file().is_file());
        self.checkouts.insert(project.root().to_owned());
        // A path that is no text, or has a line's end in it, would be read as another one.
        let lines =
            self.checkouts.iter().filter_map(|path| path.to_str()).filter(|path| !path.contains('\n'));
        let text: String = lines.map(|path| format!("{path}\n")).collect();
        self.file.set_len(0)?;
        self.file.rewind()?;
        self.file.write_all(text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_others_have_decided_is_known_until_they_are_gone() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("state/homeport/checkouts");
        let checkout = |name: &str, variables: &str| {
            let project = Project::at(root.path().join(name));
            std::fs::create_dir_all(project.root().join("compose")).unwrap();
            std::fs::write(project.environment_file(), variables).unwrap();
            project
        };
        let first = checkout("first", "HOMEPORT_PROJECT=shop\nHOMEPORT_WEB_PORT=80\nOTHER=7\n");
        let second = checkout("second", "HOMEPORT_PROJECT=shop-second\nHOMEPORT_WEB_PORT=12010\n");
        let register = Register::open(&path).await.unwrap();
        assert_eq!(register.others(&second), Decided::default(), "it is new");
        register.enter(&first).unwrap();
        assert!(Register::knows(&path, &first) && !Register::knows(&path, &second));

        let decided =
            |name: &str, port: u16| Decided { projects: [name.to_owned()].into(), ports: [port].into() };
        let register = Register::open(&path).await.unwrap();
        assert_eq!(register.others(&second), decided("shop", 80));
        assert_eq!(register.others(&first), Decided::default(), "one is no other of itself");
        register.enter(&second).unwrap();

        std::fs::remove_dir_all(first.root()).unwrap();
        let third = checkout("third", "");
        let register = Register::open(&path).await.unwrap();
        assert_eq!(register.others(&third), decided("shop-second", 12_010));
        register.enter(&third).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(!text.contains("first") && text.lines().count() == 2, "{text}");
    }

    #[tokio::test]
    async fn nobody_decides_while_another_does() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("checkouts");
        let project = Project::at(root.path());
        let register = Register::open(&path).await.unwrap();
        assert!(matches!(File::open(&path).unwrap().try_lock(), Err(TryLockError::WouldBlock)));
        let waits = tokio::spawn(async move { Register::open(&path).await.unwrap().checkouts });
        register.enter(&project).unwrap();
        assert_eq!(waits.await.unwrap(), [root.path().to_owned()].into());
    }
}
