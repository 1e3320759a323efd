//! A changed image to a kind cluster that is up: `deploy-kind` against `kind load`, `kubectl apply` and
//! `kubectl rollout status`, in turns on one cluster. Ours also tries the service through its NodePort.
//!
//! The cluster is one that `deploy-kind` has made, whose control plane leaves more room for pods than that of `kind
//! create cluster`. The other contender has two turns a run: in one a pod that does nothing asks for the difference, in
//! the other both have the same room.

use std::io::Read as _;
use std::path::PathBuf;

use serde_json::Value;

use super::{Bench, NotMeasured, PROJECT, cargo, free_port, output, program, quiet, timed};
use crate::bench::{Entry, PLAIN_CONTROL_PLANE_ASKS_MORE, Runs, Work};
use crate::process::Program;

/// The images that are made here.
pub(super) const IMAGES: &str = "homeport/service:bench-*";

/// The service's image as the manifests name it.
const NAMED: &str = "homeport/service";

/// The Deployment that is rolled out.
const DEPLOYMENT: &str = "hello-deployment";

/// The pod that asks for it.
const ROOM: &str = "room";

/// What makes each image another: as many bytes as the program has, so that there is something to carry.
const BYTES: usize = 5_500_000;

pub(super) async fn measure(bench: &Bench<'_>) -> Result<Vec<Entry>, NotMeasured> {
    for needed in ["kind", "kubectl"] {
        quiet(&program(needed).arg("version").arg(if needed == "kubectl" { "--client" } else { "--quiet" }))
            .await?;
    }
    let stand = Stand::build(bench)?;
    bench.say("making a cluster");
    quiet(&stand.ours(&["deploy-kind"])).await?;
    stand.take_turns(bench).await
}

/// The program of the commands on Kubernetes, on the cluster of this project.
pub(super) fn ours(cargo: Program) -> Program {
    cargo.args(["run", "--quiet", "--package", "xtask-cluster", "--"]).env("HOMEPORT_PROJECT", PROJECT)
}

struct Stand {
    ours: Program,
    scratch: PathBuf,
    /// The overlay that both deploy.
    overlay: PathBuf,
    /// With what the other contender reaches the cluster: ours leaves the user's own file alone.
    kubeconfig: PathBuf,
}

impl Stand {
    fn build(bench: &Bench<'_>) -> Result<Self, NotMeasured> {
        let mut ours = ours(cargo(bench.root()));
        for name in ["SERVICE", "PROMETHEUS", "GRAFANA"] {
            ours = ours.env(format!("HOMEPORT_KIND_{name}_PORT"), free_port()?.to_string());
        }
        Ok(Self {
            ours,
            scratch: bench.scratch.clone(),
            overlay: bench.root().join("k8s/overlays/kind"),
            kubeconfig: bench.scratch.join("kubeconfig"),
        })
    }

    fn ours(&self, words: &[&str]) -> Program {
        self.ours.clone().args(words.iter().copied())
    }

    fn kubectl(&self, words: &[&str]) -> Program {
        program("kubectl").arg("--kubeconfig").arg(&self.kubeconfig).args(words.iter().copied())
    }

    async fn take_turns(&self, bench: &Bench<'_>) -> Result<Vec<Entry>, NotMeasured> {
        let export = program("kind").args(["export", "kubeconfig", "--name", PROJECT]);
        quiet(&export.arg("--kubeconfig").arg(&self.kubeconfig)).await?;
        let manifests = self.manifests().await?;
        let mut ours = Runs::of("`deploy-kind`");
        let mut theirs = Runs::of(format!(
            "`kind load`, `kubectl apply`, `kubectl rollout status`, with the {PLAIN_CONTROL_PLANE_ASKS_MORE}m CPU less that \
             a plain cluster's control plane leaves"
        ));
        let mut same_room = Runs::of("`kind load`, `kubectl apply`, `kubectl rollout status`");
        for run in 1..=bench.runs {
            bench.say(format!("run {run} of {}", bench.runs));
            self.stand_at_full_strength(&manifests).await?;
            let own = self.changed_image(bench, &format!("ours-{run}")).await?;
            ours.push(timed(&self.ours(&["deploy-kind", "--image", &own])).await?);
            let image = self.changed_image(bench, &format!("theirs-{run}")).await?;
            self.take_room().await?;
            theirs.push(self.deploy_theirs(&manifests, &image).await?);
            quiet(&self.kubectl(&["delete", "pod", ROOM, "--now"])).await?;
            let another = self.changed_image(bench, &format!("same-room-{run}")).await?;
            same_room.push(self.deploy_theirs(&manifests, &another).await?);
            // The node has what it was given; here nobody asks for them any more.
            quiet(&program("docker").args(["image", "rm", &own, &image, &another])).await?;
        }
        Ok(vec![
            Entry::measured(Work::Deploy, ours.clone(), theirs),
            Entry::measured(Work::DeploySameRoom, ours, same_room),
        ])
    }

    /// What the overlay says, as the cluster has it after `deploy-kind`: without the optional parts that have no image
    /// here, and with the annotations by which a changed ConfigMap restarts its pods. Neither contender is to make what
    /// the other takes away.
    async fn manifests(&self) -> Result<Value, NotMeasured> {
        let rendered = self.scratch.join("rendered.yaml");
        let text = output(&program("kubectl").arg("kustomize").arg(&self.overlay)).await?;
        std::fs::write(&rendered, text).map_err(|error| error.to_string())?;
        let read =
            self.kubectl(&["create", "--dry-run=client", "--output", "json", "--filename"]).arg(&rendered);
        let workloads = self.kubectl(&["-n", "hello", "get", "deployments,statefulsets", "--output", "json"]);
        let deployed = json(&output(&workloads).await?)?;
        // One object after the other, or a list of them.
        let objects = serde_json::Deserializer::from_str(&output(&read).await?)
            .into_iter::<Value>()
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| error.to_string())?;
        let mut objects: Vec<Value> = objects
            .into_iter()
            .flat_map(|object| object["items"].as_array().cloned().unwrap_or(vec![object]))
            .collect();
        let live = |object: &Value| {
            let same = |other: &&Value| {
                ["/kind", "/metadata/name"].iter().all(|at| other.pointer(at) == object.pointer(at))
            };
            deployed["items"].as_array().and_then(|items| items.iter().find(same))
        };
        let absent: Vec<String> = objects
            .iter()
            .filter(|object| object["kind"] == "Deployment" && live(object).is_none())
            .filter_map(|object| object["metadata"]["name"].as_str().map(str::to_owned))
            .collect();
        objects.retain(|object| {
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            !absent.iter().any(|absent| {
                name.strip_prefix(absent).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
            })
        });
        for object in &mut objects {
            if let Some(annotations) =
                live(object).and_then(|live| live.pointer("/spec/template/metadata/annotations"))
            {
                object["spec"]["template"]["metadata"]["annotations"] = annotations.clone();
            }
        }
        Ok(serde_json::json!({ "apiVersion": "v1", "kind": "List", "items": objects }))
    }

    /// As many pods as the manifests ask for. The autoscaler takes one away once it has seen for five minutes that nobody
    /// asks anything, and two pods are rolled out in half the time; made anew, it waits for five minutes again.
    async fn stand_at_full_strength(&self, manifests: &Value) -> Result<(), NotMeasured> {
        let items = manifests["items"].as_array().into_iter().flatten();
        let scaler = items.clone().find(|item| item["kind"] == "HorizontalPodAutoscaler");
        let deployment = items.clone().find(|item| item["metadata"]["name"] == DEPLOYMENT);
        let replicas = deployment.and_then(|item| item["spec"]["replicas"].as_u64());
        let (Some(scaler), Some(replicas)) = (scaler, replicas) else {
            return Err("the overlay holds no autoscaler or no number of replicas".into());
        };
        let file = self.scratch.join("scaler.json");
        std::fs::write(&file, scaler.to_string()).map_err(|error| error.to_string())?;
        quiet(&self.kubectl(&["delete", "--filename"]).arg(&file)).await?;
        let replicas = format!("--replicas={replicas}");
        quiet(&self.kubectl(&["-n", "hello", "scale", "deployment", DEPLOYMENT, &replicas])).await?;
        quiet(&self.apply().arg(&file)).await?;
        quiet(&self.kubectl(&["-n", "hello", "rollout", "status", "deployment", DEPLOYMENT])).await
    }

    /// As the same manager that ours is, so that neither contender has to take fields from the other.
    fn apply(&self) -> Program {
        self.kubectl(&[
            "apply",
            "--server-side",
            "--force-conflicts",
            "--field-manager=homeport",
            "--filename",
        ])
    }

    async fn take_room(&self) -> Result<(), NotMeasured> {
        let file = self.scratch.join("room.json");
        let container = serde_json::json!({
            "name": ROOM, "image": "postgres:17", "command": ["sleep", "infinity"],
            "resources": { "requests": { "cpu": format!("{PLAIN_CONTROL_PLANE_ASKS_MORE}m") } },
        });
        let pod = serde_json::json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": { "name": ROOM }, "spec": { "containers": [container] },
        });
        std::fs::write(&file, pod.to_string()).map_err(|error| error.to_string())?;
        quiet(&self.kubectl(&["apply", "--filename"]).arg(&file)).await?;
        quiet(&self.kubectl(&["wait", "--for=condition=Ready", "--timeout=60s", "pod", ROOM])).await
    }

    async fn deploy_theirs(&self, manifests: &Value, image: &str) -> Result<f64, NotMeasured> {
        let file = self.scratch.join("manifests.json");
        let text = manifests.to_string().replace(&format!("{NAMED}:dev"), image);
        std::fs::write(&file, text).map_err(|error| error.to_string())?;
        let mut seconds =
            timed(&program("kind").args(["load", "docker-image", image, "--name", PROJECT])).await?;
        seconds += timed(&self.apply().arg(&file)).await?;
        let wait = self.kubectl(&["-n", "hello", "rollout", "status", "deployment", DEPLOYMENT]);
        seconds += timed(&wait).await?;
        Ok(seconds)
    }

    /// An image of the service that no cluster has seen.
    async fn changed_image(&self, bench: &Bench<'_>, tag: &str) -> Result<String, NotMeasured> {
        let directory = bench.scratch.join("image");
        std::fs::create_dir_all(&directory).map_err(|error| error.to_string())?;
        let base = format!("{PROJECT}/service:dev");
        output(&program("docker").args(["image", "inspect", &base])).await?;
        let recipe = format!("FROM {base}\nCOPY change /change\n");
        let mut change = vec![0_u8; BYTES];
        let random = std::fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut change));
        random.map_err(|error| error.to_string())?;
        let write = |name: &str, bytes: &[u8]| {
            std::fs::write(directory.join(name), bytes).map_err(|error| error.to_string())
        };
        write("Dockerfile", recipe.as_bytes())?;
        write("change", &change)?;
        let image = format!("{NAMED}:bench-{tag}");
        let build = program("docker").args(["build", "--quiet", "--tag", &image]).arg(&directory);
        quiet(&build.env("DOCKER_BUILDKIT", "0")).await?;
        Ok(image)
    }
}

fn json(text: &str) -> Result<Value, NotMeasured> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}
