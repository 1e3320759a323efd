//! What the cluster crate reads of `k8s/` is what `kubectl kustomize` prints of it. kubectl is looked for on PATH; where
//! it is missing the test says so, and fails when `CI` is set.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use xtask::process::{ProcessError, Program};
use xtask_cluster::kustomize;
use xtask_cluster::object::Object;

/// Kustomizing reads some twenty files: well below a second.
const KUSTOMIZE: Duration = Duration::from_secs(60);

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("a workspace").to_owned()
}

fn by_key(objects: Vec<Object>) -> BTreeMap<String, Value> {
    objects.into_iter().map(|object| (format!("{:?}", object.key()), object.into_value())).collect()
}

#[tokio::test]
async fn both_read_the_same_objects() {
    for directory in
        ["k8s/overlays/kind", "k8s/overlays/production", "k8s/base", "k8s/metrics-server", "k8s/local-path"]
    {
        let directory = root().join(directory);
        let kubectl = Program::new("kubectl", KUSTOMIZE).arg("kustomize").arg(&directory);
        let printed = match kubectl.output().await {
            Ok(printed) => printed,
            Err(error @ ProcessError::Missing { .. }) => {
                xtask::pipeline::leave_out(&error.to_string());
                return;
            }
            Err(error) => panic!("{error}: {error:?}"),
        };
        let theirs: Vec<Value> = serde_saphyr::from_multiple(&printed).expect("kubectl prints YAML");
        let theirs = theirs.into_iter().map(|document| Object::new(document).expect("an object")).collect();
        let ours = kustomize::build(&directory, &|path| {
            std::fs::read_to_string(path).map_err(|error| error.to_string())
        })
        .unwrap_or_else(|error| panic!("{error}"));
        let (ours, theirs) = (by_key(ours), by_key(theirs));
        assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>());
        for (key, object) in &ours {
            assert_eq!(object, &theirs[key], "{key} in {}", directory.display());
        }
    }
}
