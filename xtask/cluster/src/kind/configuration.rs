//! What kind is told of the cluster that it is to make: one node, ours by its labels, the NodePorts on 127.0.0.1, and a
//! control plane that leaves room on a small machine. Pure.

use std::path::Path;

use serde_json::json;

use super::{DIRECTORY_LABEL, Mapping, OWNER_LABEL};

/// Where the node sees the patches.
const MOUNTED: &str = "/etc/homeport/patches";

/// What the parts of the control plane ask for, in place of kubeadm's 250m, 200m and 100m: a request is a share that is
/// kept free for a cluster of many nodes, and a laptop's does not need it. It says nothing of how much they may use. On
/// two cores the third of a kubeadm node is what lets all pods of a rollout start before the leaving ones have gone.
const REQUESTS: [(&str, &str); 3] =
    [("kube-apiserver", "100m"), ("kube-controller-manager", "50m"), ("kube-scheduler", "50m")];

/// kind's configuration of a cluster.
pub(super) fn cluster(project: &str, directory: &str, ports: &[Mapping], patches: &Path) -> String {
    let ports: Vec<_> = ports
        .iter()
        .map(|port| json!({"containerPort": port.node, "hostPort": port.host, "listenAddress": "127.0.0.1"}))
        .collect();
    let kubeadm = json!({"kind": "InitConfiguration", "patches": {"directory": MOUNTED}});
    // JSON is YAML.
    let cluster = json!({
        "kind": "Cluster",
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "nodes": [{
            "role": "control-plane",
            "labels": {OWNER_LABEL: project, DIRECTORY_LABEL: format!("d{directory}")},
            "extraPortMappings": ports,
            "extraMounts": [{"hostPath": patches, "containerPath": MOUNTED, "readOnly": true}],
            "kubeadmConfigPatches": [kubeadm.to_string()],
        }],
    });
    format!("{cluster:#}\n")
}

/// kubeadm's patches of the control plane: file names, which say what is patched and how, and their contents.
pub(super) fn patches() -> impl Iterator<Item = (String, String)> {
    REQUESTS.into_iter().map(|(name, cpu)| {
        let container = json!({"name": name, "resources": {"requests": {"cpu": cpu}}});
        (format!("{name}+strategic.json"), json!({"spec": {"containers": [container]}}).to_string())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kind_is_told_whose_it_is_and_which_ports() {
        let ports = [Mapping { host: 18800, node: 30253 }];
        let text = cluster("homeport", "0123456789abcdef", &ports, Path::new("/here/patches"));
        let read: serde_json::Value = serde_saphyr::from_str(&text).expect("YAML");
        let node = &read["nodes"][0];
        assert_eq!(node["labels"][OWNER_LABEL], "homeport");
        assert_eq!(node["labels"][DIRECTORY_LABEL], "d0123456789abcdef");
        assert_eq!(node["extraPortMappings"][0]["hostPort"], 18800);
        assert_eq!(node["extraPortMappings"][0]["listenAddress"], "127.0.0.1");
        assert_eq!(node["extraMounts"][0]["hostPath"], "/here/patches");
        let kubeadm: serde_json::Value =
            serde_saphyr::from_str(node["kubeadmConfigPatches"][0].as_str().expect("text")).expect("YAML");
        assert_eq!(kubeadm["patches"]["directory"], node["extraMounts"][0]["containerPath"]);
    }

    #[test]
    fn the_benchmark_counts_what_the_control_plane_leaves() {
        let asks =
            |cpu: &str| cpu.strip_suffix('m').and_then(|cpu| cpu.parse::<u32>().ok()).expect("thousandths");
        let ours: u32 = REQUESTS.iter().map(|(_, cpu)| asks(cpu)).sum();
        assert_eq!(250 + 200 + 100 - ours, xtask::bench::PLAIN_CONTROL_PLANE_ASKS_MORE);
    }

    #[test]
    fn each_part_of_the_control_plane_is_patched_by_its_own_name() {
        for (file, patch) in patches() {
            let read: serde_json::Value = serde_json::from_str(&patch).expect("JSON");
            let name = read["spec"]["containers"][0]["name"].as_str().expect("a name");
            assert_eq!(file, format!("{name}+strategic.json"));
        }
    }
}
