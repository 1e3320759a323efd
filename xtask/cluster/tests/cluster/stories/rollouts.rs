//! New versions, bad versions, and the way back.

use crate::site::Site;

pub(crate) fn a_new_version_fails_no_request(site: &mut Site) {
    site.deployed();
    let image = site.version("next");
    site.under_load(|site| {
        site.run(&["deploy-kind", "--image", &image]).expect(0);
    });
    assert_eq!(site.serving(), Site::version_of(&image));
}

/// Each is rolled back, told with what its pods have said, and the version before serves all the while.
pub(crate) fn bad_images_are_rolled_back(site: &mut Site) {
    site.deployed();
    let before = site.serving();
    // (manner, what was seen)
    for (manner, seen) in [
        ("crash", "hello ended 2 times, the last time with status 3"),
        ("hang", "has not passed its startup probe for 60 s"),
        ("unready", "has not become ready for 60 s"),
    ] {
        let image = site.impostor(manner);
        site.under_load(|site| {
            let words = format!("the last words of an impostor: {manner}");
            site.run(&["deploy-kind", "--image", &image]).expect(7).says(&[
                "error[rolled-back]",
                seen,
                "events of pod hello-deployment-",
                "last lines of hello in pod hello-deployment-",
                &words,
            ]);
        });
        assert_eq!(site.serving(), before, "{manner}");
    }
    site.run(&["deploy-kind", "--image", "homeport/service:no-such"])
        .expect(4)
        .says(&["error[image-unavailable]"]);
    assert_eq!(site.serving(), before);
}

/// A release whose own configuration keeps Prometheus from reading its pods: they serve, and nobody would know how well.
pub(crate) fn what_prometheus_cannot_scrape_is_rolled_back(site: &mut Site) {
    site.deployed();
    let before = site.serving();
    let image = site.version("unseen");
    let path = "compose/prometheus/prometheus.yml";
    let good = std::fs::read_to_string(site.copied(path)).expect("it is in git");
    let bad = good.replace("sample_limit: 5000", "sample_limit: 5");
    assert_ne!(bad, good, "the service's metrics are bounded");
    site.write(path, &bad);
    site.under_load(|site| {
        site.run(&["deploy-kind", "--image", &image]).expect(7).says(&[
            "error[rolled-back]",
            "smoke test: Prometheus scrapes 0 of ",
            " pods of this revision; hello-deployment-",
            ": sample limit exceeded",
        ]);
    });
    site.write(path, &good);
    assert_eq!(site.serving(), before);
    site.run_here(&["deploy-kind"]).expect(0).says(&["nothing was to be changed", " of this revision"]);
}

pub(crate) fn rollback_goes_back_and_forth(site: &mut Site) {
    site.deployed();
    let first = site.serving();
    let image = site.version("other");
    site.run(&["deploy-kind", "--image", &image]).expect(0);
    let second = site.serving();
    assert_ne!(first, second);
    for expected in [&first, &second] {
        site.run(&["rollback"]).expect(0);
        assert_eq!(site.serving(), *expected);
    }
}

/// The same engine on a cluster that is named: here the same one, by its context. An image that no node has is rolled back.
pub(crate) fn deploy_by_context(site: &mut Site) {
    site.deployed();
    let first = site.serving();
    site.write("k8s/overlays/named/kustomization.yaml", OVERLAY);
    site.write("k8s/overlays/named/node-port.yaml", NODE_PORT);
    for file in ["prometheus.yaml", "service-image.yaml"] {
        let text = std::fs::read_to_string(site.copied("k8s/overlays/kind").join(file)).expect("it is there");
        site.write(&format!("k8s/overlays/named/{file}"), &text);
    }
    let context = site.context();
    let deploy = |site: &Site, image: &str| {
        let overlay = "k8s/overlays/named";
        site.run(&["deploy", "--context", &context, "--overlay", overlay, "--image", image])
    };
    site.under_load(|site| {
        deploy(site, "homeport/service:no-such")
            .expect(7)
            .says(&["ErrImageNeverPull", "events of pod hello-deployment-"]);
    });
    assert_eq!(site.serving(), first);
    deploy(site, &format!("homeport/service:{first}")).expect(0);
    // By its digest, as `ci` deploys what it has pushed; the tag is the version still.
    let by_digest =
        format!("homeport/service:{first}@{}", site.digest_in_node(&format!("homeport/service:{first}")));
    deploy(site, &by_digest).expect(0);
    let image = "jsonpath={.spec.template.spec.containers[0].image}";
    assert_eq!(site.kubectl(&["get", "deployment", "hello-deployment", "--output", image]), by_digest);
    assert_eq!(site.serving(), first);
    site.run(&["deploy", "--context", "no-such-context"]).expect(2).says(&[&context]);
    // As a job of a pipeline has it: nowhere on the disk.
    let kubeconfig = std::fs::read_to_string(site.copied("kubeconfig")).expect("it was written");
    std::fs::remove_file(site.copied("kubeconfig")).expect("it can be removed");
    let verify = ["verify", "--context", &context];
    site.run(&verify).expect(4);
    site.run_with("HOMEPORT_KUBECONFIG", &kubeconfig, &verify).expect(0).does_not_say(&["apply revision"]);

    // With the rights that production's account has, and no others.
    std::fs::write(site.copied("kubeconfig"), &kubeconfig).expect("it can be written");
    let account = site.copied("k8s/overlays/production/account.yaml");
    let (taken, said) = site.apply(&[], &std::fs::read_to_string(account).expect("it is in git"));
    assert!(taken, "{said}");
    let token = site.kubectl(&["create", "token", "deploy"]);
    let limited = kubeconfig_with(&kubeconfig, &token);
    let image = format!("homeport/service:{first}");
    let deploy = ["deploy", "--context", &context, "--overlay", "k8s/overlays/named", "--image", &image];
    site.run_with("HOMEPORT_KUBECONFIG", &limited, &deploy).expect(0).says(&["apply revision"]);
    site.run_with("HOMEPORT_KUBECONFIG", &limited, &verify).expect(0);
}

/// A kubeconfig whose user goes by a token and by nothing else.
fn kubeconfig_with(kubeconfig: &str, token: &str) -> String {
    let mut lines = Vec::new();
    for line in kubeconfig.lines() {
        match line.split_once("client-certificate-data:") {
            Some((indent, _)) => lines.push(format!("{indent}token: {}", token.trim())),
            None if line.contains("client-key-data:") => {}
            None => lines.push(line.to_owned()),
        }
    }
    lines.join("\n")
}

/// The kind overlay without Grafana, whose image no node may have.
const OVERLAY: &str = "\
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: hello
labels:
  - pairs:
      app.kubernetes.io/part-of: homeport
resources:
  - ../../base
components:
  - ../../components/postgres
  - ../../components/redis
patches:
  - path: node-port.yaml
  - path: prometheus.yaml
  - path: service-image.yaml
";

const NODE_PORT: &str = "\
apiVersion: v1
kind: Service
metadata:
  name: hello-service
spec:
  type: NodePort
  ports:
    - port: 8000
      nodePort: 30253
---
apiVersion: v1
kind: Service
metadata:
  name: prometheus
spec:
  type: NodePort
  ports:
    - port: 9090
      nodePort: 30090
";
