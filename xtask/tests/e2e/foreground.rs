//! `dev` as a person leaves it running: logs, every save brought to where it runs, faults shown while the stack serves on,
//! and the end.

use std::path::{Path, PathBuf};

use serde_json::Value;
use xtask::proxy::limits::DESCRIPTORS;

use crate::checkout::{Checkout, until};
use crate::engine::{Planted, container_id, runs};
use crate::program::{Running, event};

const WATCHED: &str = include_str!("stacks/watched.yaml");

pub(crate) fn watched(test: &str) -> Checkout {
    let checkout = Checkout::small(test, WATCHED);
    checkout.write("compose/replaced/text", "one");
    checkout.write("compose/reloaded/text", "one");
    checkout
}

fn containers(checkout: &Checkout) -> [String; 2] {
    ["replaced", "reloaded"].map(|service| container_id(&format!("{}-{service}", checkout.name())))
}

/// Waits for an event; each line of standard output has to be one.
fn until_event(run: &mut Running, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
    event(&run.until_line(what, |line| is_it(&event(line))))
}

fn until_log(run: &mut Running, service: &str, line: &str) {
    until_event(run, line, |event| {
        event["event"] == "log" && event["service"] == service && event["line"] == line
    });
}

fn until_plan(run: &mut Running, what: &str) -> Vec<String> {
    let planned = until_event(run, what, |event| event["event"] == "planned");
    let steps = planned["steps"].as_array().expect("steps").iter();
    steps
        .map(|step| {
            format!("{} ({})", step["title"].as_str().expect("text"), step["cause"].as_str().expect("text"))
        })
        .collect()
}

fn until_note(run: &mut Running, text: &str) {
    until_event(run, text, |event| {
        event["event"] == "note" && event["text"].as_str().is_some_and(|note| note.starts_with(text))
    });
}

#[test]
fn logs_are_shown_and_ctrl_c_stops_what_runs() {
    let checkout = watched("logs");
    // It begins to speak long before it is ready.
    checkout.edit(&[
        (
            "echo \"replaced reads $$(cat /etc/watched/text)\"\n",
            "echo \"replaced reads $$(cat /etc/watched/text)\"\n        sleep 3 && touch /tmp/ready\n",
        ),
        (
            "    environment: {VERSION: \"1\"}\n",
            "    healthcheck: {test: [CMD, test, -f, /tmp/ready], interval: 1s}\n",
        ),
    ]);
    let mut run = checkout.start(&["dev"]);
    run.until("watching for saves");
    checkout.write("compose/replaced/text", "two");
    let line = run.until("replaced reads two");
    assert!(line.starts_with("replaced"), "whose line it is comes first: {line}");
    run.interrupt();
    let ended = run.end().expect(0);
    assert_eq!(ended.stdout(), "", "progress and logs go to standard error");
    for service in ["replaced", "reloaded"] {
        assert!(!runs(&format!("{}-{service}", checkout.name())), "{service} runs on");
        assert!(
            ended.stderr().contains(&format!("{service} reads one")),
            "the first lines are shown too:\n{}",
            ended.stderr()
        );
    }
    // What was stopped is kept, with what it said, and started again.
    let before = containers(&checkout);
    assert!(checkout.run(&["logs", "replaced"]).expect(0).stdout().contains("replaced reads two"));
    checkout.up();
    assert_eq!(containers(&checkout), before);
    assert_eq!(checkout.plan(), []);
}

#[test]
fn a_save_reaches_what_it_concerns_and_nothing_else() {
    let checkout = watched("saves");
    let mut run = checkout.start(&["dev", "--format", "json"]);
    until_note(&mut run, "watching for saves");
    let first = containers(&checkout);

    // A mounted file, for a service that has to begin anew.
    checkout.write("compose/replaced/text", "two");
    assert_eq!(
        until_plan(&mut run, "what the save asks for"),
        [
            "remove container replaced (mounted files changed)",
            "create container replaced (mounted files changed)",
            "start container replaced (created)",
            "await replaced healthy (started)",
        ]
    );
    until_log(&mut run, "replaced", "replaced reads two");
    let second = containers(&checkout);
    assert_ne!(second[0], first[0]);
    assert_eq!(second[1], first[1]);

    // A mounted file, for a service that reads it again.
    checkout.write("compose/reloaded/text", "two");
    assert_eq!(
        until_plan(&mut run, "what the save asks for"),
        ["send SIGHUP to reloaded (mounted files changed)"]
    );
    // Its line comes when the engine tells it, before or after that.
    until_note(&mut run, "saved to served in");
    let logged = || checkout.run(&["logs", "reloaded"]).expect(0).stdout();
    until("it reads it", || logged().contains("reloaded reads two").then_some(()));
    assert_eq!(containers(&checkout), second);

    // A save without a change; and an editor's own file, which is no save at all.
    checkout.write("compose/replaced/.text.swp", "x");
    checkout.write("compose/replaced/text", "two");
    assert_eq!(until_plan(&mut run, "that nothing is to be done"), [""; 0]);
    assert_eq!(containers(&checkout), second);

    // The Compose file.
    checkout.edit(&[("VERSION: \"1\"", "VERSION: \"2\"")]);
    let plan = until_plan(&mut run, "what the edit asks for");
    assert_eq!(plan[0], "remove container replaced (configuration changed)");
    until_note(&mut run, "saved to served in");
    assert_eq!(containers(&checkout)[1], first[1]);

    run.interrupt();
    let ended = run.end().expect(0);
    assert_eq!(ended.stderr(), "", "with --format json everything is on standard output");
    assert_eq!(ended.event("run-finished")["exit"], 0);
}

#[test]
fn what_the_stack_names_is_watched_wherever_it_lies() {
    let checkout = watched("named");
    let mounted = |text: &str| {
        let to = format!("\"../{text}:/etc/watched:ro\"");
        checkout.edit(&[("\"./replaced:/etc/watched:ro\"", &to)]);
    };
    for directory in ["aside", "apart"] {
        checkout.write(&format!("{directory}/text"), "one");
    }
    mounted("aside");
    let mut run = checkout.start(&["dev", "--format", "json"]);
    until_note(&mut run, "watching for saves");
    // More than once: what is saved is another file than the one before.
    for text in ["two", "three"] {
        checkout.write("aside/text", text);
        until_note(&mut run, "saved to served in");
        let logged = || checkout.run(&["logs", "replaced"]).expect(0).stdout();
        let line = format!("replaced reads {text}");
        until(&line, || logged().contains(&line).then_some(()));
    }
    // The file names another one now, and no longer that one.
    mounted("apart");
    until_note(&mut run, "saved to served in");
    checkout.write("aside/text", "four");
    checkout.write("apart/text", "five");
    until_note(&mut run, "saved to served in");
    let logged = || checkout.run(&["logs", "replaced"]).expect(0).stdout();
    until("the new one", || logged().contains("replaced reads five").then_some(()));
    run.interrupt();
    run.end().expect(0);
}

#[test]
fn what_a_service_would_refuse_is_shown_and_it_goes_on_with_what_it_read_before() {
    let checkout = watched("refused");
    checkout.edit(&[(
        "{reload: SIGHUP}",
        "{reload: SIGHUP, reload_check: [sh, -c, 'grep bad /etc/watched/text >&2 && exit 1 || exit 0']}",
    )]);
    let mut run = checkout.start(&["dev", "--format", "json"]);
    until_note(&mut run, "watching for saves");
    checkout.write("compose/reloaded/text", "bad line");
    let problem = until_event(&mut run, "a problem", |event| event["event"] == "problem");
    let lines = problem["lines"].to_string();
    for told in ["reloaded would refuse its mounted files", "bad line", "goes on with what it read before"] {
        assert!(lines.contains(told), "{told:?} is not in {lines}");
    }
    // Of another save it is said again, and what that is about is done.
    checkout.write("compose/replaced/text", "two");
    until_event(&mut run, "the problem, again", |event| event["event"] == "problem");
    let logged = || checkout.run(&["logs", "replaced"]).expect(0).stdout().contains("replaced reads two");
    until("the other save is served", || logged().then_some(()));

    checkout.write("compose/reloaded/text", "good line");
    // Its line comes when the engine tells it, before or after that.
    until_event(&mut run, "that it is mended", |event| event["event"] == "problem-solved");
    let logged = || checkout.run(&["logs", "reloaded"]).expect(0).stdout();
    until("it reads it", || logged().contains("reloaded reads good line").then_some(()));
    run.interrupt();
    let ended = run.end().expect(0);
    assert!(!ended.stdout().contains("reloaded reads bad line"), "it was made to read it");
}

#[test]
fn a_broken_compose_file_is_shown_while_the_stack_serves_on() {
    let checkout = watched("broken");
    let mut run = checkout.start(&["dev", "--format", "json"]);
    until_note(&mut run, "watching for saves");
    let before = containers(&checkout);

    checkout.edit(&[("VERSION: \"1\"", "VERSION: [1")]);
    let problem = until_event(&mut run, "a problem", |event| event["event"] == "problem");
    assert!(
        problem["lines"][0].as_str().is_some_and(|line| line.contains("compose/compose.yaml")),
        "{problem}"
    );
    assert_eq!(containers(&checkout), before);
    assert!(runs(&format!("{}-replaced", checkout.name())));

    checkout.restore();
    until_event(&mut run, "that it is mended", |event| event["event"] == "problem-solved");
    assert_eq!(containers(&checkout), before, "mended is as it was");
    run.interrupt();
    run.end().expect(0);
}

#[test]
fn a_service_that_ends_is_told_and_started_again_by_a_save() {
    let checkout = watched("ends");
    // Well until it is told to end, which is once it is watched: before, its end would be the command's.
    checkout.edit(&[(
        "while :; do sleep 1 & wait $$!; done\n    environment",
        "until [ -f /tmp/end ]; do sleep 1; done; exit 3\n    environment",
    )]);
    let mut run = checkout.start(&["dev"]);
    run.until("watching for saves");
    crate::engine::run_in(&format!("{}-replaced", checkout.name()), &["touch", "/tmp/end"]);
    let warning = run.until("replaced ended with status 3");
    assert!(warning.contains("cargo xtask logs replaced"), "{warning}");

    checkout.restore();
    run.until("saved to served in");
    let container = format!("{}-replaced", checkout.name());
    assert!(runs(&container));

    crate::engine::kill_container(&container);
    run.until("replaced ended with status 137");
    checkout.write("compose/replaced/text", "two");
    run.until("replaced reads two");
    run.interrupt();
    run.end().expect(0);
}

#[test]
fn a_first_start_that_fails_is_complained_of_and_mended_by_a_save() {
    let checkout = watched("first");
    checkout.edit(&[
        ("        echo \"replaced reads", "        exit 3\n        echo \"replaced reads"),
        (
            "    environment: {VERSION: \"1\"}\n",
            "    healthcheck: {test: [CMD, test, -f, /tmp/ready], interval: 1s}\n",
        ),
    ]);
    let mut run = checkout.start(&["dev", "--format", "json"]);
    let problem = until_event(&mut run, "a complaint", |event| event["event"] == "problem");
    assert_eq!(problem["about"], "container-exited", "{problem}");
    until_note(&mut run, "watching for saves");
    checkout.restore();
    until_event(&mut run, "that it is mended", |event| event["event"] == "problem-solved");
    run.interrupt();
    run.end().expect(0);
    assert!(!runs(&format!("{}-reloaded", checkout.name())), "all of it is stopped");
}

#[test]
fn a_start_that_is_given_up_says_what_it_leaves_running() {
    let checkout = watched("given-up");
    // Somebody else has its name.
    let _planted = Planted::container(&format!("{}-replaced", checkout.name()), &[]);
    let run = checkout.run(&["dev"]).expect(5);
    let left = "left running: reloaded; `cargo xtask down` takes it away and keeps the data";
    assert!(run.stderr().contains(left), "{}", run.stderr());
}

#[test]
fn a_dev_that_stays_outlives_cargo_clean_and_a_low_limit_of_descriptors() {
    let checkout = watched("limits");
    let program = env!("CARGO_BIN_EXE_xtask");
    let mut run = checkout.other("sh", &["-c", "ulimit -S -n 256 && exec \"$0\" dev", program]).start();
    run.until("watching for saves");
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", run.pid())).expect("it runs");
    let files = limits.lines().find(|line| line.starts_with("Max open files")).expect("a line");
    let mut figures = files.split_whitespace().skip(3);
    let (soft, hard) = (figures.next().expect("the soft limit"), figures.next().expect("the hard limit"));
    // As many as it wants, or as an administrator allows; what is no number is no limit.
    let wanted = hard.parse().map_or(DESCRIPTORS, |hard: u64| hard.min(DESCRIPTORS));
    assert_eq!(soft, wanted.to_string(), "{files}");
    assert_eq!(locks(checkout.name()).len(), 1, "it holds its lock");

    std::fs::remove_dir_all(checkout.root().join("target")).expect("its run log is there");
    let second = checkout.run(&["dev", "--detach"]).expect(4);
    let holder = format!("cargo xtask dev (pid {}) is at work on it", run.pid());
    assert!(second.stderr().contains(&holder), "{}", second.stderr());
    assert!(second.stderr().contains("cargo xtask logs -f"), "{}", second.stderr());
    run.interrupt();
    run.end().expect(0);
    let left = locks(checkout.name());
    assert!(left.is_empty(), "it goes with a good end: {left:?}");
}

/// The files of a project's lock, wherever the checkout is.
fn locks(project: &str) -> Vec<PathBuf> {
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("state/homeport/locks");
    let checkouts = std::fs::read_dir(kept).into_iter().flatten();
    let locks = checkouts.map(|one| one.expect("a directory").path().join(format!("{project}.lock")));
    locks.filter(|lock| lock.exists()).collect()
}
