//! What is shown of pods that failed: their events and the last lines of their containers' logs.

use k8s_openapi::api::core::v1::{Event, Pod};
use kube::api::{Api, ListParams, LogParams};

use super::Cluster;
use crate::limits;
use crate::rollout::Problem;

/// Pods that are shown: replicas of one template fail alike.
const PODS: usize = 2;

/// The lines for a person, each problem's pod once. What cannot be read is told as such and hides nothing else.
pub async fn evidence(cluster: &Cluster, problems: &[(String, Problem)]) -> Vec<String> {
    let mut pods: Vec<(&str, &str)> = Vec::new();
    for (namespace, problem) in problems {
        if let Some(pod) = &problem.pod
            && !pods.contains(&(namespace.as_str(), pod.as_str()))
        {
            pods.push((namespace, pod));
        }
    }
    let mut lines = Vec::new();
    for (namespace, pod) in pods.into_iter().take(PODS) {
        lines.extend(events(cluster, namespace, pod).await);
        lines.extend(logs(cluster, namespace, pod).await);
    }
    lines
}

async fn events(cluster: &Cluster, namespace: &str, pod: &str) -> Vec<String> {
    let api: Api<Event> = Api::namespaced(cluster.client.clone(), namespace);
    let selector = ListParams::default().fields(&format!("involvedObject.name={pod}"));
    let list = match api.list(&selector).await {
        Ok(list) => list.items,
        Err(error) => return vec![format!("events of pod {pod}: {}", super::told(&error))],
    };
    let mut lines = vec![format!("events of pod {pod}:")];
    let surplus = list.len().saturating_sub(limits::EVENTS);
    lines.extend(list.into_iter().skip(surplus).map(|event| {
        let (reason, message) = (event.reason.unwrap_or_default(), event.message.unwrap_or_default());
        let times =
            event.count.filter(|count| *count > 1).map(|n| format!(" ({n} times)")).unwrap_or_default();
        format!("  {reason}: {}{times}", message.trim())
    }));
    lines
}

async fn logs(cluster: &Cluster, namespace: &str, pod: &str) -> Vec<String> {
    let api: Api<Pod> = Api::namespaced(cluster.client.clone(), namespace);
    let status = match api.get_opt(pod).await {
        Ok(found) => found.and_then(|pod| pod.status).unwrap_or_default(),
        Err(error) => return vec![format!("logs of pod {pod}: {}", super::told(&error))],
    };
    let containers = status.init_container_statuses.unwrap_or_default();
    let containers = containers.into_iter().chain(status.container_statuses.unwrap_or_default());
    let mut lines = Vec::new();
    for container in containers.filter(|container| !container.ready) {
        // What one that waits for its restart has said is the log of the run before.
        let runs = container.state.as_ref().is_some_and(|state| state.running.is_some());
        let parameters = LogParams {
            container: Some(container.name.clone()),
            tail_lines: Some(limits::LAST_LINES),
            previous: container.restart_count > 0 && !runs,
            ..LogParams::default()
        };
        let Ok(text) = api.logs(pod, &parameters).await else { continue };
        lines.push(format!("last lines of {} in pod {pod}:", container.name));
        if text.trim().is_empty() {
            lines.push("  (it logged nothing)".to_owned());
        }
        lines.extend(text.lines().map(|line| format!("  {line}")));
    }
    lines
}
