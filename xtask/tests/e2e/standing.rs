//! What goes wrong while `dev` stays, and stays until it is mended; and what comes and goes beside it: files, secrets,
//! contexts, containers, what cargo has made.

use std::fs::rename;

use serde_json::Value;

use crate::checkout::Checkout;
use crate::engine::{container_id, remove_container, run_in};
use crate::foreground::watched;
use crate::http::get;
use crate::program::{Running, event};
use crate::swaps::{self, save, swapped};
use crate::terminal::Terminal;

fn start(checkout: &Checkout) -> Running {
    let mut run = checkout.start(&["dev", "--format", "json"]);
    run.until("watching for saves");
    run
}

fn stop(run: Running) {
    run.interrupt();
    run.end().expect(0);
}

/// Waits until there is this problem, or until it is solved: what else stands may be told again, and is not solved.
#[track_caller]
fn expect(run: &mut Running, what: &str, about: &str) {
    let is_it = |event: &Value| event["event"] == "problem" || event["event"] == "problem-solved";
    loop {
        let told = event(&run.until_line(&format!("{what} {about}"), |line| is_it(&event(line))));
        if told["event"] == what && told["about"] == about {
            return;
        }
        assert_eq!(told["event"], "problem", "{what} {about} comes before {told}");
    }
}

fn break_service(checkout: &Checkout) {
    checkout.write("service/src/main.rs", "fn main() { 1 + \"\" }\n");
}

#[test]
fn a_broken_compose_file_and_a_broken_service_stand_each_until_it_is_mended() {
    let checkout = swapped("both");
    let mut run = start(&checkout);
    checkout.edit(&[("command: [serve]", "command: [serve")]);
    expect(&mut run, "problem", "compose");
    break_service(&checkout);
    expect(&mut run, "problem", "build-failed");
    save(&checkout, "two");
    expect(&mut run, "problem-solved", "build-failed");
    run.until("saved to served in");
    assert_eq!(get(&swaps::url(&checkout)).body, "two", "what was read last goes on");
    break_service(&checkout);
    expect(&mut run, "problem", "build-failed");
    checkout.restore();
    expect(&mut run, "problem-solved", "compose");
    save(&checkout, "three");
    expect(&mut run, "problem-solved", "build-failed");
    stop(run);
}

#[test]
fn what_is_refused_hides_neither_an_error_nor_what_is_served() {
    let checkout = swapped("hides");
    checkout.write("compose/second/text", "good");
    let second = "\n  second:\n    image: redis:8\n    entrypoint: [sh, -c, 'trap \"exit 0\" TERM; trap : HUP; while :; do \
                  sleep 1 & wait $$!; done']\n    volumes: [\"./second:/etc/second:ro\"]\n    x-homeport: {reload: SIGHUP, \
                  reload_check: [grep, good, /etc/second/text]}\n";
    checkout.edit(&[("      ready_path: /ready\n", &format!("      ready_path: /ready\n{second}"))]);
    let mut run = start(&checkout);
    checkout.write("compose/second/text", "bad");
    expect(&mut run, "problem", "checks-failed");
    // It fails at once in every plan from now on, long before the compiler does.
    break_service(&checkout);
    expect(&mut run, "problem", "build-failed");
    save(&checkout, "two");
    expect(&mut run, "problem-solved", "build-failed");
    let note = run.until("saved to served in");
    assert!(note.contains(": web, beside what failed"), "{note}");
    assert_eq!(get(&swaps::url(&checkout)).body, "two");
    checkout.write("compose/second/text", "good again");
    expect(&mut run, "problem-solved", "checks-failed");
    stop(run);
}

#[test]
fn a_file_that_went_away_is_seen_when_it_comes_back() {
    let checkout = swapped("away-back");
    let mut run = start(&checkout);
    let path = |name: &str| checkout.root().join(name);
    rename(path("Dockerfile"), path("away")).expect("it is there");
    expect(&mut run, "problem", "image-failed");
    rename(path("away"), path("Dockerfile")).expect("it is away");
    expect(&mut run, "problem-solved", "image-failed");
    stop(run);
}

#[test]
fn what_is_compiled_is_watched_wherever_it_lies_in_the_checkout() {
    let checkout = swapped("elsewhere");
    let read = |name: &str| std::fs::read_to_string(checkout.root().join(name)).expect("it was written");
    let manifest = read("service/Cargo.toml");
    checkout
        .write("service/Cargo.toml", &format!("{manifest}[dependencies]\nwords = {{path = \"../words\"}}\n"));
    checkout.write("words/Cargo.toml", "[package]\nname = \"words\"\nedition = \"2024\"\n");
    let words = |text: &str| {
        checkout.write("words/src/lib.rs", &format!("pub const VERSION: &str = {text};\n"));
    };
    let web = read("service/src/main.rs");
    let own = "const VERSION: &str = \"one\";";
    assert!(web.contains(own), "{web}");
    checkout.write("service/src/main.rs", &web.replace(own, "use words::VERSION;"));
    // Before it was ever built, too.
    words("1");
    let mut run = start(&checkout);
    for text in ["two", "three"] {
        words(&format!("\"{text}\""));
        run.until("saved to served in");
        assert_eq!(get(&swaps::url(&checkout)).body, text);
    }
    stop(run);
}

#[test]
fn a_secret_that_the_template_has_new_is_made_and_no_other() {
    let checkout = watched("new-secret");
    let template = |text: &str| checkout.write("compose/env.template", text);
    template("FIRST=<random:16>\n");
    let mut run = start(&checkout);
    template("FIRST=<random:16>\nSECOND=<random:16>\n");
    run.until("made SECOND in compose/.env");
    checkout.edit(&[("VERSION: \"1\"", "VERSION: \"${SECOND:?not made}\"")]);
    run.until("saved to served in");
    let variables = || std::fs::read_to_string(checkout.root().join("compose/.env")).expect("it was made");
    let second = variables().lines().find_map(|line| line.strip_prefix("SECOND=").map(str::to_owned));
    let container = format!("{}-replaced", checkout.name());
    let given = format!("test \"$VERSION\" = {}", second.expect("it was made"));
    run_in(&container, &["sh", "-c", &given]);
    // What was made before and is gone is the data's: another one would not fit it.
    checkout.write("compose/.env", "");
    expect(&mut run, "problem", "compose");
    assert_eq!(variables(), "");
    stop(run);
}

#[test]
fn another_context_beside_it_does_not_move_the_stack() {
    let checkout = watched("context");
    let host = std::env::var("DOCKER_HOST").ok().filter(|host| !host.is_empty());
    let host = host.unwrap_or_else(|| "unix:///var/run/docker.sock".to_owned());
    // Docker keeps a context under the SHA-256 of its name.
    let digest = "fcec91509759ad995c2cd14bcb26b2720993faf61c29d379b270d442d92290eb";
    let here = serde_json::json!({"Name": "here", "Endpoints": {"docker": {"Host": host}}});
    checkout.write(&format!("docker/contexts/meta/{digest}/meta.json"), &here.to_string());
    let choose = |name: &str| {
        checkout.write("docker/config.json", &serde_json::json!({"currentContext": name}).to_string());
    };
    choose("here");
    let configuration = checkout.root().join("docker");
    let program = checkout
        .xtask(&["dev"])
        .env("DOCKER_HOST", "")
        .env("DOCKER_CONTEXT", "")
        .env("DOCKER_CONFIG", configuration.to_str().expect("a path of text"));
    let mut run = program.start();
    run.until("watching for saves");
    choose("elsewhere");
    checkout.edit(&[("VERSION: \"1\"", "VERSION: \"2\"")]);
    run.until("saved to served in");
    stop(run);
}

#[test]
fn a_container_that_somebody_removes_is_told_and_made_again_by_a_save() {
    let checkout = watched("removed");
    let mut run = checkout.start(&["dev"]);
    run.until("watching for saves");
    let container = format!("{}-replaced", checkout.name());
    let first = container_id(&container);
    remove_container(&container);
    let told = run.until("container was removed by somebody else");
    assert!(told.contains("replaced's") && told.contains("a save, or `r`, makes it again"), "{told}");
    checkout.write("compose/replaced/text", "two");
    run.until("saved to served in");
    assert_ne!(container_id(&container), first);
    run.interrupt();
    let ended = run.end().expect(0);
    let times = ended.stderr().matches("was removed by somebody else").count();
    assert_eq!(times, 1, "what `dev` removes itself is none of that:\n{}", ended.stderr());
}

#[test]
fn what_is_read_at_the_first_start_only_replaces_nothing() {
    let checkout = watched("first-only");
    let mounts = "    volumes: [\"./replaced:/etc/watched:ro\"]\n";
    checkout.edit(&[(mounts, &format!("{mounts}    x-homeport: {{first_start: [./replaced]}}\n"))]);
    let mut run = start(&checkout);
    let container = format!("{}-replaced", checkout.name());
    let first = container_id(&container);
    checkout.write("compose/replaced/text", "two");
    let note = run.until("is read at the first start only");
    assert!(note.contains("compose/replaced is") && note.contains("`cargo xtask down --volumes`"), "{note}");
    let planned = run.until_line("the plan", |line| event(line)["event"] == "planned");
    assert_eq!(event(&planned)["steps"], Value::Array(Vec::new()));
    assert_eq!(container_id(&container), first);
    stop(run);
}

#[test]
fn a_reload_works_after_cargo_clean() {
    let checkout = watched("cleaned");
    let mut run = start(&checkout);
    std::fs::remove_dir_all(checkout.root().join("target")).expect("its run log is there");
    checkout.write("compose/reloaded/text", "two");
    run.until("saved to served in");
    assert_eq!(checkout.plan(), [], "it is noted");
    stop(run);
}

#[test]
fn after_a_first_start_that_failed_the_keys_know_what_runs() {
    let checkout = watched("first-keys");
    checkout.edit(&[("        echo \"replaced reads", "        exit 3\n        echo \"replaced reads")]);
    let mut terminal = Terminal::start(checkout.xtask(&["dev"]));
    terminal.until("? shows the keys");
    terminal.press("l");
    terminal.until("reloaded is the only one whose logs are shown");
    terminal.press("q");
    let (ended, written, _) = terminal.end();
    assert_eq!(ended.code(), Some(0), "{written}");
}

#[test]
fn a_compile_error_that_is_longer_than_the_screen_can_be_read_to_its_end() {
    let checkout = swapped("long");
    let wrong = |number: usize| format!("let _: u8 = \"wrong {number}\";");
    let errors: Vec<String> = (1..=30).map(wrong).collect();
    checkout.write("service/src/main.rs", &format!("fn main() {{\n{}\n}}\n", errors.join("\n")));
    let mut terminal = Terminal::start(checkout.xtask(&["dev"]));
    terminal.until("? shows the keys");
    terminal.press("q");
    let (ended, written, _) = terminal.end();
    assert_eq!(ended.code(), Some(0), "{written}");
    let (before, _) = written.split_once("more lines, above").expect("not all has room below");
    assert!(before.contains("\"wrong 30\""), "{written}");
}
