//! Owns `GET /api/visitors`: the count. Without Redis it is an estimate.

use rocket::{State, get};

use super::{At, Json};
use crate::store::Store;

#[get("/api/visitors")]
pub(super) async fn visitors(at: At<'_>, store: &State<Store>) -> Json {
    Json::written(format!("{{\"visitors\":{}}}", store.visitors(at.0).await))
}
