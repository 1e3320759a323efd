//! The dependencies, held by cargo-deny to `deny.toml` and to RustSec's advisories: fetched, or those of a database that
//! is given, so that it works without network.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::{Verdict, verdict};
use crate::commands::Context;
use crate::failure::{Code, Failure};
use crate::images::open_archive;
use crate::process::{ProcessError, Program};
use crate::scan::dependencies::dependencies;

/// How long cargo-deny may take: it fetches some 10 MB of advisories and reads the sources of every dependency.
const DENY: Duration = Duration::from_secs(600);

/// How long git may take to take in a database of advisories: some thousand small files.
const GIT: Duration = Duration::from_secs(120);

/// Where cargo-deny takes advisories from when nothing is configured.
const ADVISORIES: &str = "https://github.com/RustSec/advisory-db";

/// The variable that names a database, where no argument does.
const DATABASE_VARIABLE: &str = "HOMEPORT_ADVISORY_DB";

/// Asks cargo-deny.
pub(super) async fn check(
    context: &Context,
    database: Option<&Path>,
    offline: bool,
) -> Result<Verdict, Failure> {
    let named = std::env::var_os(DATABASE_VARIABLE).filter(|path| !path.is_empty());
    let given = database.map(Path::to_owned).or_else(|| named.map(PathBuf::from));
    if offline && given.is_none() {
        return Ok(Verdict::NotRun(
            "there are no advisories without network; --advisory-db gives some".to_owned(),
        ));
    }
    let configuration = context.project.root().join("deny.toml");
    let mut program = Program::new("cargo-deny", DENY).directory(context.project.root());
    let mut age = "advisories fetched now".to_owned();
    if let Some(database) = &given {
        let prepared = Prepared::new(context, database, &configuration).await?;
        program = program
            .args(["--config".as_ref(), prepared.configuration.as_os_str()])
            .env("GIT_CONFIG_COUNT", "1")
            .env("GIT_CONFIG_KEY_0", format!("url.file://{}.insteadOf", prepared.repository.display()))
            .env("GIT_CONFIG_VALUE_0", ADVISORIES);
        age = format!("advisories of {}", humantime::format_rfc3339_seconds(prepared.newest));
    }
    if offline {
        program = program.env("CARGO_NET_OFFLINE", "true");
    }
    let program = program.args(["--format", "json", "--locked", "check"]);
    let mut lines = Vec::new();
    match program.run(|_, line| lines.push(line.to_owned())).await {
        Ok(()) | Err(ProcessError::Failed { .. }) => {}
        Err(ProcessError::Missing { .. }) => {
            return Ok(Verdict::NotRun(
                "cargo-deny is not installed: `cargo xtask doctor --fix --for scan`".to_owned(),
            ));
        }
        Err(error) => return Err(Failure::new(Code::MachineUnready, error.to_string())),
    }
    let Some(found) = dependencies(&lines) else {
        return Err(Failure::new(Code::MachineUnready, "cargo-deny did not come to its end")
            .details(lines)
            .hint(
                "it needs advisories and crates.io's index; --advisory-db and --offline go without network",
            ));
    };
    Ok(verdict(&found, age))
}

/// A database as cargo-deny takes it: a git repository in the place of RustSec's own.
struct Prepared {
    configuration: PathBuf,
    repository: PathBuf,
    /// When its newest file was written.
    newest: SystemTime,
}

impl Prepared {
    /// Makes the repository anew from a directory or an archive of one.
    async fn new(context: &Context, database: &Path, configuration: &Path) -> Result<Self, Failure> {
        let scratch = context.project.scratch().join("advisories");
        let failed = |error: io::Error| {
            Failure::new(
                Code::ProjectInvalid,
                format!("cannot use {} as a database of advisories: {error}", database.display()),
            )
            .hint("it is a directory, or an archive of one, as github.com/RustSec/advisory-db has it")
        };
        let files = prepare(&scratch, database, configuration).map_err(failed)?;
        let repository = scratch.join("given.git");
        let commit = [
            "-c",
            "user.name=homeport",
            "-c",
            "user.email=homeport@localhost",
            "commit",
            "--quiet",
            "-m",
            "given",
        ];
        for arguments in
            [&["init", "--quiet", "--initial-branch=main"] as &[&str], &["add", "--all", "."], &commit]
        {
            let program = Program::new("git", GIT)
                .args(arguments.iter().copied())
                .directory(&files)
                .env("GIT_DIR", repository.as_os_str())
                .env("GIT_WORK_TREE", files.as_os_str());
            program.output().await.map_err(|error| failed(io::Error::other(error.to_string())))?;
        }
        let newest = newest(&files.join("crates")).map_err(failed)?;
        Ok(Self { configuration: scratch.join("deny.toml"), repository, newest })
    }
}

/// Empties the scratch directory, unpacks an archive into it, and writes the configuration that keeps cargo-deny's own
/// copy there too. Returns where the files are.
fn prepare(scratch: &Path, database: &Path, configuration: &Path) -> io::Result<PathBuf> {
    match std::fs::remove_dir_all(scratch) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => std::fs::create_dir_all(scratch)?,
    }
    let files = if database.is_dir() {
        database.canonicalize()?
    } else {
        let files = scratch.join("given");
        tar::Archive::new(open_archive(database)?).unpack(&files)?;
        files
    };
    if !files.join("crates").is_dir() {
        return Err(io::Error::other("it has no directory `crates`"));
    }
    let text = std::fs::read_to_string(configuration)?;
    let own = format!("[advisories]\ndb-path = {:?}\n", scratch.join("fetched").display().to_string());
    std::fs::write(scratch.join("deny.toml"), text.replacen("[advisories]\n", &own, 1))?;
    Ok(files)
}

/// When the newest file below a directory was written.
fn newest(directory: &Path) -> io::Result<SystemTime> {
    let mut latest = SystemTime::UNIX_EPOCH;
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let time = if entry.file_type()?.is_dir() {
            newest(&entry.path())?
        } else {
            entry.metadata()?.modified()?
        };
        latest = latest.max(time);
    }
    Ok(latest)
}
