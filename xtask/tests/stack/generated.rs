//! Stacks nobody wrote. Each is printed in a random mixture of the specification's syntaxes, and must come back from
//! that text unchanged: from our parser, and from what `docker compose config` makes of it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::collection::{btree_map, btree_set, vec};
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use xtask::stack::{
    Build, Condition, HealthCheck, Homeport, ImageReference, Limits, Mount, MountSource, Network,
    NetworkName, Port, Probe, ProjectName, Protocol, Restart, Service, ServiceName, Stack, Ulimit, Volume,
    VolumeName,
};

use crate::differential::{compare, parse, plugin};
use crate::printing::print;
use crate::tree::Style;

/// Where the generated files are said to be; nothing is there.
const DIRECTORY: &str = "/somewhere/project";

const SERVICES: &[&str] = &["cache.1", "db", "job_x", "web"];
const NETWORKS: &[&str] = &["back.1", "default", "front"];
const VOLUMES: &[&str] = &["V-2", "data", "more.data_1"];

/// Any text a YAML file can hold, with what the syntaxes treat specially more often than chance would have it.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z][a-z0-9./-]{0,8}",
        "[ -~\n\té€😀]{0,12}",
        "[$#:'\"{}\\[\\],&*!|>% 0-9a-z=;-]{0,8}",
        select(vec![
            "true", "null", "~", "1.0", "0x1F", "$HOME", "${A:-b}", "$$", "yes", "-", "1e3", "a: b", "a #b",
            " a ", "",
        ])
        .prop_map(str::to_owned)
    ]
}

/// [`text`] that is not empty.
fn filled() -> impl Strategy<Value = String> {
    text().prop_map(|text| if text.is_empty() { "x".to_owned() } else { text })
}

/// A signal, in the ways that it may be written.
fn signal() -> impl Strategy<Value = String> {
    select(vec!["SIGTERM", "hup", "USR1", "9", "SIGRTMIN+3"]).prop_map(str::to_owned)
}

fn name() -> impl Strategy<Value = String> {
    "[A-Za-z_][A-Za-z0-9_.]{0,6}"
}

fn texts() -> impl Strategy<Value = BTreeMap<String, String>> {
    btree_map(name(), text(), 0..3)
}

/// A path without `.` and `..`, as the parser leaves it.
fn path() -> impl Strategy<Value = PathBuf> {
    prop_oneof![
        "(/[a-z .]{1,4}[a-z]){1,3}".prop_map(PathBuf::from),
        "[a-z][a-z ]{0,3}[a-z]".prop_map(|name| Path::new(DIRECTORY).join(name)),
        Just(PathBuf::from(DIRECTORY)),
        Just(PathBuf::from("/somewhere/beside")),
    ]
}

fn duration() -> impl Strategy<Value = Duration> {
    prop_oneof![
        (1_u64..100_000).prop_map(Duration::from_secs),
        (1_u64..100_000).prop_map(Duration::from_millis),
        (1_u64..u64::from(u32::MAX)).prop_map(Duration::from_nanos),
    ]
}

fn bytes() -> impl Strategy<Value = u64> {
    (1_u64..1 << 12, 0_u32..4).prop_map(|(count, power)| count << (10 * power))
}

fn build() -> impl Strategy<Value = Build> {
    let dockerfile = prop_oneof![
        Just("Dockerfile".to_owned()),
        Just("sub/Other".to_owned()),
        Just("/absolute/Dockerfile".to_owned()),
    ];
    (path(), dockerfile, texts(), of(filled())).prop_map(|(context, dockerfile, args, target)| {
        let dockerfile = context.join(dockerfile);
        Build { context, dockerfile, args, target }
    })
}

/// Ports whose published numbers are their own: `base` and the next ones.
fn ports(base: u16) -> impl Strategy<Value = Vec<Port>> {
    let host_ip = select(vec![None, Some("127.0.0.1"), Some("::1"), Some("0.0.0.0"), Some("fe80::1:2")]);
    let host_ip = host_ip.prop_map(|ip| ip.map(|ip| ip.parse::<IpAddr>().expect("an address")));
    let protocol = select(vec![Protocol::Tcp, Protocol::Udp]);
    vec((1..=u16::MAX, any::<bool>(), host_ip, protocol), 0..4).prop_map(move |ports| {
        let port = |(index, (target, published, host_ip, protocol)): (u16, _)| Port {
            target,
            published: if published { Some(base + index) } else { None },
            host_ip,
            protocol,
        };
        (0..).zip(ports).map(port).collect::<BTreeSet<Port>>().into_iter().collect()
    })
}

fn mounts() -> impl Strategy<Value = Vec<Mount>> {
    let source = prop_oneof![
        path().prop_map(MountSource::Bind),
        select(VOLUMES).prop_map(|name| MountSource::Volume(VolumeName::new(name))),
        (of(bytes()), of(1_u32..0o7777)).prop_map(|(size, mode)| MountSource::Tmpfs { size, mode }),
    ];
    let mounts = btree_map("(/[a-z ]{1,3}[a-z]){1,2}", (any::<bool>(), source), 0..4);
    mounts.prop_map(|mounts| {
        let mount = |(target, (read_only, source))| Mount { target, read_only, source };
        mounts.into_iter().map(mount).collect()
    })
}

fn healthcheck() -> impl Strategy<Value = HealthCheck> {
    let probe = prop_oneof![
        Just(Probe::Disabled),
        (filled(), vec(text(), 0..3))
            .prop_map(|(program, rest)| Probe::Command([program].into_iter().chain(rest).collect())),
        filled().prop_map(Probe::Shell),
    ];
    let start_period = prop_oneof![Just(Duration::ZERO), duration()];
    (probe, duration(), duration(), 1_u32..100, start_period).prop_map(
        |(test, interval, timeout, retries, start_period)| match test {
            Probe::Disabled => HealthCheck {
                test,
                interval: Duration::from_secs(30),
                timeout: Duration::from_secs(30),
                retries: 3,
                start_period: Duration::ZERO,
            },
            test => HealthCheck { test, interval, timeout, retries, start_period },
        },
    )
}

fn limits() -> impl Strategy<Value = Limits> {
    // Thousandths of a processor: what 32 bits of floating point hold exactly enough to print.
    let cpus = (1_u64..64_000).prop_map(|thousandths| thousandths * 1_000_000);
    (of(cpus), of(bytes()), of(1_u64..1 << 31), of(bytes())).prop_map(
        |(nano_cpus, memory, pids, memory_reservation)| Limits {
            nano_cpus,
            memory,
            pids,
            memory_reservation,
        },
    )
}

fn ulimit() -> impl Strategy<Value = Ulimit> {
    (-1_i64..100, 0_i64..100).prop_map(|(soft, more)| Ulimit { soft, hard: soft.max(0) + more })
}

fn restart() -> impl Strategy<Value = Restart> {
    prop_oneof![
        Just(Restart::No),
        Just(Restart::Always),
        Just(Restart::UnlessStopped),
        of(1_u32..100).prop_map(Restart::OnFailure),
    ]
}

fn homeport() -> impl Strategy<Value = Homeport> {
    (any::<bool>(), of(filled()), of(1..1_u64 << 40), of(filled()), of(text()), of(text()), of(signal()))
        .prop_map(|(optional, package, max_size, recipe, url_path, ready_path, reload)| {
            let [url_path, ready_path] =
                [url_path, ready_path].map(|path| path.map(|path| format!("/{path}")));
            Homeport {
                optional,
                package,
                max_size,
                recipe,
                url_path,
                ready_path,
                reload,
                ..Homeport::default()
            }
        })
}

fn networks() -> impl Strategy<Value = BTreeMap<NetworkName, BTreeSet<String>>> {
    btree_map(select(NETWORKS).prop_map(NetworkName::new), btree_set(name(), 0..3), 1..3)
}

/// The service at `index` of [`SERVICES`]; it may depend on those before it.
fn service(index: usize) -> impl Strategy<Value = Service> {
    let base = 10_000 + 100 * u16::try_from(index).expect("a few services");
    let condition = select(vec![Condition::Started, Condition::Healthy, Condition::Completed]);
    let depends_on = subsequence(&SERVICES[..index], 0..=index).prop_flat_map(move |names| {
        let conditions = vec(condition.clone(), names.len());
        conditions.prop_map(move |conditions| {
            names.iter().map(|name| ServiceName::new(*name)).zip(conditions).collect::<BTreeMap<_, _>>()
        })
    });
    let image = select(vec![
        "postgres:17",
        "registry.example:5000/team/app:Tag",
        "app@sha256:0123456789abcdef",
        "a/b",
    ]);
    let run = (image, of(build()), of(vec(text(), 0..4)), of(vec(text(), 0..3)), texts());
    let attached = (ports(base), mounts(), networks(), depends_on, of(healthcheck()), restart());
    let process = (of(filled()), of(filled()), of(filled()), any::<bool>(), any::<bool>(), of(signal()));
    let secured = (btree_set(name(), 0..3), btree_set(name(), 0..3), btree_set(filled(), 0..3), limits());
    let rest = (of(bytes()), texts(), btree_map(name(), ulimit(), 0..3), duration(), texts(), homeport());
    (run, attached, process, secured, rest).prop_map(|(run, attached, process, secured, rest)| {
        let (image, build, command, entrypoint, environment) = run;
        let (ports, mounts, networks, depends_on, healthcheck, restart) = attached;
        let (user, working_dir, hostname, read_only, init, stop_signal) = process;
        let (cap_add, cap_drop, security_opt, limits) = secured;
        let (shm_size, sysctls, ulimits, stop_grace_period, labels, homeport) = rest;
        Service {
            image: ImageReference::new(image),
            build,
            command,
            entrypoint,
            environment,
            fronts: Vec::new(),
            ports,
            mounts,
            networks,
            depends_on,
            healthcheck,
            restart,
            user,
            working_dir,
            hostname,
            read_only,
            init,
            cap_add,
            cap_drop,
            security_opt: security_opt.into_iter().collect(),
            limits,
            shm_size,
            sysctls,
            ulimits,
            stop_signal,
            stop_grace_period,
            labels,
            homeport,
        }
    })
}

fn stack() -> impl Strategy<Value = Stack> {
    let services = (0..SERVICES.len()).map(service).collect::<Vec<_>>();
    let network = (of(filled()), texts(), any::<bool>())
        .prop_map(|(driver, driver_opts, internal)| Network { driver, driver_opts, internal });
    let volume = (of(filled()), texts()).prop_map(|(driver, driver_opts)| Volume { driver, driver_opts });
    let declared = (vec(network, NETWORKS.len()), vec(volume, VOLUMES.len()));
    ("[a-z0-9][a-z0-9_-]{0,8}", 1..=SERVICES.len(), services, declared).prop_map(
        |(project, count, services, (networks, volumes))| {
            let services: BTreeMap<_, _> =
                SERVICES.iter().map(|name| ServiceName::new(*name)).zip(services).take(count).collect();
            // A parsed stack has what its services use, and nothing else.
            let joined =
                |name: &NetworkName| services.values().any(|service| service.networks.contains_key(name));
            let mounted = |name: &VolumeName| {
                let source = MountSource::Volume(name.clone());
                services.values().any(|service| service.mounts.iter().any(|mount| mount.source == source))
            };
            let networks = NETWORKS.iter().map(|name| NetworkName::new(*name)).zip(networks);
            let volumes = VOLUMES.iter().map(|name| VolumeName::new(*name)).zip(volumes);
            Stack {
                project: ProjectName::new(project),
                networks: networks.filter(|(name, _)| joined(name)).collect(),
                volumes: volumes.filter(|(name, _)| mounted(name)).collect(),
                services,
            }
        },
    )
}

/// Prints the stack in a style, and gives the text.
fn printed(stack: &Stack, choices: &[u8]) -> String {
    print(stack, Path::new(DIRECTORY), &Style::new(choices))
}

proptest! {
    #[test]
    fn what_is_printed_in_any_syntax_is_parsed_unchanged(stack in stack(), choices in vec(any::<u8>(), 1..64)) {
        let text = printed(&stack, &choices);
        let parsed = parse(&text, Path::new(DIRECTORY), &BTreeMap::new());
        let parsed = parsed.map_err(|error| TestCaseError::fail(format!("{error}\n{text}")))?;
        prop_assert_eq!(&parsed.stack, &stack, "{}", text);
        prop_assert_eq!(parsed.warnings, vec![], "{}", text);
    }
}

/// Stacks that Compose is asked about in one run, unless `PROPTEST_CASES` says otherwise: each costs two starts of it,
/// some 200 ms together.
const ASKED: u32 = 24;

#[test]
fn compose_reads_what_is_printed_as_we_do() {
    if !plugin() {
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let default = Config::default();
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { default.cases } else { ASKED };
    let config = Config { cases, max_shrink_iters: 100, failure_persistence: None, ..default };
    let asked = TestRunner::new(config).run(&(stack(), vec(any::<u8>(), 1..64)), |(stack, choices)| {
        let text = printed(&stack, &choices);
        compare(&text, directory.path(), &BTreeMap::new())
            .map_err(|difference| TestCaseError::fail(format!("{text}\n{difference}")))
    });
    if let Err(error) = asked {
        panic!("{error}");
    }
}
