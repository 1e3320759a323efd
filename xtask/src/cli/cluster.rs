//! The arguments of the commands on Kubernetes.

use clap::{Args, Subcommand};

/// A command of the cluster. `xtask` reads it for its help and its errors only and hands it over as it was typed; so that
/// everyday commands need not compile a Kubernetes client, `xtask-cluster` carries it out.
#[derive(Debug, Subcommand)]
pub enum ClusterCommand {
    /// The architecture on a kind cluster: made if there is none, images loaded, rolled out, tried, rolled back if it fails.
    DeployKind(DeployKind),
    /// Delete the kind cluster, and so its data.
    DestroyKind,
    /// The same rollout on a cluster that you name.
    Deploy(Deploy),
    /// Put the previous revision back.
    Rollback(Rollback),
    /// Try what is deployed, and on the kind cluster prove that a bad revision is rolled back.
    Verify(Verify),
    /// Bounded traffic at the service in the cluster, with rate, latency, errors and replicas.
    Load(Load),
}

/// `deploy-kind`
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub struct DeployKind {
    /// Delete the cluster first, and so its data.
    #[arg(long)]
    pub recreate: bool,
    /// Show the difference to the cluster and change nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Mend the machine first (see `doctor`).
    #[arg(long)]
    pub fix: bool,
    /// Fetch nothing: only images of the engine's store and of bundles.
    #[arg(long)]
    pub offline: bool,
    /// Overwrite what somebody else has set in the cluster.
    #[arg(long)]
    pub force: bool,
    /// This image for the service, in place of one built here.
    #[arg(long, value_name = "REFERENCE")]
    pub image: Option<String>,
}

/// `deploy`
#[derive(Debug, Args)]
pub struct Deploy {
    /// The context of the kubeconfig; the current one is never taken.
    #[arg(long, value_name = "NAME")]
    pub context: String,
    /// The kustomization to apply.
    #[arg(long, value_name = "DIRECTORY", default_value = "k8s/overlays/production")]
    pub overlay: std::path::PathBuf,
    /// The service's image, in a registry that the cluster can pull from; as the kustomization says when not given.
    #[arg(long, value_name = "REFERENCE")]
    pub image: Option<String>,
    /// Show the difference to the cluster and change nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Overwrite what somebody else has set in the cluster.
    #[arg(long)]
    pub force: bool,
}

/// `rollback`
#[derive(Debug, Args)]
pub struct Rollback {
    /// The context of the kubeconfig; the kind cluster when not given.
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
    /// Overwrite what somebody else has set in the cluster.
    #[arg(long)]
    pub force: bool,
}

/// `verify`
#[derive(Debug, Args)]
pub struct Verify {
    /// The context of the kubeconfig, where only the smoke tests run; the kind cluster when not given.
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
    /// Overwrite what somebody else has set in the cluster.
    #[arg(long)]
    pub force: bool,
}

/// `load`
#[derive(Debug, Args)]
pub struct Load {
    /// Requests a second.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub rps: u32,
    /// For how long: `30s`, `5m`; an hour at most.
    #[arg(long = "for", value_name = "D", default_value = "30s", value_parser = load_duration)]
    pub duration: std::time::Duration,
    /// The path that is asked for.
    #[arg(long, default_value = "/")]
    pub path: String,
}

/// What is measured for longer than an hour is no load test but a soak, which nobody watches.
fn load_duration(text: &str) -> Result<std::time::Duration, String> {
    let duration = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if duration.is_zero() || duration > std::time::Duration::from_secs(3600) {
        return Err("expected a duration between 1ms and 1h".to_owned());
    }
    Ok(duration)
}
