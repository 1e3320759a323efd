//! Owns `GET /openapi.json`: the `OpenAPI` 3.1 description of every route, made of the same constants that the routes obey.
//! A test holds it against the table of routes, another holds answers against it.

use std::sync::LazyLock;

use rocket::get;
use serde_json::{Map, Value, json};

use super::{Json, create_item::LARGEST_BODY};
use crate::{
    error::{Kind, MEDIA_TYPE, TYPE_PREFIX},
    store::{DEEPEST_VALUE, LARGEST_PAGE, LONGEST_KEY, LONGEST_NAME, MOST_DIGITS, USUAL_PAGE},
};

#[get("/openapi.json")]
pub(super) fn openapi() -> Json {
    static TEXT: LazyLock<String> = LazyLock::new(|| document().to_string());
    Json::written(TEXT.clone())
}

/// The document.
pub(super) fn document() -> Value {
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Homeport service",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "A greeting that counts its visitors, and items that are kept.",
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "paths": paths(),
        "components": {
            "schemas": schemas(),
            "headers": headers(),
            "parameters": {
                "request-id": header_parameter("X-Request-Id", "Repeated in the answer and in the log if it is sane."),
                "traceparent": header_parameter("traceparent", "W3C Trace Context; ignored if it is not valid."),
            },
        },
    })
}

fn header_parameter(name: &str, description: &str) -> Value {
    json!({ "name": name, "in": "header", "description": description, "schema": { "type": "string" } })
}

fn paths() -> Value {
    json!({
        "/": path(json!({ "get": operation("home", "Greets, and counts a visit.", &[answer(200, "Greeting")], &[]) })),
        "/health": path(json!({
            "get": operation("health", "Liveness: touches nothing else.", &[answer(200, "Health")], &[]),
        })),
        "/ready": path(json!({
            "get": operation(
                "ready",
                "Readiness: 503 without Postgres and while shutting down; degraded without Redis, and with a Postgres \
                 that takes no writes.",
                &[answer(200, "Readiness"), answer(503, "Readiness")],
                &[],
            ),
        })),
        "/metrics": path(json!({
            "get": operation("metrics", "Prometheus text format.", &[text_answer()], &[]),
        })),
        "/openapi.json": path(json!({
            "get": operation("openapi", "This document.", &[answer(200, "Document")], &[]),
        })),
        "/api/visitors": path(json!({
            "get": operation("visitors", "The visitors' count.", &[answer(200, "Visitors")], &[]),
        })),
        "/api/data": path(json!({ "get": list_items(), "post": create_item() })),
        "/api/data/{id}": path(json!({ "get": get_item() })),
    })
}

fn path(mut operations: Value) -> Value {
    operations["parameters"] = json!([
        { "$ref": "#/components/parameters/request-id" },
        { "$ref": "#/components/parameters/traceparent" },
    ]);
    operations
}

fn list_items() -> Value {
    let mut page = answer(200, "Page");
    page.1["headers"]["Link"] = json!({ "$ref": "#/components/headers/Link" });
    let mut operation = operation(
        "list_items",
        "Items, newest first.",
        &[page],
        &[Kind::InvalidRequest, Kind::Internal, Kind::Unavailable],
    );
    operation["parameters"] = json!([
        {
            "name": "limit",
            "in": "query",
            "description": "Most items on the page. It has fewer when they are large; `next` leads to the rest.",
            "schema": { "type": "integer", "minimum": 1, "maximum": LARGEST_PAGE, "default": USUAL_PAGE },
        },
        {
            "name": "after",
            "in": "query",
            "description": "Where the page begins: a cursor from an earlier page's `next`.",
            "schema": { "$ref": "#/components/schemas/Cursor" },
        },
    ]);
    operation
}

fn get_item() -> Value {
    let mut operation = operation(
        "get_item",
        "One item.",
        &[answer(200, "Item")],
        &[Kind::NotFound, Kind::Internal, Kind::Unavailable],
    );
    operation["parameters"] = json!([{
        "name": "id",
        "in": "path",
        "required": true,
        "schema": { "type": "integer", "format": "int64", "minimum": 1 },
    }]);
    operation
}

fn create_item() -> Value {
    let mut created = answer(201, "Item");
    created.1["headers"]["Location"] = json!({ "$ref": "#/components/headers/Location" });
    created.1["headers"]["Idempotency-Replayed"] =
        json!({ "$ref": "#/components/headers/Idempotency-Replayed" });
    let mut operation = operation(
        "create_item",
        "Stores an item; answers once it is committed.",
        &[created],
        &[
            Kind::MalformedBody,
            Kind::BadRequest,
            Kind::RequestTimeout,
            Kind::BodyTooLarge,
            Kind::UnsupportedMediaType,
            Kind::InvalidRequest,
            Kind::KeyReused,
            Kind::Internal,
            Kind::Unavailable,
        ],
    );
    operation["parameters"] = json!([{
        "name": "Idempotency-Key",
        "in": "header",
        "description": "A name for this attempt: sent again with an equal body, it returns the first answer.",
        "schema": { "type": "string", "minLength": 1, "maxLength": LONGEST_KEY, "pattern": "^[!-~]+$" },
    }]);
    operation["requestBody"] = json!({
        "required": true,
        "description": format!("At most {LARGEST_BODY} bytes."),
        "content": { "application/json": { "schema": { "$ref": "#/components/schemas/NewItem" } } },
    });
    operation
}

/// An operation with its answers and problems. Several kinds of problem may share a status.
fn operation(id: &str, summary: &str, answers: &[(u16, Value)], problems: &[Kind]) -> Value {
    let mut responses = Map::new();
    for (status, answer) in answers {
        responses.insert(status.to_string(), answer.clone());
    }
    for status in problems.iter().map(|kind| kind.status().code) {
        let mut response = described(&reason(status), MEDIA_TYPE, &reference("Problem"));
        if status == Kind::Unavailable.status().code {
            response["headers"]["Retry-After"] = json!({ "$ref": "#/components/headers/Retry-After" });
        }
        responses.insert(status.to_string(), response);
    }
    json!({ "operationId": id, "summary": summary, "responses": responses })
}

fn answer(status: u16, schema: &str) -> (u16, Value) {
    (status, described(&reason(status), "application/json", &reference(schema)))
}

fn text_answer() -> (u16, Value) {
    (200, described(&reason(200), "text/plain", &json!({ "type": "string" })))
}

fn reason(status: u16) -> String {
    rocket::http::Status::new(status).reason_lossy().to_owned()
}

fn reference(schema: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{schema}") })
}

fn described(description: &str, media_type: &str, schema: &Value) -> Value {
    json!({
        "description": description,
        "headers": {
            "X-Request-Id": { "$ref": "#/components/headers/X-Request-Id" },
            "traceparent": { "$ref": "#/components/headers/traceparent" },
        },
        "content": { media_type: { "schema": schema } },
    })
}

fn headers() -> Value {
    let text = |description: &str, required: bool| json!({ "description": description, "required": required, "schema": { "type": "string" } });
    json!({
        "X-Request-Id": text("The request's own id if it was sane, else a new one.", true),
        "traceparent": text("The request's trace, when it brought a valid one.", false),
        "Location": text("The item's path.", true),
        "Link": text("`rel=\"next\"`, when there is a next page.", false),
        "Idempotency-Replayed": text("`true` when an earlier request with the same key made the item.", false),
        "Retry-After": text("Seconds after which to try again.", true),
    })
}

fn schemas() -> Value {
    let part = json!({
        "type": "object",
        "required": ["status"],
        "additionalProperties": false,
        "properties": {
            "status": { "enum": ["up", "down"] },
            "reason": { "enum": ["unreachable", "timeout", "schema-behind", "read-only"] },
        },
    });
    let kinds: Vec<String> = Kind::ALL.iter().map(|kind| format!("{TYPE_PREFIX}{}", kind.name())).collect();
    let name = json!({
        "type": "string", "minLength": 1, "maxLength": LONGEST_NAME, "pattern": "^[^\\u0000]*$",
    });
    let value = json!({
        "description": format!("Any JSON, nested at most {DEEPEST_VALUE} deep, without the NUL character; \
            numbers are IEEE 754 doubles or 64-bit integers, and those with an exponent have at most {MOST_DIGITS} \
            digits together when they are written without."),
    });
    json!({
        "Greeting": object(&json!({
            "message": { "type": "string" },
            "version": { "type": "string" },
            "hostname": { "type": "string" },
            "visitor": count(),
        })),
        "Health": object(&json!({ "status": { "const": "ok" } })),
        "Readiness": object(&json!({
            "status": { "enum": ["ok", "degraded", "unavailable", "shutting-down"] },
            "postgres": part,
            "redis": part,
        })),
        "Visitors": object(&json!({ "visitors": count() })),
        "NewItem": object(&json!({ "name": name, "value": value })),
        "Item": object(&json!({
            "id": { "type": "integer", "format": "int64", "minimum": 1 },
            "name": name,
            "value": value,
            "created_at": { "type": "string", "format": "date-time" },
        })),
        "Page": object(&json!({
            "items": { "type": "array", "maxItems": LARGEST_PAGE, "items": reference("Item") },
            "next": {
                "type": ["string", "null"],
                "format": "uri-reference",
                "description": "The next page, or null on the last.",
            },
        })),
        "Cursor": { "type": "string", "pattern": "^1[0-7][0-9a-f]{15}$" },
        "Document": { "type": "object", "required": ["openapi", "info", "paths"] },
        "Problem": {
            "type": "object",
            "description": "RFC 9457.",
            "required": ["type", "title", "status", "request_id"],
            "additionalProperties": false,
            "properties": {
                "type": { "enum": kinds },
                "title": { "type": "string" },
                "status": { "type": "integer" },
                "detail": { "type": "string" },
                "request_id": { "type": "string" },
            },
        },
    })
}

fn count() -> Value {
    json!({ "type": "integer", "format": "int64", "minimum": 0 })
}

/// An object with exactly these members.
fn object(properties: &Value) -> Value {
    let required: Vec<&String> = properties.as_object().into_iter().flat_map(Map::keys).collect();
    json!({ "type": "object", "required": required, "additionalProperties": false, "properties": properties })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::document;

    /// The methods of every path, as `GET /api/data`.
    fn described() -> BTreeSet<String> {
        let document = document();
        let paths = document["paths"].as_object().unwrap();
        paths
            .iter()
            .flat_map(|(path, item)| {
                let operations = item.as_object().unwrap().keys().filter(|key| *key != "parameters");
                operations.map(move |method| format!("{} {path}", method.to_uppercase()))
            })
            .collect()
    }

    #[test]
    fn it_describes_the_routes_that_there_are_and_no_others() {
        let served: BTreeSet<String> = crate::routes::all()
            .iter()
            .map(|route| format!("{} {}", route.method, route.name.as_deref().unwrap()))
            .collect();
        assert_eq!(described(), served);
    }

    #[test]
    fn every_operation_says_what_it_answers() {
        let document = document();
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in
                item.as_object().unwrap().iter().filter(|(key, _)| *key != "parameters")
            {
                let told = format!("{method} {path}: {operation}");
                assert!(operation["operationId"].is_string() && operation["summary"].is_string(), "{told}");
                let responses = operation["responses"].as_object().unwrap();
                assert!(responses.keys().any(|status| status.starts_with('2')), "{told}");
                for (status, response) in responses {
                    let status = rocket::http::Status::new(status.parse().unwrap());
                    assert_eq!(response["description"].as_str(), status.reason(), "{told}");
                    let content = response["content"].as_object().unwrap();
                    let (media_type, content) = content.iter().next().unwrap();
                    assert!(media_type.contains('/') && content["schema"].is_object(), "{told}");
                    let says_when = !response["headers"]["Retry-After"].is_null();
                    let is_problem = media_type == super::MEDIA_TYPE;
                    assert_eq!(says_when, is_problem && status.code == 503, "{told}");
                }
            }
        }
        for (name, parameter) in document["components"]["parameters"].as_object().unwrap() {
            assert_eq!(
                (&parameter["in"], &parameter["schema"]["type"]),
                (&"header".into(), &"string".into()),
                "{name}"
            );
        }
        let metrics = &document["paths"]["/metrics"]["get"]["responses"]["200"]["content"];
        assert!(metrics["text/plain"].is_object(), "{metrics}");
    }

    #[test]
    fn what_counts_is_a_whole_number() {
        let document = document();
        for place in ["Greeting/properties/visitor", "Visitors/properties/visitors"] {
            let schema = document.pointer(&format!("/components/schemas/{place}")).unwrap();
            assert_eq!((&schema["type"], &schema["minimum"]), (&"integer".into(), &0.into()), "{place}");
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        fn walk(value: &Value, document: &Value) {
            if let Some(reference) = value.get("$ref").and_then(Value::as_str) {
                let target = document.pointer(reference.strip_prefix('#').unwrap());
                assert!(target.is_some(), "{reference}");
            }
            match value {
                Value::Object(fields) => fields.values().for_each(|field| walk(field, document)),
                Value::Array(values) => values.iter().for_each(|value| walk(value, document)),
                _ => {}
            }
        }
        let document = document();
        walk(&document, &document);
    }
}
