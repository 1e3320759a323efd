//! What of the terminal's driver is switched off while this program uses the terminal, and on again however it ends: the
//! echo of control characters while lines are redrawn (a `^C` beside a live line would have every later frame stand a row
//! too low), lines and echo while single keys are read.
//!
//! Must not: change the terminal while it is another process group's to use: a job in the background that does is stopped
//! for it (termios(3): SIGTTOU). A run that is killed by SIGKILL cannot give back what it took; a shell does that for it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcgetpgrp, tcsetattr};

/// What this program has switched off, of the one terminal that it can have.
static TAKEN: Mutex<Taken> = Mutex::new(Taken { modes: LocalModes::empty(), left: false });

struct Taken {
    modes: LocalModes,
    /// Whether it has left the terminal: nothing more is switched off until it comes back.
    left: bool,
}

/// Modes that are to be off until this is dropped.
#[derive(Debug)]
pub struct Off(LocalModes);

impl Off {
    /// Switches these off, if the terminal is this program's to use.
    pub fn take(modes: LocalModes) -> Self {
        let off = Self(modes);
        off.hold();
        off
    }

    /// Switches them off again, if somebody has switched them on meanwhile: a shell does when a job stops and goes on.
    /// Returns whether the terminal is this program's to use.
    pub fn hold(&self) -> bool {
        let mut taken = taken();
        if taken.left || !is_ours() {
            return false;
        }
        let on = change(|modes| {
            let on = *modes & self.0;
            modes.remove(on);
            on
        });
        taken.modes |= on;
        true
    }
}

impl Drop for Off {
    fn drop(&mut self) {
        let mut taken = taken();
        give_back(&mut taken, self.0);
    }
}

/// Switches on again whatever this program has switched off: before it stops, and before an end at which nothing is
/// dropped.
pub fn leave_terminal() {
    let mut taken = taken();
    give_back(&mut taken, LocalModes::all());
    taken.left = true;
}

/// Lets modes be switched off again, once the program goes on.
pub fn return_to_terminal() {
    taken().left = false;
}

/// Whether the terminal is this program's to use: it is in the foreground.
pub(super) fn is_ours() -> bool {
    tcgetpgrp(rustix::stdio::stderr()).is_ok_and(|group| group == rustix::process::getpgrp())
}

fn taken() -> MutexGuard<'static, Taken> {
    TAKEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Of these modes, those that were on.
fn give_back(taken: &mut Taken, modes: LocalModes) {
    let back = taken.modes & modes;
    taken.modes.remove(back);
    // In the background it is a shell's, which has put its own in order.
    if !back.is_empty() && is_ours() {
        change(|modes| {
            modes.insert(back);
            back
        });
    }
}

/// Changes modes and returns which, as `change` says; none when the terminal refuses.
fn change(change: impl FnOnce(&mut LocalModes) -> LocalModes) -> LocalModes {
    let terminal = rustix::stdio::stderr();
    let Ok(mut attributes) = tcgetattr(terminal) else { return LocalModes::empty() };
    let before = attributes.local_modes;
    let changed = change(&mut attributes.local_modes);
    let same = attributes.local_modes == before;
    if same || tcsetattr(terminal, OptionalActions::Now, &attributes).is_ok() {
        changed
    } else {
        LocalModes::empty()
    }
}
