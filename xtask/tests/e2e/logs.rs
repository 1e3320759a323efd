//! `logs`: in the order of time, filtered, followed without a line lost or twice.

use crate::checkout::{Checkout, until};
use crate::engine::{PROJECT_LABEL, Planted};

const SPOKEN: &str = include_str!("stacks/spoken.yaml");

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
}

/// The engine would wait for one that was made and never started.
#[test]
fn nothing_is_followed_that_does_not_run() {
    let checkout = Checkout::small("unstarted", SPOKEN);
    let labels = [(PROJECT_LABEL, checkout.name()), ("dev.homeport.service", "middle")];
    let _planted = Planted::container(&format!("{}-middle", checkout.name()), &labels);
    assert_eq!(checkout.run(&["logs", "-f"]).expect(0).stdout(), "");
}

#[test]
fn what_was_said_before_and_after_is_followed_each_line_once() {
    let checkout = Checkout::small("followed", SPOKEN);
    checkout.edit(&[("do echo again;", "do i=$$((i+1)); echo number $$i;")]);
    checkout.up();
    let mut run = checkout.start(&["logs", "-f", "middle"]);
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
    let later = format!("number {}", last + 3);
    run.until_line(&later, |line| line == later);
    run.interrupt();
    let text = run.end().expect(0).stdout();
    let numbers: Vec<&str> = text.lines().filter(|line| line.starts_with("number")).collect();
    let expected: Vec<String> = (1..=numbers.len()).map(|number| format!("number {number}")).collect();
    assert_eq!(numbers, expected, "none is missing, none is told twice");
}
