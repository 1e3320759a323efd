//! What a stack is, in the Compose Specification's own words.
//!
//! Every type is plain data: already interpolated, defaults filled in, paths absolute. Two files that mean the same
//! give equal values, so equality is the test of the parser and [`Service::config_hash`] the test of a container.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use sha2::{Digest, Sha256};

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Takes the text as it is; the parser has checked it.
            pub fn new(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

name! {
    /// A project: the prefix of every object's name and the value of the label that marks it as ours.
    /// Lower-case letters, digits, `-` and `_` (Compose Specification, "name top-level element").
    ProjectName
}
name! {
    /// A key under `services`.
    ServiceName
}
name! {
    /// A key under `networks`.
    NetworkName
}
name! {
    /// A key under `volumes`.
    VolumeName
}
name! {
    /// An image as a Compose file writes it: `postgres:17`, `registry.example/team/app@sha256:…`.
    ImageReference
}

impl ImageReference {
    /// The reference with `:latest` added when it has neither tag nor digest, as Docker reads it.
    #[must_use]
    pub fn with_tag(&self) -> Self {
        let last = self.0.rsplit('/').next().unwrap_or(&self.0);
        // A digest has a colon too.
        if last.contains(':') { self.clone() } else { Self(format!("{}:latest", self.0)) }
    }
}

/// A parsed Compose file.
#[derive(Debug, Clone, PartialEq)]
pub struct Stack {
    /// The project's name: the file's `name`, unless the caller chose another.
    pub project: ProjectName,
    /// The services, by name.
    pub services: BTreeMap<ServiceName, Service>,
    /// The networks that services use; `default` is among them when a service names none.
    pub networks: BTreeMap<NetworkName, Network>,
    /// The named volumes.
    pub volumes: BTreeMap<VolumeName, Volume>,
}

impl Stack {
    /// A stack of which only the project's name is known: its file cannot be read.
    pub fn unread(project: ProjectName) -> Self {
        let (services, networks, volumes) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { project, services, networks, volumes }
    }
}

/// One service. What decides whether a container still fits is serialized; what does not (order, build, presentation) is
/// skipped, as Compose leaves `build` and `depends_on` out of its own hash.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Service {
    /// The image to run.
    pub image: ImageReference,
    /// How `docker compose build` makes the image; `None` when it only comes from elsewhere.
    #[serde(skip)]
    pub build: Option<Build>,
    /// Overrides the image's command, already split into words.
    pub command: Option<Vec<String>>,
    /// Overrides the image's entry point, already split into words.
    pub entrypoint: Option<Vec<String>>,
    /// The environment, `env_file` merged in beneath `environment`.
    pub environment: BTreeMap<String, String>,
    /// Ports published on the host.
    pub ports: Vec<Port>,
    /// The ports that a front holds in its place; none unless the stack is fronted.
    #[serde(skip)]
    pub fronts: Vec<Port>,
    /// Bind mounts, named volumes and tmpfs.
    pub mounts: Vec<Mount>,
    /// The networks it joins, each with further names it answers to there.
    pub networks: BTreeMap<NetworkName, BTreeSet<String>>,
    /// What must hold before it starts.
    #[serde(skip)]
    pub depends_on: BTreeMap<ServiceName, Condition>,
    /// The file's health check; `None` leaves the image's own in force.
    pub healthcheck: Option<HealthCheck>,
    /// The restart policy.
    pub restart: Restart,
    /// `user[:group]`.
    pub user: Option<String>,
    /// The working directory in the container.
    pub working_dir: Option<String>,
    /// The host name in the container.
    pub hostname: Option<String>,
    /// Whether the root file system is read-only.
    pub read_only: bool,
    /// Whether an init process reaps children.
    pub init: bool,
    /// Capabilities added.
    pub cap_add: BTreeSet<String>,
    /// Capabilities dropped.
    pub cap_drop: BTreeSet<String>,
    /// Security options, for example `no-new-privileges:true`.
    pub security_opt: Vec<String>,
    /// The limits under `deploy.resources`.
    pub limits: Limits,
    /// Size of `/dev/shm` in bytes.
    pub shm_size: Option<u64>,
    /// Kernel parameters.
    pub sysctls: BTreeMap<String, String>,
    /// Resource limits of the processes, by name (`nofile`).
    pub ulimits: BTreeMap<String, Ulimit>,
    /// The signal that asks it to stop; `None` leaves the image's own in force.
    pub stop_signal: Option<String>,
    /// How long a stop may take before it is killed (10 s by default, as the specification says).
    #[serde(skip)]
    pub stop_grace_period: Duration,
    /// Labels of the user's own.
    pub labels: BTreeMap<String, String>,
    /// What stands under `x-homeport`.
    #[serde(skip)]
    pub homeport: Homeport,
}

impl Service {
    /// The identity of the configuration: SHA-256 over its canonical JSON, as 64 hexadecimal digits. Equal
    /// configurations give equal hashes; `depends_on`, `build`, the grace period and `x-homeport` do not count.
    pub fn config_hash(&self) -> String {
        let canonical = serde_json::to_vec(self).expect("plain data serializes");
        hex(&Sha256::digest(canonical))
    }

    /// The files and directories that it mounts only to read them: its configuration. What it may write to holds what
    /// it has made of them itself; and what is read at the first start only is none of what it runs with.
    pub fn files_read(&self) -> impl Iterator<Item = &PathBuf> {
        self.binds(true).filter(|path| !self.homeport.first_start.contains(path))
    }

    /// The files and directories that it mounts and may write to.
    pub fn files_written(&self) -> impl Iterator<Item = &PathBuf> {
        self.binds(false)
    }

    fn binds(&self, read_only: bool) -> impl Iterator<Item = &PathBuf> {
        let mounts = self.mounts.iter().filter(move |mount| mount.read_only == read_only);
        mounts.filter_map(|mount| match &mount.source {
            MountSource::Bind(path) => Some(path),
            _ => None,
        })
    }
}

/// Bytes as lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The `build` section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Build {
    /// The directory sent to the builder.
    pub context: PathBuf,
    /// The Dockerfile, absolute.
    pub dockerfile: PathBuf,
    /// Build arguments.
    pub args: BTreeMap<String, String>,
    /// The stage to stop at.
    pub target: Option<String>,
}

/// A published port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Port {
    /// The port in the container.
    pub target: u16,
    /// The port on the host; `None` lets the engine choose.
    pub published: Option<u16>,
    /// The address on the host; `None` is every address.
    pub host_ip: Option<IpAddr>,
    /// TCP or UDP.
    pub protocol: Protocol,
}

impl Port {
    /// Where this machine reaches it: `127.0.0.1:8000`. `None` when the engine chooses the port.
    pub fn address(&self) -> Option<String> {
        let host = self.host_ip.map_or_else(|| "127.0.0.1".to_owned(), |ip| ip.to_string());
        let host = if host.contains(':') { format!("[{host}]") } else { host };
        Some(format!("{host}:{}", self.published?))
    }
}

/// A transport protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// A mount.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Mount {
    /// Where it is seen in the container.
    pub target: String,
    /// Whether the container may not write to it.
    pub read_only: bool,
    /// What is mounted.
    pub source: MountSource,
}

/// What a mount shows.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MountSource {
    /// A file or directory of the host, absolute.
    Bind(PathBuf),
    /// A named volume.
    Volume(VolumeName),
    /// Memory.
    Tmpfs {
        /// Upper bound in bytes; `None` leaves the kernel's default (half of the memory).
        size: Option<u64>,
        /// Permission bits, octal as written (0o1777 by default).
        mode: Option<u32>,
    },
}

/// When a dependency is met (`depends_on.*.condition`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Condition {
    /// `service_started`
    Started,
    /// `service_healthy`
    Healthy,
    /// `service_completed_successfully`
    Completed,
}

/// A health check (`healthcheck`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HealthCheck {
    /// What is run; `Disabled` switches the image's own off.
    pub test: Probe,
    /// Time between two checks.
    pub interval: Duration,
    /// How long one check may take.
    pub timeout: Duration,
    /// How many failures in a row make it unhealthy.
    pub retries: u32,
    /// How long failures do not count after the start.
    pub start_period: Duration,
}

/// The test of a health check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Probe {
    /// `["NONE"]` or `disable: true`
    Disabled,
    /// `["CMD", …]`
    Command(Vec<String>),
    /// `["CMD-SHELL", …]` or a plain string
    Shell(String),
}

/// The restart policy (`restart`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Restart {
    /// `no`
    No,
    /// `always`
    Always,
    /// `on-failure[:N]`
    OnFailure(Option<u32>),
    /// `unless-stopped`
    UnlessStopped,
}

/// `deploy.resources`: limits and reservations.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Limits {
    /// CPUs, in billionths (`0.5` is 500 000 000), the engine's own unit.
    pub nano_cpus: Option<u64>,
    /// Memory in bytes.
    pub memory: Option<u64>,
    /// Number of processes.
    pub pids: Option<u64>,
    /// Memory in bytes that is reserved.
    pub memory_reservation: Option<u64>,
}

/// A limit of processes' resources.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Ulimit {
    /// The soft limit.
    pub soft: i64,
    /// The hard limit.
    pub hard: i64,
}

/// What only Homeport needs (`x-homeport` of a service).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Homeport {
    /// The stack starts without it when no source has its image.
    pub optional: bool,
    /// The workspace package whose host-built binary makes the image in development.
    pub package: Option<String>,
    /// How large the image of a release may be, in bytes unpacked; `None` where the file sets no bound.
    pub max_size: Option<u64>,
    /// The directory under `compose/images/` with the image's recipe; the service's own name when not given.
    pub recipe: Option<String>,
    /// What the published port is for a person: a path added to the URL that is shown (`/`, `/dashboards`). `None`
    /// shows the bare address, without a scheme.
    pub url_path: Option<String>,
    /// A path at its HTTP port that answers with success once the service can do its work; while `dev` holds its ports,
    /// a new version gets requests only after that.
    pub ready_path: Option<String>,
    /// A signal that makes the process read its mounted files again (`SIGHUP`); without it a changed file replaces
    /// the container.
    pub reload: Option<String>,
    /// A program in its container, with arguments, that has to end well before it is sent that signal. Empty: nothing has.
    pub reload_check: Vec<String>,
    /// What decides over the work of a one-shot, absolute: one that has ended well is not run again for a new image alone,
    /// only when the content of these files and directories is another. Empty: it is.
    pub repeat_for: Vec<PathBuf>,
    /// Of what it mounts read-only, absolute: what its process reads at the first start only, to fill an empty volume. Its
    /// change replaces no container.
    pub first_start: Vec<PathBuf>,
}

/// A network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Network {
    /// The engine's driver; `None` is its default (bridge).
    pub driver: Option<String>,
    /// Options of the driver.
    pub driver_opts: BTreeMap<String, String>,
    /// Whether it has no way out.
    pub internal: bool,
}

/// A named volume.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Volume {
    /// The engine's driver; `None` is its default (local).
    pub driver: Option<String>,
    /// Options of the driver.
    pub driver_opts: BTreeMap<String, String>,
}
