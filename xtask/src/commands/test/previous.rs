//! The version of the service before this one: taken out of git and compiled, so that the tests can run it beside today's,
//! on today's schema.
//!
//! Which one that is: the newest release (a tag `v…`) before this commit, else the commit before this one.
//!
//! Must not: run it.

use std::path::{Path, PathBuf};

use crate::commands::Context;
use crate::event::StepReporter;
use crate::failure::{Code, Failure};
use crate::limits;
use crate::process::{ProcessError, Program};

/// The package whose program it is.
const PACKAGE: &str = "service";

/// What there is of an earlier version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Previous {
    /// The commit, in hexadecimal digits.
    Commit(String),
    /// The history begins with this version; why, in words.
    None(&'static str),
    /// There may be one, and it cannot be known; why, in words.
    Unknown(&'static str),
}

/// Finds the version before this one.
///
/// # Errors
/// When git does not answer.
pub(super) async fn find(root: &Path) -> Result<Previous, Failure> {
    let is = async |words: &[&str], expected: &str| {
        Ok::<_, Failure>(git(root, words).await?.is_some_and(|said| said == expected))
    };
    if !is(&["rev-parse", "--show-prefix"], "").await? {
        return Ok(Previous::None("this is no checkout of git"));
    }
    let Some(_) = git(root, &["rev-parse", "--verify", "--quiet", "HEAD"]).await? else {
        return Ok(Previous::None("this checkout has no commit"));
    };
    let Some(parent) = git(root, &["rev-parse", "--verify", "--quiet", "HEAD^"]).await? else {
        return Ok(if is(&["rev-parse", "--is-shallow-repository"], "true").await? {
            Previous::Unknown("the clone's history is cut off: `git fetch --unshallow` brings the rest")
        } else {
            Previous::None("this is the first commit")
        });
    };
    let release = ["describe", "--tags", "--abbrev=0", "--match", "v[0-9]*", "HEAD^"];
    let commit = match git(root, &release).await? {
        Some(tag) => git(root, &["rev-parse", "--verify", "--quiet", &format!("{tag}^{{commit}}")]).await?,
        None => Some(parent),
    };
    let Some(commit) = commit else { return Ok(Previous::Unknown("git does not know its own tag")) };
    let manifest = format!("{commit}:{PACKAGE}/Cargo.toml");
    Ok(match git(root, &["rev-parse", "--verify", "--quiet", &manifest]).await? {
        Some(_) => Previous::Commit(commit),
        None => Previous::None("the version before this one had no service"),
    })
}

/// What git says; `None` when it says no.
async fn git(root: &Path, words: &[&str]) -> Result<Option<String>, Failure> {
    let program = Program::new("git", limits::CHECK).args(words.iter().copied()).directory(root);
    match program.output().await {
        Ok(output) => Ok(Some(output.trim().to_owned())),
        Err(ProcessError::Failed { .. }) => Ok(None),
        Err(error) => Err(Failure::new(Code::ProgramMissing, format!("cannot ask git: {error}"))),
    }
}

/// Compiles the service of a commit; the path of its program. One that was compiled before is there still.
///
/// # Errors
/// When the commit cannot be taken out, or the compiler refuses it.
pub(super) async fn build(
    context: &Context,
    commit: &str,
    reporter: &StepReporter,
) -> Result<PathBuf, Failure> {
    let directory = context.project.scratch().join("previous");
    let program = directory.join(format!("{PACKAGE}-{commit}"));
    if program.is_file() {
        return Ok(program);
    }
    let failed = |error: &dyn std::fmt::Display| {
        Failure::new(Code::BuildFailed, format!("cannot build the service of commit {commit}: {error}"))
    };
    std::fs::create_dir_all(&directory).map_err(|error| failed(&error))?;
    // Removed at the end, however that is reached.
    let checkout = tempfile::Builder::new()
        .prefix("checkout-")
        .tempdir_in(&directory)
        .map_err(|error| failed(&error))?;
    let checkout = checkout.path();
    let clone = Program::new("git", limits::CHECK)
        .args(["clone", "--quiet", "--shared", "--no-checkout"])
        .args([context.project.root(), checkout]);
    clone.output().await.map_err(|error| failed(&error))?;
    let take_out = Program::new("git", limits::CHECK)
        .args(["checkout", "--quiet", "--detach", commit])
        .directory(checkout);
    take_out.output().await.map_err(|error| failed(&error))?;
    // Of its own: cargo would take the one version's crates for the other's. What it depends on stays for the next version.
    let target = directory.join("target");
    let build = Program::new("cargo", limits::SERVICE_BUILD)
        .args(["build", "--locked", "--package", PACKAGE, "--bin", PACKAGE, "--target-dir"])
        .arg(&target)
        .directory(checkout)
        .outside_cargo();
    build.run(|_, line| reporter.message(line.trim())).await.map_err(|error| {
        let said = match &error {
            ProcessError::Failed { stderr, .. } => stderr.clone(),
            _ => Vec::new(),
        };
        failed(&error).details(said)
    })?;
    let compiled = target.join("debug").join(PACKAGE).with_extension(std::env::consts::EXE_EXTENSION);
    std::fs::copy(&compiled, &program).map_err(|error| failed(&error))?;
    Ok(program)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A repository in which each word makes a commit; one that begins with `v` is its tag as well.
    async fn repository(commits: &[&str], with_service: bool) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a directory");
        let identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"];
        let run = async |words: &[&str]| {
            let program = Program::new("git", limits::CHECK).args(identity).args(words.iter().copied());
            program.directory(root.path()).output().await.expect("git");
        };
        run(&["init", "--quiet"]).await;
        let manifest = root.path().join("service/Cargo.toml");
        std::fs::create_dir_all(manifest.parent().expect("a folder")).expect("a folder");
        for name in commits {
            let path = if with_service { manifest.clone() } else { root.path().join("README") };
            std::fs::write(path, name).expect("a file");
            run(&["add", "--all"]).await;
            run(&["commit", "--quiet", "--message", name]).await;
            if name.starts_with('v') {
                run(&["tag", name]).await;
            }
        }
        root
    }

    async fn found(root: &Path) -> String {
        match find(root).await.expect("git answers") {
            Previous::Commit(commit) => {
                git(root, &["log", "-1", "--format=%s", &commit]).await.expect("git").expect("a commit")
            }
            Previous::None(why) | Previous::Unknown(why) => why.to_owned(),
        }
    }

    #[tokio::test]
    async fn the_version_before_is_the_last_release_else_the_last_commit() {
        for (commits, expected) in [
            (&["a", "b", "c"][..], "b"),
            (&["v1", "b", "c"], "v1"),
            (&["v1", "b", "v2"], "v1"),
            (&["v1", "v2", "c"], "v2"),
            (&["a"], "this is the first commit"),
            (&[], "this checkout has no commit"),
        ] {
            let root = repository(commits, true).await;
            assert_eq!(found(root.path()).await, expected, "{commits:?}");
        }
        let root = repository(&["a", "b"], true).await;
        assert_eq!(found(&root.path().join("service")).await, "this is no checkout of git");
        let root = repository(&["a", "b"], false).await;
        assert_eq!(found(root.path()).await, "the version before this one had no service");
    }

    #[tokio::test]
    async fn a_history_that_is_cut_off_is_not_taken_for_one_that_begins() {
        let root = repository(&["a", "b"], true).await;
        let shallow = tempfile::tempdir().expect("a directory");
        let source = format!("file://{}", root.path().display());
        let clone = Program::new("git", limits::CHECK).args(["clone", "--quiet", "--depth=1", &source]);
        clone.arg(shallow.path()).output().await.expect("git");
        assert!(found(shallow.path()).await.contains("--unshallow"));
    }
}
