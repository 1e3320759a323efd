//! Owns `GET /api/visitors`: the count. Without Redis it is an estimate.

use rocket::{State, get};

use super::Json;
use crate::store::Store;

#[get("/api/visitors")]
pub(super) async fn visitors(store: &State<Store>) -> Json {
    Json::written(format!("{{\"visitors\":{}}}", store.visitors().await))
}
