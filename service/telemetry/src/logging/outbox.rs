//! Owns the lines between the threads that log and the thread that writes: bounded, and honest about what it drops.
//! Formats nothing.

use std::{
    io::Write,
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// Room for lines that wait: 12 ms of a saturated service (90 000 lines a second of some 250 bytes would fill it in 45),
/// and small beside the 32 MiB that the service may use.
const CAPACITY: usize = 1 << 20;

/// How long the writer lets lines gather after the first: it bounds wake-ups and writes to 250 a second, and is far below
/// what a person following a log notices.
const GATHER: Duration = Duration::from_millis(4);

#[derive(Default)]
pub(super) struct Outbox {
    state: Mutex<State>,
    changed: Condvar,
    dropped: AtomicU64,
}

#[derive(Default)]
struct State {
    bytes: Vec<u8>,
    closed: bool,
}

impl Outbox {
    /// Adds one line, or counts it as dropped when there is no room or nobody to write it.
    pub(super) fn add(&self, line: &[u8]) {
        let mut state = self.state();
        if state.closed || state.bytes.len() + line.len() > CAPACITY {
            drop(state);
            self.count_dropped(1);
            return;
        }
        let first = state.bytes.is_empty();
        state.bytes.extend_from_slice(line);
        drop(state);
        if first {
            self.changed.notify_one();
        }
    }

    pub(super) fn count_dropped(&self, lines: u64) {
        self.dropped.fetch_add(lines, Ordering::Relaxed);
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Lets the writer end once all is written.
    pub(super) fn close(&self) {
        self.state().closed = true;
        self.changed.notify_one();
    }

    /// Writes what has gathered until the log is closed and empty: the writing thread's whole life.
    pub(super) fn write_out(&self, mut output: Box<dyn Write + Send>) {
        let mut taken = Vec::new();
        loop {
            let mut state = self
                .changed
                .wait_while(self.state(), |state| state.bytes.is_empty() && !state.closed)
                .unwrap_or_else(PoisonError::into_inner);
            if !state.closed {
                state = self
                    .changed
                    .wait_timeout_while(state, GATHER, |state| {
                        !state.closed && state.bytes.len() < CAPACITY / 2
                    })
                    .unwrap_or_else(PoisonError::into_inner)
                    .0;
            }
            if state.bytes.is_empty() {
                return;
            }
            std::mem::swap(&mut taken, &mut state.bytes);
            drop(state);
            if output.write_all(&taken).and_then(|()| output.flush()).is_err() {
                // How much of it went out is unknown: all of it counts as dropped rather than none.
                self.count_dropped(taken.split(|byte| *byte == b'\n').count() as u64 - 1);
            }
            taken.clear();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
