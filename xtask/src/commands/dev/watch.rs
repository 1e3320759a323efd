//! Watches the files that a running stack depends on, and gathers saves.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;

use crate::failure::{Code, Failure};
use crate::limits;
use crate::project::is_editors_own;
use crate::stack::{Service, Stack};

/// What is watched in any case, below the checkout's top, whether it is there or not.
const WATCHED: [&str; 7] = [
    "service",
    "compose",
    "Cargo.toml",
    "Dockerfile",
    ".cargo/config.toml",
    "rust-toolchain.toml",
    "rust-toolchain",
];

/// Watched once it is there: the first build writes it, which is nobody's save.
const WRITTEN_ONCE: &str = "Cargo.lock";

/// Held while files are watched.
#[derive(Debug)]
pub(super) struct Watch {
    root: PathBuf,
    watcher: RecommendedWatcher,
    /// Which files' saves are sent.
    wanted: Shared,
    /// What something was seen to depend on, beside what the stack names. What goes away may come back, and is not forgotten.
    seen: BTreeSet<PathBuf>,
    /// The directories that the system watches: how, and which one it was (its inode).
    places: BTreeMap<PathBuf, (RecursiveMode, u64)>,
}

/// Saves that came close after one another, or while nobody had time for them.
#[derive(Debug)]
pub(super) struct Burst {
    /// What was saved.
    pub(super) paths: BTreeSet<PathBuf>,
    /// When the first of them was.
    pub(super) since: Instant,
    /// Why some may have gone unnoticed, when that is so: then all that is watched counts as saved.
    pub(super) missed: Option<String>,
}

type Shared = Arc<RwLock<Wanted>>;

/// What the system tells of files.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    Saved(PathBuf),
    /// It could not tell all, and why.
    Missed(String),
}

/// Which files' saves are sent.
#[derive(Debug, Default)]
struct Wanted {
    /// Files and directories that something depends on.
    named: BTreeSet<PathBuf>,
    /// What containers may write to: no person's saves.
    written: BTreeSet<PathBuf>,
}

/// Watches what a stack depends on, and sends the paths of each burst of saves once it has calmed down. While the receiver
/// is busy, bursts are gathered into one.
pub(super) fn start(root: &Path, stack: &Stack, saves: mpsc::Sender<Burst>) -> Result<Watch, Failure> {
    let (sender, receiver) = mpsc::unbounded_channel();
    let wanted = Arc::new(RwLock::new(Wanted::default()));
    let shared = Arc::clone(&wanted);
    let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
        let wanted = shared.read().unwrap_or_else(PoisonError::into_inner);
        for told in told(event, &wanted) {
            let _ = sender.send(told);
        }
    });
    let watcher = watcher.map_err(|error| unwatched(root, &error))?;
    tokio::spawn(gather(receiver, Arc::clone(&wanted), saves));
    let (seen, places) = (BTreeSet::new(), BTreeMap::new());
    let mut watch = Watch { root: root.to_owned(), watcher, wanted, seen, places };
    watch.follow(stack)?;
    Ok(watch)
}

/// What there is to tell of an event: an error, and a queue of the system that ran over, mean that others went untold.
fn told(event: notify::Result<Event>, wanted: &Wanted) -> Vec<Told> {
    match event {
        Err(error) => vec![Told::Missed(error.to_string())],
        Ok(event) if event.need_rescan() => vec![Told::Missed("too many files changed at once".to_owned())],
        Ok(event) if matches!(event.kind, EventKind::Access(_)) => Vec::new(),
        Ok(event) => event.paths.into_iter().filter(|path| wanted.concerns(path)).map(Told::Saved).collect(),
    }
}

impl Watch {
    /// Has the next [`Watch::follow`] ask the system anew for everything: of directories that came while it told nothing it
    /// does not know.
    pub(super) fn forget(&mut self) {
        self.places.clear();
    }

    /// Has the next [`Watch::follow`] watch these files and directories too, and all after it.
    pub(super) fn learn(&mut self, sources: BTreeSet<PathBuf>) {
        self.seen.extend(sources);
    }

    /// Watches what the stack depends on now, what was learned, and nothing else. A directory that was replaced by another one is found
    /// again.
    ///
    /// # Errors
    /// When the system refuses.
    pub(super) fn follow(&mut self, stack: &Stack) -> Result<(), Failure> {
        self.seen.extend(Some(self.root.join(WRITTEN_ONCE)).filter(|path| path.exists()));
        let mut wanted = named(&self.root, stack);
        wanted.extend(self.seen.iter().cloned());
        let places = places(&self.root, &wanted);
        // A system may tell paths without the links in them.
        let both = |paths: &BTreeSet<PathBuf>| {
            let real = paths.iter().filter_map(|path| path.canonicalize().ok());
            real.chain(paths.iter().cloned()).collect()
        };
        let written = stack.services.values().flat_map(|service| service.files_written().cloned()).collect();
        let all = Wanted { named: both(&wanted), written: both(&written) };
        *self.wanted.write().unwrap_or_else(PoisonError::into_inner) = all;
        for gone in self.places.keys().filter(|place| !places.contains_key(*place)) {
            // One that is no more is not watched either.
            let _ = self.watcher.unwatch(gone);
        }
        self.places.retain(|place, _| places.contains_key(place));
        for (place, mode) in places {
            let Ok(metadata) = std::fs::metadata(&place) else { continue };
            let now = (mode, metadata.ino());
            if self.places.get(&place) != Some(&now) {
                self.watcher.watch(&place, mode).map_err(|error| unwatched(&place, &error))?;
                self.places.insert(place, now);
            }
        }
        Ok(())
    }
}

fn unwatched(path: &Path, error: &notify::Error) -> Failure {
    Failure::new(Code::MachineUnready, format!("cannot watch {}: {error}", path.display()))
        .hint("`cargo xtask doctor` shows the limits on file watches; `dev --detach` needs none")
}

/// What a stack depends on: beside what any does, the files of the checkout that its services mount to read them, and
/// what the work of its one-shots is repeated for.
fn named(root: &Path, stack: &Stack) -> BTreeSet<PathBuf> {
    let first = |service: &Service| service.homeport.first_start.clone();
    let mounted =
        stack.services.values().flat_map(|service| service.files_read().cloned().chain(first(service)));
    let mounted = mounted.filter(|path| path.starts_with(root));
    let repeated = stack.services.values().flat_map(|service| service.homeport.repeat_for.iter().cloned());
    let usual = WATCHED.iter().map(|name| root.join(name));
    usual.chain(mounted).chain(repeated).collect()
}

/// The directories to be watched. A file is watched through the one that it is in: what an editor puts in its place is
/// another file. So is a directory, beside what is below it, and what is not there yet through the nearest one that is.
fn places(root: &Path, wanted: &BTreeSet<PathBuf>) -> BTreeMap<PathBuf, RecursiveMode> {
    // The checkout as a whole holds what is compiled.
    let whole: BTreeSet<&PathBuf> =
        wanted.iter().filter(|path| path.is_dir() && !root.starts_with(path)).collect();
    let is_within = |path: &Path| path.ancestors().any(|above| whole.iter().any(|whole| *whole == above));
    let mut places = BTreeMap::new();
    for path in wanted {
        let above = path.ancestors().skip(1).find(|above| above.is_dir());
        for place in above.into_iter().filter(|above| !is_within(above)) {
            places.insert(place.to_owned(), RecursiveMode::NonRecursive);
        }
    }
    for path in whole.iter().filter(|path| !path.parent().is_some_and(is_within)) {
        places.insert((*path).clone(), RecursiveMode::Recursive);
    }
    places
}

impl Wanted {
    /// Whether an event at a path is about what is wanted: at it, below it, or a directory on the way to it that came or
    /// went. What is named within what a container may write to is wanted, what it may write to within what is named not.
    fn concerns(&self, path: &Path) -> bool {
        let deepest = |paths: &BTreeSet<PathBuf>| {
            let above = paths.iter().filter(|one| path.starts_with(one));
            above.map(|one| one.components().count()).max()
        };
        let on_the_way = self.named.iter().any(|one| one.starts_with(path));
        let named = deepest(&self.named);
        !is_editors_own(path) && (on_the_way || named.is_some() && named >= deepest(&self.written))
    }
}

impl Burst {
    fn take(&mut self, told: Told, wanted: &Shared) {
        match told {
            Told::Saved(path) => {
                self.paths.insert(path);
            }
            Told::Missed(why) => {
                self.paths
                    .extend(wanted.read().unwrap_or_else(PoisonError::into_inner).named.iter().cloned());
                self.missed = Some(why);
            }
        }
    }
}

async fn gather(mut told: mpsc::UnboundedReceiver<Told>, wanted: Shared, saves: mpsc::Sender<Burst>) {
    while let Some(first) = told.recv().await {
        let mut burst = Burst { paths: BTreeSet::new(), since: Instant::now(), missed: None };
        burst.take(first, &wanted);
        while burst.since.elapsed() < limits::GATHERED_SAVES {
            let Ok(Some(next)) = tokio::time::timeout(limits::GATHER_SAVES, told.recv()).await else { break };
            burst.take(next, &wanted);
        }
        // What comes while nobody has time for it is taken in as it comes, each once.
        let permit = loop {
            tokio::select! {
                biased;
                permit = saves.reserve() => break permit,
                Some(next) = told.recv() => burst.take(next, &wanted),
            }
        };
        let Ok(permit) = permit else { return };
        permit.send(burst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::ProjectName;

    #[tokio::test]
    async fn what_goes_away_is_watched_until_it_comes_back() {
        let directory = tempfile::tempdir().expect("a directory");
        let root = directory.path();
        for (place, file) in [("common/src", "lib.rs"), (".", "Cargo.toml"), (".", "Cargo.lock")] {
            std::fs::create_dir_all(root.join(place)).expect("a directory");
            std::fs::write(root.join(place).join(file), "").expect("a file");
        }
        let stack = Stack::unread(ProjectName::new("shop"));
        let (saves, _bursts) = mpsc::channel(1);
        let mut watch = start(root, &stack, saves).expect("it is watched");
        watch.learn([root.join("common/src")].into());
        for name in ["Cargo.toml", "Cargo.lock", "common"] {
            std::fs::rename(root.join(name), root.join("away")).expect("it was there");
            watch.follow(&stack).expect("the rest is watched");
            std::fs::rename(root.join("away"), root.join(name)).expect("it is away");
        }
        watch.follow(&stack).expect("all is watched");
        let wanted = watch.wanted.read().expect("nobody failed").named.clone();
        for name in ["Cargo.toml", "Cargo.lock", "common/src", "rust-toolchain.toml"] {
            assert!(wanted.contains(&root.join(name)), "{name}");
        }
        assert!(watch.places.contains_key(&root.join("common/src")), "it is asked for anew: {watch:?}");
    }

    #[test]
    fn a_file_is_watched_through_its_directory_and_each_directory_once() {
        let directory = tempfile::tempdir().expect("a directory");
        let root = directory.path();
        for made in ["compose/prometheus", "work"] {
            std::fs::create_dir_all(root.join(made)).expect("a directory");
        }
        std::fs::write(root.join("Dockerfile"), "").expect("a file");
        let names = ["compose", "compose/prometheus", "Dockerfile", "work", "absent/rules"];
        let wanted: BTreeSet<PathBuf> = names.iter().map(|name| root.join(name)).collect();
        let [all, one] = [RecursiveMode::Recursive, RecursiveMode::NonRecursive];
        let expected = [(root.to_owned(), one), (root.join("compose"), all), (root.join("work"), all)];
        assert_eq!(places(root, &wanted), expected.into());

        let written = ["compose/data", "."].map(|name| root.join(name).components().collect());
        let wanted = Wanted { named: wanted, written: written.into() };
        let table = [
            ("compose/data/log", false),
            ("compose/prometheus/prometheus.yml", true),
            ("Dockerfile", true),
            ("absent", true),
            ("absent/rules/a.sql", true),
            ("absent/other", false),
            ("Dockerfile.swp", false),
            ("target/debug", false),
            ("work/.a.swp", false),
        ];
        for (path, expected) in table {
            assert_eq!(wanted.concerns(&root.join(path)), expected, "{path}");
        }
    }

    #[test]
    fn what_the_system_could_not_tell_is_no_silence() {
        use notify::event::{AccessKind, Flag};
        let wanted = Wanted { named: [PathBuf::from("/p/compose")].into(), ..Wanted::default() };
        let at = |kind: EventKind| Ok(Event::new(kind).add_path("/p/compose/a".into()));
        let missed = |why: &str| vec![Told::Missed(why.to_owned())];
        let table = [
            (
                Ok(Event::new(EventKind::Other).set_flag(Flag::Rescan)),
                missed("too many files changed at once"),
            ),
            (Err(notify::Error::generic("no more watches")), missed("no more watches")),
            (at(EventKind::Access(AccessKind::Any)), vec![]),
            (at(EventKind::Any), vec![Told::Saved("/p/compose/a".into())]),
        ];
        for (event, expected) in table {
            assert_eq!(told(event, &wanted), expected);
        }
    }

    #[tokio::test]
    async fn a_burst_without_an_end_is_sent_all_the_same() {
        let (sender, receiver) = mpsc::unbounded_channel();
        let (saves, mut bursts) = mpsc::channel(1);
        let wanted = Wanted { named: [PathBuf::from("/p/compose")].into(), ..Wanted::default() };
        tokio::spawn(gather(receiver, Arc::new(RwLock::new(wanted)), saves));
        sender.send(Told::Missed("it said so".to_owned())).expect("somebody gathers");
        // Until the end of the test, without a pause.
        tokio::spawn(async move {
            while sender.send(Told::Saved("/p/log".into())).is_ok() {
                tokio::task::yield_now().await;
            }
        });
        let bound = limits::GATHERED_SAVES * 100;
        let burst = tokio::time::timeout(bound, bursts.recv()).await.expect("it is closed").expect("a burst");
        assert_eq!(burst.paths, ["/p/compose", "/p/log"].map(PathBuf::from).into());
        assert_eq!(burst.missed.as_deref(), Some("it said so"));
    }
}
