//! `cargo xtask verify`: what is deployed is tried as its users reach it. On the kind cluster faults are then planted, one
//! after the other, and each must be rolled back with the revision before serving again. Never on a cluster that the user
//! names: its users are not to meet a planted fault.

use xtask::cli;
use xtask::commands::Context;
use xtask::failure::{Code, Failure};

use super::{ours, rollback};
use crate::api::{Cluster, Revisions};
use crate::proof::Fault;
use crate::release::{Place, Release};
use crate::revision;
use crate::smoke::{Enough, Gate};
use crate::steps::{Finished, Steps};

/// Runs `verify`.
///
/// # Errors
/// [`Code::NotHealthy`] when a smoke test fails; [`Code::ChecksFailed`] when the cluster is not as it was deployed, or a
/// planted fault was not rolled back.
pub async fn run(context: &Context, arguments: &cli::Verify) -> Result<(), Failure> {
    let steps = Steps::new(context.events.clone(), None);
    if let Some(name) = &arguments.context {
        let _lock = ours::exclusively_by_context(context, name, "verify").await?;
        let cluster = Cluster::by_context(name).await?;
        let place = Place { cluster: &cluster, gate: &Gate::Pods, force: arguments.force, steps: &steps };
        let release = unless_stopped(context, async { deployed(context, &place).await }).await?;
        unless_stopped(context, place.try_out(&release, Enough::All)).await?;
        context.events.note("no rollback is tried where others may be served");
        return Ok(());
    }
    let kind = ours::of_project(context)?;
    let _lock = ours::exclusively(context, kind.name(), "verify").await?;
    let title = format!("kind cluster {}", kind.name());
    let find =
        steps.run(title, async |reporter| Ok(Finished::unchanged(ours::existing(&kind, reporter).await?)));
    let ours = unless_stopped(context, find).await?;
    let gate = Gate::NodePorts(ours.node.clone());
    let place = Place { cluster: &ours.cluster, gate: &gate, force: arguments.force, steps: &steps };
    let release = unless_stopped(context, async { deployed(context, &place).await }).await?;
    unless_stopped(context, place.try_out(&release, Enough::All)).await?;
    for fault in Fault::ALL {
        prove(context, &place, &release, fault).await?;
    }
    context.events.note(format!(
        "{} serves; {} planted faults were rolled back",
        release.version,
        Fault::ALL.len()
    ));
    Ok(())
}

async fn unless_stopped<T>(
    context: &Context,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    context.cancel.run_until_cancelled(work).await.unwrap_or_else(|| Err(stopped()))
}

fn stopped() -> Failure {
    Failure::new(Code::Interrupted, "stopped before everything was verified")
}

/// The release that stands, if it stands as it was deployed.
async fn deployed(context: &Context, place: &Place<'_>) -> Result<Release, Failure> {
    let namespace = rollback::namespace(context)?;
    let revisions = Revisions::new(place.cluster, &namespace).all().await?;
    let good = revision::good(&revisions).ok_or_else(|| {
        Failure::new(Code::ClusterUnusable, format!("nothing is deployed on {}", place.cluster.name()))
            .hint("`cargo xtask deploy-kind`, or `cargo xtask deploy --context NAME`")
    })?;
    let release =
        Release { version: good.version.clone(), objects: good.objects.clone(), platform: Vec::new() };
    place
        .steps
        .run(format!("compare with revision {} ({})", good.number, good.version), async |_| {
            let found = place.compare(&release).await?.release;
            if found.is_empty() {
                return Ok(Finished::unchanged(()));
            }
            let message =
                format!("the cluster is not as revision {} was deployed: {}", good.number, found.told());
            Err(Failure::new(Code::ChecksFailed, message)
                .details(found.text().lines().map(str::to_owned))
                .hint("deploy again, then verify"))
        })
        .await?;
    Ok(release)
}

/// Plants a fault, and sees it rolled back and the release serve again. Leaves no revision behind: `rollback` goes where
/// it would have gone before. Ctrl-C takes the fault back first.
async fn prove(context: &Context, place: &Place<'_>, release: &Release, fault: Fault) -> Result<(), Failure> {
    let store = Revisions::new(place.cluster, release.namespace()?);
    let before: Vec<u64> = store.all().await?.iter().map(|revision| revision.number).collect();
    let told = fault.told();
    context.events.note(format!("a revision {told} is rolled out now; what fails next was planted"));
    let bad = fault.plant(release);
    let ended = context.cancel.run_until_cancelled(Box::pin(place.deploy(&bad, async { Ok(()) }))).await;
    let judged = match ended {
        Some(Err(failure)) if failure.code == Code::RolledBack => {
            context.events.note(format!("rolled back, as it must be: {}", failure.message));
            unless_stopped(context, place.try_out(release, Enough::All)).await
        }
        Some(Err(failure)) => {
            // Neither taken nor rolled back: how far it came is not known.
            place.put_again(release).await?;
            Err(failure)
        }
        Some(Ok(_)) => {
            place.put_again(release).await?;
            let message = format!("a revision {told} was taken for good, expected it to be rolled back");
            Err(Failure::new(Code::ChecksFailed, message))
        }
        None => {
            context.events.note("taking the planted fault back first");
            place.put_again(release).await?;
            Err(stopped())
        }
    };
    let now = store.all().await?;
    let made: Vec<u64> =
        now.iter().map(|revision| revision.number).filter(|number| !before.contains(number)).collect();
    store.forget(&made).await?;
    judged
}
