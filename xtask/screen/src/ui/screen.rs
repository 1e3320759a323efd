//! The task that takes events and hands them to a renderer and to the run log.
//!
//! Must not: know how anything looks.

use std::io::{self, Write};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::json::JsonRenderer;
use super::live::LiveRenderer;
use super::plain::PlainRenderer;
use super::{Format, Terminal};
use crate::event::{Arriving, Event};
use crate::run_log::RunLog;

/// The pause between two frames of a spinner. Ten a second move smoothly to the eye; each frame costs one write.
const FRAME: Duration = Duration::from_millis(100);

/// How a screen is to show things.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The form of the output.
    pub format: Format,
    /// What is written to.
    pub terminal: Terminal,
    /// Whether summaries and logs are what the command answers with (`status`, `logs`) and go to standard output.
    pub data_on_stdout: bool,
    /// Whether the service's JSON log lines are made readable; `None` does so on a terminal.
    pub pretty: Option<bool>,
    /// Whether good answers to probes are left out where lines are made readable; not by a command that does so itself.
    pub hides_probes: bool,
    /// Whether each line of a log begins with the service's name.
    pub log_names: bool,
    /// The services whose logs may come: their names are aligned and each has its colour from the beginning.
    pub services: Vec<String>,
}

impl Settings {
    /// What most commands want.
    pub fn new(format: Format, terminal: Terminal) -> Self {
        Self {
            format,
            terminal,
            data_on_stdout: false,
            pretty: None,
            hides_probes: true,
            log_names: true,
            services: Vec::new(),
        }
    }

    /// Whether log lines are made readable where they go.
    pub(super) fn is_pretty(&self) -> bool {
        self.pretty.unwrap_or(if self.data_on_stdout {
            self.terminal.stdout_is_terminal
        } else {
            self.terminal.live
        })
    }
}

/// When an event was seen.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    /// For durations.
    pub(super) instant: Instant,
    /// For timestamps.
    pub(super) wall: SystemTime,
}

impl Moment {
    fn now() -> Self {
        Self { instant: Instant::now(), wall: SystemTime::now() }
    }
}

/// The two streams that a renderer writes to.
pub(super) struct Streams {
    /// Data.
    pub(super) out: Box<dyn Write + Send>,
    /// Progress and logs.
    pub(super) err: Box<dyn Write + Send>,
}

impl Streams {
    fn standard() -> Self {
        Self { out: Box::new(io::stdout()), err: Box::new(io::stderr()) }
    }
}

/// One way to show events.
pub(super) trait Renderer: Send {
    /// Shows one event.
    fn show(&mut self, event: &Event, at: Moment) -> io::Result<()>;

    /// Draws the next frame of what moves.
    fn tick(&mut self, _now: Instant) {}

    /// Whether anything moves.
    fn moves(&self) -> bool {
        false
    }

    /// Leaves the streams as a following program wants them.
    fn finish(&mut self) -> io::Result<()>;
}

/// A running screen.
#[derive(Debug)]
pub struct Screen {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
    reader_gone: CancellationToken,
}

impl Screen {
    /// Starts to show events as they come. Needs a tokio runtime.
    pub fn start(settings: Settings, events: Arriving, log: Option<RunLog>) -> Self {
        let streams = Streams::standard();
        let renderer: Box<dyn Renderer> = match settings.format {
            Format::Json => Box::new(JsonRenderer::new(streams)),
            Format::Human if settings.terminal.live => Box::new(LiveRenderer::new(settings, streams)),
            Format::Human => Box::new(PlainRenderer::new(settings, streams)),
        };
        Self::run(renderer, events, log)
    }

    fn run(renderer: Box<dyn Renderer>, events: Arriving, log: Option<RunLog>) -> Self {
        let (stop, stopped) = oneshot::channel();
        let reader_gone = CancellationToken::new();
        let show = Show { renderer, log, reader_gone: reader_gone.clone() };
        Self { stop, task: tokio::spawn(show.run(events, stopped)), reader_gone }
    }

    /// Fires when whoever read standard output or error has gone (`cargo xtask logs -f | head`).
    pub fn reader_gone(&self) -> CancellationToken {
        self.reader_gone.clone()
    }

    /// Shows everything that was sent until now, restores the terminal and ends. Senders that are still held are cut
    /// off; what they send later is dropped.
    pub async fn finish(self) {
        let _ = self.stop.send(());
        // The task ends by itself; if it panicked, there is no screen left to say so on.
        let _ = self.task.await;
    }
}

struct Show {
    renderer: Box<dyn Renderer>,
    log: Option<RunLog>,
    reader_gone: CancellationToken,
}

impl Show {
    async fn run(mut self, mut events: Arriving, mut stopped: oneshot::Receiver<()>) {
        let mut frames = tokio::time::interval(FRAME);
        frames.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let mut open = true;
        loop {
            tokio::select! {
                biased;
                event = events.recv() => match event {
                    Some(event) => {
                        self.show(&event);
                        // Whoever looks into the run log (`logs`) finds what has been said.
                        if events.is_empty() {
                            self.keep(RunLog::flush);
                        }
                    }
                    None => break,
                },
                // Also when the sender was dropped without a word: the command is gone.
                _ = &mut stopped, if open => {
                    open = false;
                    events.close();
                }
                _ = frames.tick(), if self.renderer.moves() => self.renderer.tick(Instant::now()),
            }
        }
        self.note_refusal(|show| show.renderer.finish());
        self.keep(RunLog::flush);
    }

    fn show(&mut self, event: &Event) {
        let at = Moment::now();
        self.keep(|log| log.record(event, at.wall));
        self.note_refusal(|show| show.renderer.show(event, at));
    }

    /// A standard stream that refuses ends the work when its reader is gone; otherwise the next line may pass (a full
    /// disk that somebody empties).
    fn note_refusal(&mut self, write: impl FnOnce(&mut Self) -> io::Result<()>) {
        if let Err(error) = write(self)
            && error.kind() == io::ErrorKind::BrokenPipe
        {
            self.reader_gone.cancel();
        }
    }

    /// Writes to the run log; one that refuses is given up and said so once, because a run does not fail for its log.
    fn keep(&mut self, write: impl FnOnce(&mut RunLog) -> io::Result<()>) {
        if let Some(log) = &mut self.log
            && let Err(error) = write(log)
        {
            let text = format!("cannot write the run log {}: {error}", log.path().display());
            self.log = None;
            self.note_refusal(|show| show.renderer.show(&Event::Warning { text }, Moment::now()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::event::Events;

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no panic while writing").write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Closed;

    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn finish_shows_what_was_sent_although_a_sender_lives_on() {
        let shown = Shared::default();
        let streams = Streams { out: Box::new(shown.clone()), err: Box::new(io::sink()) };
        let (events, receiver) = Events::channel();
        let screen = Screen::run(Box::new(JsonRenderer::new(streams)), receiver, None);
        for number in 0..100 {
            events.note(number.to_string());
        }
        screen.finish().await;
        events.note("too late");
        let text = String::from_utf8(shown.0.lock().expect("no panic").clone()).expect("text");
        assert_eq!(text.lines().count(), 100);
        assert!(text.ends_with("\"text\":\"99\"}\n"), "{text}");
    }

    #[tokio::test]
    async fn a_reader_that_goes_is_noticed() {
        let streams = Streams { out: Box::new(Closed), err: Box::new(io::sink()) };
        let (events, receiver) = Events::channel();
        let screen = Screen::run(Box::new(JsonRenderer::new(streams)), receiver, None);
        events.note("x");
        let gone = screen.reader_gone();
        tokio::time::timeout(Duration::from_secs(10), gone.cancelled()).await.expect("it is noticed at once");
        screen.finish().await;
    }
}
