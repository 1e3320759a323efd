//! Owns the HTTP interface: one endpoint a file, and the table of them all. Decides what a request means and what an answer
//! looks like; what is kept and how is the store's. Never names diesel or redis.

mod catchers;
mod create_item;
mod get_item;
mod health;
mod home;
mod list_items;
mod metrics;
mod openapi;
mod ready;
mod visitors;

use std::{fmt::Display, io::Cursor};

use rocket::{
    Catcher, Request, Response, Route,
    http::Status,
    request::{FromRequest, Outcome},
    response::Responder,
};
use serde::Serialize;

use crate::{fairings::RequestRecord, spans::Place};

pub use create_item::BodyDeadline;
pub use home::Identity;

/// Every endpoint: method, path as clients know it, which is also its `endpoint` in logs and metrics, and route.
fn table() -> Vec<(&'static str, Vec<Route>)> {
    vec![
        ("/", rocket::routes![home::home]),
        ("/health", rocket::routes![health::health]),
        ("/ready", rocket::routes![ready::ready]),
        ("/metrics", rocket::routes![metrics::metrics]),
        ("/openapi.json", rocket::routes![openapi::openapi]),
        ("/api/visitors", rocket::routes![visitors::visitors]),
        ("/api/data", rocket::routes![list_items::list_items, create_item::create_item]),
        ("/api/data/{id}", rocket::routes![get_item::get_item]),
    ]
}

/// All routes, each named by its endpoint.
pub fn all() -> Vec<Route> {
    let named = |(endpoint, routes): (&'static str, Vec<Route>)| {
        routes.into_iter().map(move |mut route| {
            route.name = Some(endpoint.into());
            route
        })
    };
    table().into_iter().flat_map(named).collect()
}

/// All catchers.
pub fn catchers() -> Vec<Catcher> {
    catchers::all()
}

/// The `(method, endpoint)` pairs that can be counted: each route, and `HEAD` wherever there is a `GET`.
pub fn endpoints() -> Vec<(&'static str, &'static str)> {
    table()
        .into_iter()
        .flat_map(|(endpoint, routes)| {
            routes.into_iter().flat_map(move |route| {
                let method = route.method.as_str();
                let head = (method == "GET").then_some(("HEAD", endpoint));
                [(method, endpoint)].into_iter().chain(head)
            })
        })
        .collect()
}

/// Sets a body that is there whole. Rocket copies a body piece by piece, by default into 4 KiB for each piece whatever its
/// length, which costs a small answer more than all else that is done for it.
pub(crate) fn set_body(response: &mut Response<'_>, body: String) {
    /// Larger pieces gain nothing.
    const LARGEST_PIECE: usize = 64 * 1024;
    let length = body.len();
    response.set_sized_body(length, Cursor::new(body));
    response.set_max_chunk_size(length.clamp(1, LARGEST_PIECE));
}

/// Where in its trace the request's work is done.
pub(crate) struct At<'r>(&'r Place);

#[rocket::async_trait]
impl<'r> FromRequest<'r> for At<'r> {
    type Error = std::convert::Infallible;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, Self::Error> {
        Outcome::Success(Self(RequestRecord::of(request).place()))
    }
}

/// An answer with a JSON body.
pub(crate) struct Json {
    status: Status,
    body: String,
    headers: Vec<(&'static str, String)>,
}

impl Json {
    fn of(value: &impl Serialize) -> Result<Self, crate::error::Problem> {
        serde_json::to_string(value)
            .map(Self::written)
            .map_err(|_| crate::error::Problem::new(crate::error::Kind::Internal))
    }

    fn written(body: String) -> Self {
        Self { status: Status::Ok, body, headers: Vec::new() }
    }

    fn status(self, status: Status) -> Self {
        Self { status, ..self }
    }

    fn header(mut self, name: &'static str, value: impl Display) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }
}

impl<'r> Responder<'r, 'static> for Json {
    fn respond_to(self, _: &'r Request<'_>) -> rocket::response::Result<'static> {
        let mut response = Response::new();
        response.set_status(self.status);
        response.set_raw_header("Content-Type", "application/json");
        for (name, value) in self.headers {
            response.set_raw_header(name, value);
        }
        set_body(&mut response, self.body);
        Ok(response)
    }
}
