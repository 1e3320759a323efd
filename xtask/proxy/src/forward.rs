//! One request: to the server that is behind the front now, over a connection that fits it, and its answer back.
//!
//! Each connection of a client has at most one to the server, because it has one request at a time; it is used again for
//! requests that may be sent twice. Any other gets a connection of its own: on one that was used before, a server that
//! closes it at the same moment leaves open whether it has acted, and nobody may ask it again.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Body as _, Bytes, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::http::request::Parts;
use hyper::upgrade::OnUpgrade;
use hyper::{Request, Response, Version};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Instant;

use super::{Behind, Claim, Own, OwnAnswers, Upstream, answer, headers, tunnel};
use crate::limits;

/// The body of any message that is passed on.
pub(super) type Body = BoxBody<Bytes, hyper::Error>;

/// What passes requests on.
#[derive(Debug)]
pub(super) struct Forward {
    /// What answers of its own call what is behind the front.
    pub(super) name: String,
    pub(super) behind: watch::Receiver<Behind>,
    /// How long a request waits for a server that is on its way, or away for a moment.
    pub(super) hold: Duration,
    /// Where its own answers are noted.
    pub(super) own: OwnAnswers,
}

/// The connection to the server that a client's connection left over after its last request.
#[derive(Debug, Clone, Default)]
pub(super) struct Link(Arc<Mutex<Option<Connected>>>);

#[derive(Debug)]
struct Connected {
    upstream: Arc<Upstream>,
    sender: SendRequest<Body>,
}

impl Link {
    /// The connection, when it leads to this server and is still open.
    fn to(&self, upstream: &Arc<Upstream>) -> Option<Connected> {
        let left = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        left.filter(|left| Arc::ptr_eq(&left.upstream, upstream) && left.sender.is_ready())
    }

    fn leave(&self, connected: Connected) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(connected);
    }
}

/// Why there is no answer.
enum Trouble {
    /// Nothing was sent.
    Unreached(std::io::Error),
    /// The server may have got the request.
    Broken(hyper::Error),
}

impl Forward {
    /// The answer to a request of the client at `peer`.
    pub(super) async fn answer(
        &self,
        request: Request<Incoming>,
        peer: IpAddr,
        link: &Link,
    ) -> Response<Body> {
        let (mut head, body) = request.into_parts();
        let client = headers::upgrade(&head.headers).and_then(|_| head.extensions.remove::<OnUpgrade>());
        headers::forward(&mut head.headers, peer);
        head.version = Version::HTTP_11;
        let repeatable = client.is_none() && head.method.is_idempotent() && body.is_end_stream();
        let answered =
            if repeatable { self.repeatable(&head, link).await } else { self.once(head, body).await };
        let (claim, mut response) = match answered {
            Ok(answered) => answered,
            Err(own) => return own,
        };
        let protocol = headers::upgrade(response.headers());
        tunnel::join(client, &mut response);
        headers::strip(response.headers_mut());
        if let Some(protocol) = protocol {
            headers::demand(response.headers_mut(), protocol);
        }
        *response.version_mut() = Version::HTTP_11;
        response.map(|inner| Tracked { inner, _claim: claim }.boxed())
    }

    /// A request that may be sent twice: a connection that breaks under it is no answer yet. A server that goes away breaks
    /// them until whoever looks after the front knows of it.
    async fn repeatable(
        &self,
        head: &Parts,
        link: &Link,
    ) -> Result<(Claim, Response<Incoming>), Response<Body>> {
        let request =
            || Request::from_parts(head.clone(), Empty::new().map_err(|never| match never {}).boxed());
        let mut patience = Patience::begin(self.hold);
        loop {
            let claim = self.claim(patience.deadline).await?;
            let kept = link.to(&claim.upstream);
            let is_kept = kept.is_some();
            let connected = match kept {
                Some(connected) => Ok(connected),
                None => connect(&claim.upstream).await,
            };
            let trouble = match connected {
                Ok(mut connected) => match connected.sender.send_request(request()).await {
                    Ok(response) => {
                        claim.upstream.doubted.store(false, Ordering::Relaxed);
                        link.leave(connected);
                        return Ok((claim, response));
                    }
                    // A server may close what it has not used for a while.
                    Err(_) if is_kept => continue,
                    Err(error) => Trouble::Broken(error),
                },
                Err(error) => Trouble::Unreached(error),
            };
            self.wait(claim, trouble, &mut patience).await?;
        }
    }

    /// A request that is sent once: while nothing was sent it waits for a server that takes it.
    async fn once(&self, head: Parts, body: Incoming) -> Result<(Claim, Response<Incoming>), Response<Body>> {
        let mut patience = Patience::begin(self.hold);
        let mut request = Request::from_parts(head, body.boxed());
        loop {
            let claim = self.claim(patience.deadline).await?;
            let trouble = match connect(&claim.upstream).await {
                Ok(mut connected) => match connected.sender.try_send_request(request).await {
                    Ok(response) => {
                        claim.upstream.doubted.store(false, Ordering::Relaxed);
                        return Ok((claim, response));
                    }
                    Err(mut error) => {
                        // It comes back when nothing of it was sent.
                        let unsent = error.take_message();
                        let error = error.into_error();
                        let Some(unsent) = unsent else {
                            claim.upstream.doubted.store(true, Ordering::Relaxed);
                            return Err(self.trouble(&Trouble::Broken(error)));
                        };
                        request = unsent;
                        Trouble::Unreached(std::io::Error::other(error))
                    }
                },
                Err(error) => Trouble::Unreached(error),
            };
            self.wait(claim, trouble, &mut patience).await?;
        }
    }

    /// Waits a moment before the next attempt, or until something else is behind the front; an answer when it has waited
    /// long enough.
    async fn wait(
        &self,
        claim: Claim,
        trouble: Trouble,
        patience: &mut Patience,
    ) -> Result<(), Response<Body>> {
        let is_broken = matches!(trouble, Trouble::Broken(_));
        let Some(pause) = patience.next(is_broken, Instant::now()) else {
            return Err(self.trouble(&trouble));
        };
        // It is not in flight meanwhile.
        let upstream = Arc::clone(&claim.upstream);
        upstream.doubted.store(true, Ordering::Relaxed);
        drop(claim);
        let mut behind = self.behind.clone();
        let is_other =
            |behind: &Behind| !matches!(behind, Behind::Server(now) if Arc::ptr_eq(now, &upstream));
        if tokio::time::timeout(pause, behind.wait_for(is_other)).await.is_ok() {
            patience.begin_anew();
        }
        Ok(())
    }

    /// The server that is behind the front, which counts the request as its own from now on. Waits for one that is on
    /// its way.
    async fn claim(&self, deadline: Instant) -> Result<Claim, Response<Body>> {
        let mut behind = self.behind.clone();
        let there = behind.wait_for(|behind| !matches!(behind, Behind::Awaited));
        let why = match tokio::time::timeout_at(deadline, there).await {
            // Under the lock of `behind`: a switch comes before this or finds the request counted.
            Ok(Ok(behind)) => match &*behind {
                Behind::Server(upstream) => {
                    let in_flight = upstream.in_flight.token();
                    return Ok(Claim { upstream: Arc::clone(upstream), _in_flight: in_flight });
                }
                Behind::Nothing(why) => why.to_string(),
                Behind::Awaited => "it is awaited".to_owned(),
            },
            Ok(Err(_)) => "this address is being closed".to_owned(),
            Err(_) => format!("it did not come up within {} s; it is still awaited", self.hold.as_secs()),
        };
        let response = answer::unavailable(&self.name, &why);
        self.note(&response, why);
        Err(response)
    }

    fn trouble(&self, trouble: &Trouble) -> Response<Body> {
        let why = match trouble {
            Trouble::Unreached(error) => format!("it cannot be connected to: {error}"),
            Trouble::Broken(error) => format!("the connection broke: {error}"),
        };
        let response = answer::bad_gateway(&self.name, &why);
        self.note(&response, why);
        response
    }

    fn note(&self, response: &Response<Body>, why: String) {
        self.own.note(Own { name: self.name.clone(), status: response.status().as_u16(), why });
    }
}

/// How long a request goes on without an answer.
struct Patience {
    deadline: Instant,
    /// Until when connections that break under it are borne, once one has.
    bears: Option<Instant>,
    pause: Duration,
}

impl Patience {
    fn begin(hold: Duration) -> Self {
        Self { deadline: Instant::now() + hold, bears: None, pause: limits::PAUSE }
    }

    /// Something else is behind the front: what went before says nothing of it.
    fn begin_anew(&mut self) {
        (self.bears, self.pause) = (None, limits::PAUSE);
    }

    /// How long to wait before the next attempt, each time twice as long; `None` when there is to be none.
    fn next(&mut self, is_broken: bool, now: Instant) -> Option<Duration> {
        let until = if is_broken {
            let bears = self.bears.get_or_insert(now + limits::BREAKS);
            self.deadline.min(*bears)
        } else {
            self.deadline
        };
        let left = until.checked_duration_since(now).filter(|left| !left.is_zero())?;
        let pause = self.pause.min(left);
        self.pause = (self.pause * 2).min(limits::PAUSE_AT_MOST);
        Some(pause)
    }
}

async fn connect(upstream: &Arc<Upstream>) -> std::io::Result<Connected> {
    let stream = tokio::time::timeout(limits::CONNECT, TcpStream::connect(upstream.address)).await??;
    let _ = stream.set_nodelay(true);
    if upstream.doubted.load(Ordering::Relaxed) {
        // A container's engine takes a connection and closes it where there is nobody behind it any more. What is seen of
        // that before something was sent can still wait for another one.
        let seen = tokio::time::timeout(limits::DOUBT, stream.peek(&mut [0])).await;
        if let Ok(ended) = seen {
            ended?;
            return Err(std::io::ErrorKind::ConnectionAborted.into());
        }
    }
    let made = http1::Builder::new().preserve_header_case(true).handshake(TokioIo::new(stream)).await;
    let (sender, connection) = made.map_err(std::io::Error::other)?;
    // It ends with its sender, with the server, or with the tunnel it became.
    tokio::spawn(connection.with_upgrades());
    Ok(Connected { upstream: Arc::clone(upstream), sender })
}

/// An answer's body, which holds the claim on its server until it has come to its end.
struct Tracked {
    inner: Incoming,
    _claim: Claim,
}

impl hyper::body::Body for Tracked {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.inner).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_connections_are_borne_from_the_first_one_on() {
        let mut patience = Patience::begin(limits::HOLD);
        let begun = patience.deadline - limits::HOLD;
        let late = begun + limits::BREAKS * 2;
        // It has waited for a server until now.
        assert!(patience.next(false, late).is_some());
        assert!(patience.next(true, late).is_some(), "none has broken before");
        assert_eq!(patience.next(true, late + limits::BREAKS), None);
        assert!(patience.next(false, late + limits::BREAKS).is_some(), "nothing was sent");
        // Another server's are another matter, within what the request waits at all.
        patience.begin_anew();
        assert_eq!(patience.next(true, late + limits::BREAKS), Some(limits::PAUSE));
        patience.begin_anew();
        assert_eq!(patience.next(true, patience.deadline), None);
    }
}
