//! What answers on the network: the package mirror that recipes build from, and Docker Hub. One small question each,
//! bounded; the mirror's answer also tells the time.
//!
//! Must not: fetch anything.

use std::io;
use std::time::{Duration, SystemTime};

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use super::facts::Reach;
use crate::limits;
use crate::process::Program;

/// The mirror of Debian that is used where a machine names none.
const MIRROR: &str = "http://deb.debian.org/debian";
/// The variable that names another; `compose/images/debian/rootfs.sh` reads it too.
const MIRROR_VARIABLE: &str = "HOMEPORT_DEBIAN_MIRROR";
/// Docker Hub's address (Docker's documentation, "Docker Hub: allow list").
const REGISTRY: &str = "registry-1.docker.io";
/// How long apt's own tools may take to tell their configuration.
const APT: Duration = Duration::from_secs(10);
/// How much of an answer's head is read at most: servers refuse requests with heads of 8 KiB, and send less themselves.
const HEAD: u64 = 16 * 1024;

/// What was seen.
pub(super) struct Seen {
    pub(super) mirror: Reach,
    pub(super) registry: Reach,
    /// The mirror's host, and its time.
    pub(super) who: String,
    pub(super) date: Option<SystemTime>,
}

/// Asks the mirror and the registry at once.
pub(super) async fn look(offline: bool) -> Seen {
    if offline {
        return Seen { mirror: Reach::NotAsked, registry: Reach::NotAsked, who: String::new(), date: None };
    }
    let (mirror, registry) = tokio::join!(ask_mirror(), ask_registry());
    let (who, reach, date) = mirror;
    Seen { mirror: reach, registry, who, date }
}

async fn ask_mirror() -> (String, Reach, Option<SystemTime>) {
    let address = mirror().await;
    let Some(url) = Url::parse(&address) else {
        // A mirror on a disk or a medium needs no network.
        return (String::new(), Reach::Answers { address }, None);
    };
    let proxy = match apt_proxy().await {
        Some(proxy) => Some(proxy),
        None => variable("http_proxy"),
    };
    match bounded(head(&url, proxy.as_deref())).await {
        Ok(date) => (url.host, Reach::Answers { address }, date),
        Err(error) => (url.host, Reach::Silent { address, seen: error.to_string() }, None),
    }
}

/// The mirror that recipes will use: the variable's, this machine's own when it runs Debian, the public one.
async fn mirror() -> String {
    if let Some(named) = variable(MIRROR_VARIABLE) {
        return named;
    }
    let program = Program::new("apt-get", APT).args([
        "indextargets",
        "--format",
        "$(REPO_URI)",
        "Created-By: Packages",
        "Origin: Debian",
        "Label: Debian",
    ]);
    let output = program.output().await.unwrap_or_default();
    output.lines().next().map_or_else(|| MIRROR.to_owned(), |line| line.trim_end_matches('/').to_owned())
}

async fn apt_proxy() -> Option<String> {
    let program = Program::new("apt-config", APT).args(["shell", "value", "Acquire::http::Proxy"]);
    let output = program.output().await.ok()?;
    // value='http://proxy:3128'
    let value = output.trim().strip_prefix("value=")?.trim_matches('\'').to_owned();
    Some(value).filter(|value| !value.is_empty() && value != "DIRECT")
}

async fn ask_registry() -> Reach {
    let address = REGISTRY.to_owned();
    let proxy = variable("https_proxy");
    let work = async {
        let (host, port) = match proxy.as_deref().and_then(Url::parse) {
            Some(proxy) => (proxy.host, proxy.port),
            None => (REGISTRY.to_owned(), 443),
        };
        let mut stream = TcpStream::connect((host.as_str(), port)).await?;
        if proxy.is_none() {
            return Ok(());
        }
        // RFC 9110, 9.3.6: the proxy says 2xx when it has a connection.
        let request = format!("CONNECT {REGISTRY}:443 HTTP/1.1\r\nHost: {REGISTRY}:443\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        answer(stream, 200..300).await.map(drop)
    };
    match bounded(work).await {
        Ok(()) => Reach::Answers { address },
        Err(error) => Reach::Silent { address, seen: error.to_string() },
    }
}

async fn bounded<T>(work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let limit = limits::REGISTRY_ANSWER;
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| {
        Err(io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {} s", limit.as_secs())))
    })
}

/// The variable in lower or upper case, as curl and apt read proxies; empty is unset.
fn variable(name: &str) -> Option<String> {
    [name.to_owned(), name.to_uppercase()]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
}

/// The parts of an `http` or `https` address.
#[derive(Debug, PartialEq, Eq)]
struct Url {
    tls: bool,
    host: String,
    port: u16,
    path: String,
}

impl Url {
    fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let tls = match scheme {
            "http" => false,
            "https" => true,
            _ => return None,
        };
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let (host, port) = match host.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
            _ => (host, if tls { 443 } else { 80 }),
        };
        let host = host.trim_matches(['[', ']']).to_owned();
        Some(Self { tls, host, port, path: format!("/{path}") })
    }
}

/// Asks for the head of the mirror's top directory. With TLS a connection is enough: the certificate is apt's to judge.
async fn head(url: &Url, proxy: Option<&str>) -> io::Result<Option<SystemTime>> {
    let proxy = proxy.and_then(Url::parse);
    let (host, port) = proxy.as_ref().map_or((&url.host, url.port), |proxy| (&proxy.host, proxy.port));
    let mut stream = TcpStream::connect((host.as_str(), port)).await?;
    if url.tls {
        return Ok(None);
    }
    let Url { host, port, path, .. } = url;
    let target = if proxy.is_some() { format!("http://{host}:{port}{path}/") } else { format!("{path}/") };
    let request = format!("HEAD {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    answer(stream, 200..400).await
}

/// Reads the head of an answer: its time, when its status is among those expected.
async fn answer(stream: TcpStream, expected: std::ops::Range<u16>) -> io::Result<Option<SystemTime>> {
    let mut lines = BufReader::new(stream.take(HEAD)).lines();
    let first = lines.next_line().await?.unwrap_or_default();
    let status: Option<u16> = first.split(' ').nth(1).and_then(|status| status.parse().ok());
    if !status.is_some_and(|status| expected.contains(&status)) {
        return Err(io::Error::other(format!("it answers \"{}\"", first.trim())));
    }
    while let Some(line) = lines.next_line().await? {
        match line.split_once(':') {
            Some((name, value)) if name.eq_ignore_ascii_case("date") => {
                return Ok(httpdate::parse_http_date(value.trim()).ok());
            }
            Some(_) => {}
            None => break,
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn addresses_are_taken_apart() {
        let url = |tls, host: &str, port, path: &str| {
            Some(Url { tls, host: host.to_owned(), port, path: path.to_owned() })
        };
        let table = [
            ("http://deb.debian.org/debian", url(false, "deb.debian.org", 80, "/debian")),
            ("https://user:pass@mirror.example:8443/x/y", url(true, "mirror.example", 8443, "/x/y")),
            ("http://[::1]:3142", url(false, "::1", 3142, "/")),
            ("http://[::1]/x", url(false, "::1", 80, "/x")),
            ("file:///mnt/debian", None),
            ("cdrom:", None),
            ("http://host:notaport/", None),
        ];
        for (text, expected) in table {
            assert_eq!(Url::parse(text), expected, "{text}");
        }
    }

    /// A server that answers one request, and the request's first line.
    async fn server(answer: &'static str) -> (u16, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let served = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut request = vec![0; 1024];
            let length = stream.read(&mut request).await.expect("a request");
            stream.write_all(answer.as_bytes()).await.expect("an answer");
            String::from_utf8_lossy(&request[..length]).lines().next().unwrap_or_default().to_owned()
        });
        (port, served)
    }

    #[tokio::test]
    async fn a_mirror_is_asked_and_tells_the_time() {
        let (port, served) = server("HTTP/1.1 200 OK\r\nDate: Tue, 24 Nov 2026 19:14:20 GMT\r\n\r\n").await;
        let url = Url::parse(&format!("http://127.0.0.1:{port}/debian")).expect("an address");
        let date = head(&url, None).await.expect("an answer");
        assert_eq!(date, Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_547_660)));
        assert_eq!(served.await.expect("one request"), "HEAD /debian/ HTTP/1.1");
    }

    #[tokio::test]
    async fn a_proxy_is_asked_for_the_whole_address() {
        let (port, served) = server("HTTP/1.1 502 Bad Gateway\r\n\r\n").await;
        let url = Url::parse("http://mirror.example/debian").expect("an address");
        let error = head(&url, Some(&format!("http://127.0.0.1:{port}"))).await.expect_err("502");
        assert_eq!(error.to_string(), "it answers \"HTTP/1.1 502 Bad Gateway\"");
        assert_eq!(served.await.expect("one request"), "HEAD http://mirror.example:80/debian/ HTTP/1.1");
    }
}
