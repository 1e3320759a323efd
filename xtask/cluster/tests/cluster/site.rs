//! Where the stories play: one kind cluster with a name and ports of its own, this checkout, and a copy of what is deployed
//! that a story may change. All of it is gone at the end.
//!
//! Must not: touch a cluster or an image of another name.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use xtask_cluster::http::{Answer, Http, Request};

use crate::image::Images;
use crate::load::Load;
use crate::program::{self, Ended, Running};

/// How long a condition may take that the cluster brings about by itself: a pod that leaves has 35 s.
const PATIENCE: Duration = Duration::from_secs(180);

/// The pause between two looks at a condition: a look starts a program in the node.
const LOOK: Duration = Duration::from_millis(500);

/// The variables of the ports of the host, in the order of [`Site::ports`].
const PORTS: [&str; 3] =
    ["HOMEPORT_KIND_SERVICE_PORT", "HOMEPORT_KIND_PROMETHEUS_PORT", "HOMEPORT_KIND_GRAFANA_PORT"];

/// Variables of the caller's that choose where images come from; the others would change the answer.
const KEPT: [&str; 2] = ["HOMEPORT_IMAGE_DIR", "HOMEPORT_KIND_NODE_IMAGE"];

/// The cluster and what is deployed into it.
#[derive(Debug)]
pub(crate) struct Site {
    name: String,
    copy: tempfile::TempDir,
    ports: [u16; 3],
    /// The images of the stories.
    pub(crate) images: Images,
}

impl Site {
    /// Nothing runs yet, nor any more.
    pub(crate) fn new() -> Self {
        // The same at each run, so that the next one finds what a killed one has left; and no other checkout's, nor a
        // person's, because all of it is removed.
        let mut hasher = DefaultHasher::new();
        checkout().hash(&mut hasher);
        let name = format!("cluster-test-{:08x}", hasher.finish() >> 32);
        let copy = tempfile::Builder::new().prefix("cluster").tempdir_in(env!("CARGO_TARGET_TMPDIR"));
        let copy = copy.expect("cargo's directory for tests can be written");
        for directory in ["k8s", "compose"] {
            copy_directory(&checkout().join(directory), &copy.path().join(directory));
        }
        let holders = [(); 3].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free"));
        let ports = holders.map(|holder| holder.local_addr().expect("it is bound").port());
        let images = Images::new(&format!("{name}/service"));
        let site = Self { name, copy, ports, images };
        // What a killed run has left publishes other ports.
        site.destroy();
        site
    }

    fn command(&self, directory: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask-cluster"));
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            let changes = text.starts_with("HOMEPORT_") && !KEPT.contains(&&*text);
            if changes || ["CI", "NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE"].contains(&&*text) {
                command.env_remove(&name);
            }
        }
        command
            .args(arguments)
            .current_dir(directory)
            .env("CARGO_MANIFEST_DIR", directory)
            .env("HOMEPORT_PROJECT", &self.name)
            .env("HOMEPORT_SERVICE_IMAGE", self.first())
            .env("KUBECONFIG", self.copied("kubeconfig"))
            .envs(PORTS.into_iter().zip(self.ports.map(|port| port.to_string())));
        command
    }

    /// The image of the service as this checkout builds it.
    pub(crate) fn first(&self) -> String {
        format!("homeport/service:{}", self.name)
    }

    /// Starts a command in this checkout.
    pub(crate) fn start_here(&self, arguments: &[&str]) -> Running {
        program::start(self.command(&checkout(), arguments))
    }

    /// Runs a command in this checkout.
    pub(crate) fn run_here(&self, arguments: &[&str]) -> Ended {
        self.start_here(arguments).end()
    }

    /// Starts a command in the copy.
    pub(crate) fn start(&self, arguments: &[&str]) -> Running {
        program::start(self.command(self.copy.path(), arguments))
    }

    /// Starts a command in the copy that stands still there (`before:N`, `after:N`).
    pub(crate) fn start_halting(&self, halt: &str, arguments: &[&str]) -> Running {
        let mut command = self.command(self.copy.path(), arguments);
        command.env("HOMEPORT_HALT", halt);
        program::start(command)
    }

    /// Runs a command in the copy.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        self.start(arguments).end()
    }

    /// Runs a command in the copy with one more variable.
    pub(crate) fn run_with(&self, name: &str, value: &str, arguments: &[&str]) -> Ended {
        let mut command = self.command(self.copy.path(), arguments);
        command.env(name, value);
        program::start(command).end()
    }

    /// Brings the first version there, whatever was there before.
    #[track_caller]
    pub(crate) fn deployed(&self) {
        self.run_here(&["deploy-kind", "--force"]).expect(0);
    }

    /// Builds another version of the service.
    pub(crate) fn version(&mut self, version: &str) -> String {
        let first = self.first();
        self.images.version(&first, version)
    }

    /// The version that a deployment gives to an image: it is made of its identifier.
    #[track_caller]
    pub(crate) fn version_of(image: &str) -> String {
        let mut docker = Command::new("docker");
        docker.args(["image", "inspect", "--format", "{{.Id}}", image]);
        let id = program::output(docker);
        format!("dev-{}", &id.strip_prefix("sha256:").expect("an identifier")[..12])
    }

    /// Builds a program that fails in this manner.
    pub(crate) fn impostor(&mut self, manner: &str) -> String {
        self.images.impostor(manner, self.copy.path())
    }

    /// A file of the copy.
    pub(crate) fn copied(&self, path: &str) -> PathBuf {
        self.copy.path().join(path)
    }

    /// Writes a file of the copy.
    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.copied(path);
        std::fs::create_dir_all(path.parent().expect("a file is in a directory")).expect("it can be made");
        std::fs::write(path, text).expect("it can be written");
    }

    /// Puts the cluster's context, `kind-NAME`, into the kubeconfig that the commands see; returns its name.
    pub(crate) fn context(&self) -> String {
        let mut kind = Command::new("kind");
        kind.args(["get", "kubeconfig", "--name", &self.name]);
        self.write("kubeconfig", &program::output(kind));
        format!("kind-{}", self.name)
    }

    /// The cluster, as kind knows it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The node's container.
    pub(crate) fn node(&self) -> String {
        format!("{}-control-plane", self.name)
    }

    /// Runs a line of a shell in the node, which must do well.
    #[track_caller]
    pub(crate) fn in_node(&self, line: &str) {
        let mut docker = Command::new("docker");
        docker.args(["exec", &self.node(), "sh", "-c", line]);
        program::output(docker);
    }

    /// The digest by which the node knows an image; it can be named by it from then on, as one that was pulled can.
    pub(crate) fn digest_in_node(&self, reference: &str) -> String {
        let images = |arguments: &[&str]| {
            let mut docker = Command::new("docker");
            docker.args(["exec", &self.node(), "ctr", "--namespace", "k8s.io", "images"]).args(arguments);
            program::output(docker)
        };
        let full = format!("docker.io/{reference}");
        let list = images(&["list"]);
        let row = list.lines().find(|line| line.split_whitespace().next() == Some(&full));
        let digest = row.and_then(|line| line.split_whitespace().nth(2)).expect("the node has it").to_owned();
        let name = full.rsplit_once(':').map_or(full.as_str(), |(name, _)| name);
        images(&["tag", "--force", &full, &format!("{name}@{digest}")]);
        digest
    }

    /// Asks the cluster by its own kubectl, in the namespace.
    #[track_caller]
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> String {
        program::output(self.kubectl_command(arguments))
    }

    /// As [`Site::kubectl`], to be run.
    pub(crate) fn kubectl_command(&self, arguments: &[&str]) -> Command {
        let mut docker = Command::new("docker");
        docker.args(["exec", &self.node(), "kubectl", "--kubeconfig", "/etc/kubernetes/admin.conf"]);
        docker.args(["--namespace", "hello"]).args(arguments);
        docker
    }

    /// Hands objects to the cluster's own kubectl; what it said, and whether it took them.
    pub(crate) fn apply(&self, options: &[&str], objects: &str) -> (bool, String) {
        let mut docker = Command::new("docker");
        docker.args(["exec", "--interactive", &self.node(), "kubectl"]);
        docker.args(["--kubeconfig", "/etc/kubernetes/admin.conf", "apply", "--filename", "-"]).args(options);
        docker.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut running = docker.spawn().expect("docker starts");
        running.stdin.take().expect("a pipe").write_all(objects.as_bytes()).expect("it reads");
        let output = running.wait_with_output().expect("it ends");
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&said).into_owned())
    }

    /// What kubectl answers as JSON.
    #[track_caller]
    pub(crate) fn get(&self, what: &[&str]) -> Value {
        let text = self.kubectl(&[&["get", "--output", "json"], what].concat());
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{what:?} ({error}): {text}"))
    }

    /// The service's port.
    pub(crate) fn port(&self) -> u16 {
        self.ports[0]
    }

    /// Sends one request to the service.
    #[track_caller]
    pub(crate) fn send(&self, request: &Request<'_>) -> Answer {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let answer = runtime.block_on(Http::new(Duration::from_secs(5)).send(self.port(), request));
        answer.unwrap_or_else(|error| panic!("{error}"))
    }

    /// The version that answers.
    #[track_caller]
    pub(crate) fn serving(&self) -> String {
        let answer = self.send(&Request::get("/"));
        let json: Value = serde_json::from_slice(&answer.body).expect("the service answers in JSON");
        json["version"].as_str().expect("it has its version").to_owned()
    }

    /// Does something under load: no request may fail, until the last pod that it replaces is gone.
    #[track_caller]
    pub(crate) fn under_load(&self, work: impl FnOnce(&Self)) {
        let load = Load::begin(self.port());
        work(self);
        self.settle();
        load.end_without_a_failed_request();
    }

    /// Waits until every pod is ready and none is leaving.
    #[track_caller]
    pub(crate) fn settle(&self) {
        until("every pod is ready and none is leaving", || {
            let pods = self.get(&["pods"]);
            let pods = pods["items"].as_array().expect("a list");
            let settled = |pod: &Value| {
                let conditions = pod["status"]["conditions"].as_array().cloned().unwrap_or_default();
                let ready = conditions.iter().any(|one| one["type"] == "Ready" && one["status"] == "True");
                ready && pod["metadata"]["deletionTimestamp"].is_null()
            };
            (!pods.is_empty() && pods.iter().all(settled)).then_some(())
        });
    }

    /// Deletes the cluster, and proves that it is gone.
    #[track_caller]
    pub(crate) fn destroy(&self) {
        self.run_here(&["destroy-kind"]).expect(0);
        let mut docker = Command::new("docker");
        docker.args(["ps", "--all", "--quiet", "--filter"]);
        docker.arg(format!("label=io.x-k8s.kind.cluster={}", self.name));
        assert_eq!(program::output(docker), "", "nodes that are left");
    }

    /// The end, whatever happened before.
    pub(crate) fn clear(mut self) {
        self.destroy();
        self.images.remove();
        let _ = Command::new("docker").args(["image", "rm", &self.first()]).output();
    }
}

/// Waits for a condition, with a bound; `what` names it in the failure.
#[track_caller]
pub(crate) fn until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(begun.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(LOOK);
    }
}

fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the workspace's directory").to_owned()
}

fn copy_directory(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("it can be made");
    for entry in std::fs::read_dir(from).expect("it is in git") {
        let entry = entry.expect("it can be listed");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("it has a type").is_dir() {
            copy_directory(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("it can be copied");
        }
    }
}
