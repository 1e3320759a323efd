//! What the groups make outside of this checkout, and how it goes: before a group begins, once it has ended, and when
//! it was stopped. A run that was killed leaves it to the next one.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;

use super::{NotMeasured, PROJECT, cluster, output, program, quiet, save, service, stack, xtask};
use crate::cli::Group;
use crate::limits;

/// One thing that a group may leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Leftover {
    /// Our own stack, made by one of these checkouts; the first that is still there takes it down.
    Stack(Vec<PathBuf>),
    /// A project of Docker Compose.
    Compose(&'static str),
    /// A container.
    Container(&'static str),
    /// Images, by a pattern of their names.
    Images(&'static str),
    /// The kind cluster.
    Cluster,
    /// A directory.
    Directory(PathBuf),
}

/// What a group may leave, the first thing first to go. `scratch` is where checkouts are.
pub(super) fn of(group: Group, root: &Path, scratch: &Path) -> Vec<Leftover> {
    let ours = || Leftover::Stack(vec![root.to_owned()]);
    match group {
        Group::Stack => vec![ours(), Leftover::Compose(stack::THEIRS)],
        Group::Save => vec![
            // Whoever started it knows best how it was cut off.
            Leftover::Stack(vec![scratch.join(save::OURS), root.to_owned()]),
            Leftover::Compose(save::THEIRS),
            Leftover::Images(save::THEIRS),
        ],
        Group::Service => vec![Leftover::Container(service::PGBENCH), ours()],
        Group::Cluster => vec![Leftover::Cluster, Leftover::Images(cluster::IMAGES)],
        // A gigabyte that no later run needs.
        Group::Fresh => vec![Leftover::Directory(scratch.join("fresh-target"))],
    }
}

/// Removes all of it within a bound, and tells what is left, why, and how a person removes it.
pub(super) async fn remove(leftovers: &[Leftover], root: &Path) -> Vec<String> {
    let deadline = Instant::now() + limits::BENCH_CLEARED;
    let mut left = Vec::new();
    for leftover in leftovers {
        let removed = tokio::time::timeout_at(deadline, leftover.remove(root)).await;
        if let Err(why) = removed.unwrap_or_else(|_| Err(too_long(limits::BENCH_CLEARED))) {
            left.push(format!("left: {} ({why}); {} removes it", leftover.name(), leftover.command()));
        }
    }
    left
}

fn too_long(bound: Duration) -> NotMeasured {
    format!("removing took longer than {} s", bound.as_secs())
}

impl Leftover {
    fn name(&self) -> String {
        match self {
            Self::Stack(_) => format!("the stack {PROJECT}"),
            Self::Compose(project) => format!("the Compose project {project}"),
            Self::Container(name) => format!("the container {name}"),
            Self::Images(pattern) => format!("the images {pattern}"),
            Self::Cluster => format!("the kind cluster {PROJECT}"),
            Self::Directory(path) => format!("the directory {}", path.display()),
        }
    }

    /// What a person types to remove it.
    pub(super) fn command(&self) -> String {
        let command = match self {
            Self::Stack(_) => format!("HOMEPORT_PROJECT={PROJECT} cargo xtask down --volumes"),
            Self::Compose(project) => format!("docker compose -p {project} down --volumes"),
            Self::Container(name) => format!("docker rm --force --volumes {name}"),
            Self::Images(pattern) => format!("docker image rm $(docker image ls --quiet {pattern})"),
            Self::Cluster => format!("HOMEPORT_PROJECT={PROJECT} cargo xtask destroy-kind"),
            Self::Directory(path) => format!("rm -r {}", path.display()),
        };
        format!("`{command}`")
    }

    /// Removes it, if it is there. What is removed may need programs that are not installed: without them nothing of theirs
    /// is there.
    async fn remove(&self, root: &Path) -> Result<(), NotMeasured> {
        match self {
            Self::Stack(checkouts) => {
                let there = checkouts.iter().find(|checkout| checkout.join("compose/compose.yaml").is_file());
                quiet(&xtask(there.map_or(root, PathBuf::as_path))?.args(["down", "--volumes"])).await
            }
            Self::Compose(project) => {
                let label = format!("label=com.docker.compose.project={project}");
                // What the engine was asked for by a Compose that was killed may come only now.
                for _ in 0..2 {
                    if objects(&label).await?.is_empty() {
                        return Ok(());
                    }
                    // By its name alone: the files that it was made of may be gone.
                    let down = program("docker")
                        .args(["compose", "-p", *project, "down", "--volumes"])
                        .directory("/");
                    quiet(&down.env_remove("COMPOSE_FILE")).await?;
                }
                let still = objects(&label).await?;
                if still.is_empty() { Ok(()) } else { Err(format!("there is still {}", still.join(", "))) }
            }
            Self::Container(name) => {
                let filter = format!("name=^/{name}$");
                let there = program("docker").args(["ps", "--all", "--quiet", "--filter", &filter]);
                all(&["rm", "--force", "--volumes"], &output(&there).await?).await
            }
            Self::Images(pattern) => {
                let form = "{{.Repository}}:{{.Tag}}";
                let there = program("docker").args(["image", "ls", "--format", form, *pattern]);
                all(&["image", "rm"], &output(&there).await?).await
            }
            Self::Cluster => {
                let label = format!("label=io.x-k8s.kind.cluster={PROJECT}");
                let nodes = program("docker").args(["ps", "--all", "--quiet", "--filter", &label]);
                if output(&nodes).await?.is_empty() {
                    return Ok(());
                }
                // Not by our own program, which may have to be compiled first.
                quiet(&program("kind").args(["delete", "cluster", "--name", PROJECT])).await
            }
            Self::Directory(path) => match tokio::fs::remove_dir_all(path).await {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.to_string()),
                _ => Ok(()),
            },
        }
    }
}

/// Containers, volumes and networks with a label.
async fn objects(label: &str) -> Result<Vec<String>, NotMeasured> {
    let lists: [&[&str]; 3] = [
        &["ps", "--all", "--format", "container {{.Names}}"],
        &["volume", "ls", "--format", "volume {{.Name}}"],
        &["network", "ls", "--format", "network {{.Name}}"],
    ];
    let mut objects = Vec::new();
    for list in lists {
        let listed = program("docker").args(list.iter().copied()).args(["--filter", label]);
        objects.extend(output(&listed).await?.lines().map(str::to_owned));
    }
    Ok(objects)
}

/// Has Docker do this with each of these, a name a line.
async fn all(words: &[&str], names: &str) -> Result<(), NotMeasured> {
    if names.is_empty() {
        return Ok(());
    }
    quiet(&program("docker").args(words.iter().copied()).args(names.lines())).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_group_tells_how_what_it_leaves_is_removed() {
        let commands = |group| {
            let leftovers = of(group, Path::new("/here"), Path::new("/here/scratch"));
            leftovers.iter().map(Leftover::command).collect::<Vec<_>>()
        };
        let down = "`HOMEPORT_PROJECT=homeport-bench cargo xtask down --volumes`";
        let told = [
            (Group::Stack, vec![down, "`docker compose -p homeport-bench-compose down --volumes`"]),
            (
                Group::Save,
                vec![
                    down,
                    "`docker compose -p homeport-bench-watch down --volumes`",
                    "`docker image rm $(docker image ls --quiet homeport-bench-watch)`",
                ],
            ),
            (Group::Service, vec!["`docker rm --force --volumes homeport-bench-pgbench`", down]),
            (
                Group::Cluster,
                vec![
                    "`HOMEPORT_PROJECT=homeport-bench cargo xtask destroy-kind`",
                    "`docker image rm $(docker image ls --quiet homeport/service:bench-*)`",
                ],
            ),
            (Group::Fresh, vec!["`rm -r /here/scratch/fresh-target`"]),
        ];
        assert_eq!(told.clone().map(|(group, _)| group), Group::ALL);
        for (group, expected) in told {
            assert_eq!(commands(group), expected, "{group:?}");
        }
    }

    #[tokio::test]
    async fn what_cannot_be_removed_is_told_with_its_reason_and_its_command() {
        let place = tempfile::tempdir().expect("a directory");
        let (directory, file) = (place.path().join("target"), place.path().join("file"));
        std::fs::create_dir(&directory).expect("a directory");
        std::fs::write(&file, "").expect("a file");
        let leftovers = [
            Leftover::Directory(directory.clone()),
            Leftover::Directory(file.clone()),
            Leftover::Directory(directory.clone()),
        ];
        let left = remove(&leftovers, place.path()).await;
        assert!(!directory.exists());
        let [left] = &left[..] else { panic!("{left:?}") };
        assert!(left.starts_with(&format!("left: the directory {} (", file.display())), "{left}");
        assert!(left.ends_with(&format!("); `rm -r {}` removes it", file.display())), "{left}");
    }
}
