//! The rules of a pod, whichever kind of workload it is the template of: Pod Security Standards, "Restricted", and bounds.
//!
//! Must not: know where in a document a pod stands.

use serde_json::Value;

use super::{Finding, is_secret, list};

pub(super) fn of_pod(place: &str, pod: &Value) -> Vec<Finding> {
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
    if pod["securityContext"]["windowsOptions"]["hostProcess"] == true {
        say("runs on the host itself (hostProcess)");
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
    if own["procMount"] == "Unmasked" {
        say("sees all of /proc (procMount)".to_owned());
    }
    if own["windowsOptions"]["hostProcess"] == true {
        say("runs on the host itself (hostProcess)".to_owned());
    }
    if setting("appArmorProfile")["type"] == "Unconfined" {
        say("has no AppArmor profile".to_owned());
    }
    for variable in list(&container["env"]) {
        let (name, value) = (variable["name"].as_str(), variable["value"].as_str());
        if let (Some(name), Some(value)) = (name, value)
            && is_secret(name)
            && !value.is_empty()
            && !value.contains("$(")
        {
            say(format!("has the value of {name} in its manifest, expected a secretKeyRef"));
        }
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
    if names_no_version(image) {
        say(format!("its image {image} names no version"));
    }
    found
}

/// Whether an image may be another one tomorrow.
pub(super) fn names_no_version(image: &str) -> bool {
    let last = image.rsplit('/').next().unwrap_or(image);
    !last.contains([':', '@']) || last.ends_with(":latest")
}
