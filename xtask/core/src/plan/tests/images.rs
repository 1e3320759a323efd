//! Images that can be had, that cannot, and whose lack is no failure.

use insta::assert_snapshot;

use super::engine::World;
use super::{SHOP, image, settled, stack};
use crate::images::{Availability, Source};
use crate::plan::{Wanted, up};

const WITH_OPTIONAL: &str = "
services:
  board: {image: 'board:1', volumes: ['boards:/boards'], x-homeport: {optional: true}}
  reader: {image: 'reader:1', depends_on: [board]}
  server: {image: 'server:1'}
volumes: {boards: {}}
";

fn unavailable() -> Availability {
    Availability::Unavailable(vec!["bundles: none".to_owned(), "registry: no answer within 4 s".to_owned()])
}

fn recipe(name: &str) -> Availability {
    let directory = format!("/shop/images/{name}").into();
    Availability::Obtainable(Source::Recipe { directory, base: image("debian:13") })
}

#[test]
fn an_optional_image_that_can_be_had_is_obtained() {
    assert_snapshot!(World::new(stack(WITH_OPTIONAL)).plan(), @"
         1  obtain image board:1 from registry   missing    (optional)
         2  obtain image reader:1 from registry  missing
         3  obtain image server:1 from registry  missing
         4  create network default               missing
         5  create volume boards                 missing    (optional)
         6  create container board               missing  after 1, 4, 5  (optional)
         7  create container reader              missing  after 2, 4
         8  create container server              missing  after 3, 4
         9  start container board                created  after 6 if changed  (optional)
        10  await board healthy                  started  after 9 if changed  (optional)
        11  start container reader               created  after 7 if changed, 9
        12  await reader healthy                 started  after 11 if changed
        13  start container server               created  after 8 if changed
        14  await server healthy                 started  after 13 if changed
        ");
}

#[test]
fn an_optional_image_that_cannot_be_had_leaves_out_what_depends_on_it() {
    let mut world = World::new(stack(WITH_OPTIONAL));
    world.set_image("board:1", unavailable());
    assert_snapshot!(world.plan(), @"
          1  obtain image server:1 from registry  missing
          2  create network default               missing
          3  create container server              missing  after 1, 2
          4  start container server               created  after 3 if changed
          5  await server healthy                 started  after 4 if changed
        note: board is optional and left out: no source has board:1; `cargo xtask image list` says why
        note: reader is left out: something it depends on is left out
        ");
    world.bring_up();
}

#[test]
fn what_is_left_out_needs_no_image() {
    let mut world = World::new(stack(WITH_OPTIONAL));
    world.set_image("board:1", unavailable());
    world.set_image("reader:1", unavailable());
    assert_snapshot!(world.plan(), @"
          1  obtain image server:1 from registry  missing
          2  create network default               missing
          3  create container server              missing  after 1, 2
          4  start container server               created  after 3 if changed
          5  await server healthy                 started  after 4 if changed
        note: board is optional and left out: no source has board:1; `cargo xtask image list` says why
        note: reader is left out: no source has reader:1; `cargo xtask image list` says why
        ");
}

#[test]
fn what_could_be_built_is_left_out_for_what_it_depends_on() {
    let built =
        WITH_OPTIONAL.replace("image: 'reader:1',", "image: 'reader:1', x-homeport: {package: reader},");
    assert_ne!(built, WITH_OPTIONAL);
    let mut world = World::new(stack(&built));
    world.set_image("board:1", unavailable());
    assert_eq!(world.plan().notes[1], "reader is left out: something it depends on is left out");
}

#[test]
fn what_is_built_here_is_not_replaced_for_what_a_registry_has() {
    let mut world = settled(SHOP);
    world.stale_build("shop/service:dev", "image pruned", false);
    world.set_image("shop/service:dev", Availability::Obtainable(Source::Registry));
    let plan = world.plan();
    let removal = plan.steps.iter().find(|step| step.action.to_string() == "remove container service");
    let cause = removal.map(|step| step.cause.to_string());
    assert_eq!(cause.as_deref(), Some("if the build changes its image"), "{plan}");
}

#[test]
fn what_was_left_out_is_made_once_its_image_can_be_had() {
    let mut world = World::new(stack(WITH_OPTIONAL));
    world.set_image("board:1", unavailable());
    world.bring_up();
    world.set_image("board:1", Availability::Obtainable(Source::Bundle("/images/board.tar.zst".into())));
    assert_snapshot!(world.plan(), @"
        1  obtain image board:1 from bundle board.tar.zst  missing    (optional)
        2  obtain image reader:1 from registry             missing
        3  create volume boards                            missing    (optional)
        4  create container board                          missing  after 1, 3  (optional)
        5  create container reader                         missing  after 2
        6  start container board                           created  after 4 if changed  (optional)
        7  await board healthy                             started  after 6 if changed  (optional)
        8  start container reader                          created  after 5 if changed, 6
        9  await reader healthy                            started  after 8 if changed
        ");
}

#[test]
fn a_container_that_runs_needs_its_image_nowhere_else() {
    let mut world = settled(WITH_OPTIONAL);
    world.set_image("board:1", unavailable());
    world.set_image("server:1", unavailable());
    assert_snapshot!(world.plan(), @"nothing to do");
}

#[test]
fn a_container_is_left_as_it_is_when_what_it_depends_on_is_left_out() {
    let mut world = settled(WITH_OPTIONAL);
    world.set_image("board:1", unavailable());
    world.lose("board");
    assert_snapshot!(world.plan(), @"
        nothing to do
        note: board is optional and left out: no source has board:1; `cargo xtask image list` says why
        ");
    world.set_state("reader", crate::plan::ContainerState::Exited(1));
    assert_snapshot!(world.plan(), @"
        nothing to do
        note: board is optional and left out: no source has board:1; `cargo xtask image list` says why
        note: reader is left as it is: something it depends on is left out
        ");
}

#[test]
fn a_container_that_does_not_fit_and_cannot_be_replaced_goes_when_it_is_optional() {
    let mut world = settled(WITH_OPTIONAL);
    world.set_image("board:1", unavailable());
    world.adopt(stack(&WITH_OPTIONAL.replace("'board:1',", "'board:1', init: true,")));
    assert_snapshot!(world.plan(), @"
          1  remove container board  configuration changed
        note: board is optional and left out: no source has board:1; `cargo xtask image list` says why
        ");
    world.bring_up();
}

#[test]
fn a_needed_image_that_cannot_be_had_is_an_error_and_nothing_is_touched() {
    let mut world = World::new(stack(WITH_OPTIONAL));
    world.set_image("server:1", unavailable());
    let error = up(&world.stack, &world.observe(), &Wanted::default()).unwrap_err();
    assert_snapshot!(error, @"no source has the image server:1, needed by server");
    assert_snapshot!(format!("{error:?}"), @r#"ImageUnavailable { image: ImageReference("server:1"), services: [ServiceName("server")], reasons: ["bundles: none", "registry: no answer within 4 s"] }"#);
    let mut world = settled(WITH_OPTIONAL);
    world.set_image("server:1", unavailable());
    world.adopt(stack(&WITH_OPTIONAL.replace("'server:1'", "'server:1', init: true")));
    let error = up(&world.stack, &world.observe(), &Wanted::default()).unwrap_err();
    assert_snapshot!(error, @"no source has the image server:1, needed by server");
}

#[test]
fn an_image_that_two_need_is_named_with_both() {
    let file = "services: {one: {image: 'same:1'}, two: {image: 'same:1', x-homeport: {optional: true}}}";
    let mut world = World::new(stack(file));
    world.set_image("same:1", unavailable());
    let error = up(&world.stack, &world.observe(), &Wanted::default()).unwrap_err();
    assert_snapshot!(error, @"no source has the image same:1, needed by one, two");
}

#[test]
fn the_base_of_recipes_is_obtained_once_and_first() {
    let mut world = World::new(stack(SHOP));
    world.set_image("debian:13", Availability::Obtainable(Source::Bootstrap("/shop/images/debian".into())));
    world.set_image("postgres:17", recipe("postgres"));
    world.set_image("redis:8", recipe("redis"));
    world.set_image("watcher:3", Availability::Obtainable(Source::Bundle("/images/watcher.tar".into())));
    assert_snapshot!(world.plan(), @"
         1  obtain image debian:13 from mmdebstrap             missing
         2  obtain image postgres:17 from recipe               missing  after 1
         3  build image shop/service:dev from package service  missing
         4  obtain image redis:8 from recipe                   missing  after 1
         5  obtain image watcher:3 from bundle watcher.tar     missing
         6  create network default                             missing
         7  create volume data                                 missing
         8  create container postgres                          missing  after 2, 6, 7
         9  create container migrate                           missing  after 3, 6
        10  create container redis                             missing  after 4, 6
        11  create container service                           missing  after 3, 6
        12  create container watcher                           missing  after 5, 6
        13  start container postgres                           created  after 8 if changed
        14  await postgres healthy                             started  after 13 if changed
        15  start container migrate                            created  after 9 if changed, 14
        16  await migrate completed                            started  after 15 if changed
        17  start container redis                              created  after 10 if changed
        18  await redis healthy                                started  after 17 if changed
        19  start container service                            created  after 11 if changed, 16, 18
        20  await service healthy                              started  after 19 if changed
        21  start container watcher                            created  after 12 if changed, 19
        22  await watcher healthy                              started  after 21 if changed
        ");
    world.bring_up();
}

#[test]
fn a_base_that_a_needed_recipe_shares_with_an_optional_one_is_needed() {
    let file = "services: {a: {image: 'a:1', x-homeport: {optional: true}}, b: {image: 'b:1'}}";
    let mut world = World::new(stack(file));
    world.set_image("debian:13", Availability::Obtainable(Source::Registry));
    world.set_image("a:1", recipe("a"));
    world.set_image("b:1", recipe("b"));
    assert_snapshot!(world.plan(), @"
         1  obtain image debian:13 from registry  missing
         2  obtain image a:1 from recipe          missing  after 1  (optional)
         3  obtain image b:1 from recipe          missing  after 1
         4  create network default                missing
         5  create container a                    missing  after 2, 4  (optional)
         6  create container b                    missing  after 3, 4
         7  start container a                     created  after 5 if changed  (optional)
         8  await a healthy                       started  after 7 if changed  (optional)
         9  start container b                     created  after 6 if changed
        10  await b healthy                       started  after 9 if changed
        ");
}

#[test]
fn an_image_that_a_needed_service_shares_with_an_optional_one_is_needed_with_its_base() {
    let file = "services: {a: {image: 'a:1', x-homeport: {optional: true}}, b: {image: 'a:1'}}";
    let mut world = World::new(stack(file));
    world.set_image("debian:13", Availability::Obtainable(Source::Registry));
    world.set_image("a:1", recipe("a"));
    assert_snapshot!(world.plan(), @"
        1  obtain image debian:13 from registry  missing
        2  obtain image a:1 from recipe          missing  after 1
        3  create network default                missing
        4  create container a                    missing  after 2, 3  (optional)
        5  create container b                    missing  after 2, 3
        6  start container a                     created  after 4 if changed  (optional)
        7  await a healthy                       started  after 6 if changed  (optional)
        8  start container b                     created  after 5 if changed
        9  await b healthy                       started  after 8 if changed
        ");
}

#[test]
fn a_build_is_found_by_whichever_service_names_its_package() {
    let file = "
        services:
          once: {image: 'app:dev'}
          stays: {image: 'app:dev', x-homeport: {package: app}}
    ";
    let mut world = World::new(stack(file));
    world.set_image("app:dev", Availability::Unavailable(vec!["not built yet".to_owned()]));
    world.stale_build("app:dev", "missing", true);
    assert_snapshot!(world.plan(), @"
        1  build image app:dev from package app  missing
        2  create network default                missing
        3  create container once                 missing  after 1, 2
        4  create container stays                missing  after 1, 2
        5  start container once                  created  after 3 if changed
        6  await once healthy                    started  after 5 if changed
        7  start container stays                 created  after 4 if changed
        8  await stays healthy                   started  after 7 if changed
        ");
}
