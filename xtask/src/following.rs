//! The logs of a project's containers as they come, whichever containers those are: what is replaced, started again or made
//! anew while they are followed is followed from its first line on, each line once.
//!
//! The lines of one container come in their order. Of two containers of one service, those of the one that ended before the
//! other began come first.
//!
//! Must not: show a line, or know who wants it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use futures_util::stream::StreamExt as _;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::engine::{Change, Engine, EngineError, Happening, LogLine, LogOptions};
use crate::limits;
use crate::plan::{Container, ContainerId, ContainerState};
use crate::stack::{ProjectName, ServiceName};

/// Takes a line of a service's container.
pub type Listener = Arc<dyn Fn(&ServiceName, &ContainerId, LogLine) + Send + Sync>;

/// The containers whose logs were told, each with its service and the time until which.
pub type Known = BTreeMap<ContainerId, (ServiceName, SystemTime)>;

/// What is followed.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// These services; all when empty.
    pub services: BTreeSet<ServiceName>,
    /// Only what is logged after this; from the first line of what comes later, when `None`.
    pub since: Option<SystemTime>,
}

/// Logs that are being followed. Dropped, they are no longer.
pub struct Following {
    shared: Arc<Shared>,
    watcher: JoinHandle<EngineError>,
}

struct Shared {
    engine: Engine,
    wanted: Wanted,
    listener: Listener,
    logs: Mutex<BTreeMap<ContainerId, Log>>,
    changed: Notify,
}

/// The log of one container.
struct Log {
    service: ServiceName,
    /// The time of its last line that was told, or from when on lines are wanted.
    told: Arc<Mutex<Option<SystemTime>>>,
    /// Whether the container has ended, as far as the engine has told.
    ended: bool,
    /// Reads what it says, until it ends.
    reader: Option<JoinHandle<()>>,
}

impl Following {
    /// Begins to follow. `known` are the containers that were seen before, each with the time until which its log was
    /// told.
    pub fn begin(
        engine: &Engine,
        project: &ProjectName,
        wanted: Wanted,
        known: Known,
        listener: Listener,
    ) -> Self {
        let known = known.into_iter().map(|(id, (service, until))| {
            let told = Arc::new(Mutex::new(Some(until)));
            (id, Log { service, told, ended: true, reader: None })
        });
        let shared = Arc::new(Shared {
            engine: engine.clone(),
            wanted,
            listener,
            logs: Mutex::new(known.collect()),
            changed: Notify::new(),
        });
        let watcher = tokio::spawn(watch(Arc::clone(&shared), project.clone()));
        Self { shared, watcher }
    }

    /// Resolves when something happened to a container since this was last asked.
    ///
    /// # Errors
    /// When the engine can no longer be asked: nothing more is heard then.
    pub async fn news(&mut self) -> Result<(), EngineError> {
        let shared = Arc::clone(&self.shared);
        tokio::select! {
            () = shared.changed.notified() => Ok(()),
            error = self.broken() => Err(error),
        }
    }

    /// Resolves when the engine can no longer be asked.
    pub async fn broken(&mut self) -> EngineError {
        match (&mut self.watcher).await {
            Ok(error) => error,
            // It is only ended when this is dropped.
            Err(_) => std::future::pending().await,
        }
    }

    /// Follows no longer, and says what was told.
    pub async fn end(self) -> Known {
        let mut readers =
            Before(self.shared.logs().values_mut().filter_map(|log| log.reader.take()).collect());
        readers.0.iter().for_each(JoinHandle::abort);
        readers.end().await;
        let logs = self.shared.logs();
        let told = |log: &Log| *log.told.lock().unwrap_or_else(PoisonError::into_inner);
        logs.iter().filter_map(|(id, log)| Some((id.clone(), (log.service.clone(), told(log)?)))).collect()
    }

    /// Waits until what has ended has told its last line, for at most `bound`.
    pub async fn rest(self, bound: Duration) {
        let readers: Vec<JoinHandle<()>> =
            self.shared.logs().values_mut().filter_map(|log| log.reader.take()).collect();
        let aborts: Vec<_> = readers.iter().map(JoinHandle::abort_handle).collect();
        let _ = tokio::time::timeout(bound, futures_util::future::join_all(readers)).await;
        aborts.iter().for_each(tokio::task::AbortHandle::abort);
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.watcher.abort();
        for reader in self.shared.logs().values().filter_map(|log| log.reader.as_ref()) {
            reader.abort();
        }
    }
}

/// Looks what runs, then listens to the engine. An engine that cuts the connection off and still answers is listened to
/// anew.
async fn watch(shared: Arc<Shared>, project: ProjectName) -> EngineError {
    loop {
        // Asked for before the look, and from a time before: nothing begins unseen in between.
        let mut changes = shared.engine.changes(&project);
        let containers = match shared.engine.containers(&project).await {
            Ok(containers) => containers,
            Err(error) => return error,
        };
        for container in &containers {
            shared.seen(container);
        }
        while let Some(change) = changes.next().await {
            shared.hear(&change);
            let (shared, project) = (Arc::clone(&shared), project.clone());
            tokio::spawn(async move { shared.tell(&project, &change).await });
        }
        shared.changed.notify_one();
        tokio::time::sleep(limits::ENGINE_SETTLES).await;
    }
}

impl Shared {
    fn logs(&self) -> MutexGuard<'_, BTreeMap<ContainerId, Log>> {
        self.logs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_wanted(&self, service: &ServiceName) -> bool {
        self.wanted.services.is_empty() || self.wanted.services.contains(service)
    }

    /// A container that is there when the look is taken. Of what has ended, only what ended since then is news.
    fn seen(self: &Arc<Self>, container: &Container) {
        let began = container.started_at.as_deref().and_then(|at| humantime::parse_rfc3339_weak(at).ok());
        // What was known before and has ended may have said its last meanwhile.
        let is_over = matches!(container.state, ContainerState::Exited(_) | ContainerState::Dead);
        let news = matches!(container.state, ContainerState::Running(_) | ContainerState::Paused)
            || is_over && self.logs().contains_key(&container.id)
            || began.is_some_and(|began| self.wanted.since.is_some_and(|since| began >= since));
        if news && self.is_wanted(&container.service) && !self.is_read(&container.id) {
            self.follow(&container.id, &container.service);
        }
    }

    fn hear(self: &Arc<Self>, change: &Change) {
        if !self.is_wanted(&change.service) {
            return;
        }
        match change.happening {
            // Without an end before it, it is one that was told again.
            Happening::Began if self.is_read(&change.container) => {}
            Happening::Began => self.follow(&change.container, &change.service),
            Happening::Ended => {
                if let Some(log) = self.logs().get_mut(&change.container) {
                    log.ended = true;
                }
            }
            Happening::Turned => {}
        }
    }

    /// Tells that something happened, once whoever looks would see it: the engine tells of an end a moment before its
    /// own lists do, and on a busy machine that is a long one.
    async fn tell(&self, project: &ProjectName, change: &Change) {
        let begun = Instant::now();
        loop {
            tokio::time::sleep(limits::PROBE_PAUSE).await;
            let is_over = || self.logs().get(&change.container).is_some_and(|log| log.ended);
            let awaited = change.happening == Happening::Ended && is_over();
            if !awaited || begun.elapsed() > limits::ENGINE_ANSWER {
                break;
            }
            let listed = self.engine.containers(project).await.unwrap_or_default();
            let runs = |one: &Container| matches!(one.state, ContainerState::Running(_));
            if !listed.iter().any(|one| one.id == change.container && runs(one)) {
                break;
            }
        }
        self.changed.notify_one();
    }

    fn is_read(&self, id: &ContainerId) -> bool {
        let reads = |log: &Log| !log.ended && log.reader.as_ref().is_some_and(|reader| !reader.is_finished());
        self.logs().get(id).is_some_and(reads)
    }

    /// Reads a container's log from where it was told last, once whatever was read of it before is told, and of those of
    /// its service that have ended.
    fn follow(self: &Arc<Self>, id: &ContainerId, service: &ServiceName) {
        let mut logs = self.logs();
        let own = logs.get_mut(id).and_then(|log| log.reader.take());
        let is_before = |log: &&mut Log| log.ended && log.service == *service;
        let others = logs.values_mut().filter(is_before).filter_map(|log| log.reader.take()).collect();
        let log = logs.entry(id.clone()).or_insert_with(|| Log {
            service: service.clone(),
            told: Arc::new(Mutex::new(self.wanted.since)),
            ended: false,
            reader: None,
        });
        log.ended = false;
        let (told, shared) = (Arc::clone(&log.told), Arc::clone(self));
        let (id, service) = (id.clone(), service.clone());
        log.reader = Some(tokio::spawn(async move {
            // Two never read one container.
            let mut own = Before(own.into_iter().collect());
            let mut others = Before(others);
            tokio::join!(own.end(), others.end());
            drop(own);
            shared.read(&id, &service, &told).await;
        }));
    }

    async fn read(&self, id: &ContainerId, service: &ServiceName, told: &Mutex<Option<SystemTime>>) {
        let told = || told.lock().unwrap_or_else(PoisonError::into_inner);
        // The engine knows whole seconds only: what comes again is left out here.
        let since = *told();
        let options = LogOptions { follow: true, tail: None, since: since.and_then(seconds) };
        let mut lines = self.engine.logs(id, &options);
        while let Some(line) = lines.next().await {
            // Not compared with the line before: what is said on two streams at once may come out of order.
            if line.at.is_some() && line.at <= since {
                continue;
            }
            let mut told = told();
            *told = (*told).max(line.at);
            drop(told);
            (self.listener)(service, id, line);
        }
    }
}

/// Readers that have to end first. Dropped, they end at once.
struct Before(Vec<JoinHandle<()>>);

impl Before {
    /// A log ends with its container; one whose end never comes must not hold back what is said now.
    async fn end(&mut self) {
        let ends = futures_util::future::join_all(self.0.iter_mut());
        let _ = tokio::time::timeout(limits::ENGINE_SETTLES, ends).await;
    }
}

impl Drop for Before {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

/// Whole seconds since the epoch, as the engine counts; its last one (2038) for a time after that.
pub fn seconds(time: SystemTime) -> Option<i32> {
    let seconds = time.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs();
    Some(i32::try_from(seconds).unwrap_or(i32::MAX))
}
