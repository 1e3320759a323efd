//! What a text means, where no other tool can be asked: values, and pairs of texts that must mean the same.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::interpolation::substitute;
use super::super::{
    Build, Condition, HealthCheck, Homeport, ImageReference, Limits, Mount, MountSource, Port, Probe,
    Protocol, Restart, Service, ServiceName, Source, Stack, Ulimit, VolumeName, chosen_project, hex, parse,
};
use super::{faults, read, service};

fn stack(text: &str) -> Stack {
    read(text).unwrap_or_else(|error| panic!("{error}")).stack
}

/// The service `web` with further keys.
fn web(keys: &str) -> Service {
    stack(&service(keys)).services.remove(&ServiceName::new("web")).expect("the service")
}

#[test]
fn nothing_said_means_the_specifications_defaults() {
    let web = web("");
    let expected = Service {
        image: super::super::ImageReference::new("image"),
        build: None,
        command: None,
        entrypoint: None,
        environment: [].into(),
        ports: vec![],
        fronts: Vec::new(),
        mounts: vec![],
        networks: [(super::super::NetworkName::new("default"), [].into())].into(),
        depends_on: [].into(),
        healthcheck: None,
        restart: Restart::No,
        user: None,
        working_dir: None,
        hostname: None,
        read_only: false,
        init: false,
        cap_add: [].into(),
        cap_drop: [].into(),
        security_opt: vec![],
        limits: Limits::default(),
        shm_size: None,
        sysctls: [].into(),
        ulimits: [].into(),
        stop_signal: None,
        stop_grace_period: Duration::from_secs(10),
        labels: [].into(),
        homeport: Homeport::default(),
    };
    assert_eq!(web, expected);
}

#[test]
fn each_key_arrives_in_its_field() {
    let web = web("build: {context: ./ctx, dockerfile: D, args: [A=1, SET, NOPE], target: t}\n\
        command: a 'b c'\n\
        entrypoint: [sh, -c]\n\
        env_file: some.env\n\
        environment: {A: own, C: 1.50, SET: , NOPE: }\n\
        ports: ['127.0.0.1:8000-8001:80-81/udp', 9]\n\
        volumes: ['./b:/b:ro', 'data:/c']\n\
        tmpfs: '/a:size=1m,mode=755'\n\
        networks: {default: {aliases: [z, y]}}\n\
        healthcheck: {test: [CMD, p], interval: 1s, timeout: 2s, retries: 4, start_period: 1m5s}\n\
        restart: on-failure:5\n\
        user: '1:2'\n\
        working_dir: /w\n\
        hostname: h\n\
        read_only: true\n\
        init: true\n\
        cap_add: [B, A]\n\
        cap_drop: [ALL]\n\
        security_opt: [b, a]\n\
        cpus: 0.5\n\
        mem_limit: 1m\n\
        mem_reservation: 1k\n\
        pids_limit: 7\n\
        shm_size: 2k\n\
        sysctls: [a.b=1]\n\
        ulimits: {nofile: {soft: 1, hard: 2}, core: 3}\n\
        stop_signal: SIGINT\n\
        stop_grace_period: 1500ms\n\
        labels: [l=v]\n\
        x-homeport: {optional: true, package: p, max_size: 14m, recipe: r, url_path: /u, ready_path: /r, reload: SIGHUP}");
    let text = |text: &str| Some(text.to_owned());
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let build = Build {
        context: PathBuf::from("/project/ctx"),
        dockerfile: PathBuf::from("/project/ctx/D"),
        args: [pair("A", "1"), pair("SET", "value")].into(),
        target: text("t"),
    };
    assert_eq!(web.build, Some(build));
    assert_eq!(web.command, Some(vec!["a".to_owned(), "b c".to_owned()]));
    assert_eq!(web.entrypoint, Some(vec!["sh".to_owned(), "-c".to_owned()]));
    assert_eq!(
        web.environment,
        [pair("A", "own"), pair("B", "value"), pair("C", "1.5"), pair("SET", "value")].into()
    );
    let host_ip = Some("127.0.0.1".parse().expect("an address"));
    let udp =
        |target, published| Port { target, published: Some(published), host_ip, protocol: Protocol::Udp };
    let any = Port { target: 9, published: None, host_ip: None, protocol: Protocol::Tcp };
    assert_eq!(web.ports, [any, udp(80, 8000), udp(81, 8001)]);
    let mount = |target: &str, read_only, source| Mount { target: target.to_owned(), read_only, source };
    let expected = [
        mount("/a", false, MountSource::Tmpfs { size: Some(1 << 20), mode: Some(0o755) }),
        mount("/b", true, MountSource::Bind(PathBuf::from("/project/b"))),
        mount("/c", false, MountSource::Volume(VolumeName::new("data"))),
    ];
    assert_eq!(web.mounts, expected);
    let aliases = web.networks.values().next().expect("a network");
    assert_eq!(aliases.iter().map(String::as_str).collect::<Vec<_>>(), ["y", "z"]);
    let healthcheck = HealthCheck {
        test: Probe::Command(vec!["p".to_owned()]),
        interval: Duration::from_secs(1),
        timeout: Duration::from_secs(2),
        retries: 4,
        start_period: Duration::from_secs(65),
    };
    assert_eq!(web.healthcheck, Some(healthcheck));
    assert_eq!(web.restart, Restart::OnFailure(Some(5)));
    assert_eq!([web.user, web.working_dir, web.hostname], [text("1:2"), text("/w"), text("h")]);
    assert!(web.read_only && web.init);
    assert_eq!(web.cap_add, ["A".to_owned(), "B".to_owned()].into());
    assert_eq!(web.cap_drop, ["ALL".to_owned()].into());
    assert_eq!(web.security_opt, ["b", "a"]);
    let limits = Limits {
        nano_cpus: Some(500_000_000),
        memory: Some(1 << 20),
        pids: Some(7),
        memory_reservation: Some(1 << 10),
    };
    assert_eq!(web.limits, limits);
    assert_eq!(web.shm_size, Some(2048));
    assert_eq!(web.sysctls, [pair("a.b", "1")].into());
    let ulimits = [
        ("core".to_owned(), Ulimit { soft: 3, hard: 3 }),
        ("nofile".to_owned(), Ulimit { soft: 1, hard: 2 }),
    ];
    assert_eq!(web.ulimits, ulimits.into());
    assert_eq!((web.stop_signal, web.stop_grace_period), (text("SIGINT"), Duration::from_millis(1500)));
    assert_eq!(web.labels, [pair("l", "v")].into());
    let homeport = Homeport {
        optional: true,
        package: text("p"),
        max_size: Some(14 << 20),
        recipe: text("r"),
        url_path: text("/u"),
        ready_path: text("/r"),
        reload: text("SIGHUP"),
        ..Homeport::default()
    };
    assert_eq!(web.homeport, homeport);
}

#[test]
fn what_checks_a_reload_is_a_program_with_arguments() {
    let web = web("x-homeport: {reload: SIGHUP, reload_check: [promtool, check]}");
    assert_eq!(web.homeport.reload_check, ["promtool", "check"]);
}

#[test]
fn what_is_read_at_the_first_start_only_is_none_of_what_a_service_runs_with() {
    let web = web("volumes: ['./a.sql:/a.sql:ro', './b:/b:ro']\nx-homeport: {first_start: [a.sql]}");
    assert_eq!(web.homeport.first_start, [PathBuf::from("/project/a.sql")]);
    assert_eq!(web.files_read().collect::<Vec<_>>(), [&PathBuf::from("/project/b")]);
}

#[test]
fn what_a_one_shot_is_repeated_for_is_seen_from_the_file() {
    let text = "services:\n  \
                once: {image: a, x-homeport: {repeat_for: [./rules, ../service/migrations/]}}\n  \
                web: {image: a, depends_on: {once: {condition: service_completed_successfully}}}\n";
    let stack = read(text).expect("a stack").stack;
    let paths = &stack.services[&ServiceName::new("once")].homeport.repeat_for;
    assert_eq!(*paths, [PathBuf::from("/project/rules"), PathBuf::from("/service/migrations")]);
    // Nobody waits for it: it does not end.
    let alone = "services:\n  web:\n    image: a\n    x-homeport:\n      repeat_for: [x]\n";
    assert_eq!(
        faults(alone),
        "5: services.web.x-homeport.repeat_for: only a one-shot is repeated, and no service waits for this one with \
         `condition: service_completed_successfully`\n"
    );
}

/// Keys of a service that mean the same, in pairs.
#[rustfmt::skip]
const SAME: &[(&str, &str)] = &[
    ("command: a b", "command: [a, b]"),
    ("environment: [A=1, B=, SET]", "environment: {A: 1, B: '', SET: value}"),
    ("environment: {A: true, B: 2}", "environment: {A: 'true', B: '2'}"),
    ("environment: {NOPE: }", "environment: {}"),
    ("env_file: some.env", "env_file: [{path: ./x/../some.env, required: true}]"),
    ("env_file: [some.env, {path: no.env, required: false}]", "env_file: some.env"),
    ("env_file: some.env\nenvironment: {A: }", "environment: {B: value}"),
    ("ports: ['80:80/tcp', 81]", "ports: [{target: 81}, {target: 80, published: 80}, '80:80']"),
    ("ports: ['10000-10127:10000-10127']", "ports: ['10000-10063:10000-10063', '10064-10127:10064-10127']"),
    ("ports: ['[::1]:80-81:90-91']", "ports: ['[0:0::1]:80:90', {target: 91, published: 81, host_ip: '::1'}]"),
    ("volumes: ['./a:/x/']", "volumes: [{type: bind, source: b/../a/, target: /x/.}]"),
    ("volumes: ['./a:/x:rw']", "volumes: ['./a:/x']"),
    ("volumes: ['./a:/x:ro,cached']", "volumes: ['./a:/x:ro']"),
    ("volumes: ['~/a:/x']", "volumes: ['/home/somebody/a:/x']"),
    ("volumes: ['data:/x:ro']", "volumes: [{type: volume, source: data, target: /x, read_only: true}]"),
    ("tmpfs: ['/x:size=1k,mode=1777', /y]", "volumes: [{type: tmpfs, target: /y}, {type: tmpfs, target: /x, tmpfs: {size: 1024, mode: 0o1777}}]"),
    ("tmpfs: ['/x:ro,size=0', '/y:ro,rw,size=1.']", "volumes: [{type: tmpfs, target: /x, read_only: true}, {type: tmpfs, target: /y, tmpfs: {size: 1}}]"),
    ("tmpfs: /x", "volumes: [{type: tmpfs, target: /x, tmpfs: {size: 0, mode: 0}}]"),
    ("shm_size: 0", ""),
    ("networks: [default]", "networks: {default: }"),
    ("networks: []", ""),
    ("healthcheck: {test: a}", "healthcheck: {test: [CMD-SHELL, a], interval: 30s, timeout: 30s, retries: 3, start_period: 0s}"),
    ("healthcheck: {test: a, interval: 0s, timeout: 0s, retries: 0}", "healthcheck: {test: a}"),
    ("read_only: 'Yes'\ninit: 'n'", "read_only: true\ninit: false"),
    ("healthcheck: {test: [NONE]}", "healthcheck: {disable: true, test: a, interval: 1s}"),
    ("healthcheck: {test: [NONE]}", "healthcheck: {disable: true}"),
    ("cpus: .5\nmem_limit: 1k\npids_limit: 5\nmem_reservation: 1", "deploy: {resources: {limits: {cpus: 0.50, memory: 1024b, pids: 5}, reservations: {memory: '1'}}}"),
    ("pids_limit: -1\nmem_limit: 0\ncpus: 0", "deploy: "),
    ("deploy: {resources: {limits: {cpus: '0', memory: '0', pids: 0}}}", "deploy: "),
    ("pids_limit: '5'", "pids_limit: 5"),
    ("ulimits: {nofile: 5}", "ulimits: {nofile: {soft: 5, hard: 5}}"),
    ("ulimits: {nofile: {soft: 0}}", "ulimits: {nofile: 0}"),
    ("restart: on-failure", "restart: on-failure:0"),
    ("restart: 'no'", ""),
    ("labels: [a, b=1, b=2.0]", "labels: {a: , b: '2.0'}"),
    ("user: ''", ""),
    ("stop_grace_period: 10s", ""),
    ("x-other: {homeport: 1}", ""),
    ("build: ./a", "build: {context: a, dockerfile: b/../Dockerfile}"),
    ("build: {}", "build: ."),
];

#[test]
fn texts_that_mean_the_same_give_equal_stacks() {
    for (one, other) in SAME {
        assert_eq!(stack(&service(one)), stack(&service(other)), "{one}\n{other}");
    }
}

#[test]
fn what_no_service_uses_is_left_out() {
    let text = "services: {web: {image: i, networks: [used], volumes: ['used:/x']}}\n\
        networks: {used: {internal: true}, unused: }\n\
        volumes: {used: {driver: local}, unused: }\n";
    let stack = stack(text);
    assert_eq!(stack.networks.keys().map(ToString::to_string).collect::<Vec<_>>(), ["used"]);
    assert_eq!(stack.volumes.keys().map(ToString::to_string).collect::<Vec<_>>(), ["used"]);
    assert!(stack.networks.values().all(|network| network.internal));
}

#[test]
fn what_a_driver_is_told_is_text_or_a_number() {
    let text = "services: {web: {image: i, volumes: ['data:/x']}}\n\
        volumes: {data: {driver_opts: {type: nfs, version: 4, share: 0.5}}}\n";
    let stack = stack(text);
    let told = &stack.volumes[&VolumeName::new("data")].driver_opts;
    let told: Vec<(&str, &str)> = told.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(told, [("share", "0.5"), ("type", "nfs"), ("version", "4")]);
}

#[test]
fn a_project_is_named_by_lower_case_letters_and_digits() {
    for (name, valid) in
        [("a-b_1", true), ("1", true), ("", false), ("-a", false), ("a b", false), ("aB", false)]
    {
        assert_eq!(chosen_project(name).is_some_and(|project| project.as_str() == name), valid, "{name:?}");
    }
}

#[test]
fn a_configuration_is_known_by_its_hash() {
    let hash = |keys: &str| web(keys).config_hash();
    let plain = hash("");
    assert!(plain.len() == 64 && plain.bytes().all(|byte| b"0123456789abcdef".contains(&byte)), "{plain}");
    // A container need not be made anew for these.
    for keys in ["build: .", "stop_grace_period: 1s", "x-homeport: {package: p}", "networks: [default]"] {
        assert_eq!(hash(keys), plain, "{keys}");
    }
    for keys in ["init: true", "command: [a]", "ports: ['80']", "environment: {A: 1}", "user: a"] {
        assert_ne!(hash(keys), plain, "{keys}");
    }
    assert_eq!(hex(&[0, 0x0a, 0xff]), "000aff");
}

#[test]
fn what_is_mounted_is_read_or_written() {
    let web = web("volumes: ['./a:/a:ro', './b:/b', 'data:/c', 'data:/d:ro']");
    assert_eq!(web.files_read().collect::<Vec<_>>(), [Path::new("/project/a")]);
    assert_eq!(web.files_written().collect::<Vec<_>>(), [Path::new("/project/b")]);
}

#[test]
fn a_published_port_is_reached_on_this_machine() {
    let table = [
        ("80:1", Some("127.0.0.1:80")),
        ("127.0.0.2:80:1", Some("127.0.0.2:80")),
        ("[::1]:80:1", Some("[::1]:80")),
        ("1", None),
    ];
    for (port, address) in table {
        let web = web(&format!("ports: ['{port}']"));
        assert_eq!(web.ports[0].address().as_deref(), address, "{port}");
    }
}

#[test]
fn a_host_and_a_tag_may_have_capitals() {
    for image in ["Registry.Example/team/web:V1", "Host:5000/web", "localhost/web", "team/web:V1"] {
        let stack = stack(&format!("services: {{web: {{image: '{image}'}}}}"));
        assert_eq!(stack.services[&ServiceName::new("web")].image.as_str(), image);
    }
}

#[test]
fn a_container_starts_again_as_the_file_says() {
    for (written, restart) in [
        ("'no'", Restart::No),
        ("always", Restart::Always),
        ("unless-stopped", Restart::UnlessStopped),
        ("on-failure", Restart::OnFailure(None)),
        ("on-failure:3", Restart::OnFailure(Some(3))),
    ] {
        assert_eq!(web(&format!("restart: {written}")).restart, restart, "{written}");
    }
}

#[test]
fn a_signal_has_a_name_or_a_number() {
    for signal in ["SIGTERM", "term", "9", "64", "SIGRTMIN+3", "RTMAX"] {
        assert_eq!(web(&format!("stop_signal: '{signal}'")).stop_signal.as_deref(), Some(signal));
    }
}

#[test]
fn an_image_without_a_tag_is_the_latest() {
    let digest = "app@sha256:0123";
    for (written, read) in [
        ("postgres", "postgres:latest"),
        ("postgres:17", "postgres:17"),
        ("registry.example:5000/team/app", "registry.example:5000/team/app:latest"),
        (digest, digest),
    ] {
        assert_eq!(ImageReference::new(written).with_tag().as_str(), read);
    }
}

#[test]
fn variables_nest_to_a_depth_and_the_unset_are_told_once() {
    let substitute = |text: &str| {
        let mut unset = Vec::new();
        let value = substitute(text, &|name| (name == "SET").then(|| "value".to_owned()), &mut unset);
        (value, unset)
    };
    let nested = |open: &str, depth: usize| format!("{}x{}", open.repeat(depth), "}".repeat(depth));
    let too_deep = (Err("variables nest deeper than 32".to_owned()), Vec::new());
    for open in ["${NOPE:-", "${SET:+", "${NOPE:?"] {
        assert_ne!(substitute(&nested(open, 32)), too_deep, "{open}");
        assert_eq!(substitute(&nested(open, 33)), too_deep, "{open}");
    }
    assert_eq!(substitute(&nested("${NOPE:-", 32)).0.as_deref(), Ok("x"));
    assert_eq!(substitute("$A $B $A"), (Ok("  ".to_owned()), vec!["A".to_owned(), "B".to_owned()]));
}

#[test]
fn a_service_that_is_only_built_has_composes_name_for_its_image() {
    let stack = stack("name: shop\nservices: {web: {build: .}}\n");
    assert_eq!(stack.services[&ServiceName::new("web")].image.as_str(), "shop-web");
}

/// What is parsed because Compose means it, and would not be done.
#[test]
fn a_build_that_homeport_would_do_otherwise_is_a_fault_with_its_line() {
    let told = |keys: &str| {
        let text = format!("services:\n  web:\n    image: i\n    {keys}\n");
        let stack = stack(&text);
        let faults = crate::stack::unlike_ours(&text, &stack, Path::new("/"));
        faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    let ours = "x-homeport: {package: web}\n    build:";
    for keys in [
        "init: true".to_owned(),
        format!("{ours} .."),
        format!("{ours} {{context: .., dockerfile: Dockerfile}}"),
    ] {
        assert_eq!(told(&keys), "", "{keys}");
    }
    for (keys, expected) in [
        ("build: ..".to_owned(), "4: services.web.build: Homeport builds the image of a workspace's package"),
        (
            format!("{ours} ."),
            "5: services.web.build: Homeport would not build this as it is written: found the context /project",
        ),
        (format!("{ours} {{context: .., dockerfile: D}}"), "found the Dockerfile /D, expected /Dockerfile"),
        (format!("{ours} {{context: .., target: t}}"), "found the stage t, expected the last one"),
        (format!("{ours} {{context: .., args: {{A: b}}}}"), "found the argument A"),
    ] {
        assert!(told(&keys).contains(expected), "{keys}: {}", told(&keys));
    }
}

#[test]
fn dependencies_carry_their_conditions() {
    let text = "services:\n  a: {image: i}\n  b: {image: i}\n  c: {image: i}\n  list: {image: i, depends_on: [a]}\n  \
        map: {image: i, depends_on: {a: {condition: service_started, required: true, restart: false}, b: {condition: service_healthy}, \
        c: {condition: service_completed_successfully}}}\n";
    let stack = stack(text);
    let conditions =
        |name: &str| stack.services[&ServiceName::new(name)].depends_on.values().copied().collect::<Vec<_>>();
    assert_eq!(conditions("list"), [Condition::Started]);
    assert_eq!(conditions("map"), [Condition::Started, Condition::Healthy, Condition::Completed]);
}

/// The project's name: chosen, written, or the directory's.
#[test]
fn the_project_is_named_by_the_caller_then_the_file_then_the_directory() {
    let name = |chosen: Option<&str>, written: &str, directory: &str| {
        let text = format!("{written}\nservices: {{web: {{image: i, user: $COMPOSE_PROJECT_NAME}}}}\n");
        let source = Source {
            text: &text,
            path: Path::new("compose.yaml"),
            directory: Path::new(directory),
            project: chosen,
            variables: &|name| (name == "SET").then(|| "value".to_owned()),
            files: &|_| None,
        };
        let stack = parse(&source).map(|parsed| parsed.stack).map_err(|error| error.to_string())?;
        let seen = stack.services[&ServiceName::new("web")].user.clone();
        assert_eq!(seen.as_deref(), Some(stack.project.as_str()), "what the file itself sees");
        Ok::<_, String>(stack.project.to_string())
    };
    assert_eq!(name(Some("chosen"), "name: written", "/a/dir"), Ok("chosen".to_owned()));
    assert_eq!(name(None, "name: written-$SET", "/a/dir"), Ok("written-value".to_owned()));
    assert_eq!(name(None, "", "/a/_My.Dir 1"), Ok("mydir1".to_owned()));
    let refused = "compose.yaml: name: the project's name";
    assert!(
        name(Some("Not Valid"), "", "/a/dir").is_err_and(
            |error| error.contains("the project's name \"Not Valid\" (chosen by HOMEPORT_PROJECT)")
        )
    );
    assert!(name(None, "", "/").is_err_and(|error| error.contains(&refused["compose.yaml: ".len()..])));
}
