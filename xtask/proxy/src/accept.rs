//! Connections of clients: accepted, served request after request, and closed between two requests when the front ends.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::forward::{Forward, Link};
use crate::descriptors::clients;
use crate::limits;

/// What every connection is given.
pub(super) struct Door {
    pub(super) forward: Arc<Forward>,
    pub(super) closing: CancellationToken,
    pub(super) clients: TaskTracker,
}

impl Door {
    /// Accepts until the front is closed. A client that finds all places taken waits in the system's queue.
    pub(super) async fn accept(self, listener: TcpListener) {
        let places = Arc::new(Semaphore::new(clients()));
        loop {
            let place = Arc::clone(&places).acquire_owned();
            let accepted = async {
                let place = place.await;
                (listener.accept().await, place)
            };
            let Some((accepted, place)) = self.closing.run_until_cancelled(accepted).await else { return };
            match accepted {
                Ok((stream, peer)) => {
                    let serving = serve(Arc::clone(&self.forward), stream, peer, self.closing.clone());
                    self.clients.spawn(async move {
                        serving.await;
                        drop(place);
                    });
                }
                // The client is gone already, or this process has no descriptor left: others may be more lucky.
                Err(_) => tokio::time::sleep(limits::ACCEPT_PAUSE).await,
            }
        }
    }
}

async fn serve(forward: Arc<Forward>, stream: TcpStream, peer: SocketAddr, closing: CancellationToken) {
    // Small answers must not wait for one another.
    let _ = stream.set_nodelay(true);
    let link = Link::default();
    let service = service_fn(|request| {
        let (forward, link) = (Arc::clone(&forward), link.clone());
        async move { Ok::<_, Infallible>(forward.answer(request, peer.ip(), &link).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .preserve_header_case(true)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::pin!(connection);
    tokio::select! {
        // A client that breaks off, or speaks something else, is its own affair.
        _ = connection.as_mut() => {}
        () = closing.cancelled() => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}
