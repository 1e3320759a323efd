//! Kubernetes manifests held to the security rules of the architecture: unprivileged pods (Pod Security Standards,
//! "Restricted"), nothing of the host, bounded resources, no secret in a file.
//!
//! Must not: read files, or know what a kustomization makes of them.

use serde_json::{Value, json};

use super::Finding;

/// Holds the documents of one file to the rules. A patch, whose pod has no `containers` with an image, is held to what it
/// must not set only.
///
/// # Errors
/// When the text is not YAML, in the parser's words.
pub fn manifests(path: &str, text: &str) -> Result<Vec<Finding>, String> {
    // `n` and `on` are names, as Kubernetes reads them.
    let options = serde_saphyr::options! { strict_booleans: true, with_snippet: false };
    let documents: Vec<Value> =
        serde_saphyr::from_multiple_with_options(text, options).map_err(|error| error.to_string())?;
    let mut found = Vec::new();
    for document in &documents {
        found.extend(manifest(path, document));
        // A kustomization may hold its patches in itself.
        for patch in list(&document["patches"]) {
            let Some(text) = patch["patch"].as_str() else { continue };
            for written in manifest_patches(text, &patch["target"])? {
                found.extend(manifest(&format!("{path}: patch"), &written));
            }
        }
    }
    Ok(found)
}

/// The documents of a patch: itself, or, of operations (RFC 6902), what each one's value amounts to.
fn manifest_patches(text: &str, target: &Value) -> Result<Vec<Value>, String> {
    let options = serde_saphyr::options! { strict_booleans: true, with_snippet: false };
    let documents: Vec<Value> =
        serde_saphyr::from_multiple_with_options(text, options).map_err(|error| error.to_string())?;
    let amounts_to = |operation: &Value| {
        let path = operation["path"].as_str().unwrap_or_default().trim_start_matches('/');
        let nested = path.rsplit('/').fold(operation["value"].clone(), |value, key| {
            let is_place = key == "-" || key.bytes().all(|byte| byte.is_ascii_digit());
            if is_place { json!([value]) } else { json!({ key: value }) }
        });
        json!({"kind": target["kind"], "metadata": {"name": target["name"]}, "spec": nested["spec"]})
    };
    let of_document = |document: &Value| match document.as_array() {
        Some(operations) => operations.iter().map(amounts_to).collect(),
        None => vec![document.clone()],
    };
    Ok(documents.iter().flat_map(of_document).collect())
}

fn manifest(path: &str, document: &Value) -> Vec<Finding> {
    let kind = document["kind"].as_str().unwrap_or_default();
    if kind.ends_with("List") {
        return list(&document["items"]).flat_map(|item| manifest(path, item)).collect();
    }
    let name = document["metadata"]["name"].as_str().unwrap_or_default();
    let place = format!("{path}: {kind} {name}");
    let mut found = Vec::new();
    let has = |key: &str| document[key].as_object().is_some_and(|entries| !entries.is_empty());
    if kind == "Secret" && (has("data") || has("stringData")) {
        found.push(Finding::new(&place, "holds secret data; secrets are made at the first deploy"));
    }
    if kind == "Namespace" {
        let level = &document["metadata"]["labels"]["pod-security.kubernetes.io/enforce"];
        if level != "restricted" {
            found.push(Finding::new(&place, "does not enforce the Pod Security level restricted"));
        }
    }
    let pod = match kind {
        "Pod" => &document["spec"],
        "CronJob" => &document["spec"]["jobTemplate"]["spec"]["template"]["spec"],
        _ => &document["spec"]["template"]["spec"],
    };
    if pod.is_object() {
        found.extend(of_pod(&place, pod));
    }
    found
}

fn of_pod(place: &str, pod: &Value) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut say = |message: &str| found.push(Finding::new(place, message));
    for key in ["hostNetwork", "hostPID", "hostIPC"] {
        if pod[key] == true {
            say(&format!("shares the host's {}", key.trim_start_matches("host").to_lowercase()));
        }
    }
    if list(&pod["volumes"]).any(|volume| volume.get("hostPath").is_some()) {
        say("mounts a directory of the host");
    }
    let kinds = ["containers", "initContainers", "ephemeralContainers"];
    let containers: Vec<&Value> = kinds.iter().flat_map(|kind| list(&pod[*kind])).collect();
    let is_patch = !containers.iter().any(|container| container["image"].is_string());
    if !is_patch && pod["automountServiceAccountToken"] != false {
        say("is given a token of its service account");
    }
    // Of a patch, what it says for all its containers stands here, whichever it names.
    let shared = if is_patch { &Value::Null } else { &pod["securityContext"] };
    if is_patch {
        let own = &pod["securityContext"];
        if own["runAsUser"] == 0 {
            say("runs as root");
        }
        if own["runAsNonRoot"] == false {
            say("may run as root (runAsNonRoot)");
        }
        if own["seccompProfile"]["type"] == "Unconfined" {
            say("has no seccomp profile");
        }
        if pod["automountServiceAccountToken"] == true {
            say("is given a token of its service account");
        }
    }
    for container in containers {
        let place = format!("{place}, container {}", container["name"].as_str().unwrap_or("?"));
        found.extend(of_container(&place, container, shared, is_patch));
    }
    found
}

fn of_container(place: &str, container: &Value, pod: &Value, is_patch: bool) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut say = |message: String| found.push(Finding::new(place, message));
    let own = &container["securityContext"];
    // The container's own word goes before the pod's.
    let setting = |key: &str| if own[key].is_null() { &pod[key] } else { &own[key] };
    if own["privileged"] == true {
        say("is privileged".to_owned());
    }
    if setting("runAsUser") == 0 {
        say("runs as root".to_owned());
    }
    if list(&own["capabilities"]["add"]).any(|added| added != "NET_BIND_SERVICE") {
        say("adds capabilities".to_owned());
    }
    if list(&container["ports"]).any(|port| port["hostPort"].as_u64().is_some_and(|port| port > 0)) {
        say("takes a port of the host".to_owned());
    }
    if is_patch {
        // What it leaves out stays as it is; what it takes back does not.
        for (key, loosened) in
            [("runAsNonRoot", false), ("allowPrivilegeEscalation", true), ("readOnlyRootFilesystem", false)]
        {
            if own[key] == loosened {
                say(format!("sets {key} to {loosened}"));
            }
        }
        if own["seccompProfile"]["type"] == "Unconfined" {
            say("has no seccomp profile".to_owned());
        }
        return found;
    }
    if setting("runAsNonRoot") != true {
        say("may run as root (runAsNonRoot)".to_owned());
    }
    if own["allowPrivilegeEscalation"] != false {
        say("may gain privileges (allowPrivilegeEscalation)".to_owned());
    }
    if own["readOnlyRootFilesystem"] != true {
        say("may write its root file system (readOnlyRootFilesystem)".to_owned());
    }
    if !list(&own["capabilities"]["drop"]).any(|dropped| dropped == "ALL") {
        say("keeps capabilities".to_owned());
    }
    if !matches!(setting("seccompProfile")["type"].as_str(), Some("RuntimeDefault" | "Localhost")) {
        say("has no seccomp profile".to_owned());
    }
    for bound in ["cpu", "memory"] {
        if container["resources"]["limits"][bound].is_null() {
            say(format!("has no limit of {bound}"));
        }
    }
    let image = container["image"].as_str().unwrap_or_default();
    let last = image.rsplit('/').next().unwrap_or(image);
    if !last.contains([':', '@']) || last.ends_with(":latest") {
        say(format!("its image {image} names no version"));
    }
    found
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "
kind: Deployment
metadata: {name: web}
spec:
  template:
    spec:
      automountServiceAccountToken: false
      securityContext: {runAsNonRoot: true, runAsUser: 1000, seccompProfile: {type: RuntimeDefault}}
      containers:
        - name: web
          image: web:1
          resources: {limits: {cpu: 1, memory: 1Gi}}
          securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
";

    /// What is replaced by what, and the message after the container's place.
    const PLANTED: &[(&str, &str, &str)] = &[
        ("runAsNonRoot: true, ", "", ", container web: may run as root (runAsNonRoot)"),
        ("runAsUser: 1000", "runAsUser: 0", ", container web: runs as root"),
        ("seccompProfile: {type: RuntimeDefault}", "", ", container web: has no seccomp profile"),
        (
            "allowPrivilegeEscalation: false, ",
            "",
            ", container web: may gain privileges (allowPrivilegeEscalation)",
        ),
        (
            "readOnlyRootFilesystem: true, ",
            "",
            ", container web: may write its root file system (readOnlyRootFilesystem)",
        ),
        ("{drop: [ALL]}", "{drop: [KILL]}", ", container web: keeps capabilities"),
        ("{drop: [ALL]}", "{drop: [ALL], add: [SYS_ADMIN]}", ", container web: adds capabilities"),
        ("cpu: 1, ", "", ", container web: has no limit of cpu"),
        (
            "image: web:1",
            "image: registry.example:5000/web",
            ", container web: its image registry.example:5000/web names no version",
        ),
        ("image: web:1", "image: web:latest", ", container web: its image web:latest names no version"),
        (
            "{allowPrivilegeEscalation",
            "{privileged: true, allowPrivilegeEscalation",
            ", container web: is privileged",
        ),
        ("automountServiceAccountToken: false", "", ": is given a token of its service account"),
        (
            "automountServiceAccountToken: false",
            "automountServiceAccountToken: false\n      hostNetwork: true",
            ": shares the host's network",
        ),
        (
            "automountServiceAccountToken: false",
            "automountServiceAccountToken: false\n      volumes: [{name: v, hostPath: {path: /}}]",
            ": mounts a directory of the host",
        ),
    ];

    fn found(text: &str) -> Vec<String> {
        manifests("m.yaml", text).expect("YAML").iter().map(ToString::to_string).collect()
    }

    #[test]
    fn each_broken_rule_is_named() {
        assert_eq!(found(GOOD), Vec::<String>::new());
        for (from, to, expected) in PLANTED {
            assert!(GOOD.contains(from), "{from}");
            assert_eq!(
                found(&GOOD.replacen(from, to, 1)),
                [format!("m.yaml: Deployment web{expected}")],
                "{to}"
            );
        }
        let secret = "kind: Secret\nmetadata: {name: s}\nstringData: {a: b}\n---\nkind: Namespace\nmetadata: {name: n}\n";
        let expected = [
            "m.yaml: Secret s: holds secret data; secrets are made at the first deploy",
            "m.yaml: Namespace n: does not enforce the Pod Security level restricted",
        ];
        assert_eq!(found(secret), expected);
        manifests("m.yaml", "a: [").expect_err("no YAML");
    }

    #[test]
    fn a_patch_is_held_to_what_it_must_not_set() {
        let patch = "kind: Deployment\nmetadata: {name: web}\nspec: {template: {spec: {containers: [{name: web, args: [x]}]}}}\n";
        assert_eq!(found(patch), Vec::<String>::new());
        let root = patch.replace("args: [x]", "securityContext: {runAsUser: 0}");
        assert_eq!(found(&root), ["m.yaml: Deployment web, container web: runs as root"]);
    }

    #[test]
    fn a_patch_that_loosens_a_rule_is_named_wherever_it_stands() {
        let pod =
            "kind: Deployment\nmetadata: {name: web}\nspec: {template: {spec: {securityContext: {KEY}}}}\n";
        let container = pod.replace("securityContext: {KEY}", "containers: [{name: web, KEY}]");
        let inside = |text: &str| {
            let indented: String = text.lines().map(|line| format!("      {line}\n")).collect();
            format!(
                "kind: Kustomization\npatches:\n  - target: {{kind: Deployment, name: web}}\n    patch: |-\n{indented}"
            )
        };
        let operation =
            "- {op: add, path: /spec/template/spec/containers/0/securityContext/privileged, value: true}";
        let table = [
            (pod.replace("KEY", "runAsUser: 0"), "m.yaml: Deployment web: runs as root"),
            (
                pod.replace("KEY", "runAsNonRoot: false"),
                "m.yaml: Deployment web: may run as root (runAsNonRoot)",
            ),
            (
                pod.replace("KEY", "seccompProfile: {type: Unconfined}"),
                "m.yaml: Deployment web: has no seccomp profile",
            ),
            (
                container.replace("KEY", "securityContext: {allowPrivilegeEscalation: true}"),
                "m.yaml: Deployment web, container web: sets allowPrivilegeEscalation to true",
            ),
            (
                container.replace("KEY", "ports: [{containerPort: 1, hostPort: 80}]"),
                "m.yaml: Deployment web, container web: takes a port of the host",
            ),
            (
                inside(&container.replace("KEY", "securityContext: {privileged: true}")),
                "m.yaml: patch: Deployment web, container web: is privileged",
            ),
            (inside(operation), "m.yaml: patch: Deployment web, container ?: is privileged"),
        ];
        for (text, expected) in table {
            assert_eq!(found(&text), [expected], "{text}");
        }
    }

    #[test]
    fn what_a_list_holds_and_what_is_added_to_a_running_pod_count_too() {
        let item = GOOD.replace("image: web:1", "image: web:latest").replace('\n', "\n    ");
        let listed = format!("kind: List\nitems:\n  -{}", &item[4..]);
        let expected = "m.yaml: Deployment web, container web: its image web:latest names no version";
        assert_eq!(found(&listed), [expected], "{listed}");
        let added = GOOD.replace(
            "      containers:",
            "      ephemeralContainers: [{name: look, securityContext: {privileged: true}}]\n      containers:",
        );
        assert!(found(&added).contains(&"m.yaml: Deployment web, container look: is privileged".to_owned()));
    }
}
