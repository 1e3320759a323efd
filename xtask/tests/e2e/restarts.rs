//! Containers of a service that come one after the other while `dev` runs: requests wait for one that somebody else restarts,
//! and what those said that a save replaced is not lost.

use std::time::{Duration, Instant};

use xtask::proxy::limits::BREAKS;

use crate::checkout::until;
use crate::engine::{self, restart_container};
use crate::http::try_get;
use crate::load::Load;
use crate::swaps::{save, swapped, url, web};

/// The shortest of what requests bear of a restart (README): where the machine takes longer for all of it, some may be answered
/// 502 or 503. That none is before is what the proxy's own tests hold.
const BORNE: Duration = BREAKS;

#[test]
fn a_service_that_is_restarted_by_hand_fails_no_reader() {
    let checkout = swapped("by-hand");
    // It goes when it is asked to, and at once.
    checkout.edit(&[("stop_signal: SIGKILL", "init: true")]);
    let mut run = checkout.start(&["dev"]);
    run.until("watching for saves");
    let mut answered = 0;
    for _ in 0..3 {
        let load = Load::of(checkout.port(), &["GET"]);
        let begun = Instant::now();
        restart_container(&web(&checkout), 5);
        // Whoever looks meanwhile may have seen that it ended.
        run.until_line("that it was restarted", |line| {
            line.contains("web was restarted by somebody else") || line.contains("web runs again")
        });
        until("it is served again", || {
            try_get(&url(&checkout)).is_ok_and(|answer| answer.status == 200).then_some(())
        });
        let took = begun.elapsed();
        let mut told = load.stop();
        if took >= BORNE {
            // What the proxy says of its own is then as promised; a connection that breaks, or another answer, never is.
            told.failed.retain(|failure| ![" 502 ", " 503 "].iter().any(|status| failure.contains(status)));
        }
        assert_eq!(told.failed, [""; 0], "in {took:?}, beside {} that were answered", told.answered);
        answered += told.answered;
    }
    assert!(answered > 10, "it was hardly a load: {answered}");
    run.interrupt();
    run.end().expect(0);
}

#[test]
fn what_a_replaced_version_said_is_shown_in_its_place() {
    let checkout = swapped("said");
    let mut run = checkout.start(&["dev"]);
    run.until("watching for saves");
    for version in ["two", "three"] {
        save(&checkout, version);
        run.until("saved to served in");
    }
    let containers =
        || engine::objects(checkout.name()).iter().filter(|one| one.starts_with("container")).count();
    until("those before have gone", || (containers() == 1).then_some(()));
    let logs = |arguments: &[&str]| checkout.run(&[&["logs", "web"], arguments].concat()).expect(0);
    // The screen may be a moment behind.
    let all = until("all have spoken", || Some(logs(&[])).filter(|all| all.stdout().lines().count() == 3));
    assert_eq!(all.stdout(), "version one\nversion two\nversion three\n");
    assert!(all.stderr().contains("with what 2 containers said that there are no more"), "{}", all.stderr());
    assert_eq!(logs(&["--tail", "2"]).stdout(), "version two\nversion three\n");
    assert_eq!(logs(&["--grep", "one"]).stdout(), "version one\n");
    run.interrupt();
    run.end().expect(0);
    // What was taken down is gone with what it said; its image is not, and that is said.
    let down = checkout.run(&["down", "--volumes", "--verify"]).expect(0);
    assert_eq!(logs(&[]).stdout(), "");
    let kept = format!("`docker image rm {}` removes it", checkout.image().reference());
    assert!(down.stderr().contains(&kept) && checkout.image().exists(), "{}", down.stderr());
}
