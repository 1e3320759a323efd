//! Fronts before servers on real sockets, and containers that are only told of.

use std::path::Path;

use futures_util::FutureExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::plan::Role;
use crate::serving::samples;
use crate::stack::{Source, parse};

const ANYWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// What is waited for comes by itself; a busy machine is given time.
const PATIENCE: Duration = Duration::from_secs(60);

/// A stack whose service `web` has one front, on any free port, before its port 80.
fn stack() -> Stack {
    let text =
        "services: {web: {image: a, ports: ['127.0.0.1:8000:80'], x-homeport: {package: p, url_path: /}}}";
    let source = Source {
        text,
        path: Path::new("compose.yaml"),
        directory: Path::new("/shop"),
        project: None,
        variables: &|_| None,
        files: &|_| None,
    };
    let mut stack = parse(&source).expect("a stack").stack.fronted(&BTreeSet::new());
    let web = stack.services.get_mut(&ServiceName::new("web")).expect("the service");
    web.fronts[0].published = Some(0);
    stack
}

async fn opened() -> (Stack, Fronts) {
    let (stack, fronts) = (stack(), Fronts::default());
    fronts.adapt(&stack).await;
    assert_eq!(fronts.missing(&stack), []);
    (stack, fronts)
}

fn container(role: Role, state: ContainerState, server: SocketAddr) -> Container {
    let id = format!("{role:?}");
    Container { ports: [(80, server)].into(), ..samples::container(&id, role, state) }
}

/// Where the one front listens, and what is behind it.
fn front(fronts: &Fronts) -> (SocketAddr, Option<SocketAddr>, bool) {
    let open = fronts.open();
    let front = open.fronts.values().next().expect("one front");
    (front.address(), front.server(), front.waits())
}

/// A request through the front, begun; its answer can be read later.
async fn ask(fronts: &Fronts) -> TcpStream {
    let mut client = TcpStream::connect(front(fronts).0).await.expect("connected");
    client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.expect("written");
    client
}

async fn answer(mut client: TcpStream) -> String {
    let mut text = String::new();
    let read = client.read_to_string(&mut text);
    tokio::time::timeout(PATIENCE, read).await.expect("in time").expect("text");
    text
}

#[tokio::test]
async fn the_container_that_serves_is_behind_its_front() {
    let (_stack, fronts) = opened().await;
    let [first, second] = [1, 2].map(|port| SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port));
    let healthy = ContainerState::Running(Health::Healthy);
    let align = |containers: &[Container]| {
        fronts.align(containers);
        front(&fronts).1
    };
    assert_eq!(align(&[]), None);
    // One that starts is waited for, and nobody is told that it does not run.
    fronts.explain("gone");
    assert!(!front(&fronts).2, "the reason is told");
    let starts = container(Role::Holder, ContainerState::Running(Health::Starting), first);
    assert_eq!(align(std::slice::from_ref(&starts)), None);
    fronts.explain("gone");
    assert!(front(&fronts).2, "it is waited for");
    assert_eq!(align(&[container(Role::Holder, healthy, first)]), Some(first));
    // What serves goes on, whatever begins beside it; and though it is judged otherwise.
    assert_eq!(align(&[container(Role::Successor, healthy, second), starts]), Some(first));
    let [old, new] =
        [(Role::Retired, first), (Role::Holder, second)].map(|(role, at)| container(role, healthy, at));
    assert_eq!(align(&[old.clone(), new.clone()]), Some(first));
    // One that has made way gets nothing again, though the new one has just ended.
    assert_eq!(
        align(&[old.clone(), container(Role::Holder, ContainerState::Exited(0), second)]),
        Some(first)
    );
    assert_eq!(align(&[container(Role::Holder, ContainerState::Exited(0), second)]), None);
    assert_eq!(align(std::slice::from_ref(&old)), None);
    // Only when it is gone another one serves: first of all the one with the name.
    assert_eq!(align(std::slice::from_ref(&new)), Some(second));
    assert_eq!(align(&[container(Role::Holder, ContainerState::Exited(0), second)]), None);
    assert!(front(&fronts).2, "another one may come");
    assert_eq!(align(&[old, new]), Some(second));
    // Of another service, it is nobody's.
    let other = Container { service: ServiceName::new("other"), ..container(Role::Holder, healthy, first) };
    assert_eq!(align(&[other]), None);
}

#[tokio::test]
async fn a_reason_stands_until_something_is_on_its_way() {
    let (_stack, fronts) = opened().await;
    let awaited = |name| [ServiceName::new(name)].into();
    fronts.explain_but("it ended", &awaited("web"));
    assert!(front(&fronts).2, "it is waited for");
    fronts.explain_but("the build failed", &awaited("other"));
    fronts.explain("another reason");
    let told = answer(ask(&fronts).await).await;
    assert!(told.starts_with("HTTP/1.1 503 ") && told.contains("the build failed"), "{told}");
    fronts.expect();
    assert!(front(&fronts).2);
}

#[tokio::test]
async fn a_container_is_released_once_its_last_request_is_answered() {
    let (stack, fronts) = opened().await;
    let [old, new] =
        [TcpListener::bind(ANYWHERE).await, TcpListener::bind(ANYWHERE).await].map(|at| at.expect("a port"));
    let at = |listener: &TcpListener| listener.local_addr().expect("an address");
    let before = container(Role::Holder, ContainerState::Running(Health::Healthy), at(&old));
    fronts.align(std::slice::from_ref(&before));
    let client = ask(&fronts).await;
    let (mut server, _) = old.accept().await.expect("the request");

    let web = ServiceName::new("web");
    fronts.switch(&stack, &web, &[(80, at(&new))].into()).await.expect("it is open");
    assert_eq!(front(&fronts).1, Some(at(&new)));
    let released = fronts.release(&before, PATIENCE);
    tokio::pin!(released);
    assert!(released.as_mut().now_or_never().is_none(), "the request has no answer yet");
    server
        .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nold")
        .await
        .expect("written");
    assert!(answer(client).await.ends_with("old"));
    tokio::time::timeout(PATIENCE, released).await.expect("it has its answer");
    // What serves is taken from its front first, so that requests wait for another one.
    let serving = container(Role::Holder, ContainerState::Running(Health::Healthy), at(&new));
    fronts.release(&serving, PATIENCE).await;
    assert_eq!(front(&fronts).1, None);
    assert!(front(&fronts).2);
}

#[tokio::test]
async fn a_front_opens_once_its_port_is_free_and_goes_with_its_service() {
    let (mut stack, fronts) = (stack(), Fronts::default());
    let taken = TcpListener::bind(ANYWHERE).await.expect("a port");
    let port = taken.local_addr().expect("an address").port();
    let web = ServiceName::new("web");
    stack.services.get_mut(&web).expect("the service").fronts[0].published = Some(port);
    fronts.adapt(&stack).await;
    assert_eq!(fronts.missing(&stack).len(), 1);
    let refused = fronts.switch(&stack, &web, &BTreeMap::new()).await.expect_err("it is taken");
    assert!(refused.to_string().starts_with(&format!("cannot hold port {port} for web: ")), "{refused}");
    drop(taken);
    // A program that another test is just starting has the socket too, until it runs.
    let opened = async {
        while fronts.switch(&stack, &web, &[(80, ANYWHERE)].into()).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, opened).await.expect("it is free");
    assert_eq!(front(&fronts).0.port(), port);
    stack.services.clear();
    fronts.adapt(&stack).await;
    assert!(fronts.open().fronts.is_empty());
}
