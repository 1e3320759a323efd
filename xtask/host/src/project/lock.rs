//! One command at a time changes a project. The lock is the kernel's: it goes with the process, however that ends. Its file
//! is kept where nobody clears up beside a `dev` that runs, and goes with a command that ends well.

use std::fs::{File, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::{PROJECT_VARIABLE, Project, file_lock};
use crate::failure::{Code, Failure};
use crate::interrupt::is_suspended;
use crate::limits;
use crate::stack::ProjectName;

/// Held while a command changes a project; dropping it lets the next one in.
#[derive(Debug)]
pub struct Lock {
    file: File,
    path: PathBuf,
    before: Before,
}

/// How the command ended that held the lock before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Before {
    /// It let the engine answer whatever it asked for.
    Ended,
    /// It was killed, or stopped in the middle: the engine may still be at work for it.
    CutOff,
}

impl Lock {
    /// How the command ended that held it before.
    pub fn before(&self) -> Before {
        self.before
    }

    /// Lets the next command in, and tells it whether this one was stopped in the middle.
    pub fn finish<T>(self, ended: &Result<T, Failure>) {
        if !matches!(ended, Err(failure) if failure.code == Code::Interrupted) {
            // A name that stays costs the next command a second look; whoever waits for this file finds that it is gone.
            let _ = self.file.set_len(0);
            let _ = std::fs::remove_file(&self.path);
            // Unless another lock of the checkout is in it.
            let _ = self.path.parent().map(std::fs::remove_dir);
        }
    }
}

impl Drop for Lock {
    /// Closing the file is not enough: a program that is being started at this moment has it too, until it runs.
    fn drop(&mut self) {
        let _ = self.file.unlock();
    }
}

/// The command that holds a project's lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The command, as typed after `cargo xtask`.
    pub command: String,
    /// Its process.
    pub pid: u32,
}

impl Holder {
    /// Whether it is a `dev` that a person left running.
    pub fn is_foreground_dev(&self) -> bool {
        self.command == FOREGROUND_DEV
    }

    /// What a lock's file says, when it says it whole.
    fn parse(text: &str) -> Option<Self> {
        let (command, pid) = text.trim().strip_prefix("cargo xtask ")?.split_once(" (pid ")?;
        Some(Self { command: command.to_owned(), pid: pid.strip_suffix(')')?.parse().ok()? })
    }
}

/// The command that stays and holds ports while it does.
pub const FOREGROUND_DEV: &str = "dev";

/// The file of a lock, wherever it may be.
fn paths(project: &Project, name: &ProjectName) -> impl Iterator<Item = PathBuf> {
    let file = format!("{name}.lock");
    project.locks().map(move |directory| directory.join(&file))
}

/// Who holds a project's lock now.
pub fn holder(project: &Project, name: &ProjectName) -> Option<Holder> {
    paths(project, name).find_map(|path| held(&path))
}

fn held(path: &Path) -> Option<Holder> {
    let mut file = File::open(path).ok()?;
    // The file keeps the name of one that was killed; the kernel does not keep its lock.
    if !matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)) {
        return None;
    }
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    Holder::parse(&text)
}

/// Takes the project's lock, waiting up to [`limits::PROJECT_LOCK`] for a command that is just ending.
///
/// # Errors
/// When another command holds it: the message says which.
pub async fn lock(project: &Project, name: &ProjectName, command: &str) -> Result<Lock, Failure> {
    lock_of(project, name, &format!("project {name}"), command).await
}

/// Takes the lock of a project's database, waiting as long as another one holds it that is worth `waiting` for, at most
/// `limit`. Beside a `dev` that stays, which holds the project's, commands on the database take this one.
///
/// # Errors
/// As for [`lock`].
pub async fn lock_database(
    project: &Project,
    name: &ProjectName,
    command: &str,
    limit: Duration,
    mut waiting: impl FnMut(Holder) -> bool,
) -> Result<Lock, Failure> {
    let (of, what) =
        (ProjectName::new(format!("{name}-database")), format!("the database of project {name}"));
    let begun = Instant::now();
    loop {
        let taken = lock_of(project, &of, &what, command).await;
        let busy = taken.as_ref().is_err_and(|failure| failure.code == Code::ProjectBusy);
        // One that has just ended is no holder any more, and the next try succeeds.
        if !busy || begun.elapsed() > limit || !holder(project, &of).is_none_or(&mut waiting) {
            return taken;
        }
    }
}

/// The same for something else that one command at a time changes: `what` it is to a person, `name` to its lock.
///
/// # Errors
/// As for [`lock`].
pub async fn lock_of(
    project: &Project,
    name: &ProjectName,
    what: &str,
    command: &str,
) -> Result<Lock, Failure> {
    let mut unusable = None;
    for path in paths(project, name) {
        match take(path, command).await {
            Ok(lock) => return Ok(lock),
            Err((held, TryLockError::WouldBlock)) => {
                let mut holder = String::new();
                let _ = held.map(|mut file| file.read_to_string(&mut holder));
                let hint = hint(Holder::parse(&holder)).await;
                let holder = holder.trim();
                let holder = if holder.is_empty() { "another command" } else { holder };
                let message = format!("cannot change {what}: {holder} is at work on it");
                return Err(Failure::new(Code::ProjectBusy, message).hint(hint));
            }
            Err((_, TryLockError::Error(error))) => unusable = Some(error),
        }
    }
    let why = unusable.map_or_else(String::new, |error| format!(": {error}"));
    let directory = project.scratch();
    Err(Failure::new(Code::ProjectInvalid, format!("cannot lock {what} in {}{why}", directory.display())))
}

/// What a person may do whom this command is kept from something by another.
async fn hint(holder: Option<Holder>) -> String {
    let is_suspended = match &holder {
        Some(holder) => is_suspended(holder.pid).await,
        None => false,
    };
    told(holder.as_ref(), is_suspended)
}

fn told(holder: Option<&Holder>, is_suspended: bool) -> String {
    let stop = "Ctrl-C in its terminal stops it";
    match holder {
        Some(_) if is_suspended => {
            format!("it is suspended: `fg` in its terminal lets it go on; then {stop}")
        }
        Some(holder) if holder.is_foreground_dev() => format!(
            "beside it `cargo xtask logs -f` shows its logs and `cargo xtask status` what runs; {stop}; \
             {PROJECT_VARIABLE}=NAME before the command means another project"
        ),
        _ => format!("wait for it to end; {stop}"),
    }
}

/// Takes a lock by its file, and writes into it who has it.
async fn take(path: PathBuf, command: &str) -> Result<Lock, (Option<File>, TryLockError)> {
    let mut file = file_lock::open_and_take(&path, limits::PROJECT_LOCK).await?;
    let mut entered = || {
        // Whoever ends well takes its name away.
        let before = if file.metadata()?.len() == 0 { Before::Ended } else { Before::CutOff };
        file.set_len(0)?;
        file.rewind()?;
        write!(file, "cargo xtask {command} (pid {})", std::process::id())?;
        Ok(before)
    };
    match entered() {
        Ok(before) => Ok(Lock { file, path, before }),
        Err(error) => Err((None, TryLockError::Error(error))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_holder_is_known_for_as_long_as_it_lives() {
        let root = tempfile::tempdir().unwrap();
        let project = Project::at(root.path());
        let name = ProjectName::new("one");
        assert_eq!(holder(&project, &name), None);
        for (command, stays) in [("dev", true), ("dev --detach", false), ("down", false)] {
            let lock = lock(&project, &name, command).await.unwrap();
            let held = holder(&project, &name).expect("it is held");
            assert_eq!((held.command.as_str(), held.pid), (command, std::process::id()));
            assert_eq!(held.is_foreground_dev(), stays);
            drop(lock);
            assert_eq!(holder(&project, &name), None, "the name alone is not the lock");
        }
    }

    #[test]
    fn who_is_kept_out_is_told_what_else_there_is() {
        let holder = |command: &str| Some(Holder { command: command.to_owned(), pid: 1 });
        let table = [
            (holder(FOREGROUND_DEV), false, "logs -f"),
            (holder(FOREGROUND_DEV), false, "cargo xtask status"),
            (holder(FOREGROUND_DEV), false, "HOMEPORT_PROJECT=NAME"),
            (holder(FOREGROUND_DEV), true, "`fg` in its terminal"),
            (holder("down"), true, "`fg` in its terminal"),
            (holder("down"), false, "wait for it to end"),
            (None, false, "wait for it to end"),
        ];
        for (holder, is_suspended, expected) in table {
            let told = told(holder.as_ref(), is_suspended);
            assert!(told.contains(expected), "{holder:?}: {told}");
            assert!(told.contains("Ctrl-C"), "{told}");
        }
    }

    #[tokio::test]
    async fn what_a_program_that_is_being_started_has_of_it_is_no_lock() {
        let root = tempfile::tempdir().unwrap();
        let project = Project::at(root.path());
        let name = ProjectName::new("one");
        let held = lock(&project, &name, "dev").await.unwrap();
        let inherited = held.file.try_clone().unwrap();
        drop(held);
        assert_eq!(holder(&project, &name), None);
        drop(inherited);
    }

    #[tokio::test]
    async fn who_is_kept_from_the_database_is_told_of_whose_and_by_whom() {
        let root = tempfile::tempdir().unwrap();
        let project = Project::at(root.path());
        let name = ProjectName::new("one");
        let never = |_| false;
        let held = lock_database(&project, &name, "db save", Duration::ZERO, never).await.unwrap();
        let failure = lock_database(&project, &name, "dev", Duration::ZERO, never).await.unwrap_err();
        let holder = format!("cargo xtask db save (pid {}) is at work on it", std::process::id());
        assert_eq!(failure.message, format!("cannot change the database of project one: {holder}"));
        lock(&project, &name, "dev").await.expect("the project's is another one");
        drop(held);
    }

    #[tokio::test]
    async fn whoever_ends_well_leaves_no_file_and_who_waited_for_it_has_the_lock() {
        let root = tempfile::tempdir().unwrap();
        let project = Project::at(root.path());
        let name = ProjectName::new("one");
        let first = lock(&project, &name, "dev").await.unwrap();
        // It has opened the file that is to go.
        let waits = file_lock::open(&paths(&project, &name).next().unwrap()).unwrap();
        assert!(matches!(waits.try_lock(), Err(TryLockError::WouldBlock)));
        first.finish(&Ok::<(), Failure>(()));
        assert!(project.locks().all(|directory| !directory.exists()));
        waits.try_lock().unwrap();
        // The lock of a file that is gone keeps nobody out.
        let second = lock(&project, &name, "dev").await.unwrap();
        assert_eq!((second.before(), holder(&project, &name).is_some()), (Before::Ended, true));
    }

    /// Whoever has no home that can be written has a checkout that can.
    #[tokio::test]
    async fn where_no_state_can_be_kept_the_lock_is_in_the_checkout() {
        let root = tempfile::tempdir().unwrap();
        let user = |home: &str| Project {
            root: root.path().join("checkout"),
            state: Some(root.path().join(home).join("homeport/checkouts")),
        };
        std::fs::write(root.path().join("file"), "no directory").unwrap();
        let name = ProjectName::new("one");
        for (home, expected) in [("home", "home/homeport/locks"), ("file", "checkout/target/homeport")] {
            let project = user(home);
            let held = lock(&project, &name, "dev").await.expect("it can be locked");
            assert!(held.path.starts_with(root.path().join(expected)), "{}", held.path.display());
            assert!(holder(&project, &name).is_some_and(|holder| holder.is_foreground_dev()));
            let second = lock(&project, &name, "down").await.expect_err("it is held");
            assert_eq!(second.code, Code::ProjectBusy);
            held.finish(&Ok::<(), Failure>(()));
            assert_eq!(holder(&project, &name), None);
        }
    }

    #[tokio::test]
    async fn whoever_did_not_finish_is_known_to_the_next() {
        let root = tempfile::tempdir().unwrap();
        let project = Project::at(root.path());
        let take = async |name: &str| lock(&project, &ProjectName::new(name), "dev").await.unwrap();
        let first = take("one").await;
        assert_eq!(first.before(), Before::Ended);
        drop(first);
        let second = take("one").await;
        assert_eq!(second.before(), Before::CutOff);
        assert_eq!(take("other").await.before(), Before::Ended, "another project is another matter");
        second.finish::<()>(&Err(Failure::new(Code::Interrupted, "stopped")));
        let third = take("one").await;
        assert_eq!(third.before(), Before::CutOff);
        third.finish::<()>(&Err(Failure::new(Code::NotHealthy, "it did all it could")));
        assert_eq!(take("one").await.before(), Before::Ended);
    }
}
