//! `cargo xtask scan [CHECK…]`: what is vulnerable, unlicensed, secret or too privileged. Reads files and the engine, and
//! lets the pure rules of `scan/` judge.

mod dependencies;

use std::time::Duration;

use futures_util::TryStreamExt as _;
use serde_json::Value;

use super::Context;
use super::image::identity;
use crate::checklist::Checklist;
use crate::cli::{self, Check};
use crate::event::Event;
use crate::failure::{Code, Failure};
use crate::images::layers;
use crate::limits;
use crate::process::Program;
use crate::scan::{Finding, bill, image, manifests, secrets};
use crate::ui::bytes;

/// How much of each file of an image is searched for secrets: the service's program whole.
const SEARCHED: u64 = 64 << 20;

/// How long a question to git or cargo's metadata may take: both read files only.
const QUESTION: Duration = Duration::from_secs(120);

/// Where manifests are that we did not write and that need what ours must not have: metrics-server asks the cluster for
/// every pod's use, local-path makes directories of the host.
const FOREIGN: [&str; 2] = ["k8s/metrics-server/", "k8s/local-path/"];

/// What a check came to.
enum Verdict {
    /// All is well; what was looked at.
    Passed(String),
    /// These break a rule.
    Found(Vec<String>),
    /// It could not be made, and why.
    NotRun(String),
}

/// Runs `scan`. Every check runs, whatever the others found and whichever of them broke.
///
/// # Errors
/// [`Code::ChecksFailed`] when a check finds something, or, when `CI` is set, could not be made; else the failure of the
/// first one that broke.
pub async fn run(context: &Context, arguments: &cli::Scan) -> Result<(), Failure> {
    let checks = if arguments.checks.is_empty() { Check::ALL.to_vec() } else { arguments.checks.clone() };
    let titles = checks.iter().map(|check| title(*check).to_owned()).collect();
    let mut checklist = Checklist::announce(&context.events, &context.cancel, titles);
    let (mut found, mut not_run, mut broken) = (Vec::new(), Vec::new(), None);
    for check in checks {
        let step = checklist.step(async |_| match perform(context, arguments, check).await? {
            Verdict::Passed(what) => Ok((None, Some(what))),
            Verdict::NotRun(why) => Ok((Some(why.clone()), Some(format!("not run: {why}")))),
            Verdict::Found(lines) => {
                let count = lines.len();
                let message = if count == 1 { "1 finding".to_owned() } else { format!("{count} findings") };
                Err(Failure::new(Code::ChecksFailed, message).details(lines))
            }
        });
        match step.await {
            Ok(why) => not_run.extend(why.map(|why| format!("{}: {why}", title(check)))),
            Err(failure) if failure.code == Code::ChecksFailed => {
                for line in failure.details {
                    context.events.send(Event::Output { step: None, source: title(check).to_owned(), line });
                }
                found.push(title(check));
            }
            Err(failure) if failure.code == Code::Interrupted => return Err(failure),
            Err(failure) => {
                not_run.push(format!("{}: {}", title(check), failure.message));
                broken.get_or_insert(failure);
            }
        }
    }
    if !found.is_empty() {
        let message = format!("the scan found something: {}", found.join(", "));
        return Err(Failure::new(Code::ChecksFailed, message).details(not_run));
    }
    if let Some(failure) = broken {
        return Err(failure);
    }
    if not_run.is_empty() {
        return Ok(());
    }
    if std::env::var_os("CI").is_some() {
        return Err(Failure::new(Code::ChecksFailed, "not everything could be scanned").details(not_run));
    }
    for line in not_run {
        context.events.warning(format!("not run: {line}"));
    }
    Ok(())
}

fn title(check: Check) -> &'static str {
    match check {
        Check::Dependencies => "dependencies (cargo-deny)",
        Check::Secrets => "secrets in the repository",
        Check::Manifests => "Kubernetes manifests",
        Check::Image => "release image",
        Check::Bill => "software bill of materials",
    }
}

async fn perform(context: &Context, arguments: &cli::Scan, check: Check) -> Result<Verdict, Failure> {
    match check {
        Check::Dependencies => {
            dependencies::check(context, arguments.advisory_db.as_deref(), arguments.offline).await
        }
        Check::Secrets => repository(context).await,
        Check::Manifests => kubernetes(context).await,
        Check::Image => release(context, arguments.image.as_deref()).await,
        Check::Bill => bill_of_materials(context).await,
    }
}

fn verdict(found: &[Finding], looked_at: String) -> Verdict {
    if found.is_empty() {
        return Verdict::Passed(looked_at);
    }
    Verdict::Found(found.iter().map(ToString::to_string).collect())
}

/// The files that git knows or would take, below a directory.
async fn files(context: &Context, below: &str) -> Result<Vec<(String, String)>, Failure> {
    let arguments = ["ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", below];
    let program = Program::new("git", QUESTION).args(arguments).directory(context.project.root());
    let list = program.output().await.map_err(|error| {
        Failure::new(Code::ProgramMissing, format!("cannot list the repository's files: {error}"))
            .hint("the scan looks at what git knows")
    })?;
    let paths = list.split('\0').filter(|path| !path.is_empty());
    // A file that was removed and not committed yet is none. One that is not all UTF-8 can hold a secret as any other.
    let read = |path: &str| {
        let raw = std::fs::read(context.project.root().join(path)).ok()?;
        Some((path.to_owned(), String::from_utf8_lossy(&raw).into_owned()))
    };
    Ok(paths.filter_map(read).collect())
}

async fn repository(context: &Context) -> Result<Verdict, Failure> {
    let files = files(context, ".").await?;
    let found: Vec<Finding> = files.iter().flat_map(|(path, text)| secrets::secrets(path, text)).collect();
    Ok(verdict(&found, format!("{} files", files.len())))
}

async fn kubernetes(context: &Context) -> Result<Verdict, Failure> {
    let mut files = files(context, "k8s").await?;
    files.retain(|(path, _)| {
        let is_yaml = [".yaml", ".yml"].iter().any(|end| path.ends_with(end));
        is_yaml && !FOREIGN.iter().any(|foreign| path.starts_with(foreign))
    });
    let mut found = Vec::new();
    for (path, text) in &files {
        let of_file = manifests::manifests(path, text)
            .map_err(|error| Failure::new(Code::ProjectInvalid, format!("cannot read {path}: {error}")))?;
        found.extend(of_file);
    }
    Ok(verdict(&found, format!("{} files", files.len())))
}

async fn release(context: &Context, chosen: Option<&str>) -> Result<Verdict, Failure> {
    let (session, _) = context.session_as_found(true).await?;
    let reference = match chosen {
        Some(reference) => reference.to_owned(),
        None => format!("{}:{}", identity::made_here(&session.stack)?.repository, identity::VERSION),
    };
    let Some(configuration) = session.engine.image_configuration(&reference).await? else {
        return Ok(Verdict::NotRun(format!(
            "the engine does not have {reference}; `cargo xtask image build` builds it"
        )));
    };
    if configuration.size > limits::RELEASE_IMAGE {
        // It would not be looked into: an archive of any size is not read into memory.
        return Ok(verdict(
            &image::image(&reference, &configuration, &[], limits::RELEASE_IMAGE),
            String::new(),
        ));
    }
    let archive = session.engine.save_images(&[&reference]);
    let archive: Vec<u8> = archive
        .try_fold(Vec::new(), |mut all, chunk| async move {
            all.extend_from_slice(&chunk);
            Ok(all)
        })
        .await?;
    let files = layers::files(&archive, SEARCHED).map_err(|error| {
        Failure::new(Code::ImageFailed, format!("cannot read the archive of {reference}: {error}"))
    })?;
    let found = image::image(&reference, &configuration, &files, limits::RELEASE_IMAGE);
    Ok(verdict(&found, format!("{reference}, {} in {} files", bytes(configuration.size), files.len())))
}

/// Writes the bill of the service's program beside the run logs.
async fn bill_of_materials(context: &Context) -> Result<Verdict, Failure> {
    let (stack, ..) = context.project.stack_as_found()?;
    let package = identity::made_here(&stack)?.package;
    let metadata = metadata(context).await?;
    let bill = bill::bill_of_materials(&metadata, &package)
        .map_err(|error| Failure::new(Code::ProjectInvalid, error))?;
    let count = bill["components"].as_array().map_or(0, Vec::len);
    let path = context.project.scratch().join(format!("{package}.cdx.json"));
    super::keep(&path, &(format!("{bill:#}") + "\n"))?;
    Ok(Verdict::Passed(format!("{count} components in {}", context.project.relative(&path).display())))
}

async fn metadata(context: &Context) -> Result<Value, Failure> {
    let arguments = ["metadata", "--format-version", "1", "--locked"];
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let program = Program::new("cargo", QUESTION)
        .args(arguments)
        .args(["--filter-platform", &target])
        .directory(context.project.root());
    let text =
        program.output().await.map_err(|error| Failure::new(Code::ProjectInvalid, error.to_string()))?;
    serde_json::from_str(&text)
        .map_err(|error| Failure::new(Code::Internal, format!("cargo metadata: {error}")))
}
