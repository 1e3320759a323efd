//! A Postgres that vanishes in the middle of statements, with its network: nobody tells the service, no packet comes back.
//! What waits for an answer must be given up by TCP itself, or it would hold its thread and connection for hours.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use crate::checkout::{Checkout, until};
use crate::engine;
use crate::faults::{self, Site};
use crate::http;

/// More than the pool has connections: one statement is under way at every moment.
const READERS: usize = 16;

/// Reads an item again and again until it is stopped, whatever is answered.
struct Readers {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Readers {
    fn start(base: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let threads = (0..READERS).map(|_| {
            let (stop, item) = (Arc::clone(&stop), format!("{base}/api/data/1"));
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let _ = http::try_get(&item);
                }
            })
        });
        Self { threads: threads.collect(), stop }
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// How many of the pool's connections somebody uses.
fn in_use(base: &str) -> u32 {
    let metrics = http::get(&format!("{base}/metrics")).body;
    let value = |name: &str| -> u32 {
        let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name} in\n{metrics}"))
    };
    value("app_db_pool_connections") - value("app_db_pool_idle")
}

#[test]
fn statements_are_given_up_when_their_postgres_has_vanished() {
    let checkout = Checkout::full("vanished");
    checkout.run(&["dev", "--detach", "service"]).expect(0);
    let base = format!("http://127.0.0.1:{}", checkout.variable("HOMEPORT_SERVICE_PORT"));
    let site = Site {
        project: checkout.name().to_owned(),
        base: base.clone(),
        configuration: PathBuf::new(),
        observer: String::new(),
    };
    let _held = faults::items_held(&site);
    let readers = Readers::start(&base);
    until("statements that wait", || (in_use(&base) > 1).then_some(()));

    engine::disconnect(&format!("{}-default", checkout.name()), &site.container("postgres"));
    let ready = || http::get(&format!("{base}/ready")).status;
    until("the service to know that Postgres is away", || (ready() == 503).then_some(()));
    drop(readers);
    // The kernel's own limits are two hours for a peer that owes an answer and a quarter of one for a request on its way.
    until("every connection to be given up", || (in_use(&base) == 0).then_some(()));
    assert_eq!(http::get(&format!("{base}/health")).status, 200);
}
