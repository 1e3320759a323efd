//! Tiny servers for what a front is tested with, and a client that keeps its connection.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http_body_util::{BodyExt as _, Collected, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::SendRequest;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Any free port of this machine.
pub(super) const ANYWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// An address at which nobody listens, nor will for as long as the socket is held: a port that was given back may be
/// another's, or still be held by a program that is just being started.
pub(super) fn nobody() -> (TcpSocket, SocketAddr) {
    let held = TcpSocket::new_v4().expect("a socket");
    held.bind(ANYWHERE).expect("a port");
    let address = held.local_addr().expect("an address");
    (held, address)
}

/// A server that is gone, with all its connections and without a word, when it is dropped.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) address: SocketAddr,
    /// How many requests it has seen.
    pub(super) seen: watch::Receiver<usize>,
    _task: JoinSet<()>,
}

impl Server {
    /// Answers with what `answer` makes of a request.
    pub(super) async fn start<F, R>(answer: F) -> Self
    where
        F: Fn(Request<Incoming>) -> R + Send + Sync + 'static,
        R: Future<Output = Response<Full<Bytes>>> + Send + 'static,
    {
        let answer = Arc::new(answer);
        Self::of_connections(move |stream, seen| {
            let answer = Arc::clone(&answer);
            async move {
                let service = service_fn(move |request| {
                    seen.send_modify(|seen| *seen += 1);
                    let answered = answer(request);
                    async move { Ok::<_, Infallible>(answered.await) }
                });
                let connection = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service);
                let _ = connection.await;
            }
        })
        .await
    }

    /// Answers every request with its name and the request's body.
    pub(super) async fn echo(name: &'static str) -> Self {
        Self::start(move |request| async move {
            let body = request.into_body().collect().await.map(Collected::to_bytes).unwrap_or_default();
            Response::new(Full::new([name.as_bytes(), b" ", &body].concat().into()))
        })
        .await
    }

    /// Reads the head of one request from each connection, writes this and closes it.
    pub(super) async fn raw(answer: &'static str) -> Self {
        Self::of_connections(move |mut stream, seen| async move {
            let mut head = Vec::new();
            let mut piece = [0; 1024];
            while !head.windows(4).any(|end| end == b"\r\n\r\n") {
                match stream.read(&mut piece).await {
                    Ok(length) if length > 0 => head.extend_from_slice(&piece[..length]),
                    _ => return,
                }
            }
            seen.send_modify(|seen| *seen += 1);
            let _ = stream.write_all(answer.as_bytes()).await;
        })
        .await
    }

    pub(super) async fn of_connections<F, R>(serve: F) -> Self
    where
        F: Fn(TcpStream, watch::Sender<usize>) -> R + Send + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind(ANYWHERE).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (sender, seen) = watch::channel(0);
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, sender.clone()));
            }
        });
        Self { address, seen, _task: task }
    }

    /// How many requests it has seen until now.
    pub(super) fn count(&self) -> usize {
        *self.seen.borrow()
    }
}

/// A client that keeps its connection as long as it can.
#[derive(Debug)]
pub(super) struct Client {
    to: SocketAddr,
    sender: Option<SendRequest<Full<Bytes>>>,
    /// How many connections it has made.
    pub(super) connections: Arc<AtomicUsize>,
}

impl Client {
    pub(super) fn new(to: SocketAddr) -> Self {
        Self { to, sender: None, connections: Arc::default() }
    }

    /// Sends a request; the answer's body is not read yet.
    pub(super) async fn send(
        &mut self,
        method: &str,
        body: impl Into<Bytes>,
    ) -> Result<Response<Incoming>, String> {
        let kept = self.sender.take().filter(|sender| !sender.is_closed());
        let mut sender = match kept {
            Some(sender) => sender,
            None => self.connect().await?,
        };
        sender.ready().await.map_err(|error| format!("not ready: {error:?}"))?;
        let request = Request::builder().method(method).uri("/path?query").header("host", "front.test");
        let request = request.body(Full::new(body.into())).expect("a request");
        let response = sender.send_request(request).await.map_err(|error| format!("{method}: {error:?}"))?;
        self.sender = Some(sender);
        Ok(response)
    }

    /// Status and body of the answer to a request.
    pub(super) async fn ask(
        &mut self,
        method: &str,
        body: impl Into<Bytes>,
    ) -> Result<(u16, String), String> {
        let response = self.send(method, body).await?;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.map_err(|error| format!("body: {error:?}"))?;
        Ok((status, String::from_utf8_lossy(&body.to_bytes()).into_owned()))
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, String> {
        self.connections.fetch_add(1, Ordering::Relaxed);
        let stream = TcpStream::connect(self.to).await.map_err(|error| format!("connect: {error}"))?;
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| format!("handshake: {error}"))?;
        tokio::spawn(connection);
        Ok(sender)
    }
}
