//! What a plan may not be begun with on this machine: told before anything is touched.
//!
//! Must not: change anything.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::Session;
use crate::doctor::{PortState, ports};
use crate::engine::PublishedPort;
use crate::failure::{Code, Failure};
use crate::plan::{Action, Plan};
use crate::project::{PROJECT_VARIABLE, Project, holder, is_undecided, other_checkout};
use crate::stack::{MountSource, Service, ServiceName, Stack};

/// How many ports above one that is taken are looked at: two stacks side by side take five.
const PORTS_ABOVE: u16 = 50;

impl Session {
    /// Refuses to work on what another checkout has made under the same name: its containers would be replaced, its data
    /// removed. Whoever names the project in the environment has chosen.
    ///
    /// # Errors
    /// When there is such a checkout, or the engine does not answer.
    pub async fn refuse_another_checkouts(&self) -> Result<(), Failure> {
        let name = &self.stack.project;
        let Some(other) = self.other_checkout().await? else { return Ok(()) };
        let message = format!("project {name} is that of another checkout, {}", other.display());
        Err(Failure::new(Code::ProjectForeign, message).hint(format!(
            "for a project of its own, remove {PROJECT_VARIABLE} and the ports from compose/.env and run `cargo xtask \
             dev`, which chooses others; or work on that one: {PROJECT_VARIABLE}={name} before the command"
        )))
    }

    /// The other checkout that has made what there is of this project, if one has. Whoever names the project in the
    /// environment means that one.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn other_checkout(&self) -> Result<Option<PathBuf>, Failure> {
        if Project::is_named_by_environment() {
            return Ok(None);
        }
        let name = self.stack.project.as_str();
        let of_project = self.engine.checkouts().await?.into_iter().filter(|(project, _)| project == name);
        let directories = of_project.map(|(_, directory)| directory).collect();
        Ok(other_checkout(&self.project, &directories).map(Path::to_owned))
    }

    /// Whether a command that only looks has nothing to look at, because the stack is another checkout's; it says whose.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn has_no_stack(&self) -> Result<bool, Failure> {
        let Some(other) = self.other_checkout().await? else { return Ok(false) };
        let next = if is_undecided(&self.project)? { "; `cargo xtask dev` makes one beside it" } else { "" };
        self.events.note(format!(
            "this checkout has no stack: project {} is that of another one, {}{next}",
            self.stack.project,
            other.display()
        ));
        Ok(true)
    }

    /// Refuses a plan that cannot be carried out on this machine, before anything is touched.
    ///
    /// # Errors
    /// When a file that is to be mounted does not exist, or somebody else holds a port.
    pub async fn refuse_impossible(&self, plan: &Plan) -> Result<(), Failure> {
        self.refuse_absent_mounts(plan)?;
        self.refuse_taken_ports(plan).await
    }

    /// Before anything is touched: a file to mount that is not there would be refused by the engine only once the
    /// container it replaces is gone.
    fn refuse_absent_mounts(&self, plan: &Plan) -> Result<(), Failure> {
        for step in plan.steps.iter().filter(|step| !step.optional) {
            let Action::CreateContainer(seat) = &step.action else { continue };
            let name = &seat.service;
            let Some(service) = self.stack.services.get(name) else { continue };
            for mount in &service.mounts {
                // Outside of the checkout the engine judges: it may run on another machine.
                let MountSource::Bind(path) = &mount.source else { continue };
                if path.starts_with(self.project.root()) && !path.exists() {
                    let path = self.project.relative(path).display();
                    let message =
                        format!("cannot mount {path} in {name} at {}: it does not exist", mount.target);
                    return Err(Failure::new(Code::ComposeInvalid, message)
                        .hint(format!("create it, or mend the volumes of {name} in compose/compose.yaml")));
                }
            }
        }
        Ok(())
    }

    /// The ports above one that nobody holds, few or none.
    async fn free_above(&self, port: u16, published: &[PublishedPort]) -> BTreeSet<u16> {
        let mut free = BTreeSet::new();
        for above in port..=port.saturating_add(PORTS_ABOVE) {
            if ports::state(above, Some(self.stack.project.as_str()), published).await == PortState::Free {
                free.insert(above);
            }
        }
        free
    }

    /// Before anything is touched: a port that somebody else holds is a failure that names the holder.
    async fn refuse_taken_ports(&self, plan: &Plan) -> Result<(), Failure> {
        let wanted = self.ports_to_be_taken(plan);
        if wanted.is_empty() {
            return Ok(());
        }
        let published = self.engine.published_ports().await?;
        for (name, port) in wanted {
            let state = ports::state(port, Some(self.stack.project.as_str()), &published).await;
            let (PortState::Taken(_) | PortState::Refused(_)) = &state else { continue };
            let by = match state {
                PortState::Taken(Some(holder)) => format!("taken by {holder}"),
                PortState::Refused(why) => format!("not to be had: {why}"),
                _ => "taken by a process that this user may not see".to_owned(),
            };
            return Err(Failure::new(
                Code::PortTaken,
                format!("cannot publish {name}: port {port} on 127.0.0.1 is {by}"),
            )
            .hint(format!(
                "stop it, or choose another port: {}",
                another_port(&self.stack, name.as_str(), port, &self.free_above(port, &published).await)
            )));
        }
        Ok(())
    }

    /// The ports of this machine that carrying out a plan takes, and whose they are: those of containers it starts, and
    /// those that are held in the place of services, unless this `dev` or (for one that only looks) another one has them.
    fn ports_to_be_taken(&self, plan: &Plan) -> Vec<(ServiceName, u16)> {
        let started = plan.steps.iter().filter(|step| !step.optional).filter_map(|step| match &step.action {
            Action::StartContainer(seat) => self.stack.services.get_key_value(&seat.service),
            _ => None,
        });
        let of_containers = started.flat_map(|(name, service)| {
            service.ports.iter().filter_map(|port| Some((name.clone(), port.published?)))
        });
        let held = holder(&self.project, &self.stack.project)
            .is_some_and(|holder| holder.is_foreground_dev() && holder.pid != std::process::id());
        let of_fronts = self.fronts.missing(&self.stack).into_iter().filter(|_| !held);
        of_containers.chain(of_fronts.filter_map(|(name, port)| Some((name, port.published?)))).collect()
    }
}

/// How a person chooses another port: the next free one that nothing in the stack publishes.
fn another_port(stack: &Stack, service: &str, port: u16, free: &BTreeSet<u16>) -> String {
    let published: BTreeSet<u16> = stack
        .services
        .values()
        .flat_map(Service::published_ports)
        .filter_map(|port| port.published)
        .collect();
    let free = free.iter().copied().find(|port| !published.contains(port)).unwrap_or(port);
    let variable = service.to_uppercase().replace('-', "_");
    format!("HOMEPORT_{variable}_PORT={free} cargo xtask dev")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::{Source, parse};

    #[test]
    fn another_port_is_none_of_the_stack() {
        let text =
            "services: {web-ui: {image: a, ports: ['80:1']}, other: {image: a, ports: ['81:1', '83:1']}}";
        let source = Source {
            path: std::path::Path::new("compose.yaml"),
            text,
            directory: std::path::Path::new("/stack"),
            project: None,
            variables: &|_| None,
            files: &|_| None,
        };
        let stack = parse(&source).unwrap().stack;
        assert_eq!(
            another_port(&stack, "web-ui", 80, &BTreeSet::from([81, 83, 84])),
            "HOMEPORT_WEB_UI_PORT=84 cargo xtask dev"
        );
    }
}
