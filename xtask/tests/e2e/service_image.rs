//! The service's real image, as a black box: what it needs of whoever runs it, and how it ends.

use crate::checkout::{Checkout, free_port};
use crate::engine::{self, Planted};
use crate::http;

/// Longer than the service takes: it drains at once and has nothing in flight.
const GRACE: i32 = 30;

#[test]
fn it_runs_read_only_as_nobody_in_particular_and_ends_well() {
    let checkout = Checkout::full("image");
    checkout.run(&["dev", "--detach", "service"]).expect(0);
    let (name, port) = (format!("{}-plain", checkout.name()), free_port());
    let _plain = Planted::beside(&name, &format!("{}-service", checkout.name()), 8000, port);
    let base = format!("http://127.0.0.1:{port}");

    http::until_ready(&base);
    assert_eq!(http::get(&format!("{base}/health")).status, 200);
    assert_eq!(http::get(&format!("{base}/api/visitors")).status, 200);

    let seen = engine::container(&name).expect("it is there");
    let config = seen.config.expect("a configuration");
    assert_eq!(config.user.as_deref(), Some("1000:1000"), "the image says who runs it");
    assert_eq!(engine::users(&name), ["1000"], "one process, and its user");
    assert!(config.healthcheck.is_some_and(|check| check.test.is_some()), "the image checks itself");

    assert_eq!(engine::stop_container(&name, GRACE), 0, "SIGTERM is an end like any other");
}
