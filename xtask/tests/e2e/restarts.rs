//! A service that somebody else restarts while `dev` holds its port: requests wait for it.

use crate::engine::restart_container;
use crate::load::Load;
use crate::swaps::{swapped, web};

#[test]
fn a_service_that_is_restarted_by_hand_fails_no_reader() {
    let checkout = swapped("by-hand");
    // It goes when it is asked to, and at once.
    checkout.edit(&[("stop_signal: SIGKILL", "init: true")]);
    let mut run = checkout.start(&["dev"]);
    run.until("watching for saves");
    let load = Load::of(checkout.port(), &["GET"]);
    for _ in 0..3 {
        restart_container(&web(&checkout), 5);
        // Whoever looks meanwhile may have seen that it ended.
        run.until_line("that it was restarted", |line| {
            line.contains("web was restarted by somebody else") || line.contains("web runs again")
        });
    }
    let told = load.stop();
    assert_eq!(told.failed, [""; 0], "beside {} that were answered", told.answered);
    assert!(told.answered > 10, "it was hardly a load: {}", told.answered);
    run.interrupt();
    run.end().expect(0);
}
