//! Which version of its mounted files a container was last told to read again. The engine keeps no such thing and lets no
//! label of a container be changed, so it is noted beside the run logs. It says nothing the engine says too, so the two
//! cannot disagree; lost, it costs one signal more.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Project;
use crate::plan::{Container, ContainerId};
use crate::stack::{ProjectName, ServiceName};

/// One service's last reload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Reload {
    /// The container that was told; another one has read the files when it began.
    container: String,
    /// The digest of the files.
    files: String,
}

fn path(project: &Project, name: &ProjectName) -> PathBuf {
    project.scratch().join(format!("{name}.reloads.json"))
}

fn read(project: &Project, name: &ProjectName) -> BTreeMap<String, Reload> {
    let text = std::fs::read(path(project, name)).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

/// Gives containers that were told to read their files again the digest of what they read then.
pub fn apply_reloads(project: &Project, name: &ProjectName, containers: &mut [Container]) {
    let reloads = read(project, name);
    for container in containers {
        if let Some(reload) = reloads.get(container.service.as_str())
            && reload.container == container.id.0
        {
            container.files_hash.clone_from(&reload.files);
        }
    }
}

/// Notes that a container was told to read its files again. The project's lock is held by the caller.
///
/// # Errors
/// When the file cannot be written.
pub fn note_reload(
    project: &Project,
    name: &ProjectName,
    service: &ServiceName,
    container: &ContainerId,
    files: &str,
) -> std::io::Result<()> {
    let mut reloads = read(project, name);
    let reload = Reload { container: container.0.clone(), files: files.to_owned() };
    reloads.insert(service.to_string(), reload);
    // `cargo clean` may have taken the directory away beside a `dev` that stays.
    let scratch = project.scratch();
    std::fs::create_dir_all(&scratch)?;
    // Through a file beside it, so that a kill leaves the old or the new one.
    let mut file = tempfile::NamedTempFile::new_in(&scratch)?;
    file.write_all(&serde_json::to_vec(&reloads)?)?;
    file.persist(path(project, name)).map_err(|error| error.error)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::plan::{ContainerId, ContainerState, Health, Role};

    #[test]
    fn a_reload_is_noted_where_cargo_clean_has_cleared_the_directory() {
        let root = tempfile::tempdir().expect("a directory");
        let project = Project::at(root.path());
        let (name, web) = (ProjectName::new("shop"), ServiceName::new("web"));
        let mut containers = [Container {
            id: ContainerId("1f".to_owned()),
            name: "shop-web".to_owned(),
            role: Role::Holder,
            service: web.clone(),
            depends_on: Vec::new(),
            config_hash: String::new(),
            files_hash: String::new(),
            repeat_hash: String::new(),
            image_id: String::new(),
            stop_grace: None,
            networks: BTreeMap::new(),
            ports: BTreeMap::new(),
            state: ContainerState::Running(Health::Healthy),
            started_at: None,
            reason: None,
        }];
        for files in ["one", "two"] {
            note_reload(&project, &name, &web, &containers[0].id.clone(), files).expect("it is noted");
            apply_reloads(&project, &name, &mut containers);
            assert_eq!(containers[0].files_hash, files);
            std::fs::remove_dir_all(root.path().join("target")).expect("it was made");
        }
    }
}
