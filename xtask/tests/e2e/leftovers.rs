//! What tests leave in the engine when they are stopped or killed, and that the next run takes it away, but nothing of a
//! run that lives.

use std::process::{Command, Stdio};

use xtask::engine::{Run, labels};

use crate::checkout::{Checkout, free_port, until};
use crate::engine::{OwnImage, Planted, container, labelled, objects, tag_image};
use crate::program::Program;

/// A container, a network, a volume.
const STORE: &str = include_str!("stacks/single.yaml");

/// A run of the integration tests that finds no test to run: it sweeps, and that is all.
const NO_TEST: [&str; 3] = ["test", "integration", "no test is called this"];

/// The number of a process that has ended.
fn ended_process() -> u32 {
    let mut child = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .arg("--version")
        .stdout(Stdio::null())
        .spawn()
        .expect("the program starts");
    child.wait().expect("it ends");
    child.id()
}

/// What a project of an end-to-end test leaves when its run is killed: what the program has made of a Compose file, with
/// an image of the project's, in a checkout that is removed afterwards as if it had never been.
#[derive(Debug)]
struct Abandoned {
    project: String,
    image: OwnImage,
}

impl Abandoned {
    fn by(project: String, run: &str) -> Self {
        let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"));
        let directory = directory.expect("cargo's directory for tests can be written");
        let file = directory.path().join("compose/compose.yaml");
        std::fs::create_dir_all(file.parent().expect("it has one")).expect("it can be made");
        std::fs::write(&file, STORE).expect("it can be written");
        let image = OwnImage::new(&format!("{project}/service:dev"));
        let this = Self { project, image };
        tag_image("redis:8", &format!("{}/service", this.project), "dev");
        Program::new(directory.path(), &["dev", "--detach"])
            .env("HOMEPORT_PROJECT", &this.project)
            .env(labels::RUN_VARIABLE, run)
            .env("PORT", &free_port().to_string())
            .run()
            .expect(0);
        assert_eq!(objects(&this.project).len(), 3, "a container, a network, a volume");
        this
    }
}

impl Drop for Abandoned {
    fn drop(&mut self) {
        for object in objects(&self.project) {
            drop(match object.split_once(' ').expect("a kind and a name") {
                ("container", name) => Planted::Container(name.to_owned()),
                ("network", name) => Planted::Network(name.to_owned()),
                (_, name) => Planted::Volume(name.to_owned()),
            });
        }
    }
}

#[test]
fn only_what_a_run_that_ended_has_left_is_removed() {
    let checkout = Checkout::full("sweep");
    let (ended, living) = (ended_process().to_string(), Run::this().to_string());
    let names = ["ended", "living"].map(|which| format!("{}-{which}", checkout.name()));
    let _ended = Planted::container(&names[0], &[(labels::TEST, &ended)]);
    let _living = Planted::container(&names[1], &[(labels::TEST, &living)]);
    // A run beside this one may be the one that sweeps, so what this one says of it is not looked at.
    checkout.run(&NO_TEST).expect(8);
    assert!(container(&names[0]).is_none(), "what a killed run has left is gone");
    assert!(container(&names[1]).is_some(), "what a living run uses is not");
}

#[test]
fn a_project_whose_run_was_killed_is_removed_without_its_checkout() {
    let checkout = Checkout::full("orphans");
    let living = Run::this().to_string();
    let own = |which: &str| format!("{}-{which}", checkout.name());
    // It lives until it has made what it leaves: a run beside this one may sweep at any moment.
    let mut run = Command::new("sleep").arg("600").spawn().expect("sleep");
    let dead = Abandoned::by(own("dead"), &Run::of(run.id()).to_string());
    let lives = Abandoned::by(own("lives"), &living);
    // Somebody's own, of no test; its directory is gone as well.
    let stranger = Abandoned::by(own("stranger"), "");
    run.kill().and_then(|()| run.wait()).expect("it ends");

    checkout.run(&NO_TEST).expect(8);
    // A run beside this one may be the one that sweeps, and still be at it.
    let gone = || objects(&dead.project).is_empty() && !dead.image.exists();
    until("nothing of it to be left, nor its image", || gone().then_some(()));
    for (kept, why) in [(lives, "its run lives"), (stranger, "it is no test's")] {
        assert_eq!(objects(&kept.project).len(), 3, "{why}");
        assert!(kept.image.exists(), "{why}");
    }
}

#[test]
fn a_run_that_is_stopped_or_killed_leaves_nothing() {
    let checkout = Checkout::full("stopped");
    // One that starts containers of its own and takes a while.
    let test = ["test", "integration", "outages::a_restarted_postgres_costs_no_restart_of_the_service"];
    for kill in [false, true] {
        let mut run = checkout.start(&test);
        let process = Run::of(run.pid()).to_string();
        // Compiling may come first.
        run.until("running 1 test");
        until("a container of the run", || (labelled(labels::TEST, &process) > 0).then_some(()));
        if kill {
            run.kill();
            checkout.run(&NO_TEST).expect(8);
        } else {
            run.interrupt();
            run.end().expect(130);
        }
        until("nothing of it to be left", || (labelled(labels::TEST, &process) == 0).then_some(()));
    }
}
