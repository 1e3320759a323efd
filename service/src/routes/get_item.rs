//! Owns `GET /api/data/{id}`: one item.

use rocket::{State, get};

use super::{At, Json};
use crate::{
    error::{Kind, Problem},
    store::{ItemId, Store},
};

#[get("/api/data/<id>")]
pub(super) async fn get_item(id: &str, at: At<'_>, store: &State<Store>) -> Result<Json, Problem> {
    let absent = || Problem::with_detail(Kind::NotFound, "there is no such item");
    let id = ItemId::parse(id).ok_or_else(absent)?;
    let item = store.items().find(id, at.0).await?.ok_or_else(absent)?;
    Ok(Json::written(item.to_json()))
}
