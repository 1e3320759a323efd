//! Owns `service health`: asks the service on this host over HTTP, for images without a shell. Reads nothing of the
//! configuration but where the service listens.

use std::{
    io::{self, Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    process::ExitCode,
    time::{Duration, Instant},
};

use super::{code, refuse, say};
use crate::config::Config;

/// For the whole question, so that the program ends by itself, with a word, before the health check that started it gives
/// up: compose and the image allow 2 s.
const DEADLINE: Duration = Duration::from_secs(1);

pub(super) fn health() -> ExitCode {
    let (address, port) = match Config::listen_from_environment() {
        Ok(listen) => listen,
        Err(faults) => return refuse(&faults),
    };
    let address = SocketAddr::new(reachable(address), port);
    match ask(address) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => unhealthy(&format!("asking http://{address}/health: the answer is not 200")),
        Err(error) => unhealthy(&format!("asking http://{address}/health: {error}")),
    }
}

fn unhealthy(text: &str) -> ExitCode {
    say(&mut io::stderr(), &format!("{text}\n"));
    ExitCode::from(code::UNHEALTHY)
}

/// Where a service that listens on this address is reached from its own host.
fn reachable(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(address) if address.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(address) if address.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        address => address,
    }
}

fn ask(address: SocketAddr) -> io::Result<bool> {
    let end = Instant::now() + DEADLINE;
    let mut stream = TcpStream::connect_timeout(&address, DEADLINE)?;
    stream.set_write_timeout(Some(rest(end)?))?;
    stream.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut head = [0; "HTTP/1.1 200 ".len()];
    let mut read = 0;
    while read < head.len() {
        // A service that answers byte by byte gets no more time for each.
        stream.set_read_timeout(Some(rest(end)?))?;
        match stream.read(&mut head[read..])? {
            0 => return Ok(false),
            bytes => read += bytes,
        }
    }
    Ok(head == *b"HTTP/1.1 200 ")
}

fn rest(end: Instant) -> io::Result<Duration> {
    let rest = end.saturating_duration_since(Instant::now());
    if rest.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(rest) }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::TcpListener,
    };

    use super::ask;

    #[test]
    fn only_a_200_is_healthy() {
        for (answer, healthy) in [
            ("HTTP/1.1 200 OK\r\n\r\n", true),
            ("HTTP/1.1 503 No\r\n\r\n", false),
            ("HTTP/1.1 2000\r\n", false),
        ] {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let server = std::thread::spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = [0; 16];
                stream.read_exact(&mut request).unwrap();
                stream.write_all(answer.as_bytes()).unwrap();
            });
            assert_eq!(ask(address).unwrap(), healthy, "{answer:?}");
            server.join().unwrap();
        }
    }

    #[test]
    fn one_that_answers_byte_by_byte_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            // Each within a time-out of its own, all of them far beyond one; until the other side hangs up.
            for byte in b"HTTP/1.1 200 OK" {
                if stream.write_all(&[*byte]).is_err() {
                    return false;
                }
                stream.set_read_timeout(Some(super::DEADLINE / 2)).unwrap();
                let mut request = [0; 256];
                while matches!(stream.read(&mut request), Ok(1..)) {}
            }
            true
        });
        assert!(ask(address).is_err());
        assert!(!server.join().unwrap(), "it was not heard to the end");
    }

    #[test]
    fn nobody_there_is_an_error() {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert!(ask(address).is_err());
    }
}
