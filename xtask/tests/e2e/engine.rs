//! What a test sees in the engine, and what it plants there, past the program under test.
//!
//! Must not: touch anything but by a name that a test made.

use std::collections::HashMap;
use std::path::Path;
use std::sync::LazyLock;

use bollard::Docker;
use bollard::container::AttachContainerResults;
use bollard::exec::{CreateExecOptions, StartExecResults};
use bollard::models::{
    ContainerCreateBody, ContainerInspectResponse, HealthStatusEnum, HostConfig, NetworkConnectRequest,
    NetworkCreateRequest, NetworkDisconnectRequest, PortBinding, VolumeCreateRequest,
};
use bollard::query_parameters::{
    AttachContainerOptions, CreateContainerOptions, KillContainerOptions, ListContainersOptions,
    ListNetworksOptions, ListVolumesOptions, RemoveContainerOptions, RemoveImageOptions, RemoveVolumeOptions,
    RestartContainerOptions, StartContainerOptions, StopContainerOptions, TagImageOptions, TopOptions,
};
use futures_util::StreamExt as _;
use tokio::runtime::Runtime;

use crate::program::RUN;

/// The label that makes an object one of a project's.
pub(crate) const PROJECT_LABEL: &str = xtask::engine::labels::PROJECT;

/// The label that tells which of the Compose file's networks or volumes an object is.
pub(crate) const OBJECT_LABEL: &str = xtask::engine::labels::OBJECT;

static ENGINE: LazyLock<(Runtime, Docker)> = LazyLock::new(|| {
    let runtime = Runtime::new().expect("threads can be started");
    let docker = runtime.block_on(async {
        let docker = Docker::connect_with_defaults().expect("DOCKER_HOST can be read");
        docker
            .negotiate_version()
            .await
            .expect("these tests need a container engine; `cargo xtask doctor --fix` mends that")
    });
    (runtime, docker)
});

fn ask<T>(question: impl AsyncFnOnce(&Docker) -> T) -> T {
    let (runtime, docker) = &*ENGINE;
    runtime.block_on(question(docker))
}

/// Fails unless the engine has the images that a Compose file names.
pub(crate) fn need_images(compose: &str) {
    let images = compose.lines().filter_map(|line| line.trim().strip_prefix("image: "));
    for image in images.filter(|image| !image.starts_with("${")) {
        let found = ask(async |docker| docker.inspect_image(image).await);
        assert!(found.is_ok(), "the engine lacks {image}; `cargo xtask test e2e` gets it first");
    }
}

/// Every container, network and volume whose name begins with the project's, as `container NAME`.
pub(crate) fn objects(project: &str) -> Vec<String> {
    let mut found = ask(async |docker| {
        let everything = ListContainersOptions { all: true, ..Default::default() };
        let containers = docker.list_containers(Some(everything)).await.expect("the engine lists containers");
        let networks =
            docker.list_networks(None::<ListNetworksOptions>).await.expect("the engine lists networks");
        let volumes =
            docker.list_volumes(None::<ListVolumesOptions>).await.expect("the engine lists volumes");
        let containers = containers.into_iter().flat_map(|container| container.names.unwrap_or_default());
        let containers = containers.map(|name| ("container", name.trim_start_matches('/').to_owned()));
        let networks = networks.into_iter().filter_map(|network| Some(("network", network.name?)));
        let volumes = volumes.volumes.unwrap_or_default().into_iter().map(|volume| ("volume", volume.name));
        containers.chain(networks).chain(volumes).collect::<Vec<_>>()
    });
    found.retain(|(_, name)| {
        name.strip_prefix(project).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    });
    let mut found: Vec<String> = found.into_iter().map(|(kind, name)| format!("{kind} {name}")).collect();
    found.sort();
    found
}

/// A container as the engine shows it; `None` when there is none of this name.
pub(crate) fn container(name: &str) -> Option<ContainerInspectResponse> {
    ask(async |docker| docker.inspect_container(name, None).await).ok()
}

/// The identifier of a container, which a replacement changes.
#[track_caller]
pub(crate) fn container_id(name: &str) -> String {
    container(name)
        .and_then(|container| container.id)
        .unwrap_or_else(|| panic!("there is no container {name}"))
}

/// Whether a container runs.
pub(crate) fn runs(name: &str) -> bool {
    container(name).and_then(|container| container.state?.running).unwrap_or(false)
}

/// Kills a container's main process.
pub(crate) fn kill_container(name: &str) {
    ask(async |docker| docker.kill_container(name, None::<KillContainerOptions>).await).expect("it runs");
}

/// Removes a container that runs, as `docker rm --force --volumes` does.
pub(crate) fn remove_container(name: &str) {
    // With the volumes that have no name: nobody would know them as a test's.
    let options = RemoveContainerOptions { force: true, v: true, link: false };
    ask(async |docker| docker.remove_container(name, Some(options)).await).expect("it is there");
}

/// Sends a signal to a container's main process.
pub(crate) fn signal_container(name: &str, signal: &str) {
    let options = KillContainerOptions { signal: signal.to_owned() };
    ask(async |docker| docker.kill_container(name, Some(options)).await).expect("it runs");
}

/// Starts a container that has ended.
pub(crate) fn start_container(name: &str) {
    ask(async |docker| docker.start_container(name, None::<StartContainerOptions>).await)
        .expect("it can be started");
}

/// Restarts a container as a person does, its main process having so many seconds to end.
pub(crate) fn restart_container(name: &str, grace: i32) {
    let options = RestartContainerOptions { t: Some(grace), ..Default::default() };
    ask(async |docker| docker.restart_container(name, Some(options)).await).expect("it can be restarted");
}

/// Freezes a container's processes.
pub(crate) fn pause_container(name: &str) {
    ask(async |docker| docker.pause_container(name).await).expect("it runs");
}

/// Lets frozen processes go on.
pub(crate) fn unpause_container(name: &str) {
    ask(async |docker| docker.unpause_container(name).await).expect("it is frozen");
}

/// Somebody who asked for a container's output and does not take it: the engine waits for them, and so, after a megabyte
/// or two, does the container. Ends when dropped.
pub(crate) struct DeafReader {
    _output: AttachContainerResults,
}

impl DeafReader {
    /// Of this container.
    pub(crate) fn of(name: &str) -> Self {
        let options =
            AttachContainerOptions { stdout: true, stderr: true, stream: true, ..Default::default() };
        let attached = ask(async |docker| docker.attach_container(name, Some(options)).await);
        Self { _output: attached.expect("it runs") }
    }
}

/// Whether the engine itself calls a container unhealthy.
pub(crate) fn is_unhealthy(name: &str) -> bool {
    let status = container(name).and_then(|container| container.state?.health?.status);
    status == Some(HealthStatusEnum::UNHEALTHY)
}

/// Runs a command in a container, to its end, which has to be a good one.
pub(crate) fn run_in(name: &str, command: &[&str]) {
    assert_eq!(try_run_in(name, command), Some(0), "{command:?} in {name}");
}

/// Runs a command in a container, to its end, and tells its exit status.
pub(crate) fn try_run_in(name: &str, command: &[&str]) -> Option<i64> {
    output_of(name, command).0
}

/// Runs a command in a container, to its end: its exit status, and what it said.
pub(crate) fn output_of(name: &str, command: &[&str]) -> (Option<i64>, String) {
    let options = CreateExecOptions {
        cmd: Some(command.iter().map(|word| (*word).to_owned()).collect()),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        ..Default::default()
    };
    ask(async |docker| {
        let mut said = String::new();
        let made = docker.create_exec(name, options).await.expect("it runs");
        if let StartExecResults::Attached { mut output, .. } =
            docker.start_exec(&made.id, None).await.expect("it can be run")
        {
            while let Some(Ok(piece)) = output.next().await {
                said.push_str(&piece.to_string());
            }
        }
        (docker.inspect_exec(&made.id).await.expect("it ran").exit_code, said)
    })
}

/// Takes a container off a network.
pub(crate) fn disconnect(network: &str, container: &str) {
    let request = NetworkDisconnectRequest { container: container.to_owned(), force: None };
    ask(async |docker| docker.disconnect_network(network, request).await).expect("it is on it");
}

/// Puts a container on a network as a hand would, with no name of its own.
pub(crate) fn connect(network: &str, container: &str) {
    let request = NetworkConnectRequest { container: container.to_owned(), endpoint_config: None };
    ask(async |docker| docker.connect_network(network, request).await).expect("both are there");
}

/// Stops a container as an orchestrator does, with SIGTERM and this grace, and returns its exit status.
pub(crate) fn stop_container(name: &str, grace: i32) -> i64 {
    let options = StopContainerOptions { t: Some(grace), ..Default::default() };
    ask(async |docker| docker.stop_container(name, Some(options)).await).expect("it can be stopped");
    container(name).and_then(|container| container.state?.exit_code).expect("it has ended")
}

/// The user identifiers of a container's processes.
pub(crate) fn users(name: &str) -> Vec<String> {
    let options = TopOptions { ps_args: "-eo pid,uid".to_owned() };
    let top = ask(async |docker| docker.top_processes(name, Some(options)).await).expect("it runs");
    let rows = top.processes.unwrap_or_default();
    rows.into_iter().filter_map(|row| row.into_iter().nth(1)).collect()
}

/// Gives an image a further name.
pub(crate) fn tag_image(image: &str, repository: &str, tag: &str) {
    let options = TagImageOptions { repo: Some(repository.to_owned()), tag: Some(tag.to_owned()) };
    ask(async |docker| docker.tag_image(image, Some(options)).await).expect("it is there");
}

/// How many containers a label of this key and value marks.
pub(crate) fn labelled(key: &str, value: &str) -> usize {
    let filters = HashMap::from([("label".to_owned(), vec![format!("{key}={value}")])]);
    let options = ListContainersOptions { all: true, filters: Some(filters), ..Default::default() };
    ask(async |docker| docker.list_containers(Some(options)).await).expect("the engine lists").len()
}

/// Whether any container runs a command that contains this.
pub(crate) fn is_running(command: &str) -> bool {
    let running = ask(async |docker| docker.list_containers(None::<ListContainersOptions>).await)
        .expect("the engine lists");
    running.into_iter().any(|container| container.command.is_some_and(|line| line.contains(command)))
}

/// The name of an image that a test lets the program make; the image is removed at the end.
#[derive(Debug)]
pub(crate) struct OwnImage(String);

impl OwnImage {
    pub(crate) fn new(reference: &str) -> Self {
        Self(reference.to_owned())
    }

    /// Its name.
    pub(crate) fn reference(&self) -> &str {
        &self.0
    }

    /// Whether it was made.
    pub(crate) fn exists(&self) -> bool {
        ask(async |docker| docker.inspect_image(&self.0).await).is_ok()
    }
}

impl Drop for OwnImage {
    fn drop(&mut self) {
        let force = RemoveImageOptions { force: true, ..Default::default() };
        // There is none when the test ended before it was made.
        let _ = ask(async |docker| docker.remove_image(&self.0, Some(force), None).await);
    }
}

/// Something in the engine that the program under test did not make; removed at the end of the test.
#[derive(Debug)]
pub(crate) enum Planted {
    Container(String),
    Network(String),
    Volume(String),
}

impl Planted {
    /// A container that was made and never started.
    pub(crate) fn container(name: &str, labels: &[(&str, &str)]) -> Self {
        let body = ContainerCreateBody {
            image: Some("redis:8".to_owned()),
            labels: Some(owned(labels)),
            ..Default::default()
        };
        let options = CreateContainerOptions { name: Some(name.to_owned()), ..Default::default() };
        ask(async |docker| docker.create_container(Some(options), body).await).expect("it can be made");
        Self::Container(name.to_owned())
    }

    /// A container that runs the same image with the same environment beside another one, on its network, and otherwise
    /// as a stranger would run it: nothing but what the image itself says. Its root is read-only, it has no capability,
    /// and the port is published on this host.
    pub(crate) fn beside(name: &str, other: &str, inside: u16, published: u16) -> Self {
        Self::twin(name, other, &[], &[], inside, published)
    }

    /// As [`Planted::beside`], with these arguments, and these directories of the host mounted.
    pub(crate) fn twin(
        name: &str,
        other: &str,
        arguments: &[&str],
        mounts: &[(&Path, &str)],
        inside: u16,
        published: u16,
    ) -> Self {
        let other = container(other).expect("the other one is there");
        let networks = other.network_settings.and_then(|settings| settings.networks).unwrap_or_default();
        let port = format!("{inside}/tcp");
        let binding =
            PortBinding { host_ip: Some("127.0.0.1".to_owned()), host_port: Some(published.to_string()) };
        let mounts = mounts.iter().map(|(source, target)| format!("{}:{target}:ro", source.display()));
        let body = ContainerCreateBody {
            image: other.image,
            labels: Some(owned(&[])),
            env: other.config.and_then(|config| config.env),
            cmd: (!arguments.is_empty()).then(|| arguments.iter().map(|word| (*word).to_owned()).collect()),
            exposed_ports: Some(vec![port.clone()]),
            host_config: Some(HostConfig {
                readonly_rootfs: Some(true),
                cap_drop: Some(vec!["ALL".to_owned()]),
                network_mode: networks.into_keys().next(),
                port_bindings: Some(HashMap::from([(port, Some(vec![binding]))])),
                binds: Some(mounts.collect()),
                ..Default::default()
            }),
            ..Default::default()
        };
        let options = CreateContainerOptions { name: Some(name.to_owned()), ..Default::default() };
        ask(async |docker| docker.create_container(Some(options), body).await).expect("it can be made");
        let planted = Self::Container(name.to_owned());
        start_container(name);
        planted
    }

    /// A network.
    pub(crate) fn network(name: &str, labels: &[(&str, &str)]) -> Self {
        let request =
            NetworkCreateRequest { name: name.to_owned(), labels: Some(owned(labels)), ..Default::default() };
        ask(async |docker| docker.create_network(request).await).expect("it can be made");
        Self::Network(name.to_owned())
    }

    /// A volume.
    pub(crate) fn volume(name: &str, labels: &[(&str, &str)]) -> Self {
        let request = VolumeCreateRequest {
            name: Some(name.to_owned()),
            labels: Some(owned(labels)),
            ..Default::default()
        };
        ask(async |docker| docker.create_volume(request).await).expect("it can be made");
        Self::Volume(name.to_owned())
    }
}

impl Drop for Planted {
    fn drop(&mut self) {
        // A test may have let the program remove it.
        let _ = ask(async |docker| match self {
            Self::Container(name) => {
                let force = RemoveContainerOptions { force: true, v: true, link: false };
                docker.remove_container(name, Some(force)).await
            }
            Self::Network(name) => docker.remove_network(name).await,
            Self::Volume(name) => docker.remove_volume(name, None::<RemoveVolumeOptions>).await,
        });
    }
}

/// These labels, and that of the run: a later one takes away what a killed test has planted.
fn owned(labels: &[(&str, &str)]) -> HashMap<String, String> {
    let run = (xtask::engine::labels::TEST, RUN.as_str());
    let all = std::iter::once(&run).chain(labels);
    all.map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}
