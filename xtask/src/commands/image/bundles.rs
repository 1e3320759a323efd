//! `cargo xtask image save` and `load`: images to files and back.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::checklist::Checklist;
use crate::commands::Context;
use crate::engine::Engine;
use crate::event::StepReporter;
use crate::failure::{Code, Failure};
use crate::images::{self, BUNDLE_DIRECTORY, Loaded, Saved, Sources};
use crate::quantity::bytes;
use crate::stack::ImageReference;
use crate::ui::{Answer, Cell, Style, Table};

#[derive(Debug, Serialize)]
struct AllSaved {
    saved: Vec<Saved>,
}

#[derive(Debug, Serialize)]
struct AllLoaded {
    loaded: Vec<Loaded>,
}

/// Writes the named images, or those of the stack that the engine holds, one bundle each.
///
/// # Errors
/// When no directory is named, an image is not in the engine, or a file cannot be written.
pub(super) async fn save(context: &Context, named: &[String], dir: Option<&Path>) -> Result<(), Failure> {
    let directory = directory(context, dir)?;
    let (engine, references) = if named.is_empty() {
        let (session, _) = context.session_as_found(true).await?;
        let needed = crate::session::needed_images(&session.stack);
        let reports = images::list(&session.engine, &needed, &session.sources).await?;
        let held = reports.into_iter().filter(|report| report.size.is_some()).map(|report| report.reference);
        (session.engine, held.collect())
    } else {
        (Engine::connect().await?, named.iter().map(ImageReference::new).collect::<Vec<_>>())
    };
    let titles: Vec<String> = references.iter().map(|reference| format!("save image {reference}")).collect();
    let mut checklist = Checklist::announce(&context.events, &context.cancel, titles);
    let mut saved = Vec::new();
    for reference in &references {
        let work = async |reporter: &StepReporter| {
            let one = images::save(&engine, reference, &directory, reporter).await?;
            let detail = bytes(one.size);
            Ok((one, Some(detail)))
        };
        saved.push(checklist.step(work).await?);
    }
    context.answer(&AllSaved { saved })
}

/// Reads the named files, or all bundles of the directory.
///
/// # Errors
/// When no directory is named, a file cannot be read, or the engine refuses it.
pub(super) async fn load(context: &Context, files: &[PathBuf], dir: Option<&Path>) -> Result<(), Failure> {
    let files = if files.is_empty() { images::bundles(&directory(context, dir)?)? } else { files.to_vec() };
    let engine = Engine::connect().await?;
    let name = |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let titles: Vec<String> = files.iter().map(|path| format!("load bundle {}", name(path))).collect();
    let mut checklist = Checklist::announce(&context.events, &context.cancel, titles);
    let mut loaded = Vec::new();
    for path in &files {
        let work = async |reporter: &StepReporter| {
            let one = images::load(&engine, path, reporter).await?;
            let detail = one.images.join(", ");
            Ok((one, Some(detail)))
        };
        loaded.push(checklist.step(work).await?);
    }
    context.answer(&AllLoaded { loaded })
}

fn directory(context: &Context, given: Option<&Path>) -> Result<PathBuf, Failure> {
    let sources = Sources::of_checkout(context.project.root(), true);
    given.map(Path::to_owned).or(sources.bundles).ok_or_else(|| {
        Failure::new(Code::Usage, "no directory is named for the bundles")
            .hint(format!("name one with --dir, or set {BUNDLE_DIRECTORY}"))
    })
}

impl Answer for AllSaved {
    fn human(&self, style: Style, columns: Option<usize>) -> Vec<String> {
        let mut table = Table::new(["IMAGE", "SIZE", "FILE"]);
        for saved in &self.saved {
            table.row([
                Cell::plain(&saved.reference),
                Cell::plain(bytes(saved.size)),
                Cell::plain(saved.path.display().to_string()),
            ]);
        }
        table.lines(style, columns)
    }
}

impl Answer for AllLoaded {
    fn human(&self, style: Style, columns: Option<usize>) -> Vec<String> {
        let mut table = Table::new(["FILE", "IMAGES"]);
        for loaded in &self.loaded {
            table
                .row([Cell::plain(loaded.path.display().to_string()), Cell::plain(loaded.images.join(", "))]);
        }
        table.lines(style, columns)
    }
}
