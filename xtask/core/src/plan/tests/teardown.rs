//! `down` and `stop`: the order comes from labels alone.

use std::time::Duration;

use insta::assert_snapshot;

use super::engine::World;
use super::{SHOP, service, settled, stack};
use crate::database::is_touched_by;
use crate::limits;
use crate::plan::{Action, ContainerState, Keep, Plan, Role, down, stop};

/// The shop as an engine tells it when its file is gone.
fn without_file() -> World {
    let mut world = settled(SHOP);
    world.stack.services.clear();
    world
}

fn graces(plan: &Plan) -> Vec<(String, u64)> {
    let containers = plan.steps.iter().filter_map(|step| match &step.action {
        Action::RemoveContainer { container, grace } | Action::StopContainer { container, grace } => {
            Some((container.service.to_string(), grace.as_secs()))
        }
        _ => None,
    });
    containers.collect()
}

#[test]
fn down_stops_dependents_first_and_keeps_the_data() {
    let mut world = without_file();
    for made in &mut world.containers {
        made.seen.stop_grace = (made.seen.service.as_str() == "postgres").then_some(Duration::from_secs(30));
    }
    let plan = down(&world.stack, &world.observe(), Keep::Data);
    assert_snapshot!(plan, @"
        1  remove container watcher   down
        2  remove container service   down  after 1
        3  remove container migrate   down  after 2
        4  remove container postgres  down  after 3
        5  remove container redis     down  after 2
        6  remove network default     down  after 4, 5
        ");
    let told = graces(&plan);
    for (service, seconds) in [("postgres", 30), ("redis", limits::STOP_UNKNOWN.as_secs())] {
        assert!(told.contains(&(service.to_owned(), seconds)), "as it was made: {told:?}");
    }
    world.carry_out(&plan);
    assert!(world.containers.is_empty() && world.networks.is_empty());
    assert_eq!(world.volumes.len(), 1);
}

#[test]
fn where_the_file_is_known_a_container_stops_within_the_time_that_it_says_now() {
    let mut world = settled(SHOP);
    let slow = SHOP.replace("    image: redis:8\n", "    image: redis:8\n    stop_grace_period: 1m\n");
    let without_watcher = &slow[..slow.find("  watcher:").expect("it has one")];
    world.adopt(stack(&format!("{without_watcher}volumes: {{data: {{}}}}\n")));
    world.container("watcher").seen.stop_grace = Some(Duration::from_secs(3));
    let observed = world.observe();
    for plan in [down(&world.stack, &observed, Keep::Data), stop(&world.stack, &observed)] {
        let told = graces(&plan);
        for expected in [("redis", 60), ("watcher", 3)] {
            assert!(told.contains(&(expected.0.to_owned(), expected.1)), "{expected:?}: {told:?}");
        }
    }
    // The time is no part of what it was made of, so nothing is replaced for it; what goes goes within its own.
    let plan = world.plan();
    assert_snapshot!(plan, @"1  remove container watcher  orphan");
    assert_eq!(graces(&plan), [("watcher".to_owned(), 3)]);
}

#[test]
fn down_with_volumes_kills_at_once() {
    let mut world = without_file();
    let plan = down(&world.stack, &world.observe(), Keep::Nothing);
    assert_snapshot!(plan, @"
        1  remove container watcher   down
        2  remove container service   down
        3  remove container migrate   down
        4  remove container postgres  down
        5  remove container redis     down
        6  remove network default     down  after 1, 2, 3, 4, 5
        7  remove volume data         down  after 1, 2, 3, 4, 5
        ");
    assert!(graces(&plan).iter().all(|(_, seconds)| *seconds == 0));
    world.carry_out(&plan);
    assert!(world.containers.is_empty() && world.networks.is_empty() && world.volumes.is_empty());
}

#[test]
fn only_what_leaves_server_migration_and_data_alone_does_not_touch_the_database() {
    type Befalls = fn(&mut World);
    let settled = settled(SHOP);
    let touches = |plan: &Plan| is_touched_by(plan);
    assert!(touches(&World::new(stack(SHOP)).plan()), "it is made");
    assert!(!touches(&settled.plan()), "nothing is done");
    let befalls: [(&str, bool, Befalls); 4] = [
        ("the cache stopped", false, |world| world.set_state("redis", ContainerState::Exited(1))),
        ("what serves is gone", false, |world| world.lose("service")),
        ("what migrates is gone", true, |world| world.lose("migrate")),
        ("the server stopped", true, |world| world.set_state("postgres", ContainerState::Exited(1))),
    ];
    for (what, expected, befall) in befalls {
        let mut world = settled.clone();
        befall(&mut world);
        let plan = world.plan();
        assert_eq!(touches(&plan), expected, "{what}\n{plan}");
    }
    let mut data_alone = settled.clone();
    data_alone.containers.clear();
    for (keep, expected) in [(Keep::Data, false), (Keep::Nothing, true)] {
        assert!(touches(&down(&settled.stack, &settled.observe(), keep)), "{keep:?}");
        assert_eq!(touches(&down(&settled.stack, &data_alone.observe(), keep)), expected, "{keep:?}");
    }
}

#[test]
fn down_of_nothing_is_nothing() {
    let world = World::new(stack(SHOP));
    assert_snapshot!(down(&world.stack, &world.observe(), Keep::Nothing), @"nothing to do");
}

#[test]
fn down_cuts_a_cycle_of_labels() {
    let mut world = without_file();
    world.container("postgres").seen.depends_on = vec![service("service"), service("postgres")];
    let plan = down(&world.stack, &world.observe(), Keep::Data);
    assert_snapshot!(plan, @"
        1  remove container watcher   down
        2  remove container migrate   down
        3  remove container postgres  down  after 2
        4  remove container service   down  after 1, 3
        5  remove container redis     down  after 4
        6  remove network default     down  after 5
        ");
    world.carry_out(&plan);
    assert!(world.containers.is_empty());
}

#[test]
fn down_takes_every_container_of_a_service_and_those_of_none() {
    let mut world = without_file();
    world.plant("redis", ContainerState::Created);
    world.container("watcher").seen.service = service("");
    assert_snapshot!(down(&world.stack, &world.observe(), Keep::Data), @"
        1  remove container shop-watcher  down
        2  remove container service       down  after 1
        3  remove container migrate       down  after 2
        4  remove container postgres      down  after 3
        5  remove container redis         down  after 2
        6  remove container redis         down  after 2
        7  remove network default         down  after 4, 5, 6
        ");
}

#[test]
fn stop_keeps_containers_and_touches_only_those_that_run() {
    let mut world = without_file();
    world.set_state("watcher", ContainerState::Created);
    world.set_state("redis", ContainerState::Paused);
    let plan = stop(&world.stack, &world.observe());
    assert_snapshot!(plan, @"
        1  stop container service   down
        2  stop container postgres  down  after 1
        3  stop container redis     down  after 1
        ");
    assert_eq!(graces(&plan).len(), 3);
    world.carry_out(&plan);
    assert_snapshot!(stop(&world.stack, &world.observe()), @"nothing to do");
    assert_eq!(world.containers.len(), 5);
    // One that has made way for another has nothing to come back for.
    world.plant("redis", ContainerState::Exited(0));
    world.containers.last_mut().expect("planted").seen.role = Role::Retired;
    assert_snapshot!(stop(&world.stack, &world.observe()), @"1  remove container redis  down");
}
