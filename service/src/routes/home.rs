//! Owns `GET /`: the greeting, which counts a visit. Never waits for Postgres; without Redis the number is an estimate.

use rocket::{State, get};
use serde::Serialize;

use super::{At, Json};
use crate::{error::Problem, store::Store};

/// Who answers.
#[derive(Clone, Debug)]
pub struct Identity {
    /// `APP_VERSION`.
    pub version: String,
    /// The host's name; in a container, the container's.
    pub hostname: String,
}

#[derive(Serialize)]
struct Greeting<'a> {
    message: &'static str,
    version: &'a str,
    hostname: &'a str,
    visitor: u64,
}

#[get("/")]
pub(super) async fn home(
    identity: &State<Identity>,
    at: At<'_>,
    store: &State<Store>,
) -> Result<Json, Problem> {
    Json::of(&Greeting {
        message: "Hello from Homeport!",
        version: &identity.version,
        hostname: &identity.hostname,
        visitor: store.visit(at.0).await,
    })
}
