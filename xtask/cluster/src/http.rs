//! HTTP to what runs in the cluster, through the NodePorts on 127.0.0.1.
//!
//! Must not: know routes.

use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// A request as tests write it.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// `GET`, `POST`
    pub method: &'a str,
    /// With its query: `/api/data?limit=1`.
    pub path: &'a str,
    /// A body of JSON.
    pub json: Option<&'a str>,
    /// `Idempotency-Key`
    pub key: Option<&'a str>,
}

impl<'a> Request<'a> {
    /// A `GET`.
    pub fn get(path: &'a str) -> Self {
        Self { method: "GET", path, json: None, key: None }
    }

    /// The request to an address. Methods and paths are written in this crate, so they are well-formed.
    pub(crate) fn build(&self, uri: &str) -> hyper::Request<Vec<u8>> {
        let mut builder = hyper::Request::builder().method(self.method).uri(uri);
        if self.json.is_some() {
            builder = builder.header(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        if let Some(key) = self.key {
            builder = builder.header("idempotency-key", key);
        }
        builder.body(self.json.unwrap_or_default().as_bytes().to_vec()).expect("written in this crate")
    }
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

/// Why there was no answer.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct HttpError(pub String);

/// A client that keeps its connections.
#[derive(Debug, Clone)]
pub struct Http {
    client: Client<HttpConnector, Full<Bytes>>,
    limit: Duration,
}

impl Http {
    /// A client; `limit` bounds each request.
    pub fn new(limit: Duration) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Self { client: Client::builder(TokioExecutor::new()).build(connector), limit }
    }

    /// Sends a request to a port of 127.0.0.1 and reads the whole answer.
    ///
    /// # Errors
    /// When there is no answer in time.
    pub async fn send(&self, port: u16, request: &Request<'_>) -> Result<Answer, HttpError> {
        let uri = format!("http://127.0.0.1:{port}{}", request.path);
        let broken = |error: &dyn std::fmt::Display| HttpError(format!("{} {uri}: {error}", request.method));
        let work = async {
            let request = request.build(&uri).map(|body| Full::new(Bytes::from(body)));
            let response = self.client.request(request).await.map_err(|error| {
                let source = std::error::Error::source(&error).map(ToString::to_string);
                broken(&source.unwrap_or_else(|| error.to_string()))
            })?;
            let (head, body) = response.into_parts();
            let body = body.collect().await.map_err(|error| broken(&error))?.to_bytes();
            Ok(Answer { status: head.status.as_u16(), headers: head.headers, body: body.to_vec() })
        };
        let slow = |_| broken(&format!("no answer within {} s", self.limit.as_secs_f32()));
        tokio::time::timeout(self.limit, work).await.map_err(slow)?
    }
}
