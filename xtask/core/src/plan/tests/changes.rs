//! What is replaced when something changed, with the cause of each step.

use insta::assert_snapshot;

use super::engine::World;
use super::{SHOP, image, service, settled, stack};
use crate::images::{Availability, Source};
use crate::plan::{ContainerState, Wanted};

/// The settled shop, and then another version of its file.
fn edited(from: &str, to: &str) -> World {
    assert!(SHOP.contains(from), "{from}");
    let mut world = settled(SHOP);
    world.adopt(stack(&SHOP.replacen(from, to, 1)));
    world
}

#[test]
fn a_service_that_nothing_depends_on_is_replaced_alone() {
    let world = edited("image: watcher:3", "image: watcher:3\n    init: true");
    assert_snapshot!(world.plan(), @"
        1  remove container watcher  configuration changed
        2  create container watcher  configuration changed  after 1
        3  start container watcher   created                after 2 if changed
        4  await watcher healthy     started                after 3 if changed
        ");
}

#[test]
fn what_depends_on_a_changed_service_is_replaced_too_dependents_first() {
    let world = edited("pg_isready", "pg_isready, --quiet");
    assert_snapshot!(world.plan(), @"
         1  remove container watcher   service replaced
         2  remove container service   migrate replaced       after 1
         3  remove container migrate   postgres replaced      after 2
         4  remove container postgres  configuration changed  after 3
         5  create container postgres  configuration changed  after 4
         6  create container migrate   postgres replaced      after 3
         7  create container service   migrate replaced       after 2
         8  create container watcher   service replaced       after 1
         9  start container postgres   created                after 5 if changed
        10  await postgres healthy     started                after 9 if changed
        11  start container migrate    created                after 6 if changed, 10
        12  await migrate completed    started                after 11 if changed
        13  start container service    created                after 7 if changed, 12
        14  await service healthy      started                after 13 if changed
        15  start container watcher    created                after 8 if changed, 13
        16  await watcher healthy      started                after 15 if changed
        ");
}

#[test]
fn order_and_presentation_are_no_change() {
    let world = edited("{package: service}", "{package: service, url_path: /shop}");
    assert_snapshot!(world.plan(), @"nothing to do");
}

#[test]
fn another_image_under_the_same_name_replaces() {
    let mut world = settled(SHOP);
    let present =
        Availability::Present { id: "another".to_owned(), origin: "registry".to_owned(), stale: None };
    world.set_image("redis:8", present);
    assert_snapshot!(world.plan(), @"
         1  remove container watcher  service replaced
         2  remove container service  redis replaced    after 1
         3  remove container redis    image changed     after 2
         4  create container redis    image changed     after 3
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
fn an_image_that_went_is_obtained_before_the_container_goes() {
    let mut world = settled(SHOP);
    world.set_image("redis:8", Availability::Obtainable(Source::Registry));
    assert_snapshot!(world.plan(), @"
         1  obtain image redis:8 from registry  missing
         2  remove container watcher            service replaced  after 1
         3  remove container service            redis replaced    after 2
         4  remove container redis              image changed     after 3
         5  create container redis              image changed     after 4
         6  create container service            redis replaced    after 3
         7  create container watcher            service replaced  after 2
         8  start container redis               created           after 5 if changed
         9  await redis healthy                 started           after 8 if changed
        10  start container service             created           after 6 if changed, 9
        11  await service healthy               started           after 10 if changed
        12  start container watcher             created           after 7 if changed, 10
        13  await watcher healthy               started           after 12 if changed
        ");
}

#[test]
fn a_recipe_that_changed_makes_its_image_anew() {
    let mut world = settled(SHOP);
    let stale = Source::Recipe { directory: "/shop/images/redis".into(), base: image("debian:13") };
    let id = world.container("redis").seen.image_id.clone();
    world.set_image("redis:8", Availability::Present { id, origin: "recipe".to_owned(), stale: Some(stale) });
    assert_snapshot!(world.plan(), @"
         1  obtain image redis:8 from recipe  recipe changed
         2  remove container watcher          service replaced  after 1
         3  remove container service          redis replaced    after 2
         4  remove container redis            recipe changed    after 3
         5  create container redis            recipe changed    after 4
         6  create container service          redis replaced    after 3
         7  create container watcher          service replaced  after 2
         8  start container redis             created           after 5 if changed
         9  await redis healthy               started           after 8 if changed
        10  start container service           created           after 6 if changed, 9
        11  await service healthy             started           after 10 if changed
        12  start container watcher           created           after 7 if changed, 10
        13  await watcher healthy             started           after 12 if changed
        ");
}

#[test]
fn a_build_replaces_only_if_it_changes_the_image() {
    let mut world = settled(SHOP);
    world.stale_build("shop/service:dev", "src/main.rs changed", true);
    assert_snapshot!(world.plan(), @"
         1  build image shop/service:dev from package service  src/main.rs changed
         2  remove container watcher                           if the build changes its image  after 1 if changed
         3  remove container service                           if the build changes its image  after 1 if changed, 2
         4  remove container migrate                           if the build changes its image  after 1 if changed, 3
         5  create container migrate                           if the build changes its image  after 1 if changed, 4
         6  create container service                           if the build changes its image  after 1 if changed, 3
         7  create container watcher                           if the build changes its image  after 1 if changed, 2
         8  start container migrate                            created                         after 5 if changed
         9  await migrate completed                            started                         after 8 if changed
        10  start container service                            created                         after 6 if changed, 9
        11  await service healthy                              started                         after 10 if changed
        12  start container watcher                            created                         after 7 if changed, 10
        13  await watcher healthy                              started                         after 12 if changed
        ");
}

#[test]
fn a_build_without_containers_is_like_any_image() {
    let mut world = settled(SHOP);
    world.stale_build("shop/service:dev", "src/main.rs changed", false);
    for name in ["migrate", "service", "watcher"] {
        world.lose(name);
    }
    assert_snapshot!(world.plan(), @"
         1  build image shop/service:dev from package service  src/main.rs changed
         2  create container migrate                           missing              after 1
         3  create container service                           missing              after 1
         4  create container watcher                           missing
         5  start container migrate                            created              after 2 if changed
         6  await migrate completed                            started              after 5 if changed
         7  start container service                            created              after 3 if changed, 6
         8  await service healthy                              started              after 7 if changed
         9  start container watcher                            created              after 4 if changed, 7
        10  await watcher healthy                              started              after 9 if changed
        ");
}

#[test]
fn a_build_that_changes_nothing_leaves_every_container() {
    let mut world = settled(SHOP);
    world.stale_build("shop/service:dev", "src/main.rs changed", false);
    let before = world.observe().containers;
    world.bring_up();
    assert_eq!(world.observe().containers, before);
}

#[test]
fn what_is_not_well_while_its_image_is_built_is_replaced_by_the_build() {
    let mut world = settled(SHOP);
    world.stale_build("shop/service:dev", "src/main.rs changed", false);
    world.set_state("service", ContainerState::Exited(101));
    world.set_state("watcher", ContainerState::Paused);
    assert_snapshot!(world.plan(), @"
         1  build image shop/service:dev from package service  src/main.rs changed
         2  remove container watcher                           service replaced                after 1
         3  remove container service                           ended with status 101           after 2
         4  remove container migrate                           if the build changes its image  after 1 if changed, 3
         5  create container migrate                           if the build changes its image  after 1 if changed, 4
         6  create container service                           ended with status 101           after 3
         7  create container watcher                           service replaced                after 2
         8  start container migrate                            created                         after 5 if changed
         9  await migrate completed                            started                         after 8 if changed
        10  start container service                            created                         after 6 if changed, 9
        11  await service healthy                              started                         after 10 if changed
        12  start container watcher                            created                         after 7 if changed, 10
        13  await watcher healthy                              started                         after 12 if changed
        ");
}

#[test]
fn a_mounted_file_that_changed_is_told_by_a_signal_where_one_is_named() {
    let mut world = settled(SHOP);
    world.files.insert(service("watcher"), "files 2".to_owned());
    assert_snapshot!(world.plan(), @"
          1  send SIGHUP to watcher  mounted files changed
        ");
}

#[test]
fn a_mounted_file_that_changed_replaces_where_no_signal_is_named() {
    let mut world = settled(SHOP);
    world.files.insert(service("postgres"), "files 2".to_owned());
    world.files.insert(service("watcher"), "files 2".to_owned());
    assert_snapshot!(world.plan(), @"
         1  remove container watcher   service replaced
         2  remove container service   migrate replaced       after 1
         3  remove container migrate   postgres replaced      after 2
         4  remove container postgres  mounted files changed  after 3
         5  create container postgres  mounted files changed  after 4
         6  create container migrate   postgres replaced      after 3
         7  create container service   migrate replaced       after 2
         8  create container watcher   service replaced       after 1
         9  start container postgres   created                after 5 if changed
        10  await postgres healthy     started                after 9 if changed
        11  start container migrate    created                after 6 if changed, 10
        12  await migrate completed    started                after 11 if changed
        13  start container service    created                after 7 if changed, 12
        14  await service healthy      started                after 13 if changed
        15  start container watcher    created                after 8 if changed, 13
        16  await watcher healthy      started                after 15 if changed
        ");
}

#[test]
fn a_signal_reaches_only_what_runs_and_stays() {
    let mut world = settled(SHOP);
    world.files.insert(service("watcher"), "files 2".to_owned());
    world.set_state("watcher", ContainerState::Exited(0));
    assert_snapshot!(world.plan(), @"
        1  remove container watcher  mounted files changed
        2  create container watcher  mounted files changed  after 1
        3  start container watcher   created                after 2 if changed
        4  await watcher healthy     started                after 3 if changed
        ");
    world.set_state("watcher", ContainerState::Running(crate::plan::Health::None));
    world.stale_build("shop/service:dev", "src/main.rs changed", false);
    assert_snapshot!(world.plan(), @"
         1  build image shop/service:dev from package service  src/main.rs changed
         2  remove container watcher                           mounted files changed           after 1
         3  remove container service                           if the build changes its image  after 1 if changed, 2
         4  remove container migrate                           if the build changes its image  after 1 if changed, 3
         5  create container migrate                           if the build changes its image  after 1 if changed, 4
         6  create container service                           if the build changes its image  after 1 if changed, 3
         7  create container watcher                           mounted files changed           after 2
         8  start container migrate                            created                         after 5 if changed
         9  await migrate completed                            started                         after 8 if changed
        10  start container service                            created                         after 6 if changed, 9
        11  await service healthy                              started                         after 10 if changed
        12  start container watcher                            created                         after 7 if changed, 10
        13  await watcher healthy                              started                         after 12 if changed
        ");
}

#[test]
fn what_a_person_asks_for_is_replaced_though_nothing_changed() {
    let world = settled(SHOP);
    let wanted = Wanted { recreate: [service("watcher")].into(), ..Wanted::default() };
    assert_snapshot!(world.plan_for(&wanted), @"
        1  remove container watcher  asked for
        2  create container watcher  asked for  after 1
        3  start container watcher   created    after 2 if changed
        4  await watcher healthy     started    after 3 if changed
        ");
}

#[test]
fn a_port_that_moves_is_given_up_before_it_is_taken() {
    let file = "
        services:
          new: {image: web:1, ports: ['127.0.0.1:81:80']}
          old: {image: web:1, ports: ['127.0.0.1:80:80']}
    ";
    let mut world = settled(file);
    world.adopt(stack(&file.replace("1:80:80", "1:82:80").replace("1:81:80", "1:80:80")));
    assert_snapshot!(world.plan(), @"
        1  remove container old  configuration changed
        2  remove container new  configuration changed
        3  create container new  configuration changed  after 2
        4  create container old  configuration changed  after 1
        5  start container new   created                after 1, 3 if changed
        6  await new healthy     started                after 5 if changed
        7  start container old   created                after 2, 4 if changed
        8  await old healthy     started                after 7 if changed
        ");
}

#[test]
fn nothing_goes_before_every_image_is_there_that_it_needs_to_come_back() {
    let mut world = edited("image: watcher:3", "image: watcher:4");
    world.set_image("redis:8", Availability::Obtainable(Source::Registry));
    assert_snapshot!(world.plan(), @"
         1  obtain image redis:8 from registry    missing
         2  obtain image watcher:4 from registry  missing
         3  remove container watcher              configuration changed  after 1, 2
         4  remove container service              redis replaced         after 3
         5  remove container redis                image changed          after 4
         6  create container redis                image changed          after 5
         7  create container service              redis replaced         after 4
         8  create container watcher              configuration changed  after 3
         9  start container redis                 created                after 6 if changed
        10  await redis healthy                   started                after 9 if changed
        11  start container service               created                after 7 if changed, 10
        12  await service healthy                 started                after 11 if changed
        13  start container watcher               created                after 8 if changed, 11
        14  await watcher healthy                 started                after 13 if changed
        ");
}
