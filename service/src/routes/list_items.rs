//! Owns `GET /api/data`: a page of items, newest first, and the way to the next one.

use rocket::{
    Request, State, get,
    request::{FromRequest, Outcome},
};

use super::{At, Json};
use crate::{
    error::{Kind, Problem},
    store::{Cursor, Limit, PageRequest, Store},
};

#[get("/api/data")]
pub(super) async fn list_items(query: Query, at: At<'_>, store: &State<Store>) -> Result<Json, Problem> {
    let request = query.0?;
    let page = store.items().page(request, at.0).await?;
    let Some(next) = page.next else {
        return Ok(Json::written(format!("{{\"items\":{},\"next\":null}}", page.items)));
    };
    let link = format!("/api/data?limit={}&after={next}", request.limit);
    // RFC 8288; the body says it too, for clients that do not read headers.
    Ok(Json::written(format!("{{\"items\":{},\"next\":\"{link}\"}}", page.items))
        .header("Link", format_args!("<{link}>; rel=\"next\"")))
}

/// The query, or what is wrong with it.
pub(super) struct Query(Result<PageRequest, Problem>);

#[rocket::async_trait]
impl<'r> FromRequest<'r> for Query {
    type Error = std::convert::Infallible;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, Self::Error> {
        let text = request.uri().query().map_or("", |query| query.as_str());
        Outcome::Success(Self(parse(text)))
    }
}

/// Reads `limit` and `after`, each at most once; other parameters are ignored, so that clients may send what a later
/// version knows. No valid value needs percent encoding, so none is decoded.
fn parse(query: &str) -> Result<PageRequest, Problem> {
    let refused = |detail: &dyn std::fmt::Display| Problem::with_detail(Kind::InvalidRequest, detail);
    let mut limit = None;
    let mut after = None;
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let repeated = match name {
            "limit" => limit.replace(Limit::parse(value).map_err(|refusal| refused(&refusal))?).is_some(),
            "after" => after.replace(Cursor::parse(value).map_err(|refusal| refused(&refusal))?).is_some(),
            _ => false,
        };
        if repeated {
            return Err(refused(&format_args!("`{name}` must be given once")));
        }
    }
    Ok(PageRequest { limit: limit.unwrap_or_default(), after })
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn a_query_is_read_by_this_table() {
        for query in
            ["", "limit=1", "limit=100&after=1000000000000002a", "page=3", "limit=5&page=3&&", "Limit=0"]
        {
            assert!(parse(query).is_ok(), "{query}");
        }
        for query in [
            "limit",
            "limit=",
            "limit=0",
            "limit=1&limit=1",
            "after=",
            "after=x",
            "limit=%31",
            "limit=1;after=2",
        ] {
            assert!(parse(query).is_err(), "{query}");
        }
    }
}
