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
use crate::scan::Finding;
use crate::scan::dependencies::{Age, age, dependencies, is_stale_lock, most_allowed, newest_day};

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
    let mut told = "advisories fetched now".to_owned();
    let mut too_old = None;
    if let Some(database) = &given {
        let prepared = Prepared::new(context, database, &configuration).await?;
        program = program
            .args(["--config".as_ref(), prepared.configuration.as_os_str()])
            .env("GIT_CONFIG_COUNT", "1")
            .env("GIT_CONFIG_KEY_0", format!("url.file://{}.insteadOf", prepared.repository.display()))
            .env("GIT_CONFIG_VALUE_0", ADVISORIES);
        told = format!("advisories of {}", day(prepared.newest));
        too_old = judge_age(context, &configuration, prepared.newest)?;
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
    if is_stale_lock(&lines) {
        let found = Finding {
            place: "Cargo.lock".to_owned(),
            message:
                "does not fit the manifests; `cargo check` brings it up to date, and it belongs in the commit"
                    .to_owned(),
        };
        return Ok(verdict(&[found], told));
    }
    let Some(mut found) = dependencies(&lines) else {
        return Err(Failure::new(Code::MachineUnready, "cargo-deny did not come to its end")
            .details(lines)
            .hint(
                "it needs advisories and crates.io's index; --advisory-db and --offline go without network",
            ));
    };
    found.extend(too_old);
    Ok(verdict(&found, told))
}

/// Says when the advisories are old, and finds fault when they are older than deny.toml allows.
fn judge_age(
    context: &Context,
    configuration: &Path,
    newest: SystemTime,
) -> Result<Option<Finding>, Failure> {
    let unreadable =
        |error: String| Failure::new(Code::ProjectInvalid, format!("cannot read deny.toml: {error}"));
    let text = std::fs::read_to_string(configuration).map_err(|error| unreadable(error.to_string()))?;
    match age(newest, SystemTime::now(), most_allowed(&text).map_err(unreadable)?) {
        Age::Fresh => {}
        Age::Old(days) => context
            .events
            .warning(format!("the advisories are {days} days old: what was found since is not in them")),
        Age::TooOld(days, most) => {
            let message = format!(
                "its newest advisory is {days} days old, at most {most} are allowed (deny.toml, maximum-db-staleness)"
            );
            return Ok(Some(Finding { place: "advisory database".to_owned(), message }));
        }
    }
    Ok(None)
}

fn day(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string()[..10].to_owned()
}

/// A database as cargo-deny takes it: a git repository in the place of RustSec's own.
struct Prepared {
    configuration: PathBuf,
    repository: PathBuf,
    /// Of when it is: its newest commit, else its newest advisory.
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
        let newest = match committed(&files).await {
            Some(time) => time,
            None => newest(&files.join("crates")).map_err(failed)?,
        };
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

/// When the newest commit of a clone was made; `None` for files without a history of their own.
async fn committed(files: &Path) -> Option<SystemTime> {
    if !files.join(".git").exists() {
        return None;
    }
    let program = Program::new("git", GIT).args(["log", "-1", "--format=%ct"]).directory(files);
    let seconds = program.output().await.ok()?.trim().parse().ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

/// The day of the newest advisory below a directory. When a file was written says only when somebody unpacked it.
fn newest(directory: &Path) -> io::Result<SystemTime> {
    let mut texts = Vec::new();
    read_all(directory, &mut texts)?;
    let day = newest_day(texts.iter().map(String::as_str));
    let day = day.ok_or_else(|| io::Error::other("none of its advisories has a date"))?;
    humantime::parse_rfc3339(&format!("{day}T00:00:00Z")).map_err(io::Error::other)
}

fn read_all(directory: &Path, texts: &mut Vec<String>) -> io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            read_all(&path, texts)?;
        } else {
            texts.push(String::from_utf8_lossy(&std::fs::read(&path)?).into_owned());
        }
    }
    Ok(())
}
