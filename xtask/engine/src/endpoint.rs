//! Where the engine is: found as Docker's own command line finds it (`DOCKER_HOST`, else `DOCKER_CONTEXT`, else the
//! current context of `config.json`, else the default socket).
//!
//! Reads Docker's configuration and nothing else. Must not: open a connection.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::named_by::NamedBy;
use crate::stack::hex;

/// Docker's own default socket.
const DEFAULT_SOCKET: &str = "/var/run/docker.sock";

/// Docker's own default named pipe on Windows.
const DEFAULT_PIPE: &str = "//./pipe/docker_engine";

/// Docker's registered port without and with TLS (IANA service names `docker` and `docker-s`).
const PORT: u16 = 2375;
const PORT_TLS: u16 = 2376;

/// Why an engine of another machine cannot be used.
pub(super) const NEEDS_THIS_MACHINE: &str =
    "a stack needs one that has this checkout's files and this machine's 127.0.0.1";

/// An engine's address, and what named it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// How to reach it.
    pub address: Address,
    /// What named it.
    pub configured: NamedBy,
    /// Addresses that were looked at before this one and are not there.
    pub absent: Vec<PathBuf>,
}

/// How an engine is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A Unix socket.
    Unix(PathBuf),
    /// A named pipe of Windows, written with slashes (`//./pipe/docker_engine`).
    Pipe(String),
    /// TCP: `host:port`, and the certificates when it speaks TLS.
    Tcp {
        /// `host:port`
        authority: String,
        /// The certificates for TLS; `None` is plain HTTP.
        tls: Option<Certificates>,
    },
}

/// The files of a TLS connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificates {
    /// The authority that signed the engine's certificate.
    pub ca: PathBuf,
    /// The client's certificate.
    pub cert: PathBuf,
    /// The client's key.
    pub key: PathBuf,
}

impl Certificates {
    pub(super) fn within(directory: &Path) -> Self {
        Self {
            ca: directory.join("ca.pem"),
            cert: directory.join("cert.pem"),
            key: directory.join("key.pem"),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Pipe(path) => write!(f, "npipe://{path}"),
            Self::Tcp { authority, tls: None } => write!(f, "tcp://{authority}"),
            Self::Tcp { authority, tls: Some(_) } => write!(f, "tcp://{authority} with TLS"),
        }
    }
}

/// Why no address can be told.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// A context is named that does not exist.
    #[error("cannot use {configured}: {} does not exist", .path.display())]
    UnknownContext {
        /// What named it.
        configured: NamedBy,
        /// Where its description would be.
        path: PathBuf,
    },
    /// A file of Docker's configuration cannot be read.
    #[error("cannot read {}: {reason}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What was seen.
        reason: String,
    },
    /// An address of a kind that Homeport does not speak.
    #[error("cannot use engine {address} named by {configured}: {reason}")]
    Unsupported {
        /// The address as written.
        address: String,
        /// What named it.
        configured: NamedBy,
        /// Why not.
        reason: &'static str,
    },
}

/// What the search looks at: the environment and the home directory. A value of its own, so that tests bring theirs.
pub(super) struct Surroundings<'a> {
    /// Reads a variable of the environment.
    pub(super) variable: &'a dyn Fn(&str) -> Option<String>,
    /// The home directory.
    pub(super) home: Option<&'a Path>,
    /// Whether a socket's file exists.
    pub(super) exists: &'a dyn Fn(&Path) -> bool,
}

/// The part of `config.json` that is needed here.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Configuration {
    current_context: String,
}

/// The part of a context's `meta.json` that is needed here.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Context {
    #[serde(default)]
    endpoints: std::collections::BTreeMap<String, ContextEndpoint>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ContextEndpoint {
    #[serde(default)]
    host: String,
    #[serde(default, rename = "SkipTLSVerify")]
    skip_tls_verify: bool,
}

impl Surroundings<'_> {
    fn variable(&self, name: &str) -> Option<String> {
        (self.variable)(name).filter(|value| !value.is_empty())
    }

    /// Docker's configuration directory: `$DOCKER_CONFIG`, else `~/.docker`.
    fn configuration_directory(&self) -> Option<PathBuf> {
        self.variable("DOCKER_CONFIG").map(PathBuf::from).or_else(|| Some(self.home?.join(".docker")))
    }

    /// Finds the engine.
    pub(super) fn endpoint(&self) -> Result<Endpoint, EndpointError> {
        if let Some(host) = self.variable("DOCKER_HOST") {
            let tls = self.environment_certificates();
            return Ok(at(parse(&host, tls, &NamedBy::Host)?, NamedBy::Host));
        }
        match self.context_name()? {
            Some((name, configured)) if name != "default" => self.context(&name, configured),
            _ => Ok(self.default_endpoint()),
        }
    }

    /// The certificates of `DOCKER_CERT_PATH` when `DOCKER_TLS_VERIFY` asks for TLS.
    fn environment_certificates(&self) -> Option<Certificates> {
        self.variable("DOCKER_TLS_VERIFY")?;
        let directory = self
            .variable("DOCKER_CERT_PATH")
            .map(PathBuf::from)
            .or_else(|| self.configuration_directory())?;
        Some(Certificates::within(&directory))
    }

    /// The context in use and what named it.
    fn context_name(&self) -> Result<Option<(String, NamedBy)>, EndpointError> {
        if let Some(name) = self.variable("DOCKER_CONTEXT") {
            return Ok(Some((name.clone(), NamedBy::ChosenContext(name))));
        }
        let Some(path) = self.configuration_directory().map(|directory| directory.join("config.json")) else {
            return Ok(None);
        };
        let Some(text) = read_if_there(&path)? else { return Ok(None) };
        let configuration: Configuration = read_json(&path, &text)?;
        Ok(Some(configuration.current_context)
            .filter(|name| !name.is_empty())
            .map(|name| (name.clone(), NamedBy::CurrentContext { name, file: path })))
    }

    /// Docker keeps a context under the digest of its name (docker/cli, `cli/context/store`).
    fn context(&self, name: &str, configured: NamedBy) -> Result<Endpoint, EndpointError> {
        let contexts = self.configuration_directory().unwrap_or_default().join("contexts");
        let digest = hex(&Sha256::digest(name));
        let path = contexts.join("meta").join(&digest).join("meta.json");
        let text = read_if_there(&path)?.ok_or_else(|| EndpointError::UnknownContext {
            configured: configured.clone(),
            path: path.clone(),
        })?;
        let mut context: Context = read_json(&path, &text)?;
        let endpoint = context.endpoints.remove("docker").filter(|endpoint| !endpoint.host.is_empty());
        let endpoint = endpoint.ok_or_else(|| EndpointError::Unreadable {
            path: path.clone(),
            reason: "it names no docker endpoint".to_owned(),
        })?;
        let directory = contexts.join("tls").join(&digest).join("docker");
        let tls = (self.exists)(&directory.join("ca.pem")).then(|| Certificates::within(&directory));
        if endpoint.skip_tls_verify {
            return Err(EndpointError::Unsupported {
                address: endpoint.host,
                configured,
                reason: "it skips the verification of certificates",
            });
        }
        Ok(at(parse(&endpoint.host, tls, &configured)?, configured))
    }

    /// The default socket, else the places where rootless Docker, Docker Desktop and Podman put theirs. When none is
    /// there, the default one, so that the message names it.
    fn default_endpoint(&self) -> Endpoint {
        if cfg!(windows) {
            return at(Address::Pipe(DEFAULT_PIPE.to_owned()), NamedBy::Default);
        }
        let runtime = self.variable("XDG_RUNTIME_DIR").map(PathBuf::from);
        let candidates = [
            Some(PathBuf::from(DEFAULT_SOCKET)),
            runtime.as_ref().map(|runtime| runtime.join("docker.sock")),
            self.home.map(|home| home.join(".docker/run/docker.sock")),
            self.home.map(|home| home.join(".docker/desktop/docker.sock")),
            runtime.as_ref().map(|runtime| runtime.join("podman/podman.sock")),
        ];
        let mut absent = Vec::new();
        for path in candidates.into_iter().flatten() {
            if (self.exists)(&path) {
                return Endpoint { address: Address::Unix(path), configured: NamedBy::Default, absent };
            }
            absent.push(path);
        }
        Endpoint { absent: absent.split_off(1), ..at(Address::Unix(DEFAULT_SOCKET.into()), NamedBy::Default) }
    }
}

fn at(address: Address, configured: NamedBy) -> Endpoint {
    Endpoint { address, configured, absent: Vec::new() }
}

/// Reads an address as Docker writes it.
fn parse(host: &str, tls: Option<Certificates>, configured: &NamedBy) -> Result<Address, EndpointError> {
    let unsupported = |reason| {
        Err(EndpointError::Unsupported { address: host.to_owned(), configured: configured.clone(), reason })
    };
    let (scheme, rest) = host.split_once("://").unwrap_or(("tcp", host));
    let rest = rest.trim_end_matches('/');
    if rest.is_empty() {
        return unsupported("it names no address");
    }
    match scheme {
        "unix" => Ok(Address::Unix(rest.into())),
        "npipe" => Ok(Address::Pipe(rest.to_owned())),
        "tcp" | "http" | "https" => {
            if scheme == "https" && tls.is_none() {
                return unsupported("https needs certificates: set DOCKER_TLS_VERIFY=1 and DOCKER_CERT_PATH");
            }
            let bracket = rest.rfind(']').map_or(0, |end| end + 1);
            let authority = if rest[bracket..].contains(':') {
                rest.to_owned()
            } else {
                format!("{rest}:{}", if tls.is_some() { PORT_TLS } else { PORT })
            };
            Ok(Address::Tcp { authority, tls })
        }
        "ssh" => unsupported(NEEDS_THIS_MACHINE),
        _ => unsupported("its scheme is not unix, tcp, http, https or npipe"),
    }
}

fn read_if_there(path: &Path) -> Result<Option<String>, EndpointError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(EndpointError::Unreadable { path: path.to_owned(), reason: error.to_string() }),
    }
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Path, text: &str) -> Result<T, EndpointError> {
    serde_json::from_str(text)
        .map_err(|error| EndpointError::Unreadable { path: path.to_owned(), reason: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A home directory with Docker's configuration as Docker itself lays it out.
    struct Home(tempfile::TempDir);

    impl Home {
        fn new() -> Self {
            Self(tempfile::tempdir().expect("a temporary directory"))
        }

        fn file(self, path: &str, text: &str) -> Self {
            let path = self.0.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
            std::fs::write(path, text).expect("a file");
            self
        }

        fn context(self, name: &str, host: &str) -> Self {
            let digest = hex(&Sha256::digest(name));
            let meta = format!(
                r#"{{"Name":"{name}","Metadata":{{}},"Endpoints":{{"docker":{{"Host":"{host}","SkipTLSVerify":false}}}}}}"#
            );
            self.file(&format!(".docker/contexts/meta/{digest}/meta.json"), &meta)
        }

        fn with_certificates(self, name: &str) -> Self {
            let digest = hex(&Sha256::digest(name));
            self.file(&format!(".docker/contexts/tls/{digest}/docker/ca.pem"), "")
        }

        fn find(&self, environment: &[(&str, &str)], sockets: &[&str]) -> Result<Endpoint, EndpointError> {
            let variable = |name: &str| {
                environment.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
            };
            let home = self.0.path();
            let exists = |path: &Path| {
                if path.extension().is_some_and(|kind| kind == "pem") {
                    return path.exists();
                }
                sockets.iter().any(|socket| path.strip_prefix(home).unwrap_or(path) == Path::new(socket))
            };
            Surroundings { variable: &variable, home: Some(home), exists: &exists }.endpoint()
        }

        fn shown(&self, environment: &[(&str, &str)], sockets: &[&str]) -> String {
            let home = self.0.path().display().to_string();
            let text = match self.find(environment, sockets) {
                Ok(found) => format!("{} by {}", found.address, found.configured),
                Err(error) => format!("error: {error}"),
            };
            text.replace(&home, "~")
        }
    }

    /// A home, the environment, the sockets that exist, and what is found.
    type Case<'a> = (&'a Home, &'a [(&'a str, &'a str)], &'a [&'a str], &'a str);

    #[test]
    fn the_engine_is_found_in_dockers_own_order() {
        let plain = Home::new();
        let chosen = Home::new()
            .file(".docker/config.json", r#"{"auths":{},"currentContext":"colima"}"#)
            .context("colima", "unix:///home/me/.colima/default/docker.sock")
            .context("far", "tcp://build.example")
            .with_certificates("far")
            .context("shell", "ssh://me@build.example");
        let colima = "unix:///home/me/.colima/default/docker.sock by context colima (~/.docker/config.json)";
        let table: [Case; 13] = [
            (&plain, &[], &["/var/run/docker.sock"], "unix:///var/run/docker.sock by the default"),
            (&plain, &[], &[], "unix:///var/run/docker.sock by the default"),
            (
                &plain,
                &[("XDG_RUNTIME_DIR", "/run/user/7")],
                &["/run/user/7/docker.sock"],
                "unix:///run/user/7/docker.sock by the default",
            ),
            (&plain, &[], &[".docker/run/docker.sock"], "unix://~/.docker/run/docker.sock by the default"),
            (&chosen, &[], &["/var/run/docker.sock"], colima),
            (
                &chosen,
                &[("DOCKER_HOST", "unix:///tmp/x.sock"), ("DOCKER_CONTEXT", "far")],
                &[],
                "unix:///tmp/x.sock by DOCKER_HOST",
            ),
            (&chosen, &[("DOCKER_HOST", "")], &[], colima),
            (
                &chosen,
                &[("DOCKER_CONTEXT", "far")],
                &[],
                "tcp://build.example:2376 with TLS by context far (DOCKER_CONTEXT)",
            ),
            (
                &chosen,
                &[("DOCKER_CONTEXT", "default")],
                &["/var/run/docker.sock"],
                "unix:///var/run/docker.sock by the default",
            ),
            (
                &plain,
                &[("DOCKER_HOST", "tcp://10.0.0.7"), ("DOCKER_TLS_VERIFY", "1"), ("DOCKER_CERT_PATH", "/c")],
                &[],
                "tcp://10.0.0.7:2376 with TLS by DOCKER_HOST",
            ),
            (&plain, &[("DOCKER_HOST", "10.0.0.7:99")], &[], "tcp://10.0.0.7:99 by DOCKER_HOST"),
            (&plain, &[("DOCKER_HOST", "tcp://[::1]")], &[], "tcp://[::1]:2375 by DOCKER_HOST"),
            (
                &chosen,
                &[("DOCKER_CONTEXT", "shell")],
                &[],
                "error: cannot use engine ssh://me@build.example named by context shell (DOCKER_CONTEXT): a stack needs one that has this checkout's files and this machine's 127.0.0.1",
            ),
        ];
        for (home, environment, sockets, expected) in table {
            assert_eq!(home.shown(environment, sockets), expected, "{environment:?} {sockets:?}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_the_file() {
        let broken = Home::new().file(".docker/config.json", "{");
        assert_eq!(
            broken.shown(&[], &[]),
            "error: cannot read ~/.docker/config.json: EOF while parsing an object at line 1 column 1"
        );
        let digest = hex(&Sha256::digest("gone"));
        assert_eq!(
            Home::new().shown(&[("DOCKER_CONTEXT", "gone")], &[]),
            format!(
                "error: cannot use context gone (DOCKER_CONTEXT): ~/.docker/contexts/meta/{digest}/meta.json does not exist"
            )
        );
    }

    #[test]
    fn the_sockets_that_were_looked_for_are_kept_for_the_message() {
        let home = Home::new();
        let found = home.find(&[("XDG_RUNTIME_DIR", "/run/user/7")], &[]).expect("an address");
        assert_eq!(found.absent.len(), 4);
        assert_eq!(found.absent[0], Path::new("/run/user/7/docker.sock"));
    }
}
