//! The only room that starts processes: cargo, mmdebstrap, kind, psql, package managers.
//!
//! Architecture invariant: everything it starts ends with the task that started it, and with this program however that
//! ends. A program gets a process group of its own, which is killed as a whole: cargo's compilers go with cargo. The one
//! exception is what is a person's from then on, and is started [apart](Program::apart): a browser.
//!
//! Must not: know what the programs are for.

mod running;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::Command;

pub use running::Running;
use running::rest;

/// Why a program could not be run to a good end.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// It is not installed.
    #[error("{program} is not installed or not on PATH")]
    Missing {
        /// Its name.
        program: String,
    },
    /// It could not be started or watched.
    #[error("cannot run {program}: {source}")]
    Io {
        /// Its name.
        program: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// It ended with a status other than 0.
    #[error("{program} ended with {status}")]
    Failed {
        /// Its name and arguments.
        program: String,
        /// How it ended.
        status: ExitStatus,
        /// What it wrote to standard error.
        stderr: Vec<String>,
    },
    /// It took longer than its bound.
    #[error("{program} did not end within {} s", .limit.as_secs())]
    TimedOut {
        /// Its name.
        program: String,
        /// The bound.
        limit: Duration,
    },
}

/// A program to run, with its arguments, directory and environment.
#[derive(Debug, Clone)]
pub struct Program {
    name: OsString,
    arguments: Vec<OsString>,
    directory: Option<PathBuf>,
    environment: Vec<(OsString, OsString)>,
    removed: Vec<OsString>,
    limit: Duration,
    at_terminal: bool,
}

/// How long a program may take that is not worth a warden: this program's own end is as rare as it is short.
const BRIEF: Duration = Duration::from_secs(60);

/// Which stream a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Program {
    /// A program found on `PATH` (or by its path), to end within `limit`.
    pub fn new(name: impl Into<OsString>, limit: Duration) -> Self {
        Self {
            name: name.into(),
            arguments: Vec::new(),
            directory: None,
            environment: Vec::new(),
            removed: Vec::new(),
            limit,
            at_terminal: false,
        }
    }

    /// Leaves it in this program's own process group: it may ask a person at the terminal, or must end in its own way
    /// when the terminal interrupts it, as package managers must.
    #[must_use]
    pub fn at_terminal(mut self) -> Self {
        self.at_terminal = true;
        self
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Sets the working directory.
    #[must_use]
    pub fn directory(mut self, directory: impl AsRef<Path>) -> Self {
        self.directory = Some(directory.as_ref().to_owned());
        self
    }

    /// Sets one variable of the environment.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Removes one variable of the environment.
    #[must_use]
    pub fn env_remove(mut self, name: impl Into<OsString>) -> Self {
        self.removed.push(name.into());
        self
    }

    /// For a cargo: leaves out what the cargo that runs this program has said of its package. Build scripts of dependencies
    /// look at it (ring's does), so that handing it on would have the two cargos compile the same in turns.
    #[must_use]
    pub fn outside_cargo(mut self) -> Self {
        let of_a_package = |name: &OsString| {
            let name = name.to_string_lossy();
            name.starts_with("CARGO_MANIFEST_") || name.starts_with("CARGO_PKG_")
        };
        self.removed.extend(std::env::vars_os().map(|(name, _)| name).filter(of_a_package));
        self
    }

    /// The command line as a person would type it.
    pub fn line(&self) -> String {
        std::iter::once(&self.name)
            .chain(&self.arguments)
            .map(|word| word.to_string_lossy())
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// Runs it to its end and hands each line of its output to `on_line` as it comes. When the returned future is
    /// dropped, the program is killed.
    ///
    /// # Errors
    /// When it is missing, ends with a status other than 0, or does not end in time.
    pub async fn run(&self, mut on_line: impl FnMut(Stream, &str)) -> Result<(), ProcessError> {
        let mut child = self.spawn(Stdio::null(), Stdio::piped(), Stdio::piped())?;
        let mut stderr_lines = Vec::new();
        let mut stdout = Lines::of(child.stdout.take());
        let mut stderr = Lines::of(child.stderr.take());
        let (mut stdout_open, mut stderr_open) = (true, true);
        let work = async {
            while stdout_open || stderr_open {
                tokio::select! {
                    line = stdout.next(), if stdout_open => match line? {
                        Some(line) => on_line(Stream::Stdout, &line),
                        None => stdout_open = false,
                    },
                    line = stderr.next(), if stderr_open => match line? {
                        Some(line) => {
                            on_line(Stream::Stderr, &line);
                            stderr_lines.push(line);
                        }
                        None => stderr_open = false,
                    },
                }
            }
            child.wait().await
        };
        let status = tokio::time::timeout(self.limit, work)
            .await
            .map_err(|_| ProcessError::TimedOut { program: self.short(), limit: self.limit })?
            .map_err(|source| ProcessError::Io { program: self.short(), source })?;
        if status.success() {
            return Ok(());
        }
        Err(ProcessError::Failed { program: self.line(), status, stderr: stderr_lines })
    }

    /// Runs it and returns what it wrote to standard output.
    ///
    /// # Errors
    /// As for [`Program::run`].
    pub async fn output(&self) -> Result<String, ProcessError> {
        let mut output = String::new();
        self.run(|stream, line| {
            if stream == Stream::Stdout {
                output.push_str(line);
                output.push('\n');
            }
        })
        .await?;
        Ok(output)
    }

    /// Runs it and returns the bytes that it wrote to standard output.
    ///
    /// # Errors
    /// As for [`Program::run`].
    pub async fn bytes(&self) -> Result<Vec<u8>, ProcessError> {
        let work = self.stream()?.wait_with_output();
        let output = tokio::time::timeout(self.limit, work)
            .await
            .map_err(|_| ProcessError::TimedOut { program: self.short(), limit: self.limit })?
            .map_err(|source| ProcessError::Io { program: self.short(), source })?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        let stderr = String::from_utf8_lossy(&output.stderr).lines().map(str::to_owned).collect();
        Err(ProcessError::Failed { program: self.line(), status: output.status, stderr })
    }

    /// Runs it with this program's own terminal and returns its status: for programs a person talks to.
    ///
    /// # Errors
    /// When it is missing or cannot be started. A status other than 0 is the caller's to judge.
    pub async fn interactive(&self) -> Result<ExitStatus, ProcessError> {
        let mut child =
            self.clone().at_terminal().spawn(Stdio::inherit(), Stdio::inherit(), Stdio::inherit())?;
        child.wait().await.map_err(|source| ProcessError::Io { program: self.short(), source })
    }

    /// Runs it with this program's own terminal, but for its standard output, which is returned: for programs that tell a
    /// person how far they are, and a program what came of it.
    ///
    /// # Errors
    /// As for [`Program::run`].
    pub async fn answer(&self) -> Result<String, ProcessError> {
        let mut child =
            self.clone().at_terminal().spawn(Stdio::inherit(), Stdio::piped(), Stdio::inherit())?;
        let stdout = child.stdout.take();
        let work = async {
            let said = rest(stdout).await?;
            Ok((said, child.wait().await?))
        };
        let (said, status) = tokio::time::timeout(self.limit, work)
            .await
            .map_err(|_| ProcessError::TimedOut { program: self.short(), limit: self.limit })?
            .map_err(|source| ProcessError::Io { program: self.short(), source })?;
        if status.success() {
            return Ok(String::from_utf8_lossy(&said).into_owned());
        }
        Err(ProcessError::Failed { program: self.line(), status, stderr: Vec::new() })
    }

    /// Starts it as a person's own: it says nothing here, and goes on when this program ends. Waits for its end, but leaves
    /// it alone when it is waited for no longer.
    ///
    /// # Errors
    /// When it is missing, cannot be started, or ends with a status other than 0.
    pub async fn apart(&self) -> Result<(), ProcessError> {
        let mut command = self.command();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        #[cfg(unix)]
        command.process_group(0);
        let mut child = command.spawn().map_err(|source| self.not_started(source))?;
        let status =
            child.wait().await.map_err(|source| ProcessError::Io { program: self.short(), source })?;
        if status.success() {
            return Ok(());
        }
        Err(ProcessError::Failed { program: self.line(), status, stderr: Vec::new() })
    }

    /// Becomes that program: the same process goes on as it, so that Ctrl-C, signals and the status are its own. Where
    /// a process cannot do that (Windows), runs it as [`Program::interactive`] does and ends with its status. Returns
    /// only when it could not be started.
    #[cfg_attr(unix, expect(clippy::unused_async, reason = "it waits where a process cannot become another"))]
    pub async fn replace(&self) -> ProcessError {
        #[cfg(unix)]
        {
            use std::os::unix::process::CommandExt as _;
            let source = self.command().into_std().exec();
            self.not_started(source)
        }
        #[cfg(not(unix))]
        match self.interactive().await {
            Ok(status) => std::process::exit(status.code().unwrap_or(1)),
            Err(error) => error,
        }
    }

    /// Starts it with its standard output as a stream of bytes, for output that is not text. Standard error is passed
    /// on to the returned child's pipe. It is killed when the child is dropped.
    ///
    /// # Errors
    /// When it is missing or cannot be started.
    pub fn stream(&self) -> Result<Running, ProcessError> {
        self.spawn(Stdio::null(), Stdio::piped(), Stdio::piped())
    }

    /// Starts it with pipes for standard input and output: for programs that are fed.
    ///
    /// # Errors
    /// When it is missing or cannot be started.
    pub fn feed(&self) -> Result<Running, ProcessError> {
        self.spawn(Stdio::piped(), Stdio::piped(), Stdio::piped())
    }

    fn short(&self) -> String {
        self.name.to_string_lossy().into_owned()
    }

    fn spawn(&self, stdin: Stdio, stdout: Stdio, stderr: Stdio) -> Result<Running, ProcessError> {
        let mut command = self.command();
        command.stdin(stdin).stdout(stdout).stderr(stderr).kill_on_drop(true);
        let grouped = cfg!(unix) && !self.at_terminal;
        #[cfg(unix)]
        if grouped {
            command.process_group(0);
        }
        let child = command.spawn().map_err(|source| self.not_started(source))?;
        Ok(Running::new(child, grouped, self.limit > BRIEF))
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.name);
        command.args(&self.arguments);
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        for name in &self.removed {
            command.env_remove(name);
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    fn not_started(&self, source: std::io::Error) -> ProcessError {
        match source.kind() {
            std::io::ErrorKind::NotFound => ProcessError::Missing { program: self.short() },
            _ => ProcessError::Io { program: self.short(), source },
        }
    }
}

/// Whether a process of this number runs, whoever owns it. Where that cannot be told (Windows), every one does.
pub fn is_running(process: u32) -> bool {
    #[cfg(unix)]
    {
        let process = i32::try_from(process).ok().and_then(rustix::process::Pid::from_raw);
        // Refused (somebody else's) is running too.
        process.is_some_and(|process| {
            rustix::process::test_kill_process(process) != Err(rustix::io::Errno::SRCH)
        })
    }
    #[cfg(not(unix))]
    {
        let _ = process;
        true
    }
}

/// What a program writes, line by line. What is no UTF-8 becomes U+FFFD: a name in another encoding is no end.
struct Lines<R> {
    reader: BufReader<R>,
    /// The bytes of a line whose end has not come yet; they stay when a wait for them is given up.
    line: Vec<u8>,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    fn of(stream: Option<R>) -> Self {
        Self { reader: BufReader::new(stream.expect("the stream was asked for as a pipe")), line: Vec::new() }
    }

    async fn next(&mut self) -> std::io::Result<Option<String>> {
        if self.reader.read_until(b'\n', &mut self.line).await? == 0 && self.line.is_empty() {
            return Ok(None);
        }
        let line = std::mem::take(&mut self.line);
        let line = line.strip_suffix(b"\n").unwrap_or(&line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        Ok(Some(String::from_utf8_lossy(line).into_owned()))
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_a_program_has_started_ends_with_it() {
        let script = "sleep 3600 & echo started; wait";
        let mut running = Program::new("sh", BRIEF).args(["-c", script]).stream().expect("a shell");
        let mut said = Lines::of(running.stdout.take());
        assert_eq!(said.next().await.expect("it speaks").as_deref(), Some("started"));
        drop(running);
        // The pipe closes when the last process that holds it has ended.
        let closed = tokio::time::timeout(BRIEF, said.next()).await.expect("both end at once");
        assert_eq!(closed.expect("it can be read"), None);
    }

    #[tokio::test]
    async fn what_a_program_leaves_on_purpose_is_left() {
        let script = "sleep 3600 >/dev/null 2>&1 & echo $!";
        let output = Program::new("sh", BRIEF).args(["-c", script]).output().await.expect("a shell");
        let left = rustix::process::Pid::from_raw(output.trim().parse().expect("a number")).expect("not 0");
        rustix::process::kill_process(left, rustix::process::Signal::KILL).expect("it still runs");
    }

    #[tokio::test]
    async fn what_is_no_utf8_is_no_end() {
        let script = r"printf 'a\nb\374\nc\r\nd'";
        let program = Program::new("sh", BRIEF).args(["-c", script]);
        assert_eq!(program.output().await.expect("a shell"), "a\nb\u{fffd}\nc\nd\n");
        assert_eq!(program.bytes().await.expect("a shell"), b"a\nb\xfc\nc\r\nd");
        let failing = Program::new("sh", BRIEF).args(["-c", "echo why >&2; exit 3"]).bytes().await;
        let Err(ProcessError::Failed { stderr, .. }) = failing else { panic!("{failing:?}") };
        assert_eq!(stderr, ["why"]);
    }

    #[tokio::test]
    async fn output_is_gathered_and_the_input_closed() {
        let cat = Program::new("cat", BRIEF).feed().expect("cat");
        let output = cat.wait_with_output().await.expect("it ends");
        assert!(output.status.success() && output.stdout.is_empty());
        let output = Program::new("sh", BRIEF).args(["-c", "echo a; echo b >&2"]).feed().expect("a shell");
        let output = output.wait_with_output().await.expect("it ends");
        assert_eq!((output.stdout.as_slice(), output.stderr.as_slice()), (&b"a\n"[..], &b"b\n"[..]));
    }
}
