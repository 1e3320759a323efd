//! Whether Prometheus sees what happens: on the whole stack with traffic, every alert is made to fire and to resolve by the
//! fault it is about; then every expression of every dashboard is asked, every rule has data, and promtool takes what
//! the service exposes.
//!
//! Alerts take minutes by design. A second Prometheus beside the stack's own reads the same rules with short times
//! ([`hasty`]); thresholds, expressions, targets and faults are the real ones. Dashboards are asked of the stack's own.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use xtask::dashboards::{self, Dashboard, proof};

use crate::checkout::{Checkout, free_port, until};
use crate::engine::{self, Planted};
use crate::faults::{self, Site};
use crate::prometheus::Prometheus;
use crate::traffic::Traffic;
use crate::{hasty, http};

/// Grafana's step in the dashboards' window, and the data source's `timeInterval`.
const SCRAPE: Duration = Duration::from_secs(5);

/// What the dashboards show when they are opened.
const RANGE: Duration = Duration::from_secs(1800);

/// More than the pool has connections, so that some wait while all of those are held up.
const PEOPLE: usize = 12;

/// An alert that outlives its fault by the window it looks over (a minute, half a minute): waited for at the very end.
const LONG: [&str; 2] = ["ServiceErrorsSlow{service}", "ServiceRestarting{service}"];

/// The Prometheus with short times, on the stack's network.
struct Observer {
    prometheus: Prometheus,
    container: String,
    directory: tempfile::TempDir,
    _planted: Planted,
}

impl Observer {
    fn beside(checkout: &Checkout) -> Self {
        let source = checkout.root().join("compose/prometheus");
        let directory =
            tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("cargo's directory for tests");
        // The image's user is not this one.
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).expect("it is ours");
        let write = |name: &str, text: String| {
            fs::write(directory.path().join(name), text).expect("it was just made");
        };
        let read = |name: &str| fs::read_to_string(source.join(name)).expect("it is in git");
        write("prometheus.yml", hasty::configuration(&read("prometheus.yml")));
        for name in ["service.rules.yml", "service.alerts.yml"] {
            write(name, hasty::rules(&read(name)));
        }
        let (container, port) = (format!("{}-observer", checkout.name()), free_port());
        let planted = Planted::twin(
            &container,
            &format!("{}-prometheus", checkout.name()),
            &["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"],
            &[(directory.path(), "/etc/prometheus")],
            9090,
            port,
        );
        let prometheus = Prometheus::at(&port.to_string());
        Self { prometheus, container, directory, _planted: planted }
    }

    /// Waits until these fire, as `name{job}`.
    fn until_firing(&self, alerts: &[&str]) {
        for alert in alerts {
            until(&format!("{alert} fires"), || self.fires(alert)?.then_some(()));
        }
    }

    /// Waits until these do not fire any more.
    fn until_silent(&self, alerts: &[&str]) {
        for alert in alerts {
            until(&format!("{alert} is silent"), || (!self.fires(alert)?).then_some(()));
        }
    }

    /// `None` when it does not answer.
    fn fires(&self, alert: &str) -> Option<bool> {
        Some(self.prometheus.firing().ok()?.contains(alert))
    }

    /// When the service began that was scraped last; `None` while none is.
    fn began(&self) -> Option<f64> {
        let began = self.prometheus.now("process_start_time_seconds{job=\"service\"}").ok()?;
        began.into_iter().reduce(f64::max)
    }

    /// Nothing was wrong, then something is, then it is mended: the alerts that are about it follow.
    fn see<R>(&self, alerts: &[&str], proven: &mut BTreeSet<String>, harm: impl FnOnce() -> R) {
        self.until_silent(alerts);
        let repair = harm();
        self.until_firing(alerts);
        drop(repair);
        let short: Vec<&str> = alerts.iter().copied().filter(|alert| !LONG.contains(alert)).collect();
        self.until_silent(&short);
        proven.extend(alerts.iter().map(|alert| (*alert).to_owned()));
    }
}

fn every_alert_fires_and_resolves(observer: &Observer, site: &Site) {
    let mut proven = BTreeSet::new();
    until("every target is up", || {
        let up = ["service", "postgres", "redis", "prometheus"];
        let is_up = |job| observer.prometheus.has(&format!("up{{job=\"{job}\"}} == 1"));
        up.into_iter().all(is_up).then_some(())
    });
    let postgres_and_an_exporter = [
        "PostgresUnreachable{service}",
        "ServiceErrorsFast{service}",
        "ServiceErrorsSlow{service}",
        // Its exporter answers, and says that it does not reach Postgres.
        "TargetDown{postgres}",
        // The container is gone, and with it the name.
        "TargetDown{redis}",
    ];
    observer.see(&postgres_and_an_exporter, &mut proven, || {
        (faults::stopped(site, "postgres"), faults::stopped(site, "redis-exporter"))
    });
    // None of these has to do with another.
    let independent = [
        "RedisDegraded{service}",
        "TargetDown{redis}",
        "ServiceSlow{service}",
        "PoolExhausted{service}",
        "PostgresConnectionsHigh{postgres}",
        "PostgresDiskFilling{postgres}",
        "PrometheusBroken{prometheus}",
        "LogLinesDropped{service}",
    ];
    observer.see(&independent, &mut proven, || {
        let lost = "LogLinesDropped{service}";
        (
            // First: the many requests that it takes would make slow ones seem few.
            faults::log_reader_stuck(site, || observer.fires(lost) == Some(true)),
            faults::items_locked(site),
            faults::connections_taken(site),
            faults::database_grown(site),
            faults::stopped(site, "redis"),
            faults::configuration_spoilt(site),
        )
    });
    a_locked_table_hides_nothing(observer, site);
    // An exporter that takes connections and says nothing, and a service that dies again and again.
    observer.see(&["TargetDown{postgres}"], &mut proven, || faults::frozen(site, "postgres-exporter"));
    observer.see(&["ServiceDown{service}"], &mut proven, || faults::killed(site));
    observer.see(&["ServiceRestarting{service}"], &mut proven, || {
        until("the service has restarted often enough", || {
            let before = observer.began()?;
            // Each start has to be seen; that it was away in between need not be, and the window is half a minute.
            drop(faults::killed(site));
            until("its start is seen", || (observer.began()? > before).then_some(()));
            observer.fires("ServiceRestarting{service}")?.then_some(())
        });
    });
    observer.until_silent(&LONG);
    until("nothing fires", || observer.prometheus.firing().ok()?.is_empty().then_some(()));

    let proven: BTreeSet<&str> = proven.iter().filter_map(|alert| alert.split('{').next()).collect();
    let rules = observer.prometheus.rules().expect("it answers");
    let all: BTreeSet<&str> =
        rules.iter().filter(|rule| !rule.records).map(|rule| rule.name.as_str()).collect();
    assert_eq!(proven, all, "every alert is proven here");
}

/// While somebody holds a table, which is when one wants to look, what the exporter asks of Postgres does not wait for it:
/// it tells the lock itself.
fn a_locked_table_hides_nothing(observer: &Observer, site: &Site) {
    let told = "pg_locks_count{mode=\"accessexclusivelock\"} > 0";
    until("no table is locked", || (!observer.prometheus.has(told)).then_some(()));
    let _held = faults::items_held(site);
    until("the lock is told", || observer.prometheus.has(told).then_some(()));
}

/// What is wrong with a dashboard, as its readers would see it.
fn faults_of(dashboard: &Dashboard, prometheus: &Prometheus) -> Vec<String> {
    let window = proof::Window { range: RANGE, step: SCRAPE, scrape: SCRAPE };
    let names = prometheus.names().expect("it answers");
    let mut found = Vec::new();
    for question in proof::questions(dashboard) {
        let values = proof::as_grafana_asks(proof::without_default(question.expr), window).and_then(|expr| {
            if question.instant {
                prometheus.now(&expr)
            } else {
                prometheus.since_the_beginning(&expr, SCRAPE)
            }
        });
        let fits = question.unit.map_or(Ok(()), |unit| proof::fits_names(unit, question.expr));
        let judged = values.and_then(|values| proof::judge(&question, &values, prometheus.age()));
        let unknown: Vec<String> = proof::metrics(question.expr).difference(&names).cloned().collect();
        let known = if unknown.is_empty() {
            Ok(())
        } else {
            Err(format!("there is no metric {}", unknown.join(", ")))
        };
        for fault in [judged.err(), fits.err(), known.err()].into_iter().flatten() {
            found.push(format!("{}, {:?}: {fault}: {}", dashboard.uid, question.shown_by, question.expr));
        }
    }
    found
}

fn sources(root: &Path) -> Vec<String> {
    let entries = fs::read_dir(root.join("compose/grafana/sources")).expect("it is in git");
    let read = |path| fs::read_to_string(path).expect("it is in git");
    entries.map(|entry| read(entry.expect("a readable directory").path())).collect()
}

fn every_panel_is_right(root: &Path, prometheus: &Prometheus) {
    let mut found = Vec::new();
    for source in sources(root) {
        found.extend(faults_of(&dashboards::parse(&source).expect("a dashboard"), prometheus));
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

fn every_rule_has_data(prometheus: &Prometheus) {
    let mut found = Vec::new();
    for rule in prometheus.rules().expect("it answers") {
        if !rule.error.is_empty() {
            found.push(format!("{}: {}", rule.name, rule.error));
        }
        if rule.records {
            let values = prometheus.since_the_beginning(&rule.name, SCRAPE).expect("a name is an expression");
            if values.iter().all(|value| value.is_nan()) {
                found.push(format!("{} has no data", rule.name));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// The service's own text, after traffic of every kind, as `promtool check metrics` judges names, units and help.
fn exposition_is_as_prometheus_wants_it(site: &Site) {
    let promtool = |source: &str| {
        let line = format!("{source} | promtool check metrics");
        engine::output_of(&site.container("prometheus"), &["sh", "-c", &line])
    };
    let (status, said) = promtool("echo 'app_requests_milliseconds_count 1'");
    assert_ne!(status, Some(0), "it would notice: {said}");
    let (status, said) = promtool("wget -q -O - http://hello-pods:8000/metrics");
    assert_eq!((status, said.as_str()), (Some(0), ""));
}

/// Faults planted into the dashboard that Grafana opens with: each is found, and named.
fn a_broken_panel_is_noticed(root: &Path, prometheus: &Prometheus) {
    let source = fs::read_to_string(root.join("compose/grafana/sources/service.yml")).expect("it is in git");
    for (from, to, message) in [
        (
            "expr: 'sum(app_requests_in_flight)'",
            "expr: 'sum(app_requests_in_fligth)'",
            "\"In flight\": it is empty",
        ),
        (
            "'max(app_visitors)'",
            "'max(app_visitors) or no_such_metric'",
            "\"Visitors\": there is no metric no_such",
        ),
        ("'sum(tokio_alive_tasks)'", "'sum(tokio_alive_tasks'", "\"Tasks\": invalid parameter \"query\""),
        ("'min(app_redis_up)'", "'min(app_redis_up{instance=\"$instance\"})'", "nothing sets $instance"),
        ("'max(app_visitors)'", "'process_start_time_seconds'", "\"Visitors\": it goes from"),
        ("'max(app_visitors)'", "'max(app_visitors) * (0 / 0)'", "\"Visitors\": it is NaN"),
    ] {
        assert_eq!(source.matches(from).count(), 1, "{from}");
        let broken = dashboards::parse(&source.replace(from, to)).expect("a dashboard");
        let found = faults_of(&broken, prometheus);
        assert!(found.iter().any(|fault| fault.contains(message)), "{message:?} is not among {found:?}");
    }
}

#[test]
fn every_alert_fires_and_every_panel_has_data() {
    let checkout = Checkout::full("seen");
    checkout.up();
    let base = format!("http://127.0.0.1:{}", checkout.variable("HOMEPORT_SERVICE_PORT"));
    let prometheus = Prometheus::at(checkout.variable("HOMEPORT_PROMETHEUS_PORT"));
    http::until_ready(&base);
    // The second item has a number that people ask for.
    for name in ["first", "second"] {
        http::create(&base, name, &1.into());
    }
    let _traffic = Traffic::start(&base, PEOPLE);
    let observer = Observer::beside(&checkout);
    let site = Site {
        project: checkout.name().to_owned(),
        base,
        configuration: observer.directory.path().join("prometheus.yml"),
        observer: observer.container.clone(),
    };
    every_alert_fires_and_resolves(&observer, &site);
    exposition_is_as_prometheus_wants_it(&site);
    // What the stack's own Prometheus has seen of all that.
    every_rule_has_data(&prometheus);
    every_panel_is_right(checkout.root(), &prometheus);
    a_broken_panel_is_noticed(checkout.root(), &prometheus);
    assert!(engine::runs(&site.container("service")));
}
