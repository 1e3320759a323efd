//! What lies in the checkout: the files that git knows, and what runs have left. Reads them and lets the pure rules judge.

use std::path::{Path, PathBuf};

use super::{QUESTION, Verdict, verdict};
use crate::checks::Kind;
use crate::commands::Context;
use crate::failure::{Code, Failure};
use crate::kustomize;
use crate::limits;
use crate::process::{ProcessError, Program};
use crate::project::{Project, known_files};
use crate::scan::dockerfile::{Purpose, dockerfile};
use crate::scan::secrets::{self, Allowed, Rules};
use crate::scan::{Finding, manifests};

/// Where manifests are that we did not write and that need what ours must not have: metrics-server asks the cluster for
/// every pod's use, local-path makes directories of the host.
const FOREIGN: [&str; 2] = ["k8s/metrics-server/", "k8s/local-path/"];

/// What runs leave that is no log: advisories and Trivy's database speak of secrets, `bench` has checkouts with credentials
/// of their own.
const OTHERS: [&str; 4] = ["advisories", "bench", "coverage", "trivy"];

/// The files that git knows or would take, each with its text. One that is not all UTF-8 can hold a secret as any other.
async fn files(context: &Context) -> Result<Vec<(String, String)>, Failure> {
    let mut files = Vec::new();
    for file in known_files(context.project.root()).await? {
        let raw = std::fs::read(&file.path).map_err(|error| {
            Failure::new(Code::ProjectInvalid, format!("cannot read {}: {error}", file.name))
        })?;
        files.push((file.name, String::from_utf8_lossy(&raw).into_owned()));
    }
    Ok(files)
}

/// What secrets are searched by: what is allowed, and the secrets of this checkout.
pub(super) fn rules(project: &Project) -> Result<Rules, Failure> {
    let path = project.root().join(secrets::FILE);
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    let allowed = Allowed::parse(&text).map_err(|error| {
        Failure::new(Code::ProjectInvalid, format!("cannot read {}: {error}", secrets::FILE))
            .hint("a line is a fingerprint, as the scan tells it, and the reason why it is no secret")
    })?;
    let made = std::fs::read_to_string(project.environment_file()).unwrap_or_default();
    let assigned = made.lines().filter_map(|line| line.split_once('='));
    let known = assigned.filter(|(name, _)| {
        ["PASSWORD", "SECRET", "TOKEN", "KEY"].iter().any(|part| name.to_uppercase().contains(part))
    });
    let known = known.map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned())).collect();
    Ok(Rules { allowed, known })
}

pub(super) async fn secrets(context: &Context) -> Result<Verdict, Failure> {
    let rules = rules(&context.project)?;
    let files = files(context).await?;
    let found: Vec<Finding> =
        files.iter().flat_map(|(path, text)| secrets::secrets(path, text, &rules)).collect();
    Ok(verdict(&found, format!("{} files", files.len())))
}

/// Looks through what runs have left: logs, results, bills.
pub(super) fn logs(context: &Context) -> Result<Verdict, Failure> {
    let rules = rules(&context.project)?;
    let mut paths = Vec::new();
    let scratch = context.project.scratch();
    gather(&scratch, &mut paths);
    let mut found = Vec::new();
    for path in &paths {
        // One that a run removes meanwhile is none.
        let Ok(raw) = std::fs::read(path) else { continue };
        let name = context.project.relative(path).display().to_string();
        found.extend(secrets::secrets(&name, &String::from_utf8_lossy(&raw), &rules));
    }
    Ok(verdict(&found, format!("{} files", paths.len())))
}

fn gather(directory: &Path, paths: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let Ok(kind) = entry.metadata() else { continue };
        let is_others = OTHERS.iter().any(|name| entry.file_name() == *name);
        if kind.is_dir() && !is_others {
            gather(&entry.path(), paths);
        } else if kind.is_file() && kind.len() <= limits::RUN_FILE {
            paths.push(entry.path());
        }
    }
}

pub(super) async fn dockerfiles(context: &Context) -> Result<Verdict, Failure> {
    let mut files = files(context).await?;
    files.retain(|(path, _)| Kind::of(path) == Some(Kind::Dockerfile));
    let purpose = |path: &str| if path.starts_with("compose/") { Purpose::Recipe } else { Purpose::Release };
    let found: Vec<Finding> =
        files.iter().flat_map(|(path, text)| dockerfile(path, text, purpose(path))).collect();
    Ok(verdict(&found, format!("{} files", files.len())))
}

/// Holds the manifests to the rules, as they are written and as each kustomization makes them.
pub(super) async fn manifests(context: &Context) -> Result<Verdict, Failure> {
    let mut files = files(context).await?;
    files.retain(|(path, _)| {
        let is_read = [".yaml", ".yml", ".json"].iter().any(|end| path.ends_with(end));
        let is_kustomization = directory_of_kustomization(path).is_some();
        let is_foreign = FOREIGN.iter().any(|foreign| path.starts_with(foreign));
        is_read && !is_foreign && (path.starts_with("k8s/") || is_kustomization)
    });
    let mut found = Vec::new();
    for (path, text) in &files {
        let of_file = manifests::manifests(path, text)
            .map_err(|error| Failure::new(Code::ProjectInvalid, format!("cannot read {path}: {error}")))?;
        found.extend(of_file);
    }
    // A component is nothing by itself.
    let whole = files.iter().filter(|(_, text)| !text.contains("kind: Component"));
    let roots: Vec<&str> = whole.filter_map(|(path, _)| directory_of_kustomization(path)).collect();
    let said: Vec<String> = found.iter().map(what_and_why).collect();
    for directory in &roots {
        let made = match make(context, directory).await? {
            Ok(made) => made,
            Err(why) if found.is_empty() => return Ok(Verdict::NotRun(why)),
            Err(_) => return Ok(verdict(&found, String::new())),
        };
        let of_made = manifests::manifests(&format!("{directory} (as made)"), &made);
        let of_made =
            of_made.map_err(|error| Failure::new(Code::Internal, format!("{directory}: {error}")))?;
        // What a file says already is told once.
        found.extend(of_made.into_iter().filter(|finding| !said.contains(&what_and_why(finding))));
    }
    Ok(verdict(&found, format!("{} files, {} kustomizations", files.len(), roots.len())))
}

/// A finding without the file that it is in.
fn what_and_why(finding: &Finding) -> String {
    let place = finding.place.rsplit_once(": ").map_or("", |(_, place)| place);
    format!("{place}: {}", finding.message)
}

fn directory_of_kustomization(path: &str) -> Option<&str> {
    let (directory, name) = path.rsplit_once('/').unwrap_or((".", path));
    matches!(name, "kustomization.yaml" | "kustomization.yml").then_some(directory)
}

/// What a kustomization makes: by our own hand, which is what is deployed; by kubectl where it says more than ours reads.
/// Without kubectl that is in the `Err`: why it was not looked at.
async fn make(context: &Context, directory: &str) -> Result<Result<String, String>, Failure> {
    let root = context.project.root();
    let unread = match kustomize::build(Path::new(directory), &|path| {
        std::fs::read_to_string(root.join(path)).map_err(|error| error.to_string())
    }) {
        Ok(objects) => {
            let documents = objects.iter().map(|object| object.value().to_string());
            return Ok(Ok(documents.collect::<Vec<_>>().join("\n---\n")));
        }
        Err(error) => error,
    };
    let program = Program::new("kubectl", QUESTION).args(["kustomize", directory]).directory(root);
    match program.output().await {
        Ok(made) => Ok(Ok(made)),
        Err(ProcessError::Missing { .. }) => Ok(Err(format!(
            "{directory} says what only kubectl reads, and kubectl is not installed ({unread})"
        ))),
        Err(error) => {
            let details = match &error {
                ProcessError::Failed { stderr, .. } => stderr.clone(),
                _ => Vec::new(),
            };
            let message = format!("cannot make the manifests of {directory}: {error}");
            Err(Failure::new(Code::ProjectInvalid, message).details(details))
        }
    }
}
