//! What a front says itself: plain text for a person, with a status for a program.

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};

use super::forward::Body;

/// There is no server to ask.
pub(super) fn unavailable(name: &str, why: &str) -> Response<Body> {
    let mut response = text(StatusCode::SERVICE_UNAVAILABLE, &format!("{name} is not served: {why}\n"));
    // A page that is loaded again in a second meets what a save has brought.
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

/// There is a server, and it did not answer.
pub(super) fn bad_gateway(name: &str, why: &str) -> Response<Body> {
    text(
        StatusCode::BAD_GATEWAY,
        &format!("{name} did not answer: {why}\n`cargo xtask logs {name}` shows why\n"),
    )
}

fn text(status: StatusCode, text: &str) -> Response<Body> {
    let body = Full::new(Bytes::copy_from_slice(text.as_bytes())).map_err(|never| match never {}).boxed();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
