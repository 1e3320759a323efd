//! Owns the proof that the log is whole: each line once, in order, as JSON; what is not written is counted.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
};

use slog::info;

use super::Log;

#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Refusing;

impl Write for Refusing {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::Error::other("full"))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn every_line_of_every_thread_comes_out_once_as_json() {
    let kept = Kept::default();
    let log = Log::start(slog::Level::Info, Box::new(kept.clone()));
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let logger = log.logger();
            scope.spawn(move || {
                for number in 0..200 {
                    info!(logger, "said \"{}\"\n", number; "thread" => thread, "number" => number);
                }
            });
        }
    });
    log.finish();

    let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
    let mut next = [0; 4];
    for line in text.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let thread = usize::try_from(line["thread"].as_u64().unwrap()).unwrap();
        assert_eq!(line["number"], next[thread], "{line}");
        assert_eq!(line["msg"], format!("said \"{}\"\n", next[thread]));
        assert_eq!(line["level"], "INFO");
        assert!(line["timestamp"].as_str().unwrap().ends_with('Z'));
        next[thread] += 1;
    }
    assert_eq!(next, [200; 4]);
}

#[test]
fn lines_below_the_level_are_left_out() {
    let kept = Kept::default();
    let log = Log::start(slog::Level::Warning, Box::new(kept.clone()));
    info!(log.logger(), "not this");
    slog::warn!(log.logger(), "this");
    log.finish();
    let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
    assert_eq!(text.lines().count(), 1);
    assert!(text.contains("\"msg\":\"this\""), "{text}");
}

#[test]
fn lines_that_the_output_refuses_are_counted() {
    let log = Log::start(slog::Level::Info, Box::new(Refusing));
    let dropped = log.dropped();
    for _ in 0..10 {
        info!(log.logger(), "lost");
    }
    log.finish();
    assert_eq!(dropped(), 10);
}

struct Stuck(Arc<Mutex<()>>);
impl Write for Stuck {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        drop(self.0.lock().unwrap());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn lines_that_find_no_room_are_counted() {
    let held = Arc::new(Mutex::new(()));
    let log = Log::start(slog::Level::Info, Box::new(Stuck(Arc::clone(&held))));
    let dropped = log.dropped();
    let stop = held.lock().unwrap();
    let text = "x".repeat(100_000);
    let mut sent = 0;
    while dropped() == 0 && sent < 1000 {
        info!(log.logger(), "{}", text);
        sent += 1;
    }
    drop(stop);
    log.finish();
    assert!(dropped() >= 1 && sent < 1000, "{} of {sent} dropped", dropped());
}
