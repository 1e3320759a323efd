//! `cargo xtask rollback`: the revision before the one that stands, again, as a revision of its own: a second `rollback`
//! goes back to where the first one began.

use std::collections::BTreeMap;
use std::path::Path;

use xtask::cli;
use xtask::commands::Context;
use xtask::event::Event;
use xtask::failure::{Code, Failure};

use super::{ours, told};
use crate::api::{Cluster, Revisions};
use crate::kind::Node;
use crate::object::Object;
use crate::release::{Place, Release};
use crate::smoke::Gate;
use crate::steps::{Finished, Steps};
use crate::{manifests, revision};

/// Runs `rollback`.
///
/// # Errors
/// When there is nothing to go back to; as for `deploy-kind` otherwise.
pub async fn run(context: &Context, arguments: &cli::Rollback) -> Result<(), Failure> {
    let steps = Steps::new(context.events.clone(), None);
    if let Some(name) = &arguments.context {
        let _lock = ours::exclusively_by_context(context, name, "rollback").await?;
        let cluster = Cluster::by_context(name).await?;
        let place = Place { cluster: &cluster, gate: &Gate::Pods, force: arguments.force, steps: &steps };
        go_back(context, &place, None).await
    } else {
        let kind = ours::of_project(context)?;
        let _lock = ours::exclusively(context, kind.name(), "rollback").await?;
        let title = format!("kind cluster {}", kind.name());
        let ours = steps
            .run(title, async |reporter| Ok(Finished::unchanged(ours::existing(&kind, reporter).await?)))
            .await?;
        let gate = Gate::NodePorts(ours.node.clone());
        let place = Place { cluster: &ours.cluster, gate: &gate, force: arguments.force, steps: &steps };
        go_back(context, &place, Some(&ours.node)).await
    }
}

async fn go_back(context: &Context, place: &Place<'_>, node: Option<&Node>) -> Result<(), Failure> {
    let revisions = Revisions::new(place.cluster, &namespace(context)?).all().await?;
    let previous = revision::previous(&revisions).ok_or_else(|| {
        let failure = Failure::new(Code::Usage, "there is no earlier revision that went well");
        failure.hint(format!("cluster {} knows {} revisions", place.cluster.name(), revisions.len()))
    })?;
    context.events.note(format!("going back to revision {} ({})", previous.number, previous.version));
    let release = Release {
        version: previous.version.clone(),
        objects: previous.objects.clone(),
        platform: Vec::new(),
    };
    let (workloads, changed) = place.deploy(&release, async { Ok(()) }).await?;
    if !changed {
        context.events.note("it stands already");
    }
    context.events.send(Event::Summary { services: told::summary(&workloads, node, &BTreeMap::new()) });
    Ok(())
}

/// The namespace that revisions are kept in: the same in every overlay.
pub(super) fn namespace(context: &Context) -> Result<String, Failure> {
    let base = manifests::read(context.project.root(), Path::new("k8s/base"))?;
    let namespace = base.iter().find(|object| object.kind() == "Namespace");
    Ok(namespace.map_or("hello", Object::name).to_owned())
}
