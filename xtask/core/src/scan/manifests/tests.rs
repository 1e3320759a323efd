//! Tables of what is planted in a manifest, a kustomization or a patch, and what is said of it.

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
        assert_eq!(found(&GOOD.replacen(from, to, 1)), [format!("m.yaml: Deployment web{expected}")], "{to}");
    }
    let secret =
        "kind: Secret\nmetadata: {name: s}\nstringData: {a: b}\n---\nkind: Namespace\nmetadata: {name: n}\n";
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
    let pod = "kind: Deployment\nmetadata: {name: web}\nspec: {template: {spec: {securityContext: {KEY}}}}\n";
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
        (pod.replace("KEY", "runAsNonRoot: false"), "m.yaml: Deployment web: may run as root (runAsNonRoot)"),
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

/// Each kind of workload, with what stands before its pod.
const WORKLOADS: &[(&str, &str)] = &[
    ("Pod", "spec:"),
    ("Deployment", "spec: {template: {spec:"),
    ("StatefulSet", "spec: {template: {spec:"),
    ("DaemonSet", "spec: {template: {spec:"),
    ("ReplicaSet", "spec: {template: {spec:"),
    ("Job", "spec: {template: {spec:"),
    ("CronJob", "spec: {jobTemplate: {spec: {template: {spec:"),
    ("PodTemplate", "template: {spec:"),
];

#[test]
fn every_kind_of_workload_and_of_container_is_looked_into() {
    let broken = [
        ("hostNetwork: true", ": shares the host's network"),
        ("hostPID: true", ": shares the host's pid"),
        ("hostIPC: true", ": shares the host's ipc"),
        ("volumes: [{name: v, hostPath: {path: /}}]", ": mounts a directory of the host"),
        ("automountServiceAccountToken: true", ": is given a token of its service account"),
        ("securityContext: {windowsOptions: {hostProcess: true}}", ": runs on the host itself (hostProcess)"),
        ("containers: [{name: c, securityContext: {privileged: true}}]", ", container c: is privileged"),
        ("initContainers: [{name: c, securityContext: {privileged: true}}]", ", container c: is privileged"),
        ("ephemeralContainers: [{name: c, securityContext: {runAsUser: 0}}]", ", container c: runs as root"),
        (
            "containers: [{name: c, securityContext: {allowPrivilegeEscalation: true}}]",
            ", container c: sets allowPrivilegeEscalation to true",
        ),
        (
            "containers: [{name: c, securityContext: {procMount: Unmasked}}]",
            ", container c: sees all of /proc (procMount)",
        ),
        (
            "containers: [{name: c, env: [{name: DB_PASSWORD, value: hunter2}]}]",
            ", container c: has the value of DB_PASSWORD in its manifest, expected a secretKeyRef",
        ),
    ];
    for (kind, before) in WORKLOADS {
        for (pod, expected) in broken {
            let ends = "}".repeat(before.matches('{').count());
            let text = format!("kind: {kind}\nmetadata: {{name: w}}\n{before} {{{pod}}}{ends}\n");
            assert_eq!(found(&text), [format!("m.yaml: {kind} w{expected}")], "{text}");
        }
    }
}

#[test]
fn a_kustomization_is_held_to_what_it_makes() {
    let table = [
        (
            "secretGenerator: [{name: s, literals: [a=b]}]",
            "makes the Secret s of literals in the repository; secrets are made at the first deploy",
        ),
        (
            "secretGenerator: [{name: s, envs: [a.env]}]",
            "makes the Secret s of envs in the repository; secrets are made at the first deploy",
        ),
        ("images: [{name: web, newTag: latest}]", "its image web gets a tag that names no version"),
        (
            "patches: [{patch: '[{op: remove, path: /spec/template/spec/securityContext}]'}]",
            "patch: takes away /spec/template/spec/securityContext",
        ),
        (
            "patchesJson6902: [{patch: '[{op: remove, path: /spec/template/spec/containers/0/resources/limits/cpu}]'}]",
            "patch: takes away /spec/template/spec/containers/0/resources/limits/cpu",
        ),
        (
            "patches: [{patch: '[{op: replace, path: /metadata/labels/pod-security.kubernetes.io~1enforce, value: baseline}]', target: {kind: Namespace, name: n}}]",
            "patch: Namespace n: does not enforce the Pod Security level restricted",
        ),
    ];
    for (text, expected) in table {
        let said = |path: &str, text: &str| -> Vec<String> {
            manifests(path, text).expect("YAML").iter().map(ToString::to_string).collect()
        };
        assert_eq!(
            said("a/kustomization.yaml", text),
            [format!("a/kustomization.yaml: {expected}")],
            "{text}"
        );
        let elsewhere = format!("kind: Component\n{text}");
        assert_eq!(said("b.yaml", &elsewhere), [format!("b.yaml: {expected}")], "{text}");
    }
    assert_eq!(
        found("kind: Kustomization\nimages: [{name: web, newTag: latest, digest: 'sha256:0'}]"),
        Vec::<String>::new()
    );
    let harmless = "- {op: remove, path: /spec/template/spec/containers/0/args}\n";
    assert_eq!(found(harmless), Vec::<String>::new());
}

#[test]
fn a_patch_that_takes_a_rule_away_is_named() {
    let place = "/spec/template/spec/containers/0/securityContext/capabilities";
    for operation in ["\"remove\"", "\"replace\", \"value\": null", "\"add\", \"value\": null"] {
        let text = format!("[{{\"path\": \"{place}\", \"op\": {operation}}}]");
        assert_eq!(found(&text), [format!("m.yaml: takes away {place}")], "{text}");
    }
    let merge = |pod: &str| {
        format!("kind: Deployment\nmetadata: {{name: web}}\nspec: {{template: {{spec: {pod}}}}}\n")
    };
    let table = [
        ("{securityContext: null}", "m.yaml: Deployment web: takes away securityContext"),
        ("{securityContext: {$patch: delete}}", "m.yaml: Deployment web: takes away securityContext"),
        (
            "{containers: [{name: c, securityContext: {readOnlyRootFilesystem: null}}]}",
            "m.yaml: Deployment web: takes away readOnlyRootFilesystem",
        ),
        ("{containers: [{name: c, resources: {limits: null}}]}", "m.yaml: Deployment web: takes away limits"),
    ];
    for (pod, expected) in table {
        assert_eq!(found(&merge(pod)), [expected], "{pod}");
    }
}

#[test]
fn json_is_read_as_yaml_is() {
    let pod = r#"{"kind": "Pod", "metadata": {"name": "p"}, "spec": {"hostPID": true}}"#;
    assert_eq!(found(pod), ["m.yaml: Pod p: shares the host's pid"]);
    let map =
        "kind: ConfigMap\nmetadata: {name: m}\ndata: {DB_PASSWORD: a, DB_PASSWORD_FILE: /a, DB_TOKEN: ''}\n";
    assert_eq!(found(map), ["m.yaml: ConfigMap m: has a value for DB_PASSWORD, expected a Secret"]);
}

#[test]
fn a_finding_names_as_much_as_the_document_does() {
    for (named, told) in [
        ("kind: Pod\nmetadata: {name: p}\n", "m.yaml: Pod p"),
        ("kind: Pod\n", "m.yaml: Pod"),
        ("metadata: {name: p}\n", "m.yaml: p"),
        ("", "m.yaml"),
    ] {
        let pod = "{hostPID: true}";
        let text = format!("{named}spec: {{hostPID: true, template: {{spec: {pod}}}}}\n");
        assert_eq!(found(&text), [format!("{told}: shares the host's pid")], "{text}");
    }
}

#[test]
fn what_breaks_no_rule_is_not_named() {
    let settings = "kind: ConfigMap\nmetadata: {name: m}\ndata: {LOG_LEVEL: info, API_TOKEN_PATH: /a}\n";
    let no_kustomization = "kind: ImagePolicy\nmetadata: {name: p}\nimages: [{name: web, newTag: latest}]\n";
    let port =
        GOOD.replace("image: web:1", "image: web:1\n          ports: [{containerPort: 80, hostPort: 0}]");
    let account = "kind: ServiceAccount\nmetadata: {name: a}\nautomountServiceAccountToken: false\n";
    for text in [settings, no_kustomization, account, &port, "[]", "[1]"] {
        assert_eq!(found(text), Vec::<String>::new(), "{text}");
    }
}
