//! The kind cluster: made, found, judged, deleted. kind and the engine's own command line do it, through `xtask::process`.
//!
//! Must not: talk to the cluster's API, or touch the user's kubeconfig and its current context.

mod configuration;
mod images;
mod nodes;

use std::path::{Path, PathBuf};

use tokio::io::{AsyncBufReadExt as _, BufReader};
use xtask::event::StepReporter;
use xtask::failure::{Code, Failure};
use xtask::process::{ProcessError, Program};
use xtask::project::Project;

pub use images::{NodeImage, NodeImages};
pub use nodes::Node;

use crate::limits;

/// The NodePorts of `k8s/overlays/kind/node-ports.yaml`, and the variables that choose other ports of the host.
const PORTS: [(u16, &str); 3] = [
    (30253, "HOMEPORT_KIND_SERVICE_PORT"),
    (30090, "HOMEPORT_KIND_PROMETHEUS_PORT"),
    (30030, "HOMEPORT_KIND_GRAFANA_PORT"),
];

/// The variable that chooses the node's image.
const NODE_IMAGE_VARIABLE: &str = "HOMEPORT_KIND_NODE_IMAGE";

/// The node's label with the project: what makes a cluster ours.
pub const OWNER_LABEL: &str = "dev.homeport/project";

/// The node's label with a digest of the checkout's directory, of as many digits as tell checkouts apart: two of them may
/// have projects of one name.
pub const DIRECTORY_LABEL: &str = "dev.homeport/directory";

/// Our kind cluster, whether it exists or not.
#[derive(Debug, Clone)]
pub struct Kind {
    name: String,
    scratch: PathBuf,
    project: Project,
}

/// A port of the host and the NodePort that it leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mapping {
    /// The port on 127.0.0.1.
    pub host: u16,
    /// The port of the node.
    pub node: u16,
}

impl Kind {
    /// The cluster of a checkout whose project has this name.
    pub fn new(name: &str, project: &Project) -> Self {
        Self { name: name.to_owned(), scratch: project.scratch(), project: project.clone() }
    }

    /// Its name, as `kind get clusters` shows it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What [`DIRECTORY_LABEL`] says of a cluster that this checkout makes.
    pub fn directory(&self) -> String {
        self.project.directory_digest()[..16].to_owned()
    }

    /// The node that runs everything.
    pub fn node(&self) -> String {
        format!("{}-control-plane", self.name)
    }

    /// The ports that a new cluster is given.
    ///
    /// # Errors
    /// When a variable holds no port.
    pub fn wanted_ports(&self) -> Result<Vec<Mapping>, Failure> {
        let mapping = |(node, variable): (u16, &str)| match self.project.variable(variable)? {
            Some(text) => text.parse().map(|host| Mapping { host, node }).map_err(|_| {
                Failure::new(Code::Usage, format!("cannot use {variable}={text}: expected a port"))
            }),
            None => Ok(Mapping { host: node, node }),
        };
        PORTS.into_iter().map(mapping).collect()
    }

    /// The containers that are its nodes.
    ///
    /// # Errors
    /// When the engine's command line cannot be run.
    pub async fn nodes(&self) -> Result<Vec<Node>, Failure> {
        let filter = format!("label=io.x-k8s.kind.cluster={}", self.name);
        let listing = docker(["ps", "--all", "--filter", &filter, "--format", nodes::FORMAT]);
        let text = listing.output().await.map_err(unusable)?;
        Ok(nodes::parse(&text))
    }

    /// Whether a run that was killed has left it half made. Waits for that run's kind, which outlives it.
    ///
    /// # Errors
    /// When the file that says so cannot be read.
    pub async fn is_half_made(&self, reporter: &StepReporter) -> Result<bool, Failure> {
        let text = match std::fs::read_to_string(self.intent()) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(self.unwritable(&error)),
        };
        if let Ok(pid) = text.trim().parse::<u32>() {
            let begun = std::time::Instant::now();
            while is_kind(pid) && begun.elapsed() < limits::KIND_CREATE {
                reporter.message(format!("an earlier run's kind (pid {pid}) is still at work"));
                tokio::time::sleep(limits::LOOK_PAUSE).await;
            }
        }
        Ok(true)
    }

    /// Makes the cluster. Until [`Kind::note_made`] it counts as being made.
    ///
    /// # Errors
    /// When kind is missing or fails, with what it said.
    pub async fn create(&self, image: Option<&str>, reporter: &StepReporter) -> Result<(), Failure> {
        std::fs::create_dir_all(&self.scratch).map_err(|error| self.unwritable(&error))?;
        let config = self.configuration_file();
        let patches = self.patches_directory();
        std::fs::create_dir_all(&patches).map_err(|error| self.unwritable(&error))?;
        for (name, patch) in configuration::patches() {
            std::fs::write(patches.join(name), patch).map_err(|error| self.unwritable(&error))?;
        }
        let told = configuration::cluster(&self.name, &self.directory(), &self.wanted_ports()?, &patches);
        std::fs::write(&config, told).map_err(|error| self.unwritable(&error))?;
        let mut program = kind(["create", "cluster", "--name", &self.name]).arg("--config").arg(&config);
        program = program.arg("--kubeconfig").arg(self.kubeconfig_file());
        if let Some(image) = image {
            program = program.args(["--image", image]);
        }
        let made = tokio::time::timeout(limits::KIND_CREATE, self.follow(&program, reporter)).await;
        made.map_err(|_| {
            Failure::new(
                Code::ClusterUnusable,
                format!("kind did not make cluster {} within {} s", self.name, limits::KIND_CREATE.as_secs()),
            )
            .hint("`cargo xtask deploy-kind` tries anew")
        })?
    }

    /// Runs kind, notes that it is at work, and passes on what it says.
    async fn follow(&self, program: &Program, reporter: &StepReporter) -> Result<(), Failure> {
        self.note_intent(0)?;
        let mut child = program.stream().map_err(unusable)?;
        self.note_intent(child.id().unwrap_or(0))?;
        let stderr = child.stderr.take().expect("the stream was asked for as a pipe");
        let mut lines = BufReader::new(stderr).lines();
        let mut said = Vec::new();
        while let Ok(Some(line)) = lines.next_line().await {
            // kind redraws its line with a carriage return.
            let line = line.rsplit('\r').next().unwrap_or_default().trim().to_owned();
            if !line.is_empty() {
                reporter.message(line.clone());
                said.push(line);
            }
        }
        let status = child.wait().await.map_err(|error| self.unwritable(&error))?;
        if status.success() {
            return Ok(());
        }
        let failure = Failure::new(Code::ClusterUnusable, format!("{} ended with {status}", program.line()));
        Err(failure.details(said).hint("`cargo xtask doctor --for deploy-kind` says what this machine lacks"))
    }

    /// Deletes it.
    ///
    /// # Errors
    /// When kind is missing or fails.
    pub async fn delete(&self) -> Result<(), Failure> {
        let program = kind(["delete", "cluster", "--name", &self.name]);
        program.arg("--kubeconfig").arg(self.kubeconfig_file()).output().await.map_err(unusable)?;
        self.forget(&self.kubeconfig_file())?;
        self.forget(&self.configuration_file())?;
        match std::fs::remove_dir_all(self.patches_directory()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(self.unwritable(&error)),
            _ => {}
        }
        self.forget(&self.made())?;
        self.forget(&self.intent())
    }

    /// The kubeconfig with which it can be reached: the one that kind wrote when the cluster of this node was made here,
    /// where it is at hand; else kind is asked, which takes longer.
    ///
    /// # Errors
    /// When kind is missing, or there is no such cluster.
    pub async fn kubeconfig(&self, node: &Node) -> Result<String, Failure> {
        if self.is_made_here(node)
            && let Ok(kept) = std::fs::read_to_string(self.kubeconfig_file())
            && !kept.is_empty()
        {
            return Ok(kept);
        }
        kind(["get", "kubeconfig", "--name", &self.name]).output().await.map_err(unusable)
    }

    /// Whether this checkout made the cluster of this node. For one that cannot be asked for its label.
    pub fn is_made_here(&self, node: &Node) -> bool {
        std::fs::read_to_string(self.made()).is_ok_and(|id| !id.is_empty() && id == node.id)
    }

    /// Notes that the cluster of this node is ours, and that it is no longer being made.
    ///
    /// # Errors
    /// When the files that say so cannot be changed.
    pub fn note_made(&self, node: &Node) -> Result<(), Failure> {
        std::fs::create_dir_all(&self.scratch).map_err(|error| self.unwritable(&error))?;
        std::fs::write(self.made(), &node.id).map_err(|error| self.unwritable(&error))?;
        self.forget(&self.intent())
    }

    /// The variable that chooses the host's port for a NodePort.
    pub fn port_variable(node: u16) -> &'static str {
        PORTS.iter().find(|(port, _)| *port == node).map_or("", |(_, variable)| variable)
    }

    /// What kind is told.
    fn configuration_file(&self) -> PathBuf {
        self.scratch.join(format!("kind-{}.yaml", self.name))
    }

    /// What kubeadm is told of the control plane; the node mounts it.
    fn patches_directory(&self) -> PathBuf {
        self.scratch.join(format!("kind-{}.patches", self.name))
    }

    /// A kubeconfig of its own, so that kind leaves the user's alone.
    fn kubeconfig_file(&self) -> PathBuf {
        self.scratch.join(format!("kind-{}.kubeconfig", self.name))
    }

    /// The file with the identifier of the node that was made here.
    fn made(&self) -> PathBuf {
        self.scratch.join(format!("kind-{}.node", self.name))
    }

    /// The file that is there while the cluster is being made.
    fn intent(&self) -> PathBuf {
        self.scratch.join(format!("kind-{}.creating", self.name))
    }

    fn note_intent(&self, pid: u32) -> Result<(), Failure> {
        std::fs::write(self.intent(), pid.to_string()).map_err(|error| self.unwritable(&error))
    }

    fn forget(&self, file: &Path) -> Result<(), Failure> {
        match std::fs::remove_file(file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(self.unwritable(&error)),
            _ => Ok(()),
        }
    }

    fn unwritable(&self, error: &std::io::Error) -> Failure {
        Failure::new(Code::ProjectInvalid, format!("cannot use {}: {error}", self.scratch.display()))
    }
}

/// Whether a process is a kind that still runs.
fn is_kind(pid: u32) -> bool {
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm"));
    let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    pid != 0 && name.is_ok_and(|name| name.trim() == "kind") && !state.contains(") Z ")
}

fn kind<const N: usize>(arguments: [&str; N]) -> Program {
    Program::new("kind", limits::KIND_COMMAND).args(arguments.map(str::to_owned))
}

/// kind itself needs the engine's command line.
fn docker<const N: usize>(arguments: [&str; N]) -> Program {
    Program::new("docker", limits::KIND_COMMAND).args(arguments.map(str::to_owned))
}

fn unusable(error: ProcessError) -> Failure {
    let text = error.to_string();
    match error {
        ProcessError::Missing { program } => {
            let how = if program == "kind" {
                "`cargo xtask doctor --fix --for deploy-kind` installs it; or see https://kind.sigs.k8s.io"
            } else {
                "`cargo xtask doctor --fix --for deploy-kind` installs it"
            };
            Failure::new(Code::ProgramMissing, text).hint(how)
        }
        ProcessError::Failed { stderr, .. } => Failure::new(Code::ClusterUnusable, text).details(stderr),
        ProcessError::Io { .. } | ProcessError::TimedOut { .. } => Failure::new(Code::ClusterUnusable, text),
    }
}

/// The node's image: the one that a variable names, else the newest of those that the engine has, else `None`: kind's
/// own choice, which it pulls. `engine` are references of the engine's images.
pub fn node_image(engine: &[String]) -> Option<String> {
    std::env::var(NODE_IMAGE_VARIABLE)
        .ok()
        .filter(|image| !image.is_empty())
        .or_else(|| newest_node_image(engine).map(str::to_owned))
}

fn newest_node_image(engine: &[String]) -> Option<&str> {
    let numbers = |image: &str| -> Option<Vec<u32>> {
        let version = image.strip_prefix("kindest/node:v")?;
        version.split('.').map(|number| number.parse().ok()).collect()
    };
    let known = engine.iter().filter_map(|image| Some((numbers(image)?, image.as_str())));
    known.max().map(|(_, image)| image)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_node_image_is_chosen_by_number() {
        let table: [(&[&str], Option<&str>); 3] = [
            (&["kindest/node:v1.9.11", "kindest/node:v1.34.4", "postgres:17"], Some("kindest/node:v1.34.4")),
            (&["kindest/node:latest"], None),
            (&[], None),
        ];
        for (images, expected) in table {
            let images: Vec<String> = images.iter().map(|image| (*image).to_owned()).collect();
            assert_eq!(newest_node_image(&images), expected);
        }
    }
}
