//! One command at a time changes a project. The lock is the kernel's: it goes with the process, however that ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::time::{Duration, Instant};

use super::Project;
use crate::failure::{Code, Failure};
use crate::limits;
use crate::stack::ProjectName;

/// Held while a command changes a project; dropping it lets the next one in.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Takes the project's lock, waiting up to [`limits::PROJECT_LOCK`] for a command that is just ending.
///
/// # Errors
/// When another command holds it: the message says which.
pub async fn lock(project: &Project, name: &ProjectName, command: &str) -> Result<Lock, Failure> {
    let scratch = project.scratch();
    let path = scratch.join(format!("{name}.lock"));
    let unusable = |error: std::io::Error| {
        Failure::new(Code::ProjectInvalid, format!("cannot lock {}: {error}", path.display()))
    };
    std::fs::create_dir_all(&scratch).map_err(unusable)?;
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(unusable)?;
    let begun = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if begun.elapsed() < limits::PROJECT_LOCK => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let _ = file.read_to_string(&mut holder);
                let holder = holder.trim();
                let holder = if holder.is_empty() { "another command" } else { holder };
                return Err(Failure::new(
                    Code::ProjectBusy,
                    format!("cannot change project {name}: {holder} is at work on it"),
                )
                .hint("wait for it to end, or stop it with Ctrl-C in its terminal"));
            }
            Err(TryLockError::Error(error)) => return Err(unusable(error)),
        }
    }
    file.set_len(0).and_then(|()| file.rewind()).map_err(unusable)?;
    write!(file, "cargo xtask {command} (pid {})", std::process::id()).map_err(unusable)?;
    Ok(Lock { _file: file })
}
