//! Owns the promise that bad input is refused and never a fault: requests are generated from the `OpenAPI` document, valid
//! and broken, and every answer is held to the document. No answer is ever 5xx.

use std::sync::Arc;

use proptest::{
    collection::vec,
    prelude::{Strategy, any},
    strategy::{Union, ValueTree},
    test_runner::{Config, TestCaseError, TestRunner},
};
use rocket::http::Method;
use serde_json::json;
use tokio::runtime::Handle;

use crate::{
    application::{Answer, Application},
    document::Document,
    generated::{Generated, KEPT, encoded_bytes, forbidden_request, nearly, request, valid_request},
    servers::{self, PATIENCE},
    tests,
};

tests![
    what_the_document_allows_is_accepted,
    what_the_document_forbids_is_refused,
    generated_requests_get_answers_true_to_the_document,
    broken_bodies_are_refused,
    random_bytes_in_a_url_are_refused,
];

/// Of each operation: enough for every parameter to be at the ends of its range now and then.
const VALID_CASES: usize = 40;

/// Enough that each operation sees each kind of breakage several times in a run of some seconds.
const CASES: u32 = 600;

/// Sends every generated request, holds its answer to the document, and judges it.
async fn hold<S>(strategy: S, judge: impl Fn(&Answer) -> Result<(), String>)
where
    S: Strategy<Value = Generated>,
{
    let application = Application::start().await;
    let items = format!(
        "INSERT INTO items (name, value) SELECT 'n', to_jsonb(n) FROM generate_series(1, {KEPT}) AS n"
    );
    servers::execute(&application.database, &items).await;
    let document = Document::of(&application).await;
    let mut runner = TestRunner::new(Config { cases: CASES, failure_persistence: None, ..Config::default() });
    let runtime = Handle::current();
    let result = tokio::task::block_in_place(|| {
        let run = runner.run(&strategy, |request| {
            let headers: Vec<(&str, &str)> =
                request.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            // The bound of a test does not reach here: nothing else is polled meanwhile.
            let answer = runtime.block_on(async {
                let sent = application.send(request.method, &request.path, &headers, &request.body);
                tokio::time::timeout(PATIENCE, sent).await
            });
            let answer = answer.map_err(|_| TestCaseError::fail(format!("{request:?}: no answer")))?;
            let held =
                document.check(request.method, &request.template, &answer).and_then(|()| judge(&answer));
            held.map_err(|reason| TestCaseError::fail(format!("{request:?}: {reason}")))
        });
        run.map_err(|failure| failure.to_string())
    });
    result.unwrap_or_else(|failure| panic!("{failure}"));
}

async fn generated_requests_get_answers_true_to_the_document() {
    let document = Document::of(&Application::start().await).await;
    hold(request(&document), |_| Ok(())).await;
}

async fn what_the_document_forbids_is_refused() {
    let document = Arc::new(Document::of(&Application::start().await).await);
    let operations = document.operations();
    let forbidden: Vec<_> =
        operations.iter().filter_map(|operation| forbidden_request(&document, operation)).collect();
    assert_eq!(forbidden.len(), 3, "a list, an item, a new item");
    hold(Union::new(forbidden), |answer| {
        let refused = (400..500).contains(&answer.status);
        if refused { Ok(()) } else { Err(format!("{} {}", answer.status, answer.text())) }
    })
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
    hold(Union::new(broken), |answer| {
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
    hold(bytes, |answer| if answer.status == 404 { Ok(()) } else { Err(answer.status.to_string()) }).await;
}
