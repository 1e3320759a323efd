//! The command line, as clap reads it. Nothing here does anything.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};

use crate::database::SnapshotName;
use crate::doctor::Need;
use crate::stack::ServiceName;
use crate::ui::Format;

/// The task runner: run the stack, test it, ship it.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version, disable_help_subcommand = true)]
pub struct Cli {
    /// The form of the output: for a person, or JSON lines on standard output.
    #[arg(long, global = true, value_enum, default_value_t)]
    pub format: Format,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// A command.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the stack: from a fresh clone to healthy, then logs and rebuild on save; Ctrl-C stops it.
    Dev(Dev),
    /// Stop the stack and remove its containers and network; data is kept.
    Down(Down),
    /// What runs, and why it is or is not healthy; what was asked of it in the last minute.
    Status(Status),
    /// A page with pictures of what the stack did: traffic, latency, errors, restarts, alerts, start-up times.
    Report(Report),
    /// The services' logs.
    Logs(Logs),
    /// The development database: migrated, emptied, filled, kept and put back.
    #[command(subcommand)]
    Db(Db),
    /// Run the tests: unit, integration and end-to-end.
    Test(Test),
    /// Change the code, one place at a time, and see whether a test notices; takes hours, a part of it minutes.
    Mutants(Mutants),
    /// Check format, clippy, YAML, workflows, Dockerfiles, the Compose file and the Prometheus rules.
    Lint(Lint),
    /// The images of the stack: where they come from, and bundles for machines without a registry.
    #[command(subcommand)]
    Image(Image),
    /// Publish the release image: version and revision as tags, the digest printed.
    Push(Push),
    /// Look for what is vulnerable, unlicensed, secret or too privileged.
    Scan(Scan),
    /// What is missing on this machine, and the command that mends it.
    Doctor {
        /// Mend what can be mended, after saying what will be done.
        #[arg(long)]
        fix: bool,
        /// Only what these commands need.
        #[arg(long = "for", value_parser = need())]
        needs: Vec<Need>,
        /// Ask nothing on the network.
        #[arg(long)]
        offline: bool,
    },
    /// Kubernetes; another program, `xtask-cluster`, does it.
    #[command(flatten)]
    Cluster(ClusterCommand),
    /// The pipeline: all stages, or those named.
    Ci {
        /// The stages; all of them when none is named.
        #[arg(value_enum)]
        stages: Vec<Stage>,
        /// Mend the machine first (see `doctor`), as far as these stages need it.
        #[arg(long)]
        fix: bool,
    },
    /// Measure the budgets side by side with what you would pick instead.
    Bench(Bench),
    /// Print a completion script for a shell.
    Completions {
        /// Which shell.
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
}

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

/// `dev`
#[derive(Debug, Default, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub struct Dev {
    /// Return once all is healthy.
    #[arg(long)]
    pub detach: bool,
    /// Print the plan and do nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Tell where the time of the start went, once it is over.
    #[arg(long)]
    pub profile: bool,
    /// Fetch nothing: only images of the engine's store and of bundles.
    #[arg(long)]
    pub offline: bool,
    /// Mend the machine first (see `doctor`).
    #[arg(long)]
    pub fix: bool,
    /// Only these services and what they depend on.
    #[arg(value_parser = service)]
    pub services: Vec<ServiceName>,
}

/// `status`
#[derive(Debug, Args)]
pub struct Status {
    /// Where the time of the last start went instead: the chain of steps that it was as long as.
    #[arg(long)]
    pub start: bool,
}

/// `down`
#[derive(Debug, Args)]
pub struct Down {
    /// Remove the volumes too, and so the data.
    #[arg(long)]
    pub volumes: bool,
    /// Prove that nothing is left; exit with 5 and name what is.
    #[arg(long)]
    pub verify: bool,
}

/// `logs`
#[derive(Debug, Clone, Args)]
pub struct Logs {
    /// Go on with new lines until Ctrl-C, also of containers that are replaced, started again or made meanwhile.
    #[arg(short, long)]
    pub follow: bool,
    /// Only so many last lines of each service.
    #[arg(long)]
    pub tail: Option<usize>,
    /// Only lines of the last while: `90s`, `10m`, `1h`.
    #[arg(long, value_parser = humantime::parse_duration)]
    pub since: Option<std::time::Duration>,
    /// Only lines in which this regular expression is found.
    #[arg(long, value_name = "PATTERN", value_parser = regex_lite::Regex::new)]
    pub grep: Option<regex_lite::Regex>,
    /// Only JSON lines of this level or above.
    #[arg(long, value_enum)]
    pub level: Option<Level>,
    /// Make the service's JSON lines readable and leave out good answers to probes (the default on a terminal), or not.
    #[arg(long, num_args = 0..=1, default_missing_value = "true")]
    pub pretty: Option<bool>,
    /// Only these services.
    #[arg(value_parser = service)]
    pub services: Vec<ServiceName>,
}

/// `report`
#[derive(Debug, Args)]
pub struct Report {
    /// How far back: `10m`, `1h`, `2d`; a week at most.
    #[arg(long, value_name = "D", default_value = "1h", value_parser = reported)]
    pub since: std::time::Duration,
    /// The file; `target/homeport/report.html` when not given.
    #[arg(long, value_name = "FILE")]
    pub output: Option<std::path::PathBuf>,
}

/// `db …`
#[derive(Debug, Subcommand)]
pub enum Db {
    /// Run the service's migrations that the database lacks.
    Migrate,
    /// Throw away all data of the application's database and migrate an empty one.
    Reset {
        /// Ask nothing.
        #[arg(long)]
        yes: bool,
    },
    /// Put the example data of compose/postgres/seed.sql into the database.
    Seed,
    /// Keep a copy of the database as it is, inside the server.
    Save {
        /// What to call it.
        name: SnapshotName,
        /// Replace one of the same name.
        #[arg(long)]
        yes: bool,
    },
    /// Put a copy back in the place of the database, whose data is thrown away.
    Restore {
        /// Which copy.
        name: SnapshotName,
        /// Ask nothing.
        #[arg(long)]
        yes: bool,
    },
    /// The copies, and which were made under other migrations than this checkout's.
    List,
    /// Remove a copy.
    Remove {
        /// Which one.
        name: SnapshotName,
    },
    /// Talk to the database as the application's role, by psql in the container.
    Psql {
        /// What psql is given besides the role and the database: `-c 'SELECT 1'`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

/// How much a line of a log matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Level {
    /// For whoever looks for a fault.
    Debug,
    /// What happens.
    Info,
    /// Likely to be unwanted.
    Warn,
    /// Something failed.
    Error,
}

/// `test`
#[derive(Debug, Args)]
pub struct Test {
    /// Which tests; all but `cluster` when not given.
    #[arg(value_enum)]
    pub suite: Option<Suite>,
    /// Only tests whose name contains this.
    pub filter: Option<String>,
    /// Measure which lines the unit and integration tests reach; less than 90 % of a promised room is a failure.
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
    #[arg(value_enum, value_name = "ROOM")]
    pub rooms: Vec<Room>,
    /// Only a part: the K-th of N, from 0, of each room.
    #[arg(long, value_name = "K/N")]
    pub shard: Option<String>,
    /// Install cargo-mutants first, if it is missing.
    #[arg(long)]
    pub fix: bool,
}

/// A room whose tests are to notice every change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Room {
    /// The task runner's checks of files.
    Checks,
    /// What is told of each service.
    Health,
    /// The planner.
    Plan,
    /// The parser of Compose files.
    Stack,
    /// What tests said.
    Testing,
    /// The service's Postgres and Redis.
    Store,
    /// The service's endpoints.
    Routes,
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

/// `image …`
#[derive(Debug, Subcommand)]
pub enum Image {
    /// The images of the stack: source, size, identifier.
    List,
    /// Get every image of the stack that is missing.
    Pull,
    /// Write images into bundles: for a machine without network, or a cache.
    Save {
        /// The images; those of the stack that the engine holds when none is named.
        images: Vec<String>,
        /// The directory; `HOMEPORT_IMAGE_DIR` when not given.
        #[arg(long)]
        dir: Option<std::path::PathBuf>,
    },
    /// Read bundles into the engine.
    Load {
        /// The files; all of the directory when none is named.
        files: Vec<std::path::PathBuf>,
        /// The directory; `HOMEPORT_IMAGE_DIR` when not given.
        #[arg(long, conflicts_with = "files")]
        dir: Option<std::path::PathBuf>,
    },
    /// Build the release image of the service.
    Build(ImageBuild),
}

/// `image build`
#[derive(Debug, Default, Args)]
pub struct ImageBuild {
    /// The references it gets, `registry.example/team/app:1.0`; by default the Compose file's repository with the
    /// version and with the revision.
    #[arg(long = "tag")]
    pub tags: Vec<String>,
    /// The platform to build for, `linux/arm64`; the engine's own when not given.
    #[arg(long)]
    pub platform: Option<String>,
    /// Who compiles; by default the container when its base can be had, else this machine.
    #[arg(long, value_enum)]
    pub compiler: Option<Compiler>,
    /// Build the program a second time, from nothing in a clone of the commit, and fail when it is another.
    #[arg(long)]
    pub twice: bool,
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

/// `push`
#[derive(Debug, Args)]
pub struct Push {
    /// The repository: `registry.example/team/app`, or `team/app` at Docker Hub; `HOMEPORT_REPOSITORY` when not given.
    pub repository: Option<String>,
    /// A tag in place of the version and the revision; may be repeated.
    #[arg(long = "tag")]
    pub tags: Vec<String>,
    /// The tag `latest` too.
    #[arg(long)]
    pub latest: bool,
    /// Publish although files differ from the commit, or no commit is known.
    #[arg(long)]
    pub allow_dirty: bool,
    /// Put this image under a tag that another image has in the registry.
    #[arg(long)]
    pub overwrite: bool,
    /// The file that what was pushed is written to, as JSON.
    #[arg(long, value_name = "FILE", default_value = PUSHED)]
    pub output: std::path::PathBuf,
}

/// Where what was pushed is told when nothing else is asked for.
pub const PUSHED: &str = "target/homeport/pushed.json";

impl Default for Push {
    fn default() -> Self {
        Self {
            repository: None,
            tags: Vec::new(),
            latest: false,
            allow_dirty: false,
            overwrite: false,
            output: PUSHED.into(),
        }
    }
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

/// Who compiles a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Compiler {
    /// The Dockerfile, in a container.
    Container,
    /// This machine's cargo.
    Host,
}

/// A stage of the pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Stage {
    /// Format, clippy, YAML, workflows, Dockerfiles, the Compose file, Prometheus rules.
    Lint,
    /// Secrets in the repository, manifests, dependencies.
    Security,
    /// All tests.
    Test,
    /// How far the unit and integration tests reach.
    Coverage,
    /// The stack, from nothing to healthy and down again, with nothing left.
    Stack,
    /// The release image, looked into, with its bill of materials.
    Build,
    /// The image to the repository that `HOMEPORT_REPOSITORY` names.
    Push,
    /// The image to a kind cluster, or what was pushed to the cluster that `HOMEPORT_CONTEXT` names; rolled out and tried.
    Deploy,
    /// What is deployed, tried; and on kind, bad revisions rolled back.
    Verify,
}

/// A command that needs something of the machine, by its name.
fn need() -> impl TypedValueParser<Value = Need> {
    let named =
        |need: Need| PossibleValue::new(need.as_str()).help(format!("`cargo xtask {}`", need.as_str()));
    PossibleValuesParser::new(Need::EACH.map(named))
        .try_map(|name| Need::EACH.into_iter().find(|need| need.as_str() == name).ok_or("no such command"))
}

#[expect(clippy::unnecessary_wraps, reason = "clap wants a Result of a value parser")]
fn service(text: &str) -> Result<ServiceName, String> {
    Ok(ServiceName::new(text))
}

/// What is measured for longer than an hour is no load test but a soak, which nobody watches.
fn load_duration(text: &str) -> Result<std::time::Duration, String> {
    let duration = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if duration.is_zero() || duration > std::time::Duration::from_secs(3600) {
        return Err("expected a duration between 1ms and 1h".to_owned());
    }
    Ok(duration)
}

fn reported(text: &str) -> Result<std::time::Duration, String> {
    let duration = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if !crate::limits::REPORTED.contains(&duration) {
        return Err("expected a duration between 1m and 7d".to_owned());
    }
    Ok(duration)
}
