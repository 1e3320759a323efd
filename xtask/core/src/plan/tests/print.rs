//! The words of every action and cause, and what an event is told of a plan.

use std::time::Duration;

use insta::assert_snapshot;

use super::engine::World;
use super::{SHOP, service, settled, stack};
use crate::plan::{Action, Cause, ContainerId, ContainerState, Health, Plan, Seat, Step};

#[test]
fn what_no_other_table_shows() {
    let mut world = settled(SHOP);
    let container = world.container("redis").seen.clone();
    let step = |action| Step { action, cause: Cause::Asked, needs: Vec::new(), optional: false };
    let plan = Plan {
        steps: vec![
            step(Action::RemoveNetwork(world.networks[0].clone())),
            step(Action::RemoveVolume(world.volumes[0].clone())),
            step(Action::StopContainer { container, grace: Duration::ZERO }),
        ],
        notes: vec!["a note".to_owned()],
    };
    assert_snapshot!(plan, @"
          1  remove network default  asked for
          2  remove volume data      asked for
          3  stop container redis    asked for
        note: a note
        ");
}

#[test]
fn an_action_knows_its_service() {
    let plan = World::new(stack(SHOP)).plan();
    let about: Vec<String> = plan
        .steps
        .iter()
        .map(|step| step.action.service().map_or_else(|| "-".to_owned(), ToString::to_string))
        .collect();
    assert_snapshot!(about.join(" "), @"- - - - - - postgres migrate redis service watcher postgres postgres migrate migrate redis redis service service watcher watcher");
}

#[test]
fn what_is_done_to_a_container_is_about_its_service() {
    let mut world = settled(SHOP);
    world.adopt(stack(&SHOP.replace("[CMD, pg_isready]", "[CMD, pg_isready, -q]")));
    let removals = world.plan().steps.into_iter().map(|step| step.action);
    let about: Vec<String> = removals
        .filter(|action| matches!(action, Action::RemoveContainer { .. }))
        .filter_map(|action| action.service().map(ToString::to_string))
        .collect();
    assert_eq!(about, ["watcher", "service", "migrate", "postgres"]);
}

#[test]
fn a_plan_is_announced_as_it_is_printed() {
    let plan = World::new(stack("services: {one: {image: 'one:1'}}")).plan();
    let announced = plan.announced();
    assert_eq!(announced.len(), plan.steps.len());
    let text: Vec<String> = announced
        .iter()
        .map(|step| format!("{} {} ({}) {:?}", step.step.0, step.title, step.cause, step.needs))
        .collect();
    assert_snapshot!(text.join("\n"), @"
        1 obtain image one:1 from registry (missing) []
        2 create network default (missing) []
        3 create container one (missing) [StepId(1), StepId(2)]
        4 start container one (created) [StepId(3)]
        5 await one healthy (started) [StepId(4)]
        ");
    assert!(!plan.is_empty());
}

#[test]
fn a_run_that_has_done_everything_else_waits_for_what_is_not_well_yet() {
    let mut world = settled(SHOP);
    world.set_state("redis", ContainerState::Running(Health::Unhealthy));
    world.lose("watcher");
    assert_snapshot!(world.plan().only_unsettled(), @"1  await redis healthy  not healthy yet");
}

#[test]
fn a_container_is_named_by_twelve_digits() {
    assert_eq!(ContainerId("0123456789abcdef".to_owned()).to_string(), "0123456789ab");
    assert_eq!(ContainerId("short".to_owned()).to_string(), "short");
}

#[test]
fn only_what_somebody_waits_for_makes_ready() {
    let web = service("web");
    for action in [
        Action::AwaitHealthy(Seat::holder(&web)),
        Action::AwaitCompleted(web.clone()),
        Action::Switch(Seat::successor(&web)),
    ] {
        assert!(action.makes_ready(), "{action}");
    }
    for action in [Action::StartContainer(Seat::holder(&web)), Action::RenameSuccessor(web)] {
        assert!(!action.makes_ready(), "{action}");
    }
}
