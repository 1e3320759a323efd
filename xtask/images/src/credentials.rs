//! The credentials for a registry, from Docker's own configuration: `auths`, `credsStore`, `credHelpers`.
//!
//! Must not: write that configuration, or let a secret into a message.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use tokio::io::AsyncWriteExt as _;

use super::ImageError;
use super::reference::{DEFAULT_REGISTRY, Parts};
use crate::engine::Credentials;
use crate::limits;
use crate::process::Program;
use crate::stack::ImageReference;

/// Docker Hub's key in the configuration, for historical reasons a URL.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";

/// What a credential helper says when it has nothing (docker/docker-credential-helpers, `credentials/error.go`).
const NOT_FOUND: &str = "credentials not found in native keychain";

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Configuration {
    auths: BTreeMap<String, Account>,
    creds_store: String,
    cred_helpers: BTreeMap<String, String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Account {
    auth: String,
    username: String,
    password: String,
    identitytoken: String,
}

/// The account that the environment names, for a pipeline without Docker's configuration.
const ENVIRONMENT: [&str; 2] = ["HOMEPORT_REGISTRY_USER", "HOMEPORT_REGISTRY_PASSWORD"];

/// Where an account is to be found.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    /// Nowhere: the registry is asked without an account.
    None,
    /// In the file itself.
    File(Credentials),
    /// The program `docker-credential-NAME` keeps it.
    Helper {
        /// The program's name.
        program: String,
        /// The registry, as it is asked for.
        server: String,
    },
}

/// The credentials to push with: those of the environment, else as [`credentials`] finds them.
///
/// # Errors
/// As for [`credentials`].
pub(super) async fn credentials_to_push(
    reference: &ImageReference,
) -> Result<Option<Credentials>, ImageError> {
    let given = ENVIRONMENT.map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
    if let [Some(username), Some(password)] = given {
        let registry = Parts::of(reference).registry;
        let server = if registry == DEFAULT_REGISTRY { DOCKER_HUB.to_owned() } else { registry };
        return Ok(Some(Credentials { server, username, password, identity_token: None }));
    }
    credentials(reference).await
}

/// The credentials for the registry of a reference; `None` when Docker's configuration has none.
///
/// # Errors
/// When the configuration cannot be read or its credential helper fails.
pub(super) async fn credentials(reference: &ImageReference) -> Result<Option<Credentials>, ImageError> {
    let Some(path) = configuration_file() else { return Ok(None) };
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(ImageError::File { verb: "read", path, source }),
    };
    let place = place(&text, &Parts::of(reference).registry)
        .map_err(|reason| ImageError::Credentials { path: path.clone(), reason })?;
    match place {
        Place::None => Ok(None),
        Place::File(credentials) => Ok(Some(credentials)),
        Place::Helper { program, server } => ask_helper(&path, &program, &server).await,
    }
}

fn configuration_file() -> Option<PathBuf> {
    let directory = std::env::var_os("DOCKER_CONFIG").filter(|value| !value.is_empty()).map(PathBuf::from);
    Some(directory.or_else(|| Some(std::env::home_dir()?.join(".docker")))?.join("config.json"))
}

/// Finds the account of a registry in the text of `config.json`. A helper for the registry goes before the store, and
/// that before what the file itself holds, as in Docker's command line.
fn place(text: &str, registry: &str) -> Result<Place, String> {
    let configuration: Configuration = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let server = if registry == DEFAULT_REGISTRY { DOCKER_HUB } else { registry };
    let helper = [server, registry].iter().find_map(|key| configuration.cred_helpers.get(*key));
    let helper = helper.cloned().or(Some(configuration.creds_store)).filter(|name| !name.is_empty());
    if let Some(name) = helper {
        return Ok(Place::Helper { program: format!("docker-credential-{name}"), server: server.to_owned() });
    }
    let key = |key: &str| key == server || host(key) == registry;
    let Some((_, account)) = configuration.auths.iter().find(|(name, _)| key(name)) else {
        return Ok(Place::None);
    };
    let (username, password) = if account.auth.is_empty() {
        (account.username.clone(), account.password.clone())
    } else {
        decode(&account.auth)
            .ok_or_else(|| format!("the account of {registry} is not base64 of user:password"))?
    };
    let identity_token = Some(account.identitytoken.clone()).filter(|token| !token.is_empty());
    if username.is_empty() && identity_token.is_none() {
        return Ok(Place::None);
    }
    Ok(Place::File(Credentials { server: server.to_owned(), username, password, identity_token }))
}

/// The host of a key that may be written as a URL (`https://registry.example/v2/`).
fn host(key: &str) -> &str {
    let key = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    key.split('/').next().unwrap_or(key)
}

fn decode(auth: &str) -> Option<(String, String)> {
    let text = String::from_utf8(STANDARD.decode(auth.trim()).ok()?).ok()?;
    let (username, password) = text.split_once(':')?;
    // Old versions of Docker padded the password with zero bytes.
    Some((username.to_owned(), password.trim_end_matches('\0').to_owned()))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Helped {
    #[serde(default)]
    username: String,
    #[serde(default)]
    secret: String,
}

/// Asks a credential helper: the registry on its standard input, the account as JSON on its standard output
/// (docker/docker-credential-helpers, "Development").
async fn ask_helper(path: &Path, program: &str, server: &str) -> Result<Option<Credentials>, ImageError> {
    let failed = |reason: String| ImageError::Credentials { path: path.to_owned(), reason };
    let mut child = Program::new(program, limits::ENGINE_ANSWER).at_terminal().arg("get").feed()?;
    let work = async {
        let mut input = child.stdin.take().expect("the stream was asked for as a pipe");
        // A helper that fails at once closes its input: what it says then is worth more than this error.
        let _ = input.write_all(server.as_bytes()).await;
        drop(input);
        child.wait_with_output().await
    };
    let output = tokio::time::timeout(limits::ENGINE_ANSWER, work)
        .await
        .map_err(|_| failed(format!("{program} does not answer")))?
        .map_err(|error| failed(format!("{program}: {error}")))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        if said == NOT_FOUND {
            return Ok(None);
        }
        return Err(failed(format!("{program} ended with {} and said: {said}", output.status)));
    }
    let helped: Helped = serde_json::from_slice(&output.stdout)
        .map_err(|_| failed(format!("{program} did not answer with an account")))?;
    let mut credentials = Credentials {
        server: server.to_owned(),
        username: helped.username,
        password: helped.secret,
        identity_token: None,
    };
    if credentials.username == "<token>" {
        credentials.identity_token = Some(std::mem::take(&mut credentials.password));
        credentials.username.clear();
    }
    Ok(Some(credentials))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, registry: &str) -> String {
        match place(text, registry) {
            Ok(Place::None) => "none".to_owned(),
            Ok(Place::File(found)) => {
                format!("{} {} {:?}", found.username, found.password, found.identity_token)
            }
            Ok(Place::Helper { program, server }) => format!("{program} {server}"),
            Err(reason) => format!("error: {reason}"),
        }
    }

    #[test]
    fn an_account_is_looked_up_as_docker_does() {
        // base64 of "me:pass:word" and of "hub:x".
        let file = r#"{"auths":{
            "registry.example": {"auth":"bWU6cGFzczp3b3Jk"},
            "https://index.docker.io/v1/": {"auth":"aHViOng="},
            "https://old.example/v2/": {"username":"u","password":"p"},
            "token.example": {"identitytoken":"t"},
            "empty.example": {},
            "bad.example": {"auth":"?"}}}"#;
        let helpers = r#"{"auths":{"registry.example":{}},"credsStore":"desktop",
            "credHelpers":{"ecr.example":"ecr-login"}}"#;
        let table = [
            (file, "registry.example", "me pass:word None"),
            (file, "docker.io", "hub x None"),
            (file, "old.example", "u p None"),
            (file, "token.example", "  Some(\"t\")"),
            (file, "empty.example", "none"),
            (file, "other.example", "none"),
            (file, "bad.example", "error: the account of bad.example is not base64 of user:password"),
            (helpers, "registry.example", "docker-credential-desktop registry.example"),
            (helpers, "docker.io", "docker-credential-desktop https://index.docker.io/v1/"),
            (helpers, "ecr.example", "docker-credential-ecr-login ecr.example"),
            ("{}", "docker.io", "none"),
            ("{", "docker.io", "error: EOF while parsing an object at line 1 column 1"),
        ];
        for (text, registry, expected) in table {
            assert_eq!(shown(text, registry), expected, "{registry}");
        }
    }

    #[test]
    fn a_secret_is_never_shown() {
        let credentials = Credentials {
            server: "registry.example".to_owned(),
            username: "me".to_owned(),
            password: "hidden".to_owned(),
            identity_token: Some("hidden".to_owned()),
        };
        assert_eq!(format!("{credentials:?}"), "me at registry.example");
    }
}
