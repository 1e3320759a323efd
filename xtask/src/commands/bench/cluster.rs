//! A changed image to a kind cluster that is up: `deploy-kind` against `kind load`, `kubectl apply` and
//! `kubectl rollout status`, in turns on one cluster. Ours also tries the service through its NodePort.

use std::io::Read as _;
use std::path::PathBuf;

use super::{Bench, NotMeasured, PROJECT, cargo, copy_directory, free_port, output, program, quiet, timed};
use crate::bench::{Entry, Series, Work};
use crate::process::Program;

/// The service's image as the manifests name it.
const NAMED: &str = "homeport/service";

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
    let measured = stand.take_turns(bench).await;
    let _ = quiet(&stand.ours(&["destroy-kind"])).await;
    measured
}

struct Stand {
    ours: Program,
    /// A copy of the manifests, in which the other contender names its image.
    manifests: PathBuf,
}

impl Stand {
    fn build(bench: &Bench<'_>) -> Result<Self, NotMeasured> {
        let mut ours = cargo(bench.root())
            .args(["run", "--quiet", "--package", "xtask-cluster", "--"])
            .env("HOMEPORT_PROJECT", PROJECT);
        for name in ["SERVICE", "PROMETHEUS", "GRAFANA"] {
            ours = ours.env(format!("HOMEPORT_KIND_{name}_PORT"), free_port()?.to_string());
        }
        let manifests = bench.scratch.join("k8s");
        if manifests.exists() {
            std::fs::remove_dir_all(&manifests).map_err(|error| error.to_string())?;
        }
        copy_directory(&bench.root().join("k8s"), &manifests)?;
        copy_directory(&bench.root().join("compose"), &bench.scratch.join("compose"))?;
        Ok(Self { ours, manifests })
    }

    fn ours(&self, words: &[&str]) -> Program {
        self.ours.clone().args(words.iter().copied())
    }

    async fn take_turns(&self, bench: &Bench<'_>) -> Result<Vec<Entry>, NotMeasured> {
        let mut ours = Series::of("`deploy-kind`");
        let mut theirs = Series::of("`kind load`, `kubectl apply`, `kubectl rollout status`");
        for run in 1..=bench.runs {
            bench.say(format!("run {run} of {}", bench.runs));
            let image = self.changed_image(bench, &format!("ours-{run}")).await?;
            ours.values.push(timed(&self.ours(&["deploy-kind", "--image", &image])).await?);
            let image = self.changed_image(bench, &format!("theirs-{run}")).await?;
            theirs.values.push(self.deploy_theirs(&image).await?);
        }
        Ok(vec![Entry::measured(Work::Deploy, ours, theirs)])
    }

    async fn deploy_theirs(&self, image: &str) -> Result<f64, NotMeasured> {
        let context = format!("kind-{PROJECT}");
        let overlay = self.manifests.join("overlays/kind");
        let file = overlay.join("kustomization.yaml");
        let tag = image.rsplit(':').next().unwrap_or_default();
        let text = std::fs::read_to_string(&file).map_err(|error| error.to_string())?;
        let lines = text.lines().filter(|line| !line.ends_with("components/grafana"));
        let text: String = lines
            .map(|line| match line.split_once("newTag: ") {
                Some((before, _)) => format!("{before}newTag: {tag}\n"),
                None => format!("{line}\n"),
            })
            .collect();
        std::fs::write(&file, text).map_err(|error| error.to_string())?;
        let kubectl =
            |words: &[&str]| program("kubectl").args(["--context", &context]).args(words.iter().copied());
        // As the same manager, so that neither contender has to take fields from the other.
        let apply =
            kubectl(&["apply", "--server-side", "--force-conflicts", "--field-manager=homeport", "-k"]);
        let mut seconds =
            timed(&program("kind").args(["load", "docker-image", image, "--name", PROJECT])).await?;
        seconds += timed(&apply.arg(&overlay)).await?;
        let wait = kubectl(&["-n", "hello", "rollout", "status", "deployment/hello-deployment"]);
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
