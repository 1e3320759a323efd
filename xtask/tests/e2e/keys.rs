//! The keys of `dev` at a terminal: what each does, that the terminal is in order after every way out, and that a job in
//! the background is left alone by it.

use std::os::unix::fs::PermissionsExt;

use rustix::process::Signal;

use crate::checkout::{Checkout, until};
use crate::engine::{container_id, runs};
use crate::foreground;
use crate::load::Load;
use crate::swaps;
use crate::terminal::Terminal;

const STUBBORN: &str = include_str!("stacks/stubborn.yaml");
const SINGLE: &str = include_str!("stacks/single.yaml");

#[track_caller]
fn ends_well(terminal: Terminal, status: i32) -> String {
    let (ended, written, in_order) = terminal.end();
    assert_eq!(ended.code(), Some(status), "{written}");
    assert!(in_order, "the terminal is not as it was:\n{written}");
    written
}

#[test]
fn a_key_restarts_builds_opens_and_stops() {
    let checkout = swaps::swapped("keys");
    // Stands for the desktop's.
    checkout.write("bin/xdg-open", "#!/bin/sh\necho \"$1\" > opened.part && mv opened.part opened\n");
    let desktop = checkout.root().join("bin/xdg-open");
    std::fs::set_permissions(&desktop, PermissionsExt::from_mode(0o755)).expect("it was just written");
    let path =
        format!("{}:{}", checkout.root().join("bin").display(), std::env::var("PATH").expect("a PATH"));
    let program = checkout.xtask(&["dev"]).env("PATH", &path).env("DISPLAY", ":0");
    let mut terminal = Terminal::start(program);
    terminal.until("watching for saves; Ctrl-C stops the stack, ? shows the keys");
    assert!(terminal.reads_keys());
    terminal.press("?");
    for told in ["r  restart", "b  build", "l  show", "o  open", "q  stop"] {
        terminal.until(told);
    }

    let web = || container_id(&swaps::web(&checkout));
    let first = web();
    let load = Load::start(checkout.port());
    terminal.press("r");
    terminal.until("restarted in ");
    let told = load.stop();
    assert_eq!(told.failed, [""; 0], "beside {} that were answered", told.answered);
    let second = web();
    assert_ne!(second, first);

    terminal.press("b");
    terminal.until("build image");
    terminal.until("nothing to do: what was built is what serves");
    assert_eq!(web(), second, "a build that changes nothing replaces nothing");

    terminal.press("o");
    terminal.until(&format!("opening {}", swaps::url(&checkout)));
    let file = checkout.root().join("opened");
    let url = until("it is opened", || std::fs::read_to_string(&file).ok());
    assert_eq!(url.trim_end(), swaps::url(&checkout));

    // Two at once, as fast fingers press them.
    terminal.press("Lq");
    terminal.until("the logs of all services are shown");
    ends_well(terminal, 0);
    assert!(!runs(&swaps::web(&checkout)));
}

#[test]
fn the_logs_of_one_service_are_shown_alone() {
    let checkout = foreground::watched("narrowed");
    let mut terminal = Terminal::start(checkout.xtask(&["dev"]));
    terminal.until("? shows the keys");
    terminal.press("l");
    terminal.until("reloaded is the only one whose logs are shown");
    checkout.write("compose/replaced/text", "two");
    terminal.until("saved to served in");
    // The run log keeps what is not shown: once it is there, its turn on the screen has passed.
    let runs = checkout.root().join("target/homeport/runs");
    until("it is logged", || {
        let logs = std::fs::read_dir(&runs)
            .ok()?
            .filter_map(|entry| std::fs::read_to_string(entry.ok()?.path()).ok());
        logs.into_iter().any(|log| log.contains("replaced reads two")).then_some(())
    });
    checkout.write("compose/reloaded/text", "two");
    terminal.until("reloaded reads two");
    terminal.press("L");
    terminal.until("the logs of all services are shown");
    checkout.write("compose/replaced/text", "three");
    terminal.until("replaced reads three");
    terminal.press("q");
    let written = ends_well(terminal, 0);
    assert!(!written.contains("replaced reads two"), "{written}");
}

fn started(checkout: &Checkout) -> Terminal {
    let mut terminal = Terminal::start(checkout.xtask(&["dev"]));
    terminal.until("watching for saves");
    assert!(terminal.reads_keys());
    terminal
}

#[test]
fn a_stop_leaves_the_terminal_in_order() {
    let checkout = Checkout::small("way-out", SINGLE);
    let mut terminal = started(&checkout);
    terminal.press("\u{3}");
    ends_well(terminal, 0);
    let terminal = started(&checkout);
    terminal.signal(Signal::TERM);
    ends_well(terminal, 0);
}

#[test]
fn an_end_at_once_leaves_the_terminal_in_order() {
    let checkout = Checkout::small("at-once", STUBBORN);
    let mut terminal = started(&checkout);
    terminal.press("\u{3}");
    terminal.until("I stay");
    terminal.press("\u{3}");
    assert!(ends_well(terminal, 130).contains("stopped at once"));
    let mut terminal = started(&checkout);
    terminal.press("\u{1c}");
    ends_well(terminal, 130);
}

/// The state of the shell's only job.
#[track_caller]
fn job(terminal: &mut Terminal, state: &str) {
    terminal.press("jobs; echo looked$((40 + 2))\r");
    terminal.until(state);
    terminal.until("looked42");
}

#[test]
fn a_job_stops_goes_on_and_is_left_alone_in_the_background() {
    let checkout = swaps::swapped("job");
    let dev = format!("{} dev", env!("CARGO_BIN_EXE_xtask"));
    let mut terminal = Terminal::start(checkout.shell());
    terminal.until("ready> ");
    terminal.press(&format!("{dev} &\r"));
    terminal.until("? shows the keys");
    // Typed for the shell, and the shell's: nothing of it reaches the job, and the job is not stopped for looking.
    job(&mut terminal, "Running");
    terminal.press("fg\r");
    until("it reads keys", || terminal.reads_keys().then_some(()));
    terminal.press("?");
    terminal.until("r  restart");

    terminal.press("\u{1a}");
    terminal.until("Stopped");
    until("the terminal is the shell's", || terminal.is_in_order().then_some(()));
    job(&mut terminal, "Stopped");
    let reason = || swaps::row(&checkout)["reason"].as_str().unwrap_or_default().to_owned();
    assert!(
        reason().contains("that is suspended"),
        "whoever wonders why nothing answers is told: {}",
        reason()
    );
    terminal.press("bg\r");
    terminal.until("ready> ");
    job(&mut terminal, "Running");
    assert_eq!(reason(), "");
    assert!(terminal.is_in_order(), "in the background it changes nothing");
    terminal.press("fg\r");
    until("it reads keys", || terminal.reads_keys().then_some(()));
    terminal.press("q");
    terminal.until("done in ");
    // Before that, what is typed is `dev`'s to read.
    terminal.until("ready> ");
    terminal.press("exit\r");
    ends_well(terminal, 0);
}
