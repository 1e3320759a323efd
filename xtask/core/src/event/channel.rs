//! The channel that events go through: who sends never waits, and lines of logs that nobody takes are bounded.
//!
//! Must not: know what an event means, except that a line of a log is one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc::{self, error::TryRecvError};

use super::{Event, LogOrigin};
use crate::failure::Failure;
use crate::limits;

/// The end of what is said where lines of logs are not kept beside the engine.
pub const WITH_ENGINE: &str = "`cargo xtask logs` has them only while their container is there";

/// Where events go. Cloned freely; sending never waits and never fails: when nobody listens any more, the event is
/// dropped, because the program is ending.
#[derive(Debug, Clone)]
pub struct Events {
    sender: mpsc::UnboundedSender<Event>,
    waiting: Arc<WaitingLines>,
}

/// The lines of services' logs that were sent and not taken yet.
#[derive(Debug, Default)]
struct WaitingLines {
    count: AtomicUsize,
    /// Those that found no room, since it was told last.
    dropped: AtomicUsize,
}

impl Events {
    /// A sender and the end that `ui` reads. The channel is unbounded: its producers are a person's own machine's
    /// engine and compiler, and a renderer that blocked them would change what it shows.
    pub fn channel() -> (Self, Arriving) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let waiting = Arc::new(WaitingLines::default());
        (Self { sender, waiting: Arc::clone(&waiting) }, Arriving { receiver, waiting })
    }

    /// Sends one event.
    pub fn send(&self, event: Event) {
        if matches!(event, Event::Log { .. }) {
            self.waiting.count.fetch_add(1, Ordering::Relaxed);
        }
        let _ = self.sender.send(event);
    }

    /// Sends a line of a service's log, unless [`limits::WAITING_LINES`] wait already: it is dropped then, and that told. For
    /// lines that come for as long as the program runs, whether somebody reads them or not.
    pub fn offer_line(&self, service: String, stderr: bool, line: String, origin: Option<LogOrigin>) {
        if self.waiting.count.load(Ordering::Relaxed) < limits::WAITING_LINES {
            self.send(Event::Log { service, stderr, line, origin });
        } else {
            self.waiting.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Sends a failure as it is to be shown.
    pub fn failure(&self, failure: &Failure) {
        self.send(Event::from(failure));
    }

    /// Sends a note.
    pub fn note(&self, text: impl Into<String>) {
        self.send(Event::Note { text: text.into() });
    }

    /// Sends a warning.
    pub fn warning(&self, text: impl Into<String>) {
        self.send(Event::Warning { text: text.into() });
    }
}

/// Where events come from.
#[derive(Debug)]
pub struct Arriving {
    receiver: mpsc::UnboundedReceiver<Event>,
    waiting: Arc<WaitingLines>,
}

impl Arriving {
    /// The next event, once there is one; `None` when there will be none. Lines that were dropped are told once those before
    /// them have been taken.
    pub async fn recv(&mut self) -> Option<Event> {
        match self.dropped() {
            Some(told) => Some(told),
            None => self.receiver.recv().await.inspect(|event| self.take(event)),
        }
    }

    /// The next event, if it is there.
    ///
    /// # Errors
    /// When there is none yet, or will be none.
    pub fn try_recv(&mut self) -> Result<Event, TryRecvError> {
        match self.dropped() {
            Some(told) => Ok(told),
            None => self.receiver.try_recv().inspect(|event| self.take(event)),
        }
    }

    /// Whether nothing waits to be taken.
    pub fn is_empty(&self) -> bool {
        self.receiver.is_empty()
    }

    /// Lets no more in; what was sent before still comes.
    pub fn close(&mut self) {
        self.receiver.close();
    }

    fn take(&self, event: &Event) {
        if matches!(event, Event::Log { .. }) {
            self.waiting.count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn dropped(&self) -> Option<Event> {
        let WaitingLines { count, dropped } = &*self.waiting;
        if dropped.load(Ordering::Relaxed) == 0 || count.load(Ordering::Relaxed) > 0 {
            return None;
        }
        let count = dropped.swap(0, Ordering::Relaxed);
        let text =
            format!("{count} lines of logs were left out, because nobody took what was told; {WITH_ENGINE}");
        Some(Event::Warning { text })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_find_no_room_are_counted_and_nothing_else_is_dropped() {
        let (events, mut arrived) = Events::channel();
        let rest =
            |arrived: &mut Arriving| std::iter::from_fn(|| arrived.try_recv().ok()).collect::<Vec<_>>();
        let line = |number: usize| events.offer_line("web".to_owned(), false, number.to_string(), None);
        (0..limits::WAITING_LINES + 3).for_each(line);
        events.note("heard all the same");
        let told = rest(&mut arrived);
        assert_eq!(told.len(), limits::WAITING_LINES + 2);
        let of = |event: &Event| match event {
            Event::Log { line, .. } => line.clone(),
            Event::Note { text } | Event::Warning { text } => text.clone(),
            other => panic!("{other:?}"),
        };
        assert_eq!(of(&told[limits::WAITING_LINES - 1]), (limits::WAITING_LINES - 1).to_string());
        let last: Vec<String> = told[limits::WAITING_LINES..].iter().map(of).collect();
        assert!(last.iter().any(|text| text == "heard all the same"), "{last:?}");
        assert!(last.iter().any(|text| text.starts_with("3 lines of logs were left out")), "{last:?}");
        // There is room again.
        line(7);
        assert_eq!(rest(&mut arrived).iter().map(of).collect::<Vec<_>>(), ["7"]);
    }

    #[tokio::test]
    async fn once_it_is_closed_what_was_sent_before_still_comes() {
        let (events, mut arrived) = Events::channel();
        assert!(arrived.is_empty());
        events.note("before");
        assert!(!arrived.is_empty());
        arrived.close();
        events.note("after");
        let first = arrived.recv().await;
        assert!(matches!(&first, Some(Event::Note { text }) if text == "before"), "{first:?}");
        let second = arrived.recv().await;
        assert!(second.is_none(), "{second:?}");
    }

    #[test]
    fn nobody_who_listens_is_no_fault() {
        let (events, arrived) = Events::channel();
        drop(arrived);
        events.note("to nobody");
    }
}
