//! Networks, volumes, and containers that no service keeps.

use insta::assert_snapshot;

use super::engine::World;
use super::{SHOP, network, settled, stack, volume};
use crate::plan::{ContainerState, Health, NetworkSeen};

const TWO_NETWORKS: &str = "
services:
  front: {image: web:1, networks: [edge, inner], depends_on: [back]}
  back: {image: api:1, networks: [inner], volumes: ['data:/data']}
  aside: {image: web:1, networks: [edge]}
networks: {edge: {}, inner: {internal: true}}
volumes: {data: {}}
";

#[test]
fn a_missing_network_takes_what_joins_it_along() {
    let mut world = settled(TWO_NETWORKS);
    world.networks.retain(|seen| seen.name != network("inner"));
    assert_snapshot!(world.plan(), @"
        1  remove container front  network inner missing
        2  remove container back   network inner missing  after 1
        3  create network inner    missing                after 2
        4  create container back   network inner missing  after 3
        5  create container front  network inner missing  after 3
        6  start container back    created                after 4 if changed
        7  await back healthy      started                after 6 if changed
        8  start container front   created                after 5 if changed, 6
        9  await front healthy     started                after 8 if changed
        ");
}

#[test]
fn a_changed_network_goes_when_nothing_hangs_on_it_any_more() {
    let mut world = settled(TWO_NETWORKS);
    world.adopt(stack(&TWO_NETWORKS.replace("internal: true", "internal: false")));
    assert_snapshot!(world.plan(), @"
         1  remove container front  network inner changed
         2  remove container back   network inner changed  after 1
         3  remove network inner    configuration changed  after 2
         4  create network inner    configuration changed  after 3
         5  create container back   network inner changed  after 4
         6  create container front  network inner changed  after 4
         7  start container back    created                after 5 if changed
         8  await back healthy      started                after 7 if changed
         9  start container front   created                after 6 if changed, 7
        10  await front healthy     started                after 9 if changed
        ");
}

#[test]
fn a_network_that_a_service_leaves_as_it_changes_waits_for_it() {
    let mut world = settled(TWO_NETWORKS);
    let edited = TWO_NETWORKS.replace("[edge]}", "[inner]}").replace("{edge: {}", "{edge: {internal: true}");
    world.adopt(stack(&edited));
    assert_snapshot!(world.plan(), @"
         1  remove container front  network edge changed
         2  remove container aside  configuration changed
         3  remove network edge     configuration changed  after 1, 2
         4  create network edge     configuration changed  after 3
         5  create container aside  configuration changed  after 2
         6  create container front  network edge changed   after 4
         7  start container aside   created                after 5 if changed
         8  await aside healthy     started                after 7 if changed
         9  start container front   created                after 6 if changed
        10  await front healthy     started                after 9 if changed
        ");
    world.bring_up();
}

#[test]
fn a_missing_volume_replaces_what_holds_data_in_it() {
    let mut world = settled(TWO_NETWORKS);
    world.volumes.clear();
    assert_snapshot!(world.plan(), @"
        1  remove container front  back replaced
        2  remove container back   volume data missing  after 1
        3  create volume data      missing
        4  create container back   volume data missing  after 2, 3
        5  create container front  back replaced        after 1
        6  start container back    created              after 4 if changed
        7  await back healthy      started              after 6 if changed
        8  start container front   created              after 5 if changed, 6
        9  await front healthy     started              after 8 if changed
        ");
}

#[test]
fn a_changed_volume_is_kept_and_told() {
    let mut world = settled(TWO_NETWORKS);
    world.adopt(stack(&TWO_NETWORKS.replace("{data: {}}", "{data: {driver_opts: {type: tmpfs}}}")));
    assert_snapshot!(world.plan(), @"
        nothing to do
        note: volume data was made with another configuration and is kept, because it holds data
        ");
}

#[test]
fn a_container_that_was_taken_off_a_network_is_replaced() {
    let mut world = settled(TWO_NETWORKS);
    world.container("front").seen.networks.remove(&network("edge"));
    assert_snapshot!(world.plan(), @"
        1  remove container front  not on network edge
        2  create container front  not on network edge  after 1
        3  start container front   created              after 2 if changed
        4  await front healthy     started              after 3 if changed
        ");
    world.bring_up();
}

#[test]
fn a_container_that_was_joined_by_hand_without_its_name_is_replaced() {
    let mut world = settled(TWO_NETWORKS);
    world.container("aside").seen.networks.insert(network("edge"), ["0123456789ab".to_owned()].into());
    assert_snapshot!(world.plan(), @"
        1  remove container aside  not known as aside on network edge
        2  create container aside  not known as aside on network edge  after 1
        3  start container aside   created                             after 2 if changed
        4  await aside healthy     started                             after 3 if changed
        ");
    world.bring_up();
}

#[test]
fn objects_that_nobody_uses_any_more_are_left() {
    let mut world = settled(TWO_NETWORKS);
    world.networks.push(NetworkSeen {
        id: "n".to_owned(),
        name: network("past"),
        config_hash: String::new(),
    });
    world.volumes.push(crate::plan::VolumeSeen {
        engine_name: "shop_past".to_owned(),
        name: volume("past"),
        config_hash: String::new(),
    });
    assert_snapshot!(world.plan(), @"nothing to do");
}

/// The shop after a service was given another name.
fn renamed(from: &str, to: &str) -> World {
    let mut world = settled(SHOP);
    world.adopt(stack(
        &SHOP.replace(&format!("{from}:"), &format!("{to}:")).replace("image: database:", "image: postgres:"),
    ));
    world
}

#[test]
fn an_orphan_goes_before_another_takes_its_ports_and_volumes() {
    assert_snapshot!(renamed("postgres", "database").plan(), @"
         1  remove container watcher   service replaced
         2  remove container service   database replaced  after 1
         3  remove container migrate   database replaced  after 2
         4  remove container postgres  orphan             after 3
         5  create container database  missing            after 3
         6  create container migrate   database replaced  after 3
         7  create container service   database replaced  after 2
         8  create container watcher   service replaced   after 1
         9  start container database   created            after 4, 5 if changed
        10  await database healthy     started            after 9 if changed
        11  start container migrate    created            after 6 if changed, 10
        12  await migrate completed    started            after 11 if changed
        13  start container service    created            after 7 if changed, 12
        14  await service healthy      started            after 13 if changed
        15  start container watcher    created            after 8 if changed, 13
        16  await watcher healthy      started            after 15 if changed
        ");
}

#[test]
fn orphans_go_dependents_first() {
    let mut world = settled(SHOP);
    world.adopt(stack("services: {lone: {image: 'redis:8'}}"));
    assert_snapshot!(world.plan(), @"
        1  remove container watcher   orphan
        2  remove container service   orphan   after 1
        3  remove container migrate   orphan   after 2
        4  remove container redis     orphan   after 2
        5  remove container postgres  orphan   after 3
        6  create container lone      missing
        7  start container lone       created  after 4, 5, 6 if changed
        8  await lone healthy         started  after 7 if changed
        ");
}

#[test]
fn a_cycle_of_orphans_is_cut() {
    let mut world = settled(SHOP);
    world.container("postgres").seen.depends_on.push(super::service("service"));
    world.adopt(stack("services: {lone: {image: 'redis:8'}}"));
    assert_snapshot!(world.plan(), @"
        1  remove container watcher   orphan
        2  remove container migrate   orphan
        3  remove container service   orphan   after 1
        4  remove container redis     orphan   after 3
        5  remove container postgres  orphan   after 2, 3
        6  create container lone      missing
        7  start container lone       created  after 4, 5, 6 if changed
        8  await lone healthy         started  after 7 if changed
        ");
    world.bring_up();
}

#[test]
fn of_two_containers_of_a_service_the_one_that_runs_is_kept() {
    let mut world = settled(SHOP);
    world.plant("redis", ContainerState::Exited(0));
    assert_snapshot!(world.plan(), @"
          1  remove container redis  duplicate
        ");
    let kept = world.container("redis").seen.id.clone();
    world.bring_up();
    assert_eq!(world.container("redis").seen.id, kept);
}

#[test]
fn of_two_containers_of_a_service_the_one_that_fits_is_kept() {
    let mut world = settled(SHOP);
    world.plant("redis", ContainerState::Running(Health::Healthy));
    let first = world.container("redis");
    first.seen.config_hash = "another".to_owned();
    let outdated = first.seen.id.clone();
    assert_snapshot!(world.plan(), @"
          1  remove container redis  duplicate
        ");
    world.bring_up();
    assert_ne!(world.container("redis").seen.id, outdated);
}

#[test]
fn a_new_container_waits_for_a_duplicate_to_give_up_its_name() {
    let mut world = settled(SHOP);
    world.plant("watcher", ContainerState::Running(Health::None));
    for made in world.containers.iter_mut().filter(|made| made.seen.service.as_str() == "watcher") {
        made.seen.config_hash = "another".to_owned();
    }
    assert_snapshot!(world.plan(), @"
        1  remove container watcher  duplicate
        2  remove container watcher  configuration changed
        3  create container watcher  configuration changed  after 1, 2
        4  start container watcher   created                after 3 if changed
        5  await watcher healthy     started                after 4 if changed
        ");
    world.bring_up();
}
