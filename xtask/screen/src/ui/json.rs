//! Events as JSON lines on standard output, for programs.
//!
//! Must not: write anything else there.

use std::io::{self, Write as _};

use super::screen::{Moment, Renderer, Streams};
use crate::event::Event;
use crate::run_log::json_line;

/// Writes one JSON object a line.
pub(super) struct JsonRenderer {
    streams: Streams,
}

impl JsonRenderer {
    pub(super) fn new(streams: Streams) -> Self {
        Self { streams }
    }
}

impl Renderer for JsonRenderer {
    fn show(&mut self, event: &Event, at: Moment) -> io::Result<()> {
        // One write a line, so that two programs on one pipe do not mix within it.
        let line = match event {
            // As the command alone would answer.
            Event::Answered { value, .. } => format!("{value}\n"),
            event => json_line(event, at.wall) + "\n",
        };
        self.streams.out.write_all(line.as_bytes())?;
        self.streams.out.flush()
    }

    fn finish(&mut self) -> io::Result<()> {
        self.streams.out.flush()
    }
}
