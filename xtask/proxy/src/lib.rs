//! A small HTTP/1.1 reverse proxy in front of one server that is exchanged while it is used.
//!
//! A [`Front`] holds an address for as long as it lives. What is behind it changes: a server, another one, none for a
//! while. Connections of clients stay through all of that; a request that began with one server ends with it, and whoever
//! takes a server away can wait until the last such request has its answer.
//!
//! Architecture invariant: it knows addresses and HTTP, and nothing of plans, containers or engines: it depends on no other of
//! our crates.

mod accept;
mod answer;
mod descriptors;
mod forward;
mod headers;
pub mod limits;
mod own;
mod probe;
mod tunnel;

pub use descriptors::raise as raise_descriptors;
pub use own::{Own, OwnAnswers};
pub use probe::ready;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// What is behind a front.
#[derive(Debug, Clone)]
enum Behind {
    /// Nothing yet, or nothing for a moment: requests wait.
    Awaited,
    /// A server.
    Server(Arc<Upstream>),
    /// Nothing, and nothing is on its way: requests are told why.
    Nothing(Arc<str>),
}

/// A server behind a front.
#[derive(Debug)]
struct Upstream {
    address: SocketAddr,
    /// The requests that have it and no whole answer yet.
    in_flight: TaskTracker,
    /// Whether it left the last request that was offered to it without an answer.
    doubted: AtomicBool,
}

/// A request's claim on a server: it is in flight until this is dropped.
#[derive(Debug)]
struct Claim {
    upstream: Arc<Upstream>,
    _in_flight: TaskTrackerToken,
}

/// An address that is listened on, and what is behind it. Dropped, it listens no more.
#[derive(Debug)]
pub struct Front {
    address: SocketAddr,
    behind: watch::Sender<Behind>,
    closing: CancellationToken,
    clients: TaskTracker,
}

impl Front {
    /// Listens on an address; `name` is what answers of the front's own call what is behind it, and `own` is where they are
    /// noted. Requests wait until something is put there.
    ///
    /// # Errors
    /// When the address cannot be had.
    pub async fn open(address: SocketAddr, name: &str, own: &OwnAnswers) -> io::Result<Self> {
        Self::open_holding(address, name, own, limits::HOLD).await
    }

    async fn open_holding(
        address: SocketAddr,
        name: &str,
        own: &OwnAnswers,
        hold: Duration,
    ) -> io::Result<Self> {
        Self::listen(TcpListener::bind(address).await?, name, own, hold)
    }

    /// No future, because code of a future is generated where it is awaited: all that serves a front would be generated last
    /// of all, in the crate that opens one.
    fn listen(listener: TcpListener, name: &str, own: &OwnAnswers, hold: Duration) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let (behind, watched) = watch::channel(Behind::Awaited);
        let (closing, clients) = (CancellationToken::new(), TaskTracker::new());
        let door = accept::Door {
            forward: Arc::new(forward::Forward {
                name: name.to_owned(),
                behind: watched,
                hold,
                own: own.clone(),
            }),
            closing: closing.clone(),
            clients: clients.clone(),
        };
        tokio::spawn(door.accept(listener));
        Ok(Self { address, behind, closing, clients })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The server that is behind it.
    pub fn server(&self) -> Option<SocketAddr> {
        match &*self.behind.borrow() {
            Behind::Server(upstream) => Some(upstream.address),
            _ => None,
        }
    }

    /// Whether requests wait for a server.
    pub fn waits(&self) -> bool {
        matches!(&*self.behind.borrow(), Behind::Awaited)
    }

    /// Sends every request that comes from now on to this server. The answer tells when the one before is done.
    pub fn switch(&self, server: SocketAddr) -> Drain {
        let upstream =
            Upstream { address: server, in_flight: TaskTracker::new(), doubted: AtomicBool::new(false) };
        self.put(Behind::Server(Arc::new(upstream)))
    }

    /// Lets requests wait for a server that is on its way.
    pub fn hold(&self) -> Drain {
        self.put(Behind::Awaited)
    }

    /// Answers requests with `why` until there is a server again.
    pub fn refuse(&self, why: &str) -> Drain {
        self.put(Behind::Nothing(why.into()))
    }

    fn put(&self, behind: Behind) -> Drain {
        match self.behind.send_replace(behind) {
            Behind::Server(upstream) => {
                upstream.in_flight.close();
                Drain(Some(upstream))
            }
            Behind::Awaited | Behind::Nothing(_) => Drain(None),
        }
    }

    /// Listens no more, and waits for at most `bound` until the requests in flight have their answers.
    pub async fn close(self, bound: Duration) {
        self.closing.cancel();
        self.clients.close();
        if self.server().is_none() {
            self.refuse("`cargo xtask dev` is ending").forget();
        }
        let _ = tokio::time::timeout(bound, self.clients.wait()).await;
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.closing.cancel();
    }
}

/// A server that gets no more requests.
#[derive(Debug)]
#[must_use = "a server that is taken away before this is done fails what it has in flight"]
pub struct Drain(Option<Arc<Upstream>>);

impl Drain {
    /// The server.
    pub fn server(&self) -> Option<SocketAddr> {
        self.0.as_ref().map(|upstream| upstream.address)
    }

    /// Waits for nothing: there was no server, or it stays.
    pub fn forget(self) {}

    /// Waits for at most `bound` until every request that it has got has its whole answer. Connections that became
    /// something else than HTTP (WebSocket) are not waited for: nothing tells when they end.
    pub async fn done(self, bound: Duration) {
        if let Some(upstream) = self.0 {
            let _ = tokio::time::timeout(bound, upstream.in_flight.wait()).await;
        }
    }
}

#[cfg(test)]
mod tests;
