//! Watches the files that a running stack depends on, and gathers saves.

use std::path::{Path, PathBuf};
use std::time::Instant;

use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;

use crate::failure::{Code, Failure};
use crate::limits;
use crate::project::is_editors_own;

/// What is watched, below the checkout's top. What is not there is left out.
const WATCHED: [&str; 5] = ["service", "compose", "Cargo.toml", "Cargo.lock", "Dockerfile"];

/// Held while files are watched.
#[derive(Debug)]
pub(super) struct Watch {
    _watcher: RecommendedWatcher,
}

/// Saves that came close after one another, or while nobody had time for them.
#[derive(Debug)]
pub(super) struct Burst {
    /// What was saved, each once.
    pub(super) paths: Vec<PathBuf>,
    /// When the first of them was.
    pub(super) since: Instant,
}

/// Watches, and sends the paths of each burst of saves once it has calmed down. While the receiver is busy, bursts are
/// gathered into one.
pub(super) fn start(root: &Path, saves: mpsc::Sender<Burst>) -> Result<Watch, Failure> {
    let (sender, receiver) = mpsc::unbounded_channel();
    let failed = |error: notify::Error| {
        Failure::new(Code::MachineUnready, format!("cannot watch {}: {error}", root.display()))
            .hint("`cargo xtask doctor` shows the limits on file watches; `dev --detach` needs none")
    };
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
        if let Ok(event) = event
            && !matches!(event.kind, EventKind::Access(_))
        {
            for path in event.paths.into_iter().filter(|path| !is_editors_own(path)) {
                let _ = sender.send(path);
            }
        }
    })
    .map_err(failed)?;
    for name in WATCHED {
        let path = root.join(name);
        if path.is_dir() {
            watcher.watch(&path, RecursiveMode::Recursive).map_err(failed)?;
        } else if path.is_file() {
            watcher.watch(&path, RecursiveMode::NonRecursive).map_err(failed)?;
        }
    }
    tokio::spawn(gather(receiver, saves));
    Ok(Watch { _watcher: watcher })
}

async fn gather(mut paths: mpsc::UnboundedReceiver<PathBuf>, saves: mpsc::Sender<Burst>) {
    while let Some(first) = paths.recv().await {
        let since = Instant::now();
        let mut gathered = vec![first];
        while let Ok(Some(next)) = tokio::time::timeout(limits::GATHER_SAVES, paths.recv()).await {
            gathered.push(next);
        }
        let Ok(permit) = saves.reserve().await else { return };
        while let Ok(next) = paths.try_recv() {
            gathered.push(next);
        }
        gathered.sort();
        gathered.dedup();
        permit.send(Burst { paths: gathered, since });
    }
}
