//! Output kept whole, and what in it differs from run to run.

use std::collections::BTreeSet;
use std::path::Path;

use clap::CommandFactory as _;
use xtask::cli::Cli;

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

/// Every command, and what is below it, by its words.
fn commands(of: &clap::Command, words: &str) -> Vec<String> {
    let below = of.get_subcommands().flat_map(|one| commands(one, &format!("{words} {}", one.get_name())));
    std::iter::once(words.trim().to_owned()).chain(below).collect()
}

#[test]
fn every_help() {
    let checkout = Checkout::small("help", CHAIN);
    let mut names = BTreeSet::new();
    for command in commands(&Cli::command(), "") {
        let arguments: Vec<&str> = command.split_whitespace().chain(["--help"]).collect();
        let run = checkout.run(&arguments).expect(0);
        let name = format!("help {command}").trim().replace(' ', "-");
        assert_golden(&name, &checkout, &run);
        names.insert(name);
    }
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/snapshots");
    let kept =
        std::fs::read_dir(directory).expect("it is in git").map(|entry| entry.expect("it can be read"));
    let kept = kept.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let kept: BTreeSet<String> = kept
        .filter_map(|name| {
            name.strip_suffix(".snap").filter(|name| name.starts_with("help")).map(str::to_owned)
        })
        .collect();
    assert_eq!(kept, names, "each kept output is that of a command");
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
