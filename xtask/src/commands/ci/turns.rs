//! Stages that run at once, told one after the other: what one says is held back until those that began before it have
//! ended, so that a group of a log holds one stage and no other.
//!
//! Must not: know what a stage does.

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::event::{Arriving, Event, Events};

/// The turns to speak, in the order in which they were taken.
#[derive(Debug)]
pub(super) struct Turns {
    queue: mpsc::UnboundedSender<Arriving>,
    teller: JoinHandle<()>,
}

impl Turns {
    /// Nobody speaks yet; what is said goes to `events`.
    pub(super) fn new(events: &Events) -> Self {
        let events = events.clone();
        let (queue, mut turns) = mpsc::unbounded_channel::<Arriving>();
        let teller = tokio::spawn(async move {
            while let Some(mut turn) = turns.recv().await {
                while let Some(event) = turn.recv().await {
                    // Whoever still holds the stream then has nothing to add.
                    let last = matches!(event, Event::StageFinished { .. });
                    events.send(event);
                    if last {
                        break;
                    }
                }
            }
        });
        Self { queue, teller }
    }

    /// The next turn. It ends with [`Event::StageFinished`].
    pub(super) fn take(&self) -> Events {
        let (events, turn) = Events::channel();
        // The teller ends only when this queue does.
        let _ = self.queue.send(turn);
        events
    }

    /// Returns when all that was said has been told.
    pub(super) async fn end(self) {
        drop(self.queue);
        // If it panicked, nothing is left to be told.
        let _ = self.teller.await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::event::StageOutcome;

    #[tokio::test]
    async fn what_is_said_at_once_is_told_in_turn() {
        let (events, mut received) = Events::channel();
        let turns = Turns::new(&events);
        let (first, second) = (turns.take(), turns.take());
        let finished = |stage: &str| Event::StageFinished {
            stage: stage.to_owned(),
            outcome: StageOutcome::Passed,
            took: Duration::ZERO,
        };
        second.note("second 1");
        first.note("first 1");
        second.note("second 2");
        second.send(finished("second"));
        first.note("first 2");
        first.send(finished("first"));
        first.note("too late");
        // Although somebody still holds both.
        turns.end().await;
        drop(events);
        let mut told = Vec::new();
        while let Some(event) = received.recv().await {
            told.push(match event {
                Event::Note { text } => text,
                Event::StageFinished { stage, .. } => format!("end of {stage}"),
                other => panic!("{other:?}"),
            });
        }
        let expected = ["first 1", "first 2", "end of first", "second 1", "second 2", "end of second"];
        assert_eq!(told, expected);
        drop((first, second));
    }

    #[tokio::test]
    async fn whose_turn_it_is_is_told_at_once() {
        let (events, mut received) = Events::channel();
        let turns = Turns::new(&events);
        let first = turns.take();
        first.note("at once");
        let told = received.recv().await.expect("it is told while the stage runs");
        assert_eq!(told, Event::Note { text: "at once".to_owned() });
        drop(first);
        turns.end().await;
    }
}
