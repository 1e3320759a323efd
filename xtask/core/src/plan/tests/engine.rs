//! A model of an engine: what there is of a project, and what each action makes of it. It refuses what a real engine
//! refuses, and what a careful person would: a start before the dependencies are met, a port or a volume that another
//! container still holds.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

use tokio_util::sync::CancellationToken;

use crate::event::{Events, StepReporter};
use crate::execute::{Effect, Operator, Report, execute};
use crate::failure::{Code, Failure};
use crate::images::{Availability, Catalogue, Source};
use crate::plan::{
    Action, Container, ContainerId, ContainerState, Dev, Health, NetworkSeen, Observed, Plan, Repeats, Role,
    Seat, Version, VolumeSeen, Wanted, config_hash, up,
};
use crate::stack::{
    Condition, ImageReference, MountSource, NetworkName, Probe, Service, ServiceName, Stack, VolumeName,
};

/// What there is.
#[derive(Debug, Clone)]
pub(super) struct World {
    pub(super) stack: Stack,
    pub(super) images: Catalogue,
    pub(super) builds: BTreeMap<ImageReference, Build>,
    pub(super) files: BTreeMap<ServiceName, String>,
    pub(super) repeats: BTreeMap<ServiceName, String>,
    pub(super) failed: BTreeMap<ServiceName, Version>,
    pub(super) leaving: BTreeSet<ContainerId>,
    pub(super) containers: Vec<Made>,
    pub(super) networks: Vec<NetworkSeen>,
    pub(super) volumes: Vec<VolumeSeen>,
    made: u32,
}

/// A build that is due.
#[derive(Debug, Clone)]
pub(super) struct Build {
    pub(super) cause: String,
    /// Whether it makes another image than there is.
    pub(super) changes: bool,
}

/// A container with what only the engine knows of it.
#[derive(Debug, Clone)]
pub(super) struct Made {
    pub(super) seen: Container,
    networks: BTreeSet<String>,
    ports: BTreeSet<u16>,
    volumes: BTreeSet<VolumeName>,
    checked: bool,
    /// The containers it depended on when it was last started.
    began_with: BTreeMap<ServiceName, ContainerId>,
}

impl Made {
    /// Whether it holds its ports, volumes and networks.
    fn holds(&self) -> bool {
        matches!(
            self.seen.state,
            ContainerState::Running(_) | ContainerState::Paused | ContainerState::Restarting
        )
    }
}

impl World {
    /// Nothing but a stack; every image can be had from the registry, those that cargo makes must be built.
    pub(super) fn new(stack: Stack) -> Self {
        let mut world = Self {
            images: Catalogue::new(),
            builds: BTreeMap::new(),
            files: BTreeMap::new(),
            repeats: BTreeMap::new(),
            failed: BTreeMap::new(),
            leaving: BTreeSet::new(),
            containers: Vec::new(),
            networks: Vec::new(),
            volumes: Vec::new(),
            made: 0,
            stack: stack.clone(),
        };
        world.adopt(stack);
        world
    }

    /// Another version of the stack; what it needs and the old one did not can be had.
    pub(super) fn adopt(&mut self, stack: Stack) {
        self.files.clear();
        let repeats = |service: &Service| !service.homeport.repeat_for.is_empty();
        self.repeats.retain(|name, _| stack.services.get(name).is_some_and(repeats));
        for (name, service) in &stack.services {
            if !service.homeport.repeat_for.is_empty() {
                self.repeats.entry(name.clone()).or_insert_with(|| "work 1".to_owned());
            }
            let entry = match &service.homeport.package {
                Some(_) => Availability::Unavailable(vec!["not built yet".to_owned()]),
                None => Availability::Obtainable(Source::Registry),
            };
            if !self.images.contains_key(&service.image) {
                if service.homeport.package.is_some() {
                    self.stale_build(service.image.as_str(), "missing", true);
                }
                self.images.insert(service.image.clone(), entry);
            }
            if service.mounts.iter().any(|mount| matches!(mount.source, MountSource::Bind(_))) {
                self.files.insert(name.clone(), "files 1".to_owned());
            }
        }
        self.stack = stack;
    }

    /// What `up` is told.
    pub(super) fn observe(&self) -> Observed {
        Observed {
            images: self.images.clone(),
            stale_builds: self
                .builds
                .iter()
                .map(|(image, build)| (image.clone(), build.cause.clone()))
                .collect(),
            containers: self.containers.iter().map(|made| made.seen.clone()).collect(),
            networks: self.networks.clone(),
            volumes: self.volumes.clone(),
            mounted_files: self.files.clone(),
            repeats: self
                .repeats
                .iter()
                .map(|(name, digest)| {
                    (name.clone(), Repeats { digest: digest.clone(), told: "migrations".to_owned() })
                })
                .collect(),
            failed: self.failed.clone(),
            leaving: self.leaving.clone(),
            dev: Dev::Away,
        }
    }

    /// What brings the whole stack up from here.
    pub(super) fn plan(&self) -> Plan {
        super::plan_of(&self.stack, &self.observe())
    }

    /// What brings this much of the stack up from here.
    pub(super) fn plan_for(&self, wanted: &Wanted) -> Plan {
        up(&self.stack, &self.observe(), wanted).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Brings the stack up and checks that nothing is left to do.
    pub(super) fn bring_up(&mut self) {
        let plan = self.plan();
        self.carry_out(&plan);
        let next = self.plan();
        assert!(next.is_empty(), "{next}\nafter\n{plan}");
    }

    /// Carries out all of a plan, step by step; the model refuses nothing of it.
    pub(super) fn carry_out(&mut self, plan: &Plan) {
        let report = self.run(plan, &Fortune::default());
        assert!(report.failures.is_empty(), "{:#?}\nof\n{plan}", report.failures);
    }

    /// Carries out a plan as far as fortune lets it.
    pub(super) fn run(&mut self, plan: &Plan, fortune: &Fortune) -> Report {
        let cancel = CancellationToken::new();
        let simulation = Simulation {
            world: RefCell::new(self.clone()),
            begun: Cell::new(0),
            ended: Cell::new(0),
            cancel: cancel.clone(),
            fortune,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("no driver is needed");
        let (events, _receiver) = Events::channel();
        let report = runtime.block_on(execute(plan, &simulation, &events, &cancel, None));
        *self = simulation.world.into_inner();
        report
    }

    pub(super) fn container(&mut self, service: &str) -> &mut Made {
        let found = self.containers.iter_mut().find(|made| made.seen.service.as_str() == service);
        found.unwrap_or_else(|| panic!("no container {service}"))
    }

    pub(super) fn set_state(&mut self, service: &str, state: ContainerState) {
        self.container(service).seen.state = state;
    }

    pub(super) fn lose(&mut self, service: &str) {
        self.containers.retain(|made| made.seen.service.as_str() != service);
    }

    /// A second container of a service.
    pub(super) fn plant(&mut self, service: &str, state: ContainerState) {
        self.made += 1;
        let mut planted = self.container(service).clone();
        planted.seen.id = ContainerId(format!("container {}", self.made));
        planted.seen.state = state;
        planted.ports.clear();
        self.containers.push(planted);
    }

    /// What the engine's own command for tidying up removes: containers that do not run, and networks that no container
    /// is on.
    pub(super) fn prune(&mut self) {
        self.containers.retain(Made::holds);
        let used: BTreeSet<String> = self.containers.iter().flat_map(|made| made.networks.clone()).collect();
        self.networks.retain(|network| used.contains(&network.id));
    }

    pub(super) fn set_image(&mut self, image: &str, availability: Availability) {
        self.images.insert(ImageReference::new(image), availability);
    }

    pub(super) fn stale_build(&mut self, image: &str, cause: &str, changes: bool) {
        let build = Build { cause: cause.to_owned(), changes };
        self.builds.insert(ImageReference::new(image), build);
    }

    /// Does what an action says.
    fn perform(&mut self, action: &Action) -> Result<bool, String> {
        match action {
            Action::ObtainImage { image, source } => self.obtain(image, source),
            Action::BuildImage { image, .. } => Ok(self.build(image)),
            Action::CreateNetwork(name) => self.create_network(name),
            Action::RemoveNetwork(network) => self.remove_network(network),
            Action::CreateVolume(name) => self.create_volume(name),
            Action::RemoveVolume(volume) => self.remove_volume(&volume.name),
            Action::CreateContainer(seat) => self.create(seat),
            Action::StartContainer(seat) => self.start(seat),
            Action::UnpauseContainer(container) => self
                .turn(&container.id, |made| (made.seen.state == ContainerState::Paused).then(|| made.up())),
            Action::RemoveContainer { container, .. } => {
                let before = self.containers.len();
                self.containers.retain(|made| made.seen.id != container.id);
                Ok(self.containers.len() < before)
            }
            Action::StopContainer { container, .. } => {
                self.turn(&container.id, |made| made.holds().then_some(ContainerState::Exited(0)))
            }
            Action::ReloadContainer { container, .. } => {
                let files = self.files.get(&container.service).cloned().unwrap_or_default();
                self.turn(&container.id, |made| {
                    made.seen.files_hash = files;
                    matches!(made.seen.state, ContainerState::Running(_)).then_some(made.seen.state)
                })
            }
            Action::AwaitHealthy(seat) => self.await_healthy(seat),
            Action::Switch(seat) => self.switch(seat),
            Action::Retire(container) => self.turn(&container.id, |made| {
                made.seen.role = Role::Retired;
                Some(made.seen.state)
            }),
            Action::LetGo { container, .. } => {
                let serves = |made: &&Made| made.seen.id == container.id && made.seen.role != Role::Retired;
                if self.containers.iter().any(|made| serves(&made)) {
                    return Err(format!("{} has its name", container.service));
                }
                self.containers.retain(|made| made.seen.id != container.id);
                Ok(true)
            }
            Action::RenameSuccessor(name) => self.rename(name),
            Action::RemoveSuccessor(name) => {
                let before = self.containers.len();
                self.containers
                    .retain(|made| made.seen.service != *name || made.seen.role != Role::Successor);
                Ok(self.containers.len() < before)
            }
            Action::AwaitCompleted(name) => self.await_completed(name),
        }
    }

    fn fresh(&mut self, what: &str) -> String {
        self.made += 1;
        format!("{what} {}", self.made)
    }

    fn obtain(&mut self, image: &ImageReference, source: &Source) -> Result<bool, String> {
        if let Source::Recipe { base, .. } = source
            && !matches!(self.images.get(base), Some(Availability::Present { .. }) | None)
        {
            return Err(format!("{image} is built on {base}, which is not there"));
        }
        let present =
            Availability::Present { id: self.fresh("image"), origin: "test".to_owned(), stale: None };
        self.images.insert(image.clone(), present);
        Ok(true)
    }

    fn build(&mut self, image: &ImageReference) -> bool {
        let changes = self.builds.remove(image).is_some_and(|build| build.changes);
        let absent = !matches!(self.images.get(image), Some(Availability::Present { .. }));
        if changes || absent {
            let present =
                Availability::Present { id: self.fresh("image"), origin: "test".to_owned(), stale: None };
            self.images.insert(image.clone(), present);
        }
        changes || absent
    }

    fn create_network(&mut self, name: &NetworkName) -> Result<bool, String> {
        if self.networks.iter().any(|seen| seen.name == *name) {
            return Err(format!("network {name} exists"));
        }
        let hash = config_hash(&self.stack.networks[name]);
        let id = self.fresh("network");
        self.networks.push(NetworkSeen { id, name: name.clone(), config_hash: hash });
        Ok(true)
    }

    fn remove_network(&mut self, network: &NetworkSeen) -> Result<bool, String> {
        if let Some(made) =
            self.containers.iter().find(|made| made.holds() && made.networks.contains(&network.id))
        {
            return Err(format!("network {} has active endpoints: {}", network.name, made.seen.service));
        }
        self.networks.retain(|seen| seen.id != network.id);
        Ok(true)
    }

    fn create_volume(&mut self, name: &VolumeName) -> Result<bool, String> {
        if self.volumes.iter().any(|seen| seen.name == *name) {
            return Err(format!("volume {name} exists"));
        }
        let config_hash = config_hash(&self.stack.volumes[name]);
        self.volumes.push(VolumeSeen {
            engine_name: format!("shop_{name}"),
            name: name.clone(),
            config_hash,
        });
        Ok(true)
    }

    pub(super) fn remove_volume(&mut self, name: &VolumeName) -> Result<bool, String> {
        if let Some(made) = self.containers.iter().find(|made| made.volumes.contains(name)) {
            return Err(format!("volume {name} is in use by {}", made.seen.service));
        }
        self.volumes.retain(|seen| seen.name != *name);
        Ok(true)
    }

    fn create(&mut self, seat: &Seat) -> Result<bool, String> {
        let name = &seat.service;
        let service = self.stack.services[name].clone();
        let Some(Availability::Present { id: image_id, .. }) = self.images.get(&service.image) else {
            return Err(format!("no such image: {}", service.image));
        };
        let image_id = image_id.clone();
        // Two run side by side only for a swap, and only while the first one serves.
        let others: Vec<&Made> = self.containers.iter().filter(|made| made.seen.service == *name).collect();
        if others.iter().any(|made| made.seen.role == seat.role || !made.holds()) {
            return Err(format!("the name of {seat} is taken"));
        }
        let mut networks = BTreeSet::new();
        for network in service.networks.keys() {
            let seen = self.networks.iter().find(|seen| seen.name == *network);
            let seen = seen.ok_or_else(|| format!("no network {network} for {name}"))?;
            if seen.config_hash != config_hash(&self.stack.networks[network]) {
                return Err(format!("{name} would join the old network {network}"));
            }
            networks.insert(seen.id.clone());
        }
        let volumes: BTreeSet<VolumeName> = volumes_of(&service).cloned().collect();
        if let Some(missing) =
            volumes.iter().find(|&name| !self.volumes.iter().any(|seen| seen.name == *name))
        {
            return Err(format!("no volume {missing} for {name}"));
        }
        let seen = Container {
            id: ContainerId(self.fresh("container")),
            name: format!("shop-{name}"),
            role: seat.role,
            service: name.clone(),
            depends_on: service.depends_on.keys().cloned().collect(),
            config_hash: service.config_hash(),
            files_hash: self.files.get(name).cloned().unwrap_or_default(),
            repeat_hash: self.repeats.get(name).cloned().unwrap_or_default(),
            image_id,
            stop_grace: Some(service.stop_grace_period),
            networks: (service.networks.iter())
                .map(|(network, aliases)| {
                    (network.clone(), aliases.iter().cloned().chain([name.to_string()]).collect())
                })
                .collect(),
            ports: BTreeMap::new(),
            state: ContainerState::Created,
            started_at: None,
            reason: None,
        };
        let ports = service.ports.iter().filter_map(|port| port.published).collect();
        let checked = service.healthcheck.as_ref().is_some_and(|check| check.test != Probe::Disabled);
        self.containers.push(Made { seen, networks, ports, volumes, checked, began_with: BTreeMap::new() });
        Ok(true)
    }

    fn start(&mut self, seat: &Seat) -> Result<bool, String> {
        let name = &seat.service;
        let made = self.at(seat)?;
        if made.holds() || made.seen.state == ContainerState::Dead {
            return Err(format!("{name} cannot be started: {:?}", made.seen.state));
        }
        if made.networks.iter().any(|id| !self.networks.iter().any(|seen| seen.id == *id)) {
            return Err(format!("a network of {name} is gone"));
        }
        for other in self.containers.iter().filter(|other| other.holds()) {
            if let Some(port) = made.ports.intersection(&other.ports).next() {
                return Err(format!("port {port} of {name} is held by {}", other.seen.service));
            }
            let shares =
                |service: &Service, volume: &VolumeName| volumes_of(service).any(|used| used == volume);
            let by_right = |volume: &VolumeName| {
                self.stack.services.get(&other.seen.service).is_some_and(|service| shares(service, volume))
            };
            if let Some(volume) = made.volumes.intersection(&other.volumes).find(|volume| !by_right(volume)) {
                return Err(format!("volume {volume} of {name} is held by {}", other.seen.service));
            }
        }
        let mut began_with = BTreeMap::new();
        for (dependency, condition) in &self.stack.services[name].depends_on {
            let other = self.one(dependency)?;
            let met = match condition {
                Condition::Started => other.holds() || matches!(other.seen.state, ContainerState::Exited(0)),
                Condition::Healthy => {
                    matches!(other.seen.state, ContainerState::Running(Health::Healthy | Health::None))
                }
                Condition::Completed => other.seen.state == ContainerState::Exited(0),
            };
            if !met {
                return Err(format!(
                    "{name} started before {dependency} is {condition:?}: {:?}",
                    other.seen.state
                ));
            }
            began_with.insert(dependency.clone(), other.seen.id.clone());
        }
        let id = made.seen.id.clone();
        self.turn(&id, |made| {
            made.began_with = began_with;
            Some(made.up())
        })
    }

    fn await_healthy(&mut self, seat: &Seat) -> Result<bool, String> {
        let id = self.at(seat)?.seen.id.clone();
        self.turn(&id, |made| {
            let well = if made.checked { Health::Healthy } else { Health::None };
            (made.holds() && made.seen.state != ContainerState::Paused)
                .then_some(ContainerState::Running(well))
        })
    }

    fn await_completed(&mut self, name: &ServiceName) -> Result<bool, String> {
        let id = self.one(name)?.seen.id.clone();
        self.turn(&id, |made| {
            (made.holds() && made.seen.state != ContainerState::Paused).then_some(ContainerState::Exited(0))
        })
    }

    /// What comes to a service's ports goes to a container that is well.
    fn switch(&mut self, seat: &Seat) -> Result<bool, String> {
        let service = &self.stack.services[&seat.service];
        let state = self.at(seat)?.seen.state;
        match state {
            ContainerState::Running(Health::Healthy | Health::None) if !service.fronts.is_empty() => Ok(true),
            _ => Err(format!("{seat} is {state:?} and has {} fronts", service.fronts.len())),
        }
    }

    fn rename(&mut self, name: &ServiceName) -> Result<bool, String> {
        if self.at(&Seat::holder(name)).is_ok() {
            return Err(format!("the name of {name} is taken"));
        }
        let id = self.at(&Seat::successor(name))?.seen.id.clone();
        self.turn(&id, |made| {
            made.seen.role = Role::Holder;
            Some(made.seen.state)
        })
    }

    fn at(&self, seat: &Seat) -> Result<&Made, String> {
        let mut found = self.containers.iter().filter(|made| made.seen.service == seat.service);
        found.find(|made| made.seen.role == seat.role).ok_or_else(|| format!("no container {seat}"))
    }

    /// The one container of a service; two would not bear the same name.
    fn one(&self, name: &ServiceName) -> Result<&Made, String> {
        let mut found = self.containers.iter().filter(|made| made.seen.service == *name);
        match (found.next(), found.next()) {
            (Some(one), None) => Ok(one),
            (None, _) => Err(format!("no container {name}")),
            _ => Err(format!("two containers {name}")),
        }
    }

    fn turn(
        &mut self,
        id: &ContainerId,
        state: impl FnOnce(&mut Made) -> Option<ContainerState>,
    ) -> Result<bool, String> {
        let made = self.containers.iter_mut().find(|made| made.seen.id == *id);
        let made = made.ok_or_else(|| format!("no container {}", id.0))?;
        let before = made.seen.state;
        made.seen.state = state(made).ok_or_else(|| format!("{} is {before:?}", made.seen.service))?;
        Ok(true)
    }

    /// Everything that is not as the stack wants it, of these services.
    pub(super) fn faults<'a>(&self, services: impl IntoIterator<Item = &'a ServiceName>) -> Vec<String> {
        services
            .into_iter()
            .filter(|name| !self.is_out(name))
            .filter_map(|name| self.fault(name).err())
            .collect()
    }

    fn fault(&self, name: &ServiceName) -> Result<(), String> {
        let service = &self.stack.services[name];
        let made = self.one(name)?;
        let completed = self
            .stack
            .services
            .values()
            .any(|other| other.depends_on.get(name) == Some(&Condition::Completed));
        let expected = match (completed, made.checked) {
            (true, _) => ContainerState::Exited(0),
            (false, true) => ContainerState::Running(Health::Healthy),
            (false, false) => ContainerState::Running(Health::None),
        };
        if made.seen.role != Role::Holder {
            return Err(format!("{name} has not its name"));
        }
        if made.seen.state != expected {
            return Err(format!("{name} is {:?}", made.seen.state));
        }
        if made.seen.config_hash != service.config_hash() {
            return Err(format!("{name} has another configuration"));
        }
        if made.seen.files_hash != self.files.get(name).map_or("", String::as_str) {
            return Err(format!("{name} has read other files"));
        }
        if self.repeats.get(name).is_some_and(|digest| *digest != made.seen.repeat_hash) {
            return Err(format!("{name} has done other work"));
        }
        match self.images.get(&service.image) {
            _ if self.repeats.contains_key(name) => {}
            Some(Availability::Present { id, stale: None, .. }) if *id == made.seen.image_id => {}
            _ => return Err(format!("{name} runs another image")),
        }
        for network in service.networks.keys() {
            let current = self.networks.iter().find(|seen| seen.name == *network);
            if !current.is_some_and(|seen| {
                seen.config_hash == config_hash(&self.stack.networks[network])
                    && made.networks.contains(&seen.id)
            }) {
                return Err(format!("{name} is not on network {network}"));
            }
        }
        for dependency in service.depends_on.keys() {
            // It may not have depended on it yet when it was started; and a one-shot's work is done for whatever runs.
            if let Some(id) = made.began_with.get(dependency)
                && !self.stack.is_one_shot(dependency)
                && *id != self.one(dependency)?.seen.id
            {
                return Err(format!("{name} began with another {dependency}"));
            }
        }
        Ok(())
    }

    /// Whether a service is to be left out: it is optional and cannot be had, or depends on one that is.
    pub(super) fn is_out(&self, name: &ServiceName) -> bool {
        let service = &self.stack.services[name];
        let unavailable = matches!(self.images.get(&service.image), Some(Availability::Unavailable(_)))
            && !self.builds.contains_key(&service.image);
        service.homeport.optional && unavailable || service.depends_on.keys().any(|other| self.is_out(other))
    }
}

impl Made {
    /// The state after a start.
    fn up(&self) -> ContainerState {
        ContainerState::Running(if self.checked { Health::Starting } else { Health::None })
    }
}

fn volumes_of(service: &Service) -> impl Iterator<Item = &VolumeName> {
    service.mounts.iter().filter_map(|mount| match &mount.source {
        MountSource::Volume(name) => Some(name),
        _ => None,
    })
}

/// How a run goes.
#[derive(Debug, Clone, Default)]
pub(super) struct Fortune {
    /// How long each operation takes, in turns of the scheduler; the list is gone through again and again.
    pub(super) turns: Vec<u8>,
    /// After how many operations the run is killed.
    pub(super) killed_after: Option<usize>,
    /// Which operation fails, counted from 0.
    pub(super) fails: Option<usize>,
}

/// The model as an operator.
struct Simulation<'a> {
    world: RefCell<World>,
    begun: Cell<usize>,
    ended: Cell<usize>,
    cancel: CancellationToken,
    fortune: &'a Fortune,
}

impl Operator for Simulation<'_> {
    async fn perform(&self, action: &Action, _reporter: &StepReporter) -> Result<Effect, Failure> {
        let number = self.begun.replace(self.begun.get() + 1);
        let turns = &self.fortune.turns;
        for _ in 0..(if turns.is_empty() { 0 } else { turns[number % turns.len()] }) {
            tokio::task::yield_now().await;
        }
        if self.fortune.killed_after.is_some_and(|limit| self.ended.get() >= limit) {
            self.cancel.cancel();
            std::future::pending::<()>().await;
        }
        self.ended.set(self.ended.get() + 1);
        if self.fortune.fails == Some(number) {
            return Err(Failure::new(Code::EngineRefused, "as fortune will have it"));
        }
        match self.world.borrow_mut().perform(action) {
            Ok(true) => Ok(Effect::changed()),
            Ok(false) => Ok(Effect::unchanged()),
            Err(refusal) => Err(Failure::new(Code::Internal, format!("cannot {action}: {refusal}"))),
        }
    }
}
