//! What each state of a container asks for.

use insta::assert_snapshot;

use super::{SHOP, settled};
use crate::plan::{ContainerState, Health};

/// The plan when one container of the settled shop is in another state.
fn plan_when(name: &str, state: ContainerState) -> String {
    let mut world = settled(SHOP);
    world.set_state(name, state);
    world.plan().to_string()
}

#[test]
fn stopped() {
    assert_snapshot!(plan_when("postgres", ContainerState::Exited(137)), @"
        1  start container postgres  ended with status 137
        2  await postgres healthy    started                after 1 if changed
        ");
}

#[test]
fn created_and_never_started() {
    assert_snapshot!(plan_when("watcher", ContainerState::Created), @"
        1  start container watcher  never started
        2  await watcher healthy    started        after 1 if changed
        ");
}

#[test]
fn paused() {
    assert_snapshot!(plan_when("redis", ContainerState::Paused), @"
        1  unpause container redis  paused
        2  await redis healthy      started  after 1 if changed
        ");
}

#[test]
fn starting() {
    assert_snapshot!(plan_when("service", ContainerState::Running(Health::Starting)), @"
          1  await service healthy  not healthy yet
        ");
}

#[test]
fn unhealthy() {
    assert_snapshot!(plan_when("service", ContainerState::Running(Health::Unhealthy)), @"
          1  await service healthy  not healthy yet
        ");
}

#[test]
fn restarting() {
    assert_snapshot!(plan_when("redis", ContainerState::Restarting), @"
          1  await redis healthy  not healthy yet
        ");
}

#[test]
fn dead() {
    assert_snapshot!(plan_when("redis", ContainerState::Dead), @"
         1  remove container watcher  service replaced
         2  remove container service  redis replaced    after 1
         3  remove container redis    half removed      after 2
         4  create container redis    half removed      after 3
         5  create container service  redis replaced    after 2
         6  create container watcher  service replaced  after 1
         7  start container redis     created           after 4 if changed
         8  await redis healthy       started           after 7 if changed
         9  start container service   created           after 5 if changed, 8
        10  await service healthy     started           after 9 if changed
        11  start container watcher   created           after 6 if changed, 9
        12  await watcher healthy     started           after 11 if changed
        ");
}

#[test]
fn a_one_shot_that_completed() {
    assert_snapshot!(plan_when("migrate", ContainerState::Exited(0)), @"nothing to do");
}

#[test]
fn a_one_shot_that_failed() {
    assert_snapshot!(plan_when("migrate", ContainerState::Exited(1)), @"
        1  start container migrate  ended with status 1
        2  await migrate completed  started              after 1 if changed
        ");
}

#[test]
fn a_one_shot_that_still_runs() {
    assert_snapshot!(plan_when("migrate", ContainerState::Running(Health::None)), @"
          1  await migrate completed  not completed yet
        ");
    assert_snapshot!(plan_when("migrate", ContainerState::Running(Health::Starting)), @"
          1  await migrate completed  not completed yet
        ");
}

#[test]
fn everything_stopped_as_after_ctrl_c() {
    let mut world = settled(SHOP);
    for name in ["postgres", "redis", "service", "watcher"] {
        world.set_state(name, ContainerState::Exited(0));
    }
    assert_snapshot!(world.plan(), @"
        1  start container postgres  ended with status 0
        2  await postgres healthy    started              after 1 if changed
        3  start container redis     ended with status 0
        4  await redis healthy       started              after 3 if changed
        5  start container service   ended with status 0  after 2, 4
        6  await service healthy     started              after 5 if changed
        7  start container watcher   ended with status 0  after 5
        8  await watcher healthy     started              after 7 if changed
        ");
}

#[test]
fn a_dependency_that_went_takes_its_dependents_along() {
    let mut world = settled(SHOP);
    world.lose("redis");
    assert_snapshot!(world.plan(), @"
         1  remove container watcher  service replaced
         2  remove container service  redis replaced    after 1
         3  create container redis    missing           after 2
         4  create container service  redis replaced    after 2
         5  create container watcher  service replaced  after 1
         6  start container redis     created           after 3 if changed
         7  await redis healthy       started           after 6 if changed
         8  start container service   created           after 4 if changed, 7
         9  await service healthy     started           after 8 if changed
        10  start container watcher   created           after 5 if changed, 8
        11  await watcher healthy     started           after 10 if changed
        ");
}

#[test]
fn a_container_that_is_not_well_is_replaced_once_a_build_has_ended_whatever_it_makes() {
    for (state, cause) in [
        (ContainerState::Paused, "paused"),
        (ContainerState::Exited(1), "ended with status 1"),
        (ContainerState::Running(Health::Unhealthy), "not healthy yet"),
    ] {
        let mut world = settled(SHOP);
        world.stale_build("shop/service:dev", "src/main.rs changed", false);
        world.set_state("service", state);
        let plan = world.plan();
        let removal = plan.steps.iter().find(|step| step.action.to_string() == "remove container service");
        assert_eq!(removal.map(|step| step.cause.to_string()).as_deref(), Some(cause), "{plan}");
    }
}
