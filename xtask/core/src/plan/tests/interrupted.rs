//! Runs that were killed: what the next plan makes of each half-way state.

use std::fmt::Write as _;

use insta::assert_snapshot;

use super::engine::{Fortune, World};
use super::{SHOP, settled, stack};
use crate::plan::ContainerState;

const CHAIN: &str = "
services:
  base:
    image: base:1
    volumes: ['data:/data']
    healthcheck: {test: [CMD, ready]}
  top: {image: 'top:1', depends_on: {base: {condition: service_healthy}}}
volumes: {data: {}}
";

/// The plan after each step of the plan that `world` asks for, and that each of them brings everything up.
fn after_each_step(world: &World) -> String {
    let plan = world.plan();
    let mut text = String::new();
    for ended in 0..plan.steps.len() {
        let mut halfway = world.clone();
        halfway.run(&plan, &Fortune { killed_after: Some(ended), ..Fortune::default() });
        let _ = writeln!(text, "killed after {ended}:\n{}", halfway.plan());
        halfway.bring_up();
        assert_eq!(halfway.faults(halfway.stack.services.keys()), [""; 0], "killed after {ended} of\n{plan}");
    }
    text
}

#[test]
fn the_first_run() {
    assert_snapshot!(after_each_step(&World::new(stack(CHAIN))), @"
        killed after 0:
          1  obtain image base:1 from registry  missing
          2  obtain image top:1 from registry   missing
          3  create network default             missing
          4  create volume data                 missing
          5  create container base              missing  after 1, 3, 4
          6  create container top               missing  after 2, 3
          7  start container base               created  after 5 if changed
          8  await base healthy                 started  after 7 if changed
          9  start container top                created  after 6 if changed, 8
         10  await top healthy                  started  after 9 if changed

        killed after 1:
          1  obtain image top:1 from registry  missing
          2  create network default            missing
          3  create volume data                missing
          4  create container base             missing  after 2, 3
          5  create container top              missing  after 1, 2
          6  start container base              created  after 4 if changed
          7  await base healthy                started  after 6 if changed
          8  start container top               created  after 5 if changed, 7
          9  await top healthy                 started  after 8 if changed

        killed after 2:
          1  create network default  missing
          2  create volume data      missing
          3  create container base   missing  after 1, 2
          4  create container top    missing  after 1
          5  start container base    created  after 3 if changed
          6  await base healthy      started  after 5 if changed
          7  start container top     created  after 4 if changed, 6
          8  await top healthy       started  after 7 if changed

        killed after 3:
          1  create volume data     missing
          2  create container base  missing  after 1
          3  create container top   missing
          4  start container base   created  after 2 if changed
          5  await base healthy     started  after 4 if changed
          6  start container top    created  after 3 if changed, 5
          7  await top healthy      started  after 6 if changed

        killed after 4:
          1  create container base  missing
          2  create container top   missing
          3  start container base   created  after 1 if changed
          4  await base healthy     started  after 3 if changed
          5  start container top    created  after 2 if changed, 4
          6  await top healthy      started  after 5 if changed

        killed after 5:
          1  create container base  missing
          2  start container base   created        after 1 if changed
          3  await base healthy     started        after 2 if changed
          4  start container top    never started  after 3
          5  await top healthy      started        after 4 if changed

        killed after 6:
          1  start container base  never started
          2  await base healthy    started        after 1 if changed
          3  start container top   never started  after 2
          4  await top healthy     started        after 3 if changed

        killed after 7:
          1  await base healthy   not healthy yet
          2  start container top  never started    after 1
          3  await top healthy    started          after 2 if changed

        killed after 8:
          1  start container top  never started
          2  await top healthy    started        after 1 if changed

        killed after 9:
        nothing to do
        ");
}

#[test]
fn a_replacement_with_its_dependents() {
    let mut world = settled(CHAIN);
    world.adopt(stack(&CHAIN.replace("[CMD, ready]", "[CMD, ready, now]")));
    assert_snapshot!(after_each_step(&world), @"
        killed after 0:
          1  remove container top   base replaced
          2  remove container base  configuration changed  after 1
          3  create container base  configuration changed  after 2
          4  create container top   base replaced          after 1
          5  start container base   created                after 3 if changed
          6  await base healthy     started                after 5 if changed
          7  start container top    created                after 4 if changed, 6
          8  await top healthy      started                after 7 if changed

        killed after 1:
          1  remove container base  configuration changed
          2  create container base  configuration changed  after 1
          3  create container top   missing
          4  start container base   created                after 2 if changed
          5  await base healthy     started                after 4 if changed
          6  start container top    created                after 3 if changed, 5
          7  await top healthy      started                after 6 if changed

        killed after 2:
          1  create container base  missing
          2  create container top   missing
          3  start container base   created  after 1 if changed
          4  await base healthy     started  after 3 if changed
          5  start container top    created  after 2 if changed, 4
          6  await top healthy      started  after 5 if changed

        killed after 3:
          1  create container base  missing
          2  start container base   created        after 1 if changed
          3  await base healthy     started        after 2 if changed
          4  start container top    never started  after 3
          5  await top healthy      started        after 4 if changed

        killed after 4:
          1  start container base  never started
          2  await base healthy    started        after 1 if changed
          3  start container top   never started  after 2
          4  await top healthy     started        after 3 if changed

        killed after 5:
          1  await base healthy   not healthy yet
          2  start container top  never started    after 1
          3  await top healthy    started          after 2 if changed

        killed after 6:
          1  start container top  never started
          2  await top healthy    started        after 1 if changed

        killed after 7:
        nothing to do
        ");
}

#[test]
fn a_network_made_anew() {
    let mut world = settled(CHAIN);
    world.adopt(stack(&format!("{CHAIN}\nnetworks: {{default: {{internal: true}}}}")));
    after_each_step(&world);
    let mut world = settled(CHAIN);
    world.networks.clear();
    world.set_state("base", ContainerState::Exited(0));
    after_each_step(&world);
}

#[test]
fn a_build() {
    for changes in [true, false] {
        let mut world = settled(SHOP);
        world.stale_build("shop/service:dev", "src/main.rs changed", changes);
        after_each_step(&world);
    }
}

#[test]
fn a_failed_build_leaves_what_runs() {
    let mut world = settled(SHOP);
    world.stale_build("shop/service:dev", "src/main.rs changed", true);
    world.adopt(stack(&SHOP.replace("image: watcher:3", "image: watcher:3\n    init: true")));
    let before = world.observe().containers;
    let plan = world.plan();
    let report = world.run(&plan, &Fortune { fails: Some(0), ..Fortune::default() });
    assert_eq!(report.failures.len(), 1);
    assert_eq!(world.observe().containers, before, "{plan}");
}
