//! Facts and what they are judged as: a sound machine, then one thing after the other gone.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use super::super::facts::{
    Clock, Compiler, Disk, DiskUse, EngineSeen, Facts, ImagesSeen, Inotify, Memory, PortSeen, PortState,
    Reach, Tool,
};
use super::super::platform::{Distribution, Os, Platform};
use super::super::ports::Holder;
use super::super::{Need, Status, failure};
use super::judge;
use crate::images::{Availability, Catalogue, Needed, Source};
use crate::stack::ImageReference;

fn platform(os: Os, root: bool) -> Platform {
    Platform {
        os,
        name: "a system".to_owned(),
        distribution: Distribution::Other,
        root,
        sudo: false,
        systemd: false,
    }
}

/// A machine on which everything is as it should be.
fn sound() -> Facts {
    let port = |port, service: &str, state| PortSeen { port, service: service.to_owned(), state };
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_547_660);
    let answers = |address: &str| Reach::Answers { address: address.to_owned() };
    Facts {
        platform: platform(Os::Debian, true),
        rust: Tool::Version("rustc 1.95.0 (59807616e 2026-04-14)".to_owned()),
        oldest_rust: "1.89".to_owned(),
        compiler: Compiler::Works,
        engine: EngineSeen::Answers {
            version: "28.0.1".to_owned(),
            api: "1.48".to_owned(),
            system: "Debian GNU/Linux 13 (trixie)".to_owned(),
            elsewhere: None,
        },
        disks: vec![
            Disk { used_for: DiskUse::Engine, path: PathBuf::from("/var/lib/docker"), free: 67_000_000_000 },
            Disk {
                used_for: DiskUse::Build,
                path: PathBuf::from("/home/me/homeport/target"),
                free: 20_000_000_000,
            },
        ],
        memory: Some(Memory { total: 16_000_000_000, available: Some(9_000_000_000) }),
        ports: vec![port(8000, "service", PortState::Free), port(5432, "postgres", PortState::Ours)],
        kind: Tool::Version("kind v0.31.0 go1.25.5 linux/amd64".to_owned()),
        kind_is_packaged: true,
        docker_cli: Tool::Version("Docker version 28.0.1, build 068a01e".to_owned()),
        docker_cli_is_packaged: true,
        compose: Tool::Version("2.40.3".to_owned()),
        cgroup_version: Some(2),
        inotify: Some(Inotify { watches: 192_536, instances: 128 }),
        mirror: answers("http://deb.debian.org/debian"),
        registry: answers("registry-1.docker.io"),
        images: known(&[], false),
        mmdebstrap: Tool::Missing,
        docker_registry: None,
        browser: Tool::Version("Chromium 154.0.7000.1 built on Debian GNU/Linux 13 (trixie)".to_owned()),
        in_ci: false,
        cargo_deny: Tool::Version("cargo-deny 0.20.2".to_owned()),
        actionlint: Tool::Version("1.7.7".to_owned()),
        go: Tool::Version("go version go1.24.4 linux/amd64".to_owned()),
        hadolint: Tool::Version("Haskell Dockerfile Linter 2.15.1".to_owned()),
        pip: Tool::Version("pip 25.1".to_owned()),
        clock: Clock { now, others: vec![("deb.debian.org".to_owned(), now - Duration::from_secs(2))] },
    }
}

fn known(absent: &[&str], bootstrap: bool) -> ImagesSeen {
    ImagesSeen::Known { absent: absent.iter().map(|&image| image.to_owned()).collect(), bootstrap }
}

/// Every finding that is not as it should be, or is new, as text.
fn told(facts: &Facts) -> String {
    let mut text = String::new();
    for finding in judge(facts).iter().filter(|finding| finding.status != Status::Ok) {
        let needed: Vec<&str> = finding.needed_for.iter().map(|need| need.as_str()).collect();
        let (status, check, seen) = (finding.status.as_str(), finding.check, &finding.seen);
        let _ = writeln!(text, "  {status} {check}: {seen} [{}]", needed.join(" "));
        let _ = finding.meaning.iter().try_for_each(|meaning| writeln!(text, "    means: {meaning}"));
        if let Some(remedy) = &finding.remedy {
            let _ = remedy.commands.iter().try_for_each(|command| writeln!(text, "    run: {command}"));
            let _ = remedy.mend.iter().try_for_each(|mend| writeln!(text, "    --fix: {mend:?}"));
        }
    }
    text
}

/// A change of a sound machine.
type Change = fn(&mut Facts);

fn silent(forbidden: bool, own: bool, installed: bool) -> EngineSeen {
    EngineSeen::Silent { message: "cannot reach the container engine".to_owned(), forbidden, own, installed }
}

fn no_reach(address: &str) -> Reach {
    Reach::Silent { address: address.to_owned(), seen: "no answer within 4 s".to_owned() }
}

const PROGRAMS: &[(&str, Change)] = &[
    ("no Rust", |facts| facts.rust = Tool::Missing),
    ("a broken Rust", |facts| facts.rust = Tool::Broken("error: no default toolchain".to_owned())),
    ("an old Rust", |facts| facts.rust = Tool::Version("rustc 1.88.0 (6b00bc388 2025-06-23)".to_owned())),
    ("no compiler", |facts| facts.compiler = Compiler::Missing),
    ("no compiler, macOS", |facts| {
        facts.platform = platform(Os::MacOs, false);
        facts.compiler = Compiler::Missing;
    }),
    ("no static libraries, no root", |facts| {
        facts.platform = platform(Os::Debian, false);
        facts.compiler = Compiler::OnlyShared("cannot find -lc".to_owned());
    }),
    ("a broken compiler", |facts| facts.compiler = Compiler::Broken("cannot find Scrt1.o".to_owned())),
    ("no kind", |facts| facts.kind = Tool::Missing),
    ("no kind, and no package of it", |facts| {
        facts.kind = Tool::Missing;
        facts.kind_is_packaged = false;
    }),
    ("no kind, macOS", |facts| {
        facts.platform = platform(Os::MacOs, false);
        facts.kind = Tool::Missing;
    }),
    ("no kind, another Linux", |facts| {
        facts.platform = platform(Os::Linux, true);
        facts.kind = Tool::Broken("exec format error".to_owned());
    }),
    ("no docker command", |facts| facts.docker_cli = Tool::Missing),
    ("no docker command, and no package of it alone", |facts| {
        facts.docker_cli = Tool::Missing;
        facts.docker_cli_is_packaged = false;
    }),
    ("no browser", |facts| facts.browser = Tool::Missing),
    ("no browser, macOS", |facts| {
        facts.platform = platform(Os::MacOs, false);
        facts.browser = Tool::Missing;
    }),
    ("no browser, Ubuntu", |facts| {
        facts.platform.distribution = Distribution::Ubuntu;
        facts.browser = Tool::Missing;
    }),
    ("a broken browser in CI", |facts| {
        facts.browser = Tool::Broken("libnss3.so: cannot open shared object file".to_owned());
        facts.in_ci = true;
    }),
    ("no Compose", |facts| facts.compose = Tool::Missing),
];

const ENGINE: &[(&str, Change)] = &[
    ("no engine", |facts| facts.engine = silent(false, true, false)),
    ("an engine that sleeps", |facts| facts.engine = silent(false, true, true)),
    ("an engine that sleeps, systemd, sudo", |facts| {
        facts.platform = Platform { sudo: true, systemd: true, ..platform(Os::Debian, false) };
        facts.engine = silent(false, true, true);
    }),
    ("an engine that is forbidden", |facts| facts.engine = silent(true, true, true)),
    ("an engine elsewhere", |facts| facts.engine = silent(false, false, true)),
    ("an engine of another machine", |facts| {
        let EngineSeen::Answers { elsewhere, .. } = &mut facts.engine else { unreachable!("it is sound") };
        *elsewhere = Some(("it is on another machine".to_owned(), "unset DOCKER_HOST".to_owned()));
    }),
    ("no engine, macOS", |facts| {
        facts.platform = platform(Os::MacOs, false);
        facts.engine = silent(false, false, false);
    }),
    ("an engine that sleeps, macOS", |facts| {
        facts.platform = platform(Os::MacOs, false);
        facts.engine = silent(false, false, true);
    }),
    ("no engine, another Linux", |facts| {
        facts.platform = platform(Os::Linux, true);
        facts.engine = silent(false, true, false);
    }),
    ("an old engine", |facts| {
        let (message, hint) = ("it speaks API 1.40".to_owned(), "install Docker 20.10 or later".to_owned());
        facts.engine = EngineSeen::WrongVersion { message, hint };
    }),
    ("a context that is gone", |facts| {
        let (message, hint) = ("no context \"x\"".to_owned(), "docker context ls".to_owned());
        facts.engine = EngineSeen::Misconfigured { message, hint };
    }),
    ("old control groups", |facts| facts.cgroup_version = Some(1)),
];

const RESOURCES: &[(&str, Change)] = &[
    ("little room", |facts| facts.disks[0].free = 9_000_000_000),
    ("no room", |facts| facts.disks.iter_mut().for_each(|disk| disk.free = 2_900_000_000)),
    ("little memory", |facts| facts.memory = Some(Memory { total: 3_000_000_000, available: None })),
    ("too little memory", |facts| facts.memory = Some(Memory { total: 1_000_000_000, available: None })),
    ("memory in use", |facts| {
        facts.memory = Some(Memory { total: 8_000_000_000, available: Some(500_000_000) });
    }),
    ("a port in other hands", |facts| {
        facts.ports[0].state =
            PortState::Taken(Some(Holder::Process { name: "python3".to_owned(), pid: 4242 }));
    }),
    ("a port in hands we do not see", |facts| facts.ports[1].state = PortState::Taken(None)),
    ("a port that is refused", |facts| {
        facts.ports[0].state = PortState::Refused("Permission denied (os error 13)".to_owned());
    }),
    ("few watches", |facts| facts.inotify = Some(Inotify { watches: 8_192, instances: 128 })),
];

const NETWORK: &[(&str, Change)] = &[
    ("no registry, all images there", |facts| facts.registry = no_reach("registry-1.docker.io")),
    ("no registry, the base absent", |facts| {
        facts.registry = no_reach("registry-1.docker.io");
        facts.images = known(&["postgres:17", "debian:trixie-slim"], true);
    }),
    ("no registry, no engine", |facts| {
        facts.registry = no_reach("registry-1.docker.io");
        facts.images = ImagesSeen::Unknown;
    }),
    ("no registry, an image absent, the base there", |facts| {
        facts.registry = no_reach("registry-1.docker.io");
        facts.images = known(&["postgres:17"], false);
    }),
    ("no network, images absent", |facts| {
        facts.mirror = no_reach("http://deb.debian.org/debian");
        facts.registry = no_reach("registry-1.docker.io");
        facts.mmdebstrap = Tool::Version("mmdebstrap 1.5.6".to_owned());
        facts.images = known(&["postgres:17", "redis:8"], false);
    }),
    ("no mirror", |facts| facts.mirror = no_reach("http://deb.debian.org/debian")),
    ("nothing asked", |facts| {
        facts.mirror = Reach::NotAsked;
        facts.registry = Reach::NotAsked;
    }),
    ("a clock that was never set", |facts| facts.clock.now = SystemTime::UNIX_EPOCH),
    ("a clock that is late", |facts| facts.clock.now -= Duration::from_secs(3_725)),
    ("a clock that nobody confirms", |facts| facts.clock.others.clear()),
];

fn table(changes: &[(&str, Change)]) -> String {
    changes.iter().fold(String::new(), |mut text, (name, change)| {
        let mut facts = sound();
        change(&mut facts);
        let _ = write!(text, "{name}\n{}", told(&facts));
        text
    })
}

fn snapshot(name: &str, text: &str) {
    insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!(name, text);
    });
}

#[test]
fn nothing_is_wrong_with_a_sound_machine() {
    assert_eq!(told(&sound()), "");
    assert_eq!(failure(&judge(&sound())), None);
}

#[test]
fn programs() {
    snapshot("programs", &table(PROGRAMS));
}

#[test]
fn engine() {
    snapshot("engine", &table(ENGINE));
}

#[test]
fn resources() {
    snapshot("resources", &table(RESOURCES));
}

#[test]
fn network() {
    snapshot("network", &table(NETWORK));
}

/// Only what a command needs is told to it.
#[test]
fn findings_are_chosen_by_the_commands_that_need_them() {
    let mut facts = sound();
    facts.kind = Tool::Missing;
    facts.ports[0].state = PortState::Taken(None);
    let missing = |needs: &[Need]| {
        let findings =
            judge(&facts).into_iter().filter(|finding| finding.matters_for(needs)).collect::<Vec<_>>();
        failure(&findings).map(|failure| (failure.code.as_str(), failure.message))
    };
    let ready = "this machine is not ready:";
    assert_eq!(missing(&[Need::Test]), None);
    assert_eq!(missing(&[Need::Dev]), Some(("port-taken", format!("{ready} port 8000"))));
    assert_eq!(missing(&[Need::DeployKind]), Some(("machine-unready", format!("{ready} kind"))));
    assert_eq!(missing(Need::BY_DEFAULT), Some(("machine-unready", format!("{ready} port 8000, kind"))));
    // What no command needs is told when everything is asked about.
    let compose =
        |needs: &[Need]| judge(&facts).iter().any(|f| f.needed_for.is_empty() && f.matters_for(needs));
    assert!(compose(Need::BY_DEFAULT) && !compose(&[Need::Dev]));
}

/// A survey says what is absent and whether mmdebstrap is needed; what cargo builds is not asked of any source.
#[test]
fn a_survey_is_read() {
    let present =
        || Availability::Present { id: "sha256:1".to_owned(), origin: "recipe".to_owned(), stale: None };
    let needed =
        |name: &str, built_here| Needed { reference: ImageReference::new(name), recipe: None, built_here };
    let images = [needed("redis:8", false), needed("grafana:12", false), needed("service:dev", true)];
    let mut catalogue = Catalogue::from([
        (ImageReference::new("redis:8"), present()),
        (ImageReference::new("grafana:12"), Availability::Unavailable(Vec::new())),
        (ImageReference::new("service:dev"), Availability::Unavailable(Vec::new())),
    ]);
    assert_eq!(ImagesSeen::read(&catalogue, &images), known(&["grafana:12"], false));
    let base = Availability::Obtainable(Source::Bootstrap(PathBuf::from("debian")));
    catalogue.insert(ImageReference::new("debian:trixie-slim"), base);
    assert_eq!(ImagesSeen::read(&catalogue, &images), known(&["debian:trixie-slim", "grafana:12"], true));
}
