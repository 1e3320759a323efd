//! What people do to a service, from several threads until it is dropped: reads, writes, misses, requests that are
//! refused. What comes of it is no business of theirs: they go on through every outage.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::json;
use ureq::Agent;

/// The pause between two requests of a thread: some tens of requests a second in all, enough for every rate over five
/// seconds, little beside what two cores can do.
const PAUSE: Duration = Duration::from_millis(60);

/// How long an answer may take. Longer than the service's own deadlines.
const ANSWER: Duration = Duration::from_secs(10);

/// Traffic that goes on.
#[derive(Debug)]
pub(crate) struct Traffic {
    stop: Vec<Sender<()>>,
    threads: Vec<JoinHandle<()>>,
}

impl Traffic {
    /// Starts it, from this many threads.
    pub(crate) fn start(base: &str, threads: usize) -> Self {
        let started = (0..threads).map(|first| {
            let (stop, stopped) = channel();
            let base = base.to_owned();
            let thread = std::thread::spawn(move || {
                let agent = agent();
                for number in first.. {
                    request(&agent, &base, number);
                    // The pause is also the wait for the end.
                    if stopped.recv_timeout(PAUSE) != Err(RecvTimeoutError::Timeout) {
                        return;
                    }
                }
            });
            (stop, thread)
        });
        let (stop, threads) = started.unzip();
        Self { stop, threads }
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.stop.clear();
        for thread in self.threads.drain(..) {
            // One that panicked has said so.
            let _ = thread.join();
        }
    }
}

fn agent() -> Agent {
    Agent::new_with_config(
        Agent::config_builder().timeout_global(Some(ANSWER)).http_status_as_error(false).build(),
    )
}

/// One of the things that people do. During an outage there is no answer, and nobody minds.
fn request(agent: &Agent, base: &str, number: usize) {
    let get = |path: &str| drop(agent.get(format!("{base}{path}")).call());
    let post = |kind: &str, body: String| {
        drop(agent.post(format!("{base}/api/data")).content_type(kind).send(body));
    };
    match number % 9 {
        0 => get("/"),
        1 => post("application/json", json!({"name": "seen", "value": number}).to_string()),
        2 => get("/api/data?limit=5"),
        3 => get("/api/data/1"),
        4 => get("/api/visitors"),
        5 => get("/api/data/999999999"),
        6 => post("text/plain", "not JSON".to_owned()),
        7 => get("/nowhere"),
        _ => get("/api/data/2"),
    }
}

/// Some 100 MB of log lines; a tenth fills every buffer between a service and whoever reads its log.
const MOST_BURSTS: usize = 100;

/// Sends requests with the longest path that is logged until `enough`, without pause: many and long log lines.
pub(crate) fn flood(base: &str, enough: impl Fn() -> bool) {
    let url = format!("{base}/{}", "x".repeat(500));
    let burst = || {
        let agent = agent();
        for _ in 0..300 {
            drop(agent.get(&url).call());
        }
    };
    for _ in 0..MOST_BURSTS {
        if enough() {
            return;
        }
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(burst);
            }
        });
    }
    panic!("{MOST_BURSTS} bursts of requests were not enough");
}
