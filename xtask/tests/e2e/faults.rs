//! What goes wrong with a stack, one kind each, with the alerts that are about it. A fault is real: processes end, stand
//! still, hold locks, do not take what is written to them. Each is undone when its guard is dropped.
//!
//! Must not: wait for what comes of a fault.

use std::path::PathBuf;
use std::thread::JoinHandle;

use crate::engine::{self, DeafReader};
use crate::traffic;

/// The stack that is harmed.
#[derive(Debug)]
pub(crate) struct Site {
    /// What its containers' names begin with.
    pub(crate) project: String,
    /// Where the service answers.
    pub(crate) base: String,
    /// The configuration that the observing Prometheus reads, and its container.
    pub(crate) configuration: PathBuf,
    pub(crate) observer: String,
}

impl Site {
    /// The container of a service.
    pub(crate) fn container(&self, service: &str) -> String {
        format!("{}-{service}", self.project)
    }
}

/// Undoes a fault.
pub(crate) struct Repair(Option<Box<dyn FnOnce()>>);

impl Repair {
    fn by(undo: impl FnOnce() + 'static) -> Self {
        Self(Some(Box::new(undo)))
    }
}

impl Drop for Repair {
    fn drop(&mut self) {
        if let Some(undo) = self.0.take() {
            undo();
        }
    }
}

/// A store or exporter ends. It is given the time to end well: a kill is what other tests are about.
pub(crate) fn stopped(site: &Site, service: &str) -> Repair {
    let name = site.container(service);
    engine::stop_container(&name, 30);
    Repair::by(move || engine::start_container(&name))
}

/// A process that stands still: it takes connections and answers nothing.
pub(crate) fn frozen(site: &Site, service: &str) -> Repair {
    let name = site.container(service);
    engine::pause_container(&name);
    Repair::by(move || engine::unpause_container(&name))
}

/// Whoever reads the service's log does not take it any more, while many long lines are written.
pub(crate) fn log_reader_stuck(site: &Site, lost_some: impl Fn() -> bool) -> Repair {
    let reader = DeafReader::of(&site.container("service"));
    traffic::flood(&site.base, lost_some);
    Repair::by(move || drop(reader))
}

/// Somebody's program holds most of the connections that Postgres allows: 100 by default. With the service's own they
/// are more than 80, and some are left for the exporter.
pub(crate) fn connections_taken(site: &Site) -> Repair {
    let take = "echo 'select pg_sleep(1);' | exec pgbench --no-vacuum --client=78 --time=600 --file=- \"$POSTGRES_DB\"";
    in_postgres(site, "connections", take)
}

/// A transaction locks the items for seconds, again and again: who reads waits, one connection each. Shorter than the
/// service's deadline of 3 s, so that no request fails for it.
pub(crate) fn items_locked(site: &Site) -> Repair {
    let lock = "while :; do psql --quiet --dbname=\"$POSTGRES_DB\" --command='begin; \
                lock table items in access exclusive mode; select pg_sleep(2); commit' >/tmp/locked; done";
    in_postgres(site, "lock", lock)
}

/// A transaction holds the items until it is repaired: who reads waits until Postgres or the service ends the wait.
pub(crate) fn items_held(site: &Site) -> Repair {
    let hold = "exec psql --quiet --dbname=\"$POSTGRES_DB\" --command='begin; \
                lock table items in access exclusive mode; select pg_sleep(3600)'";
    in_postgres(site, "hold", hold)
}

/// The database grows to more than its volume holds. The file has a size and no blocks: Postgres counts the size.
pub(crate) fn database_grown(site: &Site) -> Repair {
    let postgres = site.container("postgres");
    // Of the three databases that a new cluster has, the application's was made last.
    let script =
        |command: &str| format!("cd \"$PGDATA\"/base && cd \"$(ls | sort -n | tail -1)\" && {command}");
    engine::run_in(&postgres, &["sh", "-c", &script("truncate --size=900M ballast")]);
    let remove = script("rm ballast");
    Repair::by(move || engine::run_in(&postgres, &["sh", "-c", &remove]))
}

/// Somebody saves a configuration that is none, and Prometheus is told to read it.
pub(crate) fn configuration_spoilt(site: &Site) -> Repair {
    let (path, observer) = (site.configuration.clone(), site.observer.clone());
    let good = std::fs::read_to_string(&path).expect("it was written by this test");
    std::fs::write(&path, "scrape_configs: nonsense\n").expect("it was written by this test");
    engine::signal_container(&observer, "HUP");
    Repair::by(move || {
        std::fs::write(&path, good).expect("it was written by this test");
        engine::signal_container(&observer, "HUP");
    })
}

/// The service dies.
pub(crate) fn killed(site: &Site) -> Repair {
    let name = site.container("service");
    engine::kill_container(&name);
    Repair::by(move || engine::start_container(&name))
}

/// Runs a script in Postgres' container, as the superuser, until it is repaired.
fn in_postgres(site: &Site, what: &str, script: &str) -> Repair {
    let postgres = site.container("postgres");
    // A session of its own ends as a whole, and Postgres' part of it looks whether the other is there.
    let environment =
        "export PGUSER=\"$POSTGRES_USER\" PGOPTIONS='-c client_connection_check_interval=200ms'";
    let script = format!("{environment}; echo $$ >/tmp/{what}.pid; {script}");
    let running: JoinHandle<()> = std::thread::spawn({
        let postgres = postgres.clone();
        move || {
            engine::try_run_in(&postgres, &["setsid", "--wait", "sh", "-c", &script]);
        }
    });
    let end = format!("kill -- -$(cat /tmp/{what}.pid)");
    Repair::by(move || {
        engine::try_run_in(&postgres, &["sh", "-c", &end]);
        // It ended by a signal: there is nothing to be told.
        let _ = running.join();
    })
}
