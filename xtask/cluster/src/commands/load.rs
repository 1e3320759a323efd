//! `cargo xtask load [--rps N] [--for D]`: bounded traffic at the service through its NodePort, and what the autoscaler
//! makes of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, mpsc};
use xtask::cli;
use xtask::commands::Context;
use xtask::failure::{Code, Failure};

use super::ours;
use crate::api::{Cluster, Scaling, scaling};
use crate::http::{Http, Request};
use crate::limits;
use crate::measure::{Measured, Sample};
use crate::steps::{Finished, Steps};

/// The service's NodePort, its namespace and its autoscaler (`k8s/`).
const NODE_PORT: u16 = 30253;
const NAMESPACE: &str = "hello";
const SCALER: &str = "hello-hpa";

/// How often requests are let go: often enough that 10 000 a second come in handfuls of 100.
const TICK: Duration = Duration::from_millis(10);

/// Runs `load`. Ctrl-C ends it early; what was measured is told all the same.
///
/// # Errors
/// When there is no cluster, or nothing answers at all.
pub async fn run(context: &Context, arguments: &cli::Load) -> Result<(), Failure> {
    if !arguments.path.starts_with('/') {
        return Err(Failure::new(
            Code::Usage,
            format!("expected a path that begins with /, found {}", arguments.path),
        ));
    }
    let kind = ours::of_project(context)?;
    let steps = Steps::new(context.events.clone(), None);
    let title = format!("kind cluster {}", kind.name());
    let ours = steps
        .run(title, async |reporter| Ok(Finished::unchanged(ours::existing(&kind, reporter).await?)))
        .await?;
    let port = ours.node.host_port(NODE_PORT).ok_or_else(|| {
        Failure::new(
            Code::ClusterUnusable,
            format!("node {} does not publish NodePort {NODE_PORT}", ours.node.name),
        )
    })?;
    // Told once, and not in the step's title: what is measured must find room beside it in a terminal of 80 columns.
    context.events.note(format!(
        "{} requests/s at http://127.0.0.1:{port}{} for {}",
        arguments.rps,
        arguments.path,
        humantime::format_duration(arguments.duration)
    ));
    let measured = steps
        .run("load", async |reporter| {
            let (samples, received) = mpsc::unbounded_channel();
            let traffic = traffic(context, arguments, port, samples);
            let view = view(&ours.cluster, received, |text| reporter.message(text));
            let ((), measured) = tokio::join!(traffic, view);
            let told = measured.told();
            Ok(Finished::changed(measured, told))
        })
        .await?;
    let answered = measured.answered() > 0;
    context.answer(&measured)?;
    if answered {
        return Ok(());
    }
    Err(Failure::new(Code::NotHealthy, format!("no request to port {port} was answered"))
        .hint("`cargo xtask deploy-kind` brings the service there"))
}

/// Lets requests go at the wanted rate. When too many are under way, those that are due are dropped and counted: a
/// queue would only be measured itself.
async fn traffic(
    context: &Context,
    arguments: &cli::Load,
    port: u16,
    samples: mpsc::UnboundedSender<Sample>,
) {
    let room = Arc::new(Semaphore::new(limits::LOAD_AT_ONCE));
    let path: Arc<str> = arguments.path.as_str().into();
    let begun = Instant::now();
    let mut http = Http::new(limits::LOAD_REQUEST);
    let mut connected = Instant::now();
    let mut sent = 0_u64;
    let mut ticks = tokio::time::interval(TICK);
    while begun.elapsed() < arguments.duration && !context.cancel.is_cancelled() {
        ticks.tick().await;
        if connected.elapsed() > limits::LOAD_CONNECTIONS {
            (http, connected) = (Http::new(limits::LOAD_REQUEST), Instant::now());
        }
        let due = (begun.elapsed().as_secs_f64() * f64::from(arguments.rps)).ceil();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "an hour at 10 000 a second fits"
        )]
        let due = due as u64;
        while sent < due {
            sent += 1;
            let Ok(permit) = Arc::clone(&room).try_acquire_owned() else {
                let _ = samples.send(Sample::Dropped);
                continue;
            };
            let (http, path, samples) = (http.clone(), Arc::clone(&path), samples.clone());
            tokio::spawn(async move {
                let at = Instant::now();
                let sample = match http.send(port, &Request::get(&path)).await {
                    Ok(answer) => Sample::Answered { status: answer.status, took: at.elapsed() },
                    Err(error) => Sample::Failed(error.to_string()),
                };
                drop(permit);
                let _ = samples.send(sample);
            });
        }
    }
}

/// Gathers what comes and tells it once a second, with the autoscaler's numbers.
async fn view(
    cluster: &Cluster,
    mut samples: mpsc::UnboundedReceiver<Sample>,
    tell: impl Fn(String),
) -> Measured {
    let mut measured = Measured::default();
    let mut looks = tokio::time::interval(limits::LOAD_VIEW);
    loop {
        tokio::select! {
            sample = samples.recv() => match sample {
                Some(sample) => measured.add(sample),
                None => break,
            },
            _ = looks.tick() => {
                // One look costs some milliseconds, in which samples wait in their channel.
                let seen: Option<Scaling> = scaling(cluster, NAMESPACE, SCALER).await.unwrap_or(None);
                measured.look(seen);
                tell(measured.live());
            }
        }
    }
    measured.end();
    measured
}
