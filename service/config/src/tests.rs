//! Owns the table of what configuration is taken and what is refused.

use std::{collections::BTreeMap, time::Duration};

use super::{Config, Sampler};

const COMPLETE: [(&str, &str); 6] = [
    ("APP_VERSION", "1.2.3"),
    ("DB_HOST", "postgres"),
    ("DB_NAME", "app"),
    ("DB_USER", "app"),
    ("DB_PASSWORD", "hunter2"),
    ("REDIS_HOST", "redis"),
];

fn read(changes: &[(&str, &str)]) -> Result<Config, Vec<String>> {
    let variables: BTreeMap<String, String> = COMPLETE
        .iter()
        .chain(changes)
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    Config::from_variables(|name| variables.get(name).cloned())
        .map_err(|faults| faults.iter().map(ToString::to_string).collect())
}

#[test]
fn the_required_variables_suffice_and_the_rest_has_the_documented_defaults() {
    let config = read(&[]).unwrap();
    assert_eq!(config.database.port, 5432);
    assert_eq!(config.redis.port, 6379);
    assert_eq!(config.redis.key_prefix, "homeport:");
    assert_eq!(config.listen.port, 8000);
    assert_eq!(config.listen.address.to_string(), "0.0.0.0");
    assert_eq!(config.listen.body_deadline, Duration::from_secs(10));
    assert_eq!(config.timing.ready_deadline, Duration::from_secs(1));
    assert_eq!(config.timing.flush_interval, Duration::from_secs(5));
    assert_eq!(config.timing.shutdown_drain, Duration::ZERO);
    assert_eq!(config.log_level, slog::Level::Info);
}

#[test]
fn every_fault_is_named_at_once_in_the_order_of_the_table() {
    let faults = read(&[
        ("APP_VERSION", ""),
        ("DB_PORT", "0"),
        ("DB_PASSWORD", ""),
        ("REDIS_PORT", "65536"),
        ("READY_DEADLINE_SECONDS", "soon"),
        ("LISTEN_ADDRESS", "localhost"),
        ("REAL_IP_HEADER", "X Real IP"),
        ("LOG_LEVEL", "loud"),
    ])
    .unwrap_err();
    assert_eq!(
        faults,
        [
            "APP_VERSION: is not set",
            "DB_PORT: is \"0\", expected a whole number from 1 to 65535",
            "DB_PASSWORD: is not set",
            "REDIS_PORT: is \"65536\", expected a whole number from 1 to 65535",
            "READY_DEADLINE_SECONDS: is \"soon\", expected seconds from 0.05 to 60",
            "LISTEN_ADDRESS: is \"localhost\", expected an IP address",
            "REAL_IP_HEADER: is \"X Real IP\", expected the name of a header",
            "LOG_LEVEL: is \"loud\", expected debug, info, warning or error",
        ]
    );
}

#[test]
fn numbers_outside_their_bounds_are_refused() {
    for (name, value) in [
        ("DB_POOL_SIZE", "1"),
        ("DB_POOL_SIZE", "101"),
        ("DB_DEADLINE_SECONDS", "-1"),
        ("DB_DEADLINE_SECONDS", "NaN"),
        ("DB_DEADLINE_SECONDS", "inf"),
        ("WORKERS", "0"),
        ("PORT", "+"),
    ] {
        assert_eq!(read(&[(name, value)]).unwrap_err().len(), 1, "{name}={value}");
    }
}

#[test]
fn a_secret_is_shown_neither_by_debug_nor_by_a_fault() {
    assert!(!format!("{:?}", read(&[]).unwrap()).contains("hunter2"));
    let faults = read(&[("DB_PASSWORD", "hunter2\0")]).unwrap_err();
    assert_eq!(faults, ["DB_PASSWORD: contains a NUL character"]);
}

const COLLECTOR: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");

#[test]
fn spans_go_nowhere_unless_a_collector_is_named() {
    for changes in [
        &[] as &[(&str, &str)],
        &[("OTEL_EXPORTER_OTLP_ENDPOINT", "")],
        &[("OTEL_TRACES_SAMPLER", "nonsense"), ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")],
        &[COLLECTOR, ("OTEL_SDK_DISABLED", "True")],
    ] {
        assert!(read(changes).unwrap().tracing.is_none(), "{changes:?}");
    }
}

#[test]
fn a_collector_is_reached_at_the_path_for_traces() {
    for (given, endpoint) in [
        ("http://collector:4318", "http://collector:4318/v1/traces"),
        ("http://collector:4318/", "http://collector:4318/v1/traces"),
        ("http://[::1]:4318/otlp", "http://[::1]:4318/otlp/v1/traces"),
        ("http://collector", "http://collector/v1/traces"),
    ] {
        let config = read(&[("OTEL_EXPORTER_OTLP_ENDPOINT", given)]).unwrap();
        assert_eq!(config.tracing.unwrap().endpoint, endpoint);
    }
}

#[test]
fn what_opentelemetrys_variables_say_is_read() {
    let changes = [
        COLLECTOR,
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=hun%74er2, x-team = b"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "250"),
        ("OTEL_BSP_SCHEDULE_DELAY", "5000"),
        ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
        ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
        ("OTEL_SERVICE_NAME", "hello"),
        ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=a%20b,team=x=y"),
    ];
    let tracing = read(&changes).unwrap().tracing.unwrap();
    assert!(!format!("{tracing:?}").contains("hunter2"));
    let headers: Vec<_> =
        tracing.headers.iter().map(|(name, value)| (name.as_str(), value.reveal())).collect();
    assert_eq!(headers, [("api-key", "hunter2"), ("x-team", "b")]);
    assert_eq!(
        (tracing.timeout, tracing.gather, tracing.sampler),
        (Duration::from_millis(250), Duration::from_secs(5), Sampler::ParentBasedRatio(0.25))
    );
    assert_eq!(tracing.service_name.as_deref(), Some("hello"));
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(tracing.resource, [pair("deployment.environment.name", "a b"), pair("team", "x=y")]);
}

#[test]
fn a_fault_in_opentelemetrys_variables_is_named_and_shows_no_secret() {
    let endpoint = "OTEL_EXPORTER_OTLP_ENDPOINT";
    for (name, value, fault) in [
        (
            endpoint,
            "https://c",
            "is \"https://c\", but the service speaks no TLS: name a collector near it that takes http://",
        ),
        (endpoint, "collector:4318", "is \"collector:4318\", expected http://HOST:PORT"),
        (endpoint, "http://", "is \"http://\", expected http://HOST:PORT"),
        (endpoint, "http://c:x", "is \"http://c:x\", expected http://HOST:PORT"),
        (endpoint, "http://c:70000", "is \"http://c:70000\", expected http://HOST:PORT"),
        (endpoint, "http://c?x=1", "is \"http://c?x=1\", expected http://HOST:PORT"),
        (endpoint, "http://u:hunter2@c", "holds a user or password: use OTEL_EXPORTER_OTLP_HEADERS"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "is \"grpc\", expected http/protobuf"),
        (
            "OTEL_EXPORTER_OTLP_HEADERS",
            "hunter2",
            "is malformed, expected NAME=VALUE,… with values percent-encoded",
        ),
        (
            "OTEL_EXPORTER_OTLP_HEADERS",
            "a b=hunter2",
            "is malformed, expected NAME=VALUE,… with values percent-encoded",
        ),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "0", "is \"0\", expected a whole number from 1 to 60000"),
        ("OTEL_BSP_SCHEDULE_DELAY", "1s", "is \"1s\", expected a whole number from 1 to 3600000"),
        (
            "OTEL_TRACES_SAMPLER",
            "most",
            "is \"most\", expected always_on, always_off, traceidratio or parentbased_ before one",
        ),
        ("OTEL_RESOURCE_ATTRIBUTES", "=x", "is malformed, expected NAME=VALUE,… with values percent-encoded"),
    ] {
        let faults = read(&[COLLECTOR, (name, value)]).unwrap_err();
        assert_eq!(faults, [format!("{name}: {fault}")]);
    }
    let ratio = [COLLECTOR, ("OTEL_TRACES_SAMPLER", "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "2")];
    assert_eq!(
        read(&ratio).unwrap_err(),
        ["OTEL_TRACES_SAMPLER_ARG: is \"2\", expected a number from 0 to 1"]
    );
}
