//! Takes away what a killed run of tests or tools has left in the engine. What is left is told by a label alone, which is
//! also on what a test's project has: its checkout may be gone, and nobody can take it down any more.
//!
//! Must not: judge which runs have ended, or touch what does not carry the label.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use bollard::query_parameters::{ListContainersOptions, ListNetworksOptions, ListVolumesOptions};

use super::error::{EngineError, ask};
use super::{Engine, labels};
use crate::limits;
use crate::plan::ContainerId;
use crate::stack::NetworkName;

/// Labels of one object.
type Labels = HashMap<String, String>;

impl Engine {
    /// Removes the objects that a label of this key marks and whose value `is_left` names as left, and the images that are
    /// named after their projects; tells them as `container NAME`. What something else still uses stays until the next
    /// time.
    ///
    /// # Errors
    /// When the engine refuses.
    pub async fn sweep(&self, key: &str, is_left: impl Fn(&str) -> bool) -> Result<Vec<String>, EngineError> {
        let left = |labels: &Labels| labels.get(key).is_some_and(|value| is_left(value));
        let (mut swept, mut projects) = (Vec::new(), BTreeSet::new());
        let mut note = |object: String, labels: &mut Labels| {
            swept.push(object);
            projects.extend(labels.remove(labels::PROJECT));
        };
        // Containers first: they use the others.
        for (id, name, mut labels) in self.marked_containers(key).await? {
            if left(&labels) {
                self.remove_container(&id, Duration::ZERO).await?;
                note(format!("container {name}"), &mut labels);
            }
        }
        for (id, name, mut labels) in self.marked_networks(key).await? {
            if left(&labels) && unless_used(self.remove_network(&id, &NetworkName::new(&name)).await)? {
                note(format!("network {name}"), &mut labels);
            }
        }
        for (name, mut labels) in self.marked_volumes(key).await? {
            if left(&labels) && unless_used(self.remove_volume(&name).await)? {
                note(format!("volume {name}"), &mut labels);
            }
        }
        swept.extend(self.remove_images_of(&projects).await?);
        Ok(swept)
    }

    /// Removes the images whose name begins with a project's: those that its tests had built.
    async fn remove_images_of(&self, projects: &BTreeSet<String>) -> Result<Vec<String>, EngineError> {
        let mut removed = Vec::new();
        if projects.is_empty() {
            return Ok(removed);
        }
        for reference in self.images().await?.into_iter().flat_map(|image| image.tags) {
            let owner = reference.split(['/', ':']).next().unwrap_or_default();
            if projects.contains(owner) && unless_used(self.remove_image(&reference).await)? {
                removed.push(format!("image {reference}"));
            }
        }
        Ok(removed)
    }

    async fn marked_containers(&self, key: &str) -> Result<Vec<(ContainerId, String, Labels)>, EngineError> {
        let options = ListContainersOptions { all: true, filters: Some(of(key)), ..Default::default() };
        let list = self.docker.list_containers(Some(options));
        let list = ask("list", "containers", limits::ENGINE_ANSWER, list).await?;
        let named = list.into_iter().filter_map(|seen| {
            let name = seen.names.unwrap_or_default().into_iter().next().unwrap_or_default();
            let labels = seen.labels.unwrap_or_default();
            Some((ContainerId(seen.id?), name.trim_start_matches('/').to_owned(), labels))
        });
        Ok(named.collect())
    }

    async fn marked_networks(&self, key: &str) -> Result<Vec<(String, String, Labels)>, EngineError> {
        let list = self.docker.list_networks(Some(ListNetworksOptions { filters: Some(of(key)) }));
        let list = ask("list", "networks", limits::ENGINE_ANSWER, list).await?;
        let named = list.into_iter().filter_map(|seen| Some((seen.id?, seen.name?, seen.labels?)));
        Ok(named.collect())
    }

    async fn marked_volumes(&self, key: &str) -> Result<Vec<(String, Labels)>, EngineError> {
        let list = self.docker.list_volumes(Some(ListVolumesOptions { filters: Some(of(key)) }));
        let list = ask("list", "volumes", limits::ENGINE_ANSWER, list).await?;
        let volumes = list.volumes.unwrap_or_default().into_iter();
        Ok(volumes.map(|seen| (seen.name, seen.labels)).collect())
    }
}

fn of(key: &str) -> HashMap<String, Vec<String>> {
    HashMap::from([("label".to_owned(), vec![key.to_owned()])])
}

/// Whether it was removed.
fn unless_used<T>(removed: Result<T, EngineError>) -> Result<bool, EngineError> {
    match removed {
        Ok(_) => Ok(true),
        Err(error) if error.is_in_use() => Ok(false),
        Err(error) => Err(error),
    }
}
