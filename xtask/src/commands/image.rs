//! `cargo xtask image …`: where the stack's images come from, and getting them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use super::Context;
use crate::checklist::Checklist;
use crate::cli;
use crate::engine::Engine;
use crate::event::StepId;
use crate::failure::{Code, Failure};
use crate::images::{self, Availability, BUNDLE_DIRECTORY, ImageReport, Release, Released};
use crate::plan::{Action, Plan};
use crate::process::Program;
use crate::session::Session;
use crate::stack::ImageReference;
use crate::ui::{Answer, Cell, Role, Style, Table};

/// Runs `image`.
///
/// # Errors
/// When the engine does not answer, an image is unknown, or one cannot be obtained.
pub async fn run(context: &Context, command: &cli::Image) -> Result<(), Failure> {
    context.make_credentials()?;
    match command {
        cli::Image::List => list(context).await,
        cli::Image::Pull => {
            let session = context.session(false).await?;
            obtain_missing(&session).await
        }
        cli::Image::Save { names, dir } => save(context, names, dir.as_deref()).await,
        cli::Image::Load { dir } => load(context, dir.as_deref()).await,
        cli::Image::Build { tag, platform } => build(context, tag, platform.as_deref()).await,
    }
}

/// Gets every image of the stack that is missing and that the host's cargo does not make; optional ones when a source
/// has them.
///
/// # Errors
/// When one that is needed can be had nowhere, or fails.
pub async fn obtain_missing(session: &Session) -> Result<(), Failure> {
    let mut observed = session.observe().await?;
    // Only images: as if there were no containers, and as if the build were done.
    observed.containers.clear();
    observed.stale_builds.clear();
    for service in session.stack.services.values().filter(|service| service.homeport.package.is_some()) {
        let present = Availability::Present { id: String::new(), origin: String::new(), stale: None };
        observed.images.insert(service.image.clone(), present);
    }
    let full = session.plan_up(&observed, &crate::plan::Wanted::default())?;
    let plan = only_images(&full);
    session.carry_out(&plan, &observed).await
}

/// The steps that obtain images; their needs point at each other only.
fn only_images(full: &Plan) -> Plan {
    let mut numbers: BTreeMap<StepId, StepId> = BTreeMap::new();
    let mut plan = Plan { steps: Vec::new(), notes: full.notes.clone() };
    for (id, step) in full.numbered().filter(|(_, step)| matches!(step.action, Action::ObtainImage { .. })) {
        let mut step = step.clone();
        step.needs.iter_mut().for_each(|need| need.step = numbers[&need.step]);
        plan.steps.push(step);
        numbers.insert(id, StepId(u32::try_from(plan.steps.len()).expect("a plan is short")));
    }
    plan
}

/// What `image list` answers with.
#[derive(Debug, Serialize)]
struct Listing {
    images: Vec<ImageReport>,
}

async fn list(context: &Context) -> Result<(), Failure> {
    let session = context.session(false).await?;
    let needed = crate::session::needed_images(&session.stack);
    let images = images::list(&session.engine, &needed, &session.sources).await?;
    context.answer(&Listing { images })
}

impl Answer for Listing {
    fn human(&self, style: Style, columns: Option<usize>) -> Vec<String> {
        let mut table = Table::new(["IMAGE", "STATE", "SOURCE", "SIZE", "ID"]);
        for report in &self.images {
            let (role, state) = match (report.present, report.reasons.is_empty()) {
                (true, _) => (Role::Good, "present"),
                (false, true) => (Role::Caution, "obtainable"),
                (false, false) => (Role::Bad, "unavailable"),
            };
            let source =
                if report.reasons.is_empty() { report.source.clone() } else { report.reasons.join("; ") };
            let id = report.id.as_deref().unwrap_or("").trim_start_matches("sha256:");
            table.row([
                Cell::plain(&report.reference),
                Cell::new(role, state),
                Cell::plain(source),
                Cell::plain(report.size.map(crate::ui::bytes).unwrap_or_default()),
                // As docker shows it: the first twelve digits.
                Cell::plain(id.get(..12).unwrap_or(id)),
            ]);
        }
        table.lines(style, columns)
    }
}

/// The directory of bundles: the one given, else the environment's.
fn bundle_directory(dir: Option<&Path>) -> Result<PathBuf, Failure> {
    let by_environment =
        || std::env::var_os(BUNDLE_DIRECTORY).filter(|value| !value.is_empty()).map(PathBuf::from);
    dir.map(Path::to_owned).or_else(by_environment).ok_or_else(|| {
        Failure::new(Code::Usage, "no directory for bundles")
            .hint(format!("give --dir, or set {BUNDLE_DIRECTORY}"))
    })
}

async fn save(context: &Context, names: &[String], dir: Option<&Path>) -> Result<(), Failure> {
    let directory = bundle_directory(dir)?;
    let session = context.session(true).await?;
    let references: Vec<ImageReference> = if names.is_empty() {
        let needed = crate::session::needed_images(&session.stack);
        let reports = images::list(&session.engine, &needed, &session.sources).await?;
        reports
            .into_iter()
            .filter(|report| report.present)
            .map(|report| ImageReference::new(report.reference))
            .collect()
    } else {
        names.iter().map(ImageReference::new).collect()
    };
    let titles = references.iter().map(|reference| format!("save {reference}")).collect();
    let mut checklist = Checklist::announce(&context.events, &context.cancel, titles);
    for reference in &references {
        checklist
            .step(async |reporter| {
                let saved = images::save(&session.engine, reference, &directory, reporter).await?;
                Ok(((), Some(format!("{}, {}", saved.path.display(), crate::ui::bytes(saved.size)))))
            })
            .await?;
    }
    Ok(())
}

async fn load(context: &Context, dir: Option<&Path>) -> Result<(), Failure> {
    let directory = bundle_directory(dir)?;
    let engine = Engine::connect().await?;
    let bundles = images::bundles(&directory)?;
    if bundles.is_empty() {
        return Err(Failure::new(Code::Usage, format!("{} holds no bundle", directory.display()))
            .hint("`cargo xtask image save` makes them"));
    }
    let title = |path: &PathBuf| format!("load {}", path.file_name().unwrap_or_default().to_string_lossy());
    let titles = bundles.iter().map(title).collect();
    let mut checklist = Checklist::announce(&context.events, &context.cancel, titles);
    for path in &bundles {
        checklist
            .step(async |reporter| {
                let loaded = images::load(&engine, path, reporter).await?;
                Ok(((), Some(loaded.images.join(", "))))
            })
            .await?;
    }
    Ok(())
}

/// The package whose program a release is.
const RELEASED: &str = "service";

async fn build(context: &Context, tags: &[String], platform: Option<&str>) -> Result<(), Failure> {
    let session = context.session(false).await?;
    let revision = revision(context).await;
    let references = if tags.is_empty() {
        vec![ImageReference::new(format!("homeport/{RELEASED}:{}", env!("CARGO_PKG_VERSION")))]
    } else {
        tags.iter().map(ImageReference::new).collect()
    };
    let release = Release {
        root: context.project.root().to_owned(),
        package: RELEASED.to_owned(),
        references,
        platform: platform.map(str::to_owned),
        arguments: [("VERSION", env!("CARGO_PKG_VERSION").to_owned()), ("REVISION", revision)]
            .map(|(name, value)| (name.to_owned(), value))
            .into(),
        labels: BTreeMap::new(),
    };
    let mut checklist = Checklist::announce(
        &context.events,
        &context.cancel,
        vec![format!("build {}", release.references[0])],
    );
    let released = checklist
        .step(async |reporter| {
            let compiler = release.compiler(&session.engine, &session.sources).await?;
            let released = release.build(&session.engine, compiler, reporter).await?;
            let size = crate::ui::bytes(released.size);
            Ok((released, Some(size)))
        })
        .await?;
    context.answer(&ReleaseAnswer(released))
}

/// The commit that is built, `unknown` outside git, with `-dirty` when the work tree differs from it.
async fn revision(context: &Context) -> String {
    let git = |arguments: &[&str]| {
        Program::new("git", GIT).args(arguments.iter().copied()).directory(context.project.root())
    };
    let Ok(commit) = git(&["rev-parse", "HEAD"]).output().await else { return "unknown".to_owned() };
    let dirty =
        git(&["status", "--porcelain"]).output().await.is_ok_and(|changes| !changes.trim().is_empty());
    format!("{}{}", commit.trim(), if dirty { "-dirty" } else { "" })
}

/// How long git may take to look at the work tree: well under a second, ten on a cold disk.
const GIT: Duration = Duration::from_secs(10);

/// What `image build` answers with.
#[derive(Debug, Serialize)]
#[serde(transparent)]
struct ReleaseAnswer(Released);

impl Answer for ReleaseAnswer {
    fn human(&self, _: Style, _: Option<usize>) -> Vec<String> {
        self.0.references.iter().map(|reference| format!("{reference} {}", self.0.id)).collect()
    }
}
