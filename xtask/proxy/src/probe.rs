//! One question to one server: whether it is ready.

use std::net::SocketAddr;
use std::pin::Pin;

use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::limits;

/// How much of an answer is read for what it says.
const SAYS: usize = 2000;

/// Asks a server for a path; an answer with success is none, any other says what is in the way.
///
/// # Errors
/// What was seen in place of a success, in words.
pub async fn ready(server: SocketAddr, path: &str) -> Result<(), String> {
    match tokio::time::timeout(limits::READY, ask(server, path)).await {
        Ok(answered) => answered,
        Err(_) => Err(format!("{path} did not answer within {} s", limits::READY.as_secs())),
    }
}

/// Boxed, so that the code of the client is generated here and not where it is awaited.
fn ask(server: SocketAddr, path: &str) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send + '_>> {
    Box::pin(async move {
        let broken = |error: hyper::Error| format!("{path} did not answer: {error}");
        let stream = TcpStream::connect(server).await.map_err(|error| format!("cannot connect: {error}"))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        tokio::spawn(connection);
        let request = Request::get(path).header("host", server.to_string()).body(Empty::<Bytes>::new());
        let request = request.map_err(|error| format!("cannot ask for {path}: {error}"))?;
        let response = sender.send_request(request).await.map_err(broken)?;
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        let said = match Limited::new(response.into_body(), SAYS).collect().await {
            Ok(body) => String::from_utf8_lossy(&body.to_bytes()).trim().to_owned(),
            Err(_) => String::new(),
        };
        let said = said.lines().next().map_or(String::new(), |line| format!(": {line}"));
        Err(format!("{path} answers {}{said}", status.as_u16()))
    })
}
