//! What the engine tells of a project's containers while it happens.

use std::collections::HashMap;

use bollard::query_parameters::EventsOptions;
use futures_util::stream::{BoxStream, StreamExt as _};

use super::{Engine, labels};
use crate::stack::ProjectName;

/// What may make a container answer, or answer no more. Health checks are programs that begin and end, too, every second: of
/// those only the verdict counts.
const TELLING: [&str; 5] = ["start", "die", "pause", "unpause", "health_status"];

impl Engine {
    /// Yields each time that a container of the project begins, ends, is paused, goes on or is judged anew by its health
    /// check, whoever brought that about. Ends with the connection.
    pub fn changes(&self, project: &ProjectName) -> BoxStream<'static, ()> {
        let mut filters: HashMap<String, Vec<String>> = labels::of_project(project);
        filters.insert("type".to_owned(), vec!["container".to_owned()]);
        filters.insert("event".to_owned(), TELLING.map(str::to_owned).into());
        let options = EventsOptions { filters: Some(filters), ..Default::default() };
        let events = self.docker.events(Some(options));
        events
            .take_while(|event| {
                let open = event.is_ok();
                async move { open }
            })
            .map(|_| ())
            .boxed()
    }
}
