//! The manifests' objects → the objects of one deployment: version, image, what is left out, and the annotations that make
//! pods new when what they are made from is. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use xtask::stack::hex;

use crate::kustomize::split_tag;
use crate::object::{Key, Object};

/// The label that says what an object is of.
const NAME_LABEL: &str = "app.kubernetes.io/name";

/// The annotation of a pod template with the digest of the ConfigMaps that the pods read.
pub const CONFIG_ANNOTATION: &str = "dev.homeport/config";

/// The annotation of a pod template with the digest of the images' contents, where a tag may mean another image later.
pub const IMAGES_ANNOTATION: &str = "dev.homeport/images";

/// The variable and the ConfigMap's key that hold the version.
const VERSION: &str = "APP_VERSION";

/// Leaves out what belongs to one part of the architecture. Returns how many objects that were.
pub fn leave_out(objects: &mut Vec<Object>, name: &str) -> usize {
    let before = objects.len();
    objects.retain(|object| object.label(NAME_LABEL) != Some(name));
    before - objects.len()
}

/// Replaces an image, whatever its tag, by `reference`.
pub fn set_image(objects: &mut [Object], name: &str, reference: &str) {
    for container in objects.iter_mut().flat_map(Object::containers_mut) {
        let is_it = container.get("image").and_then(Value::as_str).is_some_and(|it| split_tag(it).0 == name);
        if is_it {
            container["image"] = Value::from(reference);
        }
    }
}

/// Puts the version where the manifests have it: the ConfigMap `app-config`, or a container's own variable.
pub fn set_version(objects: &mut [Object], version: &str) {
    for object in objects {
        if object.kind() == "ConfigMap"
            && let Some(entry) = object.value_mut().pointer_mut(&format!("/data/{VERSION}"))
        {
            *entry = Value::from(version);
        }
        let variables = object.containers_mut().filter_map(|container| container.get_mut("env"));
        for variable in variables.filter_map(Value::as_array_mut).flatten() {
            if variable.get("name").and_then(Value::as_str) == Some(VERSION) {
                variable["value"] = Value::from(version);
            }
        }
    }
}

/// The images that the objects' pods need, each once.
pub fn images(objects: &[Object]) -> BTreeSet<String> {
    objects.iter().flat_map(Object::images).map(str::to_owned).collect()
}

/// Annotates every workload's pods with what they are made from: the ConfigMaps they refer to, and the contents of their
/// images as far as `contents` knows them (reference → identifier).
pub fn annotate(objects: &mut [Object], contents: &BTreeMap<String, String>) {
    let data: BTreeMap<String, serde_json::Map<String, Value>> = objects
        .iter()
        .filter(|object| object.kind() == "ConfigMap")
        .filter_map(|object| {
            let data = object.value().get("data").and_then(Value::as_object)?;
            Some((object.name().to_owned(), data.clone()))
        })
        .collect();
    for object in objects.iter_mut() {
        let Some(spec) = object.pod_spec() else { continue };
        // Sorted, so that equal data is equal text.
        let mut read = BTreeMap::new();
        for_each_reference(spec, &mut |name, key| {
            let entries = data.get(name).into_iter().flatten();
            let entries = entries.filter(|(own, _)| key.is_none_or(|key| key == own.as_str()));
            read.extend(entries.map(|(key, text)| (format!("{name}/{key}"), text)));
        });
        if !read.is_empty() {
            let text = serde_json::to_string(&read).expect("maps of texts are JSON");
            object.annotate_template(CONFIG_ANNOTATION, &digest(&text));
        }
        let contents: BTreeSet<&str> =
            object.images().filter_map(|image| contents.get(image)).map(String::as_str).collect();
        if !contents.is_empty() {
            let text: Vec<&str> = contents.into_iter().collect();
            object.annotate_template(IMAGES_ANNOTATION, &digest(&text.join("\n")));
        }
    }
}

/// Tells each ConfigMap that pods refer to: by name and key, or with no key where they see the whole of it.
fn for_each_reference<'a>(value: &'a Value, tell: &mut impl FnMut(&'a str, Option<&'a str>)) {
    match value {
        Value::Object(map) => {
            for (field, value) in map {
                let text = |name: &str| value.get(name).and_then(Value::as_str);
                match (field.as_str(), text("name")) {
                    ("configMap" | "configMapRef", Some(name)) => tell(name, None),
                    ("configMapKeyRef", Some(name)) => tell(name, text("key")),
                    _ => {}
                }
                for_each_reference(value, tell);
            }
        }
        Value::Array(list) => list.iter().for_each(|value| for_each_reference(value, tell)),
        _ => {}
    }
}

/// The first 16 bytes of a SHA-256: enough to tell two configurations apart, short enough to read.
fn digest(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes())[..16])
}

/// Puts a live number of replicas in the place of the manifests' where an autoscaler sets it: from the first deploy on
/// the number is the autoscaler's. `live` knows the numbers there are.
pub fn keep_scaled(objects: &mut [Object], live: &BTreeMap<Key, i64>) {
    for key in scaled(objects) {
        let Some(replicas) = live.get(&key) else { continue };
        for object in objects.iter_mut().filter(|object| object.key() == key) {
            object.value_mut()["spec"]["replicas"] = Value::from(*replicas);
        }
    }
}

/// Keeps what is known of the images' contents where nothing new is known and the images are those that run by name. A
/// deployment to a cluster that pulls its own images would otherwise replace every pod that `deploy-kind` made.
pub fn keep_contents(objects: &mut [Object], live: &BTreeMap<Key, Value>) {
    let path = format!("/spec/template/metadata/annotations/{}", IMAGES_ANNOTATION.replace('/', "~1"));
    for object in objects {
        let Some(live) = live.get(&object.key()) else { continue };
        let Some(known) = live.pointer(&path).and_then(Value::as_str) else { continue };
        let Ok(running) = Object::new(live.clone()) else { continue };
        if object.value().pointer(&path).is_none() && object.images().eq(running.images()) {
            object.annotate_template(IMAGES_ANNOTATION, known);
        }
    }
}

/// The workloads whose number of replicas an autoscaler among the objects sets.
pub fn scaled(objects: &[Object]) -> Vec<Key> {
    let targets: Vec<(Option<&str>, Option<&str>)> = objects
        .iter()
        .filter(|object| object.kind() == "HorizontalPodAutoscaler")
        .filter_map(|object| object.value().pointer("/spec/scaleTargetRef"))
        .map(|target| {
            (target.get("kind").and_then(Value::as_str), target.get("name").and_then(Value::as_str))
        })
        .collect();
    objects
        .iter()
        .filter(|object| targets.contains(&(Some(object.kind()), Some(object.name()))))
        .map(Object::key)
        .collect()
}

/// The order in which kinds are applied: what others live in or refer to comes first.
pub fn rank(kind: &str) -> u8 {
    match kind {
        "Namespace" | "CustomResourceDefinition" => 0,
        "PriorityClass" | "StorageClass" | "ServiceAccount" => 1,
        "Secret" => 2,
        "ConfigMap" | "Role" | "ClusterRole" => 3,
        "PersistentVolumeClaim" | "RoleBinding" | "ClusterRoleBinding" | "NetworkPolicy" => 4,
        "Service" => 5,
        "PodDisruptionBudget" => 7,
        "HorizontalPodAutoscaler" | "Ingress" | "APIService" => 8,
        // Workloads, and kinds that only their operator knows.
        _ => 6,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Object {
        Object::new(value).expect("an object")
    }

    fn workload(name: &str) -> Object {
        object(json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": name, "labels": {"app.kubernetes.io/name": name}},
            "spec": {"replicas": 3, "template": {"spec": {
                "initContainers": [{"name": "i", "image": "homeport/service:dev"}],
                "containers": [
                    {"name": "c", "image": "homeport/service:dev", "envFrom": [{"configMapRef": {"name": "m"}}],
                     "env": [{"name": "APP_VERSION", "value": "x"}]},
                    {"name": "d", "image": "homeport/service-other:dev"},
                ],
            }}},
        }))
    }

    fn map(name: &str, value: &str) -> Object {
        object(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name},
            "data": {"APP_VERSION": value}}))
    }

    fn annotations(objects: &[Object]) -> Value {
        objects[0].value().pointer("/spec/template/metadata/annotations").cloned().unwrap_or_default()
    }

    #[test]
    fn version_and_image_go_where_the_manifests_have_them() {
        let mut objects = vec![workload("w"), map("m", "dev")];
        set_image(&mut objects, "homeport/service", "homeport/service:1");
        set_version(&mut objects, "1");
        let expected = ["homeport/service-other:dev", "homeport/service:1"].map(str::to_owned);
        assert_eq!(images(&objects), BTreeSet::from(expected));
        assert_eq!(objects[1].value()["data"]["APP_VERSION"], "1");
        assert_eq!(
            objects[0].value().pointer("/spec/template/spec/containers/0/env/0/value"),
            Some(&json!("1"))
        );
    }

    #[test]
    fn pods_are_new_when_what_they_are_made_from_is() {
        let contents = BTreeMap::from([("homeport/service:dev".to_owned(), "sha256:a".to_owned())]);
        let annotated = |data: &str, other: &str, contents: &BTreeMap<String, String>| {
            let mut objects = vec![workload("w"), map("m", data), map("n", other)];
            annotate(&mut objects, contents);
            annotations(&objects)
        };
        let one = annotated("1", "1", &contents);
        assert_eq!(one, annotated("1", "2", &contents), "a ConfigMap that they do not read");
        assert_ne!(one, annotated("2", "1", &contents), "one that they read");
        let rebuilt = BTreeMap::from([("homeport/service:dev".to_owned(), "sha256:b".to_owned())]);
        assert_ne!(one, annotated("1", "1", &rebuilt), "another image of the same name");
        assert_eq!(one.as_object().map(serde_json::Map::len), Some(2));
        assert!(annotated("1", "1", &BTreeMap::new()).get(IMAGES_ANNOTATION).is_none());
    }

    #[test]
    fn who_reads_one_key_is_not_restarted_for_another() {
        let reader = object(json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "w"},
            "spec": {"template": {"spec": {"containers": [{"name": "c", "image": "i", "env": [
                {"name": "DB", "valueFrom": {"configMapKeyRef": {"name": "m", "key": "DB_NAME"}}},
            ]}]}}},
        }));
        let annotated = |database: &str, version: &str| {
            let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"},
                "data": {"DB_NAME": database, "APP_VERSION": version}});
            let mut objects = vec![reader.clone(), object(map)];
            annotate(&mut objects, &BTreeMap::new());
            annotations(&objects)
        };
        assert_eq!(annotated("app", "1"), annotated("app", "2"));
        assert_ne!(annotated("app", "1"), annotated("other", "1"));
    }

    #[test]
    fn the_autoscaler_s_number_is_kept() {
        let scaler = object(json!({
            "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "h"},
            "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "w"}},
        }));
        let mut objects = vec![workload("w"), workload("v"), scaler];
        assert_eq!(scaled(&objects), [objects[0].key()]);
        let live = BTreeMap::from([(objects[0].key(), 7), (objects[1].key(), 9)]);
        keep_scaled(&mut objects, &live);
        assert_eq!(objects[0].value()["spec"]["replicas"], 7);
        assert_eq!(objects[1].value()["spec"]["replicas"], 3);
    }

    #[test]
    fn contents_are_remembered_while_the_images_are_the_same() {
        let contents = BTreeMap::from([("homeport/service:dev".to_owned(), "sha256:a".to_owned())]);
        let mut deployed = vec![workload("w")];
        annotate(&mut deployed, &contents);
        let live = BTreeMap::from([(deployed[0].key(), deployed[0].value().clone())]);
        let mut same = vec![workload("w")];
        keep_contents(&mut same, &live);
        assert_eq!(same, deployed);
        let mut other = vec![workload("w")];
        set_image(&mut other, "homeport/service", "homeport/service:2");
        keep_contents(&mut other, &live);
        assert_eq!(annotations(&other), Value::Null);
    }

    #[test]
    fn a_part_is_left_out_by_its_name() {
        let mut objects = vec![workload("grafana"), workload("w"), map("m", "1")];
        assert_eq!(leave_out(&mut objects, "grafana"), 1);
        assert_eq!(objects.len(), 2);
    }

    #[test]
    fn what_is_referred_to_comes_first() {
        let order = [
            "Namespace",
            "PriorityClass",
            "Secret",
            "ConfigMap",
            "PersistentVolumeClaim",
            "Service",
            "Deployment",
        ];
        assert!(order.windows(2).all(|pair| rank(pair[0]) < rank(pair[1])));
        assert!(rank("Deployment") < rank("HorizontalPodAutoscaler"));
    }
}
