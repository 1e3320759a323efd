//! The checkout a command works on: where it is, its generated credentials, its lock, the files its services mount.
//!
//! Must not: talk to the engine, or know what a command does.

mod environment;
mod file_lock;
mod kept_log;
mod known_files;
mod lock;
mod migrations;
mod mounted_files;
mod place;
mod register;
mod reloads;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub use environment::{
    Added, EnvironmentError, ensure_environment, is_undecided, outlived_secrets, random_secret,
    read as read_env_file,
};
pub use kept_log::keep_log;
pub use known_files::{KnownFile, known_files};
pub use lock::{Before, FOREGROUND_DEV, Holder, Lock, holder, lock, lock_database, lock_of};
pub use migrations::migrations;
pub use mounted_files::{digest_mounted_files, digest_repeats, is_editors_own};
pub use place::{Surroundings, made_here, other_checkout};
pub use register::{Decided, Register};
pub use reloads::{apply_reloads, note_reload};

use crate::failure::{Code, Failure};
use crate::stack::{self, ProjectName, Stack, StackError, Variables};

/// The variable that names the project: in `compose/.env` for a checkout, in the environment for a second stack from the
/// same one (tests use it).
pub const PROJECT_VARIABLE: &str = "HOMEPORT_PROJECT";

/// A checkout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    root: PathBuf,
    /// Where what must outlive `cargo clean` is kept for this user; nowhere for one at a known place.
    state: Option<PathBuf>,
}

/// A stack, what is worth a second look, and the names of the credentials that have a stand-in.
pub type AsFound = (Stack, Vec<String>, Vec<String>);

/// A Compose file that is no stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unusable {
    /// What the project is called, as far as that is known all the same.
    pub project: Option<ProjectName>,
    /// Whether a name was chosen that no project can have: then it is not the one that was made from this checkout either.
    pub is_misnamed: bool,
    /// Every fault, with its key and line.
    pub why: Failure,
}

impl From<Unusable> for Failure {
    fn from(unusable: Unusable) -> Self {
        unusable.why
    }
}

impl Project {
    /// The checkout that `cargo xtask` was called in: the workspace cargo found, or the nearest directory above the
    /// current one that holds a `compose/compose.yaml`.
    ///
    /// # Errors
    /// When there is none.
    pub fn find() -> Result<Self, Failure> {
        let by_cargo = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
        let here = std::env::current_dir().ok();
        by_cargo
            .into_iter()
            .chain(here)
            .find_map(|start| {
                start.ancestors().find(|d| d.join("compose/compose.yaml").is_file()).map(Path::to_owned)
            })
            .map(Self::of_user)
            .ok_or_else(|| {
                Failure::new(
                    Code::ProjectInvalid,
                    "no compose/compose.yaml in this directory or any above it",
                )
                .hint("run it inside a checkout")
            })
    }

    /// A checkout of this user's, with what is kept for them elsewhere.
    pub fn of_user(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), state: Register::path() }
    }

    /// A checkout at a known place, with nothing elsewhere.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), state: None }
    }

    /// Its top directory, absolute.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A digest of its top directory, in hexadecimal digits: what tells one checkout from another where a path cannot stand.
    pub fn directory_digest(&self) -> String {
        place::digest(&self.root)
    }

    /// The Compose file.
    pub fn compose_file(&self) -> PathBuf {
        self.root.join("compose/compose.yaml")
    }

    /// The generated credentials; Compose reads this file by itself, because it stands beside the Compose file.
    pub fn environment_file(&self) -> PathBuf {
        self.root.join("compose/.env")
    }

    /// How the generated credentials are made.
    pub fn environment_template(&self) -> PathBuf {
        self.root.join("compose/env.template")
    }

    /// The recipes of images.
    pub fn recipes(&self) -> PathBuf {
        self.root.join("compose/images")
    }

    /// Where Homeport keeps what may be deleted at any time: run logs.
    pub fn scratch(&self) -> PathBuf {
        self.root.join("target/homeport")
    }

    /// Where its locks are: beside the register of checkouts, because `cargo clean` beside a `dev` that runs must not let a
    /// second one in. The later ones are for a user who has no home that can be written.
    pub(super) fn locks(&self) -> impl Iterator<Item = PathBuf> + use<> {
        let state = self.state.as_ref().and_then(|register| register.parent());
        let kept = state.map(|state| state.join("locks").join(&self.directory_digest()[..16]));
        kept.into_iter().chain([self.scratch()])
    }

    /// A path as a person of this checkout would write it.
    pub fn relative<'a>(&self, path: &'a Path) -> &'a Path {
        path.strip_prefix(&self.root).unwrap_or(path)
    }

    /// Reads the Compose file, with the generated credentials and the environment as its variables; the environment
    /// wins, as in Compose. Also returns what is worth a second look.
    ///
    /// # Errors
    /// When a file cannot be read, or is no stack: every fault with its key and line.
    pub fn stack(&self) -> Result<(Stack, Vec<String>), Failure> {
        let generated = environment::read(&self.environment_file())?;
        Ok(self.stack_of(&generated)?)
    }

    /// As [`Project::stack`], for commands that make no credentials: those that are missing have a stand-in, and are
    /// named in the third place.
    ///
    /// # Errors
    /// As for [`Project::stack`].
    pub fn stack_as_found(&self) -> Result<AsFound, Failure> {
        Ok(self.stack_or_why_not()??)
    }

    /// As [`Project::stack_as_found`], for commands that can do without what the Compose file says.
    ///
    /// # Errors
    /// When another file cannot be read.
    pub fn stack_or_why_not(&self) -> Result<Result<AsFound, Unusable>, Failure> {
        let (variables, missing) = self.variables_as_found()?;
        Ok(self.stack_of(&variables).map(|(stack, warnings)| (stack, warnings, missing)))
    }

    /// A variable of this checkout: of the environment, else of `compose/.env`, else as the first `dev` would choose it.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn variable(&self, name: &str) -> Result<Option<String>, Failure> {
        match std::env::var(name) {
            Ok(value) => Ok(Some(value)),
            Err(_) => Ok(self.variables_as_found()?.0.remove(name)),
        }
    }

    /// Whether the environment says which project this is, and no file does.
    pub fn is_named_by_environment() -> bool {
        std::env::var_os(PROJECT_VARIABLE).is_some_and(|name| !name.is_empty())
    }

    fn variables_as_found(&self) -> Result<(BTreeMap<String, String>, Vec<String>), Failure> {
        let mut variables = environment::read(&self.environment_file())?;
        let mut missing = Vec::new();
        for (name, stand_in) in environment::stand_ins(self, &variables)? {
            if std::env::var_os(&name).is_none() {
                missing.push(name.clone());
            }
            variables.insert(name, stand_in);
        }
        Ok((variables, missing))
    }

    fn stack_of(&self, generated: &BTreeMap<String, String>) -> Result<(Stack, Vec<String>), Unusable> {
        self.stack_with(&|name| std::env::var(name).ok().or_else(|| generated.get(name).cloned()))
    }

    fn stack_with(&self, variables: &Variables<'_>) -> Result<(Stack, Vec<String>), Unusable> {
        let path = self.compose_file();
        let chosen = variables(PROJECT_VARIABLE).filter(|name| !name.is_empty());
        let unusable = |project: Option<ProjectName>, why| {
            let is_misnamed = project.is_none() && chosen.is_some();
            Unusable { project, is_misnamed, why }
        };
        let text = std::fs::read_to_string(&path).map_err(|error| {
            let message = format!("cannot read {}: {error}", path.display());
            let project = chosen.as_deref().and_then(stack::chosen_project);
            unusable(project, Failure::new(Code::ComposeInvalid, message))
        })?;
        let shown = self.relative(&path);
        let source = stack::Source {
            text: &text,
            path: shown,
            directory: &self.root.join("compose"),
            project: chosen.as_deref(),
            variables,
            files: &|path| std::fs::read_to_string(path).ok(),
        };
        let judged = stack::parse(&source).and_then(|parsed| {
            let faults = stack::unlike_ours(&text, &parsed.stack, &self.root);
            let project = Some(parsed.stack.project.clone());
            if faults.is_empty() {
                Ok(parsed)
            } else {
                Err(StackError { file: shown.to_owned(), project, faults })
            }
        });
        let parsed = judged.map_err(|error| {
            let mut lines = error.lines();
            let first = lines.next().unwrap_or_default();
            let message = format!("{} cannot be used: {first}", shown.display());
            let why = Failure::new(Code::ComposeInvalid, message).details(lines);
            unusable(error.project.clone(), why)
        })?;
        let warnings = parsed.warnings.iter().map(|fault| format!("{}:{fault}", shown.display())).collect();
        Ok((parsed.stack, warnings))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chosen_name_stands_whatever_is_wrong_with_the_file() {
        let root = tempfile::tempdir().unwrap();
        let project = Project::at(root.path());
        std::fs::create_dir(root.path().join("compose")).unwrap();
        // Not there, no text, no YAML, no stack: each as (name chosen, name known, misnamed).
        let texts: [Option<&[u8]>; 4] =
            [None, Some(b"name: file\n# caf\xe9\n"), Some(b"services: [\n"), Some(b"name: file\n")];
        for text in texts {
            if let Some(text) = text {
                std::fs::write(project.compose_file(), text).unwrap();
            }
            for (chosen, known, misnamed) in [("other", Some("other"), false), ("NoName", None, true)] {
                let variables = |name: &str| (name == PROJECT_VARIABLE).then(|| chosen.to_owned());
                let unusable = project.stack_with(&variables).expect_err("it is no stack");
                let seen = (unusable.project.as_ref().map(ProjectName::as_str), unusable.is_misnamed);
                assert_eq!(seen, (known, misnamed), "{}", unusable.why.message);
            }
        }
    }
}
