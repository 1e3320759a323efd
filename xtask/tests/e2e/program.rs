//! `xtask` as a process: started, watched line by line, signalled, and what it left on its two streams.
//!
//! Must not: know what a command is for.

use std::io::{BufRead as _, BufReader, Read};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::LazyLock;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde_json::Value;
use xtask::engine::Run;
use xtask::engine::labels::RUN_VARIABLE;

/// How long a program may take to say or end what is waited for. A full stack with its build takes half a minute on two
/// idle cores; a machine that runs other tests beside is given ten times that.
pub(crate) const PATIENCE: Duration = Duration::from_secs(300);

/// The run that these tests belong to: what `cargo xtask test` calls it, else this process. All that the program makes
/// carries it, so that a later run can take away what this one leaves when it is killed.
pub(crate) static RUN: LazyLock<String> =
    LazyLock::new(|| std::env::var(RUN_VARIABLE).unwrap_or_else(|_| Run::this().to_string()));

/// Which stream a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    Out,
    Err,
}

/// A command line for `xtask`, with the environment of a test and nothing of the caller's that would change the answer.
#[derive(Debug)]
pub(crate) struct Program {
    command: Command,
    line: String,
}

impl Program {
    /// `xtask` with these arguments, in this directory.
    pub(crate) fn new(directory: &Path, arguments: &[&str]) -> Self {
        Self::other(env!("CARGO_BIN_EXE_xtask"), directory, arguments)
    }

    /// Another program, in the same environment: a shell that is to start `xtask`.
    pub(crate) fn other(program: &str, directory: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os() {
            let word = name.to_string_lossy();
            let decides = word.starts_with("HOMEPORT_") || word.starts_with("GITHUB_");
            if decides
                || ["CI", "NO_COLOR", "CLICOLOR_FORCE", "FORCE_COLOR"].iter().any(|other| name == *other)
            {
                command.env_remove(name);
            }
        }
        command
            .args(arguments)
            .current_dir(directory)
            .env("CARGO_MANIFEST_DIR", directory)
            .env(RUN_VARIABLE, &*RUN)
            // What is kept from run to run for this user is none of a test's.
            .env("XDG_STATE_HOME", Path::new(env!("CARGO_TARGET_TMPDIR")).join("state"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Self { command, line: format!("cargo xtask {}", arguments.join(" ")) }
    }

    /// Sets a variable of its environment.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// What is to be started, for a terminal to start it, and what it is called.
    pub(crate) fn into_command(self) -> (Command, String) {
        (self.command, self.line)
    }

    /// Starts it.
    pub(crate) fn start(mut self) -> Running {
        // A group of its own, as a shell gives to a job: Ctrl-C reaches it and not the tests.
        self.command.process_group(0);
        let mut child =
            self.command.spawn().unwrap_or_else(|error| panic!("cannot start {}: {error}", self.line));
        let (sender, lines) = channel();
        read(child.stdout.take(), Stream::Out, sender.clone());
        read(child.stderr.take(), Stream::Err, sender);
        Running { child, line: self.line, lines, seen: Vec::new() }
    }

    /// Runs it to its end.
    pub(crate) fn run(self) -> Ended {
        self.start().end()
    }
}

fn read(stream: Option<impl Read + Send + 'static>, which: Stream, to: Sender<(Stream, String)>) {
    let stream = BufReader::new(stream.expect("the stream was asked for as a pipe"));
    std::thread::spawn(move || {
        for line in stream.split(b'\n') {
            let Ok(line) = line else { return };
            if to.send((which, String::from_utf8_lossy(&line).into_owned())).is_err() {
                return;
            }
        }
    });
}

/// A program that runs.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    line: String,
    lines: Receiver<(Stream, String)>,
    seen: Vec<(Stream, String)>,
}

impl Running {
    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a line (of either stream, said from now on) that contains this, and returns it.
    pub(crate) fn until(&mut self, text: &str) -> String {
        self.until_line(text, |line| line.contains(text))
    }

    /// Waits for a line that is the one; `what` names it in the failure.
    pub(crate) fn until_line(&mut self, what: &str, is_it: impl Fn(&str) -> bool) -> String {
        let begun = Instant::now();
        loop {
            match self.lines.recv_timeout(PATIENCE.saturating_sub(begun.elapsed())) {
                Ok((stream, line)) => {
                    let found = is_it(&line);
                    self.seen.push((stream, line.clone()));
                    if found {
                        return line;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    panic!(
                        "{} did not say {what:?} within {PATIENCE:?}; it said:\n{}",
                        self.line,
                        self.said()
                    )
                }
                Err(RecvTimeoutError::Disconnected) => {
                    panic!("{} ended without saying {what:?}; it said:\n{}", self.line, self.said())
                }
            }
        }
    }

    fn said(&self) -> String {
        self.seen.iter().map(|(_, line)| line.as_str()).collect::<Vec<_>>().join("\n")
    }

    /// Ctrl-C: a terminal interrupts the whole group.
    pub(crate) fn interrupt(&self) {
        kill_process_group(self.process(), Signal::INT).expect("the program runs");
    }

    /// SIGTERM to the program, as a supervisor sends it.
    pub(crate) fn terminate(&self) {
        kill_process(self.process(), Signal::TERM).expect("the program runs");
    }

    /// What a program gets whose terminal is closed: from the system, and once more from the shell in it.
    pub(crate) fn hang_up(&self) {
        for _ in 0..2 {
            kill_process_group(self.process(), Signal::HUP).expect("the program runs");
        }
    }

    /// `kill -9` of the program itself, and waits until it is gone.
    pub(crate) fn kill(mut self) {
        kill_process(self.process(), Signal::KILL).expect("the program runs");
        let status = self.child.wait().expect("its end can be waited for");
        assert_eq!(
            status.signal(),
            Some(Signal::KILL.as_raw()),
            "{} ended by itself:\n{}",
            self.line,
            self.said()
        );
    }

    fn process(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> Ended {
        let begun = Instant::now();
        // Its streams close when it ends, and so does the channel.
        loop {
            match self.lines.recv_timeout(PATIENCE.saturating_sub(begun.elapsed())) {
                Ok(line) => self.seen.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    panic!("{} did not end within {PATIENCE:?}; it said:\n{}", self.line, self.said())
                }
            }
        }
        let status = self.child.wait().expect("its end can be waited for");
        let seen = std::mem::take(&mut self.seen);
        Ended { line: self.line.clone(), status, took: begun.elapsed(), seen }
    }
}

impl Drop for Running {
    /// A test that fails in the middle leaves no program behind.
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = kill_process_group(self.process(), Signal::KILL);
            let _ = self.child.wait();
        }
    }
}

/// A program that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    line: String,
    status: ExitStatus,
    /// How long its end was waited for.
    pub(crate) took: Duration,
    seen: Vec<(Stream, String)>,
}

impl Ended {
    /// Fails, with everything it said, unless it ended with this status.
    #[track_caller]
    pub(crate) fn expect(self, status: i32) -> Self {
        assert_eq!(
            self.status.code(),
            Some(status),
            "exit status of {}; it said:\n{}",
            self.line,
            self.said()
        );
        self
    }

    fn said(&self) -> String {
        self.seen.iter().map(|(_, line)| line.as_str()).collect::<Vec<_>>().join("\n")
    }

    fn stream(&self, which: Stream) -> String {
        self.seen.iter().filter(|(stream, _)| *stream == which).map(|(_, line)| format!("{line}\n")).collect()
    }

    /// What it wrote to standard output.
    pub(crate) fn stdout(&self) -> String {
        self.stream(Stream::Out)
    }

    /// What it wrote to standard error.
    pub(crate) fn stderr(&self) -> String {
        self.stream(Stream::Err)
    }

    /// The events of a run with `--format json`: every line of standard output has to be one.
    #[track_caller]
    pub(crate) fn events(&self) -> Vec<Value> {
        self.stdout().lines().map(|line| event(line)).collect()
    }

    /// The events of one kind.
    #[track_caller]
    pub(crate) fn events_of(&self, kind: &str) -> Vec<Value> {
        self.events().into_iter().filter(|event| event["event"] == kind).collect()
    }

    /// The only event of this kind.
    #[track_caller]
    pub(crate) fn event(&self, kind: &str) -> Value {
        let mut found = self.events_of(kind);
        assert_eq!(found.len(), 1, "events {kind:?} of {}:\n{}", self.line, self.said());
        found.remove(0)
    }

    /// The plan it announced.
    #[track_caller]
    pub(crate) fn plan(&self) -> Vec<Planned> {
        let planned = self.event("planned");
        let steps = planned["steps"].as_array().expect("a plan has steps");
        steps.iter().map(Planned::from).collect()
    }
}

/// One line of `--format json`: an event, or what the command answers with.
#[track_caller]
pub(crate) fn event(line: &str) -> Value {
    let event: Value =
        serde_json::from_str(line).unwrap_or_else(|error| panic!("not a line of JSON ({error}): {line}"));
    assert!(event.is_object(), "not an object: {line}");
    event
}

/// A step as a plan announces it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Planned {
    /// Its number, from 1.
    pub(crate) step: u64,
    /// What it does: `create container postgres`.
    pub(crate) title: String,
    /// Why.
    pub(crate) cause: String,
}

impl From<&Value> for Planned {
    fn from(step: &Value) -> Self {
        let text = |key: &str| step[key].as_str().expect("a step has a title and a cause").to_owned();
        Self {
            step: step["step"].as_u64().expect("a step has a number"),
            title: text("title"),
            cause: text("cause"),
        }
    }
}
