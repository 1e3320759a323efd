//! Owns `GET /ready`: whether requests should be sent here. 200 with Postgres there, degraded without Redis; 503 without
//! Postgres or its schema, and while shutting down.
//!
//! A Postgres that takes no writes, as a standby after a failover, is degraded as well: all replicas have the same one, and
//! whatever only reads is still answered. Were they all unready, nothing would be.
//!
//! Each is asked on a connection of its own, so that no use of the pool stands before it, and within a deadline. Who
//! answers are the threads that serve requests, in turn with these.

use rocket::{State, get, http::Status};
use serde::Serialize;

use super::Json;
use crate::{
    error::Problem,
    fairings::Draining,
    store::{Readiness, Store, Verdict},
};

#[derive(Serialize)]
struct Report {
    status: &'static str,
    postgres: Part,
    redis: Part,
}

#[derive(Serialize)]
struct Part {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
}

impl From<&Verdict> for Part {
    fn from(verdict: &Verdict) -> Self {
        let reason = match verdict {
            Verdict::Up => return Self { status: "up", reason: None },
            Verdict::ReadOnly => return Self { status: "up", reason: Some("read-only") },
            Verdict::Behind(_) => "schema-behind",
            Verdict::Down(_) => "unreachable",
            Verdict::Silent => "timeout",
        };
        Self { status: "down", reason: Some(reason) }
    }
}

#[get("/ready")]
pub(super) async fn ready(store: &State<Store>, draining: &State<Draining>) -> Result<Json, Problem> {
    let readiness = store.readiness().await;
    let (status, name) = judge(&readiness, draining.has_begun());
    let report = Report {
        status: name,
        postgres: Part::from(&readiness.postgres),
        redis: Part::from(&readiness.redis),
    };
    Json::of(&report).map(|json| json.status(status))
}

fn judge(readiness: &Readiness, draining: bool) -> (Status, &'static str) {
    let is_well = readiness.postgres.is_up() && readiness.redis.is_up();
    match (draining, readiness.postgres.is_readable(), is_well) {
        (true, ..) => (Status::ServiceUnavailable, "shutting-down"),
        (_, false, _) => (Status::ServiceUnavailable, "unavailable"),
        (_, true, false) => (Status::Ok, "degraded"),
        (_, true, true) => (Status::Ok, "ok"),
    }
}

#[cfg(test)]
mod tests {
    use super::{Part, judge};
    use crate::store::{Readiness, Verdict};

    #[test]
    fn readiness_is_judged_by_this_table() {
        let down = || Verdict::Down("secret cause".to_owned());
        for (postgres, redis, draining, status, name) in [
            (Verdict::Up, Verdict::Up, false, 200, "ok"),
            (Verdict::Up, down(), false, 200, "degraded"),
            (Verdict::Up, Verdict::Silent, false, 200, "degraded"),
            (down(), Verdict::Up, false, 503, "unavailable"),
            (Verdict::Silent, down(), false, 503, "unavailable"),
            (Verdict::ReadOnly, Verdict::Up, false, 200, "degraded"),
            (Verdict::ReadOnly, down(), false, 200, "degraded"),
            (Verdict::ReadOnly, Verdict::Up, true, 503, "shutting-down"),
            (Verdict::Behind(1), Verdict::Up, false, 503, "unavailable"),
            (Verdict::Up, Verdict::Up, true, 503, "shutting-down"),
        ] {
            let readiness = Readiness { postgres, redis };
            let (seen, seen_name) = judge(&readiness, draining);
            assert_eq!((seen.code, seen_name), (status, name), "{readiness:?} draining {draining}");
        }
    }

    #[test]
    fn causes_stay_inside() {
        let part = serde_json::to_string(&Part::from(&Verdict::Down("secret cause".to_owned()))).unwrap();
        assert_eq!(part, r#"{"status":"down","reason":"unreachable"}"#);
        let part = serde_json::to_string(&Part::from(&Verdict::ReadOnly)).unwrap();
        assert_eq!(part, r#"{"status":"up","reason":"read-only"}"#);
    }
}
