//! Nothing without our label is touched, however much its name looks like ours.

use crate::checkout::Checkout;
use crate::engine::{self, PROJECT_LABEL, Planted};

const SINGLE: &str = include_str!("stacks/single.yaml");

#[test]
fn objects_of_others_outlive_every_command() {
    let checkout = Checkout::small("foreign", SINGLE);
    let name = |what: &str| format!("{}-{what}", checkout.name());
    let neighbour = format!("{}-neighbour", checkout.name());
    let planted = [
        // Names like those of the stack's own.
        Planted::container(&name("other"), &[]),
        Planted::volume(&name("other-data"), &[]),
        Planted::network(&name("other-net"), &[]),
        // Compose's own labels, as `docker compose` in the same directory would set them.
        Planted::container(&name("store-1"), &[("com.docker.compose.project", checkout.name())]),
        // A project of ours whose name begins with this one's.
        Planted::container(&format!("{neighbour}-store"), &[(PROJECT_LABEL, &neighbour)]),
        Planted::volume(&format!("{neighbour}-store-data"), &[(PROJECT_LABEL, &neighbour)]),
        Planted::network(&format!("{neighbour}-default"), &[(PROJECT_LABEL, &neighbour)]),
    ];
    let theirs = engine::objects(checkout.name());
    assert_eq!(theirs.len(), planted.len());

    checkout.up();
    checkout.edit(&[("--dir, /data", "--dir, /data, --save, ''")]);
    checkout.up();
    checkout.run(&["down"]).expect(0);
    checkout.up();
    checkout.run(&["down", "--volumes", "--verify"]).expect(0);
    assert_eq!(engine::objects(checkout.name()), theirs);
}

/// Plants an object of a kind, by name and labels.
type Plant = fn(&str, &[(&str, &str)]) -> Planted;

#[test]
fn a_name_that_somebody_else_has_taken_is_a_failure_that_says_so() {
    let checkout = Checkout::small("taken-name", SINGLE);
    let name = |what: &str| format!("{}-{what}", checkout.name());
    let table: [(&str, Plant); 3] = [
        ("container store", |name, labels| Planted::container(name, labels)),
        ("network default", |name, labels| Planted::network(name, labels)),
        ("volume store-data", |name, labels| Planted::volume(name, labels)),
    ];
    for (what, plant) in table {
        let (kind, short) = what.split_once(' ').expect("a kind and a name");
        let planted = plant(&name(short), &[]);
        let run = checkout.run(&["dev", "--detach"]).expect(5);
        let named = format!("{kind} {}", name(short));
        assert!(run.stderr().contains(&named), "{named} is not named:\n{}", run.stderr());
        assert!(run.stderr().contains("engine-refused"), "{}", run.stderr());
        assert!(run.stderr().contains("HOMEPORT_PROJECT=NAME"), "what to do is said:\n{}", run.stderr());
        checkout.run(&["down", "--volumes"]).expect(0);
        assert_eq!(engine::objects(checkout.name()), [named], "it touched what is not ours");
        drop(planted);
    }
}
