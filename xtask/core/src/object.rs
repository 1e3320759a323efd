//! A Kubernetes object as the manifests write it: a tree of JSON, and the four words that identify it. Pure.
//!
//! Must not: know what any kind means, apart from whether it lives in a namespace and what its pods are made from.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Kinds that live in no namespace, of those that manifests hold (Kubernetes API reference 1.34). What is not listed is
/// taken to live in one, as Kustomize does for kinds it does not know.
const CLUSTER_SCOPED: &[&str] = &[
    "APIService",
    "CSIDriver",
    "ClusterRole",
    "ClusterRoleBinding",
    "CustomResourceDefinition",
    "IngressClass",
    "MutatingWebhookConfiguration",
    "Namespace",
    "Node",
    "PersistentVolume",
    "PriorityClass",
    "RuntimeClass",
    "StorageClass",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
    "ValidatingWebhookConfiguration",
];

/// What identifies an object in a cluster.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// `apps/v1`
    pub api_version: String,
    /// `Deployment`
    pub kind: String,
    /// `None` for a kind that lives in no namespace.
    pub namespace: Option<String>,
    /// `hello-deployment`
    pub name: String,
}

impl Key {
    /// The API's group: `apps`; empty for the core.
    pub fn group(&self) -> &str {
        self.api_version.split_once('/').map_or("", |(group, _)| group)
    }

    /// Whether the kind lives in a namespace.
    pub fn is_namespaced(kind: &str) -> bool {
        !CLUSTER_SCOPED.contains(&kind)
    }
}

impl fmt::Display for Key {
    /// As kubectl names it: `deployment.apps/hello-deployment`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, group) = (self.kind.to_lowercase(), self.group());
        if group.is_empty() {
            write!(f, "{kind}/{}", self.name)
        } else {
            write!(f, "{kind}.{group}/{}", self.name)
        }
    }
}

/// A Kubernetes object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Object(Value);

/// Why a document is no Kubernetes object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a Kubernetes object, found one without {0}")]
pub struct NotAnObject(&'static str);

impl Object {
    /// Takes a document for an object.
    ///
    /// # Errors
    /// When it lacks what every object has: `apiVersion`, `kind`, `metadata.name`.
    pub fn new(document: Value) -> Result<Self, NotAnObject> {
        let text = |pointer| document.pointer(pointer).and_then(Value::as_str).is_some_and(|t| !t.is_empty());
        for (pointer, name) in
            [("/apiVersion", "apiVersion"), ("/kind", "kind"), ("/metadata/name", "metadata.name")]
        {
            if !text(pointer) {
                return Err(NotAnObject(name));
            }
        }
        Ok(Self(document))
    }

    /// The document.
    pub fn value(&self) -> &Value {
        &self.0
    }

    /// The document, to be changed. What identifies it must stay.
    pub fn value_mut(&mut self) -> &mut Value {
        &mut self.0
    }

    /// The document itself.
    pub fn into_value(self) -> Value {
        self.0
    }

    fn text(&self, pointer: &str) -> &str {
        self.0.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    /// `Deployment`
    pub fn kind(&self) -> &str {
        self.text("/kind")
    }

    /// `hello-deployment`
    pub fn name(&self) -> &str {
        self.text("/metadata/name")
    }

    /// What identifies it.
    pub fn key(&self) -> Key {
        let namespace = self.0.pointer("/metadata/namespace").and_then(Value::as_str);
        Key {
            api_version: self.text("/apiVersion").to_owned(),
            kind: self.kind().to_owned(),
            namespace: namespace.filter(|_| Key::is_namespaced(self.kind())).map(str::to_owned),
            name: self.name().to_owned(),
        }
    }

    /// One label of the object.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.0.pointer("/metadata/labels")?.get(key)?.as_str()
    }

    /// Sets a label of the object.
    pub fn set_label(&mut self, key: &str, value: &str) {
        map_at(&mut self.0, &["metadata", "labels"]).insert(key.to_owned(), Value::from(value));
    }

    /// Puts the object into a namespace.
    pub fn set_namespace(&mut self, namespace: &str) {
        map_at(&mut self.0, &["metadata"]).insert("namespace".to_owned(), Value::from(namespace));
    }

    /// Sets an annotation on the template of a workload's pods, so that another value means other pods.
    pub fn annotate_template(&mut self, key: &str, value: &str) {
        map_at(&mut self.0, &["spec", "template", "metadata", "annotations"])
            .insert(key.to_owned(), Value::from(value));
    }

    /// What a workload's pods are made from, when the object is a workload.
    pub fn pod_spec(&self) -> Option<&Value> {
        self.0.pointer("/spec/template/spec")
    }

    /// The containers of a workload's pods, those that initialise first.
    pub fn containers(&self) -> impl Iterator<Item = &Value> {
        let lists = ["initContainers", "containers"].into_iter();
        lists.filter_map(|list| self.pod_spec()?.get(list)?.as_array()).flatten()
    }

    /// The containers, to be changed.
    pub fn containers_mut(&mut self) -> impl Iterator<Item = &mut Value> {
        let spec = self.0.pointer_mut("/spec/template/spec").and_then(Value::as_object_mut);
        spec.into_iter()
            .flat_map(|spec| spec.iter_mut())
            .filter(|(key, _)| *key == "initContainers" || *key == "containers")
            .filter_map(|(_, list)| list.as_array_mut())
            .flatten()
    }

    /// The images of a workload's containers.
    pub fn images(&self) -> impl Iterator<Item = &str> {
        self.containers().filter_map(|container| container.get("image")?.as_str())
    }
}

/// The map at a path, made where it is missing.
fn map_at<'a>(value: &'a mut Value, path: &[&str]) -> &'a mut Map<String, Value> {
    let mut place = value;
    for step in path {
        if !place.is_object() {
            *place = Value::Object(Map::new());
        }
        place = place.as_object_mut().expect("made above").entry(*step).or_insert(Value::Null);
    }
    if !place.is_object() {
        *place = Value::Object(Map::new());
    }
    place.as_object_mut().expect("made above")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_are_written_as_kubectl_writes_them() {
        let table = [
            (json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}}), "service/a"),
            (
                json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "b"}}),
                "deployment.apps/b",
            ),
        ];
        for (document, expected) in table {
            assert_eq!(Object::new(document).expect("an object").key().to_string(), expected);
        }
    }

    #[test]
    fn an_object_is_put_into_a_namespace_and_labelled() {
        let document = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}});
        let mut object = Object::new(document).expect("an object");
        object.set_namespace("shop");
        object.set_label("app", "web");
        let metadata = json!({"name": "a", "namespace": "shop", "labels": {"app": "web"}});
        assert_eq!(object.value()["metadata"], metadata);
        assert_eq!(object.key().namespace.as_deref(), Some("shop"));
        object.value_mut()["kind"] = json!("Namespace");
        assert_eq!(object.key().namespace, None, "it lives in none");
        assert!(Key::is_namespaced("Service") && !Key::is_namespaced("Node"));
    }

    #[test]
    fn the_containers_of_a_workload_are_all_that_it_runs() {
        let container = |name: &str| json!({"name": name, "image": format!("{name}:1")});
        let spec = json!({
            "initContainers": [container("first")], "containers": [container("one"), container("two")],
            "volumes": [container("none")],
        });
        let document = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"},
            "spec": {"template": {"spec": spec}}});
        let mut object = Object::new(document).expect("an object");
        assert_eq!(object.pod_spec(), Some(&spec));
        assert_eq!(object.images().collect::<Vec<_>>(), ["first:1", "one:1", "two:1"]);
        object.containers_mut().for_each(|container| container["image"] = json!("other:2"));
        assert_eq!(object.images().collect::<Vec<_>>(), ["other:2"; 3]);
        assert_eq!(object.value()["spec"]["template"]["spec"]["volumes"], spec["volumes"]);
    }

    #[test]
    fn what_lacks_an_identity_is_refused() {
        let document = json!({"apiVersion": "v1", "kind": "Service", "metadata": {}});
        let error = Object::new(document).expect_err("no name");
        assert_eq!(error.to_string(), "expected a Kubernetes object, found one without metadata.name");
    }

    #[test]
    fn an_annotation_goes_to_the_pods_and_nothing_else_changes() {
        let before = json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "b", "labels": {"app": "hello"}},
        });
        let mut object = Object::new(before.clone()).expect("an object");
        assert_eq!((object.label("app"), object.label("other")), (Some("hello"), None));
        object.annotate_template("config", "1");
        object.annotate_template("image", "2");
        let mut expected = before;
        expected["spec"]["template"]["metadata"]["annotations"] = json!({"config": "1", "image": "2"});
        assert_eq!(object.into_value(), expected);
    }
}
