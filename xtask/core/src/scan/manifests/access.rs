//! What manifests grant in the cluster (Kubernetes, "RBAC Good Practices"): nothing over all of it, no secrets, no way to
//! more.
//!
//! Must not: know what an operator of somebody else's needs; the command leaves those directories out.

use serde_json::Value;

use super::{Finding, list};

/// Roles that every cluster has and that are close to everything.
const POWERFUL: [&str; 3] = ["cluster-admin", "admin", "edit"];

/// Verbs by which a right becomes more rights.
const CLIMBING: [&str; 3] = ["escalate", "bind", "impersonate"];

/// Resources by which one gets into other pods, or at what they are given.
const INSIDE: [&str; 5] = ["secrets", "pods/exec", "pods/attach", "nodes/proxy", "serviceaccounts/token"];

/// Everybody, and everybody who is somebody.
const EVERYBODY: [&str; 3] = ["system:anonymous", "system:unauthenticated", "system:authenticated"];

pub(super) fn access(place: &str, kind: &str, document: &Value) -> Vec<Finding> {
    let mut said: Vec<String> = Vec::new();
    if matches!(kind, "ClusterRoleBinding" | "RoleBinding") {
        if let Some(role) = document["roleRef"]["name"].as_str().filter(|role| POWERFUL.contains(role)) {
            said.push(format!("grants {role}"));
        }
        for subject in list(&document["subjects"]).filter_map(|subject| subject["name"].as_str()) {
            if EVERYBODY.contains(&subject) {
                said.push(format!("grants to {subject}"));
            }
        }
    }
    if matches!(kind, "ClusterRole" | "Role") {
        for rule in list(&document["rules"]) {
            let has = |key: &str, word: &str| list(&rule[key]).any(|entry| entry == word);
            for key in ["apiGroups", "resources", "verbs", "nonResourceURLs"] {
                if has(key, "*") {
                    said.push(format!("allows all {key} (*)"));
                }
            }
            said.extend(
                CLIMBING.iter().filter(|verb| has("verbs", verb)).map(|verb| format!("allows to {verb}")),
            );
            // To make one, or to look for one by its name, is no look at what the others hold.
            let only = |verb: &str| list(&rule["verbs"]).all(|allowed| allowed == verb);
            let named = list(&rule["resourceNames"]).next().is_some();
            let harmless = only("create") || (named && only("get"));
            let inside = INSIDE.iter().filter(|resource| has("resources", resource));
            let inside = inside.filter(|resource| !(harmless && **resource == "secrets"));
            said.extend(inside.map(|resource| format!("allows access to {resource}")));
        }
    }
    if kind == "ServiceAccount" && document["automountServiceAccountToken"] == true {
        said.push("gives its token to every pod".to_owned());
    }
    said.dedup();
    said.into_iter().map(|message| Finding::new(place, message)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::manifests;

    #[test]
    fn what_grants_too_much_is_named() {
        let binding = "kind: ClusterRoleBinding\nmetadata: {name: n}\nroleRef: {kind: ClusterRole, name: ROLE}\nsubjects: [{kind: Group, name: WHO}]\n";
        let rule =
            "kind: KIND\nmetadata: {name: n}\nrules: [{apiGroups: [''], resources: [pods], verbs: [get]}]\n";
        let table = [
            (binding.replace("ROLE", "cluster-admin"), "ClusterRoleBinding n: grants cluster-admin"),
            (
                binding.replace("ROLE", "edit").replace("ClusterRoleBinding", "RoleBinding"),
                "RoleBinding n: grants edit",
            ),
            (
                binding.replace("WHO", "system:authenticated"),
                "ClusterRoleBinding n: grants to system:authenticated",
            ),
            (rule.replace("KIND", "Role").replace("[pods]", "['*']"), "Role n: allows all resources (*)"),
            (
                rule.replace("KIND", "ClusterRole").replace("[get]", "['*']"),
                "ClusterRole n: allows all verbs (*)",
            ),
            (rule.replace("KIND", "Role").replace("['']", "['*']"), "Role n: allows all apiGroups (*)"),
            (rule.replace("KIND", "Role").replace("[pods]", "[secrets]"), "Role n: allows access to secrets"),
            (
                rule.replace("KIND", "Role").replace("[pods]", "[pods/exec]"),
                "Role n: allows access to pods/exec",
            ),
            (
                rule.replace("KIND", "ClusterRole").replace("[get]", "[impersonate]"),
                "ClusterRole n: allows to impersonate",
            ),
            (
                "kind: ServiceAccount\nmetadata: {name: n}\nautomountServiceAccountToken: true\n".to_owned(),
                "ServiceAccount n: gives its token to every pod",
            ),
        ];
        let found = |text: &str| -> Vec<String> {
            manifests("m.yaml", text).expect("YAML").iter().map(ToString::to_string).collect()
        };
        for (text, expected) in table {
            assert_eq!(found(&text), [format!("m.yaml: {expected}")], "{text}");
        }
        assert_eq!(found(&rule.replace("KIND", "Role")), Vec::<String>::new());
        let secrets = rule.replace("KIND", "Role").replace("[pods]", "[secrets]");
        let named = secrets.replace("verbs", "resourceNames: [own], verbs");
        for harmless in [&secrets.replace("[get]", "[create]"), &named] {
            assert_eq!(found(harmless), Vec::<String>::new(), "{harmless}");
        }
        for harmful in [&secrets.replace("[get]", "[create, list]"), &named.replace("[get]", "[get, patch]")]
        {
            assert_eq!(found(harmful).len(), 1, "{harmful}");
        }
        assert_eq!(found(binding), Vec::<String>::new());
    }
}
