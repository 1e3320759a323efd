//! The application: a Rocket service on Postgres and Redis. [`application`] shows the whole of it; the rooms are
//!
//! - [`config`]: what the environment may say;
//! - [`logging`]: one JSON line for everything worth saying;
//! - [`metrics`]: what is counted and measured;
//! - [`spans`]: what a trace shows of a request, and its way to a collector;
//! - [`store`]: what is kept, in Postgres and Redis; knows no HTTP;
//! - [`routes`]: one endpoint a file; knows no database;
//! - [`fairings`]: what happens to every request;
//! - [`error`]: what a client is told when something is wrong;
//! - [`commands`]: `serve`, `migrate` and `health`.

pub mod commands;
pub mod error;
pub mod fairings;
pub mod routes;

pub use service_config as config;
pub use service_store as store;
pub use service_telemetry::{logging, metrics, spans};

use std::{collections::HashSet, sync::Arc};

use rocket::{
    Build, Rocket,
    config::{Ident, LogLevel},
    shield::{NoSniff, Shield},
};
use slog::Logger;

use crate::{
    config::Config,
    fairings::{Draining, Recording},
    metrics::Metrics,
    routes::Identity,
    spans::Export,
    store::{Store, Upkeep},
};

/// Connections are kept for further requests. For HTTP/1 Rocket 0.5 knows only whether, not for how long, and gives a head no
/// time to arrive in: how many connections are idle or slow is bounded by what is in front of the service (README, "In front
/// of the service").
const KEEP_ALIVE: u32 = 1;

/// What the application is made of; each part is cheap to clone and can be looked at from outside.
#[derive(Clone)]
pub struct Parts {
    /// Who answers.
    pub identity: Identity,
    /// What is kept.
    pub store: Store,
    /// What is measured.
    pub metrics: Metrics,
    /// Whether it is shutting down.
    pub draining: Draining,
    /// Every request's record.
    pub recording: Recording,
    /// The way of spans to a collector.
    pub export: Export,
}

impl Parts {
    /// Makes the parts, within a tokio runtime. The store's background work ends when [`Upkeep`] is dropped.
    pub fn assemble(config: &Config, logger: &Logger) -> (Self, Upkeep) {
        let metrics = Metrics::new(&config.version, &routes::endpoints());
        metrics.observe_runtime();
        let (store, upkeep) = Store::open(config, &metrics, logger);
        let draining = Draining::default();
        let identity = Identity { version: config.version.clone(), hostname: hostname() };
        let (tracer, export) = Export::start(config, &identity.hostname, &metrics.spans, logger);
        let recording =
            Recording::new(Arc::clone(&metrics.requests), tracer, logger.clone(), draining.clone());
        (Self { identity, store, metrics, draining, recording, export }, upkeep)
    }
}

/// The whole application.
pub fn application(config: &Config, parts: Parts) -> Rocket<Build> {
    rocket::custom(rocket_config(config))
        .manage(parts.identity)
        .manage(parts.store)
        .manage(parts.metrics)
        .manage(routes::BodyDeadline(config.listen.body_deadline))
        .manage(parts.draining)
        .manage(parts.recording.clone())
        .attach(parts.recording)
        // Rocket's other default headers are for pages: this answers only data.
        .attach(Shield::new().enable(NoSniff::Enable))
        .mount("/", routes::all())
        .register("/", routes::catchers())
}

/// Rocket's configuration: ours alone, so that no `ROCKET_` variable or file changes it. Signals are the command's.
fn rocket_config(config: &Config) -> rocket::Config {
    let shutdown = rocket::config::Shutdown {
        ctrlc: false,
        signals: HashSet::new(),
        // Whole seconds, and never over before ours, at whose end the process ends.
        grace: u32::try_from(config.timing.shutdown_grace.as_secs() + 1).unwrap_or(u32::MAX),
        mercy: 0,
        force: false,
        ..Default::default()
    };
    rocket::Config {
        address: config.listen.address,
        port: config.listen.port,
        workers: config.listen.workers,
        ident: Ident::none(),
        ip_header: config.listen.real_ip_header.clone().map(Into::into),
        keep_alive: KEEP_ALIVE,
        log_level: LogLevel::Off,
        cli_colors: false,
        shutdown,
        ..rocket::Config::release_default()
    }
}

/// The host's name as the kernel has it; in a container, the container's.
fn hostname() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map_or_else(|_| "unknown".to_owned(), |name| name.trim().to_owned())
}
