//! Owns the promise that bad input is refused and never a fault: requests are generated from the `OpenAPI` document, valid
//! and broken, and every answer is held to the document. No answer is ever 5xx.

use std::{collections::BTreeMap, fmt};

use jsonschema::Validator;
use proptest::{
    collection::{btree_map, vec},
    option,
    prelude::{Just, Strategy, any, prop_oneof},
    sample::select,
    string::string_regex,
    test_runner::{Config, TestCaseError, TestRunner},
};
use rocket::http::Method;
use serde_json::{Map, Value, json};
use tokio::runtime::Handle;

use crate::{
    application::{Answer, Application},
    tests,
};

tests![
    generated_requests_get_answers_true_to_the_document,
    broken_bodies_are_refused,
    random_bytes_in_a_url_are_refused
];

/// Enough that each operation sees each kind of breakage several times in a run of some seconds.
const CASES: u32 = 600;

struct Document {
    text: Value,
    validators: BTreeMap<String, Validator>,
}

impl Document {
    async fn of(application: &Application) -> Self {
        let text = application.get("/openapi.json").await.json();
        let names = text["components"]["schemas"].as_object().expect("schemas").keys();
        let validator = |name: &String| {
            let schema = json!({
                "$schema": "https://json-schema.org/draft/2020-12/schema",
                "$ref": format!("#/components/schemas/{name}"),
                "components": text["components"],
            });
            (name.clone(), jsonschema::draft202012::new(&schema).expect("a valid schema"))
        };
        let validators = names.map(validator).collect();
        Self { text, validators }
    }

    fn operation(&self, method: Method, path: &str) -> Option<&Value> {
        let method = if method == Method::Head { "get".to_owned() } else { method.as_str().to_lowercase() };
        self.text["paths"].get(path)?.get(method)
    }

    /// Holds an answer to what the document says of its operation.
    fn check(&self, request: &Generated, answer: &Answer) -> Result<(), String> {
        if answer.status >= 500 {
            return Err(format!("a fault: {} {}", answer.status, answer.text()));
        }
        let Some(operation) = self.operation(request.method, request.template) else {
            let expected = if self.text["paths"].get(request.template).is_some() { 405 } else { 404 };
            return match (answer.status == expected, request.method) {
                (false, _) => Err(format!("{} instead of {expected}", answer.status)),
                (true, Method::Head) => Ok(()),
                (true, _) => self.check_schema("Problem", answer),
            };
        };
        let Some(response) = operation["responses"].get(answer.status.to_string()) else {
            return Err(format!("an undocumented status: {} {}", answer.status, answer.text()));
        };
        for (name, header) in response["headers"].as_object().expect("headers") {
            let reference = header["$ref"].as_str().expect("a reference").trim_start_matches('#');
            let required = self.text.pointer(reference).expect("a header")["required"] == true;
            if required && answer.header(name).is_none() {
                return Err(format!("no {name}"));
            }
        }
        if request.method == Method::Head {
            return if answer.body.is_empty() { Ok(()) } else { Err("a HEAD with a body".to_owned()) };
        }
        let (media_type, content) =
            response["content"].as_object().and_then(|content| content.iter().next()).expect("content");
        let sent = answer.header("Content-Type").unwrap_or_default();
        if !sent.starts_with(media_type.as_str()) {
            return Err(format!("{sent} instead of {media_type}"));
        }
        match content["schema"]["$ref"].as_str() {
            Some(reference) => {
                self.check_schema(reference.trim_start_matches("#/components/schemas/"), answer)
            }
            None => Ok(()),
        }
    }

    fn check_schema(&self, name: &str, answer: &Answer) -> Result<(), String> {
        let body = answer.json();
        let errors: Vec<String> =
            self.validators[name].iter_errors(&body).map(|error| error.to_string()).collect();
        if errors.is_empty() { Ok(()) } else { Err(format!("not a {name}: {errors:?} in {body}")) }
    }
}

/// A request to be.
#[derive(Clone)]
struct Generated {
    method: Method,
    template: &'static str,
    path: String,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl fmt::Debug for Generated {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let body = String::from_utf8_lossy(&self.body);
        write!(formatter, "{} {} {:?} {body:.200}", self.method, self.path, self.headers)
    }
}

const PATHS: [&str; 10] = [
    "/",
    "/health",
    "/ready",
    "/metrics",
    "/openapi.json",
    "/api/visitors",
    "/api/data",
    "/api/data/{id}",
    "/api",
    "/other",
];

/// Any JSON, numbers at the edges of their ranges and nesting beyond the bound included.
fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        Just(json!("\u{0}")),
    ];
    let value = leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            btree_map(any::<String>(), inner, 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    });
    prop_oneof![
        8 => value,
        1 => (0_usize..100).prop_map(|depth| (0..depth).fold(Value::Null, |value, _| json!([value]))),
    ]
}

/// A body that is an item, or nearly.
fn body() -> impl Strategy<Value = Vec<u8>> {
    let name = prop_oneof![
        4 => string_regex(".{1,20}").expect("a pattern").prop_map(Value::from),
        1 => (0_usize..300).prop_map(|length| Value::from("é".repeat(length))),
        1 => json_value(),
    ];
    let members = (
        option::weighted(0.9, name),
        option::weighted(0.9, json_value()),
        option::weighted(0.1, json_value()),
    );
    let item = members
        .prop_map(|(name, value, more)| {
            let members = [("name", name), ("value", value), ("more", more)];
            let members = members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
            Value::Object(members.collect::<Map<_, _>>()).to_string().into_bytes()
        })
        .boxed();
    let cut = (item.clone(), any::<proptest::sample::Index>()).prop_map(|(mut body, index)| {
        body.truncate(index.index(body.len()));
        body
    });
    let flipped =
        (item.clone(), any::<proptest::sample::Index>(), any::<u8>()).prop_map(|(mut body, index, byte)| {
            let place = index.index(body.len());
            body[place] = byte;
            body
        });
    let large = (60_000_usize..70_000)
        .prop_map(|length| format!(r#"{{"name":"n","value":"{}"}}"#, "x".repeat(length)).into_bytes());
    prop_oneof![6 => item, 1 => cut, 1 => flipped, 1 => vec(any::<u8>(), 0..64), 1 => large]
}

/// Visible text for a header or a query, mostly nonsense.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        string_regex("[ -~]{0,40}").expect("a pattern"),
        string_regex("[0-9]{0,25}").expect("a pattern"),
        (0_usize..200).prop_map(|length| "k".repeat(length)),
    ]
}

fn encoded(text: &str) -> String {
    text.bytes()
        .map(
            |byte| {
                if byte.is_ascii_alphanumeric() {
                    char::from(byte).to_string()
                } else {
                    format!("%{byte:02X}")
                }
            },
        )
        .collect()
}

/// Every byte percent-encoded.
fn encoded_bytes(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| format!("{text}%{byte:02x}"))
}

fn query() -> impl Strategy<Value = String> {
    let limit = prop_oneof![
        (0_u32..=101).prop_map(|limit| limit.to_string()),
        text().prop_map(|text| encoded(&text))
    ];
    let after = prop_oneof![
        (1_i64..=40).prop_map(|id| format!("1{id:016x}")),
        text().prop_map(|text| encoded(&text))
    ];
    let pair = prop_oneof![
        limit.prop_map(|value| format!("limit={value}")),
        after.prop_map(|value| format!("after={value}")),
        text().prop_map(|text| encoded(&text)),
    ];
    vec(pair, 0..3).prop_map(|pairs| pairs.join("&"))
}

fn request() -> impl Strategy<Value = Generated> {
    let method = prop_oneof![
        4 => Just(Method::Get),
        4 => Just(Method::Post),
        1 => select(vec![Method::Head, Method::Put, Method::Patch, Method::Delete, Method::Options]),
    ];
    let path = prop_oneof![3 => Just("/api/data"), 2 => select(PATHS.to_vec())];
    let id = prop_oneof![(0_i64..50).prop_map(|id| id.to_string()), text().prop_map(|text| encoded(&text))];
    let content_type = prop_oneof![
        6 => Just(Some("application/json".to_owned())),
        1 => Just(None),
        1 => text().prop_map(Some),
    ];
    let headers = (
        content_type,
        option::weighted(0.3, text()),
        option::weighted(0.3, text()),
        option::weighted(0.3, text()),
    );
    (method, path, id, query(), headers, body()).prop_map(|(method, template, id, query, headers, body)| {
        // An empty id is the list's path with a slash, which is another path.
        let id = if id.is_empty() { "0".to_owned() } else { id };
        let path = format!("{}?{query}", template.replace("{id}", &id));
        let (content_type, key, request_id, trace) = headers;
        let headers = [
            ("Content-Type", content_type),
            ("Idempotency-Key", key),
            ("X-Request-Id", request_id),
            ("traceparent", trace),
        ];
        let headers = headers.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        Generated { method, template, path, headers, body }
    })
}

/// Sends every generated request and judges its answer.
async fn hold<S>(strategy: S, judge: impl Fn(&S::Value, &Answer) -> Result<(), String>)
where
    S: Strategy,
    S::Value: Into<Generated> + Clone,
{
    let application = Application::start().await;
    let mut runner = TestRunner::new(Config { cases: CASES, failure_persistence: None, ..Config::default() });
    let runtime = Handle::current();
    let result = tokio::task::block_in_place(|| {
        runner.run(&strategy, |case| {
            let request: Generated = case.clone().into();
            let headers: Vec<(&str, &str)> =
                request.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let answer =
                runtime.block_on(application.send(request.method, &request.path, &headers, &request.body));
            judge(&case, &answer).map_err(|reason| TestCaseError::fail(format!("{request:?}: {reason}")))
        })
    });
    result.unwrap_or_else(|failure| panic!("{failure}"));
}

async fn generated_requests_get_answers_true_to_the_document() {
    let document = Document::of(&Application::start().await).await;
    hold(request(), |request, answer| document.check(request, answer)).await;
}

async fn broken_bodies_are_refused() {
    let broken = body().prop_map(|mut body| {
        body.insert(0, b'}');
        Generated {
            method: Method::Post,
            template: "/api/data",
            path: "/api/data".to_owned(),
            headers: vec![("Content-Type", "application/json".to_owned())],
            body,
        }
    });
    hold(broken, |_, answer| {
        let refused = matches!(answer.status, 400 | 413);
        if refused { Ok(()) } else { Err(format!("{} {}", answer.status, answer.text())) }
    })
    .await;
}

async fn random_bytes_in_a_url_are_refused() {
    let bytes = vec(any::<u8>(), 1..30).prop_map(|bytes| {
        let path = encoded_bytes(&bytes);
        let path = format!("/api/data/{path}x");
        Generated {
            method: Method::Get,
            template: "/api/data/{id}",
            path,
            headers: Vec::new(),
            body: Vec::new(),
        }
    });
    hold(bytes, |_, answer| if answer.status == 404 { Ok(()) } else { Err(answer.status.to_string()) }).await;
}
