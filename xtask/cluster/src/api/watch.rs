//! Looks at a rollout until it has ended one way or the other, and tells each workload's state as a step of its own. What
//! a look means is `crate::rollout`'s.

use std::time::Instant;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams};
use xtask::event::Outcome;
use xtask::failure::{Code, Failure};

use super::{Cluster, refused};
use crate::limits;
use crate::rollout::{
    Patience, Problem, ProblemKind, Standing, Workload, WorkloadKind, observe, observe_set,
};
use crate::steps::{Begun, Steps};

/// A workload that is looked at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Watched {
    /// Its namespace.
    pub namespace: String,
    /// Its kind.
    pub kind: WorkloadKind,
    /// Its name.
    pub name: String,
}

/// Looks at workloads once, in the order of `watched`. One that is not there is left out.
///
/// # Errors
/// When the API server does not answer.
pub async fn workloads(cluster: &Cluster, watched: &[Watched]) -> Result<Vec<Workload>, Failure> {
    let mut namespaces: Vec<&str> = watched.iter().map(|one| one.namespace.as_str()).collect();
    namespaces.dedup();
    let mut found = Vec::new();
    for namespace in namespaces {
        let deployments: Api<Deployment> = Api::namespaced(cluster.client.clone(), namespace);
        let replicas: Api<ReplicaSet> = Api::namespaced(cluster.client.clone(), namespace);
        let sets: Api<StatefulSet> = Api::namespaced(cluster.client.clone(), namespace);
        let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), namespace);
        // The workloads first: pods that are seen later than them are never older than their numbers.
        let all = ListParams::default();
        let (deployments, sets) = tokio::join!(deployments.list(&all), sets.list(&all));
        let deployments = deployments.map_err(|error| refused("list", "deployments", &error))?;
        let sets = sets.map_err(|error| refused("list", "stateful sets", &error))?;
        let (replicas, pods) = tokio::join!(replicas.list(&all), pods.list(&all));
        let replicas = replicas.map_err(|error| refused("list", "replica sets", &error))?;
        let pods = pods.map_err(|error| refused("list", "pods", &error))?;
        for one in watched.iter().filter(|one| one.namespace == namespace) {
            let named = |name: &Option<String>| name.as_deref() == Some(one.name.as_str());
            found.extend(match one.kind {
                WorkloadKind::Deployment => {
                    let deployment = deployments.items.iter().find(|it| named(&it.metadata.name));
                    deployment.map(|it| observe(it, &replicas.items, &pods.items))
                }
                WorkloadKind::StatefulSet => {
                    let set = sets.items.iter().find(|it| named(&it.metadata.name));
                    set.map(|it| observe_set(it, &pods.items))
                }
            });
        }
    }
    Ok(found)
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aim {
    /// Every workload is rolled out.
    All,
    /// The same, but for pods that no node has room for: what is put back was so before.
    AllThatFit,
}

/// Waits until all workloads are rolled out.
///
/// # Errors
/// The problems that keep one from it, as soon as they cannot be expected to pass: [`Code::NotHealthy`] by
/// [`failure`].
pub async fn await_rollout(
    cluster: &Cluster,
    watched: &[Watched],
    aim: Aim,
    steps: &Steps,
) -> Result<Vec<Workload>, (Failure, Vec<(String, Problem)>)> {
    let mut lines: Vec<(String, Begun)> = Vec::new();
    let begun = Instant::now();
    let mut told = begun;
    let mut patience = Patience::default();
    let ended = loop {
        let seen = match workloads(cluster, watched).await {
            Ok(seen) => seen,
            // What cannot be seen for a moment may go well all the same.
            Err(_) if told.elapsed() < limits::UNTOLD => {
                tokio::time::sleep(limits::LOOK_PAUSE).await;
                continue;
            }
            Err(failure) => break Err((failure, Vec::new())),
        };
        told = Instant::now();
        show(&seen, &mut lines, steps);
        let stands = |workload: &Workload| {
            workload.standing() == Standing::Done || (aim == Aim::AllThatFit && workload.lacks_only_room())
        };
        if seen.len() == watched.len() && seen.iter().all(stands) {
            break Ok(seen);
        }
        let problems: Vec<Problem> = seen.iter().flat_map(Workload::problems).collect();
        let overdue = patience.overdue(&problems, begun.elapsed());
        if !overdue.is_empty() || begun.elapsed() > limits::ROLLOUT {
            break Err(failure(&overdue, watched));
        }
        tokio::time::sleep(limits::LOOK_PAUSE).await;
    };
    for (name, step) in lines {
        let outcome = match &ended {
            Ok(_) => Outcome::Done { detail: Some("ready".to_owned()) },
            Err((failure, problems)) => match problems.iter().find(|(_, problem)| problem.workload == name) {
                Some((_, problem)) => Outcome::Failed { message: problem.to_string() },
                None => match problems.first() {
                    Some((_, first)) => Outcome::Skipped { because: rolling_out(&first.workload) },
                    None => Outcome::Failed { message: failure.message.clone() },
                },
            },
        };
        steps.end(step, outcome);
    }
    ended
}

/// One line for each workload that is not ready, from when it is first seen so.
fn show(seen: &[Workload], lines: &mut Vec<(String, Begun)>, steps: &Steps) {
    for workload in seen {
        let known = lines.iter().position(|(name, _)| *name == workload.name);
        match (known, workload.standing() == Standing::Done) {
            (Some(place), true) => {
                let (_, step) = lines.remove(place);
                steps.end(step, Outcome::Done { detail: Some(format!("{} ready", workload.available)) });
            }
            (Some(place), false) => lines[place].1.reporter.message(workload.told()),
            (None, true) => {}
            (None, false) => {
                let step = steps.begin(rolling_out(&workload.name), Some(&workload.name));
                step.reporter.message(workload.told());
                lines.push((workload.name.clone(), step));
            }
        }
    }
}

/// What to do when the nodes are full.
const FULL: &str = "`kubectl -n hello get hpa` shows how many pods the autoscaler asks for; it takes back what a load made it \
                    add within ten minutes";

/// The title of a workload's step.
fn rolling_out(workload: &str) -> String {
    format!("roll out {workload}")
}

fn failure(overdue: &[Problem], watched: &[Watched]) -> (Failure, Vec<(String, Problem)>) {
    let namespace = |problem: &Problem| {
        let one = watched.iter().find(|one| one.name == problem.workload);
        one.map(|one| one.namespace.clone()).unwrap_or_default()
    };
    let message = match overdue {
        [] => format!("the rollout did not end within {} s", limits::ROLLOUT.as_secs()),
        [only] => format!("the rollout cannot end: {only}"),
        [first, rest @ ..] => format!("the rollout cannot end: {first} (and {} more)", rest.len()),
    };
    let full = !overdue.is_empty() && overdue.iter().all(|one| one.kind == ProblemKind::Unschedulable);
    let failure = Failure::new(Code::NotHealthy, message);
    let failure = if full { failure.hint(FULL) } else { failure };
    let problems = overdue.iter().map(|problem| (namespace(problem), problem.clone())).collect();
    (failure, problems)
}
