//! Owns the promise that bad input is refused and never a fault: requests are generated from the `OpenAPI` document, valid
//! and broken, and every answer is held to the document. No answer is ever 5xx.

use std::fmt;

use proptest::{
    collection::{btree_map, vec},
    option,
    prelude::{BoxedStrategy, Just, Strategy, any, prop_oneof},
    sample::{Index, select},
    strategy::{Union, ValueTree},
    string::string_regex,
    test_runner::{Config, TestCaseError, TestRunner},
};
use rocket::http::Method;
use serde_json::{Map, Value, json};
use tokio::runtime::Handle;

use crate::{
    application::{Answer, Application},
    document::{Document, Operation},
    tests,
};

tests![
    what_the_document_allows_is_accepted,
    generated_requests_get_answers_true_to_the_document,
    broken_bodies_are_refused,
    random_bytes_in_a_url_are_refused
];

/// Of each operation: enough for every parameter to be at the ends of its range now and then.
const VALID_CASES: usize = 40;

/// Enough that each operation sees each kind of breakage several times in a run of some seconds.
const CASES: u32 = 600;

/// A request to be.
#[derive(Clone)]
struct Generated {
    method: Method,
    template: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Generated {
    /// An operation's request with these values of its parameters and this body.
    fn of(operation: &Operation, values: &[Option<String>], body: Option<Vec<u8>>) -> Self {
        let (mut path, mut query, mut headers) = (operation.template.clone(), Vec::new(), Vec::new());
        for (parameter, value) in operation.parameters.iter().zip(values) {
            let name = &parameter.name;
            match (parameter.place.as_str(), value) {
                ("path", value) => {
                    // An empty one is the list's path with a slash, which is another path.
                    let value = value.as_deref().filter(|value| !value.is_empty()).unwrap_or("0");
                    path = path.replace(&format!("{{{name}}}"), &encoded(value));
                }
                ("query", Some(value)) => query.push(format!("{name}={}", encoded(value))),
                ("header", Some(value)) => headers.push((name.clone(), value.clone())),
                (_, None) => {}
                (place, _) => panic!("a parameter in {place}"),
            }
        }
        if !query.is_empty() {
            path = format!("{path}?{}", query.join("&"));
        }
        if let (Some(described), Some(_)) = (&operation.body, &body) {
            headers.push(("Content-Type".to_owned(), described.media_type.clone()));
        }
        let (method, template) = (operation.method, operation.template.clone());
        Self { method, template, path, headers, body: body.unwrap_or_default() }
    }
}

impl fmt::Debug for Generated {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let body = String::from_utf8_lossy(&self.body);
        write!(formatter, "{} {} {:?} {body:.200}", self.method, self.path, self.headers)
    }
}

/// Paths that the document does not know.
const UNKNOWN: [&str; 3] = ["/api", "/other", "/api/data/1/more"];

/// What a schema allows, of the kinds of schemas that the document has for what is sent.
fn valid(document: &Document, schema: &Value) -> BoxedStrategy<Value> {
    let schema = document.resolve(schema);
    let bound = |name: &str| schema[name].as_i64();
    match schema["type"].as_str() {
        Some("integer") => {
            let (least, most) = (bound("minimum").unwrap_or(i64::MIN), bound("maximum").unwrap_or(i64::MAX));
            prop_oneof![1 => Just(least), 1 => Just(most), 4 => least..=most].prop_map(Value::from).boxed()
        }
        Some("string") => {
            // Whole values are meant: what the generator makes, it makes whole.
            let pattern = schema["pattern"].as_str().unwrap_or("[ -~]*").trim_matches(['^', '$']);
            let pattern = pattern.replace("\\u0000", "\\x00");
            let (least, most) = (bound("minLength").unwrap_or(0), bound("maxLength").unwrap_or(64));
            let fits =
                move |text: &String| (least..=most).contains(&i64::try_from(text.chars().count()).unwrap());
            let texts = string_regex(&pattern).expect("a pattern");
            texts.prop_filter("its length", fits).prop_map(Value::from).boxed()
        }
        Some("object") => {
            let properties = schema["properties"].as_object().expect("members").clone();
            let members = properties.into_iter().map(|(name, schema)| (Just(name), valid(document, &schema)));
            let members: Vec<_> = members.collect();
            members.prop_map(|members| Value::Object(members.into_iter().collect())).boxed()
        }
        None => json_value().prop_filter("what the schema's description excludes", is_kept).boxed(),
        Some(other) => panic!("nothing is sent that is a {other}"),
    }
}

/// What only the description of a value can say: no NUL, and no deep nesting.
fn is_kept(value: &Value) -> bool {
    fn depth(value: &Value) -> usize {
        match value {
            Value::Array(values) => 1 + values.iter().map(depth).max().unwrap_or(0),
            Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
            _ => 0,
        }
    }
    depth(value) <= service::store::DEEPEST_VALUE && !value.to_string().contains("\\u0000")
}

/// A value as it stands in a path, a query or a header.
fn plain(value: Value) -> String {
    if let Value::String(text) = value { text } else { value.to_string() }
}

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

/// A body that is what the schema says, or nearly: a member missing, one too many, one of another kind; cut off, with one
/// byte changed, nonsense, or too large.
fn nearly(document: &Document, schema: &Value) -> BoxedStrategy<Vec<u8>> {
    let members = schema["properties"].as_object().expect("members").clone();
    let members: Vec<_> = members
        .into_iter()
        .map(|(name, schema)| {
            let value = prop_oneof![6 => valid(document, &schema), 1 => json_value(), 1 => long()];
            (Just(name), option::weighted(0.9, value))
        })
        .collect();
    let item = (members, option::weighted(0.1, json_value()))
        .prop_map(|(members, more)| {
            let members = members.into_iter().chain([("more".to_owned(), more)]);
            let members = members.filter_map(|(name, value)| Some((name, value?)));
            Value::Object(members.collect::<Map<_, _>>()).to_string().into_bytes()
        })
        .boxed();
    let cut = (item.clone(), any::<Index>()).prop_map(|(mut body, index)| {
        body.truncate(index.index(body.len()));
        body
    });
    let flipped = (item.clone(), any::<Index>(), any::<u8>()).prop_map(|(mut body, index, byte)| {
        let place = index.index(body.len());
        body[place] = byte;
        body
    });
    let large = (60_000_usize..70_000)
        .prop_map(|length| format!(r#"{{"name":"n","value":"{}"}}"#, "x".repeat(length)).into_bytes());
    prop_oneof![6 => item, 1 => cut, 1 => flipped, 1 => vec(any::<u8>(), 0..64), 1 => large].boxed()
}

fn long() -> impl Strategy<Value = Value> {
    (0_usize..300).prop_map(|length| Value::from("é".repeat(length)))
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

/// A request of the operation with every parameter, each as the document allows it.
fn valid_request(document: &Document, operation: &Operation) -> BoxedStrategy<Generated> {
    let parameters = operation.parameters.iter();
    let values: Vec<_> = parameters
        .map(|parameter| valid(document, &parameter.schema).prop_map(|value| Some(plain(value))))
        .collect();
    let body = match &operation.body {
        Some(body) => {
            valid(document, &body.schema).prop_map(|body| Some(body.to_string().into_bytes())).boxed()
        }
        None => Just(None).boxed(),
    };
    let operation = operation.clone();
    (values, body).prop_map(move |(values, body)| Generated::of(&operation, &values, body)).boxed()
}

/// A request of the operation in which anything may be missing, of another kind, given twice or not known.
fn nearly_request(document: &Document, operation: &Operation) -> BoxedStrategy<Generated> {
    let parameters = operation.parameters.iter();
    let values: Vec<_> = parameters
        .map(|parameter| {
            let value = prop_oneof![3 => valid(document, &parameter.schema).prop_map(plain), 1 => text()];
            option::weighted(0.5, value)
        })
        .collect();
    let body = match &operation.body {
        Some(body) => option::weighted(0.95, nearly(document, &body.schema)).boxed(),
        None => option::weighted(0.1, vec(any::<u8>(), 0..64)).boxed(),
    };
    let media_type =
        prop_oneof![6 => Just(None), 1 => Just(Some(None)), 1 => text().prop_map(|text| Some(Some(text)))];
    let method = option::weighted(
        0.15,
        select(vec![Method::Head, Method::Put, Method::Patch, Method::Delete, Method::Options, Method::Post]),
    );
    let more = option::weighted(0.2, (any::<Index>(), text()));
    let operation = operation.clone();
    (values, body, media_type, method, more)
        .prop_map(move |(values, body, media_type, method, more)| {
            let mut request = Generated::of(&operation, &values, body);
            request.method = method.unwrap_or(request.method);
            if let Some(media_type) = media_type {
                request.headers.retain(|(name, _)| name != "Content-Type");
                request.headers.extend(media_type.map(|value| ("Content-Type".to_owned(), value)));
            }
            if let Some((index, value)) = more {
                // A parameter of the query once more, or one that nobody knows.
                let known = operation.parameters.iter().filter(|parameter| parameter.place == "query");
                let names: Vec<&str> =
                    known.map(|parameter| parameter.name.as_str()).chain(["colour"]).collect();
                let separator = if request.path.contains('?') { '&' } else { '?' };
                request.path =
                    format!("{}{separator}{}={}", request.path, index.get(&names), encoded(&value));
            }
            request
        })
        .boxed()
}

/// Any operation of the document, those that read most of what is sent more often, and what the document does not know.
fn request(document: &Document) -> impl Strategy<Value = Generated> + use<> {
    let operations = document.operations();
    let weighted = operations.iter().map(|operation| {
        let weight = 1 + u32::from(operation.body.is_some()) * 6;
        (weight, nearly_request(document, operation))
    });
    let unknown = UNKNOWN.iter().map(|path| {
        let (method, template) = (Method::Get, (*path).to_owned());
        let unknown = Operation { method, template, parameters: Vec::new(), body: None };
        (1, nearly_request(document, &unknown))
    });
    Union::new_weighted(weighted.chain(unknown).collect())
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
                request.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            let answer =
                runtime.block_on(application.send(request.method, &request.path, &headers, &request.body));
            judge(&case, &answer).map_err(|reason| TestCaseError::fail(format!("{request:?}: {reason}")))
        })
    });
    result.unwrap_or_else(|failure| panic!("{failure}"));
}

async fn generated_requests_get_answers_true_to_the_document() {
    let document = Document::of(&Application::start().await).await;
    hold(request(&document), |request, answer| document.check(request.method, &request.template, answer))
        .await;
}

async fn what_the_document_allows_is_accepted() {
    let application = Application::start().await;
    let document = Document::of(&application).await;
    // What is found by its id is there, whichever the document allows.
    let found = application.post(&json!({ "name": "n", "value": 1 }), None).await.json()["id"].to_string();
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::default() });
    let operations = document.operations();
    assert!(operations.iter().any(|operation| operation.body.is_some()), "{operations:?}");
    for operation in &operations {
        let strategy = valid_request(&document, operation);
        for number in 0..VALID_CASES {
            let mut request = strategy.new_tree(&mut runner).expect("a request").current();
            for parameter in &operation.parameters {
                let name = &parameter.name;
                let is_sent = match parameter.place.as_str() {
                    "path" => !request.path.contains(&format!("{{{name}}}")),
                    "query" => request.path.contains(&format!("{name}=")),
                    _ => request.headers.iter().any(|(known, _)| known == name),
                };
                assert!(is_sent, "{name} is not in {request:?}");
            }
            if operation.template.contains("{id}") {
                request.path = operation.template.replace("{id}", &found);
            }
            for (name, value) in &mut request.headers {
                // Two items under one key are none of the document's.
                if name == "Idempotency-Key" {
                    *value = format!("{number}{value}").chars().take(service::store::LONGEST_KEY).collect();
                }
            }
            let headers: Vec<(&str, &str)> =
                request.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            let answer = application.send(request.method, &request.path, &headers, &request.body).await;
            assert!((200..300).contains(&answer.status), "{request:?}: {} {}", answer.status, answer.text());
            let checked = document.check(request.method, &request.template, &answer);
            checked.unwrap_or_else(|reason| panic!("{request:?}: {reason}"));
        }
    }
}

async fn broken_bodies_are_refused() {
    let document = Document::of(&Application::start().await).await;
    let operations = document.operations();
    let broken = operations.iter().filter_map(|operation| {
        let (operation, schema) = (operation.clone(), operation.body.as_ref()?.schema.clone());
        let broken = nearly(&document, &schema).prop_map(move |mut body| {
            body.insert(0, b'}');
            Generated::of(&operation, &vec![None; operation.parameters.len()], Some(body))
        });
        Some(broken.boxed())
    });
    hold(Union::new(broken), |_, answer| {
        let refused = matches!(answer.status, 400 | 413);
        if refused { Ok(()) } else { Err(format!("{} {}", answer.status, answer.text())) }
    })
    .await;
}

async fn random_bytes_in_a_url_are_refused() {
    let bytes = vec(any::<u8>(), 1..30).prop_map(|bytes| Generated {
        method: Method::Get,
        template: "/api/data/{id}".to_owned(),
        path: format!("/api/data/{}x", encoded_bytes(&bytes)),
        headers: Vec::new(),
        body: Vec::new(),
    });
    hold(bytes, |_, answer| if answer.status == 404 { Ok(()) } else { Err(answer.status.to_string()) }).await;
}
