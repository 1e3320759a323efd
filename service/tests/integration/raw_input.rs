//! Owns the promise that bytes which no HTTP library would send are refused and never a fault: heads with any byte
//! anywhere, and bodies in broken pieces, over a socket. What hyper cannot read it refuses itself, in a word and
//! without a body; every other answer is one of ours, whole, with a line of its own.

use std::{cell::RefCell, collections::BTreeMap, fmt};

use proptest::{
    collection::vec,
    option,
    prelude::{BoxedStrategy, Just, Strategy, any, prop_oneof},
    sample::select,
    test_runner::{Config, TestCaseError, TestRunner},
};
use serde_json::Value;
use tokio::runtime::Handle;

use crate::{
    process::served,
    servers::PATIENCE,
    tests,
    wire::{Connection, Served},
};

tests![whatever_bytes_come_are_answered_or_refused];

/// Enough that every part is broken some dozen times in a run of some seconds.
const CASES: u32 = 400;

#[derive(Clone)]
struct Raw(Vec<u8>);

impl fmt::Debug for Raw {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.0.escape_ascii())
    }
}

/// Bytes that end no line: mostly such as a header may hold (RFC 9110 section 5.5), now and then any.
fn bytes(most: usize) -> BoxedStrategy<Vec<u8>> {
    let any_byte = any::<u8>().prop_filter("no end of a line", |byte| !b"\r\n".contains(byte));
    prop_oneof![4 => vec(prop_oneof![0x20..0x7f_u8, 0x80..=0xff_u8], 0..most), 1 => vec(any_byte, 0..most)]
        .boxed()
}

fn one_of(texts: &[&str]) -> BoxedStrategy<Vec<u8>> {
    let texts: Vec<Vec<u8>> = texts.iter().map(|text| text.as_bytes().to_vec()).collect();
    select(texts).boxed()
}

fn header() -> BoxedStrategy<Vec<u8>> {
    let names = [
        "X-Request-Id",
        "traceparent",
        "Content-Type",
        "Idempotency-Key",
        "Accept",
        "Cookie",
        "Host",
        "Expect",
        "Content-Encoding",
    ];
    let name = prop_oneof![6 => one_of(&names), 1 => bytes(10)];
    let value =
        prop_oneof![2 => bytes(60), 1 => one_of(&["application/json", "00-1-1-1", "100-continue", FORM])];
    (name, value).prop_map(|(name, value)| [name.as_slice(), b": ", &value].concat()).boxed()
}

const FORM: &str = "application/x-www-form-urlencoded";

/// A body that says itself where it ends, or breaks off in a way that shows.
fn body() -> BoxedStrategy<Vec<u8>> {
    let measured = |body: Vec<u8>| {
        [format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes(), body.as_slice()].concat()
    };
    let fields =
        ["_method=get", "_method=put&more=1", "_method=delete", "_method=post", "&_method=GET&more=1"];
    let form = one_of(&fields)
        .prop_map(move |body| [format!("Content-Type: {FORM}\r\n").into(), measured(body)].concat());
    let measured = vec(any::<u8>(), 14..80).prop_map(measured);
    let piece = vec(any::<u8>(), 1..40)
        .prop_map(|piece| [format!("{:x}\r\n", piece.len()).as_bytes(), &piece, b"\r\n"].concat());
    let last = prop_oneof![2 => Just(b"0\r\n\r\n".to_vec()), 1 => Just(b"no size\r\n\r\n".to_vec())];
    let pieces = (vec(piece, 0..4), last).prop_map(|(pieces, last)| {
        [b"Transfer-Encoding: chunked\r\n\r\n", pieces.concat().as_slice(), &last].concat()
    });
    prop_oneof![2 => Just(b"\r\n".to_vec()), 1 => form, 1 => measured, 1 => pieces].boxed()
}

fn raw() -> BoxedStrategy<Raw> {
    let method = prop_oneof![8 => one_of(&["GET", "POST", "PUT", "DANCE", "get", "CONNECT"]), 1 => bytes(8)];
    let target = prop_oneof![
        4 => one_of(&["/", "/api/data", "/api/data/1", "/api/data?limit=1", "*", "localhost:1", "http://h/api/data"]),
        2 => bytes(40).prop_map(|bytes| [b"/", bytes.as_slice()].concat()),
        1 => bytes(40),
    ];
    let version = prop_oneof![8 => one_of(&["HTTP/1.1"]), 1 => one_of(&["HTTP/1.0", "HTTP/3.0", "HTTP"])];
    let headers = vec(header(), 0..4).prop_map(|headers| headers.join(&b"\r\n"[..]));
    let host = option::weighted(0.9, Just(b"Host: h\r\n".to_vec()));
    (method, target, version, host, headers, body())
        .prop_map(|(method, target, version, host, mut headers, body)| {
            if !headers.is_empty() {
                headers.extend(b"\r\n");
            }
            let line = [method.as_slice(), b" ", &target, b" ", &version, b"\r\n"].concat();
            Raw([line, b"Connection: close\r\n".to_vec(), host.unwrap_or_default(), headers, body].concat())
        })
        .boxed()
}

/// An answer of the service's own, as its client saw it: by its id, the methods that may have been read, and the status.
type Seen = (String, (Vec<&'static str>, u16));

/// Sends the bytes; the answer, if it is one of the service's own.
async fn judge(served: &Served, raw: &Raw) -> Result<Option<Seen>, String> {
    let mut connection = Connection::open(served.port).await.ok_or("no connection")?;
    connection.write(&raw.0).await.ok_or("nobody reads")?;
    // Whoever asks to be told to go on is told first.
    let mut answer = connection.read(false).await;
    while answer.as_ref().is_some_and(|answer| answer.status == 100) {
        answer = connection.read(false).await;
    }
    let Some(answer) = answer else { return Ok(None) };
    if answer.status >= 500 {
        return Err(format!("a fault: {} {}", answer.status, answer.text()));
    }
    let Some(id) = answer.header("X-Request-Id") else {
        let bare = matches!(answer.status, 400 | 414 | 431) && answer.body.is_empty();
        return if bare { Ok(None) } else { Err(format!("{answer:?}")) };
    };
    if answer.status >= 400 {
        answer.problem();
    }
    let method = raw.0.split(|byte| *byte == b' ').next().unwrap_or_default();
    // The log calls so what Rocket cannot read, and what it does not know.
    let known = ["GET", "POST", "PUT", "CONNECT"].into_iter().find(|known| known.as_bytes() == method);
    let mut methods = vec![known.unwrap_or("OTHER")];
    // A form that names the method with which it was sent looks like one that Rocket has changed.
    let named = [b"_method=", method].concat();
    if raw.0.windows(named.len()).any(|part| part.eq_ignore_ascii_case(&named)) {
        methods.push("POST");
    }
    Ok(Some((id.to_owned(), (methods, answer.status))))
}

async fn whatever_bytes_come_are_answered_or_refused() {
    let (served, _) = served(&[("BODY_DEADLINE_SECONDS", "60")]).await;
    let mut runner = TestRunner::new(Config { cases: CASES, failure_persistence: None, ..Config::default() });
    let before = answered(&served).await;
    let runtime = Handle::current();
    let seen: RefCell<BTreeMap<String, Vec<_>>> = RefCell::default();
    let result = tokio::task::block_in_place(|| {
        runner.run(&raw(), |raw| {
            // The bound of a test does not reach here: nothing else is polled meanwhile.
            let judged =
                runtime.block_on(async { tokio::time::timeout(PATIENCE, judge(&served, &raw)).await });
            let judged = judged.map_err(|_| TestCaseError::fail(format!("no answer within {PATIENCE:?}")))?;
            let judged = judged.map_err(TestCaseError::fail)?;
            if let Some((id, seen_of_it)) = judged {
                seen.borrow_mut().entry(id).or_default().push(seen_of_it);
            }
            Ok(())
        })
    });
    result.unwrap_or_else(|failure| panic!("{failure}"));
    let seen = seen.into_inner();
    let ours = seen.values().map(Vec::len).sum::<usize>() as u64;
    assert!(ours > u64::from(CASES) / 8, "{ours} got as far as the service");
    let counted = answered(&served).await;
    // The one that asked before is counted now.
    assert!(counted > before + ours, "each of them was counted: {counted}");
    let end = served.stop().await;
    assert_eq!((end.status.code(), end.errors.as_str()), (Some(0), ""));
    let lines: Vec<&Value> = end.lines.iter().filter(|line| line["msg"] == "request").collect();
    assert_eq!(lines.len() as u64, counted + 1, "a line each, the last that asked included");
    // What the log says of each is what its client saw.
    for (id, of_client) in &seen {
        let of_it: Vec<&&Value> = lines.iter().filter(|line| line["request_id"] == id.as_str()).collect();
        assert_eq!(of_it.len(), of_client.len(), "{of_it:?}");
        // Two may have thought of the same id.
        let [(methods, status)] = of_client.as_slice() else { continue };
        let said = (of_it[0]["method"].as_str().unwrap_or_default(), of_it[0]["status"].as_u64());
        let is_unread = said.0 == "OTHER" && of_it[0]["endpoint"] == "unmatched";
        let is_right = methods.contains(&said.0) || is_unread;
        assert!(said.1 == Some(u64::from(*status)) && is_right, "{methods:?}: {}", of_it[0]);
    }
}

/// All requests that were counted.
async fn answered(served: &Served) -> u64 {
    let metrics = served.get("/metrics").await;
    let series = metrics.text().lines().filter(|line| line.starts_with("app_requests_total{"));
    series.map(|line| line.rsplit_once(' ').expect("a value").1.parse::<u64>().expect("a number")).sum()
}
