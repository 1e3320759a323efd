//! The first plan of a stack, and the plan when there is nothing to do.

use insta::assert_snapshot;

use super::engine::World;
use super::{SHOP, settled, stack};

#[test]
fn everything_is_made_in_the_order_of_dependencies() {
    assert_snapshot!(World::new(stack(SHOP)).plan(), @"
         1  obtain image postgres:17 from registry             missing
         2  build image shop/service:dev from package service  missing
         3  obtain image redis:8 from registry                 missing
         4  obtain image watcher:3 from registry               missing
         5  create network default                             missing
         6  create volume data                                 missing
         7  create container postgres                          missing  after 1, 5, 6
         8  create container migrate                           missing  after 2, 5
         9  create container redis                             missing  after 3, 5
        10  create container service                           missing  after 2, 5
        11  create container watcher                           missing  after 4, 5
        12  start container postgres                           created  after 7 if changed
        13  await postgres healthy                             started  after 12 if changed
        14  start container migrate                            created  after 8 if changed, 13
        15  await migrate completed                            started  after 14 if changed
        16  start container redis                              created  after 9 if changed
        17  await redis healthy                                started  after 16 if changed
        18  start container service                            created  after 10 if changed, 15, 17
        19  await service healthy                              started  after 18 if changed
        20  start container watcher                            created  after 11 if changed, 18
        21  await watcher healthy                              started  after 20 if changed
        ");
}

#[test]
fn a_stack_that_is_well_asks_for_nothing() {
    assert_snapshot!(settled(SHOP).plan(), @"nothing to do");
}

#[test]
fn services_that_need_each_other_not_go_side_by_side() {
    let file = "
        services:
          one: {image: one:1}
          two: {image: two:1}
    ";
    assert_snapshot!(World::new(stack(file)).plan(), @"
        1  obtain image one:1 from registry  missing
        2  obtain image two:1 from registry  missing
        3  create network default            missing
        4  create container one              missing  after 1, 3
        5  create container two              missing  after 2, 3
        6  start container one               created  after 4 if changed
        7  await one healthy                 started  after 6 if changed
        8  start container two               created  after 5 if changed
        9  await two healthy                 started  after 8 if changed
        ");
}

#[test]
fn an_empty_stack_asks_for_nothing() {
    let mut empty = stack(SHOP);
    empty.services.clear();
    assert_snapshot!(World::new(empty).plan(), @"nothing to do");
}
