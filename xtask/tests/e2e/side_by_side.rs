//! Several checkouts on one machine, told nothing: each has its own project, ports and data, and leaves the others alone.

use std::path::Path;
use std::process::Command;

use crate::checkout::{Checkout, free_port, name};
use crate::engine::{container_id, runs};

/// A store, named and published as `compose/env.template` says.
fn write_stack(directory: &Path, project: &str, port: u16) {
    let compose = format!(
        "name: ${{HOMEPORT_PROJECT:-{project}}}\n\
         services:\n  store:\n    image: redis:8\n    command: [redis-server, --dir, /data]\n    \
         stop_grace_period: 5s\n    ports: [\"127.0.0.1:${{HOMEPORT_STORE_PORT:-{port}}}:6379\"]\n    \
         volumes: [store-data:/data]\n    \
         healthcheck: {{test: [CMD, redis-cli, -e, ping], interval: 1s, timeout: 20s, retries: 5, start_period: 30s}}\n\
         volumes:\n  store-data:\n"
    );
    let template = format!("HOMEPORT_PROJECT=<own-name:{project}>\nHOMEPORT_STORE_PORT=<own-port:{port}>\n");
    std::fs::create_dir_all(directory.join("compose")).expect("it can be made");
    std::fs::write(directory.join("compose/compose.yaml"), compose).expect("it can be written");
    std::fs::write(directory.join("compose/env.template"), template).expect("it can be written");
}

fn git(directory: &Path, arguments: &[&str]) {
    let identity =
        ["-c", "user.name=test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false"];
    let done = Command::new("git").args(identity).args(arguments).current_dir(directory).output();
    let done = done.expect("this test needs git");
    assert!(done.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
}

fn somewhere() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("cargo's directory for tests can be written")
}

/// Where the store is published, as the summary of `status` shows it.
#[track_caller]
fn address(checkout: &Checkout) -> String {
    let summary = checkout.run(&["status", "--format", "json"]).expect(0).event("summary");
    summary["services"][0]["urls"][0].as_str().unwrap_or_else(|| panic!("no address: {summary}")).to_owned()
}

fn store(checkout: &Checkout) -> String {
    format!("{}-store", checkout.name())
}

#[test]
fn two_clones_run_at_once_and_neither_touches_the_other() {
    let (directory, project, port) = (somewhere(), name("clones"), free_port());
    for clone in ["first", "second"] {
        write_stack(&directory.path().join(clone), &project, port);
        git(&directory.path().join(clone), &["init", "--quiet"]);
    }
    let first = Checkout::found(&directory.path().join("first"), project.clone(), None);
    let up = first.run(&["dev", "--detach"]).expect(0);
    assert!(up.stderr().contains(&format!("this checkout is project {project}\n")), "{}", up.stderr());
    assert_eq!(address(&first), format!("127.0.0.1:{port}"), "the first one has what the file says");
    let container = container_id(&store(&first));

    // Nothing is decided yet, and the name that it would have is taken. What runs is not shown as its own.
    let second = Checkout::found(&directory.path().join("second"), format!("{project}-second"), Some(&first));
    let told = format!(
        "this checkout has no stack: project {project} is that of another one, {}",
        first.root().display()
    );
    let status = second.run(&["status", "--format", "json"]).expect(0);
    assert_eq!(status.event("summary")["services"][0]["state"], "absent");
    let notes = status.events_of("note");
    let said = |note: &serde_json::Value| note["text"].as_str().is_some_and(|note| note.starts_with(&told));
    assert!(notes.iter().any(said), "{notes:?}");
    let logs = second.run(&["logs"]).expect(0);
    assert_eq!(logs.stdout(), "");
    assert!(logs.stderr().contains(&told), "{}", logs.stderr());
    assert!(!first.run(&["logs"]).expect(0).stdout().is_empty(), "the first one has said something");
    let run = second.run(&["down", "--volumes"]).expect(4);
    assert!(run.stderr().contains("error[project-foreign]"), "{}", run.stderr());
    assert_eq!(container_id(&store(&first)), container, "it was left alone");

    let up = second.run(&["dev", "--detach"]).expect(0);
    assert!(up.stderr().contains(&format!("this checkout is project {project}-second\n")), "{}", up.stderr());
    assert!(runs(&store(&first)) && runs(&store(&second)));
    let own = address(&second);
    assert_ne!(own, address(&first));
    for checkout in [&first, &second] {
        assert_eq!(checkout.plan(), [], "each is as it should be");
    }

    // Down and up again: the other is not touched, and the ports are the same.
    second.run(&["down", "--volumes", "--verify"]).expect(0);
    assert_eq!((container_id(&store(&first)), first.plan()), (container, vec![]));
    second.up();
    assert_eq!(address(&second), own);
    let container = container_id(&store(&second));
    first.run(&["down", "--volumes", "--verify"]).expect(0);
    assert_eq!(container_id(&store(&second)), container);

    // One that has the other's name by hand is told so, however it came by it.
    let environment = directory.path().join("first/compose/.env");
    let text = std::fs::read_to_string(&environment).expect("it was made");
    let renamed = format!("HOMEPORT_PROJECT={project}-second\n");
    std::fs::write(&environment, &renamed).expect("it can be written");
    let run = first.run(&["dev", "--detach"]).expect(4);
    let told = format!("project {project}-second is that of another checkout, {}", second.root().display());
    assert!(run.stderr().contains(&told), "{told:?} is not in\n{}", run.stderr());
    assert_eq!(container_id(&store(&second)), container);
    std::fs::write(&environment, text).expect("it can be written");
}

#[test]
fn tests_decide_nothing_for_the_first_dev() {
    let (directory, project, port) = (somewhere(), name("tested"), free_port());
    for clone in ["first", "second"] {
        write_stack(&directory.path().join(clone), &project, port);
        git(&directory.path().join(clone), &["init", "--quiet"]);
    }
    let second = directory.path().join("second");
    let template = second.join("compose/env.template");
    let text = std::fs::read_to_string(&template).expect("it was written") + "SECRET=<random:16>\n";
    std::fs::write(&template, text).expect("it can be written");
    // No package of ours, so that cargo ends at once.
    std::fs::write(second.join("Cargo.toml"), "[workspace]\n").expect("it can be written");
    let first = Checkout::found(&directory.path().join("first"), project.clone(), None);
    first.up();
    let tested = Checkout::found(&second, project, Some(&first));
    tested.run(&["test", "unit"]).expect(8);
    let made = std::fs::read_to_string(second.join("compose/.env")).expect("credentials are made");
    assert!(made.contains("SECRET=") && !made.contains("HOMEPORT_"), "{made}");

    // By what there is then.
    first.run(&["down", "--volumes", "--verify"]).expect(0);
    std::fs::remove_file(first.root().join("compose/.env")).expect("it was made");
    let up = tested.run(&["dev", "--detach"]).expect(0);
    assert!(
        up.stderr().contains(&format!("this checkout is project {}\n", tested.name())),
        "{}",
        up.stderr()
    );
    assert_eq!(address(&tested), format!("127.0.0.1:{port}"), "as the file says");
}

#[test]
fn two_that_decide_at_once_take_two_names() {
    let (directory, project, port) = (somewhere(), name("at-once"), free_port());
    for clone in ["first", "second", "third"] {
        write_stack(&directory.path().join(clone), &project, port);
        git(&directory.path().join(clone), &["init", "--quiet"]);
    }
    // It has decided, and the engine has nothing of it yet.
    let first = Checkout::found(&directory.path().join("first"), project.clone(), None);
    let mut deciding = first.xtask(&["dev", "--detach"]).env("HOMEPORT_HALT", "before:1").start();
    deciding.until("halted");
    let found = |clone: &str| {
        Checkout::found(&directory.path().join(clone), format!("{project}-{clone}"), Some(&first))
    };
    let (second, third) = (found("second"), found("third"));
    let runs_at_once = [second.start(&["dev", "--detach"]), third.start(&["dev", "--detach"])];
    for (run, checkout) in runs_at_once.into_iter().zip([&second, &third]) {
        let ended = run.end().expect(0);
        let told = format!("this checkout is project {}\n", checkout.name());
        assert!(ended.stderr().contains(&told), "{}", ended.stderr());
        assert!(runs(&store(checkout)));
    }
    deciding.interrupt();
    deciding.end().expect(130);
    first.up();
    let addresses = [address(&first), address(&second), address(&third)];
    assert_eq!(addresses[0], format!("127.0.0.1:{port}"));
    assert_ne!(addresses[1], addresses[2]);

    // One that is down keeps its name and its ports.
    first.run(&["down", "--volumes"]).expect(0);
    write_stack(&directory.path().join("fourth"), &project, port);
    git(&directory.path().join("fourth"), &["init", "--quiet"]);
    let fourth = found("fourth");
    fourth.up();
    assert!(runs(&store(&fourth)));
}

#[test]
fn the_pipeline_of_a_further_clone_goes_by_one_name_from_the_beginning() {
    let (directory, project, port) = (somewhere(), name("pipeline"), free_port());
    for clone in ["first", "second"] {
        write_stack(&directory.path().join(clone), &project, port);
        git(&directory.path().join(clone), &["init", "--quiet"]);
    }
    let first = Checkout::found(&directory.path().join("first"), project.clone(), None);
    first.up();
    let container = container_id(&store(&first));
    let second = Checkout::found(&directory.path().join("second"), format!("{project}-second"), Some(&first));
    // As a pipeline, so that what was not run of the stack would fail it.
    let run = second.xtask(&["ci", "stack"]).env("CI", "true").run().expect(0);
    assert!(
        run.stderr().contains(&format!("this checkout is project {project}-second\n")),
        "{}",
        run.stderr()
    );
    assert_eq!(container_id(&store(&first)), container);
}

#[test]
fn one_that_decided_before_there_was_a_register_is_entered() {
    let (directory, project, port) = (somewhere(), name("entered"), free_port());
    write_stack(&directory.path().join("first"), &project, port);
    let first = Checkout::found(&directory.path().join("first"), project, None);
    first.up();
    let state = directory.path().join("state");
    first.xtask(&["dev", "--detach"]).env("XDG_STATE_HOME", state.to_str().expect("text")).run().expect(0);
    let register = std::fs::read_to_string(state.join("homeport/checkouts")).expect("it was made");
    assert_eq!(register, format!("{}\n", first.root().display()));
}

#[test]
fn a_worktree_of_git_has_its_own_stack_from_the_beginning() {
    let (directory, project, port) = (somewhere(), name("worktree"), free_port());
    let main = directory.path().join("main");
    write_stack(&main, &project, port);
    std::fs::write(main.join(".gitignore"), "compose/.env\ntarget\n").expect("it can be written");
    for arguments in [
        &["init", "--quiet"] as &[_],
        &["add", "."],
        &["commit", "--quiet", "--message", "A stack"],
        &["worktree", "add", "--quiet", "../Fix-42"],
    ] {
        git(&main, arguments);
    }
    let main = Checkout::found(&main, project.clone(), None);
    let fix = Checkout::found(&directory.path().join("Fix-42"), format!("{project}-fix-42"), Some(&main));
    main.up();
    let container = container_id(&store(&main));

    // It has its name before anything is decided.
    fix.run(&["down", "--volumes", "--verify"]).expect(0);
    assert_eq!(container_id(&store(&main)), container);
    let planned = fix.run(&["dev", "--dry-run"]).expect(0);
    assert!(planned.stdout().contains("create container store"), "{}", planned.stdout());

    fix.up();
    assert!(runs(&store(&main)) && runs(&store(&fix)));
    let own = address(&fix);
    assert_ne!(own, address(&main));
    let environment = directory.path().join("Fix-42/compose/.env");
    let text = std::fs::read_to_string(&environment).expect("it was made");
    let chosen = own.replace("127.0.0.1:", "HOMEPORT_STORE_PORT=");
    assert!(
        text.contains(&chosen) && text.contains(&format!("HOMEPORT_PROJECT={project}-fix-42\n")),
        "{text}"
    );

    // Its ports follow from its place: lost, they are found again.
    fix.run(&["down"]).expect(0);
    std::fs::remove_file(&environment).expect("it was made");
    fix.up();
    assert_eq!(address(&fix), own);
    main.run(&["down", "--volumes", "--verify"]).expect(0);
    assert!(runs(&store(&fix)));
}
