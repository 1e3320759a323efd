//! An engine that goes away while `dev` or `logs -f` stays, and comes back: what becomes of containers is heard again.

use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use crate::checkout::Checkout;
use crate::engine::kill_container;
use crate::foreground;
use crate::logs::each_line_once;

/// The engine's socket behind another one, which can be shut.
struct Door {
    _directory: tempfile::TempDir,
    socket: PathBuf,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    shut: bool,
    /// Both ends of what goes through it.
    streams: Vec<UnixStream>,
}

impl Door {
    fn open() -> Self {
        // A socket's path has to be short.
        let directory = tempfile::tempdir().expect("a directory");
        let socket = directory.path().join("engine.sock");
        let listener = UnixListener::bind(&socket).expect("the directory is new");
        let state = Arc::<Mutex<State>>::default();
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let Ok(client) = client else { return };
                let mut state = shared.lock().unwrap_or_else(PoisonError::into_inner);
                if !state.shut {
                    state.lead_through(client);
                }
            }
        });
        Self { _directory: directory, socket, state }
    }

    fn address(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// Cuts off whoever is connected, and refuses everybody until it is open again.
    fn shut(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.shut = true;
        for stream in state.streams.drain(..) {
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
    }

    fn open_again(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).shut = false;
    }
}

impl State {
    fn lead_through(&mut self, client: UnixStream) {
        let engine = UnixStream::connect(engine()).expect("the engine listens");
        let clone = |stream: &UnixStream| stream.try_clone().expect("a descriptor");
        pass_on(clone(&client), clone(&engine));
        pass_on(clone(&engine), clone(&client));
        self.streams.extend([client, engine]);
    }
}

/// Where the engine listens, as the other tests find it.
fn engine() -> PathBuf {
    let host = std::env::var("DOCKER_HOST").unwrap_or_default();
    let socket = if host.is_empty() { "/var/run/docker.sock" } else { host.trim_start_matches("unix://") };
    PathBuf::from(socket)
}

fn pass_on(mut from: UnixStream, mut to: UnixStream) {
    std::thread::spawn(move || {
        let mut bytes = [0; 16 << 10];
        while let Ok(count @ 1..) = from.read(&mut bytes) {
            if to.write_all(&bytes[..count]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(std::net::Shutdown::Write);
    });
}

#[test]
fn an_engine_that_comes_back_is_heard_again() {
    let checkout = foreground::watched("away");
    let door = Door::open();
    let mut run = checkout.xtask(&["dev"]).env("DOCKER_HOST", &door.address()).start();
    run.until("watching for saves");
    for service in ["replaced", "reloaded"] {
        door.shut();
        run.until("waiting for the engine");
        door.open_again();
        run.until("the engine answers again");
        kill_container(&format!("{}-{service}", checkout.name()));
        run.until(&format!("{service} ended with status 137"));
    }
    checkout.write("compose/replaced/text", "two");
    run.until("replaced reads two");
    run.interrupt();
    run.end().expect(0);
}

#[test]
fn an_engine_that_stays_away_keeps_nobody() {
    let checkout = Checkout::small("stays-away", include_str!("stacks/single.yaml"));
    let door = Door::open();
    let mut run = checkout.xtask(&["dev"]).env("DOCKER_HOST", &door.address()).start();
    run.until("watching for saves");
    door.shut();
    run.until("waiting for the engine");
    run.interrupt();
    run.end().expect(5);
}

#[test]
fn logs_are_followed_beyond_an_engine_that_comes_back_each_line_once() {
    let checkout = Checkout::small("logs-away", include_str!("stacks/spoken.yaml"));
    checkout.edit(&[("do echo again;", "do i=$$((i+1)); echo number $$i;")]);
    checkout.up();
    let door = Door::open();
    let mut run = checkout.xtask(&["logs", "-f", "middle"]).env("DOCKER_HOST", &door.address()).start();
    run.until("number 2");
    door.shut();
    run.until("waiting for the engine");
    door.open_again();
    run.until("the engine answers again");
    let last = checkout.run(&["logs", "--tail", "1", "middle"]).expect(0).stdout();
    let last: u32 = last.trim().strip_prefix("number ").expect("it counts").parse().expect("a number");
    each_line_once(run, last);
}
