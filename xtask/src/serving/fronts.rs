//! Which address of this machine stands for which container while `dev` runs: the fronts of a stack's services, and what
//! is behind each.
//!
//! Must not: decide when a container is exchanged; the plan says so. It asks the engine nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::limits;
use crate::listening::refuse_answered;
use crate::plan::{Container, ContainerState, Health, Role};
use crate::proxy::{Drain, Front, OwnAnswers};
use crate::stack::{Port, ServiceName, Stack};

/// The fronts that are open. Cloned freely: all clones are the same fronts.
#[derive(Debug, Clone, Default)]
pub struct Fronts(Arc<Mutex<Open>>, OwnAnswers);

#[derive(Debug, Default)]
struct Open {
    fronts: BTreeMap<(ServiceName, Port), Front>,
    /// Those whose container has begun to start.
    starting: BTreeSet<(ServiceName, Port)>,
    /// Servers that get no more requests and may still have some.
    draining: BTreeMap<SocketAddr, Vec<Drain>>,
}

/// A port that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot hold port {port} for {service}: {source}")]
pub struct Unavailable {
    /// Whose port.
    pub service: ServiceName,
    /// The port.
    pub port: u16,
    source: std::io::Error,
}

impl Fronts {
    /// The ports of fronted services that are not open yet.
    pub fn missing(&self, stack: &Stack) -> Vec<(ServiceName, Port)> {
        let open = self.open();
        let all = stack
            .services
            .iter()
            .flat_map(|(name, service)| service.fronts.iter().map(|port| (name.clone(), port.clone())));
        all.filter(|key| !open.fronts.contains_key(key)).collect()
    }

    /// Closes what the stack does not want any more, and opens what can be had. A port that a container of the project
    /// still publishes is opened once that is gone, by [`Fronts::switch`].
    pub async fn adapt(&self, stack: &Stack) {
        let wanted = |(name, port): &(ServiceName, Port)| {
            stack.services.get(name).is_some_and(|service| service.fronts.contains(port))
        };
        self.open().fronts.retain(|key, _| wanted(key));
        for (name, port) in self.missing(stack) {
            let _ = self.listen(&name, &port).await;
        }
    }

    async fn listen(&self, name: &ServiceName, port: &Port) -> Result<(), Unavailable> {
        let published = port.published.unwrap_or(port.target);
        let host = port.host_ip.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let address = SocketAddr::new(host, published);
        let opened = match refuse_answered(address) {
            Ok(()) => Front::open(address, name.as_str(), &self.1).await,
            Err(taken) => Err(taken),
        };
        match opened {
            Ok(front) => {
                self.open().fronts.insert((name.clone(), port.clone()), front);
                Ok(())
            }
            Err(source) => Err(Unavailable { service: name.clone(), port: published, source }),
        }
    }

    /// Puts behind each front the container of its service that runs, unless what is behind it runs. One that has only
    /// begun to start is not sent anything before its health check has passed: where there is no other, requests wait.
    pub fn align(&self, containers: &[Container]) {
        let mut open = self.open();
        let Open { fronts, starting, draining } = &mut *open;
        starting.clear();
        for ((name, port), front) in fronts {
            let mut running: Vec<&Container> = (containers.iter())
                .filter(|one| one.service == *name && matches!(one.state, ContainerState::Running(_)))
                .collect();
            running.sort_by_key(|one| one.role);
            let address = |one: &&Container| one.ports.get(&port.target).copied();
            let server = front.server();
            if server.is_some() && running.iter().any(|one| address(one) == server) {
                continue;
            }
            // One that has made way answers its last requests, and gets no other.
            running.retain(|one| one.role != Role::Retired);
            let starts = |one: &&&Container| one.state == ContainerState::Running(Health::Starting);
            let ready = running.iter().filter(|one| !starts(one)).find_map(address);
            if ready.is_none() && running.iter().any(|one| starts(&one)) {
                starting.insert((name.clone(), port.clone()));
            }
            let drain = match ready {
                Some(address) => front.switch(address),
                // A reason that was given stands until something is on its way.
                None if server.is_some() || !running.is_empty() => front.hold(),
                None => continue,
            };
            keep(draining, drain);
        }
    }

    /// Lets requests to fronts without a server wait for one.
    pub fn expect(&self) {
        for front in self.open().fronts.values().filter(|front| front.server().is_none()) {
            front.hold().forget();
        }
    }

    /// Answers requests that would wait for nothing with a reason; one that was given before stands.
    pub fn explain(&self, why: &str) {
        self.explain_but(why, &BTreeSet::new());
    }

    /// As [`Fronts::explain`], but for those of services that are waited for.
    pub fn explain_but(&self, why: &str, awaited: &BTreeSet<ServiceName>) {
        let open = self.open();
        let comes = |key: &(ServiceName, Port)| open.starting.contains(key) || awaited.contains(&key.0);
        let in_vain = open.fronts.iter().filter(|(key, front)| front.waits() && !comes(key));
        for (_, front) in in_vain {
            front.refuse(why).forget();
        }
    }

    /// Sends what comes to a service's ports to a container, by the addresses of its ports.
    ///
    /// # Errors
    /// When a port is not open yet and somebody else has it.
    pub async fn switch(
        &self,
        stack: &Stack,
        name: &ServiceName,
        reached: &BTreeMap<u16, SocketAddr>,
    ) -> Result<(), Unavailable> {
        for (service, port) in self.missing(stack) {
            if service == *name {
                self.listen(name, &port).await?;
            }
        }
        let mut open = self.open();
        let Open { fronts, draining, .. } = &mut *open;
        for ((_, port), front) in fronts.iter().filter(|((service, _), _)| service == name) {
            if let Some(&address) = reached.get(&port.target) {
                keep(draining, front.switch(address));
            }
        }
        Ok(())
    }

    /// Before a container is stopped: sends nothing more to it, and waits for at most `bound` until what it has in flight
    /// is answered.
    pub async fn release(&self, container: &Container, bound: Duration) {
        let drains: Vec<Drain> = {
            let mut open = self.open();
            let Open { fronts, draining, .. } = &mut *open;
            let behind = |front: &&Front| {
                front.server().is_some_and(|server| container.ports.values().any(|port| *port == server))
            };
            let held = fronts.values().filter(behind).map(Front::hold);
            let before = container.ports.values().filter_map(|port| draining.remove(port)).flatten();
            held.chain(before).collect()
        };
        futures_util::future::join_all(drains.into_iter().map(|drain| drain.done(bound))).await;
    }

    /// Closes all of them; requests in flight get their answers first.
    pub async fn close(&self) {
        let fronts = std::mem::take(&mut self.open().fronts);
        let closing = fronts.into_values().map(|front| front.close(limits::PROXY_CLOSE));
        futures_util::future::join_all(closing).await;
    }

    /// What they have answered in the place of a service.
    pub fn own_answers(&self) -> &OwnAnswers {
        &self.1
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn keep(draining: &mut BTreeMap<SocketAddr, Vec<Drain>>, drain: Drain) {
    if let Some(server) = drain.server() {
        draining.entry(server).or_default().push(drain);
    }
}

#[cfg(test)]
mod tests;
