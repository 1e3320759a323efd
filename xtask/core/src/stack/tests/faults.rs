//! Every fault with its key, line and words.

use super::super::Fault;
use super::{faults, lines, read, service};

/// Keys of the service `web` (the first is on line 4) and the one fault they give.
#[rustfmt::skip]
const SERVICE: &[(&str, &str)] = &[
    // keys
    ("privileged: true", "4: services.web.privileged: Homeport does not support this key"),
    ("extends: {service: other}", "4: services.web.extends: Homeport does not support this key"),
    ("profiles: [a]", "4: services.web.profiles: Homeport does not support this key"),
    ("secrets: [a]", "4: services.web.secrets: Homeport does not support this key"),
    ("configs: [a]", "4: services.web.configs: Homeport does not support this key"),
    ("enviroment: {A: b}", "4: services.web.enviroment: there is no such key here (did you mean `environment`?)"),
    ("port: [80]", "4: services.web.port: there is no such key here (did you mean `ports`?)"),
    ("frobnicate: 1", "4: services.web.frobnicate: there is no such key here, or Homeport does not support it"),
    ("x-homeport: {optinal: true}", "4: services.web.x-homeport.optinal: there is no such key here (did you mean `optional`?)"),
    ("x-homeport: {x-deep: 1}", "4: services.web.x-homeport.x-deep: there is no such key here, or Homeport does not support it"),
    ("x-homeport: {reload: SIGFOO}", "4: services.web.x-homeport.reload: \"SIGFOO\" is no signal; one is written like SIGHUP"),
    ("x-homeport: {reload_check: [a]}", "4: services.web.x-homeport.reload_check: checks what `reload` makes the process read, and there is none"),
    ("x-homeport: {reload: SIGHUP, reload_check: promtool}", "4: services.web.x-homeport.reload_check: expected a list, found the text \"promtool\""),
    ("volumes: ['./a:/a']\nx-homeport: {first_start: [a]}", "5: services.web.x-homeport.first_start[0]: is no path that this service mounts read-only"),
    ("stop_signal: '65'", "4: services.web.stop_signal: \"65\" is no signal; one is written like SIGHUP"),
    ("x-homeport: {url_path: dash}", "4: services.web.x-homeport.url_path: the path \"dash\" must begin with /"),
    // kinds
    ("user: 1000", "4: services.web.user: expected text (put it in quotes), found the number 1000"),
    ("user: [a]", "4: services.web.user: expected text, found a list"),
    ("hostname: true", "4: services.web.hostname: expected text (put it in quotes), found the boolean true"),
    ("working_dir:", "4: services.web.working_dir: has no value"),
    ("read_only: maybe", "4: services.web.read_only: expected true or false, found the text \"maybe\""),
    ("init: 1", "4: services.web.init: expected true or false, found the number 1"),
    ("cap_add: ALL", "4: services.web.cap_add: expected a list, found the text \"ALL\""),
    ("cap_drop:\n  - ALL\n  - ''", "6: services.web.cap_drop[1]: must not be empty"),
    ("command: {a: b}", "4: services.web.command: expected a list, found a mapping"),
    ("command: [sleep, 10]", "4: services.web.command[1]: expected text (put it in quotes), found the number 10"),
    // words
    ("command: a; b", "4: services.web.command: ';' needs a shell, and none is run here: write [\"sh\", \"-c\", \"…\"], or quote it"),
    ("command: echo 'a", "4: services.web.command: a ' is not closed"),
    ("command: echo \"a", "4: services.web.command: a \" is not closed"),
    ("entrypoint: a\\", "4: services.web.entrypoint: a \\ stands at the end"),
    // environment
    ("environment: A=1", "4: services.web.environment: expected a mapping, or a list of NAME=VALUE, found the text \"A=1\""),
    ("environment: {A: [1]}", "4: services.web.environment.A: expected text, a number or a boolean, found a list"),
    ("environment: [=1]", "4: services.web.environment: a variable has no name"),
    ("env_file: no.env", "4: services.web.env_file: the file \"no.env\" does not exist"),
    ("env_file: [some.env, {required: false}]", "4: services.web.env_file[1]: needs a `path`"),
    ("env_file: {path: some.env, format: raw}", "4: services.web.env_file.format: Homeport does not support this key"),
    ("env_file: bad.env", "4: services.web.env_file: bad.env:2: B: the \" is not closed"),
    // image and build
    ("build: {context: 'https://example.com/x.git'}", "4: services.web.build.context: Homeport builds only from a local directory"),
    ("build: {dockerfile_inline: FROM x}", "4: services.web.build.dockerfile_inline: Homeport does not support this key"),
    ("build: {kontext: .}", "4: services.web.build.kontext: there is no such key here (did you mean `context`?)"),
    // ports
    ("ports: 80", "4: services.web.ports: expected a list, found the number 80"),
    ("ports: ['a:80']", "4: services.web.ports[0]: \"a\" is not a port between 1 and 65535"),
    ("ports: ['80:0']", "4: services.web.ports[0]: \"0\" is not a port between 1 and 65535"),
    ("ports: ['70000:80']", "4: services.web.ports[0]: \"70000\" is not a port between 1 and 65535"),
    ("ports: ['localhost:80:80']", "4: services.web.ports[0]: \"localhost\" is not an IP address"),
    ("ports: ['::1:80:80']", "4: services.web.ports[0]: the address \"::1\" must stand in brackets"),
    ("ports: ['[::1]80']", "4: services.web.ports[0]: \"[::1]80\" has no ports after the address"),
    ("ports: ['[::1]:80']", "4: services.web.ports[0]: \"[::1]:80\" has an address, but no published port after it"),
    ("ports: ['80-81:80']", "4: services.web.ports[0]: the ranges in \"80-81:80\" differ in length; Homeport does not choose a port from a range"),
    ("ports: ['81-80']", "4: services.web.ports[0]: the range \"81-80\" runs backwards"),
    ("ports: ['10000-10128']", "4: services.web.ports[0]: the range \"10000-10128\" has more than 128 ports"),
    ("ports: ['1-60000']", "4: services.web.ports[0]: the range \"1-60000\" has more than 128 ports"),
    ("ports: ['80:80/sctp']", "4: services.web.ports[0]: Homeport does not support the protocol \"sctp\", only tcp and udp"),
    ("ports: [{published: 80}]", "4: services.web.ports[0]: needs a `target`"),
    ("ports: [{target: 0}]", "4: services.web.ports[0].target: is not a port between 1 and 65535"),
    ("ports: [{target: x}]", "4: services.web.ports[0].target: \"x\" is not a port"),
    ("ports: [{target: 80, published: 80-81}]", "4: services.web.ports[0].published: Homeport does not support the range \"80-81\" here: name one port"),
    ("ports: [{target: 80, host_ip: x}]", "4: services.web.ports[0].host_ip: \"x\" is not an IP address"),
    ("ports: [{target: 80, protokol: tcp}]", "4: services.web.ports[0].protokol: there is no such key here (did you mean `protocol`?)"),
    ("ports:\n  - 80:80\n  - 80:81", "4: services.web.ports: this service publishes the port 80 of the host already"),
    // mounts
    ("volumes: [/data]", "4: services.web.volumes[0]: Homeport does not support volumes without a name: it could not tell them from left-overs"),
    ("volumes: ['a:b:c:d']", "4: services.web.volumes[0]: \"a:b:c:d\" is not SOURCE:TARGET or SOURCE:TARGET:MODE"),
    ("volumes: ['data:/a:']", "4: services.web.volumes[0]: \"data:/a:\" is not SOURCE:TARGET or SOURCE:TARGET:MODE"),
    ("volumes: ['data:/a:z']", "4: services.web.volumes[0]: Homeport does not support the mount option \"z\", only ro and rw"),
    ("volumes: ['d:/a']", "4: services.web.volumes[0]: the volume's name \"d\" reads as a drive of Windows: give it two letters"),
    ("volumes: ['data:a']", "4: services.web.volumes[0]: \"a\" must be an absolute path in the container"),
    ("volumes: ['~other:/a']", "4: services.web.volumes[0]: Homeport does not support the home of somebody else"),
    ("volumes:\n  - data:/a\n  - date:/b", "6: services.web.volumes[1]: the volume date is not declared under the top-level `volumes` (did you mean `data`?)"),
    ("volumes:\n  - data:/a\n  - {type: volume, target: /b, source: date}", "6: services.web.volumes[1]: the volume date is not declared under the top-level `volumes` (did you mean `data`?)"),
    ("volumes:\n  - data:/a\n  - ./x:/a/", "6: services.web.volumes[1]: something else is mounted on /a already"),
    ("volumes: [{type: bind, source: x}]", "4: services.web.volumes[0]: needs a `target`"),
    ("volumes: [{source: x, target: /x}]", "4: services.web.volumes[0]: needs a `type`"),
    ("volumes: [{type: bind, target: /x}]", "4: services.web.volumes[0]: needs a `source`"),
    ("volumes: [{type: volume, target: /x}]", "4: services.web.volumes[0]: Homeport does not support volumes without a name: it could not tell them from left-overs"),
    ("volumes: [{type: npipe, source: x, target: /x}]", "4: services.web.volumes[0].type: Homeport does not support mounts of type \"npipe\", only bind, volume and tmpfs"),
    ("volumes: [{type: tmpfs, source: x, target: /x}]", "4: services.web.volumes[0].source: a tmpfs has no source"),
    ("volumes: [{type: bind, source: x, target: /x, bind: {propagation: shared}}]", "4: services.web.volumes[0].bind.propagation: Homeport does not support this key"),
    ("volumes: [{type: bind, source: x, target: /x, bind: {create_host_path: false}}]", "4: services.web.volumes[0].bind.create_host_path: Homeport supports only true here"),
    ("volumes: [{type: volume, source: data, target: /x, volume: {nocopy: true}}]", "4: services.web.volumes[0].volume.nocopy: Homeport supports only false here"),
    ("tmpfs: ['/x:size=many']", "4: services.web.tmpfs[0]: \"many\" is not a size such as 256m, 1gb or 65536"),
    ("tmpfs: ['/x:mode=888']", "4: services.web.tmpfs[0]: \"888\" is not a mode such as 1777"),
    ("tmpfs: ['/x:noexec']", "4: services.web.tmpfs[0]: Homeport does not support the tmpfs option \"noexec\", only size, mode, ro and rw"),
    ("tmpfs: [/x, x]", "4: services.web.tmpfs[1]: \"x\" must be an absolute path in the container"),
    // networks and dependencies
    ("networks: [defalt]", "4: services.web.networks[0]: the network defalt is not declared under the top-level `networks`"),
    ("networks:\n  other:", "5: services.web.networks.other: the network other is not declared under the top-level `networks`"),
    ("networks: {default: {ipv4_address: 1.2.3.4}}", "4: services.web.networks.default.ipv4_address: Homeport does not support this key"),
    ("depends_on: [wep]", "4: services.web.depends_on[0]: there is no service wep (did you mean `web`?)"),
    ("depends_on:\n  db: {condition: service_started}", "5: services.web.depends_on.db: there is no service db"),
    ("depends_on: {web: {}}", "4: services.web.depends_on.web: needs a `condition`"),
    ("depends_on: {web: {condition: healthy}}", "4: services.web.depends_on.web.condition: \"healthy\" is not a condition; there are service_started, service_healthy, service_completed_successfully"),
    ("depends_on: [web]", "4: services.web.depends_on[0]: the dependencies form a cycle: web → web"),
    ("depends_on: {nobody: {condition: service_started, required: false}}", "4: services.web.depends_on.nobody: there is no service nobody\n4: services.web.depends_on.nobody.required: Homeport supports only true here"),
    // health check
    ("healthcheck: {interval: 3s}", "4: services.web.healthcheck: needs a `test`, or `disable: true`"),
    ("healthcheck: {test: [probe]}", "4: services.web.healthcheck.test: expected [\"CMD\", program, argument…], [\"CMD-SHELL\", script], [\"NONE\"] or a script as text"),
    ("healthcheck: {test: [probe, now]}", "4: services.web.healthcheck.test: expected [\"CMD\", program, argument…], [\"CMD-SHELL\", script], [\"NONE\"] or a script as text"),
    ("healthcheck: {test: a, interval: 3}", "4: services.web.healthcheck.interval: expected text (put it in quotes), found the number 3"),
    ("healthcheck: {test: a, timeout: soon}", "4: services.web.healthcheck.timeout: \"soon\" is not a duration such as 1m30s, 10s or 500ms"),
    ("healthcheck: {test: a, retries: -1}", "4: services.web.healthcheck.retries: the number -1 is out of range"),
    ("healthcheck: {test: a, start_interval: 1s}", "4: services.web.healthcheck.start_interval: Homeport does not support this key"),
    // limits
    ("mem_limit: .", "4: services.web.mem_limit: \".\" is not a size such as 256m, 1gb or 65536"),
    ("mem_limit: 1.2.3", "4: services.web.mem_limit: \"1.2.3\" is not a size such as 256m, 1gb or 65536"),
    ("mem_limit: 1x", "4: services.web.mem_limit: \"1x\" is not a size such as 256m, 1gb or 65536"),
    ("cpus: many", "4: services.web.cpus: \"many\" is not a number of processors such as 0.5 or 2"),
    ("cpus: -1", "4: services.web.cpus: \"-1\" is not a number of processors such as 0.5 or 2"),
    ("pids_limit: x", "4: services.web.pids_limit: expected a whole number, found the text \"x\""),
    ("cpus: 1\ndeploy: {resources: {limits: {cpus: '2'}}}", "5: services.web.deploy: `cpus` of the service says 1000000000, `resources` here says 2000000000: keep one"),
    ("deploy: {resources: {limits: {memory: 5}}}", "4: services.web.deploy.resources.limits.memory: expected text (put it in quotes), found the number 5"),
    ("deploy: {resources: {reservations: {cpus: '1'}}}", "4: services.web.deploy.resources.reservations.cpus: Homeport does not support this key"),
    ("deploy: {replicas: 2}", "4: services.web.deploy.replicas: Homeport does not support this key"),
    ("deploy: {placement: {constraints: [a]}}", "4: services.web.deploy.placement.constraints: Homeport does not support this key"),
    ("ulimits: {nofile: {soft: 5}}", "4: services.web.ulimits.nofile: needs both `soft` and `hard`"),
    ("ulimits: {nofile: many}", "4: services.web.ulimits.nofile: expected a whole number, found the text \"many\""),
    // the rest
    ("restart: sometimes", "4: services.web.restart: \"sometimes\" is none of no, always, on-failure, on-failure:N, unless-stopped"),
    ("restart: on-failure:x", "4: services.web.restart: \"on-failure:x\" is none of no, always, on-failure, on-failure:N, unless-stopped"),
    ("stop_grace_period: 1m 30s", "4: services.web.stop_grace_period: \"1m 30s\" is not a duration such as 1m30s, 10s or 500ms"),
    ("labels: {dev.homeport.project: x}", "4: services.web.labels: the label dev.homeport.project is Homeport's own: labels under dev.homeport. are taken"),
    // interpolation
    ("user: ${USER_ID:?say who}", "4: services.web.user: the variable USER_ID is not set, or empty: say who"),
    ("user: ${EMPTY:?}", "4: services.web.user: the variable EMPTY is not set, or empty"),
    ("user: ${NOPE?no $SET}", "4: services.web.user: the variable NOPE is not set: no value"),
    ("command:\n  - a\n  - ${NOPE", "6: services.web.command[1]: the brace of ${NOPE is not closed"),
    ("user: ${1}", "4: services.web.user: ${1} names no variable"),
    ("user: ${SET:=x}", "4: services.web.user: ${SET:=x} is none of ${VAR}, ${VAR:-default}, ${VAR:?message}, ${VAR:+other}"),
    // YAML
    ("user: a\nuser: b", "5: not valid YAML: the key user is written twice"),
    ("user: &a [*a]", "4: not valid YAML: an alias stands for something that contains it"),
    ("ports: !reset []", "4: not valid YAML: unsupported tag `!reset`"),
    ("environment: {~: a}", "4: services.web.environment: a key must be text, not nothing: quote it"),
    ("1: a", "4: services.web: a key must be text, not the number 1: quote it"),
];

#[test]
fn each_fault_of_a_service_is_named() {
    let wrong: Vec<String> = (SERVICE.iter())
        .map(|(keys, expected)| (keys, faults(&service(keys)), format!("{expected}\n")))
        .filter(|(_, found, expected)| found != expected)
        .map(|(keys, found, expected)| format!("{keys}\nexpected: {expected}found:    {found}"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Whole files and the faults they give.
#[rustfmt::skip]
const FILES: &[(&str, &str)] = &[
    ("", "1: the file is empty; it needs `services`\n"),
    ("[]", "1: expected a mapping, found a list\n1: there is no `services`\n"),
    ("name: x\n", "1: there is no `services`\n"),
    ("services:\n", "1: services: has no value\n"),
    ("services: {}\n", "1: services: there is no service\n"),
    ("services: {web: }", "1: services.web: has no value; it needs an `image`\n"),
    ("services: {web: {user: a}}", "1: services.web: needs an `image`\n"),
    ("services: {web: {image: ''}}", "1: services.web.image: must not be empty\n"),
    ("services: {web: {image: a b}}", "1: services.web.image: \"a b\" is not an image's name: it contains ' '\n"),
    ("services: {web: {image: Web}}", "1: services.web.image: \"Web\" is not an image's name: capitals are allowed only in the tag\n"),
    ("services: {web: {image: Team/web}}", "1: services.web.image: \"Team/web\" is not an image's name: capitals are allowed only in the tag\n"),
    ("services: {a b: {image: a}}", "1: services.a b: a service's name may contain only letters, digits, `.`, `_` and `-`\n"),
    ("name: Web\nservices: {web: {image: a}}", "1: name: the project's name \"Web\" must begin with a lower-case letter or digit and contain only these, - and _\n"),
    ("services: {web: {image: a}}\nname: 5\n", "2: name: expected text (put it in quotes), found the number 5\n"),
    ("services: {web: {image: a}}\nname: ${NOPE:?}\n", "2: name: the variable NOPE is not set, or empty\n"),
    ("include: [a]\nservices: {web: {image: a}}\nsecrets: {}\n",
     "1: include: Homeport does not support this key\n3: secrets: Homeport does not support this key\n"),
    ("service: {}\nservices: {web: {image: a}}\n", "1: service: there is no such key here (did you mean `services`?)\n"),
    ("x-homeport: {}\nservices: {web: {image: a}}\n", "1: x-homeport: there is no such key here, or Homeport does not support it\n"),
    ("services: {web: {image: a}}\nnetworks:\n  a:\n    name: b\n  b: {external: true}\n  c: {ipam: {driver: x}}\n  d: {labels: {}}\n  e f:\n",
     "4: networks.a.name: Homeport does not support this key: it names it project_a\n\
      5: networks.b.external: Homeport does not support this key: what is not its own it leaves alone\n\
      6: networks.c.ipam.driver: Homeport does not support this key\n\
      7: networks.d.labels: Homeport does not support this key\n\
      8: networks.e f: a network's name may contain only letters, digits, `.`, `_` and `-`\n"),
    ("services: {web: {image: a}}\nvolumes:\n  a: {driver: ''}\n  b: {driver_opts: {o: true}}\n  c: {dirver: x}\n",
     "3: volumes.a.driver: must not be empty\n\
      4: volumes.b.driver_opts.o: expected text or a number, found the boolean true\n\
      5: volumes.c.dirver: there is no such key here (did you mean `driver`?)\n"),
    // Several at once, sorted by line, whatever they are.
    ("services:\n  a:\n    image: ${NOPE:?}\n    privileged: true\n    ports: [x]\n  b:\n    image: b\n    depends_on: [c]\n    user: 1\n",
     "3: services.a.image: the variable NOPE is not set, or empty\n\
      4: services.a.privileged: Homeport does not support this key\n\
      5: services.a.ports[0]: \"x\" is not a port between 1 and 65535\n\
      8: services.b.depends_on[0]: there is no service c\n\
      9: services.b.user: expected text (put it in quotes), found the number 1\n"),
    // A cycle, and what only leads to it.
    ("services:\n  z: {image: i, depends_on: [d]}\n  d: {image: i, depends_on: [b]}\n  b: {image: i, depends_on: {c: {condition: service_started}, free: {condition: service_started}}}\n  c: {image: i, depends_on: [d]}\n  free: {image: i}\n  a: {image: i, depends_on: [z]}\n",
     "4: services.b.depends_on.c: the dependencies form a cycle: b → c → d → b\n"),
    // The same port of the host clashes with every address and with the same one; not with another, nor another protocol.
    ("services:\n  a: {image: i, ports: ['80:1', '127.0.0.1:81:1', '82:1/udp']}\n  b: {image: i, ports: ['127.0.0.1:80:1']}\n  c: {image: i, ports: ['127.0.0.2:81:1', '82:1']}\n  d: {image: i, ports: ['0.0.0.0:81:1']}\n",
     "3: services.b.ports: the service a publishes the port 80 of the host already\n\
      5: services.d.ports: the service a publishes the port 81 of the host already\n"),
    // A fault in an anchor is named where it is written, for each place that uses it.
    ("x-a: &a {bad: 1}\nservices:\n  web:\n    image: i\n    healthcheck: *a\n",
     "1: services.web.healthcheck.bad: there is no such key here, or Homeport does not support it\n5: services.web.healthcheck: needs a `test`, or `disable: true`\n"),
    ("services:\n  web: {image: i}\n---\nservices: {}\n", "4: not valid YAML: there is more than one document\n"),
    ("services:\n  web: {image: '${NOPE}', user: '${NEITHER}'}\n", "2: services.web.image: must not be empty\n2: services.web.image: the variable NOPE is not set, its value here is empty\n"),
    ("services:\n  web:\n    image: ${NOPE}\n    user: ${NEITHER}\n", "3: services.web.image: must not be empty\n3: services.web.image: the variable NOPE is not set, its value here is empty\n"),
    ("services:\n  web:\n    image: i\n    user: \"${a\\nb\"\n", "4: services.web.user: the brace of ${a b is not closed\n"),
    ("services: {web: {image: 'open}}\n", "1: not valid YAML: unclosed quote\n"),
];

#[test]
fn each_fault_of_a_file_is_named() {
    let wrong: Vec<String> = (FILES.iter())
        .map(|(text, expected)| (text, faults(text), expected))
        .filter(|(_, found, expected)| found != *expected)
        .map(|(text, found, expected)| format!("{text}\nexpected:\n{expected}found:\n{found}"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn an_error_prints_as_lines_that_a_terminal_follows() {
    let error = read("services:\n  web:\n    image: Web\n    tty: true\n").expect_err("two faults");
    let expected = "compose.yaml:3: services.web.image: \"Web\" is not an image's name: capitals are allowed only in the tag\n\
        compose.yaml:4: services.web.tty: Homeport does not support this key";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn a_fault_of_no_single_line_has_no_number() {
    let fault = |line, key: &str| Fault { line, key: key.to_owned(), message: "is odd".to_owned() };
    let printed =
        [fault(3, "name"), fault(0, "name"), fault(3, ""), fault(0, "")].map(|fault| fault.to_string());
    assert_eq!(printed, ["3: name: is odd", "name: is odd", "3: is odd", "is odd"]);
}

#[test]
fn what_is_odd_but_allowed_is_a_warning() {
    let parsed = read(&format!("version: '3'\n{}", service("user: $NOPE$NOPE\nhostname: ${NOPE}x$SET")))
        .expect("a stack");
    let warnings: Vec<String> = parsed.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "1: version: this key has no meaning any more; remove it",
            "5: services.web.user: the variable NOPE is not set, its value here is empty",
            "6: services.web.hostname: the variable NOPE is not set, its value here is empty",
        ]
    );
}

#[test]
fn a_home_that_is_not_known_is_a_fault() {
    let text = service("volumes: ['~/x:/x']");
    let source = super::super::Source {
        text: &text,
        path: std::path::Path::new("c.yaml"),
        directory: std::path::Path::new("/"),
        project: Some("p"),
        variables: &|_| None,
        files: &|_| None,
    };
    let error = super::super::parse(&source).expect_err("no HOME");
    assert_eq!(
        error.to_string(),
        "c.yaml:4: services.web.volumes[0]: ~ needs the variable HOME, which is not set"
    );
}

/// Nine lists in each of which every element is the one before: 9⁹ strings from a kilobyte.
#[test]
fn a_file_that_unfolds_without_end_is_refused_at_once() {
    let levels = lines((1..10).map(|level| {
        let below = [format!("*a{}", level - 1).as_str(); 9].join(", ");
        format!("x-a{level}: &a{level} [{below}]")
    }));
    let found = faults(&format!("x-a0: &a0 [lol]\n{levels}services: {{web: {{image: i, command: *a9}}}}\n"));
    assert!(found.contains("not valid YAML: "), "{found}");
    assert!(!found.contains('{'), "in words, not as the library prints it: {found}");

    let long = format!("services: {{web: {{image: i, command: [{}]}}}}", "a, ".repeat(20_001));
    assert_eq!(faults(&long), "1: not valid YAML: it has more than 20000 values, its aliases unfolded\n");

    let deep = format!("services: {}{}", "[".repeat(10_000), "]".repeat(10_000));
    assert!(faults(&deep).contains("not valid YAML: "));
    let deep = format!("services: {}{}", "[".repeat(24), "]".repeat(24));
    assert_eq!(faults(&deep), "1: not valid YAML: it nests deeper than 24 levels\n");
    let deep = lines((0..1_000).map(|level| format!("{}a:", " ".repeat(level))));
    assert!(faults(&deep).contains("not valid YAML: "));
    let nested =
        format!("services: {{web: {{image: i, user: '{}x{}'}}}}", "${A:-".repeat(1_000), "}".repeat(1_000));
    assert_eq!(faults(&nested), "1: services.web.user: variables nest deeper than 32\n");
}
