//! The commands, a file or a folder each, and what each is given ([`Context`]). They compose rooms and decide nothing.

pub mod bench;
pub mod ci;
pub mod cluster;
pub mod db;
pub mod dev;
pub mod doctor;
pub mod down;
pub mod image;
pub mod lint;
pub mod logs;
pub mod mutants;
pub mod push;
pub mod report;
pub mod scan;
pub mod status;
pub mod test;
mod tools;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use tokio_util::sync::CancellationToken;

use crate::engine::Engine;
use crate::event::Events;
use crate::execute::Halt;
use crate::failure::{Code, Failure};
use crate::images::Sources;
use crate::project::{
    Added, Decided, PROJECT_VARIABLE, Project, Register, Surroundings, ensure_environment, is_undecided,
    made_here, other_checkout,
};
use crate::serving::attempts::Attempts;
use crate::serving::fronts::Fronts;
use crate::serving::leaving::Leaving;
use crate::session::Session;
use crate::stack::{ProjectName, Stack};
use crate::ui::{Format, Terminal};

/// What every command is given.
#[derive(Debug, Clone)]
pub struct Context {
    /// The checkout.
    pub project: Project,
    /// The stream of events.
    pub events: Events,
    /// Fires at Ctrl-C.
    pub cancel: CancellationToken,
    /// The form of what a command answers with.
    pub format: Format,
    /// What is written to.
    pub terminal: Terminal,
    /// When the command began.
    pub begun: Instant,
    /// Where a test wants the run to stand still.
    pub halt: Option<Halt>,
    /// Whether answers take their turn among the events, for a command that runs others at once.
    pub in_turn: bool,
}

impl Context {
    /// Reads the stack and connects to the engine.
    ///
    /// # Errors
    /// When the Compose file is wrong or no engine answers.
    pub async fn session(&self, offline: bool) -> Result<Session, Failure> {
        let (stack, warnings) = self.project.stack()?;
        self.session_with(stack, warnings, offline).await
    }

    /// As [`Context::session`], for commands that make no credentials: they look at what there is or take it away, and
    /// must do so in a checkout that has none. Also returns the names of the credentials that are missing.
    ///
    /// # Errors
    /// As for [`Context::session`].
    pub async fn session_as_found(&self, offline: bool) -> Result<(Session, Vec<String>), Failure> {
        let (stack, warnings, missing) = self.project.stack_as_found()?;
        Ok((self.session_with(stack, warnings, offline).await?, missing))
    }

    /// As [`Context::session_as_found`], for commands that make nothing of what the Compose file says: when it cannot be
    /// used, they go by what the engine says of the project. `untold` is what they cannot tell then.
    ///
    /// # Errors
    /// When no engine answers; and as for [`Context::session`] when nothing tells what the project is called.
    pub async fn session_by_engine(&self, untold: &str) -> Result<(Session, Vec<String>), Failure> {
        let unusable = match self.project.stack_or_why_not()? {
            Ok((stack, warnings, missing)) => {
                return Ok((self.session_with(stack, warnings, true).await?, missing));
            }
            Err(unusable) => unusable,
        };
        let engine = self.connect().await?;
        let project = match unusable.project {
            Some(project) => project,
            None if unusable.is_misnamed => {
                return Err(unusable
                    .why
                    .hint(format!("no project can be called what {PROJECT_VARIABLE} says")));
            }
            None => Box::pin(self.unless_stopped(self.project_made_here(&engine, &unusable.why))).await?,
        };
        let others = match unusable.why.details.len() {
            0 => String::new(),
            1 => " (and 1 more fault)".to_owned(),
            more => format!(" (and {more} more faults)"),
        };
        self.events.warning(format!("{}{others}; {untold}", unusable.why.message));
        let session = self.session_on(engine, Stack::unread(project), true);
        Ok((Session { by_engine: true, ..session }, Vec::new()))
    }

    /// The project whose objects the engine has from this checkout; `why` nothing else tells its name.
    async fn project_made_here(&self, engine: &Engine, why: &Failure) -> Result<ProjectName, Failure> {
        let names = made_here(&self.project, &engine.checkouts().await?);
        let mut each = names.iter();
        match (each.next(), each.next()) {
            (Some(only), None) => Ok(ProjectName::new(only)),
            (first, _) => {
                let seen = first.map_or(
                    "the engine has nothing that was made from this checkout".to_owned(),
                    |_| {
                        let names: Vec<&str> = names.iter().map(String::as_str).collect();
                        format!("several projects were made from this checkout: {}", names.join(", "))
                    },
                );
                let hint =
                    format!("{seen}; {PROJECT_VARIABLE}=NAME before the command says which project is meant");
                Err(why.clone().hint(hint))
            }
        }
    }

    async fn session_with(
        &self,
        stack: Stack,
        warnings: Vec<String>,
        offline: bool,
    ) -> Result<Session, Failure> {
        for warning in warnings {
            self.events.warning(warning);
        }
        Ok(self.session_on(self.connect().await?, stack, offline))
    }

    /// A silent engine must not keep a person who has had enough.
    async fn connect(&self) -> Result<Engine, Failure> {
        Box::pin(self.unless_stopped(async { Ok(Engine::connect().await?) })).await
    }

    fn session_on(&self, engine: Engine, stack: Stack, offline: bool) -> Session {
        Session {
            engine,
            sources: Sources::of_checkout(self.project.root(), offline),
            stack,
            by_engine: false,
            project: self.project.clone(),
            events: self.events.clone(),
            cancel: self.cancel.clone(),
            told: Arc::default(),
            says_nothing_twice: false,
            fronts: Fronts::default(),
            leaving: Leaving::default(),
            attempts: Attempts::default(),
            begun: self.begun,
            passes: Arc::default(),
            waits_for_database: true,
            halt: self.halt.clone(),
        }
    }

    /// Does what only looks, until Ctrl-C.
    ///
    /// # Errors
    /// What the work fails with; [`Code::Interrupted`] at Ctrl-C.
    pub async fn unless_stopped<T>(
        &self,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let stopped = || Failure::new(Code::Interrupted, "stopped while the engine was asked");
        self.cancel.run_until_cancelled(work).await.unwrap_or_else(|| Err(stopped()))
    }

    /// Makes the credentials that are missing, says so, and returns them. Only for commands that start something with
    /// them: whoever lost `compose/.env` and has data must meet new passwords nowhere else.
    ///
    /// # Errors
    /// When a file cannot be read or written.
    pub async fn make_credentials(&self) -> Result<Vec<Added>, Failure> {
        let undecided = is_undecided(&self.project)?;
        let register = if undecided || self.is_unregistered() {
            // Held until it is decided: whoever comes at the same time sees what was.
            self.register().await
        } else {
            None
        };
        let surroundings = if undecided {
            let others = register.as_ref().map(|register| register.others(&self.project));
            self.surroundings(others.unwrap_or_default()).await
        } else {
            Surroundings::default()
        };
        let added = ensure_environment(&self.project, Some(&surroundings))?;
        if let Some(Err(error)) = register.map(|register| register.enter(&self.project)) {
            self.note_unregistered(&error);
        }
        self.note_added(&added);
        Ok(added)
    }

    /// As [`Context::make_credentials`], for commands whose stacks have names of their own: what this checkout is
    /// called, and its ports, is for the first `dev` to decide, by what there is then.
    ///
    /// # Errors
    /// As for [`Context::make_credentials`].
    pub fn make_secrets(&self) -> Result<(), Failure> {
        let added = ensure_environment(&self.project, None)?;
        self.note_added(&added);
        Ok(())
    }

    fn note_added(&self, added: &[Added]) {
        if !added.is_empty() {
            let path = self.project.environment_file();
            let names: Vec<&str> = added.iter().map(|added| added.name.as_str()).collect();
            let path = self.project.relative(&path).display();
            self.events.note(format!("made {} in {path}", names.join(", ")));
        }
        if let Some(name) = added.iter().find(|added| added.name == PROJECT_VARIABLE) {
            self.events.note(format!("this checkout is project {}", name.value));
        }
    }

    /// The same, whose events go to `events` and whose answers go there too.
    #[must_use]
    pub fn told_in_turn(&self, events: Events) -> Self {
        Self { events, in_turn: true, ..self.clone() }
    }

    /// Whether this checkout has decided what it is called and the register does not know it.
    fn is_unregistered(&self) -> bool {
        let unknown = |path: PathBuf| !Register::knows(&path, &self.project);
        let decided = self.project.environment_file().is_file() && !Project::is_named_by_environment();
        decided && Register::path().is_some_and(unknown)
    }

    /// The register of checkouts; `None` where there can be none.
    async fn register(&self) -> Option<Register> {
        let path = Register::path()?;
        Register::open(&path).await.inspect_err(|error| self.note_unregistered(error)).ok()
    }

    fn note_unregistered(&self, error: &std::io::Error) {
        let path = Register::path().unwrap_or_default();
        self.events.note(format!(
            "this checkout cannot be entered in {}: {error}; another one whose first `dev` comes at the same time may take \
             the same name",
            path.display()
        ));
    }

    /// The projects and ports of other checkouts, and the ports that containers publish. Where no engine answers, nothing
    /// runs.
    async fn surroundings(&self, others: Decided) -> Surroundings {
        let Decided { mut projects, ports: mut published } = others;
        let Ok(engine) = Engine::connect().await else { return Surroundings { projects, published } };
        let (checkouts, of_containers) = tokio::join!(engine.checkouts(), engine.published_ports());
        let mut directories: BTreeMap<String, BTreeSet<PathBuf>> = BTreeMap::new();
        for (project, directory) in checkouts.unwrap_or_default() {
            directories.entry(project).or_default().insert(directory);
        }
        directories.retain(|_, directories| other_checkout(&self.project, directories).is_some());
        projects.extend(directories.into_keys());
        published.extend(of_containers.unwrap_or_default().into_iter().map(|published| published.port));
        Surroundings { projects, published }
    }

    /// Prints what the command answers with.
    ///
    /// # Errors
    /// When standard output refuses.
    pub fn answer(&self, answer: &impl crate::ui::Answer) -> Result<(), Failure> {
        if self.in_turn {
            self.events.send(crate::ui::answered(&self.terminal, answer));
            return Ok(());
        }
        crate::ui::answer(self.format, &self.terminal, answer).map_err(|error| unprintable(&error))
    }

    /// Prints a text as it is.
    ///
    /// # Errors
    /// When standard output refuses.
    pub fn print(&self, text: &str) -> Result<(), Failure> {
        crate::ui::print_text(text).map_err(|error| unprintable(&error))
    }
}

/// Writes a file of results, with the directories above it.
fn write_with_directories(path: &Path, text: &str) -> std::io::Result<()> {
    path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
    std::fs::write(path, text)
}

/// As [`write_with_directories`], for a command that fails when it cannot.
fn keep(path: &Path, text: &str) -> Result<(), Failure> {
    write_with_directories(path, text).map_err(|error| {
        Failure::new(Code::ProjectInvalid, format!("cannot write {}: {error}", path.display()))
    })
}

/// Removes what an earlier run has left, a file or a directory, if it is there.
fn forget(path: &Path, remove: fn(&Path) -> std::io::Result<()>) -> Result<(), Failure> {
    match remove(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            let message = format!("cannot remove {}: {error}", path.display());
            Err(Failure::new(Code::ProjectInvalid, message))
        }
        _ => Ok(()),
    }
}

fn unprintable(error: &std::io::Error) -> Failure {
    Failure::new(Code::Internal, format!("cannot write to standard output: {error}"))
}
