//! A file of which one process at a time holds the kernel's lock: it goes with the process, however that ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::path::Path;
use std::time::{Duration, Instant};

/// The pause between two tries: nobody notices it, and a try is one system call.
const PAUSE: Duration = Duration::from_millis(20);

/// Opens the file, made when it is not there, with what it holds.
pub(super) fn open(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}

/// Takes the lock, waiting up to `limit` for another holder that is just ending.
///
/// # Errors
/// [`TryLockError::WouldBlock`] when another process holds it for longer.
pub(super) async fn take(file: &File, limit: Duration) -> Result<(), TryLockError> {
    let begun = Instant::now();
    loop {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) if begun.elapsed() < limit => tokio::time::sleep(PAUSE).await,
            ended => return ended,
        }
    }
}

/// Opens the file, with its directory, and takes its lock. Whoever held it may have removed the file: the lock of one that
/// is not at its path any more is nobody's, and is taken of the one that is.
///
/// # Errors
/// As for [`take`]; the file then is the one that another process holds.
pub(super) async fn open_and_take(
    path: &Path,
    limit: Duration,
) -> Result<File, (Option<File>, TryLockError)> {
    let begun = Instant::now();
    loop {
        let made = path.parent().map_or(Ok(()), std::fs::create_dir_all);
        let file = match made.and_then(|()| open(path)) {
            // So may its directory be, in this moment.
            Err(error) if error.kind() == ErrorKind::NotFound && begun.elapsed() < limit => continue,
            opened => opened.map_err(|error| (None, TryLockError::Error(error)))?,
        };
        match take(&file, limit.saturating_sub(begun.elapsed())).await {
            Ok(()) if is_at(&file, path) => return Ok(file),
            Ok(()) => {}
            Err(error) => return Err((Some(file), error)),
        }
    }
}

/// Whether an open file is the one at this path.
fn is_at(file: &File, path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        let identity = |metadata: std::fs::Metadata| (metadata.dev(), metadata.ino());
        let there = std::fs::metadata(path).map(identity);
        there.is_ok_and(|there| file.metadata().is_ok_and(|here| identity(here) == there))
    }
    // Elsewhere a file that is open is not removed.
    #[cfg(not(unix))]
    {
        let _ = file;
        path.exists()
    }
}
