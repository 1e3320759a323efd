//! A program that runs, and its end: by itself, by being dropped, or with this program.
//!
//! Must not: start anything but the warden.

use std::ops::{Deref, DerefMut};
use std::process::{Output, Stdio};

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};

/// A program that runs. Dropping it kills it, with all that it has started.
#[derive(Debug)]
pub struct Running {
    child: Child,
    /// Whether it leads a process group.
    grouped: bool,
    _warden: Option<Child>,
}

impl Running {
    /// One that was started. Where it leads a process group and may run for long, a warden sees to that group's end.
    pub(super) fn new(child: Child, grouped: bool, for_long: bool) -> Self {
        let warden = child.id().filter(|_| grouped && for_long).and_then(warden);
        Self { child, grouped, _warden: warden }
    }

    /// Waits for its end and returns what it wrote to the pipes that nobody has taken.
    ///
    /// # Errors
    /// When the system refuses.
    pub async fn wait_with_output(mut self) -> std::io::Result<Output> {
        drop(self.child.stdin.take());
        let (stdout, stderr) = (self.child.stdout.take(), self.child.stderr.take());
        let (status, stdout, stderr) = tokio::try_join!(self.child.wait(), rest(stdout), rest(stderr))?;
        Ok(Output { status, stdout, stderr })
    }
}

/// All that a stream still holds.
pub(super) async fn rest(stream: Option<impl AsyncRead + Unpin>) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(mut stream) = stream {
        stream.read_to_end(&mut bytes).await?;
    }
    Ok(bytes)
}

impl Deref for Running {
    type Target = Child;

    fn deref(&self) -> &Child {
        &self.child
    }
}

impl DerefMut for Running {
    fn deref_mut(&mut self) -> &mut Child {
        &mut self.child
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // One that has ended by itself may have left something on purpose: a daemon.
        #[cfg(unix)]
        if self.grouped
            && let Some(leader) =
                self.child.id().and_then(|id| rustix::process::Pid::from_raw(id.cast_signed()))
        {
            // None of the group may be left already.
            let _ = rustix::process::kill_process_group(leader, rustix::process::Signal::KILL);
        }
    }
}

/// Kills a process group when this program ends without having ended the warden: killed, or at once at a second Ctrl-C.
/// It waits at a pipe that only this program holds. Without a shell there is none.
fn warden(leader: u32) -> Option<Child> {
    let mut warden = Command::new("sh");
    warden
        .args(["-c", "read -r _; kill -s KILL -- \"-$1\"", "sh", &leader.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    #[cfg(unix)]
    warden.process_group(0);
    warden.spawn().ok()
}
