//! A directory with a `kustomization.yaml` → the objects it describes, as `kubectl kustomize` would print them. The subset
//! that is read is listed in `k8s/README.md`; anything else is an error that names file and key. Pure: files are read
//! through a closure.
//!
//! A test compares the result with kubectl's own (`xtask/cluster/tests/kustomize_differential.rs`).

mod file;
mod merge;

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use serde_json::{Map, Value, json};

use crate::object::{Key, NotAnObject, Object};
use file::{Generator, ImageChange, Kustomization};

/// The name of the file that makes a directory a kustomization.
const FILE: &str = "kustomization.yaml";

/// Directories within directories: four times what `k8s/` has. It stops a directory that names itself.
const MAX_DEPTH: usize = 16;

/// Why a directory cannot be read as objects.
#[derive(Debug, thiserror::Error)]
pub enum KustomizeError {
    /// A file cannot be read.
    #[error("cannot read {}: {reason}", .file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// A file is no YAML.
    #[error("{}: {reason}", .file.display())]
    Yaml {
        /// The file.
        file: PathBuf,
        /// What the parser said, with the line.
        reason: String,
    },
    /// A kustomization says something that is wrong or not supported.
    #[error("{}: {key}: {reason}", .file.display())]
    Kustomization {
        /// The file.
        file: PathBuf,
        /// The key.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A document is no object.
    #[error("{}: {source}", .file.display())]
    Object {
        /// The file.
        file: PathBuf,
        /// What it lacks.
        source: NotAnObject,
    },
}

/// Reads files: the file system, or a test's table.
pub type ReadFile<'a> = &'a dyn Fn(&Path) -> Result<String, String>;

/// The objects of a kustomization, in the order of its files.
///
/// # Errors
/// When a file is missing or wrong, or says something that is not supported.
pub fn build(directory: &Path, read: ReadFile<'_>) -> Result<Vec<Object>, KustomizeError> {
    build_at(&tidy(directory), read, MAX_DEPTH)
}

fn build_at(directory: &Path, read: ReadFile<'_>, depth: usize) -> Result<Vec<Object>, KustomizeError> {
    let path = directory.join(FILE);
    let kustomization = Kustomization::parse(&path, &text(&path, read)?)?;
    let fault = |key: &str, reason: String| KustomizeError::Kustomization {
        file: path.clone(),
        key: key.to_owned(),
        reason,
    };
    if depth == 0 {
        return Err(fault("resources", format!("more than {MAX_DEPTH} directories deep")));
    }
    let mut objects = Vec::new();
    let sources = kustomization.resources.iter().map(|path| (path, false));
    for (resource, component) in sources.chain(kustomization.components.iter().map(|path| (path, true))) {
        let place = tidy(&directory.join(resource));
        let is_file = resource.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
        match (is_file, component) {
            (true, false) => objects.extend(documents(&place, read)?),
            (true, true) => {
                return Err(fault("components", format!("{} is no directory", resource.display())));
            }
            (false, _) => objects.extend(build_at(&place, read, depth - 1)?),
        }
    }
    for generator in &kustomization.config_maps {
        objects.push(generate(directory, generator, read)?);
    }
    refuse_twins(&objects).map_err(|reason| fault("resources", reason))?;
    for patch in &kustomization.patches {
        let place = tidy(&directory.join(patch));
        for document in documents(&place, read)? {
            apply(&mut objects, &document)
                .map_err(|reason| KustomizeError::Yaml { file: place.clone(), reason })?;
        }
    }
    for object in &mut objects {
        if let Some(namespace) = &kustomization.namespace
            && Key::is_namespaced(object.kind())
        {
            object.set_namespace(namespace);
        }
        for (key, value) in &kustomization.labels {
            object.set_label(key, value);
        }
        set_images(object, &kustomization.images);
    }
    Ok(objects)
}

fn text(path: &Path, read: ReadFile<'_>) -> Result<String, KustomizeError> {
    read(path).map_err(|reason| KustomizeError::File { file: path.to_owned(), reason })
}

fn documents(path: &Path, read: ReadFile<'_>) -> Result<Vec<Object>, KustomizeError> {
    let yaml: Vec<Value> = serde_saphyr::from_multiple(&text(path, read)?)
        .map_err(|error| KustomizeError::Yaml { file: path.to_owned(), reason: error.to_string() })?;
    yaml.into_iter()
        .filter(|document| !document.is_null())
        .map(|document| {
            Object::new(document).map_err(|source| KustomizeError::Object { file: path.to_owned(), source })
        })
        .collect()
}

fn generate(directory: &Path, generator: &Generator, read: ReadFile<'_>) -> Result<Object, KustomizeError> {
    let mut data = Map::new();
    for file in &generator.files {
        let (key, path) = if let Some((key, path)) = file.split_once('=') {
            (key.to_owned(), Path::new(path))
        } else {
            let path = Path::new(file);
            (path.file_name().unwrap_or_default().to_string_lossy().into_owned(), path)
        };
        data.insert(key, Value::from(text(&tidy(&directory.join(path)), read)?));
    }
    let mut metadata = json!({"name": generator.name});
    if !generator.options.labels.is_empty() {
        metadata["labels"] = json!(generator.options.labels);
    }
    let document = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data});
    Object::new(document).map_err(|source| KustomizeError::Object { file: directory.join(FILE), source })
}

/// Two objects of one identity would overwrite each other.
fn refuse_twins(objects: &[Object]) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    match objects.iter().map(Object::key).find(|key| !seen.insert(key.clone())) {
        Some(twin) => Err(format!("{twin} is there twice")),
        None => Ok(()),
    }
}

/// Lays a patch over the one object of its kind and name.
fn apply(objects: &mut [Object], patch: &Object) -> Result<(), String> {
    let (kind, name) = (patch.kind(), patch.name());
    let group = patch.key().group().to_owned();
    let same = |object: &&mut Object| {
        object.kind() == kind && object.name() == name && object.key().group() == group
    };
    let target = objects.iter_mut().find(same);
    let target = target.ok_or_else(|| format!("no {kind} {name} to patch"))?;
    merge::merge(target.value_mut(), patch.value()).map_err(|why| format!("{kind} {name}: {why}"))
}

fn set_images(object: &mut Object, changes: &[ImageChange]) {
    for container in object.containers_mut() {
        let Some(image) = container.get("image").and_then(Value::as_str) else { continue };
        let (name, _) = split_tag(image);
        let Some(change) = changes.iter().find(|change| change.name == name) else { continue };
        let rest = &image[name.len()..];
        let name = change.new_name.as_deref().unwrap_or(name);
        let reference = match change.new_tag.as_deref() {
            Some(tag) => format!("{name}:{tag}"),
            None => format!("{name}{rest}"),
        };
        container["image"] = Value::from(reference);
    }
}

/// The name and the tag of an image reference, without its digest.
pub fn split_tag(reference: &str) -> (&str, Option<&str>) {
    let reference = reference.split_once('@').map_or(reference, |(before, _)| before);
    match reference.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (reference, None),
    }
}

/// A path without `.` and `..`, so that one file has one name in messages and tables.
fn tidy(path: &Path) -> PathBuf {
    let mut tidied = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir if tidied.file_name().is_some() => {
                tidied.pop();
            }
            other => tidied.push(other),
        }
    }
    tidied
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_split_and_keeps_its_digest() {
        let digest = format!("@sha256:{}", "0".repeat(64));
        let table = [
            ("host:5000/app", "host:5000/app", None),
            ("host:5000/app:1", "host:5000/app", Some("1")),
            (&format!("host:5000/app{digest}"), "host:5000/app", None),
            (&format!("host:5000/app:1{digest}"), "host:5000/app", Some("1")),
        ];
        for (image, name, tag) in table {
            assert_eq!(split_tag(image), (name, tag), "{image}");
        }
        let renamed = |image: &str, new_tag: Option<&str>| {
            let document = serde_json::json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"},
                "spec": {"template": {"spec": {"containers": [{"name": "c", "image": image}]}}}});
            let mut object = Object::new(document).expect("an object");
            let change = ImageChange {
                name: "host:5000/app".to_owned(),
                new_name: Some("other".to_owned()),
                new_tag: new_tag.map(str::to_owned),
            };
            set_images(&mut object, &[change]);
            object.images().next().expect("one").to_owned()
        };
        assert_eq!(renamed(&format!("host:5000/app:1{digest}"), None), format!("other:1{digest}"));
        assert_eq!(renamed(&format!("host:5000/app:1{digest}"), Some("2")), "other:2");
    }

    fn build_table(files: &[(&str, &str)]) -> Result<Vec<Object>, KustomizeError> {
        build(Path::new("top"), &|path: &Path| {
            files
                .iter()
                .find(|(name, _)| Path::new(name) == path)
                .map(|(_, text)| (*text).to_owned())
                .ok_or_else(|| "not found".to_owned())
        })
    }

    const SERVICE: &str = "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {ports: [{port: 1}]}\n";

    #[test]
    fn an_overlay_adds_changes_and_labels() {
        let objects = build_table(&[
            (
                "top/kustomization.yaml",
                "namespace: ns\nlabels: [{pairs: {p: homeport}}]\nresources: [../base]\ncomponents: [../c]\n\
                 images: [{name: x/y, newTag: \"2\"}]\npatches: [{path: p.yaml}]\n",
            ),
            ("top/p.yaml", "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {type: NodePort}\n"),
            (
                "base/kustomization.yaml",
                "resources: [a.yaml]\ngeneratorOptions: {disableNameSuffixHash: true}\n\
                 configMapGenerator: [{name: m, files: [f/one.txt, two=f/2.txt], options: {labels: {l: v}}}]\n",
            ),
            ("base/a.yaml", &format!("{SERVICE}---\napiVersion: v1\nkind: Namespace\nmetadata: {{name: ns}}\n")),
            ("base/f/one.txt", "1\n"),
            ("base/f/2.txt", "2"),
            ("c/kustomization.yaml", "kind: Component\nresources: [d.yaml]\n"),
            (
                "c/d.yaml",
                "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\n\
                 spec: {template: {spec: {containers: [{name: c, image: 'x/y:1'}, {name: e, image: z}]}}}\n",
            ),
        ])
        .expect("it builds");
        let expected = json!([
            {"apiVersion": "v1", "kind": "Service",
             "metadata": {"name": "a", "namespace": "ns", "labels": {"p": "homeport"}},
             "spec": {"ports": [{"port": 1}], "type": "NodePort"}},
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "ns", "labels": {"p": "homeport"}}},
            {"apiVersion": "v1", "kind": "ConfigMap",
             "metadata": {"name": "m", "namespace": "ns", "labels": {"l": "v", "p": "homeport"}},
             "data": {"one.txt": "1\n", "two": "2"}},
            {"apiVersion": "apps/v1", "kind": "Deployment",
             "metadata": {"name": "d", "namespace": "ns", "labels": {"p": "homeport"}},
             "spec": {"template": {"spec": {"containers": [
                {"name": "c", "image": "x/y:2"}, {"name": "e", "image": "z"}]}}}},
        ]);
        assert_eq!(serde_json::to_value(objects).expect("JSON"), expected);
    }

    #[test]
    fn a_patch_changes_the_object_of_its_kind_and_name_alone() {
        let object = |api: &str, kind: &str, name: &str| {
            format!("apiVersion: {api}\nkind: {kind}\nmetadata: {{name: {name}}}\n")
        };
        let others = [("v1", "Service", "b"), ("v1", "ConfigMap", "a"), ("example.org/v1", "Service", "a")];
        let others = others.map(|(api, kind, name)| object(api, kind, name)).join("---\n");
        let objects = build_table(&[
            (
                "top/kustomization.yaml",
                "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [../v1.2, ../base]\n\
                 patches: [{path: p.yml}]\n",
            ),
            ("top/p.yml", &format!("{}spec: {{type: NodePort}}\n", object("v1", "Service", "a"))),
            ("v1.2/kustomization.yaml", "resources: [others.yml]\n"),
            ("v1.2/others.yml", &others),
            ("base/kustomization.yaml", "resources: [a.yaml]\n"),
            ("base/a.yaml", SERVICE),
        ])
        .expect("it builds");
        let changed: Vec<bool> =
            objects.iter().map(|object| object.value()["spec"]["type"] == "NodePort").collect();
        assert_eq!(changed, [false, false, false, true]);
    }

    #[test]
    fn a_path_has_one_name() {
        for (path, name) in [("a/./b", "a/b"), ("a/../b", "b"), ("../a", "../a"), ("a/../../b", "../b")] {
            assert_eq!(tidy(Path::new(path)), Path::new(name), "{path}");
        }
    }

    #[test]
    fn faults_name_their_file() {
        type Files<'a> = &'a [(&'a str, &'a str)];
        let table: [(Files<'_>, &str); 5] = [
            (&[], "cannot read top/kustomization.yaml: not found"),
            (
                &[("top/kustomization.yaml", "resources: [a.yaml]"), ("top/a.yaml", "kind: X")],
                "top/a.yaml: expected a Kubernetes object, found one without apiVersion",
            ),
            (
                &[
                    ("top/kustomization.yaml", "resources: [a.yaml, b.yaml]"),
                    ("top/a.yaml", SERVICE),
                    ("top/b.yaml", SERVICE),
                ],
                "top/kustomization.yaml: resources: service/a is there twice",
            ),
            (
                &[
                    ("top/kustomization.yaml", "resources: []\npatches: [{path: a.yaml}]"),
                    ("top/a.yaml", SERVICE),
                ],
                "top/a.yaml: no Service a to patch",
            ),
            (
                &[("top/kustomization.yaml", "resources: [../top]")],
                "top/kustomization.yaml: resources: more than 16 directories deep",
            ),
        ];
        for (files, expected) in table {
            assert_eq!(build_table(files).expect_err(expected).to_string(), expected);
        }
    }
}
