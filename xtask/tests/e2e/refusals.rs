//! What cannot be done: the exit status, the code, and a message from which a person can go on.
//!
//! Each output is kept whole (`snapshots/`), with what differs from run to run replaced.

use std::net::TcpListener;

use crate::checkout::Checkout;
use crate::engine;
use crate::golden::assert_golden;
use crate::program::Program;

const SINGLE: &str = include_str!("stacks/single.yaml");

#[test]
fn an_engine_that_does_not_answer() {
    let checkout = Checkout::small("no-engine", SINGLE);
    for command in [&["dev", "--detach"] as &[_], &["status"], &["down"], &["logs"], &["image", "list"]] {
        let run = checkout.xtask(command).env("DOCKER_HOST", "unix:///nonexistent.sock").run().expect(4);
        assert!(run.stderr().contains("error[engine-unreachable]"), "{}", run.stderr());
        assert_eq!(run.stdout(), "");
    }
    let run = checkout.xtask(&["dev"]).env("DOCKER_HOST", "unix:///nonexistent.sock").run().expect(4);
    assert_golden("engine-unreachable", &checkout, &run);
}

#[test]
fn a_port_that_somebody_else_holds() {
    let checkout = Checkout::small("port", SINGLE);
    let _holder = TcpListener::bind(("127.0.0.1", checkout.port())).expect("it was free");
    let run = checkout.run(&["dev", "--detach"]).expect(4);
    let myself = std::fs::read_to_string("/proc/self/comm").expect("this process has a name");
    let holder = format!(
        "port {} on 127.0.0.1 is taken by {} (pid {})",
        checkout.port(),
        myself.trim(),
        std::process::id()
    );
    assert!(run.stderr().contains(&holder), "{holder:?} is not in\n{}", run.stderr());
    let dry = checkout.run(&["dev", "--dry-run"]).expect(4);
    assert!(dry.stderr().contains(&holder), "{holder:?} is not in\n{}", dry.stderr());
    assert!(dry.stdout().contains("start container store"), "the plan is printed all the same");
    assert_eq!(engine::objects(checkout.name()), Vec::<String>::new(), "nothing was begun");
    assert_golden("port-taken", &checkout, &run);
}

#[test]
fn a_port_that_a_container_holds() {
    let checkout = Checkout::small("held-port", SINGLE);
    checkout.up();
    let other = format!("{}-other", checkout.name());
    let run = checkout.xtask(&["dev", "--detach"]).env("HOMEPORT_PROJECT", &other).run().expect(4);
    let holder = format!("taken by container {}-store", checkout.name());
    assert!(run.stderr().contains(&holder), "{holder:?} is not in\n{}", run.stderr());
    checkout.xtask(&["down", "--volumes", "--verify"]).env("HOMEPORT_PROJECT", &other).run().expect(0);
}

#[test]
fn a_compose_file_that_is_not_understood() {
    let checkout = Checkout::small("compose", SINGLE);
    checkout.edit(&[("    stop_grace_period: 5s\n", "    secrets: [token]\n    restart: sometimes\n")]);
    for command in [&["dev", "--detach"] as &[_], &["dev", "--dry-run"], &["image", "list"], &["report"]] {
        let run = checkout.run(command).expect(3);
        for fault in [
            "compose/compose.yaml:8: services.store.secrets",
            "compose/compose.yaml:9: services.store.restart",
        ] {
            assert!(run.stderr().contains(fault), "{fault:?} is not in\n{}", run.stderr());
        }
    }
    let run = checkout.run(&["dev", "--detach"]).expect(3);
    assert_golden("compose-invalid", &checkout, &run);
}

#[test]
fn a_file_to_mount_that_does_not_exist() {
    let checkout = Checkout::small("no-file", SINGLE);
    checkout.up();
    checkout.edit(&[("[store-data:/data]", "[\"store-data:/data\", \"./store.conf:/etc/store.conf:ro\"]")]);
    for command in [&["dev", "--dry-run"] as &[_], &["dev", "--detach"]] {
        let run = checkout.run(command).expect(3);
        for told in [
            "error[compose-invalid]: cannot mount compose/store.conf in store at /etc/store.conf: it does not exist",
            "create it, or mend the volumes of store",
        ] {
            assert!(run.stderr().contains(told), "{told:?} is not in\n{}", run.stderr());
        }
        assert!(engine::runs(&format!("{}-store", checkout.name())), "what runs is left alone");
    }
    checkout.write("compose/store.conf", "");
    checkout.run(&["dev", "--dry-run"]).expect(0);
    checkout.up();
}

#[test]
fn a_container_that_dies_at_start() {
    let checkout = Checkout::small("dies", SINGLE);
    checkout.edit(&[(
        "    command: [redis-server, --dir, /data]\n",
        // One stream: lines of two of them come in the order that the engine has read them.
        "    entrypoint: [sh, -c, \"echo reading settings >&2; echo no settings >&2; exit 3\"]\n",
    )]);
    let run = checkout.run(&["dev", "--detach"]).expect(5);
    assert_golden("container-exited", &checkout, &run);
    // The same again: it is tried again, not taken for done.
    checkout.run(&["dev", "--detach"]).expect(5);
    let status = checkout.run(&["status", "--format", "json"]).expect(0).event("summary");
    assert_eq!(status["services"][0]["state"], "exited", "{status}");
    assert_eq!(status["services"][0]["reason"], "ended with status 3", "{status}");
    // And mended.
    checkout.restore();
    checkout.up();
}

#[test]
fn a_health_check_that_never_passes() {
    let checkout = Checkout::small("unhealthy", SINGLE);
    checkout
        .edit(&[("[CMD, redis-cli, -e, ping]", "[CMD, sh, -c, \"echo the index is not built; exit 1\"]")]);
    let run = checkout.run(&["dev", "--detach"]).expect(6);
    for told in ["error[not-healthy]", "the index is not built", "Ready to accept connections"] {
        assert!(run.stderr().contains(told), "{told:?} is not in\n{}", run.stderr());
    }
    let status = checkout.run(&["status", "--format", "json"]).expect(0).event("summary");
    let reason = status["services"][0]["reason"].as_str().expect("a reason");
    assert!(reason.contains("the index is not built"), "{reason}");
}

#[test]
fn an_image_that_nobody_has() {
    let checkout = Checkout::small("no-image", SINGLE);
    checkout.edit(&[("image: redis:8", "image: nowhere/nothing:1")]);
    let run = checkout.run(&["dev", "--detach", "--offline"]).expect(4);
    assert_golden("image-unavailable", &checkout, &run);
}

#[test]
fn an_optional_service_whose_image_nobody_has_is_left_out_and_said() {
    let checkout = Checkout::small("optional", SINGLE);
    checkout.edit(&[(
        "\nvolumes:\n",
        "\n  extra:\n    image: nowhere/nothing:1\n    x-homeport: {optional: true}\n\nvolumes:\n",
    )]);
    let run = checkout.run(&["dev", "--detach", "--offline"]).expect(0);
    assert_golden("optional-left-out", &checkout, &run);
    let status = checkout.run(&["status", "--format", "json"]).expect(0).event("summary");
    assert_eq!(status["services"][0]["service"], "extra");
    assert_eq!(status["services"][0]["state"], "unavailable");
    assert_eq!(checkout.run(&["dev", "--dry-run", "--offline", "--format", "json"]).expect(0).plan(), []);
}

#[test]
fn names_and_arguments_that_do_not_exist() {
    let checkout = Checkout::small("usage", SINGLE);
    for command in [&["dev", "--detach", "stoer"] as &[_], &["logs", "stoer"]] {
        let run = checkout.run(command).expect(2);
        assert!(
            run.stderr().contains("no service stoer") && run.stderr().contains("it has store"),
            "{}",
            run.stderr()
        );
    }
    for command in
        [&["dev", "--detatch"] as &[_], &["devv"], &[], &["dev", "--format", "xml"], &["logs", "--tail", "x"]]
    {
        let run = checkout.run(command).expect(2);
        assert_eq!(run.stdout(), "", "usage goes to standard error");
        assert!(!run.stderr().is_empty());
    }
    let run = checkout.run(&["dev", "--detatch"]).expect(2);
    assert_golden("usage", &checkout, &run);
}

/// A test that waits for it would wait in vain.
#[test]
fn a_place_to_stand_still_that_is_none() {
    let checkout = Checkout::small("halt", SINGLE);
    let run = checkout.xtask(&["dev", "--detach"]).env("HOMEPORT_HALT", "befor:1").run().expect(2);
    assert!(
        run.stderr().contains("HOMEPORT_HALT is \"befor:1\"; expected `before:` or `after:`"),
        "{}",
        run.stderr()
    );
}

#[test]
fn outside_of_a_checkout() {
    let nowhere = tempfile::tempdir().expect("a directory");
    let run = Program::new(nowhere.path(), &["status"]).run().expect(3);
    assert!(
        run.stderr().contains("no compose/compose.yaml in this directory or any above it"),
        "{}",
        run.stderr()
    );
}

#[test]
fn a_failure_in_json_is_one_event_with_code_and_status() {
    let checkout = Checkout::small("json-failure", SINGLE);
    checkout.edit(&[("    stop_grace_period: 5s\n", "    secrets: [token]\n")]);
    let run = checkout.run(&["dev", "--detach", "--format", "json"]).expect(3);
    let failed = run.event("failed");
    assert_eq!(
        (failed["code"].as_str(), failed["exit"].as_u64()),
        (Some("compose-invalid"), Some(3)),
        "{failed}"
    );
    let finished = run.event("run-finished");
    assert_eq!((finished["failure"].as_str(), finished["exit"].as_u64()), (Some("compose-invalid"), Some(3)));
    assert_eq!(run.stderr(), "", "nothing is said twice");
}
