//! Owns `service serve`: the runtime, the signals and the order of shutting down.

use std::{convert::Infallible, process::ExitCode, time::Duration};

use rocket::Shutdown;
use slog::{Logger, crit, info, warn};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::oneshot,
};

use super::{code, sockets};
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
    let mut launch = Box::pin(rocket.launch());
    let launched = tokio::select! {
        launched = &mut launch => Some(launched),
        () = drain(config, &parts, signals, &logger) => None,
    };
    if launched.is_none() {
        let port = config.listen.port;
        let end = close(port, launch, shutdown, ended);
        if tokio::time::timeout(config.timing.shutdown_grace, end).await.is_err() {
            let (requests, unsent) = (parts.recording.open_requests(), sockets::held(port).unsent);
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

/// Waits for a signal; then lets requests come in for a while.
async fn drain(config: &Config, parts: &Parts, mut signals: Signals, logger: &Logger) {
    let signal = signals.next().await;
    parts.draining.begin();
    info!(logger, "shutting down"; "signal" => signal);
    tokio::time::sleep(config.timing.shutdown_drain).await;
    info!(logger, "closing the port");
}

/// How long a connection that was made just before the port closed may take for its first request: as long as a client in
/// the same network needs for it on a busy machine. Others are behind a proxy (README, "In front of the service").
const FIRST_REQUEST: Duration = Duration::from_millis(50);

/// Stops listening, and waits until all that was asked has its answer. Rocket's own wait for what is under way is not used:
/// it always takes the whole grace.
///
/// Whoever had connected is heard. Rocket stops taking in at its word to shut down, and the kernel then resets whatever has
/// connected but was not taken in; and hyper closes a connection, at that word, of which it has not read a byte, though a
/// request be there. So that is said last. What is sent once the port is closing may be lost: a client that has no
/// answer to its first request on a connection may send it again.
async fn close<T>(
    port: u16,
    mut launch: impl Future<Output = T> + Unpin,
    shutdown: Shutdown,
    mut ended: oneshot::Receiver<Infallible>,
) {
    loop {
        // Takes in whoever is there, as often as the runtime says that somebody is.
        tokio::select! {
            _ended = &mut launch => return,
            () = tokio::time::sleep(TAKING_IN) => {}
        }
        if sockets::held(port).connections == 0 {
            break;
        }
    }
    drop(launch);
    // Each that is answered from now on ends its connection: mostly nothing is left long before.
    let mut wait = FIRST_REQUEST;
    loop {
        if tokio::time::timeout(wait, &mut ended).await.is_ok() {
            break;
        }
        if sockets::held(port).unread == 0 {
            shutdown.notify();
            let _connections_have_ended = ended.await;
            break;
        }
        wait = sockets::PAUSE;
    }
    sockets::until_all_is_sent(port).await;
}

/// Between two looks at whether somebody is to be taken in: what that takes when nobody is.
const TAKING_IN: Duration = Duration::from_millis(1);

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
