//! Revisions in the cluster: read, begun, ended, forgotten. What one is stands in `crate::revision`.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use serde_json::json;
use xtask::failure::Failure;

use super::{Cluster, FIELD_MANAGER, refused};
use crate::object::Object;
use crate::revision::{self, NUMBER_LABEL, OBJECTS_KEY, Revision, STATE_KEY, State, VERSION_KEY};

/// The revisions of one namespace.
pub struct Revisions {
    api: Api<ConfigMap>,
}

impl Revisions {
    /// Those of a namespace.
    pub fn new(cluster: &Cluster, namespace: &str) -> Self {
        Self { api: Api::namespaced(cluster.client.clone(), namespace) }
    }

    /// All of them, by number. One that cannot be read is taken to have failed: nothing is built upon it.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn all(&self) -> Result<Vec<Revision>, Failure> {
        let selector = ListParams::default().labels(NUMBER_LABEL);
        let list = self.api.list(&selector).await.map_err(|error| refused("list", "revisions", &error))?;
        let mut revisions: Vec<Revision> = list.items.into_iter().filter_map(read).collect();
        revisions.sort_by_key(|revision| revision.number);
        Ok(revisions)
    }

    /// Notes that a deployment begins.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn begin(&self, number: u64, version: &str, objects: &[Object]) -> Result<(), Failure> {
        let map = ConfigMap {
            metadata: ObjectMeta {
                name: Some(revision::name(number)),
                labels: Some(BTreeMap::from([
                    (NUMBER_LABEL.to_owned(), number.to_string()),
                    ("app.kubernetes.io/managed-by".to_owned(), FIELD_MANAGER.to_owned()),
                ])),
                ..ObjectMeta::default()
            },
            data: Some(BTreeMap::from([
                (STATE_KEY.to_owned(), State::Applying.as_str().to_owned()),
                (VERSION_KEY.to_owned(), version.to_owned()),
            ])),
            binary_data: Some(BTreeMap::from([(
                OBJECTS_KEY.to_owned(),
                ByteString(revision::pack(objects)),
            )])),
            ..ConfigMap::default()
        };
        let parameters =
            PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        let created = self.api.create(&parameters, &map).await;
        created.map(drop).map_err(|error| refused("keep", format!("revision {number}"), &error))
    }

    /// Notes how a deployment went. One that failed before it began is not there, and need not be noted.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn end(&self, number: u64, state: State) -> Result<(), Failure> {
        let patch = Patch::Merge(json!({"data": {STATE_KEY: state.as_str()}}));
        let ended = self.api.patch(&revision::name(number), &PatchParams::default(), &patch).await;
        match ended {
            Err(kube::Error::Api(status)) if status.code == 404 && state == State::Failed => Ok(()),
            ended => ended.map(drop).map_err(|error| refused("mark", format!("revision {number}"), &error)),
        }
    }

    /// Forgets those that need not be kept.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn forget_surplus(&self) -> Result<(), Failure> {
        self.forget(&revision::surplus(&self.all().await?)).await
    }

    /// Forgets these; one that is gone already is no failure.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn forget(&self, numbers: &[u64]) -> Result<(), Failure> {
        for number in numbers {
            match self.api.delete(&revision::name(*number), &DeleteParams::default()).await {
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                Err(error) => return Err(refused("forget", format!("revision {number}"), &error)),
                Ok(_) => {}
            }
        }
        Ok(())
    }
}

fn read(map: ConfigMap) -> Option<Revision> {
    let number = map.metadata.labels.as_ref()?.get(NUMBER_LABEL)?.parse().ok()?;
    let data = map.data.unwrap_or_default();
    let objects = map.binary_data.unwrap_or_default().remove(OBJECTS_KEY);
    let objects = objects.and_then(|bytes| revision::unpack(&bytes.0).ok());
    let state = data.get(STATE_KEY).map_or(State::Failed, |word| State::parse(word));
    Some(Revision {
        number,
        version: data.get(VERSION_KEY).cloned().unwrap_or_default(),
        state: if objects.is_some() { state } else { State::Failed },
        objects: objects.unwrap_or_default(),
    })
}
