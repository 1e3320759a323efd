//! `cargo xtask image build`: the release image of the service, with the labels that say what it was built from.

use std::collections::BTreeMap;

use super::identity;
use crate::checklist::Checklist;
use crate::cli;
use crate::commands::Context;
use crate::event::StepReporter;
use crate::failure::{Code, Failure};
use crate::images::{self, Compiler, Release, Released};
use crate::limits;
use crate::process::Program;
use crate::quantity::bytes;
use crate::stack::ImageReference;
use crate::ui::{Answer, Cell, Style, Table};

/// Builds the image and checks its size.
///
/// # Errors
/// When nothing can compile it, the compiler refuses, or the image is larger than it may be.
pub(super) async fn run(context: &Context, arguments: &cli::ImageBuild) -> Result<(), Failure> {
    let (session, _) = context.session_as_found(false).await?;
    let identity::Made { package, repository } = identity::made_here(&session.stack)?;
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
    let compiler = match arguments.compiler {
        Some(cli::Compiler::Container) => Compiler::Container,
        Some(cli::Compiler::Host) => Compiler::Host,
        None => release.compiler(&session.engine, &session.sources).await?,
    };
    judge_platform(compiler, arguments.platform.as_deref())?;
    if compiler == Compiler::Host && arguments.compiler.is_none() {
        context.events.note("the Dockerfile's base cannot be had: this machine's cargo compiles the release");
    }
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
    context.answer(&built)?;
    if built.size > limits::RELEASE_IMAGE {
        return Err(Failure::new(
            Code::ChecksFailed,
            format!(
                "image {} is too large: {}, at most {}",
                built.references[0],
                bytes(built.size),
                bytes(limits::RELEASE_IMAGE)
            ),
        ));
    }
    Ok(())
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

impl Answer for Released {
    fn human(&self, style: Style, columns: Option<usize>) -> Vec<String> {
        let mut table = Table::new(["IMAGE", "SIZE", "ID"]);
        let id: String = self.id.trim_start_matches("sha256:").chars().take(12).collect();
        for reference in &self.references {
            table.row([Cell::plain(reference), Cell::plain(bytes(self.size)), Cell::plain(&id)]);
        }
        table.lines(style, columns)
    }
}
