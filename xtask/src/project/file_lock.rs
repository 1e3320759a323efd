//! A file of which one process at a time holds the kernel's lock: it goes with the process, however that ends.

use std::fs::{File, OpenOptions, TryLockError};
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
