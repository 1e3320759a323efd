//! Owns what the tests ask of the engine beside starting containers: whether an image is there, and that nothing stays.
//! Removes only what carries this run's label.

use std::{
    collections::HashMap,
    io::{Read, Write},
    os::unix::process::CommandExt,
    process::{Child, Command, Stdio},
    sync::LazyLock,
};

use bollard::{
    Docker,
    query_parameters::{
        ListContainersOptionsBuilder, ListNetworksOptionsBuilder, RemoveContainerOptionsBuilder,
    },
};

/// The label that every container of a test run carries; its value is the run.
pub(crate) const LABEL: &str = "dev.homeport.test";

/// Set in the process that removes a run's containers after the run.
const REAP: &str = "HOMEPORT_TEST_REAP";

/// This run: what `cargo xtask test` calls it, else the process.
pub(crate) static RUN: LazyLock<String> = LazyLock::new(|| {
    std::env::var(REAP)
        .or_else(|_| std::env::var("HOMEPORT_TEST_RUN"))
        .unwrap_or_else(|_| std::process::id().to_string())
});

/// The engine, by the API version that it speaks.
pub(crate) async fn connect() -> Docker {
    let docker = Docker::connect_with_defaults().expect("a way to the engine");
    docker
        .negotiate_version()
        .await
        .expect("an engine that answers: `cargo xtask doctor` says what is missing")
}

/// The image that a variable names, as name and tag, if the engine has it.
pub(crate) async fn image(variable: &str, default: &str) -> (String, String) {
    let reference = std::env::var(variable).unwrap_or_else(|_| default.to_owned());
    let seen = connect().await.inspect_image(&reference).await;
    assert!(
        seen.is_ok(),
        "the engine has no image {reference} (from {variable}): run `cargo xtask test`, which provides it; \
         this test pulls nothing"
    );
    let (name, tag) = reference.rsplit_once(':').expect("an image with a tag");
    (name.to_owned(), tag.to_owned())
}

/// A process of its own that outlives this one, whatever ends it, and then removes the run's containers.
pub(crate) struct Reaper {
    process: Child,
}

pub(crate) fn is_reaper() -> bool {
    std::env::var_os(REAP).is_some()
}

pub(crate) fn start_reaper() -> Reaper {
    let process = Command::new(std::env::current_exe().expect("this program's path"))
        .env(REAP, &*RUN)
        // Not in this terminal's group: Ctrl-C ends the tests, not this.
        .process_group(0)
        .stdin(Stdio::piped())
        .spawn()
        .expect("the reaper");
    Reaper { process }
}

impl Reaper {
    /// Has the containers removed, and waits for it.
    pub(crate) fn finish(mut self) {
        let mut signal = self.process.stdin.take().expect("a pipe to the reaper");
        signal.write_all(b"done").expect("a reaper that listens");
        drop(signal);
        let status = self.process.wait().expect("the reaper's end");
        assert!(status.success(), "the reaper failed: containers labelled {LABEL}={} may be left", *RUN);
    }
}

/// The reaper's work: waits until the tests' end closes the pipe, then removes what they started.
pub(crate) async fn reap() {
    let mut rest = Vec::new();
    std::io::stdin().read_to_end(&mut rest).expect("a pipe from the tests");
    let docker = connect().await;
    let label = HashMap::from([("label", vec![format!("{LABEL}={}", *RUN)])]);
    let containers = ListContainersOptionsBuilder::new().all(true).filters(&label).build();
    let removal = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
    for container in docker.list_containers(Some(containers)).await.expect("the run's containers") {
        let id = container.id.expect("a container's id");
        // One that its test is removing at this moment is as good as removed.
        let _gone = docker.remove_container(&id, Some(removal.clone())).await;
    }
    let networks = ListNetworksOptionsBuilder::new().filters(&label).build();
    for network in docker.list_networks(Some(networks)).await.expect("the run's networks") {
        docker.remove_network(&network.id.expect("a network's id")).await.expect("the network's removal");
    }
}
