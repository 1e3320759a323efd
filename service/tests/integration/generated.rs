//! Owns the requests that are generated from the `OpenAPI` document: as it allows them, nearly so, and with one thing that
//! it forbids. Sends none and judges no answer.

use std::{fmt, sync::Arc};

use proptest::{
    collection::{btree_map, vec},
    option,
    prelude::{BoxedStrategy, Just, Strategy, any, prop_oneof},
    sample::{Index, select},
    strategy::Union,
    string::string_regex,
};
use rocket::http::Method;
use serde_json::{Map, Value, json};

use crate::document::{Document, Operation, Parameter};

/// A request to be.
#[derive(Clone)]
pub(crate) struct Generated {
    pub(crate) method: Method,
    pub(crate) template: String,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Generated {
    /// An operation's request with these values of its parameters and this body.
    pub(crate) fn of(operation: &Operation, values: &[Option<String>], body: Option<Vec<u8>>) -> Self {
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

/// Of the items that are there when a request comes: their highest id.
pub(crate) const KEPT: i64 = 30;

/// The cursor of a page that ends with this item.
pub(crate) fn cursor(id: i64) -> String {
    format!("1{id:016x}")
}

/// What a parameter may say, so that now and then it is about items that are there, or just not.
fn sensible(document: &Document, parameter: &Parameter) -> BoxedStrategy<String> {
    let any = valid(document, &parameter.schema).prop_map(plain);
    match parameter.name.as_str() {
        "id" => prop_oneof![any, (1..=KEPT + 1).prop_map(|id| id.to_string())].boxed(),
        "after" => prop_oneof![any, (0..=KEPT + 1).prop_map(cursor)].boxed(),
        _ => any.boxed(),
    }
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

/// A body that is what the schema says, or nearly: a member missing, one too many, one given twice, one of another kind; cut off, with one
/// byte changed, nonsense, or too large.
pub(crate) fn nearly(document: &Document, schema: &Value) -> BoxedStrategy<Vec<u8>> {
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
    let twice = (item.clone(), select(vec!["name", "value", "more"])).prop_map(|(body, name)| {
        let more = format!("{{\"{name}\":\"n\",\"{name}\":\"n\",");
        [more.as_bytes(), &body[1..]].concat()
    });
    let large = (60_000_usize..70_000)
        .prop_map(|length| format!(r#"{{"name":"n","value":"{}"}}"#, "x".repeat(length)).into_bytes());
    prop_oneof![6 => item, 1 => twice, 1 => cut, 1 => flipped, 1 => vec(any::<u8>(), 0..64), 1 => large]
        .boxed()
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
pub(crate) fn encoded_bytes(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| format!("{text}%{byte:02x}"))
}

/// A request of the operation with every parameter, each as the document allows it.
pub(crate) fn valid_request(document: &Document, operation: &Operation) -> BoxedStrategy<Generated> {
    let operation = operation.clone();
    (parameters(document, &operation), body(document, &operation))
        .prop_map(move |(values, body)| Generated::of(&operation, &values, body))
        .boxed()
}

fn parameters(
    document: &Document,
    operation: &Operation,
) -> impl Strategy<Value = Vec<Option<String>>> + use<> {
    let parameters = operation.parameters.iter();
    parameters.map(|parameter| sensible(document, parameter).prop_map(Some)).collect::<Vec<_>>()
}

fn body(document: &Document, operation: &Operation) -> BoxedStrategy<Option<Vec<u8>>> {
    match &operation.body {
        Some(body) => {
            valid(document, &body.schema).prop_map(|body| Some(body.to_string().into_bytes())).boxed()
        }
        None => Just(None).boxed(),
    }
}

/// A request of the operation in which anything may be missing, of another kind, given twice or not known.
fn nearly_request(document: &Document, operation: &Operation) -> BoxedStrategy<Generated> {
    let parameters = operation.parameters.iter();
    let values: Vec<_> = parameters
        .map(|parameter| {
            let value = prop_oneof![3 => sensible(document, parameter), 1 => text()];
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
    let coding = option::weighted(0.1, select(vec!["identity", "Identity", "gzip", "identity, br", ""]));
    let more = option::weighted(0.2, (any::<Index>(), text()));
    let operation = operation.clone();
    (values, body, media_type, coding, method, more)
        .prop_map(move |(values, body, media_type, coding, method, more)| {
            let mut request = Generated::of(&operation, &values, body);
            request.method = method.unwrap_or(request.method);
            if let Some(media_type) = media_type {
                request.headers.retain(|(name, _)| name != "Content-Type");
                request.headers.extend(media_type.map(|value| ("Content-Type".to_owned(), value)));
            }
            request.headers.extend(coding.map(|coding| ("Content-Encoding".to_owned(), coding.to_owned())));
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

/// Paths that the document does not know.
const UNKNOWN: [&str; 3] = ["/api", "/other", "/api/data/1/more"];

/// Any operation of the document, those that read most of what is sent more often, and what the document does not know.
pub(crate) fn request(document: &Document) -> impl Strategy<Value = Generated> + use<> {
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

/// A request of the operation in which exactly one thing is not as the document demands; `None`: it demands nothing.
pub(crate) fn forbidden_request(
    document: &Arc<Document>,
    operation: &Operation,
) -> Option<BoxedStrategy<Generated>> {
    let mut broken = Vec::new();
    for (number, parameter) in operation.parameters.iter().enumerate() {
        let constraints = ["minimum", "maximum", "minLength", "maxLength", "pattern"];
        if constraints.iter().all(|name| parameter.schema.get(name).is_none()) {
            continue;
        }
        let (judge, schema) = (Arc::clone(document), parameter.schema.clone());
        let value = prop_oneof![3 => text(), 1 => near_the_bounds(&parameter.schema)]
            .prop_filter("what the document forbids", move |text| !judge.allows_text(&schema, text));
        let operation = operation.clone();
        let others = (parameters(document, &operation), body(document, &operation), value);
        let broken_one = others.prop_map(move |(mut values, body, value)| {
            values[number] = Some(value);
            Generated::of(&operation, &values, body)
        });
        broken.push(broken_one.boxed());
    }
    if let Some(described) = &operation.body {
        let (judge, schema) = (Arc::clone(document), described.schema.clone());
        let body = nearly(document, &described.schema)
            .prop_filter("what the document forbids", move |body| {
                serde_json::from_slice(body).map_or(true, |body| !judge.allows(&schema, &body))
            });
        let operation = operation.clone();
        let broken_one = (parameters(document, &operation), body)
            .prop_map(move |(values, body)| Generated::of(&operation, &values, Some(body)));
        broken.push(broken_one.boxed());
    }
    (!broken.is_empty()).then(|| Union::new(broken).boxed())
}

/// Numbers beside the bounds of a schema, and beyond what any number is.
fn near_the_bounds(schema: &Value) -> BoxedStrategy<String> {
    let bounds = ["minimum", "maximum"].map(|name| schema[name].as_i64().unwrap_or(0));
    let near = (select(bounds.to_vec()), -2_i64..=2).prop_map(|(bound, step)| bound.saturating_add(step));
    prop_oneof![
        near.prop_map(|number| number.to_string()),
        string_regex("-?[0-9]{20,25}").expect("a pattern")
    ]
    .boxed()
}
