//! A container that runs one program to its end and is gone: for tools that come as images (promtool).

use std::path::PathBuf;
use std::time::Duration;

use bollard::models::{ContainerCreateBody, HostConfig, Mount, MountType};
use bollard::query_parameters::{CreateContainerOptions, RemoveContainerOptions, WaitContainerOptions};
use futures_util::StreamExt as _;

use super::error::{EngineError, ask, refusal};
use super::{Asked, Engine, LogOptions, Run, labels};
use crate::plan::ContainerId;
use crate::stack::ImageReference;

/// What to run.
#[derive(Debug, Clone)]
pub struct OneShot {
    /// The image.
    pub image: ImageReference,
    /// The program and its arguments, in place of the image's entry point.
    pub command: Vec<String>,
    /// Directories of the host and where they are seen, read-only.
    pub mounts: Vec<(PathBuf, String)>,
    /// How long it may run.
    pub limit: Duration,
}

/// What a tool may do besides reading what is mounted: nothing, unless it says so.
#[derive(Debug, Clone, Default)]
pub struct Freedom {
    /// Directories of the host that it writes to, and where they are seen. It then runs as this program's user.
    pub writes: Vec<(PathBuf, String)>,
    /// Whether it has a network.
    pub network: bool,
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OneShotEnd {
    /// Its exit status.
    pub status: i64,
    /// What it said, standard output and error together.
    pub lines: Vec<String>,
}

impl Engine {
    /// Runs it without network and with a read-only root, and removes it.
    ///
    /// # Errors
    /// When the engine refuses, or it does not end in time.
    pub fn run_once<'a>(&'a self, what: &'a OneShot) -> Asked<'a, OneShotEnd> {
        Box::pin(async move { self.run_once_free(what, &Freedom::default()).await })
    }

    /// As [`Engine::run_once`], with the freedom that is given.
    ///
    /// # Errors
    /// As for [`Engine::run_once`].
    pub fn run_once_free<'a>(&'a self, what: &'a OneShot, freedom: &'a Freedom) -> Asked<'a, OneShotEnd> {
        Box::pin(async move {
            let object = || format!("container of {}", what.image);
            let read = what.mounts.iter().map(|mount| (mount, true));
            let mounts = read.chain(freedom.writes.iter().map(|mount| (mount, false)));
            let mounts = mounts.map(|((source, target), read_only)| Mount {
                source: Some(source.display().to_string()),
                target: Some(target.clone()),
                typ: Some(MountType::BIND),
                read_only: Some(read_only),
                ..Default::default()
            });
            let user = if freedom.writes.is_empty() { None } else { self.this_user().await? };
            let body = ContainerCreateBody {
                image: Some(what.image.with_tag().to_string()),
                entrypoint: Some(what.command.clone()),
                cmd: Some(Vec::new()),
                user,
                labels: Some([(labels::TOOL.to_owned(), Run::this().to_string())].into()),
                host_config: Some(HostConfig {
                    mounts: Some(mounts.collect()),
                    network_mode: (!freedom.network).then(|| "none".to_owned()),
                    readonly_rootfs: Some(true),
                    tmpfs: Some([("/tmp".to_owned(), String::new())].into()),
                    ..Default::default()
                }),
                ..Default::default()
            };
            let created = ask(
                "create",
                object(),
                what.limit,
                self.docker.create_container(None::<CreateContainerOptions>, body),
            )
            .await?;
            let id = ContainerId(created.id);
            let ended = self.run_to_end(&id, what.limit, &object()).await;
            let options = RemoveContainerOptions { force: true, v: true, link: false };
            ask("remove", object(), what.limit, self.docker.remove_container(&id.0, Some(options))).await?;
            ended
        })
    }

    /// This program's user and group, as a container's user; `None` where the engine makes root of whoever runs it.
    async fn this_user(&self) -> Result<Option<String>, EngineError> {
        let limit = crate::limits::ENGINE_ANSWER;
        let info = ask("ask", "the engine how it runs", limit, self.docker.info()).await?;
        if info.security_options.unwrap_or_default().iter().any(|option| option.contains("rootless")) {
            return Ok(None);
        }
        #[cfg(unix)]
        {
            let (user, group) = (rustix::process::getuid(), rustix::process::getgid());
            Ok(Some(format!("{}:{}", user.as_raw(), group.as_raw())))
        }
        #[cfg(not(unix))]
        Ok(None)
    }

    async fn run_to_end(
        &self,
        id: &ContainerId,
        limit: Duration,
        object: &str,
    ) -> Result<OneShotEnd, EngineError> {
        ask("start", object, limit, self.docker.start_container(&id.0, None)).await?;
        let mut wait = self.docker.wait_container(&id.0, None::<WaitContainerOptions>);
        let status = match tokio::time::timeout(limit, wait.next()).await {
            Ok(Some(Ok(ended))) => ended.status_code,
            Ok(Some(Err(bollard::errors::Error::DockerContainerWaitError { code, .. }))) => code,
            Ok(Some(Err(source))) => return Err(refusal("wait for", object.to_owned(), source)),
            Ok(None) => -1,
            Err(_) => return Err(EngineError::Silent { verb: "wait for", object: object.to_owned(), limit }),
        };
        let lines = self.logs(id, &LogOptions::default()).map(|line| line.text).collect().await;
        Ok(OneShotEnd { status, lines })
    }
}
