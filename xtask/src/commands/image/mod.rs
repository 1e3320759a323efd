//! `cargo xtask image …`: where the stack's images come from, and getting them.

mod bundles;
pub(crate) mod identity;
mod release;

use std::collections::BTreeMap;

use serde::Serialize;

use super::Context;
use crate::cli;
use crate::event::StepId;
use crate::failure::Failure;
use crate::images::{self, Availability, ImageReport};
use crate::plan::{Action, Plan};
use crate::session::Session;
use crate::stack::ImageReference;
use crate::ui::{Answer, Cell, Role, Style, Table};

/// Runs `image`.
///
/// # Errors
/// When the engine does not answer, an image is unknown, or one cannot be obtained.
pub async fn run(context: &Context, command: &cli::Image) -> Result<(), Failure> {
    match command {
        cli::Image::List => list(context).await,
        cli::Image::Pull => {
            let (session, _) = context.session_as_found(false).await?;
            obtain_missing(&session).await
        }
        cli::Image::Save { images, dir } => bundles::save(context, images, dir.as_deref()).await,
        cli::Image::Load { files, dir } => bundles::load(context, files, dir.as_deref()).await,
        cli::Image::Build(arguments) => release::run(context, arguments).await,
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
    session.carry_out(&plan, &observed).await?;
    Ok(())
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

#[derive(Debug, Serialize)]
struct Listing {
    images: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    image: ImageReference,
    state: &'static str,
    source: String,
    /// Bytes unpacked, when the engine holds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
}

async fn list(context: &Context) -> Result<(), Failure> {
    let (session, _) = context.session_as_found(false).await?;
    let needed = crate::session::needed_images(&session.stack);
    let reports = images::list(&session.engine, &needed, &session.sources).await?;
    context.answer(&Listing { images: reports.into_iter().map(Row::from).collect() })
}

impl From<ImageReport> for Row {
    fn from(report: ImageReport) -> Self {
        let ImageReport { reference, size, availability } = report;
        let row = |state, source| Row { image: reference.clone(), state, source, size, id: None };
        match availability {
            Availability::Present { id, origin, stale } => Row {
                id: Some(id.trim_start_matches("sha256:").chars().take(12).collect()),
                ..row(if stale.is_some() { "outdated" } else { "present" }, origin)
            },
            Availability::Obtainable(source) => row("obtainable", source.to_string()),
            Availability::Unavailable(reasons) => row("unavailable", reasons.join("; ")),
        }
    }
}

impl Answer for Listing {
    fn human(&self, style: Style, columns: Option<usize>) -> Vec<String> {
        let mut table = Table::new(["IMAGE", "STATE", "SIZE", "ID", "SOURCE"]);
        for row in &self.images {
            let role = match row.state {
                "present" => Role::Good,
                "unavailable" => Role::Bad,
                _ => Role::Caution,
            };
            table.row([
                Cell::plain(row.image.as_str()),
                Cell::new(role, row.state),
                Cell::plain(row.size.map(crate::quantity::bytes).unwrap_or_default()),
                Cell::plain(row.id.as_deref().unwrap_or("")),
                Cell::plain(&row.source),
            ]);
        }
        table.lines(style, columns)
    }
}
