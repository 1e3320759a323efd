//! Ctrl-C: the first stops cleanly, the second at once, and the next command goes on from there. And two at once.

use std::time::Duration;

use serde_json::json;

use crate::checkout::{Checkout, until};
use crate::engine::{self, runs};
use crate::program::{Running, event};

const SINGLE: &str = include_str!("stacks/single.yaml");
const STUBBORN: &str = include_str!("stacks/stubborn.yaml");
const BUILT: &str = include_str!("stacks/built.yaml");

/// How soon a program is to end when nothing is left for it to do: some tenths of a second are usual, the shortest wait it
/// must not sit out instead is 30 s.
const SOON: Duration = Duration::from_secs(25);

#[test]
fn while_waiting_for_a_service() {
    let checkout = Checkout::small("int-wait", SINGLE);
    checkout.edit(&[("[CMD, redis-cli, -e, ping]", "[CMD, \"false\"]")]);
    let mut run = checkout.start(&["dev", "--detach"]);
    run.until_line("that it waits", |line| {
        line.starts_with("start") && line.ends_with("await store healthy")
    });
    run.interrupt();
    let ended = run.end().expect(130);
    assert!(ended.took < SOON, "it took {:?}", ended.took);
    for told in ["error[interrupted]", "the same command goes on from here", "cancelled"] {
        assert!(ended.stderr().contains(told), "{told:?} is not in\n{}", ended.stderr());
    }
    checkout.restore();
    checkout.up();
    assert_eq!(checkout.plan(), []);
}

#[test]
fn when_nobody_reads_any_more() {
    let checkout = Checkout::small("int-reader", SINGLE);
    checkout.edit(&[("[CMD, redis-cli, -e, ping]", "[CMD, \"false\"]")]);
    let read_by = |command: &str, reader: &str| {
        let script =
            format!("{{ \"$XTASK\" {command} --format json; echo \"ended with $?\" >&2; }} | {reader}");
        checkout.script(&script).run().expect(0)
    };
    // What changes something is not done because nobody asks any more.
    let ended = read_by("dev --detach", "head -n 1");
    assert!(ended.stderr().contains("ended with 130"), "{}", ended.stderr());
    assert!(ended.took < SOON, "it took {:?}", ended.took);
    // What only tells is.
    let ended = read_by("status", "true");
    assert!(ended.stderr().contains("ended with 0"), "{}", ended.stderr());
}

#[test]
fn while_an_engine_says_nothing() {
    let checkout = Checkout::small("int-silent", SINGLE);
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("tcp://{}", silent.local_addr().expect("an address"));
    for command in [&["status"] as &[_], &["down"]] {
        let run = checkout.xtask(command).env("DOCKER_HOST", &address).start();
        let _asked = silent.accept().expect("it asks the engine");
        run.interrupt();
        let ended = run.end().expect(130);
        assert!(ended.took < SOON, "it took {:?}", ended.took);
    }
}

#[test]
fn while_a_stage_of_the_pipeline_runs() {
    let checkout = Checkout::small("int-ci", SINGLE);
    let results = "target/homeport/ci.json";
    checkout.write(results, "{\"stages\": \"of a run before\"}");
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("tcp://{}", silent.local_addr().expect("an address"));
    let push = checkout.xtask(&["ci", "push"]).env("DOCKER_HOST", &address).env("GITHUB_ACTIONS", "true");
    let run = push.env("HOMEPORT_REPOSITORY", "registry.example/team/app").start();
    let _asked = silent.accept().expect("it asks the engine");
    run.interrupt();
    let ended = run.end().expect(130);
    assert!(ended.stderr().contains("::endgroup::"), "{}", ended.stderr());
    let text = std::fs::read_to_string(checkout.root().join(results)).expect("results");
    let results: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(results["stages"][0]["stage"], "push", "{text}");
    assert_eq!(results["stages"][0]["result"], "failed", "{text}");
}

#[test]
fn while_an_image_is_built() {
    let checkout = Checkout::small("int-build", BUILT).with_own_image("IMAGE");
    let recipe = "# The image of this test's service.\nFROM redis:8\n";
    checkout.write(
        "compose/images/built/Dockerfile",
        &format!("{recipe}RUN echo {} is under way && sleep 3600\n", checkout.name()),
    );
    let under_way = format!("{} is under way", checkout.name());
    let mut run = checkout.start(&["dev", "--detach", "--format", "json"]);
    run.until_line("that the recipe runs", |line| {
        let event = event(line);
        event["event"] == "output" && event["line"].as_str().is_some_and(|line| line.ends_with(&under_way))
    });
    run.interrupt();
    let ended = run.end().expect(130);
    assert!(ended.took < SOON, "it took {:?}", ended.took);
    assert_eq!(ended.event("failed")["code"], "interrupted");
    until("nothing is being built any more", || (!engine::is_running(&under_way)).then_some(()));
    assert!(!checkout.image().exists(), "half an image is none");

    checkout.write("compose/images/built/Dockerfile", recipe);
    checkout.up();
    assert_eq!(checkout.plan(), []);
    assert!(checkout.image().exists());
}

/// Whether a process is no more; one that nobody has asked about yet is none either.
fn is_gone(process: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_none_or(|rest| rest.is_empty() || rest.trim_start().starts_with('Z'))
}

#[test]
fn what_cargo_has_started_ends_with_the_program_however_that_ends() {
    let checkout = Checkout::small("compiler", BUILT).with_own_image("IMAGE");
    checkout.edit(&[("    stop_grace_period: 5s\n", "    x-homeport: {package: built}\n")]);
    checkout.write("Dockerfile", "FROM scratch AS runtime\nFROM runtime AS host\nCOPY built.bin /built\n");
    // Stands for cargo, and what it starts in the background for a compiler.
    let cargo = "#!/bin/sh\ncase $1 in metadata) exit 1;; esac\nsleep 3600 &\n\
        echo '{\"reason\":\"compiler-message\",\"message\":{\"level\":\"warning\",\"rendered\":\"compiler '$!'\"}}'\nwait\n";
    checkout.write("cargo", cargo);
    let cargo = checkout.root().join("cargo");
    let runnable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&cargo, runnable).expect("it was just written");
    let ends: [fn(Running); 3] = [
        |run| {
            run.interrupt();
            run.end().expect(130);
        },
        |run| {
            run.terminate();
            run.end().expect(130);
        },
        Running::kill,
    ];
    for end in ends {
        let cargo = cargo.to_str().expect("a path of ours");
        let mut run = checkout.xtask(&["dev", "--detach", "--format", "json"]).env("CARGO", cargo).start();
        let line = run.until_line("that it compiles", |line| {
            event(line)["line"].as_str().is_some_and(|line| line.starts_with("compiler "))
        });
        let compiler = event(&line)["line"].as_str().expect("a text")["compiler ".len()..].to_owned();
        assert!(!is_gone(&compiler));
        end(run);
        until("the compiler has ended", || is_gone(&compiler).then_some(()));
    }
}

#[test]
fn twice_ends_at_once() {
    let checkout = Checkout::small("int-twice", STUBBORN);
    let container = format!("{}-stubborn", checkout.name());
    let mut run = checkout.start(&["dev"]);
    run.until("watching for saves");
    run.interrupt();
    run.until("I stay");
    run.interrupt();
    let ended = run.end().expect(130);
    assert!(ended.took < SOON, "it took {:?}", ended.took);
    for told in
        ["error[interrupted]: stopped at once", "containers may run on", "`cargo xtask down` takes it away"]
    {
        assert!(ended.stderr().contains(told), "{told:?} is not in\n{}", ended.stderr());
    }
    assert!(runs(&container), "it was not killed");
    checkout.up();
    assert_eq!(checkout.plan(), []);
}

#[test]
fn terminate_and_a_closed_terminal_are_as_good_as_ctrl_c() {
    let checkout = Checkout::small("terminate", SINGLE);
    // These tests may themselves have been started to outlive a terminal.
    let usual = ["--default-signal=HUP", env!("CARGO_BIN_EXE_xtask"), "dev"];
    for end in [Running::terminate, Running::hang_up] {
        let mut run = checkout.other("env", &usual).start();
        run.until("watching for saves");
        end(&run);
        run.end().expect(0);
        assert!(!runs(&format!("{}-store", checkout.name())));
    }
    // Unless it was started to outlive that.
    let arguments = [env!("CARGO_BIN_EXE_xtask"), "dev"];
    let mut run = checkout.other("nohup", &arguments).start();
    run.until("watching for saves");
    run.hang_up();
    checkout.edit(&[("5s", "6s")]);
    run.until("nothing to do");
    run.interrupt();
    run.end().expect(0);
}

#[test]
fn two_at_once() {
    let checkout = Checkout::small("two", SINGLE);
    let mut first = checkout.xtask(&["dev", "--detach"]).env("HOMEPORT_HALT", "before:1").start();
    first.until("halted");
    for command in [&["dev", "--detach"] as &[_], &["dev"], &["down"]] {
        let second = checkout.run(command).expect(4);
        let holder = format!("cargo xtask dev --detach (pid {}) is at work on it", first.pid());
        assert!(second.stderr().contains("error[project-busy]"), "{}", second.stderr());
        assert!(second.stderr().contains(&holder), "{holder:?} is not in\n{}", second.stderr());
    }
    // Looking is allowed.
    let status = checkout.run(&["status", "--format", "json"]).expect(0).event("summary");
    assert_eq!(status["services"][0]["state"], json!("absent"));
    checkout.run(&["logs"]).expect(0);
    // Another project of the same checkout is nobody's business.
    let other = format!("{}-other", checkout.name());
    checkout.xtask(&["down", "--verify"]).env("HOMEPORT_PROJECT", &other).run().expect(0);

    first.interrupt();
    first.end().expect(130);
    checkout.up();
}
