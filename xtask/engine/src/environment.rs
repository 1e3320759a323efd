//! What a container was given to begin with: its variables.

use std::collections::BTreeMap;

use bollard::query_parameters::InspectContainerOptions;

use super::error::ask;
use super::{Asked, Engine};
use crate::limits;
use crate::plan::ContainerId;

impl Engine {
    /// The variables that a container was made with, those of its image among them.
    ///
    /// # Errors
    /// When there is no such container, or the engine does not answer.
    pub fn environment<'a>(&'a self, id: &'a ContainerId) -> Asked<'a, BTreeMap<String, String>> {
        Box::pin(async move {
            let look = self.docker.inspect_container(&id.0, None::<InspectContainerOptions>);
            let seen = ask("inspect", format!("container {id}"), limits::ENGINE_ANSWER, look).await?;
            let lines = seen.config.and_then(|config| config.env).unwrap_or_default();
            let pairs = lines.iter().filter_map(|line| line.split_once('='));
            Ok(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
        })
    }
}
