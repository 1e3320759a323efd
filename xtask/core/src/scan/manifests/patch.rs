//! What a patch amounts to: the document that an operation (RFC 6902) would set, and the rules that one takes away.
//!
//! Must not: know the rules themselves, apart from where they stand.

use serde_json::{Value, json};

/// What holds a pod to the rules. A patch that removes one of these loosens it, whatever the rest says.
const HOLDING: [&str; 13] = [
    "securityContext",
    "runAsNonRoot",
    "runAsUser",
    "allowPrivilegeEscalation",
    "readOnlyRootFilesystem",
    "capabilities",
    "drop",
    "seccompProfile",
    "resources",
    "limits",
    "cpu",
    "memory",
    "automountServiceAccountToken",
];

/// The label that has a namespace's pods held to a level.
const ENFORCE: &str = "pod-security.kubernetes.io/enforce";

/// Whether a document is a list of operations.
pub(super) fn is_operations(document: &Value) -> bool {
    document.as_array().is_some_and(|items| items.iter().all(|item| item["op"].is_string()))
}

/// The document that an operation's value amounts to, as the merge of it would be written.
pub(super) fn amounts_to(operation: &Value, target: &Value) -> Value {
    let nested = keys(operation).into_iter().rev().fold(operation["value"].clone(), |value, key| {
        let is_place = key == "-" || (!key.is_empty() && key.bytes().all(|byte| byte.is_ascii_digit()));
        if is_place { json!([value]) } else { json!({ key: value }) }
    });
    let mut document = if nested.is_object() { nested } else { json!({}) };
    // A kustomization's target says what it is; a namespace's level is only looked at when a patch is about it.
    let is_of_labels = document["metadata"]["labels"].get(ENFORCE).is_some();
    if target["kind"] != "Namespace" || is_of_labels {
        document["kind"] = target["kind"].clone();
    }
    if document["metadata"].is_null() {
        document["metadata"] = json!({});
    }
    if document["metadata"].is_object() {
        document["metadata"]["name"] = target["name"].clone();
    }
    document
}

/// The path that an operation removes, when a rule stands there.
pub(super) fn taken_away(operation: &Value) -> Option<&str> {
    let removes = match operation["op"].as_str() {
        Some("remove" | "move") => true,
        Some("replace" | "add") => operation["value"].is_null(),
        _ => false,
    };
    let key = if operation["op"] == "move" { "from" } else { "path" };
    let path = operation[key].as_str()?;
    let keys = split(path);
    let last = keys.iter().rev().find(|key| !key.bytes().all(|byte| byte.is_ascii_digit()))?;
    (removes && (HOLDING.contains(&last.as_str()) || last == ENFORCE)).then_some(path)
}

/// The rules that a merge takes away: set to nothing, or deleted by directive (Kustomize, "Strategic Merge").
pub(super) fn emptied(value: &Value) -> Vec<&str> {
    match value {
        Value::Object(entries) => {
            let mut found = Vec::new();
            for (key, value) in entries {
                let is_gone = value.is_null() || value["$patch"] == "delete";
                if HOLDING.contains(&key.as_str()) && is_gone {
                    found.push(key.as_str());
                } else {
                    found.extend(emptied(value));
                }
            }
            found
        }
        Value::Array(items) => items.iter().flat_map(emptied).collect(),
        _ => Vec::new(),
    }
}

fn keys(operation: &Value) -> Vec<String> {
    split(operation["path"].as_str().unwrap_or_default())
}

/// The keys of a JSON pointer (RFC 6901, section 4).
fn split(path: &str) -> Vec<String> {
    let keys = path.trim_start_matches('/').split('/');
    keys.map(|key| key.replace("~1", "/").replace("~0", "~")).collect()
}
