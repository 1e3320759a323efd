//! Server-side apply: first asked for as a dry run, which shows the difference and every conflict before anything is
//! changed; then only what differs is sent, in an order that works; then what the manifests no longer hold is removed.
//!
//! Must not: force its way over somebody else's fields unless told to.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use kube::Error;
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, TypeMeta, ValidationDirective};
use serde_json::Value;
use xtask::event::StepReporter;
use xtask::failure::{Code, Failure};

use super::{Change, Changes, Cluster, FIELD_MANAGER, refused};
use crate::object::{Key, Object};
use crate::{diff, limits, prepare};

/// Kinds that are removed when the manifests no longer hold them. Not those with data or secrets: a
/// PersistentVolumeClaim, a Secret, the Namespace.
const PRUNED: &[(&str, &str)] = &[
    ("v1", "ConfigMap"),
    ("v1", "Service"),
    ("apps/v1", "Deployment"),
    ("apps/v1", "StatefulSet"),
    ("apps/v1", "DaemonSet"),
    ("batch/v1", "CronJob"),
    ("networking.k8s.io/v1", "NetworkPolicy"),
    ("networking.k8s.io/v1", "Ingress"),
    ("policy/v1", "PodDisruptionBudget"),
    ("autoscaling/v2", "HorizontalPodAutoscaler"),
    ("scheduling.k8s.io/v1", "PriorityClass"),
];

/// How often a write is tried when the autoscaler has changed the number of replicas between the look and the write.
const ATTEMPTS: usize = 4;

/// What belongs together in a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// The namespace of what is pruned.
    pub namespace: String,
    /// The label that marks all of it.
    pub label: (String, String),
}

impl Cluster {
    /// Asks what applying these objects would change; changes nothing. With a `scope`, also what is to be removed.
    ///
    /// # Errors
    /// [`Code::ApplyConflict`] with every field that somebody else has set, unless `force`; what else the API server
    /// refuses.
    pub async fn compare(
        &self,
        objects: &[Object],
        scope: Option<&Scope>,
        force: bool,
    ) -> Result<Changes, Failure> {
        let mut wanted = objects.to_vec();
        wanted.sort_by_key(|object| prepare::rank(object.kind()));
        let marked = match scope {
            Some(scope) => self.marked(scope).await?,
            None => BTreeMap::new(),
        };
        let gone = gone(&marked, &wanted);
        let live = self.live(&wanted, marked).await?;
        let replicas = live.iter().filter_map(|(key, object)| {
            Some((key.clone(), object.data.pointer("/spec/replicas")?.as_i64()?))
        });
        prepare::keep_scaled(&mut wanted, &replicas.collect());
        let there: BTreeMap<Key, Value> =
            live.iter().map(|(key, object)| (key.clone(), value(object))).collect();
        prepare::keep_contents(&mut wanted, &there);
        let namespaces: BTreeSet<&str> = live
            .values()
            .filter_map(|object| {
                (object.types.as_ref()?.kind == "Namespace").then_some(object.metadata.name.as_deref())?
            })
            .collect();
        let made_here: BTreeSet<&str> =
            wanted.iter().filter(|object| object.kind() == "Namespace").map(Object::name).collect();
        let looks = wanted.iter().map(|object| {
            let key = object.key();
            let live = live.get(&key);
            // Into a namespace that is not there yet nothing can be applied, not even for a try.
            let homeless =
                key.namespace.as_deref().is_some_and(|n| made_here.contains(n) && !namespaces.contains(n));
            async move {
                if homeless {
                    return Ok((key, Ok(Change::Create)));
                }
                match (self.send(object, force, true).await, live) {
                    (Ok(_), None) => Ok((key, Ok(Change::Create))),
                    (Ok(result), Some(live)) => {
                        let lines = diff::lines(&value(live), &value(&result));
                        let change = if lines.is_empty() { Change::Unchanged } else { Change::Update(lines) };
                        Ok((key, Ok(change)))
                    }
                    (Err(error), _) => match conflicts(&error) {
                        Some(conflicts) => Ok((key, Err(conflicts))),
                        None => Err(refused("apply", &key, &error)),
                    },
                }
            }
        });
        let looked: Vec<_> = stream::iter(looks).buffered(limits::REQUESTS_AT_ONCE).try_collect().await?;
        let mut items = Vec::new();
        let mut conflicts = Vec::new();
        for (key, looked) in looked {
            match looked {
                Ok(change) => items.push((key, change)),
                Err(fields) => conflicts.extend(fields.into_iter().map(|field| format!("{key}: {field}"))),
            }
        }
        if !conflicts.is_empty() {
            return Err(conflict(self.name(), conflicts));
        }
        items.extend(gone.into_iter().map(|key| (key, Change::Remove)));
        Ok(Changes { items, wanted, force })
    }

    /// Does what [`Cluster::compare`] found. `after_namespaces` runs when the namespaces are there and before anything
    /// is put into them.
    ///
    /// # Errors
    /// What the API server refuses; what was applied until then stays.
    pub async fn carry_out(
        &self,
        changes: &Changes,
        reporter: &StepReporter,
        after_namespaces: impl AsyncFnOnce() -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let differing: BTreeSet<&Key> = changes
            .items
            .iter()
            .filter(|(_, change)| matches!(change, Change::Create | Change::Update(_)))
            .map(|(key, _)| key)
            .collect();
        let mut ranks: BTreeMap<u8, Vec<&Object>> = BTreeMap::new();
        for object in changes.wanted.iter().filter(|object| differing.contains(&object.key())) {
            ranks.entry(prepare::rank(object.kind())).or_default().push(object);
        }
        let first = ranks.remove(&0).unwrap_or_default();
        self.write(&first, changes.force, reporter).await?;
        after_namespaces().await?;
        for objects in ranks.values() {
            self.write(objects, changes.force, reporter).await?;
        }
        for (key, _) in changes.items.iter().filter(|(_, change)| *change == Change::Remove) {
            reporter.message(format!("removing {key}"));
            match self.api(key).delete(&key.name, &DeleteParams::background()).await {
                Err(Error::Api(status)) if status.code == 404 => {}
                Err(error) => return Err(refused("remove", key, &error)),
                Ok(_) => {}
            }
        }
        Ok(())
    }

    /// Writes objects that do not depend on each other, at once.
    async fn write(&self, objects: &[&Object], force: bool, reporter: &StepReporter) -> Result<(), Failure> {
        let writes = objects.iter().map(|object| async move {
            reporter.message(format!("applying {}", object.key()));
            self.write_one(object, force).await
        });
        stream::iter(writes).buffer_unordered(limits::REQUESTS_AT_ONCE).try_collect::<()>().await
    }

    async fn write_one(&self, object: &Object, force: bool) -> Result<(), Failure> {
        let key = object.key();
        let mut object = object.clone();
        for attempt in 1.. {
            let Err(error) = self.send(&object, force, false).await else { return Ok(()) };
            let Some(fields) = conflicts(&error) else { return Err(refused("apply", &key, &error)) };
            let only_scaled = fields.iter().all(|field| field.starts_with(".spec.replicas "));
            if attempt == ATTEMPTS || !only_scaled {
                let fields = fields.into_iter().map(|field| format!("{key}: {field}")).collect();
                return Err(conflict(self.name(), fields));
            }
            let live = self.api(&key).get(&key.name).await.map_err(|error| refused("read", &key, &error))?;
            if let Some(replicas) = live.data.pointer("/spec/replicas") {
                object.value_mut()["spec"]["replicas"] = replicas.clone();
            }
        }
        unreachable!("the loop ends by its last attempt")
    }

    async fn send(&self, object: &Object, force: bool, dry_run: bool) -> Result<DynamicObject, Error> {
        let parameters = PatchParams {
            dry_run,
            force,
            field_manager: Some(FIELD_MANAGER.to_owned()),
            field_validation: Some(ValidationDirective::Strict),
        };
        self.api(&object.key()).patch(object.name(), &parameters, &Patch::Apply(object.value())).await
    }

    /// The objects as they are in the cluster, those that are there. `known` are some that have been read already.
    async fn live(
        &self,
        objects: &[Object],
        mut known: BTreeMap<Key, DynamicObject>,
    ) -> Result<BTreeMap<Key, DynamicObject>, Failure> {
        known.retain(|key, _| objects.iter().any(|object| object.key() == *key));
        let unknown = objects.iter().map(Object::key).filter(|key| !known.contains_key(key));
        let looks: Vec<_> = unknown
            .map(|key| async move {
                match self.api(&key).get_opt(&key.name).await {
                    Ok(live) => Ok(live.map(|live| (key, live))),
                    Err(error) => Err(refused("read", &key, &error)),
                }
            })
            .collect();
        let found: Vec<Option<_>> =
            stream::iter(looks).buffer_unordered(limits::REQUESTS_AT_ONCE).try_collect().await?;
        known.extend(found.into_iter().flatten());
        Ok(known)
    }

    /// What carries our mark in the cluster, of the kinds that are pruned: one request a kind, where one an object would be
    /// three times as many.
    async fn marked(&self, scope: &Scope) -> Result<BTreeMap<Key, DynamicObject>, Failure> {
        let selector = ListParams::default().labels(&format!("{}={}", scope.label.0, scope.label.1));
        let lists = PRUNED.iter().map(|(api_version, kind)| {
            let kind_of = |name: String| Key {
                api_version: (*api_version).to_owned(),
                kind: (*kind).to_owned(),
                namespace: Key::is_namespaced(kind).then(|| scope.namespace.clone()),
                name,
            };
            let selector = &selector;
            async move {
                let any = kind_of(String::new());
                match self.api(&any).list(selector).await {
                    Ok(list) => Ok(list
                        .items
                        .into_iter()
                        .filter_map(|mut object| {
                            // What every item of a list is stands once, above them.
                            let (api_version, kind) = ((*api_version).to_owned(), (*kind).to_owned());
                            object.types = Some(TypeMeta { api_version, kind });
                            Some((kind_of(object.metadata.name.clone()?), object))
                        })
                        .collect::<Vec<_>>()),
                    Err(Error::Api(status)) if status.code == 404 => Ok(Vec::new()),
                    Err(error) => Err(refused("list", format!("objects of kind {kind}"), &error)),
                }
            }
        });
        let found: Vec<Vec<_>> = stream::iter(lists).buffered(limits::REQUESTS_AT_ONCE).try_collect().await?;
        Ok(found.into_iter().flatten().collect())
    }
}

/// Of what is marked as ours: what we have applied and is no longer wanted.
fn gone(marked: &BTreeMap<Key, DynamicObject>, wanted: &[Object]) -> Vec<Key> {
    let wanted: BTreeSet<(String, Option<String>, String)> =
        wanted.iter().map(Object::key).map(identity).collect();
    let ours = marked.iter().filter(|(_, object)| is_applied_by_us(object)).map(|(key, _)| key);
    ours.filter(|key| !wanted.contains(&identity((*key).clone()))).cloned().collect()
}

/// A key without the API's version: the same object may be read by several.
fn identity(key: Key) -> (String, Option<String>, String) {
    (key.kind, key.namespace, key.name)
}

fn is_applied_by_us(object: &DynamicObject) -> bool {
    let managers = object.metadata.managed_fields.as_deref().unwrap_or_default();
    managers.iter().any(|fields| fields.manager.as_deref() == Some(FIELD_MANAGER))
}

fn value(object: &DynamicObject) -> Value {
    serde_json::to_value(object).expect("an object is JSON")
}

/// The fields that others have set, when that is what an error says: `.spec.replicas is set by kubectl`.
fn conflicts(error: &Error) -> Option<Vec<String>> {
    let Error::Api(status) = error else { return None };
    let causes = &status.details.as_ref()?.causes;
    let fields: Vec<String> = causes
        .iter()
        .filter(|cause| cause.reason == "FieldManagerConflict")
        .map(|cause| {
            // `conflict with "kubectl-edit" using apps/v1`
            let who = cause.message.split('"').nth(1).unwrap_or(&cause.message);
            format!("{} is set by {who}", cause.field)
        })
        .collect();
    (status.code == 409 && !fields.is_empty()).then_some(fields)
}

fn conflict(cluster: &str, fields: Vec<String>) -> Failure {
    let message = format!("somebody else has set in cluster {cluster} what the manifests set otherwise");
    Failure::new(Code::ApplyConflict, message)
        .details(fields)
        .hint("take it over into k8s/, or overwrite it with --force")
}
