//! Changes in the engine: one operation a function, each safe to repeat.

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

use bollard::models::{
    ContainerStateStatusEnum, NetworkConnectRequest, NetworkCreateRequest, VolumeCreateRequest,
};
use bollard::query_parameters::{
    CreateContainerOptions, KillContainerOptions, RemoveContainerOptions, RemoveVolumeOptions,
    RenameContainerOptions, StartContainerOptions, StopContainerOptions,
};

use super::create::{Blueprint, container_name, network_name, retired_name, seat_name, volume_name};
use super::error::{EngineError, ask};
use super::{Asked, Engine, labels};
use crate::limits;
use crate::plan::{Container, ContainerId, Seat, config_hash};
use crate::stack::{Network, NetworkName, ProjectName, ServiceName, Volume, VolumeName};

/// Whether an operation found something to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    /// It did what it says.
    Now,
    /// It had been done already.
    Before,
}

impl Engine {
    /// Creates a service's container. One of ours that stands in its way, half-made by a run that was killed, makes it
    /// [`Done::Before`]: the plan after the next look tells whether it fits.
    ///
    /// # Errors
    /// When the engine refuses, or a container of that name is not ours.
    pub fn create_container<'a>(&'a self, blueprint: Blueprint<'a>) -> Asked<'a, Done> {
        Box::pin(async move {
            let name = blueprint.container_name();
            let object = format!("container {name}");
            let options = CreateContainerOptions { name: Some(name.clone()), ..Default::default() };
            let mut body = blueprint.body();
            body.labels = body.labels.map(labels::marked);
            let begun = Instant::now();
            loop {
                let request = self.docker.create_container(Some(options.clone()), body.clone());
                let error = match ask("create", &object, limits::ENGINE_OPERATION, request).await {
                    Ok(_) => break,
                    Err(error) if error.is_conflict() => error,
                    Err(error) => return Err(error),
                };
                match self.holder(&blueprint, &name).await? {
                    Holder::Ours => return Ok(Done::Before),
                    Holder::Foreign => return Err(EngineError::Foreign { verb: "create", object }),
                    // A run that was killed asked for it, or for its removal, a moment ago.
                    Holder::Passing if begun.elapsed() < limits::ENGINE_OPERATION => {
                        tokio::time::sleep(limits::PROBE_PAUSE).await;
                    }
                    Holder::Passing => return Err(error),
                }
            }
            for (network, settings) in blueprint.further_endpoints() {
                let request =
                    NetworkConnectRequest { container: name.clone(), endpoint_config: Some(settings) };
                ask(
                    "connect",
                    format!("{object} to network {network}"),
                    limits::ENGINE_OPERATION,
                    self.docker.connect_network(&network, request),
                )
                .await?;
            }
            Ok(Done::Now)
        })
    }

    /// Who has a container's name.
    async fn holder(&self, blueprint: &Blueprint<'_>, name: &str) -> Result<Holder, EngineError> {
        let look = self.docker.inspect_container(name, None);
        let inspection = match ask("inspect", format!("container {name}"), limits::ENGINE_ANSWER, look).await
        {
            Ok(inspection) => inspection,
            Err(error) if error.is_not_found() => return Ok(Holder::Passing),
            Err(error) => return Err(error),
        };
        let labels = inspection.config.and_then(|config| config.labels).unwrap_or_default();
        let status = inspection.state.and_then(|state| state.status);
        let label = |key| labels.get(key).map_or("", String::as_str);
        // A service may be called as another one's successor.
        let another = |service: &str| !service.is_empty() && service != blueprint.name.as_str();
        Ok(match label(labels::PROJECT) {
            owner if owner != blueprint.project.as_str() => Holder::Foreign,
            _ if another(label(labels::SERVICE)) => Holder::Foreign,
            _ if status == Some(ContainerStateStatusEnum::REMOVING) => Holder::Passing,
            _ => Holder::Ours,
        })
    }

    /// The identifier of the container that has this place.
    ///
    /// # Errors
    /// When there is none.
    pub fn container_id<'a>(&'a self, project: &'a ProjectName, seat: &'a Seat) -> Asked<'a, ContainerId> {
        Box::pin(async move {
            let name = seat_name(project, seat);
            let inspection = ask(
                "inspect",
                format!("container {name}"),
                limits::ENGINE_ANSWER,
                self.docker.inspect_container(&name, None),
            )
            .await?;
            Ok(ContainerId(inspection.id.unwrap_or(name)))
        })
    }

    /// Gives a successor its service's name.
    ///
    /// # Errors
    /// When there is none, or the name is taken.
    pub fn rename_successor<'a>(
        &'a self,
        project: &'a ProjectName,
        service: &'a ServiceName,
    ) -> Asked<'a, ()> {
        Box::pin(async move {
            let successor = seat_name(project, &Seat::successor(service));
            let options = RenameContainerOptions { name: container_name(project, service) };
            let request = self.docker.rename_container(&successor, options);
            ask("rename", format!("container {successor}"), limits::ENGINE_OPERATION, request).await
        })
    }

    /// Takes a service's name from its container.
    ///
    /// # Errors
    /// When the engine refuses. One that is gone, or has made way already, is no error.
    pub fn retire<'a>(&'a self, project: &'a ProjectName, container: &'a Container) -> Asked<'a, Done> {
        Box::pin(async move {
            let own = container.id.to_string();
            let options = RenameContainerOptions { name: retired_name(project, &container.service, &own) };
            let request = self.docker.rename_container(&container.id.0, options);
            let object = format!("container {}", container.name);
            absent_is_done(ask("rename", object, limits::ENGINE_OPERATION, request).await)
        })
    }

    /// Removes a service's successor at once.
    ///
    /// # Errors
    /// When the engine refuses. One that is not there is no error.
    pub fn remove_successor<'a>(
        &'a self,
        project: &'a ProjectName,
        service: &'a ServiceName,
    ) -> Asked<'a, Done> {
        Box::pin(async move {
            let successor = seat_name(project, &Seat::successor(service));
            self.remove_container(&ContainerId(successor), Duration::ZERO).await
        })
    }

    /// Starts a service's container; one that runs already is [`Done::Before`].
    ///
    /// # Errors
    /// When the engine refuses: [`EngineError::taken_port`] tells a taken port from the rest.
    pub fn start_container<'a>(&'a self, project: &'a ProjectName, seat: &'a Seat) -> Asked<'a, ()> {
        Box::pin(async move {
            let name = seat_name(project, seat);
            // Starting one that runs is answered with 304, which bollard takes for success.
            let request = self.docker.start_container(&name, None::<StartContainerOptions>);
            ask("start", format!("container {name}"), limits::ENGINE_OPERATION, request).await
        })
    }

    /// Lets a paused container go on.
    ///
    /// # Errors
    /// When the engine refuses.
    pub fn unpause_container<'a>(&'a self, container: &'a ContainerId) -> Asked<'a, ()> {
        Box::pin(async move {
            let request = self.docker.unpause_container(&container.0);
            ask("unpause", format!("container {container}"), limits::ENGINE_OPERATION, request).await
        })
    }

    /// Sends a container's main process a signal, by name (`SIGHUP`).
    ///
    /// # Errors
    /// When the engine refuses.
    pub fn signal_container<'a>(&'a self, container: &'a ContainerId, signal: &'a str) -> Asked<'a, ()> {
        Box::pin(async move {
            let options = KillContainerOptions { signal: signal.to_owned() };
            let request = self.docker.kill_container(&container.0, Some(options));
            ask("signal", format!("container {container}"), limits::ENGINE_OPERATION, request).await
        })
    }

    /// Stops a container within `grace` (zero kills it) without removing it.
    ///
    /// # Errors
    /// When the engine refuses. One that is gone is no error.
    pub fn stop_container<'a>(&'a self, container: &'a ContainerId, grace: Duration) -> Asked<'a, Done> {
        Box::pin(async move {
            let seconds = i32::try_from(grace.as_secs()).unwrap_or(i32::MAX);
            let options = StopContainerOptions { t: Some(seconds), signal: None };
            let request = self.docker.stop_container(&container.0, Some(options));
            absent_is_done(
                ask("stop", format!("container {container}"), limits::ENGINE_OPERATION + grace, request)
                    .await,
            )
        })
    }

    /// Stops a container within `grace` and removes it with its anonymous volumes; zero grace kills it at once.
    ///
    /// # Errors
    /// When the engine refuses. One that is gone is no error.
    pub fn remove_container<'a>(&'a self, container: &'a ContainerId, grace: Duration) -> Asked<'a, Done> {
        Box::pin(async move {
            if !grace.is_zero() {
                self.stop_container(container, grace).await?;
            }
            let options = RemoveContainerOptions { force: true, v: true, link: false };
            // "removal of container … is already in progress": that of a run that was killed. It is as good as ours, once it
            // is done; until then the name and the volumes are taken.
            once_free(limits::ENGINE_OPERATION, || {
                let request = self.docker.remove_container(&container.0, Some(options.clone()));
                ask("remove", format!("container {container}"), limits::ENGINE_OPERATION, request)
            })
            .await
        })
    }

    /// Creates a network of the project.
    ///
    /// # Errors
    /// When the engine refuses, or a network of that name is not ours.
    pub fn create_network<'a>(
        &'a self,
        project: &'a ProjectName,
        name: &'a NetworkName,
        network: &'a Network,
    ) -> Asked<'a, Done> {
        Box::pin(async move {
            let engine_name = network_name(project, name);
            let object = format!("network {engine_name}");
            let existing = ask(
                "inspect",
                &object,
                limits::ENGINE_ANSWER,
                self.docker.inspect_network(&engine_name, None),
            )
            .await;
            match existing {
                Ok(seen) => {
                    let ours = seen.labels.unwrap_or_default().get(labels::PROJECT).map(String::as_str)
                        == Some(project.as_str());
                    return if ours {
                        Ok(Done::Before)
                    } else {
                        Err(EngineError::Foreign { verb: "create", object })
                    };
                }
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error),
            }
            let request = NetworkCreateRequest {
                name: engine_name,
                driver: network.driver.clone(),
                internal: Some(network.internal),
                options: Some(network.driver_opts.clone().into_iter().collect()),
                labels: Some(labels::marked(object_labels(project, name.as_str(), &config_hash(network)))),
                ..Default::default()
            };
            let made =
                ask("create", object, limits::ENGINE_OPERATION, self.docker.create_network(request)).await?;
            self.keep_one_network(project, name, &made.id).await?;
            Ok(Done::Now)
        })
    }

    /// The engine takes two networks of one name, and then starts no container on either. The request of a run that was
    /// killed may have been under way when this one looked: then both are there now, and this one's goes again.
    async fn keep_one_network(
        &self,
        project: &ProjectName,
        name: &NetworkName,
        made: &str,
    ) -> Result<(), EngineError> {
        let twice = self.networks(project).await?.iter().filter(|seen| seen.name == *name).count() > 1;
        if twice {
            self.remove_network(made, name).await?;
        }
        Ok(())
    }

    /// Removes a network.
    ///
    /// # Errors
    /// When the engine refuses. One that is gone is no error.
    pub fn remove_network<'a>(&'a self, id: &'a str, name: &'a NetworkName) -> Asked<'a, Done> {
        Box::pin(async move {
            once_free(limits::ENGINE_SETTLES, || {
                let request = self.docker.remove_network(id);
                ask("remove", format!("network {name}"), limits::ENGINE_OPERATION, request)
            })
            .await
        })
    }

    /// Creates a volume of the project, marked with the checkout that it is made for.
    ///
    /// # Errors
    /// When the engine refuses, or a volume of that name is not ours.
    pub fn create_volume<'a>(
        &'a self,
        project: &'a ProjectName,
        name: &'a VolumeName,
        volume: &'a Volume,
        directory: &'a Path,
    ) -> Asked<'a, Done> {
        Box::pin(async move {
            let engine_name = volume_name(project, name);
            let object = format!("volume {engine_name}");
            let mut labels = object_labels(project, name.as_str(), &config_hash(volume));
            labels.insert(labels::DIRECTORY.to_owned(), directory.display().to_string());
            let request = VolumeCreateRequest {
                name: Some(engine_name),
                driver: volume.driver.clone(),
                driver_opts: Some(volume.driver_opts.clone().into_iter().collect()),
                labels: Some(labels::marked(labels)),
                cluster_volume_spec: None,
            };
            // Creating one that exists is answered with the one that exists: its labels tell whose it is.
            let made =
                ask("create", &object, limits::ENGINE_OPERATION, self.docker.create_volume(request)).await?;
            if made.labels.get(labels::PROJECT).map(String::as_str) != Some(project.as_str()) {
                return Err(EngineError::Foreign { verb: "create", object });
            }
            Ok(Done::Now)
        })
    }

    /// Removes a volume and the data in it.
    ///
    /// # Errors
    /// When the engine refuses. One that is gone is no error.
    pub fn remove_volume<'a>(&'a self, engine_name: &'a str) -> Asked<'a, Done> {
        Box::pin(async move {
            once_free(limits::ENGINE_SETTLES, || {
                let request = self.docker.remove_volume(engine_name, None::<RemoveVolumeOptions>);
                ask("remove", format!("volume {engine_name}"), limits::ENGINE_OPERATION, request)
            })
            .await
        })
    }
}

/// Who has a name.
enum Holder {
    /// A container of the project.
    Ours,
    /// Somebody else's.
    Foreign,
    /// One that is not there yet, or not for long.
    Passing,
}

/// Removes what may still be in use: the engine lets go of a container's network and volumes a moment after it shows the
/// container no more. Tries again for as long as `bound`.
async fn once_free<R>(bound: Duration, remove: impl Fn() -> R) -> Result<Done, EngineError>
where
    R: Future<Output = Result<(), EngineError>>,
{
    let begun = Instant::now();
    loop {
        match absent_is_done(remove().await) {
            Err(error) if error.is_in_use() && begun.elapsed() < bound => {
                tokio::time::sleep(limits::PROBE_PAUSE).await;
            }
            result => return result,
        }
    }
}

fn absent_is_done(result: Result<(), EngineError>) -> Result<Done, EngineError> {
    match result {
        Ok(()) => Ok(Done::Now),
        Err(error) if error.is_not_found() => Ok(Done::Before),
        Err(error) => Err(error),
    }
}

fn object_labels(project: &ProjectName, name: &str, hash: &str) -> HashMap<String, String> {
    [(labels::PROJECT, project.as_str()), (labels::OBJECT, name), (labels::CONFIG_HASH, hash)]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
}

#[cfg(test)]
mod tests;
