//! Owns the service as a program: started, spoken to over a socket, signalled, and its output read.

use std::{
    net::Ipv4Addr,
    path::Path,
    process::{ExitStatus, Output, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    process::Command,
    task::JoinSet,
};

use crate::{
    application::Answer,
    servers::{PATIENCE, Port, free_port, until},
};

/// Today's program.
pub(crate) fn todays() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_service"))
}

/// The service's program with these variables and no others.
pub(crate) fn command(name: &str, variables: &[(String, String)]) -> Command {
    command_of(todays(), name, variables)
}

fn command_of(program: &Path, name: &str, variables: &[(String, String)]) -> Command {
    let mut command = Command::new(program);
    command
        .arg(name)
        .env_clear()
        .envs(variables.iter().cloned())
        // Where coverage is measured, the program writes its part too.
        .envs(std::env::var_os("LLVM_PROFILE_FILE").map(|file| ("LLVM_PROFILE_FILE", file)))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// What a program said and how it ended.
pub(crate) struct End {
    pub(crate) status: ExitStatus,
    pub(crate) lines: Vec<Value>,
    pub(crate) errors: String,
}

/// Runs a command to its end.
pub(crate) async fn run(name: &str, variables: &[(String, String)]) -> End {
    run_of(todays(), name, variables).await
}

/// Runs a command of this program to its end.
pub(crate) async fn run_of(program: &Path, name: &str, variables: &[(String, String)]) -> End {
    let output = command_of(program, name, variables).output().await.expect("the service's program");
    End {
        status: output.status,
        lines: parse(&output.stdout),
        errors: String::from_utf8(output.stderr).expect("UTF-8"),
    }
}

fn parse(output: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(output).expect("a log in UTF-8");
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

/// `service serve`, running, and all it says read from the start: a full pipe would make it drop lines.
pub(crate) struct Served {
    pub(crate) port: Port,
    pid: u32,
    /// The process, until its end; killed when this is dropped.
    output: JoinSet<std::io::Result<Output>>,
}

impl Served {
    /// Starts it on a free port and waits until it lives.
    pub(crate) async fn start(variables: &[(String, String)]) -> Self {
        Self::start_of(todays(), variables).await
    }

    /// Starts this program as [`Served::start`] does today's.
    pub(crate) async fn start_of(program: &Path, variables: &[(String, String)]) -> Self {
        let port = Port(free_port());
        let mut variables = variables.to_vec();
        variables.push(("PORT".to_owned(), port.0.to_string()));
        let process = command_of(program, "serve", &variables).spawn().expect("the service's program");
        let pid = process.id().expect("a running service");
        let mut output = JoinSet::new();
        output.spawn(process.wait_with_output());
        let served = Self { port, pid, output };
        until("the service's life", async || {
            served.try_get("/health").await.is_some_and(|answer| answer.status == 200)
        })
        .await;
        served
    }

    pub(crate) async fn until_ready(&self, status: &str) {
        until(&format!("readiness {status:?}"), async || self.get("/ready").await.json()["status"] == status)
            .await;
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.try_get(path).await.expect("an answer")
    }

    pub(crate) async fn try_get(&self, path: &str) -> Option<Answer> {
        Connection::open(self.port).await?.send("GET", path, &[], b"").await
    }

    pub(crate) async fn post(&self, body: &Value, key: Option<&str>) -> Option<Answer> {
        let mut headers = vec![("Content-Type", "application/json")];
        headers.extend(key.map(|key| ("Idempotency-Key", key)));
        Connection::open(self.port)
            .await?
            .send("POST", "/api/data", &headers, body.to_string().as_bytes())
            .await
    }

    /// Sends it a signal, by name.
    pub(crate) async fn signal(&self, name: &str) {
        let arguments = [format!("-{name}"), self.pid.to_string()];
        let status = Command::new("kill").args(arguments).status().await.expect("kill");
        assert!(status.success());
    }

    /// Whether it runs on for so long.
    pub(crate) async fn stays(&mut self, time: Duration) -> bool {
        tokio::time::timeout(time, self.output.join_next()).await.is_err()
    }

    /// Waits until it listens no longer.
    pub(crate) async fn until_closed(&self) {
        until("the end of listening", async || Connection::open(self.port).await.is_none()).await;
    }

    /// Waits for its end; how long that took.
    pub(crate) async fn end(mut self) -> (End, Duration) {
        let begun = Instant::now();
        let wait = tokio::time::timeout(PATIENCE, self.output.join_next());
        let output = wait.await.expect("an end in time").expect("one process").expect("no panic");
        let output = output.expect("its output");
        let end = End {
            status: output.status,
            lines: parse(&output.stdout),
            errors: String::from_utf8(output.stderr).expect("UTF-8"),
        };
        (end, begun.elapsed())
    }

    /// SIGTERM, and the end.
    pub(crate) async fn stop(self) -> End {
        self.signal("TERM").await;
        self.end().await.0
    }
}

/// One connection, kept alive, that knows just enough HTTP/1.1 (RFC 9112) and sends whatever it is told.
pub(crate) struct Connection {
    stream: TcpStream,
    rest: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(port: Port) -> Option<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port.0)).await.ok()?;
        Some(Self { stream, rest: Vec::new() })
    }

    /// As [`Connection::open`], for one who takes in little at a time: what it has not read yet is still with the service.
    pub(crate) async fn open_narrow(port: Port) -> Option<Self> {
        let socket = TcpSocket::new_v4().ok()?;
        // Less than the loopback's own segment would make each byte wait for a timer.
        socket.set_recv_buffer_size(64 * 1024).ok()?;
        let stream = socket.connect((Ipv4Addr::LOCALHOST, port.0).into()).await.ok()?;
        Some(Self { stream, rest: Vec::new() })
    }

    /// Sends a request and reads its answer; `None` when the connection ended first.
    pub(crate) async fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Option<Answer> {
        self.ask(method, path, headers, body).await?;
        self.read(method == "HEAD").await
    }

    /// Sends a request.
    pub(crate) async fn ask(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Option<()> {
        let mut request = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n").into_bytes();
        for (name, value) in headers {
            request.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        if !body.is_empty() {
            request.extend_from_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
        }
        request.extend_from_slice(b"\r\n");
        request.extend_from_slice(body);
        self.write(&request).await
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) -> Option<()> {
        self.stream.write_all(bytes).await.ok()
    }

    /// Reads one answer.
    pub(crate) async fn read(&mut self, without_body: bool) -> Option<Answer> {
        let begun = Instant::now();
        let head = loop {
            if let Some(end) = self.rest.windows(4).position(|window| window == b"\r\n\r\n") {
                break self.rest.drain(..end + 4).collect::<Vec<_>>();
            }
            self.fill().await?;
        };
        let head = String::from_utf8(head).expect("a head in UTF-8");
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let headers: Vec<(String, String)> = lines
            .map(|line| line.split_once(':').expect("a header"))
            .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
            .collect();
        let mut answer = Answer { status, headers, body: Vec::new(), took: Duration::ZERO };
        if !without_body {
            let length =
                answer.header("Content-Length").map_or(0, |length| length.parse().expect("a length"));
            while self.rest.len() < length {
                self.fill().await?;
            }
            answer.body = self.rest.drain(..length).collect();
        }
        answer.took = begun.elapsed();
        Some(answer)
    }

    /// Whether the other side has closed.
    pub(crate) async fn is_closed(&mut self) -> bool {
        self.fill().await.is_none()
    }

    /// Whether nothing is left of what came.
    pub(crate) fn is_at_an_end(&self) -> bool {
        self.rest.is_empty()
    }

    async fn fill(&mut self) -> Option<()> {
        let mut piece = [0; 4096];
        let length = self.stream.read(&mut piece).await.ok().filter(|length| *length > 0)?;
        self.rest.extend_from_slice(&piece[..length]);
        Some(())
    }
}
