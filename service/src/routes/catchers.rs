//! Owns the answers to what no route took: problem documents too. A method that a path does not have is told apart from a
//! path that there is not, which Rocket does not do.

use rocket::{
    Catcher, Request, Response,
    catcher::{self, Handler},
    http::{Method, Status},
    response::Responder,
};

use crate::{
    error::{Kind, Problem},
    fairings::RequestRecord,
};

/// The one catcher: for every status.
pub(super) fn all() -> Vec<Catcher> {
    vec![Catcher::new(None, Answer)]
}

#[derive(Clone)]
struct Answer;

#[rocket::async_trait]
impl Handler for Answer {
    async fn handle<'r>(&self, status: Status, request: &'r Request<'_>) -> catcher::Result<'r> {
        answer(status, request)
    }
}

fn answer<'r>(status: Status, request: &'r Request<'_>) -> Result<Response<'r>, Status> {
    let record = RequestRecord::of(request);
    let problem = problem(status, request, record.is_announced());
    let mut response = problem.respond_to(request)?;
    if !record.is_announced() {
        record.end_unread(request, &mut response);
    }
    Ok(response)
}

fn problem(status: Status, request: &Request<'_>, announced: bool) -> Problem {
    let allowed = allowed(request.uri().path().as_str());
    match (status.code, allowed) {
        // What Rocket could not read and shows as a GET is a request with a method it does not know.
        (400, Some(allow)) if !announced && request.method() == Method::Get => {
            Problem::method_not_allowed(allow)
        }
        (400, None) if !announced && request.method() == Method::Get => Problem::new(Kind::NotFound),
        (404, Some(allow)) => Problem::method_not_allowed(allow),
        (404, None) => Problem::new(Kind::NotFound),
        (500.., _) => Problem::new(Kind::Internal),
        _ => Problem::new(Kind::BadRequest),
    }
}

/// The methods of a path, as `Allow` lists them (RFC 9110 section 10.2.1).
fn allowed(path: &str) -> Option<&'static str> {
    match path {
        "/" | "/health" | "/ready" | "/metrics" | "/openapi.json" | "/api/visitors" => Some("GET, HEAD"),
        "/api/data" => Some("GET, HEAD, POST"),
        _ => path
            .strip_prefix("/api/data/")
            .is_some_and(|id| !id.is_empty() && !id.contains('/'))
            .then_some("GET, HEAD"),
    }
}

#[cfg(test)]
mod tests {
    use rocket::{
        Config,
        config::LogLevel,
        http::{Method, Status},
        local::blocking::Client,
    };

    use super::problem;
    use crate::error::{Kind, Problem};

    #[test]
    fn what_is_caught_is_told_by_this_table() {
        let config = Config { log_level: LogLevel::Off, ..Config::debug_default() };
        let client = Client::untracked(rocket::custom(config)).expect("an application without routes");
        let not_allowed = |allow| Problem::method_not_allowed(allow);
        let table = [
            // A method that Rocket does not know is shown as a GET that nobody announced.
            (400, Method::Get, "/api/data", false, not_allowed("GET, HEAD, POST")),
            (400, Method::Get, "/api/data/1", false, not_allowed("GET, HEAD")),
            (400, Method::Get, "/nowhere", false, Problem::new(Kind::NotFound)),
            (400, Method::Get, "/api/data", true, Problem::new(Kind::BadRequest)),
            (400, Method::Get, "/nowhere", true, Problem::new(Kind::BadRequest)),
            (400, Method::Post, "/api/data", false, Problem::new(Kind::BadRequest)),
            (400, Method::Post, "/nowhere", false, Problem::new(Kind::BadRequest)),
            (404, Method::Delete, "/api/data", true, not_allowed("GET, HEAD, POST")),
            (404, Method::Get, "/api/data/1/2", true, Problem::new(Kind::NotFound)),
            (404, Method::Get, "/api/data/", true, Problem::new(Kind::NotFound)),
            (500, Method::Get, "/", true, Problem::new(Kind::Internal)),
            (503, Method::Get, "/", true, Problem::new(Kind::Internal)),
            (422, Method::Post, "/api/data", true, Problem::new(Kind::BadRequest)),
        ];
        for (status, method, path, announced, expected) in table {
            let request = client.req(method, path);
            let told = problem(Status::new(status), request.inner(), announced);
            assert_eq!(told, expected, "{status} {method} {path} {announced}");
        }
    }
}
