//! A front before real servers on real sockets.

mod server;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use http_body_util::{BodyExt as _, Full};
use hyper::Response;
use hyper::body::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::{Front, Own, OwnAnswers, ready};
use server::{ANYWHERE, Client, Server, nobody};

/// What is waited for comes by itself; a busy machine is given time.
const PATIENCE: Duration = Duration::from_secs(60);

async fn front() -> Front {
    Front::open(ANYWHERE, "web", &OwnAnswers::default()).await.expect("a port")
}

async fn in_time<T>(what: &str, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.unwrap_or_else(|_| panic!("not within {PATIENCE:?}: {what}"))
}

/// One client under load until it is told to stop; what went wrong.
async fn load(front: std::net::SocketAddr, method: &str, keeps: bool, stop: Arc<AtomicBool>) -> Vec<String> {
    let mut client = Client::new(front);
    let mut failed = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        if !keeps {
            client = Client::new(front);
        }
        match client.ask(method, "body").await {
            Ok((200, body)) if method == "HEAD" || body.ends_with(" body") => {}
            answer => failed.push(format!("{method}: {answer:?}")),
        }
    }
    failed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_while_servers_are_exchanged() {
    let front = front().await;
    let mut server = Server::echo("first").await;
    let _ = front.switch(server.address);
    let stop = Arc::new(AtomicBool::new(false));
    let mut clients = JoinSet::new();
    for method in ["GET", "POST", "PUT", "GET", "POST"] {
        for keeps in [true, false] {
            clients.spawn(load(front.address(), method, keeps, Arc::clone(&stop)));
        }
    }
    for _ in 0..20 {
        let next = Server::echo("next").await;
        let drain = front.switch(next.address);
        in_time("drained", drain.done(PATIENCE)).await;
        // The one before goes without a word, as a process that is killed.
        let mut seen = next.seen.clone();
        server = next;
        in_time("load reaches the next", seen.wait_for(|&seen| seen > 20)).await.expect("it runs");
    }
    stop.store(true, Ordering::Relaxed);
    let failed: Vec<String> = clients.join_all().await.into_iter().flatten().collect();
    assert_eq!(failed, [""; 0]);
    drop(server);
}

#[tokio::test]
async fn a_clients_connection_outlives_the_server() {
    let front = front().await;
    let mut client = Client::new(front.address());
    for name in ["one", "two", "three"] {
        let server = Server::echo(name).await;
        front.switch(server.address).done(PATIENCE).await;
        assert_eq!(client.ask("GET", "").await, Ok((200, format!("{name} "))));
        assert_eq!(client.ask("POST", "x").await, Ok((200, format!("{name} x"))));
    }
    assert_eq!(client.connections.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_server_is_done_when_its_last_answer_is_whole() {
    let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (begins, goes_on) = (Arc::clone(&begun), Arc::clone(&go_on));
    let old = Server::start(move |_| {
        let (begins, goes_on) = (Arc::clone(&begins), Arc::clone(&goes_on));
        async move {
            begins.notify_one();
            goes_on.notified().await;
            // More than fits any buffer on the way.
            Response::new(Full::new(vec![b'x'; 16 << 20].into()))
        }
    })
    .await;
    let new = Server::echo("new").await;
    let front = front().await;
    let _ = front.switch(old.address);
    let mut slow = Client::new(front.address());
    let asked = tokio::spawn(async move { (slow.send("GET", "").await, slow) });
    begun.notified().await;

    let drained = front.switch(new.address).done(PATIENCE);
    tokio::pin!(drained);
    assert!(drained.as_mut().now_or_never().is_none(), "the request has no answer yet");
    assert_eq!(Client::new(front.address()).ask("GET", "").await, Ok((200, "new ".to_owned())));
    go_on.notify_one();
    let (response, slow) = asked.await.expect("it ends");
    let response = response.expect("the old one answers");
    assert!(drained.as_mut().now_or_never().is_none(), "the answer's body is not read yet");
    let body = in_time("the body", response.into_body().collect()).await.expect("whole").to_bytes();
    assert_eq!(body.len(), 16 << 20);
    in_time("drained", drained).await;
    drop(slow);
}

#[tokio::test]
async fn a_request_waits_for_a_server_that_is_on_its_way() {
    let front = front().await;
    let server = Server::echo("late").await;
    let watching = front.behind.receiver_count();
    let mut client = Client::new(front.address());
    let asked = tokio::spawn(async move { client.ask("POST", "x").await });
    in_time("the request waits", async {
        while front.behind.receiver_count() == watching {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let _ = front.switch(server.address);
    assert_eq!(in_time("an answer", asked).await.expect("it ends"), Ok((200, "late x".to_owned())));
}

#[tokio::test]
async fn whoever_waited_long_enough_is_told_so() {
    let (own, hold) = (OwnAnswers::default(), Duration::from_millis(1));
    let front = Front::open_holding(ANYWHERE, "web", &own, hold).await.expect("a port");
    let (status, text) = Client::new(front.address()).ask("GET", "").await.expect("an answer");
    assert_eq!(status, 503);
    assert!(text.starts_with("web is not served: it did not come up within"), "{text}");
}

#[tokio::test]
async fn without_a_server_the_reason_is_told_at_once() {
    let front = front().await;
    let server = Server::echo("server").await;
    let mut client = Client::new(front.address());
    let _ = front.refuse("its build failed: 1 error");
    let response = client.send("GET", "").await.expect("an answer");
    assert_eq!(response.status(), 503);
    assert_eq!(response.headers()["content-type"], "text/plain; charset=utf-8");
    assert_eq!(response.headers()["retry-after"], "1");
    let text = response.into_body().collect().await.expect("a body").to_bytes();
    assert_eq!(text, "web is not served: its build failed: 1 error\n");
    let _ = front.switch(server.address);
    assert_eq!(client.ask("GET", "").await, Ok((200, "server ".to_owned())), "over the same connection");
}

#[tokio::test]
async fn a_server_may_close_its_connections_when_it_likes() {
    let server = Server::raw("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    let front = front().await;
    let _ = front.switch(server.address);
    let mut client = Client::new(front.address());
    for _ in 0..20 {
        assert_eq!(client.ask("GET", "").await, Ok((200, "ok".to_owned())));
        assert_eq!(client.ask("POST", "x").await, Ok((200, "ok".to_owned())));
    }
    assert_eq!(server.count(), 40, "each was asked once");
}

#[tokio::test]
async fn what_may_have_been_done_is_never_asked_twice() {
    let server = Server::raw("").await;
    let (own, hold) = (OwnAnswers::default(), Duration::from_millis(1));
    let front = Front::open_holding(ANYWHERE, "web", &own, hold).await.expect("a port");
    let _ = front.switch(server.address);
    let mut client = Client::new(front.address());
    let (status, text) = client.ask("POST", "x").await.expect("an answer");
    assert_eq!((status, server.count()), (502, 1), "{text}");
    assert!(text.starts_with("web did not answer: the connection broke"), "{text}");
    assert_eq!(client.ask("GET", "").await.expect("an answer").0, 502);
    // One that is not there at all is named too.
    let (_held, address) = nobody();
    let _ = front.switch(address);
    let (status, text) = client.ask("POST", "x").await.expect("an answer");
    assert_eq!(status, 502);
    assert!(text.starts_with("web did not answer: it cannot be connected to"), "{text}");
    // All three are noted, for no server knows of them.
    in_time("they are noted", own.come()).await;
    let noted = own.take();
    let told: Vec<(&str, u16, bool)> = (noted.iter())
        .map(|(Own { name, status, why }, _)| (name.as_str(), *status, why.contains("broke")))
        .collect();
    assert_eq!(noted.values().sum::<usize>(), 3, "{noted:?}");
    assert!(told.iter().all(|(name, status, _)| (*name, *status) == ("web", 502)), "{noted:?}");
    assert!(own.take().is_empty());
}

/// It is restarted: whatever asks meanwhile waits, and what was not sent yet is sent once.
#[tokio::test]
async fn requests_wait_for_a_server_that_is_away() {
    let front = front().await;
    let (_held, gone) = nobody();
    let _ = front.switch(gone);
    let ask = |method: &'static str, body: &'static str| {
        let mut client = Client::new(front.address());
        tokio::spawn(async move { client.ask(method, body).await })
    };
    let watching = front.behind.receiver_count();
    let asked = [("POST", "x"), ("GET", "")].map(|(method, body)| (body, ask(method, body)));
    // Each has found nobody and waits.
    in_time("both wait", async {
        while front.behind.receiver_count() < watching + 2 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let back = Server::echo("back").await;
    let _ = front.switch(back.address);
    for (body, answer) in asked {
        let answer = in_time("an answer", answer).await.expect("it ends");
        assert_eq!(answer, Ok((200, format!("back {body}"))));
    }
    assert_eq!(back.count(), 2);
}

/// What a container's engine does with connections while it clears the container away.
#[tokio::test]
async fn reading_goes_on_while_connections_are_broken_off() {
    let breaks = Server::raw("").await;
    let front = front().await;
    let _ = front.switch(breaks.address);
    let mut client = Client::new(front.address());
    let asked = tokio::spawn(async move { client.ask("GET", "").await });
    let mut seen = breaks.seen.clone();
    in_time("it is asked again", seen.wait_for(|&seen| seen > 3)).await.expect("it runs");
    let back = Server::echo("back").await;
    let _ = front.switch(back.address);
    assert_eq!(in_time("an answer", asked).await.expect("it ends"), Ok((200, "back ".to_owned())));
}

#[tokio::test]
async fn a_server_sees_the_request_and_whom_it_is_from() {
    let server = Server::start(|request| async move {
        let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or("-");
        let text = format!("{} {} {}", request.uri(), header("host"), header("x-forwarded-for"));
        Response::new(Full::new(text.into()))
    })
    .await;
    let front = front().await;
    let _ = front.switch(server.address);
    let told = Client::new(front.address()).ask("GET", "").await;
    assert_eq!(told, Ok((200, "/path?query front.test 127.0.0.1".to_owned())));
}

#[tokio::test]
async fn bodies_of_any_size_pass_both_ways() {
    let server = Server::echo("big").await;
    let front = front().await;
    let _ = front.switch(server.address);
    let body = Bytes::from(vec![b'x'; 8 << 20]);
    let (status, back) = Client::new(front.address()).ask("POST", body).await.expect("an answer");
    assert_eq!((status, back.len()), (200, (8 << 20) + 4));
}

#[tokio::test]
async fn a_connection_may_become_something_else() {
    let server = Server::of_connections(|mut stream, _| async move {
        let mut head = [0; 4096];
        let mut length = 0;
        while !head[..length].windows(4).any(|end| end == b"\r\n\r\n") {
            length += stream.read(&mut head[length..]).await.expect("a head");
        }
        let head = String::from_utf8_lossy(&head[..length]).to_lowercase();
        assert!(head.contains("upgrade: echo") && head.contains("connection: upgrade"), "{head}");
        let answer = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n";
        stream.write_all(answer).await.expect("written");
        let (mut from, mut to) = stream.split();
        let _ = tokio::io::copy(&mut from, &mut to).await;
    })
    .await;
    let front = front().await;
    let _ = front.switch(server.address);
    let mut stream = TcpStream::connect(front.address()).await.expect("connected");
    let request = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n";
    stream.write_all(request).await.expect("written");
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(in_time("the answer", stream.read_u8()).await.expect("a byte"));
    }
    assert!(answer.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&answer));
    // Nobody waits for it.
    in_time("drained", front.hold().done(PATIENCE)).await;
    for word in [b"hello", b"world"] {
        stream.write_all(word).await.expect("written");
        let mut back = [0; 5];
        in_time("the echo", stream.read_exact(&mut back)).await.expect("read");
        assert_eq!(&back, word);
    }
}

#[tokio::test]
async fn a_front_that_closes_lets_go_of_its_clients_and_its_address() {
    let server = Server::echo("server").await;
    let front = front().await;
    let address = front.address();
    let _ = front.switch(server.address);
    let mut idle = Client::new(address);
    assert_eq!(idle.ask("GET", "").await, Ok((200, "server ".to_owned())));
    in_time("closed", front.close(PATIENCE)).await;
    // A program that another test is just starting has the socket too, until it runs.
    in_time("nobody listens any more", async {
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    in_time("the address is free", async {
        while Front::open(address, "again", &OwnAnswers::default()).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn whether_a_server_is_ready_is_its_own_word() {
    let server = Server::start(|request| async move {
        let mut response = Response::new(Full::new("no database\nfor now".into()));
        if request.uri().path() != "/ready" {
            *response.status_mut() = hyper::StatusCode::SERVICE_UNAVAILABLE;
        }
        response
    })
    .await;
    assert_eq!(ready(server.address, "/ready").await, Ok(()));
    assert_eq!(ready(server.address, "/other").await, Err("/other answers 503: no database".to_owned()));
    let silent = Server::raw("").await;
    let told = ready(silent.address, "/ready").await.expect_err("it says nothing");
    assert!(told.starts_with("/ready did not answer: "), "{told}");
    let (_held, gone) = nobody();
    let told = ready(gone, "/ready").await.expect_err("it is gone");
    assert!(told.starts_with("cannot connect: "), "{told}");
}
