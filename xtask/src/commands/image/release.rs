//! `cargo xtask image build`: the release image of the service, with the labels that say what it was built from.

use std::collections::BTreeMap;

use clap::ValueEnum as _;
use serde::Serialize;

use super::identity;
use crate::checklist::Checklist;
use crate::cli;
use crate::commands::Context;
use crate::event::StepReporter;
use crate::failure::{Code, Failure};
use crate::images::{self, Compiler, Found, Release, Released};
use crate::limits;
use crate::pipeline;
use crate::process::Program;
use crate::quantity::bytes;
use crate::stack::ImageReference;
use crate::ui::{Answer, Cell, Style, Table};

/// The variable that says who compiles a release where no option does.
const COMPILER_VARIABLE: &str = "HOMEPORT_COMPILER";

/// Builds the image and checks its size.
///
/// # Errors
/// When nothing can compile it, the compiler refuses, or the image is larger than it may be.
pub(super) async fn run(context: &Context, arguments: &cli::ImageBuild) -> Result<(), Failure> {
    let (session, _) = context.session_as_found(false).await?;
    let made = identity::made_here(&session.stack)?;
    let identity::Made { package, repository, .. } = made.clone();
    let revision = identity::revision(context).await;
    let references = if arguments.tags.is_empty() {
        let tags = identity::tags(revision.as_deref()).into_iter();
        tags.map(|tag| ImageReference::new(format!("{repository}:{tag}"))).collect()
    } else {
        arguments.tags.iter().map(ImageReference::new).collect()
    };
    let given = [("REVISION", revision), ("SOURCE", identity::source(context).await)];
    let given = given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    let release = Release {
        root: context.project.root().to_owned(),
        package,
        references,
        platform: arguments.platform.clone(),
        arguments: BTreeMap::from([("VERSION".to_owned(), identity::VERSION.to_owned())])
            .into_iter()
            .chain(given)
            .collect(),
        labels: BTreeMap::new(),
    };
    let named = std::env::var(COMPILER_VARIABLE).unwrap_or_default();
    let compiler = match chosen(arguments.compiler, &named)? {
        Some(cli::Compiler::Container) => Compiler::Container,
        Some(cli::Compiler::Host) => Compiler::Host,
        None => {
            let found = release.compiler(&session.engine, &session.sources).await?;
            let compiler = of_itself(&found, pipeline::is_here())?;
            if compiler == Compiler::Host {
                let note = "the Dockerfile's base cannot be had: this machine's cargo compiles the release";
                context.events.note(note);
            }
            compiler
        }
    };
    judge_platform(compiler, arguments.platform.as_deref())?;
    if arguments.twice {
        can_be_repeated(compiler, release.arguments.get("REVISION").map(String::as_str))?;
    }
    let mut titles = vec![format!("build image {}", release.references[0])];
    titles.extend(arguments.twice.then(|| "build the program again, from nothing in a clone".to_owned()));
    let mut checklist = Checklist::announce(&context.events, &context.cancel, titles);
    let built = checklist
        .step(async |reporter| {
            let built = release.build(&session.engine, compiler, reporter).await?;
            let detail = bytes(built.size);
            Ok((built, Some(detail)))
        })
        .await?;
    if arguments.twice {
        checklist.step(async |reporter| Ok(((), Some(repeat(context, &release, reporter).await?)))).await?;
    }
    context.answer(&Built(&built))?;
    identity::judge_size(&built.references[0], built.size, &made)
}

/// Who is told to compile, by the option or else by the variable.
fn chosen(option: Option<cli::Compiler>, variable: &str) -> Result<Option<cli::Compiler>, Failure> {
    if option.is_some() || variable.is_empty() {
        return Ok(option);
    }
    cli::Compiler::from_str(variable, true).map(Some).map_err(|_| {
        Failure::new(Code::Usage, format!("{COMPILER_VARIABLE} is {variable:?}: it is `container` or `host`"))
    })
}

/// Who compiles when nobody is told to. In a pipeline it is not this machine: a release must not have another compiler
/// because a registry was slow once.
fn of_itself(found: &Found, in_pipeline: bool) -> Result<Compiler, Failure> {
    match found {
        Found::Container => Ok(Compiler::Container),
        Found::Host { without } if in_pipeline => {
            let message =
                "the Dockerfile's base cannot be had, and a pipeline changes no release's compiler by itself";
            Err(Failure::new(Code::ImageUnavailable, message).details(without.iter().cloned()).hint(format!(
                "run it again; `--compiler host` or {COMPILER_VARIABLE}=host has this machine's cargo compile releases"
            )))
        }
        Found::Host { .. } => Ok(Compiler::Host),
    }
}

/// This machine's cargo builds for this machine's processor.
fn judge_platform(compiler: Compiler, platform: Option<&str>) -> Result<(), Failure> {
    let own = format!("linux/{}", images::architecture());
    match platform {
        Some(platform) if compiler == Compiler::Host && platform != own => {
            let message = format!("cannot build for {platform}: this machine's cargo compiles, for {own}");
            Err(Failure::new(Code::Usage, message)
                .hint("`--compiler container` builds for others, where the Dockerfile's base can be had"))
        }
        _ => Ok(()),
    }
}

/// Whether a second build has a chance to be the same: of a commit, by the same compiler.
fn can_be_repeated(compiler: Compiler, revision: Option<&str>) -> Result<(), Failure> {
    let why = match (compiler, revision) {
        (Compiler::Container, _) => "only this machine's cargo is asked twice: say `--compiler host` too",
        (_, None) => "there is no commit to build again",
        (_, Some(revision)) if revision.ends_with(identity::DIRTY) => "files differ from the commit",
        _ => return Ok(()),
    };
    Err(Failure::new(Code::Usage, format!("cannot build twice: {why}")))
}

/// Builds the program in a clone and compares; returns the digest of both.
async fn repeat(context: &Context, release: &Release, reporter: &StepReporter) -> Result<String, Failure> {
    let scratch = context.project.scratch();
    let failed = |error: &dyn std::fmt::Display| {
        Failure::new(Code::BuildFailed, format!("cannot clone the commit: {error}"))
    };
    std::fs::create_dir_all(&scratch).map_err(|error| failed(&error))?;
    // Removed at the end, however that is reached; of another length than any other path.
    let clone = tempfile::Builder::new()
        .prefix("built-again-")
        .tempdir_in(&scratch)
        .map_err(|error| failed(&error))?;
    let git =
        Program::new("git", limits::CHECK).args(["clone", "--quiet"]).arg(&release.root).arg(clone.path());
    git.output().await.map_err(|error| failed(&error))?;
    let [here, there] = release.digests(clone.path(), reporter).await?;
    if here == there {
        return Ok(here);
    }
    let message = format!("two builds of one commit differ: {here} here, {there} in a clone");
    Err(Failure::new(Code::ChecksFailed, message))
}

/// What was built.
#[derive(Serialize)]
#[serde(transparent)]
struct Built<'a>(&'a Released);

impl Answer for Built<'_> {
    fn human(&self, style: Style, columns: Option<usize>) -> Vec<String> {
        let mut table = Table::new(["IMAGE", "SIZE", "ID"]);
        let id: String = self.0.id.trim_start_matches("sha256:").chars().take(12).collect();
        for reference in &self.0.references {
            table.row([Cell::plain(reference), Cell::plain(bytes(self.0.size)), Cell::plain(&id)]);
        }
        table.lines(style, columns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipeline_changes_no_compiler_by_itself() {
        let host = Found::Host { without: vec!["registry: no answer".to_owned()] };
        assert_eq!(of_itself(&host, false), Ok(Compiler::Host));
        assert_eq!(of_itself(&Found::Container, true), Ok(Compiler::Container));
        let refused = of_itself(&host, true).expect_err("nobody said so");
        assert_eq!(refused.details, ["registry: no answer"]);

        let named = |option, variable| chosen(option, variable).expect("a compiler");
        assert_eq!(named(None, ""), None);
        assert_eq!(named(None, "host"), Some(cli::Compiler::Host));
        assert_eq!(named(Some(cli::Compiler::Container), "host"), Some(cli::Compiler::Container));
        assert!(chosen(None, "gcc").expect_err("neither").message.contains("gcc"));
    }
}
