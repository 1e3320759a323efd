//! Random histories: a random stack is brought up, then one thing after the other befalls it (its file is edited, a
//! container dies, an image vanishes, a run is killed or fails), and after each the next run must mend it.
//!
//! What is held: needs come first; the model engine refuses no step; after a run nothing is left to do and everything is
//! as the stack wants it; a run that breaks off anywhere, twice, is mended by the next.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::RngSeed;

use super::engine::{Fortune, World};
use super::stack;
use crate::images::{Availability, Source};
use crate::plan::{ContainerState, Health, Plan};
use crate::stack::Stack;

/// How many services a stack can have: enough for chains, forks and joins of dependencies.
const SERVICES: usize = 5;

/// One service of a random stack.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is drawn by itself")]
struct Shape {
    present: bool,
    image: u8,
    built: bool,
    configuration: u8,
    checked: bool,
    one_shot: bool,
    repeats: bool,
    volume: Option<u8>,
    files: bool,
    reloads: bool,
    publishes: bool,
    network: bool,
    /// Which of the earlier services it depends on.
    needs: [bool; SERVICES],
    waits_until_healthy: bool,
}

/// A random stack.
#[derive(Debug, Clone)]
struct Draft {
    shapes: Vec<Shape>,
    /// By how many places the ports are shifted: an edit of it hands every port to another service.
    ports: usize,
    network: u8,
    /// Whether `dev` runs it in the foreground.
    fronted: bool,
}

impl Draft {
    /// As a Compose file would say it.
    fn text(&self) -> String {
        let mut text = String::from("name: shop\nservices:\n");
        for (number, shape) in self.shapes.iter().enumerate().filter(|(_, shape)| shape.present) {
            self.service(&mut text, number, shape);
        }
        // A stack without services is none.
        text.push_str("  last: {image: 'last:1'}\n");
        text.push_str("volumes: {v0: {}, v1: {}}\n");
        let _ = writeln!(text, "networks: {{default: {{}}, own: {{internal: {}}}}}", self.network > 0);
        text
    }

    fn service(&self, text: &mut String, number: usize, shape: &Shape) {
        let _ = writeln!(text, "  s{number}:\n    environment: {{EDIT: '{}'}}", shape.configuration);
        let image = if shape.built { "built" } else { "image" };
        let _ = writeln!(text, "    image: {image}{}:1", shape.image);
        if shape.checked && !shape.one_shot {
            text.push_str("    healthcheck: {test: [CMD, ready]}\n");
        }
        let mut mounts = Vec::new();
        mounts.extend(shape.volume.map(|volume| format!("'v{volume}:/data'")));
        mounts.extend(shape.files.then(|| "'./files:/files:ro'".to_owned()));
        let _ = writeln!(text, "    volumes: [{}]", mounts.join(", "));
        if shape.publishes {
            let port = 8000 + (number + self.ports) % SERVICES;
            let _ = writeln!(text, "    ports: ['127.0.0.1:{port}:80']");
        }
        if shape.network {
            text.push_str("    networks: [default, own]\n");
        }
        let mut extension = Vec::new();
        extension.extend(shape.built.then_some("package: service"));
        extension.extend(shape.publishes.then_some("url_path: /"));
        extension.extend((shape.files && shape.reloads).then_some("reload: SIGHUP"));
        // It is a one-shot by whoever waits for it.
        let awaited = self.shapes[number + 1..].iter().any(|other| other.present && other.needs[number]);
        extension.extend((shape.one_shot && shape.repeats && awaited).then_some("repeat_for: [./work]"));
        if !extension.is_empty() {
            let _ = writeln!(text, "    x-homeport: {{{}}}", extension.join(", "));
        }
        let needs: Vec<usize> =
            (0..number).filter(|&other| shape.needs[other] && self.shapes[other].present).collect();
        if !needs.is_empty() {
            text.push_str("    depends_on:\n");
        }
        for other in needs {
            let dependency = &self.shapes[other];
            let condition = match (dependency.one_shot, shape.waits_until_healthy && dependency.checked) {
                (true, _) => "service_completed_successfully",
                (false, true) => "service_healthy",
                (false, false) => "service_started",
            };
            let _ = writeln!(text, "      s{other}: {{condition: {condition}}}");
        }
    }

    fn stack(&self) -> Stack {
        let stack = stack(&self.text());
        if self.fronted { stack.fronted(&BTreeSet::new()) } else { stack }
    }
}

fn shapes() -> impl Strategy<Value = Shape> {
    let what = (prop::bool::weighted(0.8), 0u8..3, prop::bool::weighted(0.3), 0u8..3, any::<bool>());
    let how = (
        prop::bool::weighted(0.2),
        prop::option::of(0u8..2),
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
    );
    (what, how, any::<[bool; SERVICES]>(), any::<(bool, bool)>()).prop_map(
        |(
            (present, image, built, configuration, checked),
            (one_shot, volume, files, reloads, publishes, network),
            needs,
            (waits_until_healthy, repeats),
        )| Shape {
            present,
            image,
            built,
            configuration,
            checked,
            one_shot,
            repeats,
            volume,
            files,
            reloads,
            publishes,
            network,
            needs,
            waits_until_healthy,
        },
    )
}

fn drafts() -> impl Strategy<Value = Draft> {
    (prop::collection::vec(shapes(), SERVICES), 0..SERVICES, 0u8..2, prop::bool::weighted(0.7))
        .prop_map(|(shapes, ports, network, fronted)| Draft { shapes, ports, network, fronted })
}

/// What befalls a stack.
#[derive(Debug, Clone)]
enum Event {
    /// A service's part of the file is written anew.
    Edit(Index, Shape),
    /// All ports change hands.
    ShiftPorts(usize),
    /// The network's configuration is edited.
    EditNetwork(u8),
    /// A container is in another state than it was left in.
    Find(Index, ContainerState),
    /// A container is gone.
    Lose(Index),
    /// An image is gone; the containers made from it stay.
    LoseImage(Index),
    /// Sources were saved: a build is due, which makes another image or the same.
    Save(bool),
    /// Mounted files were saved.
    SaveFiles(u8),
    /// What one-shots are repeated for was saved.
    SaveWork(u8),
    /// `dev` runs it the other way, with its ports or without them.
    Front(bool),
    /// Everything that does not run, and networks without a container, were removed by somebody else.
    Prune,
}

fn states() -> impl Strategy<Value = ContainerState> {
    prop::sample::select(vec![
        ContainerState::Created,
        ContainerState::Running(Health::Unhealthy),
        ContainerState::Running(Health::Starting),
        ContainerState::Paused,
        ContainerState::Exited(0),
        ContainerState::Exited(1),
        ContainerState::Dead,
    ])
}

fn befalling() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (any::<Index>(), shapes()).prop_map(|(place, shape)| Event::Edit(place, shape)),
        1 => (0..SERVICES).prop_map(Event::ShiftPorts),
        1 => (0u8..2).prop_map(Event::EditNetwork),
        3 => (any::<Index>(), states()).prop_map(|(place, state)| Event::Find(place, state)),
        1 => any::<Index>().prop_map(Event::Lose),
        1 => any::<Index>().prop_map(Event::LoseImage),
        1 => any::<bool>().prop_map(Event::Save),
        1 => any::<u8>().prop_map(Event::SaveFiles),
        1 => any::<u8>().prop_map(Event::SaveWork),
        1 => any::<bool>().prop_map(Event::Front),
        1 => Just(Event::Prune),
    ]
}

fn befall(world: &mut World, draft: &mut Draft, event: &Event) {
    let service = |world: &World, place: &Index| {
        let containers = &world.containers;
        (!containers.is_empty()).then(|| place.get(containers).seen.service.to_string())
    };
    match event {
        Event::Edit(place, shape) => {
            let place = place.index(draft.shapes.len());
            draft.shapes[place] = shape.clone();
        }
        Event::ShiftPorts(ports) => draft.ports = *ports,
        Event::EditNetwork(edit) => draft.network = *edit,
        Event::Find(place, state) => {
            if let Some(service) = service(world, place) {
                world.set_state(&service, *state);
            }
        }
        Event::Lose(place) => {
            if let Some(service) = service(world, place) {
                world.lose(&service);
            }
        }
        Event::LoseImage(place) => {
            let images: Vec<_> = world.images.keys().cloned().collect();
            let image = place.get(&images).as_str().to_owned();
            if image.starts_with("built") {
                world.stale_build(&image, "missing", true);
                world.set_image(&image, Availability::Unavailable(vec!["not built yet".to_owned()]));
            } else {
                world.set_image(&image, Availability::Obtainable(Source::Registry));
            }
        }
        Event::Save(changes) => {
            let images: Vec<String> = world.images.keys().map(|image| image.as_str().to_owned()).collect();
            for image in images.into_iter().filter(|image| image.starts_with("built")) {
                // One that is not there is due already, and will change something.
                if matches!(world.images[&super::image(&image)], Availability::Present { .. }) {
                    world.stale_build(&image, "sources changed", *changes);
                }
            }
        }
        Event::SaveFiles(edit) => {
            for files in world.files.values_mut() {
                *files = format!("files {edit}");
            }
        }
        Event::SaveWork(edit) => {
            for work in world.repeats.values_mut() {
                *work = format!("work {edit}");
            }
        }
        Event::Front(fronted) => draft.fronted = *fronted,
        Event::Prune => world.prune(),
    }
    let files = world.files.clone();
    world.adopt(draft.stack());
    for (service, digest) in &mut world.files {
        if let Some(kept) = files.get(service) {
            digest.clone_from(kept);
        }
    }
}

/// Every need points to an earlier step.
fn needs_come_first(plan: &Plan) {
    for (step, number) in plan.steps.iter().zip(1..) {
        for need in &step.needs {
            assert!((1..number).contains(&need.step.0), "step {number} needs {}\n{plan}", need.step.0);
        }
    }
}

/// One thing that befalls, and how the runs after it go.
#[derive(Debug, Clone)]
struct Chapter {
    event: Event,
    /// After how much of its plan each run is killed, before the one that is not.
    killed: Vec<Index>,
    fails: Option<Index>,
    turns: Vec<u8>,
}

fn chapters() -> impl Strategy<Value = Chapter> {
    (
        befalling(),
        prop::collection::vec(any::<Index>(), 0..3),
        prop::option::weighted(0.2, any::<Index>()),
        prop::collection::vec(0u8..4, 0..5),
    )
        .prop_map(|(event, killed, fails, turns)| Chapter { event, killed, fails, turns })
}

/// Brings the world up, through what fortune has in store, and holds what must hold.
fn mend(world: &mut World, chapter: &Chapter) {
    for killed in &chapter.killed {
        let plan = world.plan();
        needs_come_first(&plan);
        let fortune = Fortune {
            turns: chapter.turns.clone(),
            killed_after: Some(killed.index(plan.steps.len() + 1)),
            fails: None,
        };
        world.run(&plan, &fortune);
    }
    if let Some(fails) = chapter.fails {
        let plan = world.plan();
        let fails = Some(fails.index(plan.steps.len() + 1));
        world.run(&plan, &Fortune { turns: chapter.turns.clone(), killed_after: None, fails });
    }
    let plan = world.plan();
    needs_come_first(&plan);
    let report = world.run(&plan, &Fortune { turns: chapter.turns.clone(), ..Fortune::default() });
    assert!(report.failures.is_empty(), "{:#?}\nof\n{plan}", report.failures);
    let next = world.plan();
    assert!(next.is_empty(), "{next}\nafter\n{plan}");
    assert_eq!(world.faults(world.stack.services.keys()), [""; 0], "after\n{plan}");
}

proptest! {
    // A fixed seed: a run for which nobody changed anything cannot turn red.
    #![proptest_config(ProptestConfig {
        cases: 64,
        rng_seed: RngSeed::Fixed(4),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn whatever_befalls_a_stack_the_next_run_mends_it(
        mut draft in drafts(),
        chapters in prop::collection::vec(chapters(), 1..6),
    ) {
        let mut world = World::new(draft.stack());
        world.bring_up();
        for chapter in &chapters {
            befall(&mut world, &mut draft, &chapter.event);
            mend(&mut world, chapter);
        }
    }

    #[test]
    fn a_kill_after_any_step_is_mended_by_the_next_run(mut draft in drafts(), event in befalling()) {
        let mut world = World::new(draft.stack());
        world.bring_up();
        befall(&mut world, &mut draft, &event);
        let plan = world.plan();
        for ended in 0..plan.steps.len() {
            let mut halfway = world.clone();
            halfway.run(&plan, &Fortune { killed_after: Some(ended), ..Fortune::default() });
            halfway.bring_up();
            prop_assert_eq!(halfway.faults(halfway.stack.services.keys()), [""; 0], "killed after {} of\n{}", ended, plan);
        }
    }
}
