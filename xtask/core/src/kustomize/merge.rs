//! Strategic merge: a patch's document laid over an object, by the rules of the Kubernetes API conventions ("Strategic
//! merge patch"). Maps merge, lists with a merge key merge by it, other lists are replaced. Pure.
//!
//! Must not: delete. A directive (`$patch`, `$deleteFromPrimitiveList`) or a null is an error.

use serde_json::Value;

/// The key by which the elements of a list are the same, from the `patchMergeKey` of the API's types, for the lists that
/// manifests here hold.
fn merge_key(list: &str, parent: &str) -> Option<&'static str> {
    match list {
        "containers" | "initContainers" | "env" | "volumes" | "imagePullSecrets" => Some("name"),
        "volumeMounts" => Some("mountPath"),
        // A Service's ports; a container's have `containerPort`.
        "ports" if parent == "spec" => Some("port"),
        "ports" => Some("containerPort"),
        "topologySpreadConstraints" => Some("topologyKey"),
        _ => None,
    }
}

/// Lays `patch` over `base`.
///
/// # Errors
/// A sentence fragment that names the field, when the patch deletes, or an element lacks its merge key.
pub(super) fn merge(base: &mut Value, patch: &Value) -> Result<(), String> {
    merge_at(base, patch, "", "")
}

fn merge_at(base: &mut Value, patch: &Value, field: &str, parent: &str) -> Result<(), String> {
    match (base, patch) {
        (Value::Object(base), Value::Object(patch)) => {
            for (key, change) in patch {
                if key.starts_with('$') {
                    return Err(format!("the directive {key}: a patch here only sets and adds"));
                }
                if change.is_null() {
                    return Err(format!("{key}: null, which deletes: a patch here only sets and adds"));
                }
                let place = base.entry(key.clone()).or_insert(Value::Null);
                merge_at(place, change, key, field)?;
            }
            Ok(())
        }
        (Value::Array(base), Value::Array(patch)) => {
            if let Some(key) = merge_key(field, parent) {
                return merge_lists(base, patch, field, key);
            }
            base.clone_from(patch);
            Ok(())
        }
        (base, patch) => {
            *base = patch.clone();
            Ok(())
        }
    }
}

/// The patch's elements come first, in its order, each merged with the base's of its key; then what only the base has, as
/// Kustomize orders them.
fn merge_lists(base: &mut Vec<Value>, patch: &[Value], field: &str, key: &str) -> Result<(), String> {
    let mut merged = Vec::with_capacity(base.len() + patch.len());
    for change in patch {
        let wanted = change.get(key).ok_or_else(|| format!("{field}: an element without {key}"))?;
        match base.iter().position(|element| element.get(key) == Some(wanted)) {
            Some(place) => {
                let mut element = base.remove(place);
                merge_at(&mut element, change, "", field)?;
                merged.push(element);
            }
            None => merged.push(change.clone()),
        }
    }
    merged.append(base);
    *base = merged;
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_element_is_known_by_the_key_of_its_list() {
        let pod = |list: &str, elements: Value| json!({"template": {"spec": {"containers": [{"name": "c", list: elements}]}}});
        let table = [
            (
                pod(
                    "volumeMounts",
                    json!([{"mountPath": "/a", "name": "a"}, {"mountPath": "/b", "name": "b"}]),
                ),
                pod("volumeMounts", json!([{"mountPath": "/b", "readOnly": true}])),
                pod(
                    "volumeMounts",
                    json!([{"mountPath": "/b", "name": "b", "readOnly": true}, {"mountPath": "/a", "name": "a"}]),
                ),
            ),
            (
                pod("ports", json!([{"containerPort": 1, "name": "a"}])),
                pod("ports", json!([{"containerPort": 1, "protocol": "UDP"}, {"containerPort": 2}])),
                pod(
                    "ports",
                    json!([{"containerPort": 1, "name": "a", "protocol": "UDP"}, {"containerPort": 2}]),
                ),
            ),
            (
                json!({"topologySpreadConstraints": [{"topologyKey": "zone", "maxSkew": 1}]}),
                json!({"topologySpreadConstraints": [{"topologyKey": "zone", "maxSkew": 2}]}),
                json!({"topologySpreadConstraints": [{"topologyKey": "zone", "maxSkew": 2}]}),
            ),
            (
                json!({"topologySpreadConstraints": [{"topologyKey": "zone", "maxSkew": 1}]}),
                json!({"topologySpreadConstraints": [{"topologyKey": "host"}]}),
                json!({"topologySpreadConstraints": [{"topologyKey": "host"}, {"topologyKey": "zone", "maxSkew": 1}]}),
            ),
        ];
        for (base, patch, expected) in table {
            let mut merged = json!({ "spec": base });
            merge(&mut merged, &json!({ "spec": patch })).expect("it merges");
            assert_eq!(merged["spec"], expected);
        }
    }

    #[test]
    fn maps_and_keyed_lists_merge_and_other_lists_are_replaced() {
        let mut base = json!({
            "spec": {
                "type": "ClusterIP",
                "ports": [{"name": "http", "port": 8000}, {"name": "admin", "port": 9}],
                "template": {"spec": {"containers": [
                    {"name": "a", "image": "x", "args": ["1", "2"], "env": [{"name": "P", "value": "1"}]},
                ]}},
            },
        });
        let patch = json!({
            "spec": {
                "type": "NodePort",
                "ports": [{"port": 8000, "nodePort": 30253}],
                "template": {"spec": {"containers": [
                    {"name": "a", "args": ["3"], "env": [{"name": "Q", "value": "2"}, {"name": "P", "value": "3"}]},
                    {"name": "b", "image": "y"},
                ]}},
            },
        });
        merge(&mut base, &patch).expect("it merges");
        assert_eq!(
            base,
            json!({
                "spec": {
                    "type": "NodePort",
                    "ports": [{"name": "http", "port": 8000, "nodePort": 30253}, {"name": "admin", "port": 9}],
                    "template": {"spec": {"containers": [
                        {
                            "name": "a", "image": "x", "args": ["3"],
                            "env": [{"name": "Q", "value": "2"}, {"name": "P", "value": "3"}],
                        },
                        {"name": "b", "image": "y"},
                    ]}},
                },
            })
        );
    }

    #[test]
    fn what_would_delete_is_refused() {
        let table = [
            (json!({"spec": {"a": null}}), "a: null, which deletes: a patch here only sets and adds"),
            (json!({"spec": {"$patch": "delete"}}), "the directive $patch: a patch here only sets and adds"),
            (json!({"spec": {"containers": [{"image": "x"}]}}), "containers: an element without name"),
        ];
        for (patch, expected) in table {
            let mut base = json!({"spec": {"a": 1, "containers": []}});
            assert_eq!(merge(&mut base, &patch).expect_err("refused"), expected);
        }
    }
}
