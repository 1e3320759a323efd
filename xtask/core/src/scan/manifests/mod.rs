//! Kubernetes manifests held to the security rules of the architecture: unprivileged pods (Pod Security Standards,
//! "Restricted"), nothing of the host, bounded resources, no secret in a file, no right over the whole cluster.
//!
//! Must not: read files, or know what a kustomization makes of them: what one makes is held to the same rules, as a text
//! of its own.

mod access;
mod patch;
mod pod;
#[cfg(test)]
mod tests;

use serde_json::Value;

use super::Finding;

/// The parts of a name that say that its value is secret.
const SECRET: [&str; 6] = ["PASSWORD", "PASSWD", "SECRET", "TOKEN", "API_KEY", "PRIVATE_KEY"];

/// Holds the documents of one file, YAML or JSON, to the rules. A patch, whose pod has no `containers` with an image, is
/// held to what it must not set or take away only.
///
/// # Errors
/// When the text is not YAML, in the parser's words.
pub fn manifests(path: &str, text: &str) -> Result<Vec<Finding>, String> {
    let mut found = Vec::new();
    for document in &documents(text)? {
        // A file may be a patch in operations (RFC 6902), which only a kustomization's `target` gives a name to.
        if patch::is_operations(document) {
            found.extend(of_patch(path, document, &Value::Null));
            continue;
        }
        found.extend(manifest(path, document));
        if is_kustomization(path, document) {
            found.extend(kustomization(path, document)?);
        }
    }
    Ok(found)
}

fn documents(text: &str) -> Result<Vec<Value>, String> {
    // `n` and `on` are names, as Kubernetes reads them.
    let options = serde_saphyr::options! { strict_booleans: true, with_snippet: false };
    serde_saphyr::from_multiple_with_options(text, options).map_err(|error| error.to_string())
}

/// The kind may be left out where the file's name says it (Kustomize reference, `kustomization.yaml`).
fn is_kustomization(path: &str, document: &Value) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    matches!(document["kind"].as_str(), Some("Kustomization" | "Component"))
        || matches!(name, "kustomization.yaml" | "kustomization.yml" | "Kustomization")
}

/// What a kustomization itself must not do: make secrets of what git holds, take images without a version, loosen.
fn kustomization(path: &str, document: &Value) -> Result<Vec<Finding>, String> {
    let mut found = Vec::new();
    for generator in list(&document["secretGenerator"]) {
        let name = generator["name"].as_str().unwrap_or("?");
        for source in ["literals", "files", "envs", "env"] {
            if !generator[source].is_null() {
                let message = format!(
                    "makes the Secret {name} of {source} in the repository; secrets are made at the first deploy"
                );
                found.push(Finding::new(path, message));
            }
        }
    }
    for image in list(&document["images"]) {
        let name = image["name"].as_str().unwrap_or("?");
        let tag = image["newTag"].as_str();
        if tag.is_some_and(|tag| tag.is_empty() || tag == "latest") && image["digest"].is_null() {
            found.push(Finding::new(path, format!("its image {name} gets a tag that names no version")));
        }
    }
    // It may hold its patches in itself.
    for key in ["patches", "patchesJson6902"] {
        for patch in list(&document[key]) {
            let Some(text) = patch["patch"].as_str() else { continue };
            for written in &documents(text)? {
                found.extend(of_patch(&format!("{path}: patch"), written, &patch["target"]));
            }
        }
    }
    for text in
        list(&document["patchesStrategicMerge"]).filter_map(Value::as_str).filter(|text| text.contains('\n'))
    {
        for written in &documents(text)? {
            found.extend(manifest(&format!("{path}: patch"), written));
        }
    }
    Ok(found)
}

/// A patch: a document, or operations on the target.
fn of_patch(place: &str, patch: &Value, target: &Value) -> Vec<Finding> {
    if !patch::is_operations(patch) {
        return manifest(place, patch);
    }
    let mut found = Vec::new();
    for operation in list(patch) {
        match patch::taken_away(operation) {
            Some(rule) => found.push(Finding::new(place, format!("takes away {rule}"))),
            None => found.extend(manifest(place, &patch::amounts_to(operation, target))),
        }
    }
    found
}

fn manifest(path: &str, document: &Value) -> Vec<Finding> {
    let kind = document["kind"].as_str().unwrap_or_default();
    if kind.ends_with("List") {
        return list(&document["items"]).flat_map(|item| manifest(path, item)).collect();
    }
    let name = document["metadata"]["name"].as_str().unwrap_or_default();
    let place = match [kind, name].join(" ").trim() {
        "" => path.to_owned(),
        told => format!("{path}: {told}"),
    };
    let mut found = Vec::new();
    let has = |key: &str| document[key].as_object().is_some_and(|entries| !entries.is_empty());
    if kind == "Secret" && (has("data") || has("stringData")) {
        found.push(Finding::new(&place, "holds secret data; secrets are made at the first deploy"));
    }
    if kind == "ConfigMap" {
        for (key, _) in document["data"].as_object().into_iter().flatten().filter(|(_, value)| **value != "")
        {
            if is_secret(key) {
                found.push(Finding::new(&place, format!("has a value for {key}, expected a Secret")));
            }
        }
    }
    if kind == "Namespace" {
        let level = &document["metadata"]["labels"]["pod-security.kubernetes.io/enforce"];
        if level != "restricted" {
            found.push(Finding::new(&place, "does not enforce the Pod Security level restricted"));
        }
    }
    found.extend(access::access(&place, kind, document));
    let pod = match kind {
        "Pod" => &document["spec"],
        "CronJob" => &document["spec"]["jobTemplate"]["spec"]["template"]["spec"],
        "PodTemplate" => &document["template"]["spec"],
        _ => &document["spec"]["template"]["spec"],
    };
    if pod.is_object() {
        found.extend(pod::of_pod(&place, pod));
        found.extend(
            patch::emptied(pod).into_iter().map(|key| Finding::new(&place, format!("takes away {key}"))),
        );
    }
    found
}

/// Whether a name says that its value is secret: the name of a file with one, or of a Secret, does not.
fn is_secret(name: &str) -> bool {
    let name = name.to_uppercase().replace(['-', '.'], "_");
    let points_at_it = ["_FILE", "_NAME", "_PATH", "_REF"].iter().any(|end| name.ends_with(end));
    !points_at_it && SECRET.iter().any(|part| name.ends_with(part))
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}
