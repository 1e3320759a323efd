//! Requests to what a stack serves.

use std::time::Duration;

use serde_json::Value;
use ureq::Agent;
use ureq::http::Response;

/// How long one answer may take: what a stack serves answers within milliseconds, a busy machine is given seconds.
const ANSWER: Duration = Duration::from_secs(20);

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

/// `POST` of a JSON value.
#[track_caller]
pub(crate) fn post(url: &str, body: &Value) -> Answer {
    let sent = agent().post(url).content_type("application/json").send(body.to_string());
    sent.map_err(|error| format!("POST {url}: {error}"))
        .and_then(answer)
        .unwrap_or_else(|error| panic!("{error}"))
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
