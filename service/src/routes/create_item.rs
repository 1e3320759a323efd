//! Owns `POST /api/data`: reads and checks the body, and answers with the item once it is committed.

use std::time::Duration;

use rocket::{
    Data, Request, State,
    data::ToByteUnit,
    http::Status,
    post,
    request::{FromRequest, Outcome},
};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::Value;

use super::{At, Json};
use crate::{
    error::{Kind, Problem},
    store::{IdempotencyKey, NewItem, Refusal, Store},
};

/// The largest body, in bytes: 64 KiB.
pub(super) const LARGEST_BODY: u64 = 64 * 1024;

/// How long a body may take to arrive, once its first 14 bytes are there: for those Rocket itself waits, looking for the
/// `_method` of a form, before any of our code runs.
#[derive(Clone, Copy, Debug)]
pub struct BodyDeadline(
    /// `BODY_DEADLINE_SECONDS`.
    pub Duration,
);

#[post("/api/data", data = "<data>")]
pub(super) async fn create_item(
    head: Head,
    at: At<'_>,
    data: Data<'_>,
    store: &State<Store>,
    deadline: &State<BodyDeadline>,
) -> Result<Json, Problem> {
    let key = head.0?;
    let item = parse(&read(data, deadline.0).await?)?;
    let created = store.items().create(item, key, at.0).await?;
    let location = format!("/api/data/{}", created.item.id);
    let answer = Json::written(created.item.to_json()).status(Status::Created).header("Location", location);
    Ok(if created.replayed { answer.header("Idempotency-Replayed", "true") } else { answer })
}

/// What the headers say: the key, or what is wrong with them. Rocket drops a header that is no UTF-8 before any of our code
/// sees it: such a key counts as none.
pub(super) struct Head(Result<Option<IdempotencyKey>, Problem>);

#[rocket::async_trait]
impl<'r> FromRequest<'r> for Head {
    type Error = std::convert::Infallible;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, Self::Error> {
        Outcome::Success(Self(read_head(request)))
    }
}

fn read_head(request: &Request<'_>) -> Result<Option<IdempotencyKey>, Problem> {
    if !request.content_type().is_some_and(|content_type| content_type.is_json()) {
        return Err(Problem::with_detail(
            Kind::UnsupportedMediaType,
            "Content-Type must be application/json",
        ));
    }
    // Nothing is decoded: what came would be taken for something else than was meant.
    if request.headers().get("Content-Encoding").any(|coding| !coding.eq_ignore_ascii_case("identity")) {
        return Err(Problem::with_detail(Kind::UnsupportedMediaType, "Content-Encoding must be identity"));
    }
    let declared = request.headers().get_one("Content-Length").and_then(|length| length.parse::<u64>().ok());
    if declared.is_some_and(|length| length > LARGEST_BODY) {
        return Err(too_large());
    }
    let mut keys = request.headers().get("Idempotency-Key");
    match (keys.next(), keys.next()) {
        (None, _) => Ok(None),
        (Some(key), None) => IdempotencyKey::parse(key).map(Some).map_err(refused),
        (Some(_), Some(_)) => Err(refused(Refusal::Key)),
    }
}

async fn read(data: Data<'_>, deadline: Duration) -> Result<Vec<u8>, Problem> {
    let reading = data.open(LARGEST_BODY.bytes()).into_bytes();
    let body = tokio::time::timeout(deadline, reading)
        .await
        .map_err(|_| Problem::new(Kind::RequestTimeout))?
        .map_err(|_| Problem::with_detail(Kind::BadRequest, "the body ended early"))?;
    if body.is_complete() { Ok(body.into_inner()) } else { Err(too_large()) }
}

fn too_large() -> Problem {
    Problem::with_detail(Kind::BodyTooLarge, format_args!("at most {LARGEST_BODY} bytes"))
}

fn refused(refusal: Refusal) -> Problem {
    Problem::with_detail(Kind::InvalidRequest, refusal)
}

/// The body: exactly these two members, `value` present even when it is null.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    name: String,
    #[serde(deserialize_with = "Value::deserialize")]
    value: Value,
}

fn parse(bytes: &[u8]) -> Result<NewItem, Problem> {
    let body: Body = serde_json::from_slice(bytes).map_err(|error| explain(bytes, &error))?;
    // serde fills a struct from an array as well, member by member; the contract knows objects only.
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return Err(Problem::with_detail(Kind::InvalidRequest, "the body must be an object"));
    }
    NewItem::new(body.name, body.value).map_err(refused)
}

/// Malformed, or well-formed and not acceptable: to tell, the body is read once more without keeping anything. serde's
/// words quote nothing but what the client sent.
fn explain(bytes: &[u8], error: &serde_json::Error) -> Problem {
    let well_formed =
        serde_json::from_slice::<IgnoredAny>(bytes).is_ok() && std::str::from_utf8(bytes).is_ok();
    let kind = if well_formed { Kind::InvalidRequest } else { Kind::MalformedBody };
    Problem::with_detail(kind, error)
}

#[cfg(test)]
mod tests {
    use rocket::{
        Config,
        config::LogLevel,
        http::{ContentType, Header},
        local::blocking::Client,
    };

    use super::{LARGEST_BODY, parse, read_head};
    use crate::error::{Kind, Problem};

    #[test]
    fn what_is_declared_too_large_is_refused_unread() {
        let config = Config { log_level: LogLevel::Off, ..Config::debug_default() };
        let client = Client::untracked(rocket::custom(config)).expect("an application without routes");
        let refused = |length: u64| {
            let length = Header::new("Content-Length", length.to_string());
            let request = client.post("/api/data").header(ContentType::JSON).header(length);
            read_head(request.inner()).err()
        };
        assert_eq!(refused(LARGEST_BODY), None);
        for length in [LARGEST_BODY + 1, u64::MAX] {
            assert_eq!(refused(length), Some(super::too_large()), "{length}");
        }
        let without_type = read_head(client.post("/api/data").inner());
        let expected =
            Problem::with_detail(Kind::UnsupportedMediaType, "Content-Type must be application/json");
        assert_eq!(without_type.err(), Some(expected));
    }

    #[test]
    fn a_body_is_read_by_this_table() {
        let deep = |depth| format!(r#"{{"name":"n","value":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
        for (body, expected) in [
            (r#"{"name":"n","value":null}"#, None),
            (r#" {"value":{"a":[1,2.5,"é"]},"name":"n"} "#, None),
            (&deep(64), None),
            (&deep(65), Some(Kind::InvalidRequest)),
            (&deep(20_000), Some(Kind::InvalidRequest)),
            (r#" ["n",1]"#, Some(Kind::InvalidRequest)),
            ("[]", Some(Kind::InvalidRequest)),
            ("", Some(Kind::MalformedBody)),
            ("{", Some(Kind::MalformedBody)),
            (r#"{"name":"n","value":1} x"#, Some(Kind::MalformedBody)),
            (r#"{"name":"n","value":01}"#, Some(Kind::MalformedBody)),
            ("[]", Some(Kind::InvalidRequest)),
            ("{}", Some(Kind::InvalidRequest)),
            (r#"{"name":"n"}"#, Some(Kind::InvalidRequest)),
            (r#"{"name":1,"value":1}"#, Some(Kind::InvalidRequest)),
            (r#"{"name":"","value":1}"#, Some(Kind::InvalidRequest)),
            (r#"{"name":"n","name":"n","value":1}"#, Some(Kind::InvalidRequest)),
            (r#"{"name":"n","value":1,"more":1}"#, Some(Kind::InvalidRequest)),
            (r#"{"name":"n","value":1e999}"#, Some(Kind::InvalidRequest)),
            (r#"{"name":"n","value":"\u0000"}"#, Some(Kind::InvalidRequest)),
        ] {
            assert_eq!(parse(body.as_bytes()).err().map(|problem| problem.kind()), expected, "{body:.80}");
        }
        assert_eq!(parse(b"{\"name\":\"\xff\",\"value\":1}").unwrap_err().kind(), Kind::MalformedBody);
    }
}
