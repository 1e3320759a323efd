//! Owns the tokio runtime's metrics: the place that the language runtime's collector has elsewhere. Reads only what tokio
//! keeps anyway.

use tokio::runtime::Handle;

use super::{Kind, Reading};

/// The readings of this runtime.
pub(super) fn readings(runtime: &Handle) -> Vec<Reading> {
    let of = |name, help, kind, read: fn(&Handle) -> f64| {
        let runtime = runtime.clone();
        Reading { name, help, kind, labels: Vec::new(), read: Box::new(move || read(&runtime)) }
    };
    vec![
        of("tokio_workers", "Worker threads of the runtime.", Kind::Gauge, |runtime| {
            float(runtime.metrics().num_workers())
        }),
        of("tokio_alive_tasks", "Tasks that have not ended.", Kind::Gauge, |runtime| {
            float(runtime.metrics().num_alive_tasks())
        }),
        of(
            "tokio_global_queue_depth",
            "Tasks that wait in the runtime's shared queue.",
            Kind::Gauge,
            |runtime| float(runtime.metrics().global_queue_depth()),
        ),
        of("tokio_worker_busy_seconds_total", "Time all workers spent on tasks.", Kind::Counter, |runtime| {
            let metrics = runtime.metrics();
            (0..metrics.num_workers())
                .map(|worker| metrics.worker_total_busy_duration(worker).as_secs_f64())
                .sum()
        }),
        of("tokio_worker_parks_total", "How often workers went to sleep.", Kind::Counter, |runtime| {
            let metrics = runtime.metrics();
            #[expect(clippy::cast_precision_loss, reason = "Prometheus has only floating-point values")]
            (0..metrics.num_workers()).map(|worker| metrics.worker_park_count(worker) as f64).sum()
        }),
    ]
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus has only floating-point values")]
fn float(number: usize) -> f64 {
    number as f64
}
