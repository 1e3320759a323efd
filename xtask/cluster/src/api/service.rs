//! Requests to a Service through the API server, for clusters whose nodes this machine cannot reach.

use http_body_util::BodyExt as _;
use hyper::header::{HeaderValue, LOCATION};

use super::Cluster;
use crate::http::{Answer, HttpError, Request};

/// Sends a request to a Service's port through the API server's proxy.
///
/// # Errors
/// When there is no answer.
pub async fn through_proxy(
    cluster: &Cluster,
    namespace: &str,
    service: &str,
    port: u16,
    request: &Request<'_>,
) -> Result<Answer, HttpError> {
    let path = request.path;
    let proxy = format!("/api/v1/namespaces/{namespace}/services/{service}:{port}/proxy");
    let uri = format!("{proxy}{path}");
    let broken = |error: &dyn std::fmt::Display| HttpError(format!("{service}{path}: {error}"));
    let request = request.build(&uri).map(kube::client::Body::from);
    let response = cluster.client.send(request).await.map_err(|error| broken(&super::told(&error)))?;
    let (mut head, body) = response.into_parts();
    // The proxy puts its own path before the one that the service has answered with.
    let location = head.headers.get(LOCATION).and_then(|value| value.to_str().ok()?.strip_prefix(&proxy));
    if let Some(own) = location.and_then(|own| HeaderValue::from_str(own).ok()) {
        head.headers.insert(LOCATION, own);
    }
    let body = body.collect().await.map_err(|error| broken(&error))?.to_bytes();
    Ok(Answer { status: head.status.as_u16(), headers: head.headers, body: body.to_vec() })
}
