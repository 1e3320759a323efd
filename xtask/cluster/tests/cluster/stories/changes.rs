//! What others have changed, and what the manifests no longer hold.

use crate::site::Site;

/// Told and not overwritten, unless that is asked for.
pub(crate) fn a_person_s_edit_is_a_conflict(site: &mut Site) {
    site.deployed();
    let most =
        |site: &Site| site.kubectl(&["get", "hpa", "hello-hpa", "--output", "jsonpath={.spec.maxReplicas}"]);
    site.kubectl(&["patch", "hpa", "hello-hpa", "--patch", r#"{"spec":{"maxReplicas":7}}"#]);
    for arguments in [&["deploy-kind"][..], &["deploy-kind", "--dry-run"]] {
        site.run_here(arguments).expect(5).says(&[
            "error[apply-conflict]",
            "horizontalpodautoscaler.autoscaling/hello-hpa: .spec.maxReplicas is set by kubectl-patch",
            "--force",
        ]);
        assert_eq!(most(site), "7");
    }
    site.run_here(&["deploy-kind", "--dry-run", "--force"]).expect(0).says(&[
        "change horizontalpodautoscaler.autoscaling/hello-hpa",
        "- .spec.maxReplicas: 7",
        "+ .spec.maxReplicas: 10",
    ]);
    assert_eq!(most(site), "7");
    site.run_here(&["deploy-kind", "--force"]).expect(0);
    assert_eq!(most(site), "10");
    site.run_here(&["deploy-kind"]).expect(0).says(&["nothing was to be changed"]);
}

/// Only what we have applied: somebody else's object of the same label stays.
pub(crate) fn what_the_manifests_drop_is_pruned(site: &mut Site) {
    site.deployed();
    let first = site.first();
    let deploy = ["deploy-kind", "--image", &first];
    let base = site.copied("k8s/base/kustomization.yaml");
    let kustomization = std::fs::read_to_string(&base).expect("it is there");
    site.write("k8s/base/extra.yaml", EXTRA);
    site.write("k8s/base/kustomization.yaml", &format!("{kustomization}  - extra.yaml\n"));
    site.run(&deploy).expect(0);
    site.kubectl(&["create", "configmap", "somebody-s"]);
    site.kubectl(&["label", "configmap", "somebody-s", "app.kubernetes.io/part-of=homeport"]);
    site.write("k8s/base/kustomization.yaml", &kustomization);
    let maps = |site: &Site| site.kubectl(&["get", "configmaps", "--output", "name"]);
    let dry_run = [&deploy[..], &["--dry-run"]].concat();
    site.run(&dry_run).expect(0).says(&["remove configmap/extra"]).does_not_say(&["somebody-s"]);
    assert!(maps(site).contains("configmap/extra"));
    site.run(&deploy).expect(0);
    let left = maps(site);
    assert!(!left.contains("configmap/extra") && left.contains("configmap/somebody-s"), "{left}");
}

const EXTRA: &str = "\
apiVersion: v1
kind: ConfigMap
metadata:
  name: extra
data:
  key: value
";
