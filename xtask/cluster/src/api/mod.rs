//! A cluster's API server: reached, asked, changed. The only room that names `kube`; what leaves it are objects, states and
//! failures.
//!
//! Must not: decide what is to be deployed, or what a state means.

mod apply;
mod changes;
mod evidence;
mod revisions;
mod scaler;
mod secrets;
mod service;
mod watch;

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, ListParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config, Error};
use xtask::failure::{Code, Failure};

pub use apply::Scope;
pub use changes::{Change, Changes};
pub use evidence::evidence;
pub use revisions::Revisions;
pub use scaler::{Scaling, scaling};
pub use secrets::ensure_secrets;
pub use service::through_pod;
pub use watch::{Aim, Watched, await_rollout, workloads};

use crate::limits;
use crate::object::Key;

/// The name under which our fields are known to the API server.
pub const FIELD_MANAGER: &str = "homeport";

/// The variable that holds a kubeconfig, its text and not its path: what a job of a pipeline has as a secret.
const KUBECONFIG_TEXT: &str = "HOMEPORT_KUBECONFIG";

/// A connection to a cluster.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    name: String,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "cluster {}", self.name)
    }
}

impl Cluster {
    /// Connects by a kubeconfig's text, by its only context.
    ///
    /// # Errors
    /// When the text is no kubeconfig. Whether the cluster answers is not asked.
    pub async fn by_kubeconfig(name: &str, text: &str) -> Result<Self, Failure> {
        let wrong = |error: &dyn std::fmt::Display| {
            Failure::new(
                Code::ClusterUnusable,
                format!("cannot use the kubeconfig of cluster {name}: {error}"),
            )
        };
        let kubeconfig = Kubeconfig::from_yaml(text).map_err(|error| wrong(&error))?;
        Self::connect(name, kubeconfig, &KubeConfigOptions::default()).await
    }

    /// Connects by a context of the user's kubeconfig, or of the one that the environment holds.
    ///
    /// # Errors
    /// When there is no such context.
    pub async fn by_context(context: &str) -> Result<Self, Failure> {
        let given = std::env::var(KUBECONFIG_TEXT).ok().filter(|text| !text.is_empty());
        let kubeconfig = given.map_or_else(Kubeconfig::read, |text| Kubeconfig::from_yaml(&text));
        let kubeconfig = kubeconfig.map_err(|error| {
            Failure::new(Code::ClusterUnusable, format!("cannot read the kubeconfig: {error}"))
                .hint(format!("{KUBECONFIG_TEXT} holds it, KUBECONFIG names it; ~/.kube/config otherwise"))
        })?;
        let known: Vec<String> = kubeconfig.contexts.iter().map(|context| context.name.clone()).collect();
        if !known.iter().any(|name| name == context) {
            let failure = Failure::new(Code::Usage, format!("the kubeconfig has no context {context}"));
            return Err(failure.hint(format!("it has {}", known.join(", "))));
        }
        let options = KubeConfigOptions { context: Some(context.to_owned()), ..KubeConfigOptions::default() };
        Self::connect(context, kubeconfig, &options).await
    }

    async fn connect(
        name: &str,
        kubeconfig: Kubeconfig,
        options: &KubeConfigOptions,
    ) -> Result<Self, Failure> {
        let unusable = |error: &dyn std::fmt::Display| {
            Failure::new(Code::ClusterUnusable, format!("cannot connect to cluster {name}: {error}"))
        };
        let mut config =
            Config::from_custom_kubeconfig(kubeconfig, options).await.map_err(|error| unusable(&error))?;
        config.connect_timeout = Some(limits::API_CONNECT);
        config.read_timeout = Some(limits::API_REQUEST);
        let client = Client::try_from(config).map_err(|error| unusable(&error))?;
        Ok(Self { client, name: name.to_owned() })
    }

    /// Its name, for messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The labels of its nodes, asked until there is an answer.
    ///
    /// # Errors
    /// When it does not answer within `limit`: what was seen.
    pub async fn node_labels(&self, limit: Duration) -> Result<BTreeMap<String, String>, String> {
        let nodes: Api<Node> = Api::all(self.client.clone());
        let ask = async || {
            let list = nodes.list(&ListParams::default()).await?;
            Ok::<_, Error>(list.items.into_iter().filter_map(|node| node.metadata.labels).flatten().collect())
        };
        crate::steps::until(limit, limits::LOOK_PAUSE, ask).await.map_err(|error| told(&error))
    }

    /// The API of an object's kind.
    fn api(&self, key: &Key) -> Api<DynamicObject> {
        let (group, version) = key.api_version.split_once('/').unwrap_or(("", &key.api_version));
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, &key.kind));
        match &key.namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &resource),
            None => Api::all_with(self.client.clone(), &resource),
        }
    }
}

/// What an error says, without the client's own decoration.
fn told(error: &Error) -> String {
    match error {
        Error::Api(status) if status.message.is_empty() => format!("{} ({})", status.reason, status.code),
        Error::Api(status) => status.message.clone(),
        Error::Service(source) => innermost(&**source),
        Error::HyperError(source) => innermost(source),
        error => error.to_string(),
    }
}

/// The cause at the bottom: `connection refused` says more than `client error (Connect)`.
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// A refusal of the API server.
fn refused(verb: &str, object: impl std::fmt::Display, error: &Error) -> Failure {
    let code = match error {
        Error::Api(_) => Code::ClusterRefused,
        _ => Code::ClusterUnusable,
    };
    let failure = Failure::new(code, format!("cannot {verb} {object}: {}", told(error)));
    match error {
        // What the API server says of a path that it does not serve.
        Error::Api(status) if status.code == 404 && status.message.contains("page not found") => failure
            .hint(
                "the cluster does not know this kind of object, because its operator is not installed; the \
                          overlay's README says what a cluster must have",
            ),
        _ => failure,
    }
}
