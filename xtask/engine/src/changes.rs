//! What becomes of a project's containers, told by the engine as it happens.

use std::time::{Duration, SystemTime};

use bollard::models::EventMessage;
use bollard::query_parameters::EventsOptions;
use futures_util::future::ready;
use futures_util::stream::{BoxStream, StreamExt as _};

use super::{Engine, labels};
use crate::plan::ContainerId;
use crate::stack::{ProjectName, ServiceName};

/// How far back the engine is asked at the beginning: its clock may go behind this machine's. What is told twice is for
/// whoever listens to bear.
const BEFORE: Duration = Duration::from_secs(60);

/// What is told of a container. Health checks are programs that begin and end, too, every second: of those only the verdict
/// counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Happening {
    /// It began to run.
    Began,
    /// It ended.
    Ended,
    /// It was paused, went on, was judged anew by its health check, or was removed: what may make it answer, or answer no
    /// more.
    Turned,
}

/// The engine's words for it. Podman says `died` where Docker says `die`, and `remove` where it says `destroy`.
const TELLING: [(&str, Happening); 8] = [
    ("start", Happening::Began),
    ("die", Happening::Ended),
    ("died", Happening::Ended),
    ("pause", Happening::Turned),
    ("unpause", Happening::Turned),
    ("health_status", Happening::Turned),
    ("destroy", Happening::Turned),
    ("remove", Happening::Turned),
];

/// Something that happened to a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Which.
    pub container: ContainerId,
    /// Its service, by its label.
    pub service: ServiceName,
    /// What.
    pub happening: Happening,
}

impl Engine {
    /// What happens to a project's containers from now on, whoever brought it about, in its order; some of the last minute
    /// may come first. The stream ends when the connection does.
    pub fn changes(&self, project: &ProjectName) -> BoxStream<'static, Change> {
        let since = SystemTime::now().checked_sub(BEFORE).unwrap_or(SystemTime::UNIX_EPOCH);
        let since = since.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let mut filters = labels::of_project(project);
        filters.insert("type".to_owned(), vec!["container".to_owned()]);
        filters.insert("event".to_owned(), TELLING.map(|(word, _)| word.to_owned()).into());
        let options =
            EventsOptions { since: Some(since.to_string()), filters: Some(filters), ..Default::default() };
        let messages = self.docker.events(Some(options)).take_while(|message| ready(message.is_ok()));
        messages.filter_map(|message| ready(message.ok().and_then(change))).boxed()
    }
}

fn change(message: EventMessage) -> Option<Change> {
    let action = message.action?;
    // `health_status: healthy`; a program that a check runs is `exec_start: …`.
    let word = action.split(':').next().unwrap_or_default();
    let (_, happening) = TELLING.into_iter().find(|(telling, _)| *telling == word)?;
    let actor = message.actor?;
    let service = actor.attributes.unwrap_or_default().remove(labels::SERVICE).unwrap_or_default();
    Some(Change { container: ContainerId(actor.id?), service: ServiceName::new(service), happening })
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use bollard::models::EventActor;

    use super::*;

    #[test]
    fn what_may_change_an_answer_is_told_and_nothing_else() {
        let message = |action: &str| EventMessage {
            action: Some(action.to_owned()),
            actor: Some(EventActor {
                id: Some("1f".to_owned()),
                attributes: Some(HashMap::from([(labels::SERVICE.to_owned(), "web".to_owned())])),
            }),
            ..Default::default()
        };
        let told = |happening| {
            let (container, service) = (ContainerId("1f".to_owned()), ServiceName::new("web"));
            Some(Change { container, service, happening })
        };
        let table = [
            ("start", told(Happening::Began)),
            ("die", told(Happening::Ended)),
            ("died", told(Happening::Ended)),
            ("exec_start: redis-cli ping", None),
            ("rename", None),
            ("pause", told(Happening::Turned)),
            ("health_status: healthy", told(Happening::Turned)),
            ("destroy", told(Happening::Turned)),
            ("remove", told(Happening::Turned)),
        ];
        for (action, expected) in table {
            assert_eq!(change(message(action)), expected, "{action}");
        }
    }
}
