//! What the autoscaler sees and does.

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use kube::api::Api;
use xtask::failure::Failure;

use super::{Cluster, refused};

/// One look at an autoscaler.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Scaling {
    /// Pods there are.
    pub current: i32,
    /// Pods that it wants.
    pub desired: i32,
    /// The processor's use in percent of what the pods ask for, as it was measured last.
    pub cpu_percent: Option<i32>,
}

/// Looks at an autoscaler; `None` when there is none.
///
/// # Errors
/// When the API server refuses.
pub async fn scaling(cluster: &Cluster, namespace: &str, name: &str) -> Result<Option<Scaling>, Failure> {
    let api: Api<HorizontalPodAutoscaler> = Api::namespaced(cluster.client.clone(), namespace);
    let found = api.get_opt(name).await.map_err(|error| refused("read autoscaler", name, &error))?;
    Ok(found.and_then(|scaler| scaler.status).map(|status| Scaling {
        current: status.current_replicas.unwrap_or(0),
        desired: status.desired_replicas,
        cpu_percent: status
            .current_metrics
            .unwrap_or_default()
            .into_iter()
            .filter_map(|metric| metric.resource)
            .find(|resource| resource.name == "cpu")
            .and_then(|resource| resource.current.average_utilization),
    }))
}
