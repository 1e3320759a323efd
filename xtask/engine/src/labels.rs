//! The labels that mark an object as ours, and what they say. Nothing without them is ever touched.

use std::collections::HashMap;

use crate::stack::{ProjectName, ServiceName};

/// The project an object belongs to.
pub const PROJECT: &str = "dev.homeport.project";
/// The service a container belongs to.
pub const SERVICE: &str = "dev.homeport.service";
/// The key in the file of a network or a volume.
pub const OBJECT: &str = "dev.homeport.name";
/// The hash of the configuration an object was made from.
pub const CONFIG_HASH: &str = "dev.homeport.config-hash";
/// The digest of the files a container mounts from the workspace.
pub const FILES_HASH: &str = "dev.homeport.files-hash";
/// The digest of what a one-shot's work is repeated for.
pub const REPEAT_HASH: &str = "dev.homeport.repeat-hash";
/// The services a container depends on, separated by commas.
pub const DEPENDS_ON: &str = "dev.homeport.depends-on";
/// The checkout an object was made from.
pub const DIRECTORY: &str = "dev.homeport.directory";

/// An object of a test; the value names the run ([`super::Run`]).
pub const TEST: &str = "dev.homeport.test";
/// A container that runs a tool to its end; the value names the run that waits for it.
pub const TOOL: &str = "dev.homeport.tool";

/// The variable that names the run of tests on whose behalf this program works: the process that waits for its end. What is
/// made meanwhile carries [`TEST`], so that a later run can tell what a killed one has left. Nobody else sets it.
pub const RUN_VARIABLE: &str = "HOMEPORT_TEST_RUN";

/// The labels of a new object, with the run of tests that it is made for, if any.
pub(super) fn marked(mut labels: HashMap<String, String>) -> HashMap<String, String> {
    let run = std::env::var(RUN_VARIABLE).ok().filter(|run| !run.is_empty());
    labels.extend(run.map(|run| (TEST.to_owned(), run)));
    labels
}

/// The filter that selects a project's objects.
pub(super) fn of_project(project: &ProjectName) -> HashMap<String, Vec<String>> {
    HashMap::from([("label".to_owned(), vec![format!("{PROJECT}={project}")])])
}

/// The services in the value of [`DEPENDS_ON`].
pub(super) fn services(value: &str) -> Vec<ServiceName> {
    value.split(',').filter(|name| !name.is_empty()).map(ServiceName::new).collect()
}
