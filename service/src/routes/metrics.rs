//! Owns `GET /metrics`: the Prometheus text format.

use rocket::{State, get, http::ContentType};

use crate::metrics::{Metrics, TEXT_FORMAT};

#[get("/metrics")]
pub(super) fn metrics(metrics: &State<Metrics>) -> (ContentType, Vec<u8>) {
    (TEXT_FORMAT.parse().unwrap_or(ContentType::Plain), metrics.text())
}
