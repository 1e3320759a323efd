//! Opens the connection to the engine and agrees on an API version, in one round trip.
//!
//! Must not: start an engine, or wait for one.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bollard::errors::Error as BollardError;
use bollard::models::SystemVersion;
use bollard::{API_DEFAULT_VERSION, BollardRequest, ClientVersion, Docker};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::endpoint::{Address, Endpoint, EndpointError, NEEDS_THIS_MACHINE, Surroundings};
use super::error::ask;
use super::{Asked, Engine};
use crate::failure::{Code, Failure};
use crate::limits;

/// The oldest API that has everything Homeport asks for: Docker 20.10 and Podman 3.
const OLDEST_API: ClientVersion = ClientVersion { major_version: 1, minor_version: 41 };

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Docker's own configuration does not name an engine that can be used.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// No engine answers where it should be.
    #[error("cannot reach the container engine at {} (named by {}): {seen}{}", .endpoint.address, .endpoint.configured, also(.endpoint))]
    Unreachable {
        /// Where it was looked for, and what named that place.
        endpoint: Box<Endpoint>,
        /// What was seen there.
        seen: String,
        /// Whether the engine is there and this user may not talk to it.
        forbidden: bool,
    },
    /// An engine answers that cannot run a checkout's stack.
    #[error(
        "the container engine at {} (named by {}) is on another machine: {NEEDS_THIS_MACHINE}",
        .endpoint.address, .endpoint.configured
    )]
    Elsewhere {
        /// Where it is.
        endpoint: Box<Endpoint>,
    },
    /// An engine answers that is too old.
    #[error(
        "the container engine at {} is too old: it speaks API {seen}, Homeport needs {OLDEST_API} or later (Docker 20.10)",
        .endpoint.address
    )]
    TooOld {
        /// Where it is.
        endpoint: Box<Endpoint>,
        /// The API version it speaks.
        seen: String,
    },
    /// An engine answers that no longer speaks what we do.
    #[error(
        "the container engine at {} is too new: it needs API {needs} or later, Homeport speaks up to {API_DEFAULT_VERSION}",
        .endpoint.address
    )]
    TooNew {
        /// Where it is.
        endpoint: Box<Endpoint>,
        /// The oldest API version it accepts.
        needs: String,
    },
}

impl ConnectError {
    /// What to do next.
    pub fn hint(&self) -> String {
        let choose = || "set DOCKER_HOST, or choose another context with `docker context use`".to_owned();
        match self {
            Self::Endpoint(
                EndpointError::UnknownContext { configured, .. }
                | EndpointError::Unsupported { configured, .. },
            ) => configured.hint().unwrap_or_else(choose),
            Self::Endpoint(_) => choose(),
            Self::Elsewhere { endpoint } => endpoint.configured.hint().unwrap_or_else(choose),
            Self::Unreachable { forbidden: true, .. } => {
                "add yourself to the group that owns the socket (`sudo usermod -aG docker $USER`, then log in again)"
                    .to_owned()
            }
            Self::Unreachable { endpoint, .. } => endpoint.configured.hint().unwrap_or_else(|| {
                "`cargo xtask doctor --fix` installs and starts an engine where it can".to_owned()
            }),
            Self::TooOld { .. } => "install Docker 20.10 or later".to_owned(),
            Self::TooNew { .. } => "update Homeport".to_owned(),
        }
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        let code = match &error {
            ConnectError::TooOld { .. } | ConnectError::TooNew { .. } => Code::EngineTooOld,
            ConnectError::Elsewhere { .. } => Code::MachineUnready,
            _ => Code::EngineUnreachable,
        };
        Self::new(code, error.to_string()).hint(error.hint())
    }
}

fn also(endpoint: &Endpoint) -> String {
    let absent: Vec<String> = endpoint.absent.iter().map(|path| path.display().to_string()).collect();
    if absent.is_empty() { String::new() } else { format!("; nor is there {}", absent.join(", ")) }
}

/// What an engine says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineVersion {
    /// The product's own version: `20.10.24`.
    pub version: String,
    /// The newest API version it speaks: `1.41`.
    pub api: String,
    /// The processor its containers run on, in Go's words: `amd64`, `arm64`.
    pub architecture: String,
    /// The system its containers run on: `linux`.
    pub os: String,
}

impl From<SystemVersion> for EngineVersion {
    fn from(said: SystemVersion) -> Self {
        Self {
            version: said.version.unwrap_or_default(),
            api: said.api_version.unwrap_or_default(),
            architecture: said.arch.unwrap_or_default(),
            os: said.os.unwrap_or_default(),
        }
    }
}

impl Engine {
    /// Connects to the engine that Docker's own command line would use.
    ///
    /// # Errors
    /// When none is configured that can be used, none answers, or the API versions do not meet. The error says what
    /// was tried and what was seen.
    pub fn connect() -> Asked<'static, Self, ConnectError> {
        Box::pin(async move { Self::connect_within(limits::ENGINE_ANSWER, endpoint()?).await })
    }

    async fn connect_within(patience: Duration, endpoint: Endpoint) -> Result<Self, ConnectError> {
        // The whole answer to a ping takes the engine 0.4 ms and its version 6 to 9 ms (20.10), because it asks its own
        // parts for theirs. That is worth it only to tell what is wrong.
        match tokio::time::timeout(patience, ping(&endpoint.address)).await {
            Ok(Some(newest)) if newest >= OLDEST_API && newest <= *API_DEFAULT_VERSION => {
                if let Ok(docker) = open(&endpoint.address, &newest) {
                    return Ok(Self::over(docker, endpoint));
                }
            }
            Ok(_) => {}
            // Whoever was silent for so long is not asked the same a second time.
            Err(_) => return Err(unreachable(endpoint, &BollardError::RequestTimeoutError)),
        }
        Ok(Self::connect_to(endpoint).await?.0)
    }

    /// As [`Engine::connect`]; also returns what the engine said of itself, which the connection asks for anyway.
    ///
    /// # Errors
    /// As for [`Engine::connect`].
    pub fn connect_and_ask() -> Asked<'static, (Self, EngineVersion), ConnectError> {
        Box::pin(async move { Self::connect_to(endpoint()?).await })
    }

    /// What `DOCKER_HOST` has to be for a program to find the engine that [`Engine::connect`] finds, without Docker's
    /// configuration. `None` where an address is not enough, because the engine speaks TLS.
    ///
    /// # Errors
    /// When Docker's configuration names no engine that can be used.
    pub fn docker_host() -> Result<Option<String>, ConnectError> {
        let address = endpoint()?.address;
        let has_certificates = matches!(address, Address::Tcp { tls: Some(_), .. });
        Ok((!has_certificates).then(|| address.to_string()))
    }

    /// Asks the engine about itself.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn version(&self) -> Asked<'_, EngineVersion> {
        Box::pin(async move {
            let request = self.docker.version();
            ask("ask", "the engine for its version", limits::ENGINE_ANSWER, request)
                .await
                .map(EngineVersion::from)
        })
    }

    /// The processor its containers run on, in Go's words.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn architecture(&self) -> Asked<'_, &str> {
        Box::pin(async move {
            let asked =
                self.architecture.get_or_try_init(|| async { Ok(self.version().await?.architecture) });
            asked.await.map(String::as_str)
        })
    }

    pub(super) fn over(docker: Docker, endpoint: Endpoint) -> Self {
        Self { docker, endpoint: Arc::new(endpoint), architecture: Arc::default() }
    }

    /// The variables by which Docker's own command line speaks to this engine too, whatever it would find by itself; those
    /// without a value are not to be set.
    pub fn variables(&self) -> [(&'static str, Option<String>); 4] {
        let (host, certificates) = match &self.endpoint.address {
            Address::Tcp { authority, tls } => {
                (format!("tcp://{authority}"), tls.as_ref().and_then(|tls| tls.ca.parent()))
            }
            address => (address.to_string(), None),
        };
        [
            ("DOCKER_HOST", Some(host)),
            ("DOCKER_CONTEXT", None),
            ("DOCKER_TLS_VERIFY", certificates.map(|_| "1".to_owned())),
            ("DOCKER_CERT_PATH", certificates.map(|directory| directory.display().to_string())),
        ]
    }

    /// Whether it runs on this machine, as far as its address tells: only such a one can mount a checkout's files, and
    /// publish on the 127.0.0.1 that `dev` asks.
    ///
    /// # Errors
    /// When it does not.
    pub fn is_on_this_machine(&self) -> Result<(), ConnectError> {
        match &self.endpoint.address {
            Address::Tcp { authority, .. } if !is_here(authority) => {
                Err(ConnectError::Elsewhere { endpoint: Box::new((*self.endpoint).clone()) })
            }
            _ => Ok(()),
        }
    }

    async fn connect_to(endpoint: Endpoint) -> Result<(Self, EngineVersion), ConnectError> {
        let docker = match open(&endpoint.address, API_DEFAULT_VERSION) {
            Ok(docker) => docker,
            Err(error) => return Err(unreachable(endpoint, &error)),
        };
        let said = match tokio::time::timeout(limits::ENGINE_ANSWER, docker.version()).await {
            Ok(Ok(said)) => said,
            Ok(Err(error)) => return Err(unreachable(endpoint, &error)),
            Err(_) => return Err(unreachable(endpoint, &BollardError::RequestTimeoutError)),
        };
        let api = said.api_version.clone().unwrap_or_default();
        let needs = said.min_api_version.clone().unwrap_or_default();
        let version = match agree(&api, &needs) {
            Ok(version) => version,
            Err(Disagreement::TooOld) => {
                return Err(ConnectError::TooOld { endpoint: Box::new(endpoint), seen: api });
            }
            Err(Disagreement::TooNew) => {
                return Err(ConnectError::TooNew { endpoint: Box::new(endpoint), needs });
            }
        };
        let docker = match open(&endpoint.address, &version) {
            Ok(docker) => docker,
            Err(error) => return Err(unreachable(endpoint, &error)),
        };
        Ok((Self::over(docker, endpoint), said.into()))
    }
}

fn unreachable(endpoint: Endpoint, error: &BollardError) -> ConnectError {
    ConnectError::Unreachable {
        forbidden: innermost(error).contains("ermission denied"),
        seen: seen(error),
        endpoint: Box::new(endpoint),
    }
}

fn endpoint() -> Result<Endpoint, EndpointError> {
    let variable = |name: &str| std::env::var(name).ok();
    let home = std::env::home_dir();
    let exists = |path: &Path| path.exists();
    Surroundings { variable: &variable, home: home.as_deref(), exists: &exists }.endpoint()
}

/// Whether one of this machine's own addresses is meant: no other can be listened on.
fn is_here(authority: &str) -> bool {
    use std::net::{TcpListener, ToSocketAddrs as _};
    let mut addresses = authority.to_socket_addrs().into_iter().flatten();
    addresses.any(|address| TcpListener::bind((address.ip(), 0)).is_ok())
}

/// The newest API version that an engine speaks, from the header of its answer to a ping, as Docker's own command line
/// asks for it. `None` for anything unusual, and where the connection needs more than opening.
async fn ping(address: &Address) -> Option<ClientVersion> {
    match address {
        #[cfg(unix)]
        Address::Unix(path) => ping_over(tokio::net::UnixStream::connect(path).await.ok()?).await,
        Address::Tcp { authority, tls: None } => {
            ping_over(tokio::net::TcpStream::connect(authority).await.ok()?).await
        }
        _ => None,
    }
}

async fn ping_over(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Option<ClientVersion> {
    let request = hyper::Request::head("/_ping").header("host", "docker").body(String::new()).ok()?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.ok()?;
    // The answer arrives, or fails, while the connection is driven; its end alone tells neither.
    let drive = async {
        let _ = connection.await;
        std::future::pending::<()>().await;
    };
    let answer = tokio::select! {
        answer = sender.send_request(request) => answer.ok()?,
        () = drive => return None,
    };
    version(answer.headers().get("api-version")?.to_str().ok()?)
}

fn open(address: &Address, version: &ClientVersion) -> Result<Docker, BollardError> {
    // Every request has a bound of its own in `limits`; this one must only not undercut them.
    let timeout = limits::SERVICE_BUILD.max(limits::IMAGE_BUILD).as_secs();
    let docker = match address {
        #[cfg(unix)]
        Address::Unix(path) => Docker::connect_with_unix(&path.to_string_lossy(), timeout, version)?,
        #[cfg(windows)]
        Address::Pipe(path) => Docker::connect_with_named_pipe(path, timeout, version)?,
        Address::Tcp { authority, tls: None } => Docker::connect_with_http(authority, timeout, version)?,
        Address::Tcp { authority, tls: Some(tls) } => {
            Docker::connect_with_ssl(authority, &tls.key, &tls.cert, &tls.ca, timeout, version)?
        }
        #[cfg(not(unix))]
        Address::Unix(_) => return Err(BollardError::UnsupportedURISchemeError { uri: address.to_string() }),
        #[cfg(not(windows))]
        Address::Pipe(_) => return Err(BollardError::UnsupportedURISchemeError { uri: address.to_string() }),
    };
    Ok(docker.with_request_modifier(amend))
}

/// Mends two things in bollard's requests. The question for the version goes out without one, so that engines older
/// and newer than this program answer it (they refuse a version they do not speak); and credentials are encoded in the
/// URL's alphabet, as the engine's API says (bollard writes base64's own, which breaks on some passwords).
fn amend(mut request: BollardRequest) -> BollardRequest {
    if request.uri().path().ends_with("/version") {
        let uri = request.uri().to_string();
        if let Some(start) = uri.rfind("/v1.").filter(|start| uri[*start..].matches('/').count() == 2)
            && let Ok(bare) = format!("{}/version", &uri[..start]).parse()
        {
            *request.uri_mut() = bare;
        }
    }
    for name in ["x-registry-auth", "x-registry-config"] {
        if let Some(value) = request.headers_mut().get_mut(name)
            && let Ok(Ok(mended)) =
                value.to_str().map(|text| text.replace('+', "-").replace('/', "_").parse())
        {
            *value = mended;
        }
    }
    request
}

enum Disagreement {
    TooOld,
    TooNew,
}

/// The newest version that both speak.
fn agree(newest: &str, oldest: &str) -> Result<ClientVersion, Disagreement> {
    let newest = version(newest).ok_or(Disagreement::TooOld)?;
    if newest < OLDEST_API {
        return Err(Disagreement::TooOld);
    }
    if version(oldest).is_some_and(|oldest| oldest > *API_DEFAULT_VERSION) {
        return Err(Disagreement::TooNew);
    }
    Ok(if newest < *API_DEFAULT_VERSION { newest } else { *API_DEFAULT_VERSION })
}

fn version(text: &str) -> Option<ClientVersion> {
    let (major, minor) = text.split_once('.')?;
    Some(ClientVersion { major_version: major.parse().ok()?, minor_version: minor.parse().ok()? })
}

/// What was seen, in words a person knows from other programs.
fn seen(error: &BollardError) -> String {
    match error {
        BollardError::SocketNotFoundError(path) => format!("{path} does not exist"),
        BollardError::RequestTimeoutError => {
            format!("it does not answer within {} s", Duration::as_secs(&limits::ENGINE_ANSWER))
        }
        BollardError::CertPathError { path } => format!("cannot read the certificate {}", path.display()),
        error => innermost(error),
    }
}

fn innermost(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::endpoint::Certificates;
    use super::super::named_by::NamedBy;
    use super::*;

    #[test]
    fn the_newest_common_version_is_agreed_on() {
        let table = [
            ("1.41", "1.12", Ok("1.41")),
            ("1.44", "1.24", Ok("1.44")),
            ("1.99", "1.44", Ok("1.53")),
            ("1.40", "1.12", Err("old")),
            ("", "", Err("old")),
            ("1.99", "1.60", Err("new")),
        ];
        for (newest, oldest, expected) in table {
            let agreed = match agree(newest, oldest) {
                Ok(version) => Ok(version.to_string()),
                Err(Disagreement::TooOld) => Err("old"),
                Err(Disagreement::TooNew) => Err("new"),
            };
            assert_eq!(agreed, expected.map(str::to_owned), "{newest} {oldest}");
        }
    }

    fn endpoint(address: Address) -> Endpoint {
        Endpoint { address, configured: NamedBy::Host, absent: vec![PathBuf::from("/run/x.sock")] }
    }

    #[tokio::test]
    async fn a_missing_engine_is_named_with_what_was_tried() {
        let missing = endpoint(Address::Unix("/nowhere/docker.sock".into()));
        let error = Engine::connect_to(missing).await.expect_err("nothing is there");
        assert_eq!(
            error.to_string(),
            "cannot reach the container engine at unix:///nowhere/docker.sock (named by DOCKER_HOST): /nowhere/docker.sock does not exist; nor is there /run/x.sock"
        );
        // Port 1 of the loopback interface: reserved (tcpmux), and nobody runs it.
        let closed = endpoint(Address::Tcp { authority: "127.0.0.1:1".to_owned(), tls: None });
        let error = Engine::connect_to(closed).await.expect_err("nothing is there");
        assert!(error.to_string().contains("refused"), "{error}");
    }

    #[tokio::test]
    async fn whoever_named_a_wrong_engine_is_told_how_to_name_another() {
        let current =
            || NamedBy::CurrentContext { name: "far".to_owned(), file: "/home/me/config.json".into() };
        let table = [
            (NamedBy::Host, "DOCKER_HOST is set to it: correct that, or unset it"),
            (NamedBy::ChosenContext("far".to_owned()), "DOCKER_CONTEXT is set to far: correct that"),
            (current(), "the current Docker context is far: start its engine, or choose another"),
            (NamedBy::Default, "`cargo xtask doctor --fix` installs and starts"),
        ];
        for (configured, expected) in table {
            let address = Address::Unix("/nowhere/docker.sock".into());
            let missing = Endpoint { address, configured, absent: Vec::new() };
            let hint = Engine::connect_to(missing).await.expect_err("nothing is there").hint();
            assert!(hint.starts_with(expected), "{hint}");
        }
        let gone = ConnectError::Endpoint(EndpointError::UnknownContext {
            configured: current(),
            path: "/nowhere/meta.json".into(),
        });
        assert!(gone.hint().starts_with("the current Docker context is far"), "{}", gone.hint());
    }

    #[test]
    fn dockers_command_line_is_told_of_the_engine_that_was_found() {
        let at = |address: Address| {
            let docker = Docker::connect_with_http("127.0.0.1:1", 1, &OLDEST_API).expect("an address");
            let variables = Engine::over(docker, endpoint(address)).variables();
            let told = variables.map(|(name, value)| format!("{name}={}", value.unwrap_or_default()));
            told.join(" ")
        };
        assert_eq!(
            at(Address::Unix("/run/user/7/podman/podman.sock".into())),
            "DOCKER_HOST=unix:///run/user/7/podman/podman.sock DOCKER_CONTEXT= DOCKER_TLS_VERIFY= DOCKER_CERT_PATH="
        );
        let tls = Some(Certificates::within(Path::new("/certs")));
        assert_eq!(
            at(Address::Tcp { authority: "localhost:2376".to_owned(), tls }),
            "DOCKER_HOST=tcp://localhost:2376 DOCKER_CONTEXT= DOCKER_TLS_VERIFY=1 DOCKER_CERT_PATH=/certs"
        );
    }

    #[test]
    fn an_engine_of_another_machine_is_told_from_one_of_this() {
        let at = |address: Address| {
            let docker = Docker::connect_with_http("127.0.0.1:1", 1, &OLDEST_API).expect("an address");
            Engine::over(docker, endpoint(address)).is_on_this_machine().map_err(Failure::from)
        };
        let tcp = |authority: &str| Address::Tcp { authority: authority.to_owned(), tls: None };
        for here in [tcp("127.0.0.1:2375"), tcp("localhost:2375"), Address::Unix("/run/x.sock".into())] {
            assert_eq!(at(here.clone()), Ok(()), "{here}");
        }
        // For documentation (RFC 5737): nobody's.
        let failure = at(tcp("192.0.2.1:2375")).expect_err("it is elsewhere");
        assert_eq!(failure.code.exit() as u8, 4);
        assert_eq!(
            failure.message,
            "the container engine at tcp://192.0.2.1:2375 (named by DOCKER_HOST) is on another machine: a stack needs one \
             that has this checkout's files and this machine's 127.0.0.1"
        );
    }

    /// An engine that answers every request with one version.
    async fn engine_of_version(api: &str) -> (Endpoint, tokio::task::JoinHandle<String>) {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let authority = listener.local_addr().expect("an address").to_string();
        let body = format!(r#"{{"Version":"19.03","ApiVersion":"{api}","MinAPIVersion":"1.12"}}"#);
        let served = tokio::spawn(async move {
            let (mut connection, _) = listener.accept().await.expect("a connection");
            let mut request = vec![0; 4096];
            let length = connection.read(&mut request).await.expect("a request");
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            connection.write_all(head.as_bytes()).await.expect("an answer");
            String::from_utf8_lossy(&request[..length]).lines().next().unwrap_or_default().to_owned()
        });
        (endpoint(Address::Tcp { authority, tls: None }), served)
    }

    #[tokio::test]
    async fn an_old_engine_is_refused_with_both_versions() {
        let (old, served) = engine_of_version("1.40").await;
        let error = Engine::connect_to(old).await.expect_err("it is too old");
        assert!(error.to_string().contains("it speaks API 1.40, Homeport needs 1.41"), "{error}");
        assert_eq!(served.await.expect("one request"), "GET /version HTTP/1.1");
    }

    #[tokio::test]
    async fn a_ping_tells_the_version_and_anything_unusual_tells_nothing() {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let table = [
            ("HTTP/1.1 200 OK\r\nApi-Version: 1.44\r\nContent-Length: 2\r\n\r\n", Some("1.44")),
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", None),
            ("HTTP/1.1 200 OK\r\nApi-Version: x\r\n\r\n", None),
            ("SSH-2.0-OpenSSH_9.2\r\n", None),
            ("", None),
        ];
        for (answer, expected) in table {
            let (ours, mut theirs) = tokio::io::duplex(4096);
            let engine = async {
                let mut request = vec![0; 4096];
                let length = theirs.read(&mut request).await.expect("a request");
                theirs.write_all(answer.as_bytes()).await.expect("an answer");
                drop(theirs);
                String::from_utf8_lossy(&request[..length]).into_owned()
            };
            let (told, request) = tokio::join!(ping_over(ours), engine);
            assert_eq!(told.map(|version| version.to_string()).as_deref(), expected, "{answer}");
            assert!(request.starts_with("HEAD /_ping HTTP/1.1\r\n"), "{request}");
        }
    }

    #[tokio::test]
    async fn a_silent_engine_is_asked_once() {
        let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let authority = silent.local_addr().expect("an address").to_string();
        let address = Address::Tcp { authority, tls: None };
        let patience = Duration::from_millis(10);
        let error = Engine::connect_within(patience, endpoint(address)).await.expect_err("it says nothing");
        assert!(error.to_string().contains("it does not answer within 60 s"), "{error}");
        silent.set_nonblocking(true).expect("no waiting");
        assert!(std::iter::repeat_with(|| silent.accept()).take_while(Result::is_ok).count() < 2);
    }

    #[tokio::test]
    async fn one_question_is_enough_to_agree() {
        let (recent, served) = engine_of_version("1.44").await;
        let (engine, said) = Engine::connect_to(recent).await.expect("a connection");
        assert_eq!(engine.docker.client_version().to_string(), "1.44");
        assert_eq!(said.api, "1.44");
        assert_eq!(served.await.expect("one request"), "GET /version HTTP/1.1");
    }
}
