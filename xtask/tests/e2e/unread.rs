//! A Compose file with a mistake in it: what runs is still shown, heard and taken down, by what the engine says of it, and
//! one warning says what could not be told. What makes something of the file ends with its faults (README, "When
//! something fails").

use serde_json::Value;

use crate::checkout::{Checkout, name, until};
use crate::engine::{self, runs};

const STACK: &str = "services:
  postgres:
    image: postgres:17
    environment: {POSTGRES_PASSWORD: secret, POSTGRES_DB: shop, POSTGRES_USER: boss}
    volumes: [data:/var/lib/postgresql/data]
    ports: [\"127.0.0.1:${PORT}:5432\"]
    healthcheck: {test: [CMD, pg_isready, --quiet, --host=127.0.0.1], interval: 1s, start_period: 60s}
volumes: {data: {}}
";

const RULE: &str = "compose/compose.yaml:5: services.postgres.secret: ";

/// The warnings of a command that has worked.
#[track_caller]
fn warnings(checkout: &Checkout, arguments: &[&str]) -> (Vec<String>, Vec<Value>) {
    let arguments = [arguments, &["--format", "json"]].concat();
    let run = checkout.run(&arguments).expect(0);
    let text = |event: &Value| event["text"].as_str().expect("text").to_owned();
    (run.events_of("warning").iter().map(text).collect(), run.events())
}

#[test]
fn what_runs_is_shown_and_taken_down_and_nothing_is_made() {
    let checkout = Checkout::small("unread", STACK);
    checkout.up();
    checkout.edit(&[("    volumes: [data", "    secret: [one]\n    volumes: [data")]);

    let (told, events) = warnings(&checkout, &["status"]);
    assert!(
        told.len() == 1 && told[0].contains(RULE) && told[0].contains("which services have none"),
        "{told:?}"
    );
    let summary = events.iter().find(|event| event["event"] == "summary").expect("a summary");
    let row = &summary["services"][0];
    assert_eq!((&row["service"], &row["state"]), (&"postgres".into(), &"healthy".into()), "{summary}");
    assert_eq!(row["urls"][0], format!("127.0.0.1:{}", checkout.port()), "{summary}");

    let (told, events) = warnings(&checkout, &["logs", "postgres"]);
    assert!(told.len() == 1 && told[0].contains(RULE), "{told:?}");
    let ready = |event: &Value| {
        event["line"].as_str().is_some_and(|line| line.contains("ready to accept connections"))
    };
    assert!(events.iter().any(ready), "{events:?}");
    let refused = checkout.run(&["logs", "nobody"]).expect(2);
    assert!(refused.stderr().contains("it has postgres"), "{}", refused.stderr());

    let (told, events) = warnings(&checkout, &["db", "list"]);
    assert!(told.len() == 1 && told[0].contains(RULE), "{told:?}");
    assert!(events.iter().any(|event| event["snapshots"].is_array()), "{events:?}");

    let made: [&[&str]; 5] = [
        &["dev", "--detach"],
        &["dev", "--dry-run"],
        &["db", "migrate"],
        &["db", "reset", "--yes"],
        &["db", "restore", "one", "--yes"],
    ];
    for command in made {
        let refused = checkout.run(command).expect(3);
        assert!(refused.stderr().contains("error[compose-invalid]"), "{}", refused.stderr());
        assert!(refused.stderr().contains(RULE), "{}", refused.stderr());
    }
    let container = format!("{}-postgres", checkout.name());
    assert!(runs(&container), "it was not touched");

    let (told, _) = warnings(&checkout, &["down"]);
    assert!(told.len() == 1 && told[0].contains(RULE), "{told:?}");
    let kept = engine::objects(checkout.name());
    assert!(kept.len() == 1 && kept[0].starts_with("volume "), "{kept:?}");
    let run = checkout.run(&["down", "--volumes", "--verify"]).expect(0);
    assert!(
        run.stderr().contains("no container, network or volume with its label is left"),
        "{}",
        run.stderr()
    );
    assert_eq!(engine::objects(checkout.name()), [""; 0]);
}

/// What cannot be read at all does not tell what the project is called: the engine knows what was made from here.
#[test]
fn a_project_without_a_readable_name_is_found_by_its_directory() {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("it can be made");
    let file = directory.path().join("compose/compose.yaml");
    let project = name("nameless");
    let stack = format!("name: {project}\nservices: {{store: {{image: redis:8}}}}\n");
    std::fs::create_dir(directory.path().join("compose")).expect("it can be made");
    std::fs::write(&file, &stack).expect("it can be written");
    let checkout = Checkout::found(directory.path(), project, None);
    std::fs::write(&file, "services: [\n").expect("it can be written");
    let unknown = checkout.run(&["status"]).expect(3);
    assert!(unknown.stderr().contains("HOMEPORT_PROJECT=NAME"), "{}", unknown.stderr());

    std::fs::write(&file, &stack).expect("it can be written");
    checkout.up();
    std::fs::write(&file, "services: [\n").expect("it can be written");
    until("it has spoken", || {
        let run = checkout.run(&["logs"]).expect(0);
        run.stdout().contains("store | ").then_some(())
    });
    // What is no text at all tells no name either; but whoever gives one means that project, and no other.
    std::fs::write(&file, b"# caf\xe9\n").expect("it can be written");
    let of = |project: &str| checkout.xtask(&["down", "--volumes"]).env("HOMEPORT_PROJECT", project).run();
    of(&name("nobody")).expect(0);
    let refused = of("No Name").expect(3);
    assert!(refused.stderr().contains("what HOMEPORT_PROJECT says"), "{}", refused.stderr());
    assert_ne!(engine::objects(checkout.name()), [""; 0], "it is another one's");
    checkout.run(&["down", "--volumes", "--verify"]).expect(0);
    assert_eq!(engine::objects(checkout.name()), [""; 0]);
    // For the end of this story, which takes down what is no more.
    std::fs::write(&file, &stack).expect("it can be written");
}
