//! The arguments of `dev`, `down`, `status`, `logs`, `report` and `db`.

use crate::database::SnapshotName;
use crate::severity::Severity;
use crate::since::Since;
use crate::stack::ServiceName;
use clap::{Args, Subcommand};

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
    /// Only so many last lines of each service, of those that the other flags ask for.
    #[arg(long)]
    pub tail: Option<usize>,
    /// Only lines of the last while (`90s`, `10m`, `1h`), or from a point in time on (`2026-11-26T10:00:00Z`; UTC where no zone
    /// is said).
    #[arg(long, value_name = "WHEN", value_parser = Since::parse)]
    pub since: Option<Since>,
    /// Only lines in which this regular expression is found, also in those of probes.
    #[arg(long, value_name = "PATTERN", value_parser = regex_lite::Regex::new)]
    pub grep: Option<regex_lite::Regex>,
    /// Only lines of this level or above: JSON, logfmt (Prometheus, Grafana), Postgres' and Redis' own.
    #[arg(long, value_enum)]
    pub level: Option<Level>,
    /// Make the service's JSON lines readable and leave out good answers to probes (the default on a terminal), or not.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
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
        /// Ask nothing.
        #[arg(long)]
        yes: bool,
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

impl From<Level> for Severity {
    fn from(level: Level) -> Self {
        match level {
            Level::Debug => Self::Debug,
            Level::Info => Self::Info,
            Level::Warn => Self::Warn,
            Level::Error => Self::Error,
        }
    }
}

#[expect(clippy::unnecessary_wraps, reason = "clap wants a Result of a value parser")]
fn service(text: &str) -> Result<ServiceName, String> {
    Ok(ServiceName::new(text))
}

fn while_ago(text: &str) -> Result<std::time::Duration, String> {
    let told = |error| format!("{error}; expected how far back: `90s`, `10m`, `1h 30m`, `2d`");
    humantime::parse_duration(text).map_err(told)
}

fn reported(text: &str) -> Result<std::time::Duration, String> {
    let duration = while_ago(text)?;
    if !crate::limits::REPORTED.contains(&duration) {
        return Err("expected a duration between 1m and 7d".to_owned());
    }
    Ok(duration)
}
