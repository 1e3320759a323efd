//! Keeps the terminal's driver from writing `^C` into what is redrawn: it would end up beside a live line, and every
//! later frame would stand a row too low.
//!
//! Must not: change anything else of the terminal. A run that is killed leaves behind a terminal that does not show
//! `^C`, which harms nobody.

use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcgetpgrp, tcsetattr};

/// Restores the terminal when dropped.
#[derive(Debug)]
pub(super) struct QuietControls(());

impl QuietControls {
    /// Switches the echo of control characters off. `None` when it was off already, standard error is no terminal, or
    /// the terminal is another process's to use.
    pub(super) fn begin() -> Option<Self> {
        set_echo(false).then_some(Self(()))
    }
}

impl Drop for QuietControls {
    fn drop(&mut self) {
        set_echo(true);
    }
}

/// Returns whether anything was changed.
fn set_echo(on: bool) -> bool {
    let terminal = rustix::stdio::stderr();
    // A job in the background that changes the terminal is stopped for it (termios(3): SIGTTOU).
    let in_foreground = tcgetpgrp(terminal).is_ok_and(|group| group == rustix::process::getpgrp());
    let Ok(mut modes) = tcgetattr(terminal) else { return false };
    if !in_foreground || modes.local_modes.contains(LocalModes::ECHOCTL) == on {
        return false;
    }
    modes.local_modes.set(LocalModes::ECHOCTL, on);
    tcsetattr(terminal, OptionalActions::Now, &modes).is_ok()
}
