//! Owns a collector as tests meet it: takes OTLP over HTTP (`POST /v1/traces`, protobuf) on a port of its own and keeps
//! what it was sent. Refuses what a collector would refuse, and what a test tells it to.

use std::{
    collections::VecDeque,
    fmt::Write,
    net::Ipv4Addr,
    sync::{Arc, Mutex},
    time::Instant,
};

use opentelemetry_proto::tonic::{
    collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse},
    common::v1::{KeyValue, any_value},
    trace::v1::{ResourceSpans, Span},
};
use prost::Message;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

use crate::servers::{Port, until};

/// What came: heads of requests, and spans with who sent them.
#[derive(Default)]
struct Received {
    heads: Vec<String>,
    /// When any request came, refused ones too.
    moments: Vec<Instant>,
    spans: Vec<ResourceSpans>,
    /// How the next requests are refused, the first one first.
    refusals: VecDeque<&'static str>,
}

pub(crate) struct Collector {
    pub(crate) port: Port,
    received: Arc<Mutex<Received>>,
}

impl Collector {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let port = Port(listener.local_addr().expect("an address").port());
        let received = Arc::new(Mutex::new(Received::default()));
        let kept = Arc::clone(&received);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let kept = Arc::clone(&kept);
                // One who goes away in the middle of a request has nothing more to say.
                tokio::spawn(async move { drop(serve(stream, &kept).await) });
            }
        });
        Self { port, received }
    }

    /// The variable's value that names a collector at this port.
    pub(crate) fn endpoint(port: Port) -> String {
        format!("http://127.0.0.1:{}", port.0)
    }

    /// When requests came, refused ones too.
    pub(crate) fn moments(&self) -> Vec<Instant> {
        self.received.lock().expect("what came").moments.clone()
    }

    /// Answers the next request with this status, and what headers stand behind it, instead of taking it.
    pub(crate) fn refuse(&self, status: &'static str) {
        self.received.lock().expect("what came").refusals.push_back(status);
    }

    /// How many refusals nobody has met yet.
    pub(crate) fn refusals(&self) -> usize {
        self.received.lock().expect("what came").refusals.len()
    }

    /// The heads of the requests that came.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.received.lock().expect("what came").heads.clone()
    }

    /// What those who sent spans say of themselves.
    pub(crate) fn resources(&self) -> Vec<Vec<KeyValue>> {
        let received = self.received.lock().expect("what came");
        let resources = received.spans.iter().filter_map(|spans| spans.resource.clone());
        resources.map(|resource| resource.attributes).collect()
    }

    /// The spans that came, in the order in which they ended.
    pub(crate) fn spans(&self) -> Vec<Span> {
        let received = self.received.lock().expect("what came");
        let scopes = received.spans.iter().flat_map(|spans| &spans.scope_spans);
        scopes.flat_map(|scope| scope.spans.clone()).collect()
    }

    /// The spans of a trace, once its request's has come, which ends last.
    pub(crate) async fn trace(&self, trace_id: &str) -> Vec<Span> {
        let of_it = || {
            let spans = self.spans().into_iter();
            spans.filter(|span| hex(&span.trace_id) == trace_id).collect::<Vec<_>>()
        };
        until("the spans of a request", async || of_it().iter().any(is_server)).await;
        of_it()
    }
}

pub(crate) fn is_server(span: &Span) -> bool {
    span.kind == opentelemetry_proto::tonic::trace::v1::span::SpanKind::Server as i32
}

/// The spans under `parent`, one a line, indented by depth, as they began.
pub(crate) fn tree(spans: &[Span], parent: &[u8]) -> String {
    let mut text = String::new();
    write_tree(&mut text, spans, parent, 0);
    text
}

fn write_tree(text: &mut String, spans: &[Span], parent: &[u8], depth: usize) {
    let mut children: Vec<&Span> = spans.iter().filter(|span| span.parent_span_id == parent).collect();
    children.sort_by_key(|span| span.start_time_unix_nano);
    for child in children {
        writeln!(text, "{}{}", "  ".repeat(depth), child.name).expect("text in memory");
        write_tree(text, spans, &child.span_id, depth + 1);
    }
}

/// An attribute as text; `None`: there is none of this name.
pub(crate) fn attribute(attributes: &[KeyValue], name: &str) -> Option<String> {
    let pair = attributes.iter().find(|pair| pair.key == name)?;
    Some(match pair.value.as_ref()?.value.as_ref()? {
        any_value::Value::StringValue(text) => text.clone(),
        any_value::Value::IntValue(number) => number.to_string(),
        other => panic!("{name} is {other:?}"),
    })
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn serve(stream: TcpStream, received: &Mutex<Received>) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if stream.read_line(&mut head).await? == 0 {
                return Ok(());
            }
        }
        let lower = head.to_ascii_lowercase();
        let length =
            lower.lines().find_map(|line| line.strip_prefix("content-length: ")?.trim().parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        stream.read_exact(&mut body).await?;
        let sound = lower.starts_with("post /v1/traces http/1.1\r\n")
            && lower.contains("\r\ncontent-type: application/x-protobuf\r\n");
        let status = match ExportTraceServiceRequest::decode(&*body) {
            Ok(request) if sound => {
                let mut received = received.lock().expect("what came");
                received.moments.push(Instant::now());
                if let Some(refusal) = received.refusals.pop_front() {
                    refusal
                } else {
                    received.heads.push(head);
                    received.spans.extend(request.resource_spans);
                    "200 OK"
                }
            }
            _ => "400 Bad Request",
        };
        let answer = ExportTraceServiceResponse::default().encode_to_vec();
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/x-protobuf\r\nContent-Length: {}\r\n\r\n",
            answer.len()
        );
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(&answer).await?;
    }
}
