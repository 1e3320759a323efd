//! Services whose published ports `dev` holds in their place while it runs, so that one version can follow another
//! without a connection refused in between.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use super::model::{Condition, MountSource, Port, Protocol, Service, ServiceName, Stack};

impl Stack {
    /// The stack as `dev` runs it in the foreground: it holds the ports of every service that can be fronted, among
    /// those `wanted` (all when empty) with what they depend on.
    #[must_use]
    pub fn fronted(mut self, wanted: &BTreeSet<ServiceName>) -> Self {
        let scope = self.with_dependencies(wanted);
        // What is awaited to end serves nobody.
        let serves = |name: &&ServiceName| !self.is_one_shot(name);
        let scope: BTreeSet<ServiceName> = scope.into_iter().filter(serves).cloned().collect();
        for (_, service) in self.services.iter_mut().filter(|(name, _)| scope.contains(name)) {
            if let Some(fronted) = service.fronted() {
                *service = fronted;
            }
        }
        self
    }

    /// Whether others wait for it to complete: the file's own way of saying that it does not stay.
    pub fn is_one_shot(&self, name: &ServiceName) -> bool {
        self.services.values().any(|service| service.depends_on.get(name) == Some(&Condition::Completed))
    }

    /// These services (all when empty) with everything they depend on; names that the stack does not have left out.
    pub fn with_dependencies<'a>(&'a self, wanted: &'a BTreeSet<ServiceName>) -> BTreeSet<&'a ServiceName> {
        let mut scope = BTreeSet::new();
        let mut open: Vec<&ServiceName> =
            if wanted.is_empty() { self.services.keys().collect() } else { wanted.iter().collect() };
        while let Some(name) = open.pop() {
            if let Some(service) = self.services.get(name)
                && scope.insert(name)
            {
                open.extend(service.depends_on.keys());
            }
        }
        scope
    }
}

impl Service {
    /// The same service with its ports left to a front: each is published where the engine likes, on this machine only.
    ///
    /// `None` for one that cannot be fronted. Only what is built here is replaced often; only what a person may open in a
    /// browser is known to speak HTTP; and of what has a volume of its own, two may not run at once.
    pub fn fronted(&self) -> Option<Self> {
        let http = self.homeport.url_path.is_some();
        let shared = !self.mounts.iter().any(|mount| matches!(mount.source, MountSource::Volume(_)));
        let takes_over = |port: &Port| port.protocol == Protocol::Tcp && port.published.is_some();
        let ports = !self.ports.is_empty() && self.ports.iter().all(takes_over);
        if self.homeport.package.is_none() || !http || !shared || !ports {
            return None;
        }
        let anywhere = |port: &Port| Port {
            published: None,
            host_ip: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            ..port.clone()
        };
        let mut fronted = Self { ports: self.ports.iter().map(anywhere).collect(), ..self.clone() };
        fronted.ports.dedup();
        fronted.fronts.clone_from(&self.ports);
        Some(fronted)
    }

    /// The same service in the other of the two ways to publish its ports; `None` when it has one only.
    pub fn in_the_other_way(&self) -> Option<Self> {
        if self.fronts.is_empty() {
            return self.fronted();
        }
        Some(Self { ports: self.fronts.clone(), fronts: Vec::new(), ..self.clone() })
    }

    /// The ports as the file publishes them, whoever holds them.
    pub fn published_ports(&self) -> &[Port] {
        if self.fronts.is_empty() { &self.ports } else { &self.fronts }
    }
}
