//! `logs`: in the order of time, filtered, followed without a line lost or twice.

use crate::checkout::{Checkout, until};
use crate::engine::{self, PROJECT_LABEL, Planted};
use crate::program::Running;

const SPOKEN: &str = include_str!("stacks/spoken.yaml");

/// Follows a service that counts, `number 1` and so on, past what it has counted to; then stops, and holds that every number
/// was told, once.
#[track_caller]
pub(crate) fn each_line_once(mut run: Running, last: u32) {
    let later = format!("number {}", last + 3);
    run.until_line(&later, |line| line == later);
    run.interrupt();
    let text = run.end().expect(0).stdout();
    let numbers: Vec<&str> = text.lines().filter(|line| line.starts_with("number")).collect();
    let expected: Vec<String> = (1..=numbers.len()).map(|number| format!("number {number}")).collect();
    assert_eq!(numbers, expected, "none is missing, none is told twice");
}

#[test]
fn logs_are_in_the_order_of_time_and_can_be_filtered() {
    let checkout = Checkout::small("spoken", SPOKEN);
    checkout.up();
    let lines = |arguments: &[&str]| -> Vec<String> {
        let text = checkout.run(arguments).expect(0).stdout();
        text.lines().filter(|line| !line.ends_with("again")).map(str::to_owned).collect()
    };
    let warns = r#"{"level":"WARN","msg":"zeta warns"}"#;
    let tells = r#"{"level":"INFO","msg":"alpha tells"}"#;
    let all = until("all have spoken", || Some(lines(&["logs"])).filter(|all| all.len() == 5));
    assert_eq!(all[0], "zeta   | zeta first", "names are aligned from the first line on");
    assert_eq!(all[1], format!("zeta   | {warns}"));
    // Of two streams of one container the order is the engine's.
    assert!(all[2].starts_with("alpha  | ") && all[3].starts_with("alpha  | "), "{all:?}");
    assert_eq!(all[4], "middle | middle third");

    assert_eq!(lines(&["logs", "--level", "warn"]), [format!("zeta   | {warns}")]);
    assert_eq!(lines(&["logs", "--level", "debug", "alpha"]), [tells]);
    assert_eq!(lines(&["logs", "--grep", "^[az].* (first|second)$", "alpha", "zeta"]).len(), 2);
    let refused = checkout.run(&["logs", "--grep", "("]).expect(2);
    assert!(refused.stderr().contains("--grep"), "{}", refused.stderr());
    let refused = checkout.run(&["logs", "--since", "yesterday"]).expect(2);
    assert!(refused.stderr().contains("expected how far back (`90s`, `10m`"), "{}", refused.stderr());
}

/// Three thousand answers to probes stand between a person and what the service said.
#[test]
fn what_is_left_out_takes_no_place_and_is_told() {
    let checkout = Checkout::small("probed", include_str!("stacks/probed.yaml"));
    checkout.up();
    let run = |arguments: &[&str]| checkout.run(&[&["logs"], arguments].concat()).expect(0);
    let lines = |arguments: &[&str]| run(arguments).stdout().lines().map(str::to_owned).collect::<Vec<_>>();
    until("all have spoken", || (lines(&[]).len() == 3003).then_some(()));

    let told = run(&["--pretty", "--tail", "2", "web"]);
    assert_eq!(told.stdout(), "ERROR one\nINFO  two\n");
    assert!(told.stderr().contains("left out: 3000 good answers to probes"), "{}", told.stderr());
    let probe = r#"{"level":"INFO","method":"GET","path":"/ready","status":200}"#;
    assert_eq!(lines(&["--tail", "1", "web"]), [probe], "nothing is left out of what a program reads");
    let found = run(&["--pretty", "--grep", "/ready", "--tail", "2", "web"]);
    assert_eq!(found.stdout().matches("GET  /ready").count(), 2, "{}", found.stdout());
    assert!(!found.stderr().contains("left out"), "{}", found.stderr());

    let error = run(&["--level", "error", "--tail", "5"]);
    assert_eq!(error.stdout(), "web   | {\"level\":\"ERROR\",\"msg\":\"one\"}\n");
    assert!(error.stderr().contains("no line of words has told a level"), "{}", error.stderr());

    assert_eq!(lines(&["--since", "2026-01-01T00:00:00Z"]).len(), 3003);
    assert_eq!(lines(&["--since", "2200-01-01T00:00"]).len(), 0);
}

/// One that was made and never started keeps nobody: the engine would wait for it.
#[test]
fn what_does_not_run_is_followed_once_it_does() {
    let checkout = Checkout::small("unstarted", SPOKEN);
    let labels = [(PROJECT_LABEL, checkout.name()), ("dev.homeport.service", "middle")];
    let container = format!("{}-middle", checkout.name());
    let _planted = Planted::container(&container, &labels);
    assert_eq!(checkout.run(&["logs"]).expect(0).stdout(), "");
    let mut run = checkout.start(&["logs", "-f"]);
    run.until("cargo xtask logs");
    engine::start_container(&container);
    run.until("Ready to accept connections");
    run.interrupt();
    run.end().expect(0);
}

#[test]
fn what_was_said_before_and_after_is_followed_each_line_once() {
    let checkout = Checkout::small("followed", SPOKEN);
    checkout.edit(&[("do echo again;", "do i=$$((i+1)); echo number $$i;")]);
    checkout.up();
    let run = checkout.start(&["logs", "-f", "middle"]);
    let last: u32 = until("it speaks", || {
        checkout
            .run(&["logs", "middle"])
            .expect(0)
            .stdout()
            .lines()
            .last()?
            .strip_prefix("number ")?
            .parse()
            .ok()
    });
    each_line_once(run, last);
}

/// Every line of a service, whichever containers it had meanwhile: each once, and in order.
#[test]
fn containers_that_come_and_go_are_followed_each_line_once() {
    let checkout = Checkout::small("comes", SPOKEN);
    checkout.edit(&[(
        "trap 'exit 0' TERM; while :; do echo again; sleep 0.2; done\"]",
        "trap 'echo last of $$V; exit 0' TERM; i=0; while :; do i=$$((i+1)); echo $$V number $$i; sleep 0.1 & wait $$!; done\"]\n    \
         environment: {V: one}\n    stop_grace_period: 5s",
    )]);
    let compose = std::fs::read_to_string(checkout.root().join("compose/compose.yaml")).expect("it is there");
    checkout.up();
    let container = format!("{}-middle", checkout.name());
    let mut run = checkout.start(&["logs", "-f", "middle"]);
    run.until("one number 3");
    // Another container.
    checkout.write("compose/compose.yaml", &compose.replace("{V: one}", "{V: two}"));
    checkout.up();
    run.until("two number 3");
    // The same one again.
    engine::stop_container(&container, 5);
    engine::start_container(&container);
    run.until("last of two");
    run.until("two number 3");
    // None for a while, then a new one.
    checkout.run(&["down"]).expect(0);
    checkout.write("compose/compose.yaml", &compose.replace("{V: one}", "{V: three}"));
    checkout.up();
    run.until("three number 3");
    run.interrupt();
    let text = run.end().expect(0).stdout();
    let lives: Vec<Vec<&str>> =
        text.split("middle third\n").skip(1).map(|life| life.lines().collect()).collect();
    assert_eq!(lives.len(), 4, "{text}");
    for (life, name) in lives.iter().zip(["one", "two", "two", "three"]) {
        let last = format!("last of {name}");
        let (numbers, end) = life.split_at(life.iter().position(|line| *line == last).unwrap_or(life.len()));
        let expected: Vec<String> =
            (1..=numbers.len()).map(|number| format!("{name} number {number}")).collect();
        assert_eq!(numbers, expected, "none is missing, none is told twice");
        assert!(end.len() == 1 || name == "three", "its last words are told: {life:?}");
    }
}
