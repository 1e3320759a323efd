//! Requests to what a stack serves.

use std::time::Duration;

use serde_json::{Value, json};
use ureq::Agent;
use ureq::http::Response;

use crate::checkout::until;

/// How long one answer may take: what a stack serves answers within milliseconds, and `dev` in its place within 15 s; a busy
/// machine is given more.
const ANSWER: Duration = Duration::from_secs(60);

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    pub(crate) location: Option<String>,
    pub(crate) body: String,
}

impl Answer {
    /// The body as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("not JSON ({error}): {}", self.body))
    }
}

fn agent() -> Agent {
    Agent::new_with_config(
        Agent::config_builder().timeout_global(Some(ANSWER)).http_status_as_error(false).build(),
    )
}

/// `GET`; an error tells why there is no answer.
pub(crate) fn try_get(url: &str) -> Result<Answer, String> {
    agent().get(url).call().map_err(|error| format!("GET {url}: {error}")).and_then(answer)
}

/// `GET` with a query, which is escaped here.
pub(crate) fn try_query(url: &str, parameters: &[(&str, &str)]) -> Result<Answer, String> {
    let request = agent().get(url).query_pairs(parameters.iter().copied());
    request.call().map_err(|error| format!("GET {url}: {error}")).and_then(answer)
}

/// `GET`
#[track_caller]
pub(crate) fn get(url: &str) -> Answer {
    try_get(url).unwrap_or_else(|error| panic!("{error}"))
}

/// Waits until the service at this address says that it can do all of its work. Healthy is one that lives: what it knows of
/// its stores comes later, and on a busy machine an answer of theirs may be late.
#[track_caller]
pub(crate) fn until_ready(base: &str) {
    until("the service to be ready", || {
        let ready = try_get(&format!("{base}/ready")).ok()?;
        (ready.status == 200 && ready.json()["status"] == "ok").then_some(())
    });
}

/// `GET` of what is in a store: a service that holds the store away for the moment says so (503), and is asked again.
#[track_caller]
pub(crate) fn get_stored(url: &str) -> Answer {
    until("a store that answers in time", || try_get(url).ok().filter(|answer| answer.status != 503))
}

/// Makes an item; its name, which no other has, is the key by which one that was late is not made twice.
#[track_caller]
pub(crate) fn create(base: &str, name: &str, value: &Value) -> Answer {
    let (url, body) = (format!("{base}/api/data"), json!({"name": name, "value": value}).to_string());
    until("the item to be made", || {
        let request = agent().post(&url).content_type("application/json").header("Idempotency-Key", name);
        request
            .send(&body)
            .map_err(|error| error.to_string())
            .and_then(answer)
            .ok()
            .filter(|made| made.status == 201)
    })
}

fn answer(mut response: Response<ureq::Body>) -> Result<Answer, String> {
    let header =
        |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    Ok(Answer {
        status: response.status().as_u16(),
        content_type: header("content-type").unwrap_or_default(),
        location: header("location"),
        body: response.body_mut().read_to_string().map_err(|error| error.to_string())?,
    })
}
