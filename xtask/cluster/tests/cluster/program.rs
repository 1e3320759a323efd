//! `xtask-cluster` and other programs as processes: run to their end, or watched line by line and killed.
//!
//! Must not: know what a command is for.

use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How long a program may take to say or end what is waited for: a cluster made and the service compiled for the first time
/// take four minutes on two cores that also do other things; three times that.
const PATIENCE: Duration = Duration::from_secs(720);

/// A program that runs.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    line: String,
    lines: Receiver<String>,
    seen: Vec<String>,
}

/// A program that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    line: String,
    status: Option<i32>,
    /// Both streams, line by line.
    pub(crate) said: String,
}

/// Starts a program.
pub(crate) fn start(mut command: Command) -> Running {
    let line = format!("{command:?}");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot start {line}: {error}"));
    let (sender, lines) = channel();
    read(child.stdout.take(), sender.clone());
    read(child.stderr.take(), sender);
    Running { child, line, lines, seen: Vec::new() }
}

/// Runs a program that must do well, and returns what it said.
#[track_caller]
pub(crate) fn output(command: Command) -> String {
    start(command).end().expect(0).said
}

fn read(stream: Option<impl Read + Send + 'static>, to: Sender<String>) {
    let stream = BufReader::new(stream.expect("the stream was asked for as a pipe"));
    std::thread::spawn(move || {
        for line in stream.split(b'\n') {
            let Ok(line) = line else { return };
            if to.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                return;
            }
        }
    });
}

impl Running {
    /// Waits for a line with this text.
    #[track_caller]
    pub(crate) fn until(&mut self, text: &str) {
        let begun = Instant::now();
        loop {
            match self.lines.recv_timeout(PATIENCE.saturating_sub(begun.elapsed())) {
                Ok(line) => {
                    let found = line.contains(text);
                    self.seen.push(line);
                    if found {
                        return;
                    }
                }
                Err(why) => panic!("{} did not say {text:?} ({why}); it said:\n{}", self.line, self.said()),
            }
        }
    }

    /// The next line; `None` when there is none any more.
    #[track_caller]
    pub(crate) fn next(&mut self) -> Option<String> {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => {
                self.seen.push(line.clone());
                Some(line)
            }
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => {
                panic!("{} said nothing for {PATIENCE:?}; it had said:\n{}", self.line, self.said())
            }
        }
    }

    /// Ctrl-C.
    pub(crate) fn interrupt(&self) {
        kill_process(Pid::from_child(&self.child), Signal::INT).expect("the program runs");
    }

    /// `kill -9` of the program itself; what it has started goes on.
    #[track_caller]
    pub(crate) fn kill(mut self) {
        kill_process(Pid::from_child(&self.child), Signal::KILL).expect("the program runs");
        let status = self.child.wait().expect("its end can be waited for");
        assert_eq!(status.code(), None, "{} had ended by itself:\n{}", self.line, self.said());
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn end(mut self) -> Ended {
        while self.next().is_some() {}
        let status = self.child.wait().expect("its end can be waited for");
        Ended { line: self.line.clone(), status: status.code(), said: self.said() }
    }

    fn said(&self) -> String {
        self.seen.join("\n")
    }
}

impl Drop for Running {
    /// A story that fails in the middle leaves no program behind.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ended {
    /// Fails, with everything it said, unless it ended with this status.
    #[track_caller]
    pub(crate) fn expect(self, status: i32) -> Self {
        assert_eq!(self.status, Some(status), "exit status of {}; it said:\n{}", self.line, self.said);
        self
    }

    /// Fails unless it said all of this.
    #[track_caller]
    pub(crate) fn says(self, texts: &[&str]) -> Self {
        for text in texts {
            assert!(self.said.contains(text), "{} did not say {text:?}; it said:\n{}", self.line, self.said);
        }
        self
    }

    /// Fails if it said any of this.
    #[track_caller]
    pub(crate) fn does_not_say(self, texts: &[&str]) -> Self {
        for text in texts {
            assert!(!self.said.contains(text), "{} said {text:?}; it said:\n{}", self.line, self.said);
        }
        self
    }
}
