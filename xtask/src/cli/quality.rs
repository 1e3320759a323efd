//! The arguments of `test`, `mutants`, `lint`, `scan` and `bench`.

use clap::Args;
use clap::builder::PossibleValuesParser;

use crate::testing::rooms;

/// `test`
#[derive(Debug, Args)]
pub struct Test {
    /// Which tests; all but `cluster` when not given.
    #[arg(value_enum)]
    pub suite: Option<Suite>,
    /// Only tests whose name contains this.
    pub filter: Option<String>,
    /// Measure which lines the unit and integration tests reach; less than 90 % of a promised room is a failure, when
    /// all of them ran.
    #[arg(long)]
    pub coverage: bool,
    /// Mend the machine first (see `doctor`).
    #[arg(long)]
    pub fix: bool,
    /// Fetch nothing: only images of the engine's store and of bundles.
    #[arg(long)]
    pub offline: bool,
}

/// A kind of tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Suite {
    /// Parsing, planning, routes in process: needs no engine.
    Unit,
    /// The service against real Postgres and Redis.
    Integration,
    /// The task runner as a program, against the real engine.
    E2e,
    /// The commands on Kubernetes, against a kind cluster of their own; only when it is named.
    Cluster,
}

/// `mutants`
#[derive(Debug, Args)]
pub struct Mutants {
    /// Whose code is changed; that of all these rooms when none is named.
    #[arg(value_name = "ROOM", value_parser = PossibleValuesParser::new(rooms::changed().map(|room| room.name)))]
    pub rooms: Vec<String>,
    /// Only a part: the K-th of N, from 0, of each room.
    #[arg(long, value_name = "K/N")]
    pub shard: Option<String>,
    /// Install cargo-mutants first, if it is missing.
    #[arg(long)]
    pub fix: bool,
}

/// `lint`
#[derive(Debug, Args)]
pub struct Lint {
    /// Install first what checks need (see `doctor`).
    #[arg(long)]
    pub fix: bool,
    /// Compile with the oldest Rust that is promised to be enough, too.
    #[arg(long)]
    pub msrv: bool,
}

/// `scan`
#[derive(Debug, Default, Args)]
pub struct Scan {
    /// Which checks; all when none is named.
    #[arg(value_enum)]
    pub checks: Vec<Check>,
    /// RustSec's advisories, a directory or an archive of it, in place of fetching them; `HOMEPORT_ADVISORY_DB` when not
    /// given.
    #[arg(long, value_name = "PATH")]
    pub advisory_db: Option<std::path::PathBuf>,
    /// Fetch nothing.
    #[arg(long)]
    pub offline: bool,
    /// The image to look into; the release image when not given.
    #[arg(long, value_name = "REFERENCE")]
    pub image: Option<String>,
    /// A check that this site cannot make: that it is not run is said, and fails nothing. `HOMEPORT_SCAN_WITHOUT` when
    /// not given, with commas between several.
    #[arg(long, value_enum, value_name = "CHECK", value_delimiter = ',')]
    pub without: Vec<Check>,
}

/// One check of `scan`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Check {
    /// Secrets in the files that git knows.
    Secrets,
    /// Secrets in what git still has of earlier versions, and in the messages of commits.
    History,
    /// Secrets in what runs have left below `target/homeport`.
    Logs,
    /// The rules of Kubernetes manifests, as written and as kustomizations make them: unprivileged, bounded, nothing of
    /// the host, no right over the cluster.
    Manifests,
    /// The rules of Dockerfiles: bases of one version, nothing secret, a released stage on nothing, run by nobody.
    Dockerfiles,
    /// The release image: user, shells, set-user-id, secrets, size, labels.
    Image,
    /// The release image by Trivy, from its own image: known vulnerabilities, secrets.
    Trivy,
    /// The bill of materials of the service's program, as CycloneDX under `target/homeport`.
    Bill,
    /// Advisories, licences, bans and sources, by cargo-deny and deny.toml.
    Dependencies,
}

impl Check {
    /// Those of the sources.
    pub const OF_SOURCES: [Self; 6] =
        [Self::Secrets, Self::History, Self::Logs, Self::Manifests, Self::Dockerfiles, Self::Dependencies];

    /// Those of the release image.
    pub const OF_IMAGE: [Self; 3] = [Self::Image, Self::Trivy, Self::Bill];

    /// All of them, in the order in which they run.
    pub const ALL: [Self; 9] = [
        Self::Secrets,
        Self::History,
        Self::Logs,
        Self::Manifests,
        Self::Dockerfiles,
        Self::Image,
        Self::Trivy,
        Self::Bill,
        Self::Dependencies,
    ];
}

/// `bench`
#[derive(Debug, Args)]
pub struct Bench {
    /// What to measure; all when nothing is named.
    #[arg(value_enum)]
    pub groups: Vec<Group>,
    /// How often each contender has its turn.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub runs: u32,
    /// Write BENCHMARKS.md.
    #[arg(long)]
    pub write: bool,
    /// Fail when a ratio misses its budget, or was not measured. Seconds alone fail nothing.
    #[arg(long)]
    pub gate: bool,
}

/// Budgets that are measured together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Group {
    /// The stack up from nothing, up with nothing to do, and down.
    Stack,
    /// A saved file until the new version is served.
    Save,
    /// The service under load, and its memory.
    Service,
    /// A changed image to a kind cluster.
    Cluster,
    /// The everyday command compiled on a fresh clone, and the release image's size.
    Fresh,
}

impl Group {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Stack, Self::Save, Self::Service, Self::Cluster, Self::Fresh];

    /// What it measures, in words.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Stack => "the stack, up and down",
            Self::Save => "a save until it is served",
            Self::Service => "the service under load",
            Self::Cluster => "a changed image to a kind cluster",
            Self::Fresh => "a fresh clone, and the image's size",
        }
    }
}
