//! Owns the log: one JSON object a line, from slog through slog-json to one output, with other crates' `log` records in
//! the same stream. Decides no request's line (that is `fairings::request_record`), and never blocks who logs: a line
//! that finds no room is dropped and counted.
//!
//! A line is written into the calling thread's own buffer by slog-json, then copied under a short lock to a shared outbox;
//! one thread takes what is in it and writes it with a single call. No allocation and no system call on the request's way.

mod bridge;
mod outbox;

use std::{
    cell::RefCell,
    io::{self, Write},
    rc::Rc,
    sync::Arc,
};

use slog::{Drain, FnValue, Logger, OwnedKVList, PushFnValue, Record, o};
use slog_json::Json;

pub use bridge::carry_log_records;
use outbox::Outbox;

/// A running log. Its lines reach the output at the latest when [`Log::finish`] returns.
pub struct Log {
    logger: Logger,
    outbox: Arc<Outbox>,
    writer: Option<std::thread::JoinHandle<()>>,
}

impl Log {
    /// Starts a log that writes lines of `level` and above to `output`.
    pub fn start(level: slog::Level, output: Box<dyn Write + Send>) -> Self {
        let outbox = Arc::new(Outbox::default());
        let writer = std::thread::Builder::new()
            .name("log-writer".to_owned())
            .spawn({
                let outbox = Arc::clone(&outbox);
                move || outbox.write_out(output)
            })
            .expect("a thread for the log at start");
        let drain = Lines { outbox: Arc::clone(&outbox) }.filter_level(level).fuse();
        Self { logger: Logger::root(drain, o!()), outbox, writer: Some(writer) }
    }

    /// Where lines go in.
    pub fn logger(&self) -> Logger {
        self.logger.clone()
    }

    /// The lines dropped so far, for want of room or because the output refused them.
    pub fn dropped(&self) -> impl Fn() -> u64 + Send + Sync + 'static {
        let outbox = Arc::clone(&self.outbox);
        move || outbox.dropped()
    }

    /// Writes out what has been logged and ends the writing thread.
    pub fn finish(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.outbox.close();
        if let Some(writer) = self.writer.take() {
            // A writer that panicked has nothing more to write.
            drop(writer.join());
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.end();
    }
}

/// The drain that formats a record in the calling thread and hands the bytes to the outbox.
struct Lines {
    outbox: Arc<Outbox>,
}

/// The calling thread's buffer: slog-json writes into it through this handle.
#[derive(Clone, Default)]
struct Line(Rc<RefCell<Vec<u8>>>);

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

thread_local! {
    static LINE: (Line, Json<Line>) = {
        let line = Line::default();
        let json = Json::new(line.clone())
            .add_key_value(o!("timestamp" => PushFnValue(|_: &Record<'_>, serializer| {
                crate::timestamp::with_now(|text| serializer.emit(text))
            })))
            .add_key_value(o!("level" => FnValue(|record: &Record<'_>| record.level().as_str())))
            .add_key_value(o!("msg" => PushFnValue(|record: &Record<'_>, serializer| serializer.emit(record.msg()))))
            .build();
        (line, json)
    };
}

impl Drain for Lines {
    type Ok = ();
    type Err = slog::Never;

    fn log(&self, record: &Record<'_>, values: &OwnedKVList) -> Result<(), slog::Never> {
        LINE.with(|(line, json)| {
            let formatted = json.log(record, values);
            let mut bytes = line.0.borrow_mut();
            match formatted {
                Ok(()) => self.outbox.add(&bytes),
                Err(_) => self.outbox.count_dropped(1),
            }
            bytes.clear();
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests;
