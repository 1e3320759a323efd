//! Owns `service serve`: the runtime, the signals and the order of shutting down.

use std::{convert::Infallible, pin::pin, process::ExitCode};

use rocket::Shutdown;
use slog::{Logger, crit, info, warn};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::oneshot,
};

use super::{code, unsent};
use crate::{Parts, application, config::Config, logging::Log};

/// Lives as long as Rocket: each connection holds a share of it until the kernel has its last answer, whether a request has
/// got as far as any of our code or not.
struct Served(#[expect(dead_code, reason = "its end is what is listened for")] oneshot::Sender<Infallible>);

pub(super) fn serve(config: &Config, log: &Log) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(config.listen.workers)
        // One for each pooled connection, the probe, and name look-ups.
        .max_blocking_threads(config.database.pool_size as usize + 4)
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            crit!(log.logger(), "the runtime could not be started"; "error" => %error);
            return ExitCode::from(code::FAULT);
        }
    };
    let exit = runtime.block_on(run(config, log));
    // Threads that wait for a silent Postgres are not waited for.
    runtime.shutdown_background();
    exit
}

async fn run(config: &Config, log: &Log) -> ExitCode {
    // First of all: a container's first process gets no signal that it does not handle, and would have to be killed.
    let signals = Signals::watch();
    let logger = log.logger();
    let (parts, upkeep) = Parts::assemble(config, &logger);
    let dropped = log.dropped();
    parts.metrics.add_readings(vec![crate::metrics::Reading {
        name: "app_log_lines_dropped_total",
        help: "Log lines lost for want of room or because the output refused them.",
        kind: crate::metrics::Kind::Counter,
        labels: Vec::new(),
        #[expect(clippy::cast_precision_loss, reason = "Prometheus has only floating-point values")]
        read: Box::new(move || dropped() as f64),
    }]);
    let (served, ended) = oneshot::channel();
    let rocket = match application(config, parts.clone()).manage(Served(served)).ignite().await {
        Ok(rocket) => rocket,
        Err(error) => {
            crit!(logger, "the application could not be put together"; "error" => %error);
            return ExitCode::from(code::FAULT);
        }
    };
    info!(logger, "serving"; "version" => &config.version, "address" => %config.listen.address, "port" => config.listen.port);

    let shutdown = rocket.shutdown();
    let launched = {
        let mut launch = pin!(rocket.launch());
        tokio::select! {
            launched = &mut launch => Some(launched),
            () = close(config, &parts, signals, shutdown, &logger) => None,
        }
    };
    if launched.is_none() {
        let end = async {
            let _connections_have_ended = ended.await;
            unsent::until_all_is_sent(config.listen.port).await;
        };
        if tokio::time::timeout(config.timing.shutdown_grace, end).await.is_err() {
            let (requests, unsent) = (parts.recording.open_requests(), unsent::bytes(config.listen.port));
            warn!(logger, "the grace is over"; "requests" => requests, "unsent_bytes" => unsent);
        }
    }
    drop(upkeep);
    parts.store.flush().await;
    parts.export.finish(&logger).await;
    if let Some(Err(error)) = launched {
        crit!(logger, "the server ended"; "error" => %error);
        return ExitCode::from(code::FAILED);
    }
    info!(logger, "stopped");
    ExitCode::SUCCESS
}

/// Waits for a signal; then lets requests come in for a while, and stops listening. Rocket's own wait for what is under way
/// is not used: it always takes the whole grace.
async fn close(config: &Config, parts: &Parts, mut signals: Signals, shutdown: Shutdown, logger: &Logger) {
    let signal = signals.next().await;
    parts.draining.begin();
    info!(logger, "shutting down"; "signal" => signal);
    tokio::time::sleep(config.timing.shutdown_drain).await;
    shutdown.notify();
}

/// The signals that end the service, kept from the moment on that they are watched.
struct Signals(Option<[Signal; 2]>);

impl Signals {
    fn watch() -> Self {
        let watched = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
        let (Ok(terminate), Ok(interrupt)) = watched else { return Self(None) };
        Self(Some([terminate, interrupt]))
    }

    /// Waits for one; its name.
    async fn next(&mut self) -> &'static str {
        let Some([terminate, interrupt]) = &mut self.0 else {
            // Without handlers the signals end the process as the system does.
            return std::future::pending().await;
        };
        tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        }
    }
}
