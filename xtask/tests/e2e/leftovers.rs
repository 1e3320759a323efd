//! What tests leave in the engine when they are stopped or killed, and that the next run takes it away, but nothing of a
//! run that lives.

use std::process::{Command, Stdio};

use crate::checkout::{Checkout, until};
use crate::engine::{Planted, container, labelled};

/// The label of every container of a test; its value is the process of the run.
const LABEL: &str = xtask::engine::labels::TEST;

/// A run of the integration tests that finds no test to run: it sweeps, and that is all.
const NO_TEST: [&str; 3] = ["test", "integration", "no test is called this"];

/// The number of a process that has ended.
fn ended_process() -> u32 {
    let mut child = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .arg("--version")
        .stdout(Stdio::null())
        .spawn()
        .expect("the program starts");
    child.wait().expect("it ends");
    child.id()
}

#[test]
fn only_what_a_run_that_ended_has_left_is_removed() {
    let checkout = Checkout::full("sweep");
    let (ended, living) = (ended_process().to_string(), std::process::id().to_string());
    let names = ["ended", "living"].map(|which| format!("{}-{which}", checkout.name()));
    let _ended = Planted::container(&names[0], &[(LABEL, &ended)]);
    let _living = Planted::container(&names[1], &[(LABEL, &living)]);
    // A run beside this one may be the one that sweeps, so what this one says of it is not looked at.
    checkout.run(&NO_TEST).expect(8);
    assert!(container(&names[0]).is_none(), "what a killed run has left is gone");
    assert!(container(&names[1]).is_some(), "what a living run uses is not");
}

#[test]
fn a_run_that_is_stopped_or_killed_leaves_nothing() {
    let checkout = Checkout::full("stopped");
    // One that starts containers of its own and takes a while.
    let test = ["test", "integration", "outages::a_restarted_postgres_costs_no_restart_of_the_service"];
    for kill in [false, true] {
        let mut run = checkout.start(&test);
        let process = run.pid().to_string();
        // Compiling may come first.
        run.until("running 1 test");
        until("a container of the run", || (labelled(LABEL, &process) > 0).then_some(()));
        if kill {
            run.kill();
            checkout.run(&NO_TEST).expect(8);
        } else {
            run.interrupt();
            run.end().expect(130);
        }
        until("nothing of it to be left", || (labelled(LABEL, &process) == 0).then_some(()));
    }
}
