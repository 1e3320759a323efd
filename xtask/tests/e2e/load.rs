//! A load on one address: clients that keep their connection and clients that make a new one each time, reading and
//! writing. Whatever is not answered with success is kept, in words.
//!
//! Must not: try again. A connection that is closed, refused or cut off is a failure, as a person would see it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long one answer may take: a front holds a request for some seconds at most, a busy machine is given more.
const ANSWER: Duration = Duration::from_secs(60);

/// The pause of each client between two requests: what is under test needs the processor too.
const PAUSE: Duration = Duration::from_millis(5);

/// A load that runs until it is stopped.
#[derive(Debug)]
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Told>>,
}

/// What clients have seen.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) answered: usize,
    pub(crate) failed: Vec<String>,
}

impl Load {
    /// Eight clients: each of GET and POST, keeping and not, twice.
    pub(crate) fn start(port: u16) -> Self {
        Self::of(port, &["GET", "POST"])
    }

    /// As many clients a method: they keep their connection or do not, twice.
    pub(crate) fn of(port: u16, methods: &[&'static str]) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let kinds = methods.iter().copied().flat_map(|method| [(method, true), (method, false)]);
        let kinds: Vec<_> = kinds.collect();
        let clients = kinds.iter().chain(&kinds).map(|&(method, keeps)| {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || ask_until(&stop, port, method, keeps))
        });
        Self { clients: clients.collect(), stop }
    }

    /// Stops it and gives what all clients have seen.
    pub(crate) fn stop(self) -> Told {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Told::default();
        for client in self.clients {
            let told = client.join().expect("a client does not panic");
            all.answered += told.answered;
            all.failed.extend(told.failed);
        }
        all
    }
}

fn ask_until(stop: &AtomicBool, port: u16, method: &str, keeps: bool) -> Told {
    let mut told = Told::default();
    let mut kept = None;
    while !stop.load(Ordering::Relaxed) {
        match ask(port, method, kept.take()) {
            Ok(connection) => {
                told.answered += 1;
                kept = Some(connection).filter(|_| keeps);
            }
            Err(failure) => told.failed.push(format!("{method}, keeps its connection {keeps}: {failure}")),
        }
        std::thread::sleep(PAUSE);
    }
    told
}

/// One request; gives the connection for the next one.
fn ask(port: u16, method: &str, kept: Option<BufReader<TcpStream>>) -> Result<BufReader<TcpStream>, String> {
    let told = |what: &'static str| move |error: std::io::Error| format!("{what}: {error}");
    let mut connection = if let Some(connection) = kept {
        connection
    } else {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).map_err(told("connect"))?;
        stream.set_read_timeout(Some(ANSWER)).map_err(told("set up"))?;
        stream.set_nodelay(true).map_err(told("set up"))?;
        BufReader::new(stream)
    };
    let body = if method == "POST" { "written" } else { "" };
    let request =
        format!("{method} / HTTP/1.1\r\nHost: load\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    connection.get_mut().write_all(request.as_bytes()).map_err(told("write"))?;
    let mut status = String::new();
    let mut length = 0;
    for number in 0.. {
        let mut line = String::new();
        let read = connection.read_line(&mut line).map_err(told("read"))?;
        match (read, line.trim_end()) {
            (0, _) => return Err(format!("closed after {number} lines of the answer")),
            (_, "") => break,
            (_, first) if number == 0 => first.clone_into(&mut status),
            (_, header) => {
                if let Some((_, value)) =
                    header.split_once(':').filter(|(name, _)| name.eq_ignore_ascii_case("content-length"))
                {
                    length = value.trim().parse().map_err(|error| format!("{header}: {error}"))?;
                }
            }
        }
    }
    let mut body = vec![0; length];
    connection.read_exact(&mut body).map_err(told("read the body"))?;
    if status.starts_with("HTTP/1.1 200 ") {
        Ok(connection)
    } else {
        Err(format!("{status}: {}", String::from_utf8_lossy(&body)))
    }
}
