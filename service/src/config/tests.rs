//! Owns the table of what configuration is taken and what is refused.

use std::{collections::BTreeMap, time::Duration};

use super::Config;

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
