//! Owns the promise of the pages: whatever the cursor and however many items a page may have, each page follows the one before,
//! and together they are every item below the cursor, newest first. A cursor that no page gave is refused or is one.

use proptest::{
    option,
    prelude::{Strategy, any, prop_oneof},
    sample::{Index, select},
    test_runner::{Config, TestCaseError, TestRunner},
};
use serde_json::Value;
use tokio::runtime::Handle;

use crate::{
    application::Application,
    document::Document,
    generated::cursor,
    servers::{self, PATIENCE},
    tests,
};

tests![every_page_follows_the_one_before, a_cursor_with_one_change_is_refused_or_is_one];

/// The highest id of the items here.
const LAST: i64 = 40;

/// Enough that each length of a page meets beginnings of every kind.
const CASES: u32 = 150;

/// Items with every id up to [`LAST`] but the sevenths: some cursors stand between two items.
async fn application() -> Application {
    let application = Application::start().await;
    let items = format!(
        "INSERT INTO items (name, value) SELECT 'n', to_jsonb(number) FROM generate_series(1, {LAST}) AS number; \
         DELETE FROM items WHERE id % 7 = 0"
    );
    servers::execute(&application.database, &items).await;
    application
}

/// The ids below this one, newest first.
fn expected(before: i64) -> Vec<i64> {
    (1..=LAST.min(before.saturating_sub(1))).rev().filter(|id| id % 7 != 0).collect()
}

/// A page's ids, and where the next one is.
async fn page(application: &Application, path: &str) -> Result<(Vec<i64>, Option<String>), String> {
    let answer = application.get(path).await;
    if answer.status != 200 {
        return Err(format!("{path}: {} {}", answer.status, answer.text()));
    }
    let page = answer.json();
    let ids = page["items"].as_array().expect("items").iter().map(|item| item["id"].as_i64().expect("an id"));
    Ok((ids.collect(), page["next"].as_str().map(str::to_owned)))
}

/// Every id from this page on, and where each page but the last has as many as it may.
async fn follow(application: &Application, first: &str, limit: usize) -> Result<Vec<i64>, String> {
    let mut all = Vec::new();
    let mut path = Some(first.to_owned());
    while let Some(now) = path.take() {
        let (ids, next) = page(application, &now).await?;
        // An empty one never follows; the first of all may be.
        let is_whole = if next.is_some() { ids.len() == limit } else { !ids.is_empty() || now == first };
        if !is_whole || ids.len() > limit {
            return Err(format!("{now}: {ids:?}, then {next:?}"));
        }
        all.extend(ids);
        path = next;
    }
    Ok(all)
}

/// Runs a test that asks the application something for each case.
fn hold<S: Strategy>(strategy: S, ask: impl AsyncFn(S::Value) -> Result<(), String>) {
    let mut runner = TestRunner::new(Config { cases: CASES, failure_persistence: None, ..Config::default() });
    let runtime = Handle::current();
    let result = tokio::task::block_in_place(|| {
        let run = runner.run(&strategy, |case| {
            // The bound of a test does not reach here: nothing else is polled meanwhile.
            let asked = runtime.block_on(async { tokio::time::timeout(PATIENCE, ask(case)).await });
            asked.map_err(|_| TestCaseError::fail("no answer"))?.map_err(TestCaseError::fail)
        });
        run.map_err(|failure| failure.to_string())
    });
    result.unwrap_or_else(|failure| panic!("{failure}"));
}

async fn every_page_follows_the_one_before() {
    let application = application().await;
    let limit = prop_oneof![4 => 1_usize..8, 1 => 1_usize..=100];
    hold((limit, option::weighted(0.9, 0..=LAST + 2)), async |(limit, before)| {
        let after = before.map(|id| format!("&after={}", cursor(id))).unwrap_or_default();
        let seen = follow(&application, &format!("/api/data?limit={limit}{after}"), limit).await?;
        let expected = expected(before.unwrap_or(i64::MAX));
        if seen == expected { Ok(()) } else { Err(format!("{seen:?} instead of {expected:?}")) }
    });
}

async fn a_cursor_with_one_change_is_refused_or_is_one() {
    let application = application().await;
    let document = Document::of(&application).await;
    let operations = document.operations();
    let mut parameters = operations.iter().flat_map(|operation| &operation.parameters);
    let schema = &parameters.find(|parameter| parameter.name == "after").expect("a cursor").schema;
    let digits: Vec<char> = "0123456789abcdefABCDEFg-+_.~".chars().collect();
    let change = (0..=LAST + 1, 0..3_u8, any::<Index>(), select(digits));
    hold(change, async |(id, kind, place, digit)| {
        let mut text: Vec<char> = cursor(id).chars().collect();
        let place = place.index(text.len());
        match kind {
            0 => text[place] = digit,
            1 => text.insert(place, digit),
            _ => drop(text.remove(place)),
        }
        let text: String = text.into_iter().collect();
        let path = format!("/api/data?limit=3&after={text}");
        if !document.allows_text(schema, &text) {
            let answer = application.get(&path).await;
            let is_refused = answer.status == 422 && answer.problem() == "invalid-request";
            return if is_refused {
                Ok(())
            } else {
                Err(format!("{text}: {} {}", answer.status, answer.text()))
            };
        }
        let before = i64::from_str_radix(&text[1..], 16).map_err(|error| format!("{text}: {error}"))?;
        let (ids, _) = page(&application, &path).await?;
        let expected: Vec<i64> = expected(before).into_iter().take(3).collect();
        if ids == expected { Ok(()) } else { Err(format!("{text}: {ids:?} instead of {expected:?}")) }
    });
    let value: Value = application.get("/api/data?limit=1").await.json();
    assert_eq!(value["items"][0]["id"], LAST, "there were items to be found");
}
