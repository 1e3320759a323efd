//! A program at a terminal of its own: keys pressed, what is written to the screen, and the state in which the terminal is.
//!
//! Must not: know what a key is for.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Instant;

use pty_process::Size;
use rustix::process::{Pid, Signal, kill_process};
use rustix::termios::{LocalModes, tcgetattr};

use crate::program::{PATIENCE, Program};

/// Wide enough that no line of ours is cut, high enough for every table.
const SIZE: (u16, u16) = (60, 200);

/// How many characters of what was written a failure shows.
const TAIL: usize = 8_000;

/// A terminal and what was started in it.
#[derive(Debug)]
pub(crate) struct Terminal {
    /// The side of the person.
    screen: File,
    child: Child,
    line: String,
    written: Receiver<Vec<u8>>,
    /// What was written, and how much of it was looked at.
    seen: String,
    looked_at: usize,
}

impl Terminal {
    /// Starts a program at a new terminal, whose session it leads.
    pub(crate) fn start(program: Program) -> Self {
        let (mut command, line) = program.into_command();
        // A screen of words: they are looked for in what is written.
        command.env("TERM", "xterm").env("NO_COLOR", "1").env("PS1", "ready> ");
        let (pty, pts) = pty_process::blocking::open().expect("a pseudo terminal");
        pty.resize(Size::new(SIZE.0, SIZE.1)).expect("it is ours");
        let screen = File::from(pty.as_fd().try_clone_to_owned().expect("a descriptor"));
        let child =
            at_terminal(command).spawn(pts).unwrap_or_else(|error| panic!("cannot start {line}: {error}"));
        let (sender, written) = channel();
        let mut reader = screen.try_clone().expect("a descriptor");
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            // The last program that has the terminal open closes it by its end.
            while let Ok(count @ 1..) = reader.read(&mut bytes) {
                if sender.send(bytes[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self { screen, child, line, written, seen: String::new(), looked_at: 0 }
    }

    /// Presses keys, all at once.
    pub(crate) fn press(&mut self, keys: &str) {
        self.screen.write_all(keys.as_bytes()).expect("the terminal takes them");
    }

    /// Waits until this is written, from what was waited for last on.
    #[track_caller]
    pub(crate) fn until(&mut self, text: &str) {
        let begun = Instant::now();
        loop {
            if let Some(place) = self.seen[self.looked_at..].find(text) {
                self.looked_at += place + text.len();
                return;
            }
            match self.written.recv_timeout(PATIENCE.saturating_sub(begun.elapsed())) {
                Ok(bytes) => self.seen.push_str(&String::from_utf8_lossy(&bytes)),
                Err(error) => {
                    panic!("{} did not write {text:?} ({error}); it wrote:\n{}", self.line, self.tail())
                }
            }
        }
    }

    /// The end of what was written: frames that were drawn over are many.
    fn tail(&self) -> String {
        let characters: Vec<char> = self.seen.chars().collect();
        characters[characters.len().saturating_sub(TAIL)..].iter().collect()
    }

    /// Whether the terminal hands over whole lines and shows what is typed: as a shell wants it.
    pub(crate) fn is_in_order(&self) -> bool {
        let order = LocalModes::ICANON | LocalModes::ECHO | LocalModes::ECHOCTL | LocalModes::ISIG;
        self.modes().contains(order)
    }

    /// Whether single keys are read from it, unseen; Ctrl-C and Ctrl-Z stay signals.
    pub(crate) fn reads_keys(&self) -> bool {
        let modes = self.modes();
        modes.contains(LocalModes::ISIG) && !modes.intersects(LocalModes::ICANON | LocalModes::ECHO)
    }

    fn modes(&self) -> LocalModes {
        tcgetattr(&self.screen).expect("it is a terminal").local_modes
    }

    /// Sends a signal to the program.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("the program runs");
    }

    /// Waits for the end of the program; how it ended, everything that was written, and whether it left the terminal in
    /// order.
    #[track_caller]
    pub(crate) fn end(mut self) -> (ExitStatus, String, bool) {
        let begun = Instant::now();
        loop {
            match self.written.recv_timeout(PATIENCE.saturating_sub(begun.elapsed())) {
                Ok(bytes) => self.seen.push_str(&String::from_utf8_lossy(&bytes)),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    panic!("{} did not end; it wrote:\n{}", self.line, self.tail())
                }
            }
        }
        let status = self.child.wait().expect("its end can be waited for");
        let in_order = self.is_in_order();
        (status, std::mem::take(&mut self.seen), in_order)
    }
}

/// Its streams are the terminal's.
fn at_terminal(mut command: Command) -> pty_process::blocking::Command {
    use std::process::Stdio;
    // What was asked for as pipes is not; `pty_process` sets all three.
    command.stdin(Stdio::inherit()).stdout(Stdio::inherit()).stderr(Stdio::inherit());
    command.into()
}

impl Drop for Terminal {
    /// A test that fails in the middle leaves no program behind: what loses its terminal is told so.
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = kill_process(Pid::from_child(&self.child), Signal::KILL);
            let _ = self.child.wait();
        }
    }
}
