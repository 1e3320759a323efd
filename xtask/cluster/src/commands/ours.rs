//! Our kind cluster as a command finds it: absent, ours and well, half made by a killed run, broken, or somebody else's. The
//! last two are named and left alone.

use std::collections::BTreeMap;

use xtask::commands::Context;
use xtask::engine::Engine;
use xtask::event::StepReporter;
use xtask::failure::{Code, Failure};
use xtask::project::{Lock, Project, lock_of};
use xtask::stack::ProjectName;

use crate::api::Cluster;
use crate::kind::{DIRECTORY_LABEL, Kind, Node, NodeImages, OWNER_LABEL, node_image};
use crate::limits;
use crate::steps::Finished;

/// The cluster and the node that publishes its ports.
#[derive(Debug, Clone)]
pub(super) struct Ours {
    pub(super) kind: Kind,
    pub(super) cluster: Cluster,
    pub(super) node: Node,
}

/// What is there of our name.
pub(super) enum Found {
    Absent,
    Ours(Box<Ours>),
    /// Made by this checkout, or being made when the run was killed; it does not answer.
    OursBroken(String),
    /// It answers and has another owner, or does not answer and nothing says that it is ours.
    Foreign(String),
}

/// The kind cluster of this checkout's project.
pub(super) fn of_project(context: &Context) -> Result<Kind, Failure> {
    let (stack, ..) = context.project.stack_as_found()?;
    Ok(Kind::new(stack.project.as_str(), &context.project))
}

/// One command of this checkout at a time changes a cluster. Not the lock of the development stack: both may be at work at
/// once. `cluster` is the name by which kind knows it.
pub(super) async fn exclusively(context: &Context, cluster: &str, command: &str) -> Result<Lock, Failure> {
    locked(context, cluster, &format!("kind cluster {cluster}"), command).await
}

async fn locked(context: &Context, name: &str, what: &str, command: &str) -> Result<Lock, Failure> {
    lock_of(&context.project, &ProjectName::new(format!("{name}-cluster")), what, command).await
}

/// The same for a cluster that the user names. Another machine has other locks; there it is the number of the revision,
/// which only one of two can take, that lets one of them fail.
pub(super) async fn exclusively_by_context(
    context: &Context,
    name: &str,
    command: &str,
) -> Result<Lock, Failure> {
    locked(context, &lock_name(name), &format!("cluster {name}"), command).await
}

/// kind calls the context of its cluster X `kind-X`. Others' names hold slashes and colons, which no file's name can have.
fn lock_name(context: &str) -> String {
    if let Some(cluster) = context.strip_prefix("kind-") {
        return cluster.to_owned();
    }
    let safe = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    format!("context-{}", context.chars().map(safe).collect::<String>())
}

/// Looks for it.
pub(super) async fn find(kind: &Kind, reporter: &StepReporter) -> Result<Found, Failure> {
    let half_made = kind.is_half_made(reporter).await?;
    let nodes = kind.nodes().await?;
    let Some(node) = nodes.iter().find(|node| node.name == kind.node()) else {
        return Ok(match nodes.first() {
            None => Found::Absent,
            Some(other) => {
                broken(kind, half_made, other, format!("its node {} has another name", other.name))
            }
        });
    };
    if !node.runs() {
        return Ok(broken(kind, half_made, node, format!("its node {} is {}", node.name, node.state)));
    }
    let kubeconfig = match kind.kubeconfig(node).await {
        Ok(kubeconfig) => kubeconfig,
        Err(failure) if failure.code == Code::ProgramMissing => return Err(failure),
        Err(failure) => return Ok(broken(kind, half_made, node, failure.message)),
    };
    let cluster = Cluster::by_kubeconfig(kind.name(), &kubeconfig).await?;
    match cluster.node_labels(limits::CLUSTER_ANSWER).await {
        Ok(labels) if labels.get(OWNER_LABEL).is_some_and(|owner| owner == kind.name()) => {
            if let Some(seen) = made_elsewhere(kind, &labels) {
                return Ok(Found::Foreign(seen));
            }
            Ok(Found::Ours(Box::new(Ours { kind: kind.clone(), cluster, node: node.clone() })))
        }
        Ok(labels) => {
            let owner = labels.get(OWNER_LABEL);
            let owner = owner.map_or_else(|| "nobody".to_owned(), |owner| format!("project {owner}"));
            Ok(Found::Foreign(format!("its label {OWNER_LABEL} names {owner}")))
        }
        Err(seen) => Ok(broken(kind, half_made, node, format!("it does not answer: {seen}"))),
    }
}

/// What shows that another checkout of the same project's name has made it. Whoever names the project in the environment
/// means that one, and a cluster from before it was noted is everybody's.
fn made_elsewhere(kind: &Kind, labels: &BTreeMap<String, String>) -> Option<String> {
    if Project::is_named_by_environment() {
        return None;
    }
    let directory = labels.get(DIRECTORY_LABEL)?;
    let here = format!("d{}", kind.directory());
    (*directory != here)
        .then(|| format!("its label {DIRECTORY_LABEL} is {directory}, this checkout's would be {here}"))
}

fn broken(kind: &Kind, half_made: bool, node: &Node, seen: String) -> Found {
    if half_made || kind.is_made_here(node) { Found::OursBroken(seen) } else { Found::Foreign(seen) }
}

/// Finds it, for commands that need it to be there.
pub(super) async fn existing(kind: &Kind, reporter: &StepReporter) -> Result<Ours, Failure> {
    match find(kind, reporter).await? {
        Found::Ours(ours) => Ok(*ours),
        Found::Absent => {
            Err(Failure::new(Code::ClusterUnusable, format!("there is no kind cluster {}", kind.name()))
                .hint("`cargo xtask deploy-kind` makes it"))
        }
        Found::OursBroken(seen) | Found::Foreign(seen) => Err(left_alone(kind, &seen)),
    }
}

/// Finds it, or makes it. With `recreate` makes it anew. Returns with it the images of its node.
pub(super) async fn ensure(
    kind: &Kind,
    engine: &Engine,
    recreate: bool,
    reporter: &StepReporter,
) -> Result<Finished<(Ours, NodeImages)>, Failure> {
    let half_made = kind.is_half_made(reporter).await?;
    // Asked at once: each takes as long as the other, and most often the cluster is there.
    let (found, images) = tokio::join!(find(kind, reporter), kind.images());
    match found? {
        Found::Foreign(seen) => return Err(left_alone(kind, &seen)),
        // One that was being made when the run was killed may answer and still lack its storage or its network: kind ends
        // when nobody reads any more what it says. It has no data yet.
        Found::Ours(ours) if !recreate && !half_made => {
            kind.note_made(&ours.node)?;
            return Ok(Finished::unchanged((*ours, images?)));
        }
        Found::OursBroken(seen) if !recreate && !half_made => {
            return Err(Failure::new(
                Code::ClusterUnusable,
                format!("kind cluster {} is there and cannot be used: {seen}", kind.name()),
            )
            .hint(format!(
                "`docker start {}` where the machine was restarted; `cargo xtask deploy-kind --recreate` makes it anew, without its data",
                kind.node()
            )));
        }
        Found::OursBroken(_) | Found::Ours(_) => {
            reporter.message("deleting the old one");
            kind.delete().await?;
        }
        Found::Absent => {}
    }
    refuse_taken_ports(kind, engine).await?;
    let images = engine.images().await?;
    let tags: Vec<String> = images.into_iter().flat_map(|image| image.tags).collect();
    kind.create(node_image(&tags).as_deref(), reporter).await?;
    reporter.message("waiting for its API");
    let begun = std::time::Instant::now();
    loop {
        match find(kind, reporter).await? {
            Found::Ours(ours) => {
                kind.note_made(&ours.node)?;
                return Ok(Finished::changed((*ours, kind.images().await?), "made"));
            }
            Found::OursBroken(_) | Found::Foreign(_) if begun.elapsed() < limits::CLUSTER_READY => {
                tokio::time::sleep(limits::LOOK_PAUSE).await;
            }
            Found::Absent => return Err(left_alone(kind, "it is gone again")),
            Found::OursBroken(seen) | Found::Foreign(seen) => return Err(left_alone(kind, &seen)),
        }
    }
}

/// What somebody else may own is named, with the commands with which they can judge it.
pub(super) fn left_alone(kind: &Kind, seen: &str) -> Failure {
    let name = kind.name();
    Failure::new(
        Code::ClusterUnusable,
        format!(
            "kind cluster {name} is not one that this project made, or is broken, and was left alone: {seen}"
        ),
    )
    .hint(format!(
        "if it may go: `kind delete cluster --name {name}`; or choose another name with HOMEPORT_PROJECT"
    ))
}

async fn refuse_taken_ports(kind: &Kind, engine: &Engine) -> Result<(), Failure> {
    use xtask::doctor::{PortState, ports};
    let published = engine.published_ports().await?;
    for mapping in kind.wanted_ports()? {
        let by = match ports::state(mapping.host, None, &published).await {
            PortState::Taken(Some(holder)) => format!("taken by {holder}"),
            PortState::Taken(None) => "taken by a process that this user may not see".to_owned(),
            PortState::Refused(why) => format!("not to be had: {why}"),
            _ => continue,
        };
        let message =
            format!("cannot map NodePort {}: port {} on 127.0.0.1 is {by}", mapping.node, mapping.host);
        return Err(Failure::new(Code::PortTaken, message)
            .hint(format!("stop it, or choose another port: {}=…", Kind::port_variable(mapping.node))));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_cluster_has_one_lock_by_either_name() {
        assert_eq!(lock_name("kind-homeport"), "homeport");
        assert_eq!(
            lock_name("arn:aws:eks:eu-1:1:cluster/prod.a"),
            "context-arn_aws_eks_eu-1_1_cluster_prod_a"
        );
    }
}
