//! Connections that became something else than HTTP: bytes both ways, until one side ends.

use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper::{Response, StatusCode};
use hyper_util::rt::TokioIo;

/// Joins the client's connection with the server's, when the server has agreed to the upgrade.
pub(super) fn join(client: Option<OnUpgrade>, response: &mut Response<Incoming>) {
    let Some(client) = client.filter(|_| response.status() == StatusCode::SWITCHING_PROTOCOLS) else {
        return;
    };
    let server = hyper::upgrade::on(response);
    // It ends with either of its sides.
    tokio::spawn(async move {
        if let Ok((client, server)) = tokio::try_join!(client, server) {
            let _ = tokio::io::copy_bidirectional(&mut TokioIo::new(client), &mut TokioIo::new(server)).await;
        }
    });
}
