//! Constant load at the service through its NodePort, every request counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use xtask_cluster::http::{Http, Request};

/// How long a request may take: a machine that also makes clusters may be slow, a user would not wait longer.
const REQUEST: Duration = Duration::from_secs(5);

/// The pause between two requests of one client.
const PAUSE: Duration = Duration::from_millis(25);

/// Requests that must have been sent for a load to be one.
const ENOUGH: usize = 50;

/// Two clients at work: one keeps its connection, one makes a new one for each request.
#[derive(Debug)]
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Counted>>,
}

#[derive(Debug, Default)]
struct Counted {
    sent: usize,
    failed: Vec<String>,
}

impl Load {
    /// Begins, once a first request was answered.
    pub(crate) fn begin(port: u16) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let clients = [true, false].map(|keeps| {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || client(port, keeps, &stop))
        });
        Self { stop, clients: clients.into() }
    }

    /// Ends it. Fails unless every request was answered with 200.
    #[track_caller]
    pub(crate) fn end_without_a_failed_request(self) {
        self.stop.store(true, Ordering::Relaxed);
        let counted: Vec<Counted> =
            self.clients.into_iter().map(|client| client.join().expect("a client does not panic")).collect();
        let sent: usize = counted.iter().map(|counted| counted.sent).sum();
        let failed: Vec<&String> = counted.iter().flat_map(|counted| &counted.failed).collect();
        assert!(
            failed.is_empty(),
            "{} of {sent} requests failed: {:#?}",
            failed.len(),
            &failed[..failed.len().min(10)]
        );
        assert!(sent >= ENOUGH, "only {sent} requests were sent");
        xtask::ui::print_text(&format!("     {sent} requests, none failed\n")).expect("standard output");
    }
}

fn client(port: u16, keeps: bool, stop: &AtomicBool) -> Counted {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut counted = Counted::default();
    runtime.block_on(async {
        let mut http = Http::new(REQUEST);
        while !stop.load(Ordering::Relaxed) {
            if !keeps {
                http = Http::new(REQUEST);
            }
            counted.sent += 1;
            match http.send(port, &Request::get("/")).await {
                Ok(answer) if answer.status == 200 => {}
                Ok(answer) => counted.failed.push(format!("status {}", answer.status)),
                Err(error) => counted.failed.push(error.to_string()),
            }
            tokio::time::sleep(PAUSE).await;
        }
    });
    counted
}
