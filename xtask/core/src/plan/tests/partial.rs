//! Plans for some services: they and what they depend on, and nobody else.

use insta::assert_snapshot;

use super::engine::World;
use super::{SHOP, only, settled, stack};
use crate::plan::{ContainerState, Role, up};

#[test]
fn what_is_wanted_comes_with_what_it_depends_on() {
    assert_snapshot!(World::new(stack(SHOP)).plan_for(&only(&["migrate"])), @"
         1  obtain image postgres:17 from registry             missing
         2  build image shop/service:dev from package service  missing
         3  create network default                             missing
         4  create volume data                                 missing
         5  create container postgres                          missing  after 1, 3, 4
         6  create container migrate                           missing  after 2, 3
         7  start container postgres                           created  after 5 if changed
         8  await postgres healthy                             started  after 7 if changed
         9  start container migrate                            created  after 6 if changed, 8
        10  await migrate completed                            started  after 9 if changed
        ");
}

#[test]
fn what_is_not_wanted_is_left_alone() {
    let mut world = settled(SHOP);
    world.set_state("redis", ContainerState::Exited(1));
    world.set_state("watcher", ContainerState::Dead);
    world.plant("redis", ContainerState::Exited(1));
    world.adopt(stack(&SHOP.replace("pg_isready", "pg_isready, -q").replace("  watcher:", "  viewer:")));
    assert_snapshot!(world.plan_for(&only(&["postgres"])), @"
        1  remove container postgres  configuration changed
        2  create container postgres  configuration changed  after 1
        3  start container postgres   created                after 2 if changed
        4  await postgres healthy     started                after 3 if changed
        ");
}

#[test]
fn what_made_way_goes_only_with_a_plan_that_is_about_its_service() {
    let mut world = settled(SHOP);
    world.container("redis").seen.role = Role::Retired;
    assert_snapshot!(world.plan_for(&only(&["postgres"])), @"nothing to do");
    assert!(world.plan_for(&only(&["redis"])).to_string().contains("remove container redis"));
}

#[test]
fn a_network_that_must_be_replaced_concerns_every_container() {
    let mut world = settled(SHOP);
    world.adopt(stack(&format!("{SHOP}\nnetworks: {{default: {{internal: true}}}}")));
    let wanted = only(&["redis"]);
    let plan = world.plan_for(&wanted);
    assert_snapshot!(plan, @"
         1  remove container watcher   network default changed
         2  remove container service   network default changed  after 1
         3  remove container redis     network default changed  after 2
         4  remove container migrate   network default changed  after 2
         5  remove container postgres  network default changed  after 4
         6  remove network default     configuration changed    after 3, 5
         7  create network default     configuration changed    after 6
         8  create container postgres  network default changed  after 7
         9  create container migrate   network default changed  after 7
        10  create container redis     network default changed  after 7
        11  create container service   network default changed  after 7
        12  create container watcher   network default changed  after 7
        13  start container postgres   created                  after 8 if changed
        14  await postgres healthy     started                  after 13 if changed
        15  start container migrate    created                  after 9 if changed, 14
        16  await migrate completed    started                  after 15 if changed
        17  start container redis      created                  after 10 if changed
        18  await redis healthy        started                  after 17 if changed
        19  start container service    created                  after 11 if changed, 16, 18
        20  await service healthy      started                  after 19 if changed
        21  start container watcher    created                  after 12 if changed, 19
        22  await watcher healthy      started                  after 21 if changed
        ");
    world.carry_out(&plan);
    assert_snapshot!(world.plan_for(&wanted), @"nothing to do");
}

#[test]
fn a_name_that_the_stack_does_not_have_is_an_error() {
    let world = World::new(stack(SHOP));
    let error = up(&world.stack, &world.observe(), &only(&["redis", "rediss"])).unwrap_err();
    assert_snapshot!(error, @"the stack has no service rediss");
}
