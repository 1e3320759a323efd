//! Looks at a rollout until it has ended one way or the other, and tells each Deployment's state as a step of its own. What
//! a look means is `crate::rollout`'s.

use std::time::Instant;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams};
use xtask::event::Outcome;
use xtask::failure::{Code, Failure};

use super::{Cluster, refused};
use crate::limits;
use crate::rollout::{Patience, Problem, Standing, Workload, observe};
use crate::steps::{Begun, Steps};

/// A Deployment that is looked at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Watched {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// Looks at Deployments once, in the order of `watched`. One that is not there is left out.
///
/// # Errors
/// When the API server does not answer.
pub async fn workloads(cluster: &Cluster, watched: &[Watched]) -> Result<Vec<Workload>, Failure> {
    let mut namespaces: Vec<&str> = watched.iter().map(|one| one.namespace.as_str()).collect();
    namespaces.dedup();
    let mut found = Vec::new();
    for namespace in namespaces {
        let deployments: Api<Deployment> = Api::namespaced(cluster.client.clone(), namespace);
        let sets: Api<ReplicaSet> = Api::namespaced(cluster.client.clone(), namespace);
        let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), namespace);
        // The Deployment first: pods that are seen later than it are never older than its numbers.
        let all = ListParams::default();
        let deployments =
            deployments.list(&all).await.map_err(|error| refused("list", "deployments", &error))?;
        let (sets, pods) = tokio::join!(sets.list(&all), pods.list(&all));
        let sets = sets.map_err(|error| refused("list", "replica sets", &error))?;
        let pods = pods.map_err(|error| refused("list", "pods", &error))?;
        for one in watched.iter().filter(|one| one.namespace == namespace) {
            let deployment =
                deployments.items.iter().find(|d| d.metadata.name.as_deref() == Some(one.name.as_str()));
            found.extend(deployment.map(|deployment| observe(deployment, &sets.items, &pods.items)));
        }
    }
    Ok(found)
}

/// Waits until all Deployments are rolled out.
///
/// # Errors
/// The problems that keep one from it, as soon as they cannot be expected to pass: [`Code::NotHealthy`] by
/// [`failure`].
pub async fn await_rollout(
    cluster: &Cluster,
    watched: &[Watched],
    steps: &Steps,
) -> Result<Vec<Workload>, (Failure, Vec<(String, Problem)>)> {
    let mut lines: Vec<(String, Begun)> = Vec::new();
    let begun = Instant::now();
    let mut patience = Patience::default();
    let ended = loop {
        let seen = match workloads(cluster, watched).await {
            Ok(seen) => seen,
            Err(failure) => break Err((failure, Vec::new())),
        };
        show(&seen, &mut lines, steps);
        if seen.len() == watched.len() && seen.iter().all(|workload| workload.standing() == Standing::Done) {
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
                None => Outcome::Skipped { because: failure.message.clone() },
            },
        };
        steps.end(step, outcome);
    }
    ended
}

/// One line for each Deployment that is not ready, from when it is first seen so.
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
                let step = steps.begin(format!("roll out {}", workload.name), Some(&workload.name));
                step.reporter.message(workload.told());
                lines.push((workload.name.clone(), step));
            }
        }
    }
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
    let problems = overdue.iter().map(|problem| (namespace(problem), problem.clone())).collect();
    (Failure::new(Code::NotHealthy, message), problems)
}
