//! Two states of an object → the lines that differ, as `--dry-run` shows them. Pure.

use serde_json::Value;

/// What the API server writes itself and nobody deploys.
const SERVERS_OWN: [&str; 6] =
    ["managedFields", "resourceVersion", "generation", "uid", "creationTimestamp", "selfLink"];

/// The annotation by which a controller counts a Deployment's revisions.
const CONTROLLERS_OWN: &str = "deployment.kubernetes.io/revision";

/// The lines that differ from `before` to `after`: `-` was, `+` will be, each with its path. What only the server writes
/// is left out, and so is `status`.
pub fn lines(before: &Value, after: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    compare(&bare(before), &bare(after), "", &mut lines);
    lines
}

/// An object without what the server and controllers add.
fn bare(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(top) = object.as_object_mut() {
        top.remove("status");
    }
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        for key in SERVERS_OWN {
            metadata.remove(key);
        }
        if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
            annotations.remove(CONTROLLERS_OWN);
        }
    }
    object
}

fn compare(before: &Value, after: &Value, path: &str, lines: &mut Vec<String>) {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => {
            for (key, was) in before {
                compare(was, after.get(key).unwrap_or(&Value::Null), &format!("{path}.{key}"), lines);
            }
            for (key, is) in after.iter().filter(|(key, _)| !before.contains_key(*key)) {
                compare(&Value::Null, is, &format!("{path}.{key}"), lines);
            }
        }
        (Value::Array(before), Value::Array(after)) => {
            for index in 0..before.len().max(after.len()) {
                let name = after.get(index).or_else(|| before.get(index)).and_then(|item| item.get("name"));
                let name = name.and_then(Value::as_str).map_or_else(|| index.to_string(), str::to_owned);
                let was = before.get(index).unwrap_or(&Value::Null);
                let is = after.get(index).unwrap_or(&Value::Null);
                compare(was, is, &format!("{path}[{name}]"), lines);
            }
        }
        (before, after) if before == after => {}
        (before, after) => {
            lines.extend(shown(before).map(|value| format!("- {path}: {value}")));
            lines.extend(shown(after).map(|value| format!("+ {path}: {value}")));
        }
    }
}

/// Characters of a value that are shown: a line of a wide terminal.
const SHOWN: usize = 160;

/// A value on one line; `None` for nothing.
fn shown(value: &Value) -> Option<String> {
    if value.is_null() {
        return None;
    }
    let text = value.to_string();
    let mut cut: String = text.chars().take(SHOWN).collect();
    if cut.len() < text.len() {
        cut.push('…');
    }
    Some(cut)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_somebody_deploys_is_compared() {
        let before = json!({
            "metadata": {"name": "a", "resourceVersion": "1", "generation": 1,
                "annotations": {"deployment.kubernetes.io/revision": "1"}},
            "spec": {"replicas": 3, "old": true, "c": [{"name": "x", "image": "i:1"}]},
            "status": {"ready": 1},
        });
        let after = json!({
            "metadata": {"name": "a", "resourceVersion": "2", "labels": {"l": "v"}, "annotations": {}},
            "spec": {"replicas": 4, "c": [{"name": "x", "image": "i:2"}]},
        });
        assert_eq!(
            lines(&before, &after),
            [
                "+ .metadata.labels: {\"l\":\"v\"}",
                "- .spec.c[x].image: \"i:1\"",
                "+ .spec.c[x].image: \"i:2\"",
                "- .spec.old: true",
                "- .spec.replicas: 3",
                "+ .spec.replicas: 4",
            ]
        );
        assert!(lines(&before, &before).is_empty());
    }
}
