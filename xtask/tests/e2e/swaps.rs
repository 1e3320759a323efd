//! `dev` in the foreground holds the port of the service that is built here: saves reach it without one failed request,
//! what does not compile, crashes or is killed in the middle does not take it away, and every command knows whose the
//! port is.

use std::cell::Cell;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};

use serde_json::Value;

use crate::checkout::{Checkout, until};
use crate::engine::{self, container_id};
use crate::http::{get, try_get};
use crate::load::Load;
use crate::program::{Planned, Running, event};

const SWAPPED: &str = include_str!("stacks/swapped.yaml");
const PREPARED: &str = include_str!("stacks/prepared.yaml");
const WEB: &str = include_str!("stacks/web.rs");

const WORKSPACE: &str = "[workspace]\nresolver = \"3\"\nmembers = [\"service\"]\n";
const MANIFEST: &str = "[package]\nname = \"web\"\nedition = \"2024\"\n";
const DOCKERFILE: &str = "FROM scratch AS runtime\nUSER 1000:1000\nENTRYPOINT [\"/service\"]\nFROM runtime AS release\nCOPY web /service\n";

/// A checkout whose service says `one`.
pub(crate) fn swapped(test: &str) -> Checkout {
    built(test, SWAPPED)
}

fn built(test: &str, compose: &str) -> Checkout {
    let checkout = Checkout::small(test, compose).with_own_image("IMAGE");
    checkout.write("Cargo.toml", WORKSPACE);
    checkout.write("Dockerfile", DOCKERFILE);
    checkout.write("service/Cargo.toml", MANIFEST);
    checkout.write("service/src/main.rs", WEB);
    checkout
}

/// Saves the service as this version.
pub(crate) fn save(checkout: &Checkout, version: &str) {
    save_edited(checkout, "VERSION: &str = \"one\"", &format!("VERSION: &str = \"{version}\""));
}

fn save_edited(checkout: &Checkout, from: &str, to: &str) {
    assert_eq!(WEB.matches(from).count(), 1, "{from:?} in the service");
    checkout.write("service/src/main.rs", &WEB.replace(from, to));
}

pub(crate) fn url(checkout: &Checkout) -> String {
    format!("http://127.0.0.1:{}/", checkout.port())
}

fn says(checkout: &Checkout) -> String {
    get(&url(checkout)).body
}

pub(crate) fn web(checkout: &Checkout) -> String {
    format!("{}-web", checkout.name())
}

/// The project's containers by name.
fn containers(checkout: &Checkout) -> Vec<String> {
    let objects = engine::objects(checkout.name()).into_iter();
    objects.filter_map(|object| object.strip_prefix("container ").map(str::to_owned)).collect()
}

fn start(checkout: &Checkout) -> Running {
    let mut run = checkout.start(&["dev"]);
    run.until("watching for saves");
    run
}

/// What `dev` in the foreground would do now.
fn foreground_plan(checkout: &Checkout) -> Vec<Planned> {
    checkout.run(&["dev", "--dry-run", "--format", "json"]).expect(0).plan()
}

/// What `status` tells of the service.
pub(crate) fn row(checkout: &Checkout) -> Value {
    let status = checkout.run(&["status", "--format", "json"]).expect(0).event("summary");
    let rows = status["services"].as_array().expect("a row a service");
    rows.iter().find(|row| row["service"] == "web").expect("a row").clone()
}

#[test]
fn twenty_saves_under_load_fail_no_request() {
    let checkout = swapped("swaps");
    let mut run = start(&checkout);
    assert_eq!(says(&checkout), "one");
    let load = Load::start(checkout.port());
    for number in 0..20 {
        let version = format!("save {number}");
        save(&checkout, &version);
        let note = run.until("saved to served in");
        assert!(note.contains("(build ") && note.contains(", start "), "{note}");
        assert_eq!(says(&checkout), version);
    }
    let told = load.stop();
    assert_eq!(told.failed, [""; 0], "beside {} that were answered", told.answered);
    assert!(told.answered > 100, "it was hardly a load: {}", told.answered);
    // The one before may still be on its way out.
    until("one container is left", || (containers(&checkout) == [web(&checkout)]).then_some(()));
    run.interrupt();
    run.end().expect(0);
    try_get(&url(&checkout)).expect_err("nobody holds the port any more");
}

#[test]
fn a_version_that_cannot_serve_takes_nothing_away() {
    let checkout = swapped("unfit");
    let mut run = checkout.start(&["dev", "--format", "json"]);
    let until = |run: &mut Running, what: &str| {
        let line = run.until_line(what, |line| event(line)["event"] == what);
        event(&line)
    };
    run.until("watching for saves");
    let first = container_id(&web(&checkout));

    // It crashes.
    save_edited(
        &checkout,
        "println!(\"version {VERSION}\");",
        "println!(\"broken\"); std::process::exit(3);",
    );
    let problem = until(&mut run, "problem");
    let lines = problem["lines"].to_string();
    assert!(lines.contains("web ended with status 3") && lines.contains("broken"), "{lines}");
    assert!(lines.contains("the version before serves on"), "{lines}");
    assert_eq!(says(&checkout), "one");
    assert_eq!((containers(&checkout), container_id(&web(&checkout))), (vec![web(&checkout)], first.clone()));
    let kept = format!("target/homeport/failed/{}-web.log", checkout.name());
    assert!(lines.contains(&kept), "{lines}");
    let log = std::fs::read_to_string(checkout.root().join(kept)).expect("the log is kept");
    assert_eq!(log, "broken\n");

    // A save that leaves it as it is, and one of something else: it is shown, and not tried again.
    let saves: [&dyn Fn(); 2] = [
        &|| {
            save_edited(
                &checkout,
                "println!(\"version {VERSION}\");",
                "println!(\"broken\"); std::process::exit(3);",
            );
        },
        &|| checkout.restore(),
    ];
    for again in saves {
        again();
        let tried = Cell::new(false);
        let problem = run.until_line("the problem, again", |line| {
            let event = event(line);
            let starts = event["title"].as_str().is_some_and(|title| title.starts_with("start successor"));
            tried.set(tried.get() || event["event"] == "step-started" && starts);
            event["event"] == "problem"
        });
        assert!(problem.contains("web ended with status 3"), "{problem}");
        assert!(!tried.get(), "it was tried again");
        assert_eq!(container_id(&web(&checkout)), first);
    }

    // It does not compile.
    save_edited(&checkout, "println!(\"version {VERSION}\");", "println!(\"version {VERSION}\"");
    let problem = until(&mut run, "problem");
    assert_eq!(problem["about"], "build-failed");
    assert_eq!((says(&checkout).as_str(), container_id(&web(&checkout))), ("one", first.clone()));

    // It is as it was: what serves is left alone.
    save(&checkout, "one");
    until(&mut run, "problem-solved");
    run.until_line("that there is nothing to do", |line| {
        let event = event(line);
        event["event"] == "note" && event["text"].to_string().contains("nothing to do")
    });
    assert_eq!((says(&checkout).as_str(), container_id(&web(&checkout))), ("one", first.clone()));
    assert_eq!(foreground_plan(&checkout), []);

    save(&checkout, "two");
    run.until("saved to served in");
    assert_eq!(says(&checkout), "two");
    let second = container_id(&web(&checkout));
    assert_ne!(second, first);

    // A save that changes nothing.
    save(&checkout, "two");
    until(&mut run, "planned");
    run.until_line("the end of the build", |line| {
        let event = event(line);
        event["event"] == "step-finished" && event["title"].to_string().contains("rename successor")
    });
    assert_eq!(container_id(&web(&checkout)), second);
    run.interrupt();
    run.end().expect(0);
}

#[test]
fn a_service_that_ends_by_itself_is_told_to_whoever_asks() {
    let checkout = swapped("gone");
    let mut run = checkout.start(&["dev", "--format", "json"]);
    run.until("watching for saves");
    engine::kill_container(&web(&checkout));
    run.until_line("that it ended", |line| {
        event(line)["event"] == "warning" && line.contains("web ended with status 137")
    });
    let answer = get(&url(&checkout));
    assert_eq!(answer.status, 503, "{}", answer.body);
    assert!(answer.body.starts_with("web is not served: "), "{}", answer.body);
    save(&checkout, "two");
    run.until("saved to served in");
    assert_eq!(says(&checkout), "two");
    run.interrupt();
    run.end().expect(0);
}

#[test]
fn a_one_shot_runs_again_for_other_work_and_for_nothing_else() {
    let checkout = built("prepared", PREPARED);
    checkout.write("work/first", "one");
    let mut run = start(&checkout);
    let prepare = format!("{}-prepare", checkout.name());
    let ids = || [&prepare, &web(&checkout)].map(|name| container_id(name));
    let [ran, served] = ids();
    save(&checkout, "two");
    run.until("prepare is not run again for a new image: work is as it was when it ran");
    run.until("saved to served in");
    assert_eq!(says(&checkout), "two");
    let [still, second] = ids();
    assert_eq!(still, ran);
    assert_ne!(second, served);
    until("nothing is left to do", || foreground_plan(&checkout).is_empty().then_some(()));
    // With other work and another version, it has ended before that version serves.
    checkout.write("work/second", "two");
    save(&checkout, "three");
    run.until_line("the switch", |line| {
        line.starts_with("done") && line.contains("switch web to its successor")
    });
    let [again, _] = ids();
    assert_ne!(again, ran);
    let ended = engine::container(&prepare).and_then(|container| container.state?.exit_code);
    assert_eq!(ended, Some(0));
    run.until("saved to served in");
    assert_eq!(says(&checkout), "three");
    run.interrupt();
    run.end().expect(0);
}

#[test]
fn a_container_that_is_restarted_by_hand_is_found_again() {
    let checkout = swapped("restarted");
    let mut run = start(&checkout);
    for _ in 0..2 {
        engine::stop_container(&web(&checkout), 0);
        run.until("web ended with status 137");
        until("it is told that it does not run", || (get(&url(&checkout)).status == 503).then_some(()));
        engine::start_container(&web(&checkout));
        run.until("web runs again");
        until("it is served", || (says(&checkout) == "one").then_some(()));
    }
    run.interrupt();
    run.end().expect(0);
}

#[test]
fn an_open_stream_holds_up_no_save() {
    let checkout = swapped("stream");
    checkout.edit(&[("stop_signal: SIGKILL\n", "stop_signal: SIGKILL\n    stop_grace_period: 10m\n")]);
    let mut run = start(&checkout);
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, checkout.port())).expect("connected");
    stream.write_all(b"GET /stream HTTP/1.1\r\nHost: x\r\n\r\n").expect("written");
    let mut seen = String::new();
    while !seen.ends_with("begun\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("the stream begins");
        seen.push(char::from(byte[0]));
    }
    save(&checkout, "two");
    run.until("saved to served in");
    stream.set_nonblocking(true).expect("no waiting");
    let more = stream.read(&mut [0]).map_err(|error| error.kind());
    assert_eq!(more, Err(ErrorKind::WouldBlock), "it is open");
    save(&checkout, "three");
    run.until("saved to served in");
    assert_eq!(says(&checkout), "three");
    // The end of `dev` waits for it no more, and leaves nothing but the container that serves.
    run.interrupt();
    run.end().expect(0);
    assert_eq!(containers(&checkout), [web(&checkout)]);
}

#[test]
fn a_build_that_fails_from_the_start_is_told_to_whoever_asks() {
    let checkout = swapped("unbuilt");
    checkout.write("service/src/main.rs", "fn main() { 1 + \"\" }\n");
    let mut run = start(&checkout);
    let answer = get(&url(&checkout));
    assert_eq!(answer.status, 503);
    assert!(
        answer.body.contains("web is not served: ") && answer.body.contains("1 error"),
        "{}",
        answer.body
    );
    save(&checkout, "mended");
    run.until("saved to served in");
    assert_eq!(says(&checkout), "mended");
    run.interrupt();
    run.end().expect(0);
}

#[test]
fn every_command_knows_whose_the_port_is() {
    let checkout = swapped("whose");
    checkout.up();
    assert_eq!(checkout.plan(), []);
    assert_eq!(
        (says(&checkout).as_str(), row(&checkout)["urls"][0].as_str()),
        ("one", Some(url(&checkout).as_str()))
    );

    // `dev` that stays takes the port over, once.
    let causes: Vec<String> = foreground_plan(&checkout).into_iter().map(|step| step.cause).collect();
    assert_eq!(causes[0], "dev takes its ports over");
    let run = start(&checkout);
    let fronted = container_id(&web(&checkout));
    assert_eq!(says(&checkout), "one");
    assert_eq!((&row(&checkout)["state"], &row(&checkout)["reason"]), (&"healthy".into(), &Value::Null));
    assert_eq!(row(&checkout)["urls"][0].as_str(), Some(url(&checkout).as_str()));
    assert_eq!(foreground_plan(&checkout), []);

    // Killed, it takes the port with it, and `status` says so.
    run.kill();
    try_get(&url(&checkout)).expect_err("nobody holds the port any more");
    let told = row(&checkout);
    assert_eq!((&told["state"], &told["urls"]), (&"healthy".into(), &Value::Array(Vec::new())));
    assert!(
        told["reason"].as_str().is_some_and(|reason| reason.starts_with("its port is not served")),
        "{told}"
    );

    // While somebody else has it, it is named; then the next one goes on with the same container.
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, checkout.port())).expect("it is free");
    let refused = checkout.run(&["dev"]).expect(4);
    let holder = format!("port {} on 127.0.0.1 is taken by", checkout.port());
    assert!(refused.stderr().contains(&holder), "{}", refused.stderr());
    drop(taken);
    let run = start(&checkout);
    assert_eq!((says(&checkout).as_str(), container_id(&web(&checkout))), ("one", fronted));
    run.kill();

    // Without it the container publishes its port itself again.
    let causes: Vec<String> = checkout.plan().into_iter().map(|step| step.cause).collect();
    assert_eq!(causes[0], "dev gives its ports back");
    checkout.up();
    assert_eq!((says(&checkout).as_str(), checkout.plan()), ("one", vec![]));
}

#[test]
fn a_swap_that_is_killed_after_any_step_converges() {
    let checkout = swapped("kill-swap");
    start(&checkout).kill();
    // Build, create, start, await, switch, retire, rename, let go.
    for step in 1..=8 {
        let version = format!("killed after {step}");
        let mut run = checkout.xtask(&["dev"]).env("HOMEPORT_HALT", &format!("after:{step}")).start();
        run.until("watching for saves");
        save(&checkout, &version);
        run.until("halted");
        run.kill();
        if step % 2 == 0 {
            // Nor does the other way of running it care.
            checkout.up();
            assert_eq!(says(&checkout), version);
            // The engine's own judgement comes later than ours.
            until("nothing to be due", || checkout.plan().is_empty().then_some(()));
        }
        let run = start(&checkout);
        assert_eq!(says(&checkout), version);
        assert_eq!(containers(&checkout), [web(&checkout)], "{version}");
        until("nothing to be due", || foreground_plan(&checkout).is_empty().then_some(()));
        run.kill();
    }
    checkout.run(&["down", "--volumes", "--verify"]).expect(0);
    assert_eq!(engine::objects(checkout.name()), Vec::<String>::new());
}
