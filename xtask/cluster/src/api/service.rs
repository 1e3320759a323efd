//! Requests to the pods behind a Service through the API server, for clusters whose nodes this machine cannot reach.
//!
//! As `kubectl port-forward service/…` does it: the connection ends inside the pod. The API server's proxy for Services
//! would be one request less, but comes from outside the namespace, and policies that let in nobody but the Ingress
//! controller (`k8s/overlays/production`) keep it out.

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::header::{HOST, HeaderValue};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::{Pod, Service, ServicePort};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::api::{Api, ListParams};

use super::{Cluster, told};
use crate::http::{Answer, HttpError, Request};

/// Sends a request to one of the ready pods behind a Service's port.
///
/// # Errors
/// When no pod is ready, or there is no answer.
pub async fn through_pod(
    cluster: &Cluster,
    namespace: &str,
    service: &str,
    port: u16,
    request: &Request<'_>,
) -> Result<Answer, HttpError> {
    let path = request.path;
    let broken = |seen: &dyn std::fmt::Display| HttpError(format!("{service}{path}: {seen}"));
    let refused = |error: kube::Error| broken(&told(&error));
    let services: Api<Service> = Api::namespaced(cluster.client.clone(), namespace);
    let spec = services.get(service).await.map_err(refused)?.spec.unwrap_or_default();
    let selector: Vec<String> =
        spec.selector.iter().flatten().map(|(label, value)| format!("{label}={value}")).collect();
    if selector.is_empty() {
        return Err(broken(&"it selects no pods"));
    }
    let of_service = spec.ports.iter().flatten().find(|of_service| of_service.port == i32::from(port));
    let of_service = of_service.ok_or_else(|| broken(&format!("it has no port {port}")))?;
    let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), namespace);
    let found = pods.list(&ListParams::default().labels(&selector.join(","))).await.map_err(refused)?;
    let (name, port) = found
        .iter()
        .filter(|pod| is_ready(pod))
        .find_map(|pod| Some((pod.metadata.name.clone()?, target(of_service, pod)?)))
        .ok_or_else(|| broken(&"no pod behind it is ready"))?;
    let mut forwarder = pods.portforward(&name, &[port]).await.map_err(refused)?;
    let stream = forwarder.take_stream(port).ok_or_else(|| broken(&"the port is forwarded already"))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| broken(&error))?;
    // It carries the bytes of the exchange.
    let connection = tokio::spawn(connection);
    let mut request = request.build(path).map(|body| Full::new(Bytes::from(body)));
    request.headers_mut().insert(HOST, HeaderValue::from_static("localhost"));
    let exchange = async {
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok::<_, hyper::Error>(Answer {
            status: head.status.as_u16(),
            headers: head.headers,
            body: body.to_vec(),
        })
    };
    let answer = exchange.await.map_err(|error| broken(&format!("pod {name}: {error}")));
    connection.abort();
    answer
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let mut ready = conditions.filter(|condition| condition.type_ == "Ready");
    pod.metadata.deletion_timestamp.is_none() && ready.any(|condition| condition.status == "True")
}

/// The pod's port that a Service's port leads to: the same number, another number, or a container's port by its name.
fn target(of_service: &ServicePort, pod: &Pod) -> Option<u16> {
    let number = match &of_service.target_port {
        None => of_service.port,
        Some(IntOrString::Int(number)) => *number,
        Some(IntOrString::String(name)) => {
            let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
            let mut ports = containers.flat_map(|container| container.ports.iter().flatten());
            ports.find(|port| port.name.as_ref() == Some(name))?.container_port
        }
    };
    u16::try_from(number).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, from_value, json};

    use super::*;

    fn pod(value: Value) -> Pod {
        from_value(value).expect("a pod")
    }

    #[test]
    fn a_service_s_port_leads_to_the_pod_s() {
        let pod = pod(json!({"spec": {"containers": [
            {"name": "sidecar"},
            {"name": "c", "ports": [{"name": "metrics", "containerPort": 9}, {"name": "http", "containerPort": 8080}]},
        ]}}));
        let table = [
            (json!({"port": 80}), Some(80)),
            (json!({"port": 80, "targetPort": 8000}), Some(8000)),
            (json!({"port": 80, "targetPort": "http"}), Some(8080)),
            (json!({"port": 80, "targetPort": "grpc"}), None),
        ];
        for (port, expected) in table {
            let port: ServicePort = from_value(port).expect("a port");
            assert_eq!(target(&port, &pod), expected);
        }
    }

    #[test]
    fn a_leaving_pod_is_not_ready() {
        let ready = |status: &str| json!({"conditions": [{"type": "Initialized", "status": "True"}, {"type": "Ready", "status": status}]});
        assert!(is_ready(&pod(json!({"status": ready("True")}))));
        assert!(!is_ready(&pod(json!({"status": ready("False")}))));
        assert!(!is_ready(&pod(json!({}))));
        let leaving =
            json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}, "status": ready("True")});
        assert!(!is_ready(&pod(leaving)));
    }
}
