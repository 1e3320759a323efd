//! Owns `GET /health`: liveness. Touches nothing, so that no outage of anything else restarts the service.

use rocket::get;

use super::Json;

#[get("/health")]
pub(super) fn health() -> Json {
    Json::written(r#"{"status":"ok"}"#.to_owned())
}
