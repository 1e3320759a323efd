//! `cargo xtask image …`: where the stack's images come from, and getting them.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Context;
use crate::cli;
use crate::event::StepId;
use crate::failure::Failure;
use crate::images::{Availability, Catalogue};
use crate::plan::{Action, Plan};
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

#[derive(Debug, Serialize)]
struct Listing {
    images: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    image: ImageReference,
    state: &'static str,
    source: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
}

async fn list(context: &Context) -> Result<(), Failure> {
    let session = context.session(false).await?;
    let needed = crate::session::needed_images(&session.stack);
    let catalogue: Catalogue = crate::images::survey(&session.engine, &needed, &session.sources).await?;
    let images = catalogue.into_iter().map(|(image, availability)| match availability {
        Availability::Present { id, origin, stale } => Row {
            image,
            state: if stale.is_some() { "outdated" } else { "present" },
            source: origin,
            id: Some(id.trim_start_matches("sha256:").chars().take(12).collect()),
        },
        Availability::Obtainable(source) => {
            Row { image, state: "obtainable", source: source.to_string(), id: None }
        }
        Availability::Unavailable(reasons) => {
            Row { image, state: "unavailable", source: reasons.join("; "), id: None }
        }
    });
    context.answer(&Listing { images: images.collect() })
}

impl Answer for Listing {
    fn human(&self, style: Style, columns: Option<usize>) -> Vec<String> {
        let mut table = Table::new(["IMAGE", "STATE", "SOURCE", "ID"]);
        for row in &self.images {
            let role = match row.state {
                "present" => Role::Good,
                "unavailable" => Role::Bad,
                _ => Role::Caution,
            };
            table.row([
                Cell::plain(row.image.as_str()),
                Cell::new(role, row.state),
                Cell::plain(&row.source),
                Cell::plain(row.id.as_deref().unwrap_or("")),
            ]);
        }
        table.lines(style, columns)
    }
}
