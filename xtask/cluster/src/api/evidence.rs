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
        // One that has never run has said nothing.
        let Some(text) = last_words(&api, pod, &container.name).await else { continue };
        lines.push(format!("last lines of {} in pod {pod}:", container.name));
        if text.is_empty() {
            lines.push("  (it logged nothing)".to_owned());
        }
        lines.extend(text.lines().map(|line| format!("  {line}")));
    }
    lines
}

/// What the kubelet answers, with status 200, when it has just removed the log that it is asked for.
const LOG_GONE: &str = "unable to retrieve container logs for ";

/// The log of a container's run: of the one that is, of the one that ended last while it waits, and where that one has said
/// nothing yet, of the one before. Empty when none has; `None` when there is no log at all.
async fn last_words(api: &Api<Pod>, pod: &str, container: &str) -> Option<String> {
    let mut found = None;
    for previous in [false, true] {
        let parameters = LogParams {
            container: Some(container.to_owned()),
            tail_lines: Some(limits::LAST_LINES),
            previous,
            ..LogParams::default()
        };
        match api.logs(pod, &parameters).await {
            Ok(text) if text.starts_with(LOG_GONE) => {}
            Ok(text) if text.trim().is_empty() => found = Some(String::new()),
            Ok(text) => return Some(text),
            Err(_) => {}
        }
    }
    found
}
