//! The API's objects → the states that are judged. Pure.

use std::time::Duration;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod as ApiPod, Probe};

use super::{Container, ContainerState, Pod, Workload, WorkloadKind};

/// The annotation by which the Deployment's controller counts templates, on it and on its `ReplicaSet`s.
const TEMPLATE_NUMBER: &str = "deployment.kubernetes.io/revision";

/// One Deployment with its pods, out of all `ReplicaSet`s and pods of its namespace.
pub fn observe(deployment: &Deployment, sets: &[ReplicaSet], pods: &[ApiPod]) -> Workload {
    let spec = deployment.spec.as_ref();
    let status = deployment.status.clone().unwrap_or_default();
    let condition = |wanted: &str| {
        let conditions = status.conditions.as_deref().unwrap_or_default();
        conditions.iter().find(|condition| condition.type_ == wanted).cloned()
    };
    let number = |annotations: Option<&std::collections::BTreeMap<String, String>>| {
        annotations.and_then(|all| all.get(TEMPLATE_NUMBER)).cloned()
    };
    let newest = number(deployment.metadata.annotations.as_ref());
    let owned = sets.iter().filter(|set| {
        let owners = set.metadata.owner_references.as_deref().unwrap_or_default();
        owners.iter().any(|owner| Some(&owner.uid) == deployment.metadata.uid.as_ref())
    });
    let mut members = Vec::new();
    for set in owned {
        let current = newest.is_some() && number(set.metadata.annotations.as_ref()) == newest;
        let of_set = pods.iter().filter(|pod| {
            let owners = pod.metadata.owner_references.as_deref().unwrap_or_default();
            owners.iter().any(|owner| Some(&owner.uid) == set.metadata.uid.as_ref())
        });
        members.extend(of_set.map(|pod| member(pod, current)));
    }
    members.sort_by(|one, other| one.name.cmp(&other.name));
    let refusal = condition("ReplicaFailure").filter(|condition| condition.status == "True");
    let containers = spec.and_then(|spec| spec.template.spec.as_ref()).map(|pod| pod.containers.as_slice());
    Workload {
        kind: WorkloadKind::Deployment,
        name: deployment.metadata.name.clone().unwrap_or_default(),
        generation: deployment.metadata.generation.unwrap_or(0),
        observed_generation: status.observed_generation.unwrap_or(0),
        wanted: spec.and_then(|spec| spec.replicas).unwrap_or(1),
        replicas: status.replicas.unwrap_or(0),
        updated: status.updated_replicas.unwrap_or(0),
        available: status.available_replicas.unwrap_or(0),
        deadline_exceeded: condition("Progressing").and_then(|condition| condition.reason).as_deref()
            == Some("ProgressDeadlineExceeded"),
        refused: refusal.map(|condition| condition.message.unwrap_or_default()),
        image: containers.and_then(|containers| containers.first()?.image.clone()).unwrap_or_default(),
        pods: members,
    }
}

/// The label by which a `StatefulSet`'s controller says which template a pod is made from.
const TEMPLATE_HASH: &str = "controller-revision-hash";

/// One `StatefulSet` with its pods, out of all pods of its namespace. It has no deadline and is told of no refusal.
pub fn observe_set(set: &StatefulSet, pods: &[ApiPod]) -> Workload {
    let spec = set.spec.as_ref();
    let status = set.status.clone().unwrap_or_default();
    let of_set = pods.iter().filter(|pod| {
        let owners = pod.metadata.owner_references.as_deref().unwrap_or_default();
        owners.iter().any(|owner| Some(&owner.uid) == set.metadata.uid.as_ref())
    });
    let mut members: Vec<Pod> = of_set
        .map(|pod| {
            let template = pod.metadata.labels.as_ref().and_then(|labels| labels.get(TEMPLATE_HASH));
            member(pod, template.is_some() && template == status.update_revision.as_ref())
        })
        .collect();
    members.sort_by(|one, other| one.name.cmp(&other.name));
    let containers = spec.and_then(|spec| spec.template.spec.as_ref()).map(|pod| pod.containers.as_slice());
    Workload {
        kind: WorkloadKind::StatefulSet,
        name: set.metadata.name.clone().unwrap_or_default(),
        generation: set.metadata.generation.unwrap_or(0),
        observed_generation: status.observed_generation.unwrap_or(0),
        wanted: spec.and_then(|spec| spec.replicas).unwrap_or(1),
        replicas: status.replicas,
        updated: status.updated_replicas.unwrap_or(0),
        available: status.available_replicas.or(status.ready_replicas).unwrap_or(0),
        image: containers.and_then(|containers| containers.first()?.image.clone()).unwrap_or_default(),
        pods: members,
        ..Workload::default()
    }
}

/// What a startup probe's attempts may take when each one is waited for in vain; no time without a probe. What is not
/// said counts as the API's defaults.
fn may_start_for(probe: Option<&Probe>) -> Duration {
    let number = |given: Option<i32>, default: u32| {
        given.and_then(|given| u32::try_from(given).ok()).unwrap_or(default)
    };
    probe.map_or(Duration::ZERO, |probe| {
        let attempt = number(probe.period_seconds, 10) + number(probe.timeout_seconds, 1);
        let attempts = Duration::from_secs(u64::from(attempt)) * number(probe.failure_threshold, 3);
        attempts + Duration::from_secs(number(probe.initial_delay_seconds, 0).into())
    })
}

fn member(pod: &ApiPod, current: bool) -> Pod {
    let status = pod.status.clone().unwrap_or_default();
    let condition = |wanted: &str| {
        let conditions = status.conditions.as_deref().unwrap_or_default();
        conditions.iter().find(|condition| condition.type_ == wanted).cloned()
    };
    let unschedulable = condition("PodScheduled")
        .filter(|condition| {
            condition.status == "False" && condition.reason.as_deref() == Some("Unschedulable")
        })
        .map(|condition| condition.message.unwrap_or_default());
    let initialising = status.init_container_statuses.unwrap_or_default();
    let serving = status.container_statuses.clone().unwrap_or_default();
    let limit = |name: &str| {
        let all = pod.spec.iter().flat_map(|spec| &spec.containers);
        let named = all.into_iter().find(|container| container.name == name);
        may_start_for(named.and_then(|container| container.startup_probe.as_ref()))
    };
    let containers = initialising.iter().map(|status| container(status, true, Duration::ZERO));
    Pod {
        name: pod.metadata.name.clone().unwrap_or_default(),
        address: status.pod_ip.clone(),
        current,
        leaving: pod.metadata.deletion_timestamp.is_some(),
        ready: condition("Ready").is_some_and(|condition| condition.status == "True"),
        unschedulable,
        containers: containers
            .chain(serving.iter().map(|status| container(status, false, limit(&status.name))))
            .collect(),
    }
}

fn container(status: &ContainerStatus, initialises: bool, may_start_for: Duration) -> Container {
    let state = status.state.clone().unwrap_or_default();
    let state = if let Some(waiting) = state.waiting {
        ContainerState::Waiting {
            reason: waiting.reason.unwrap_or_default(),
            message: waiting.message.unwrap_or_default(),
        }
    } else if state.running.is_some() {
        ContainerState::Running { started: status.started.unwrap_or(true) }
    } else if let Some(ended) = &state.terminated {
        ContainerState::Ended(ended.exit_code)
    } else {
        ContainerState::Unknown
    };
    let last = status.last_state.clone().and_then(|last| last.terminated);
    Container {
        name: status.name.clone(),
        initialises,
        restarts: status.restart_count,
        ready: status.ready,
        may_start_for,
        state,
        last_end: last.map(|last| (last.exit_code, last.reason.unwrap_or_default())),
    }
}
