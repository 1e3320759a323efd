//! Output kept whole, and what in it differs from run to run.

use crate::checkout::Checkout;
use crate::program::Ended;

const CHAIN: &str = include_str!("stacks/chain.yaml");

/// Compares what a program wrote to both streams with the kept output.
#[track_caller]
pub(crate) fn assert_golden(name: &str, checkout: &Checkout, run: &Ended) {
    let text = format!("{}--- standard error\n{}", run.stdout(), run.stderr());
    let text = text
        .replace(&checkout.root().display().to_string(), "[directory]")
        .replace(checkout.name(), "[project]");
    let comm = std::fs::read_to_string("/proc/self/comm").unwrap_or_default();
    let text = text.replace(&format!("{} (pid {})", comm.trim(), std::process::id()), "[this test]");
    let filters = [
        (r"\b2\d{4}\b", "[port]"),
        (r"\b(\d+m )?\d+(\.\d+)?m?s\b", "[time]"),
        // Steps begin and end in the order that the engine has that day.
        (r"(?m)^(start|done) +.*\n", ""),
        // A column is as wide as its widest value.
        (r"(\S) {2,}", "$1  "),
    ];
    insta::with_settings!({filters => filters, prepend_module_to_snapshot => false, omit_expression => true}, {
        insta::assert_snapshot!(name, text);
    });
}

#[test]
fn every_help() {
    let checkout = Checkout::small("help", CHAIN);
    for command in [
        "",
        "dev",
        "down",
        "status",
        "report",
        "logs",
        "db",
        "db restore",
        "test",
        "mutants",
        "lint",
        "image",
        "push",
        "scan",
        "doctor",
        "ci",
        "completions",
    ] {
        let arguments: Vec<&str> = command.split_whitespace().chain(["--help"]).collect();
        let run = checkout.run(&arguments).expect(0);
        let name = format!("help {command}").trim().replace(' ', "-");
        assert_golden(&name, &checkout, &run);
    }
}

#[test]
fn a_plan_from_nothing() {
    let checkout = Checkout::small("dry-run", CHAIN);
    let run = checkout.run(&["dev", "--dry-run"]).expect(0);
    assert_golden("dry-run", &checkout, &run);
    assert_eq!(crate::engine::objects(checkout.name()), Vec::<String>::new(), "a dry run does nothing");
}

#[test]
fn completions_for_every_shell() {
    let checkout = Checkout::small("completions", CHAIN);
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = checkout.run(&["completions", shell]).expect(0).stdout();
        for word in ["detach", "dry-run", "volumes", "doctor"] {
            assert!(script.contains(word), "{word} is not completed in {shell}");
        }
    }
}
