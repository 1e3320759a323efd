//! Production's manifests, as far as a cluster without its operators can tell.

use serde_json::{Value, json};
use xtask_cluster::kustomize;

use crate::site::Site;

/// In the place of CloudNativePG's own definition, which this project does not hold: it takes any `Cluster`.
const OPERATORS_KIND: &str = "\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: clusters.postgresql.cnpg.io}
spec:
  group: postgresql.cnpg.io
  names: {kind: Cluster, plural: clusters, singular: cluster, listKind: ClusterList}
  scope: Namespaced
  versions:
    - name: v1
      served: true
      storage: true
      schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
";

/// Where they are tried: beside what the other stories have deployed.
const NAMESPACE: &str = "accepted";

/// The API server knows every field of them and takes every value; a field that it does not know is refused.
pub(crate) fn manifests_are_accepted(site: &mut Site) {
    site.deployed();
    let directory = site.copied("k8s/overlays/production");
    let objects = kustomize::build(&directory, &|path| {
        std::fs::read_to_string(path).map_err(|error| error.to_string())
    })
    .expect("a kustomization");
    let mut objects: Vec<Value> = objects.into_iter().map(placed).collect();
    site.apply(&[], OPERATORS_KIND);
    site.kubectl(&["wait", "--for=condition=Established", "crd/clusters.postgresql.cnpg.io"]);
    site.kubectl(&["create", "namespace", NAMESPACE]);
    let strictly = ["--server-side", "--dry-run=server", "--validate=strict"];
    let as_they_are = site.apply(&strictly, &list(&objects));
    let deployment = objects.iter_mut().find(|object| object["kind"] == "Deployment").expect("there is one");
    deployment["spec"]["replicaz"] = json!(3);
    let with_a_fault = site.apply(&strictly, &list(&objects));
    site.kubectl(&["delete", "namespace", NAMESPACE]);
    site.kubectl(&["delete", "crd", "clusters.postgresql.cnpg.io"]);

    let (taken, said) = as_they_are;
    assert!(taken, "{said}");
    assert_eq!(said.matches("serverside-applied").count(), objects.len(), "{said}");
    let (taken, said) = with_a_fault;
    assert!(!taken && said.contains("replicaz"), "{said}");
}

/// In the namespace where it is tried.
fn placed(object: xtask_cluster::object::Object) -> Value {
    let mut object = object.into_value();
    if object["metadata"]["namespace"].is_string() {
        object["metadata"]["namespace"] = json!(NAMESPACE);
    }
    object
}

fn list(objects: &[Value]) -> String {
    json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string()
}
