//! Services whose ports `dev` holds: one version follows another without a moment in which none serves.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use insta::assert_snapshot;

use super::engine::{Fortune, World};
use super::{service, settled, stack};
use crate::images::Availability;
use crate::plan::{Cause, ContainerState, Health, Plan, Role, Wanted};

/// What serves, what brings its database to its version, the database, and what looks at it from outside.
const SITE: &str = "
name: site
services:
  store: {image: 'store:1', volumes: ['data:/data'], healthcheck: {test: [CMD, ready]}}
  migrate:
    image: site/web:dev
    command: [migrate]
    depends_on: {store: {condition: service_healthy}}
    x-homeport: {package: web}
  web:
    image: site/web:dev
    command: [serve]
    ports: ['127.0.0.1:8000:80']
    depends_on:
      migrate: {condition: service_completed_successfully}
      store: {condition: service_healthy}
    healthcheck: {test: [CMD, /web, health]}
    x-homeport: {package: web, url_path: /}
  watcher: {image: 'watcher:1', ports: ['127.0.0.1:9000:90'], x-homeport: {url_path: /}}
volumes: {data: {}}
";

/// [`SITE`] in which what serves names the one-shot alone.
fn through_migrate() -> String {
    SITE.replace(
        "completed_successfully}\n      store: {condition: service_healthy}\n",
        "completed_successfully}\n",
    )
}

/// The site as `dev` runs it in the foreground.
fn fronted() -> World {
    let mut world = World::new(stack(SITE).fronted(&BTreeSet::new()));
    world.bring_up();
    world
}

#[test]
fn from_nothing_the_front_is_told_once_it_is_ready() {
    let mut world = fronted();
    world.lose("web");
    assert_snapshot!(world.plan(), @"
        1  create container web         missing
        2  start container web          created  after 1 if changed
        3  await web healthy            started  after 2 if changed
        4  switch web to its container  ready    after 3 if changed
        ");
}

#[test]
fn a_build() {
    let mut world = fronted();
    world.stale_build("site/web:dev", "src/main.rs changed", true);
    assert_snapshot!(world.plan(), @"
         1  build image site/web:dev from package web     src/main.rs changed
         2  remove container migrate                      if the build changes its image  after 1 if changed
         3  create container migrate                      if the build changes its image  after 1 if changed, 2
         4  create successor of web                       if the build changes its image  after 1 if changed
         5  start container migrate                       created                         after 3 if changed
         6  await migrate completed                       started                         after 5 if changed
         7  start successor of web                        created                         after 4 if changed, 6
         8  await successor of web healthy                started                         after 7 if changed
         9  switch web to its successor                   ready                           after 8 if changed
        10  retire container web                          its successor serves            after 9 if changed
        11  rename successor of web                       its successor serves            after 10 if changed
        12  remove container web after its last requests  its successor serves            after 10 if changed
        13  remove successor of web                       if it does not get ready        after 4, 8 if failed
        ");
    world.bring_up();
    assert_eq!(world.faults(world.stack.services.keys()), [""; 0]);
    // The same program again.
    let before = world.observe().containers;
    world.stale_build("site/web:dev", "src/main.rs changed", false);
    world.bring_up();
    assert_eq!(world.observe().containers, before);
}

#[test]
fn an_edit_of_what_it_is_made_from() {
    let mut world = fronted();
    world.adopt(stack(&SITE.replace("[serve]", "[serve, loud]")).fronted(&BTreeSet::new()));
    assert_snapshot!(world.plan(), @"
        1  create successor of web                       configuration changed
        2  start successor of web                        created                   after 1 if changed
        3  await successor of web healthy                started                   after 2 if changed
        4  switch web to its successor                   ready                     after 3 if changed
        5  retire container web                          its successor serves      after 4 if changed
        6  rename successor of web                       its successor serves      after 5 if changed
        7  remove container web after its last requests  its successor serves      after 5 if changed
        8  remove successor of web                       if it does not get ready  after 1, 3 if failed
        ");
}

#[test]
fn a_port_that_only_the_front_has_replaces_nothing() {
    let mut world = fronted();
    world.adopt(stack(&SITE.replace("8000:80", "8001:80")).fronted(&BTreeSet::new()));
    assert_snapshot!(world.plan(), @"
        nothing to do
        ");
}

#[test]
fn what_began_with_a_dependency_that_goes_is_gone_before() {
    let mut world = fronted();
    world.adopt(stack(&SITE.replace("[CMD, ready]", "[CMD, ready, now]")).fronted(&BTreeSet::new()));
    assert_snapshot!(world.plan(), @"
         1  remove container web         migrate replaced
         2  remove container migrate     store replaced         after 1
         3  remove container store       configuration changed  after 2
         4  create container store       configuration changed  after 3
         5  create container migrate     store replaced         after 2
         6  create container web         migrate replaced       after 1
         7  start container store        created                after 4 if changed
         8  await store healthy          started                after 7 if changed
         9  start container migrate      created                after 5 if changed, 8
        10  await migrate completed      started                after 9 if changed
        11  start container web          created                after 6 if changed, 10
        12  await web healthy            started                after 11 if changed
        13  switch web to its container  ready                  after 12 if changed
        ");
    // Also when it waits for the store through the one-shot alone, whatever else becomes of that.
    let through =
        through_migrate().replace("[CMD, ready]", "[CMD, ready, now]").replace("[migrate]", "[migrate, all]");
    let mut other = World::new(stack(&through_migrate()).fronted(&BTreeSet::new()));
    other.bring_up();
    let mut pruned = other.clone();
    pruned.lose("migrate");
    let mut unstarted = other.clone();
    unstarted.set_state("migrate", ContainerState::Created);
    for mut other in [other, pruned, unstarted] {
        other.adopt(stack(&through).fronted(&BTreeSet::new()));
        let plan = other.plan().to_string();
        assert!(plan.contains("remove container web         migrate replaced"), "{plan}");
        // Also when it is itself to be replaced.
        other.adopt(stack(&through.replace("[serve]", "[serve, loud]")).fronted(&BTreeSet::new()));
        let plan = other.plan().to_string();
        assert!(!plan.contains("successor"), "{plan}");
        other.bring_up();
    }
    // Also when it is itself to be replaced: without its store it could serve no one.
    let both = SITE.replace("[CMD, ready]", "[CMD, ready, now]").replace("[serve]", "[serve, loud]");
    world.adopt(stack(&both).fronted(&BTreeSet::new()));
    let plan = world.plan().to_string();
    assert!(!plan.contains("successor"), "{plan}");
}

#[test]
fn what_does_not_serve_has_no_successor() {
    for state in [ContainerState::Exited(1), ContainerState::Paused, ContainerState::Created] {
        let mut world = fronted();
        world.stale_build("site/web:dev", "src/main.rs changed", true);
        world.set_state("web", state);
        let plan = world.plan().to_string();
        assert!(!plan.contains("successor"), "{state:?}\n{plan}");
        world.bring_up();
    }
    // One that is not well may still answer somebody.
    let mut world = fronted();
    world.stale_build("site/web:dev", "src/main.rs changed", true);
    world.set_state("web", ContainerState::Running(Health::Unhealthy));
    let plan = world.plan().to_string();
    assert!(plan.contains("create successor of web"), "{plan}");
}

#[test]
fn what_others_depend_on_is_replaced_the_plain_way() {
    let text = SITE.replace("watcher: {", "watcher: {depends_on: [web], ");
    let mut world = World::new(stack(&text).fronted(&BTreeSet::new()));
    world.bring_up();
    world.stale_build("site/web:dev", "src/main.rs changed", true);
    let plan = world.plan().to_string();
    assert!(!plan.contains("successor"), "{plan}");
    world.bring_up();
}

#[test]
fn from_one_way_to_the_other_it_is_replaced_once() {
    let mut world = settled(SITE);
    world.adopt(stack(SITE).fronted(&BTreeSet::new()));
    assert_snapshot!(world.plan(), @"
        1  remove container web         dev takes its ports over
        2  create container web         dev takes its ports over  after 1
        3  start container web          created                   after 2 if changed
        4  await web healthy            started                   after 3 if changed
        5  switch web to its container  ready                     after 4 if changed
        ");
    world.bring_up();
    world.adopt(stack(SITE));
    assert_snapshot!(world.plan(), @"
        1  remove container web  dev gives its ports back
        2  create container web  dev gives its ports back  after 1
        3  start container web   created                   after 2 if changed
        4  await web healthy     started                   after 3 if changed
        ");
    world.bring_up();
}

#[test]
fn only_what_is_built_here_and_speaks_http_is_fronted() {
    let fronts = |text: &str| {
        let stack = stack(text).fronted(&BTreeSet::new());
        stack.services.values().map(|service| service.fronts.len()).sum::<usize>()
    };
    assert_eq!(fronts(SITE), 1, "web");
    for (what, with) in [
        ("x-homeport: {package: web, url_path: /}", "x-homeport: {package: web}"),
        ("x-homeport: {package: web, url_path: /}", "x-homeport: {url_path: /}"),
        ("'127.0.0.1:8000:80'", "'127.0.0.1:8000:80/udp'"),
        ("'127.0.0.1:8000:80'", "'80'"),
        ("command: [serve]", "volumes: ['data:/data']"),
        ("watcher: {", "watcher: {depends_on: {web: {condition: service_completed_successfully}}, "),
    ] {
        assert!(SITE.contains(what), "{what}");
        assert_eq!(fronts(&SITE.replace(what, with)), 0, "{with}");
    }
}

#[test]
fn a_version_that_does_not_get_ready_goes_again() {
    let mut world = fronted();
    let before = world.container("web").seen.id.clone();
    world.stale_build("site/web:dev", "src/main.rs changed", true);
    let plan = world.plan();
    let fails =
        plan.steps.iter().position(|step| step.action.to_string() == "await successor of web healthy");
    let report = world.run(&plan, &Fortune { fails, ..Fortune::default() });
    assert_eq!(report.failures.len(), 1);
    let containers = world.observe().containers;
    let web: Vec<_> = containers.iter().filter(|container| container.service == service("web")).collect();
    assert_eq!(web.len(), 1);
    assert_eq!((&web[0].id, web[0].state), (&before, ContainerState::Running(Health::Healthy)));
    // The next run tries again.
    assert!(world.plan().to_string().contains("create successor of web"), "{}", world.plan());
    world.bring_up();
    assert_ne!(world.container("web").seen.id, before);
}

/// The plan after each step of a swap, and that each of them brings everything up: in the foreground again, or given up
/// by `dev --detach`.
fn after_each_step(world: &World) -> String {
    let plan = world.plan();
    let mut text = String::new();
    for ended in 0..plan.steps.len() {
        let mut halfway = world.clone();
        halfway.run(&plan, &Fortune { killed_after: Some(ended), ..Fortune::default() });
        let _ = writeln!(text, "killed after {ended}:\n{}", halfway.plan());
        for next in [stack(SITE).fronted(&BTreeSet::new()), stack(SITE)] {
            let mut halfway = halfway.clone();
            halfway.adopt(next);
            halfway.bring_up();
            let faults = halfway.faults(halfway.stack.services.keys());
            assert_eq!(faults, [""; 0], "killed after {ended} of\n{plan}");
        }
    }
    text
}

#[test]
fn a_swap_that_is_killed() {
    let mut world = fronted();
    world.stale_build("site/web:dev", "src/main.rs changed", true);
    assert_snapshot!(after_each_step(&world), @"
        killed after 0:
          1  build image site/web:dev from package web     src/main.rs changed
          2  remove container migrate                      if the build changes its image  after 1 if changed
          3  create container migrate                      if the build changes its image  after 1 if changed, 2
          4  create successor of web                       if the build changes its image  after 1 if changed
          5  start container migrate                       created                         after 3 if changed
          6  await migrate completed                       started                         after 5 if changed
          7  start successor of web                        created                         after 4 if changed, 6
          8  await successor of web healthy                started                         after 7 if changed
          9  switch web to its successor                   ready                           after 8 if changed
         10  retire container web                          its successor serves            after 9 if changed
         11  rename successor of web                       its successor serves            after 10 if changed
         12  remove container web after its last requests  its successor serves            after 10 if changed
         13  remove successor of web                       if it does not get ready        after 4, 8 if failed

        killed after 1:
          1  remove container migrate                      image changed
          2  create container migrate                      image changed             after 1
          3  create successor of web                       image changed
          4  start container migrate                       created                   after 2 if changed
          5  await migrate completed                       started                   after 4 if changed
          6  start successor of web                        created                   after 3 if changed, 5
          7  await successor of web healthy                started                   after 6 if changed
          8  switch web to its successor                   ready                     after 7 if changed
          9  retire container web                          its successor serves      after 8 if changed
         10  rename successor of web                       its successor serves      after 9 if changed
         11  remove container web after its last requests  its successor serves      after 9 if changed
         12  remove successor of web                       if it does not get ready  after 3, 7 if failed

        killed after 2:
          1  create container migrate                      missing
          2  create successor of web                       image changed
          3  start container migrate                       created                   after 1 if changed
          4  await migrate completed                       started                   after 3 if changed
          5  start successor of web                        created                   after 2 if changed, 4
          6  await successor of web healthy                started                   after 5 if changed
          7  switch web to its successor                   ready                     after 6 if changed
          8  retire container web                          its successor serves      after 7 if changed
          9  rename successor of web                       its successor serves      after 8 if changed
         10  remove container web after its last requests  its successor serves      after 8 if changed
         11  remove successor of web                       if it does not get ready  after 2, 6 if failed

        killed after 3:
          1  remove container web         duplicate
          2  rename successor of web      left by a swap that was cut off  after 1
          3  create container migrate     missing                          after 1
          4  start container migrate      created                          after 3 if changed
          5  await migrate completed      started                          after 4 if changed
          6  start container web          never started                    after 2, 5
          7  await web healthy            started                          after 6 if changed
          8  switch web to its container  ready                            after 7 if changed

        killed after 4:
          1  remove container web         duplicate
          2  rename successor of web      left by a swap that was cut off  after 1
          3  start container migrate      never started                    after 1
          4  await migrate completed      started                          after 3 if changed
          5  start container web          never started                    after 2, 4
          6  await web healthy            started                          after 5 if changed
          7  switch web to its container  ready                            after 6 if changed

        killed after 5:
          1  remove container web         duplicate
          2  rename successor of web      left by a swap that was cut off  after 1
          3  await migrate completed      not completed yet
          4  start container web          never started                    after 2, 3
          5  await web healthy            started                          after 4 if changed
          6  switch web to its container  ready                            after 5 if changed

        killed after 6:
          1  remove container web         duplicate
          2  rename successor of web      left by a swap that was cut off  after 1
          3  start container web          never started                    after 2
          4  await web healthy            started                          after 3 if changed
          5  switch web to its container  ready                            after 4 if changed

        killed after 7:
          1  remove container web     duplicate
          2  rename successor of web  left by a swap that was cut off  after 1
          3  await web healthy        not healthy yet                  after 2

        killed after 8:
          1  remove container web     duplicate
          2  rename successor of web  left by a swap that was cut off  after 1

        killed after 9:
          1  remove container web     duplicate
          2  rename successor of web  left by a swap that was cut off  after 1

        killed after 10:
          1  remove container web     duplicate
          2  rename successor of web  left by a swap that was cut off  after 1

        killed after 11:
          1  remove container web  duplicate

        killed after 12:
        nothing to do
        ");
}

#[test]
fn of_two_containers_the_one_with_the_newest_image_stays() {
    let mut world = fronted();
    world.plant("web", ContainerState::Running(Health::Healthy));
    let newest = world.containers.last_mut().expect("planted");
    newest.seen.role = Role::Successor;
    let id = newest.seen.id.clone();
    world
        .containers
        .iter_mut()
        .find(|made| made.seen.service == service("web"))
        .expect("the first")
        .seen
        .image_id = "image 0".to_owned();
    assert_snapshot!(world.plan(), @"
        1  remove container web     duplicate
        2  rename successor of web  left by a swap that was cut off  after 1
        ");
    world.bring_up();
    assert_eq!(world.container("web").seen.id, id);
}

#[test]
fn a_version_that_failed_is_not_tried_again_until_it_is_another() {
    let mut world = fronted();
    let before = world.container("web").seen.id.clone();
    world.set_image(
        "site/web:dev",
        Availability::Present { id: "bad".to_owned(), origin: "test".to_owned(), stale: None },
    );
    world.set_state("migrate", ContainerState::Exited(0));
    let version = world.observe().version(&service("web"), &world.stack.services[&service("web")]);
    world.failed.insert(service("web"), version.expect("its image is there"));
    let web = |world: &World| {
        let plan = world.plan();
        let text = plan.to_string();
        assert_eq!(
            plan.notes.iter().any(|note| note.starts_with("web stays as it is")),
            !text.contains("of web")
        );
        text.contains("create successor of web")
    };
    assert!(!web(&world), "{}", world.plan());
    // A build may make it another one.
    world.stale_build("site/web:dev", "src/main.rs changed", false);
    assert!(web(&world), "{}", world.plan());
    world.carry_out(&world.plan());
    assert_eq!(world.container("web").seen.id, before);
    world.stale_build("site/web:dev", "src/main.rs changed", true);
    world.bring_up();
    assert_ne!(world.container("web").seen.id, before);
    // So may another configuration, and a person may ask for it.
    let serves = world.container("web").seen.id.clone();
    world.adopt(stack(&SITE.replace("[serve]", "[serve, loud]")).fronted(&BTreeSet::new()));
    let version = world.observe().version(&service("web"), &world.stack.services[&service("web")]);
    world.failed.insert(service("web"), version.expect("its image is there"));
    assert!(!web(&world), "{}", world.plan());
    let wanted = Wanted { recreate: [service("web")].into(), ..Wanted::default() };
    assert!(world.plan_for(&wanted).to_string().contains("create successor of web"));
    world.adopt(stack(&SITE.replace("[serve]", "[serve, louder]")).fronted(&BTreeSet::new()));
    assert!(web(&world), "{}", world.plan());
    world.bring_up();
    assert_ne!(world.container("web").seen.id, serves);
}

/// [`SITE`], and its one-shot says what its work is.
fn repeating() -> String {
    SITE.replacen("x-homeport: {package: web}", "x-homeport: {package: web, repeat_for: [./migrations]}", 1)
}

#[test]
fn a_one_shot_is_not_run_again_for_a_new_image_alone() {
    let mut world = World::new(stack(&repeating()).fronted(&BTreeSet::new()));
    world.bring_up();
    let ran = world.container("migrate").seen.id.clone();
    world.stale_build("site/web:dev", "src/main.rs changed", true);
    assert_eq!(
        world.plan().notes,
        ["migrate is not run again for a new image: migrations is as it was when it ran"]
    );
    assert_snapshot!(world.plan(), @"
          1  build image site/web:dev from package web     src/main.rs changed
          2  create successor of web                       if the build changes its image  after 1 if changed
          3  start successor of web                        created                         after 2 if changed
          4  await successor of web healthy                started                         after 3 if changed
          5  switch web to its successor                   ready                           after 4 if changed
          6  retire container web                          its successor serves            after 5 if changed
          7  rename successor of web                       its successor serves            after 6 if changed
          8  remove container web after its last requests  its successor serves            after 6 if changed
          9  remove successor of web                       if it does not get ready        after 2, 4 if failed
        note: migrate is not run again for a new image: migrations is as it was when it ran
        ");
    world.bring_up();
    assert_eq!(world.faults(world.stack.services.keys()), [""; 0]);
    assert_eq!(world.container("migrate").seen.id, ran);
    // It is again when its work is another, and before the new version serves.
    world.repeats.insert(service("migrate"), "work 2".to_owned());
    world.stale_build("site/web:dev", "migrations changed", true);
    assert_snapshot!(world.plan(), @"
         1  build image site/web:dev from package web     migrations changed
         2  remove container migrate                      migrations changed              after 1
         3  create container migrate                      migrations changed              after 2
         4  create successor of web                       if the build changes its image  after 1 if changed
         5  start container migrate                       created                         after 3 if changed
         6  await migrate completed                       started                         after 5 if changed
         7  start successor of web                        created                         after 4 if changed, 6
         8  await successor of web healthy                started                         after 7 if changed
         9  switch web to its successor                   ready                           after 8 if changed
        10  retire container web                          its successor serves            after 9 if changed
        11  rename successor of web                       its successor serves            after 10 if changed
        12  remove container web after its last requests  its successor serves            after 10 if changed
        13  remove successor of web                       if it does not get ready        after 4, 8 if failed
        ");
    world.bring_up();
    assert_eq!(world.faults(world.stack.services.keys()), [""; 0]);
    assert_ne!(world.container("migrate").seen.id, ran);
}

#[test]
fn a_one_shot_that_did_not_end_well_is_run_again() {
    for state in [ContainerState::Exited(1), ContainerState::Created, ContainerState::Dead] {
        let mut world = World::new(stack(&repeating()).fronted(&BTreeSet::new()));
        world.bring_up();
        world.stale_build("site/web:dev", "src/main.rs changed", true);
        world.set_state("migrate", state);
        let plan = world.plan().to_string();
        assert!(plan.contains("create container migrate"), "{state:?}\n{plan}");
        world.bring_up();
    }
    // And when it is configured otherwise, or a person asks for it.
    let mut world = World::new(stack(&repeating()).fronted(&BTreeSet::new()));
    world.bring_up();
    world.stale_build("site/web:dev", "src/main.rs changed", true);
    let runs_again = |plan: Plan| {
        assert!(plan.to_string().contains("create container migrate"), "{plan}");
        assert_eq!(plan.notes, [""; 0], "nothing says that it is not");
    };
    let wanted = Wanted { recreate: [service("migrate")].into(), ..Wanted::default() };
    runs_again(world.plan_for(&wanted));
    world.adopt(stack(&repeating().replace("[migrate]", "[migrate, all]")).fronted(&BTreeSet::new()));
    runs_again(world.plan());
}

#[test]
fn what_serves_stays_while_a_one_shot_runs_again() {
    type Befalls = fn(&mut World);
    let befalls: [(&str, Befalls); 4] = [
        ("its container was pruned", |world| world.lose("migrate")),
        ("it failed when it was run by hand", |world| world.set_state("migrate", ContainerState::Exited(1))),
        ("it was half removed", |world| world.set_state("migrate", ContainerState::Dead)),
        ("its configuration changed", |world| {
            let text = repeating().replace("[migrate]", "[migrate, all]");
            world.adopt(stack(&text).fronted(&BTreeSet::new()));
        }),
    ];
    for (what, befall) in befalls {
        for changes in [None, Some(false), Some(true)] {
            let mut world = World::new(stack(&repeating()).fronted(&BTreeSet::new()));
            world.bring_up();
            let before = world.container("web").seen.id.clone();
            befall(&mut world);
            if let Some(changes) = changes {
                world.stale_build("site/web:dev", "src/main.rs changed", changes);
            }
            let plan = world.plan();
            let (text, what) = (plan.to_string(), format!("{what}, a build: {changes:?}"));
            assert!(text.contains("await migrate completed"), "{what}\n{text}");
            // It goes only once another one serves, which waits for the one-shot.
            assert_eq!(text.contains("remove container web "), changes.is_some(), "{what}\n{text}");
            let gone = text.lines().find(|line| line.contains("remove container web "));
            assert!(gone.is_none_or(|line| line.contains("after its last requests")), "{what}\n{text}");
            for ended in 0..plan.steps.len() {
                let mut halfway = world.clone();
                halfway.run(&plan, &Fortune { killed_after: Some(ended), ..Fortune::default() });
                halfway.bring_up();
                assert_eq!(halfway.faults(halfway.stack.services.keys()), [""; 0], "{what}: {ended}\n{text}");
            }
            world.bring_up();
            assert_eq!(world.faults(world.stack.services.keys()), [""; 0], "{what}");
            let stayed = world.container("web").seen.id == before;
            assert_eq!(stayed, changes != Some(true), "{what}");
        }
    }
}

#[test]
fn a_one_shot_of_another_image_replaces_nothing_when_it_is_built() {
    let text = SITE.replacen("image: site/web:dev", "image: site/tool:dev", 1).replacen(
        "x-homeport: {package: web}",
        "x-homeport: {package: tool}",
        1,
    );
    let mut world = World::new(stack(&text).fronted(&BTreeSet::new()));
    world.bring_up();
    world.stale_build("site/tool:dev", "src/tool.rs changed", true);
    assert_snapshot!(world.plan(), @"
        1  build image site/tool:dev from package tool  src/tool.rs changed
        2  remove container migrate                     if the build changes its image  after 1 if changed
        3  create container migrate                     if the build changes its image  after 1 if changed, 2
        4  start container migrate                      created                         after 3 if changed
        5  await migrate completed                      started                         after 4 if changed
        ");
    world.bring_up();
}

#[test]
fn a_swap_with_other_work_that_is_killed() {
    let mut world = World::new(stack(&repeating()).fronted(&BTreeSet::new()));
    world.bring_up();
    world.repeats.insert(service("migrate"), "work 2".to_owned());
    world.stale_build("site/web:dev", "migrations changed", true);
    let plan = world.plan();
    for ended in 0..plan.steps.len() {
        let mut halfway = world.clone();
        halfway.run(&plan, &Fortune { killed_after: Some(ended), ..Fortune::default() });
        halfway.bring_up();
        assert_eq!(halfway.faults(halfway.stack.services.keys()), [""; 0], "killed after {ended} of\n{plan}");
    }
}

#[test]
fn what_is_let_go_is_nobodys_business() {
    let mut world = fronted();
    world.plant("web", ContainerState::Running(Health::Healthy));
    let old = &mut world.containers.last_mut().expect("planted").seen;
    old.role = Role::Retired;
    let id = old.id.clone();
    world.leaving.insert(id.clone());
    assert_snapshot!(world.plan(), @"
        nothing to do
        ");
    // Not even when the service itself is gone.
    world.containers.retain(|made| made.seen.role == Role::Retired);
    let plan = world.plan().to_string();
    assert!(plan.contains("create container web") && !plan.contains("remove"), "{plan}");
    // Nobody lets it go any more.
    world.leaving.clear();
    let plan = world.plan().to_string();
    assert!(plan.contains("remove container web") && plan.contains("duplicate"), "{plan}");
    world.bring_up();
    assert!(world.containers.iter().all(|made| made.seen.id != id));
}

#[test]
fn what_a_person_asks_for_is_swapped_too() {
    let mut world = fronted();
    let wanted = Wanted { recreate: [service("web")].into(), ..Wanted::default() };
    let plan = world.plan_for(&wanted);
    assert!(plan.steps.iter().any(|step| step.cause == Cause::Succeeded), "{plan}");
    world.carry_out(&plan);
    assert_eq!(world.faults(world.stack.services.keys()), [""; 0]);
}

#[test]
fn what_a_person_asks_for_is_built_as_if_its_sources_had_changed() {
    let mut stale = fronted();
    stale.stale_build("site/web:dev", "asked for", true);
    let wanted = Wanted { rebuild: true, ..Wanted::default() };
    assert_eq!(fronted().plan_for(&wanted).to_string(), stale.plan().to_string());
}
