//! Owns `service serve`: the runtime, the signals and the order of shutting down.

use std::{process::ExitCode, time::Duration};

use rocket::Shutdown;
use slog::{Logger, crit, info, warn};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::code;
use crate::{Parts, application, config::Config, logging::Log};

/// How often it is looked whether the last request has ended: not to be noticed beside a process's own end.
const LOOK: Duration = Duration::from_millis(10);

/// Between handing the last byte of an answer to hyper and hyper's writing it to the socket.
const SETTLE: Duration = Duration::from_millis(100);

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
    let rocket = match application(config, parts.clone()).ignite().await {
        Ok(rocket) => rocket,
        Err(error) => {
            crit!(logger, "the application could not be put together"; "error" => %error);
            return ExitCode::from(code::FAULT);
        }
    };
    info!(logger, "serving"; "version" => &config.version, "address" => %config.listen.address, "port" => config.listen.port);

    let shutdown = rocket.shutdown();
    let launched = tokio::select! {
        launched = rocket.launch() => Some(launched),
        () = drain(config, &parts, signals, shutdown, &logger) => None,
    };
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

/// Waits for a signal; then lets requests come in for a while, stops listening, and returns when the last request has
/// ended or the grace is over. Rocket's own wait is not used: it always takes the whole grace.
async fn drain(config: &Config, parts: &Parts, mut signals: Signals, shutdown: Shutdown, logger: &Logger) {
    let signal = signals.next().await;
    parts.draining.begin();
    info!(logger, "shutting down"; "signal" => signal);
    tokio::time::sleep(config.timing.shutdown_drain).await;
    shutdown.notify();
    let ended = async {
        while parts.recording.open_requests() > 0 {
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::time::sleep(SETTLE).await;
    if tokio::time::timeout(config.timing.shutdown_grace, ended).await.is_err() {
        warn!(logger, "the grace is over"; "requests" => parts.recording.open_requests());
    }
    tokio::time::sleep(SETTLE).await;
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
