//! Our parser beside Docker's own: what `docker compose config` prints for a file, parsed again, must equal our parse of
//! the file itself. Needs the compose plugin and no engine. It owns no rule of Compose.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use xtask::stack::{self, Parsed, Source, StackError};

/// The variables that both sides see, and no others.
fn variables() -> BTreeMap<&'static str, &'static str> {
    BTreeMap::from([
        ("HOME", "/home/somebody"),
        ("SET", "value"),
        ("EMPTY", ""),
        ("PORT", "8123"),
        ("YES", "true"),
    ])
}

pub(crate) fn parse(
    text: &str,
    directory: &Path,
    variables: &BTreeMap<String, String>,
) -> Result<Parsed, StackError> {
    stack::parse(&Source {
        text,
        path: Path::new("compose.yaml"),
        directory,
        project: None,
        variables: &|name| variables.get(name).cloned(),
        files: &|path| std::fs::read_to_string(path).ok(),
    })
}

/// Whether the plugin is there. Without it a test has not run: a failure in `CI`, a word otherwise.
pub(crate) fn plugin() -> bool {
    let there = Command::new("docker")
        .args(["compose", "version"])
        .output()
        .is_ok_and(|output| output.status.success());
    if !there {
        xtask::pipeline::leave_out("`docker compose` (the compose plugin of Docker's CLI) is missing");
    }
    there
}

/// What Compose makes of the text, in canonical form (`json` or `yaml`), or its complaint.
fn canonical(
    format: &str,
    text: &str,
    directory: &Path,
    variables: &BTreeMap<String, String>,
) -> Result<String, String> {
    let mut compose = Command::new("docker")
        // Without it Compose takes the variables of a checkout that has been run, from its `.env`, for these.
        .args(["compose", "--env-file", "/dev/null", "--file", "-", "config", "--format", format])
        .current_dir(directory)
        .env_clear()
        .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
        .envs(variables)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("docker starts");
    compose.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("compose reads the file");
    let output = compose.wait_with_output().expect("compose ends");
    if output.status.success() {
        Ok(String::from_utf8(output.stdout).expect("text"))
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stack/fixtures")
}

/// Our parse of the text against our parse of what Compose makes of it; an `Err` says where they differ.
pub(crate) fn compare(
    text: &str,
    directory: &Path,
    variables: &BTreeMap<String, String>,
) -> Result<(), String> {
    let ours = parse(text, directory, variables).map_err(|error| format!("we refuse it:\n{error}"))?;
    for format in ["yaml", "json"] {
        let canonical = canonical(format, text, directory, variables)
            .map_err(|error| format!("Compose refuses it: {error}"))?;
        let mut theirs = parse(&canonical, directory, variables)
            .map_err(|error| format!("we refuse what Compose prints:\n{error}\n{canonical}"))?;
        if format == "json" {
            // Compose leaves the extensions of a service out of its JSON, though not out of its YAML.
            for (name, service) in &mut theirs.stack.services {
                service.homeport = ours.stack.services[name].homeport.clone();
            }
        }
        if ours.stack != theirs.stack {
            return Err(format!(
                "ours:\n{:#?}\nCompose's, from its {format}:\n{:#?}",
                ours.stack, theirs.stack
            ));
        }
    }
    Ok(())
}

#[test]
fn every_fixture_means_what_compose_says() {
    if !plugin() {
        return;
    }
    let variables =
        variables().into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let entries = std::fs::read_dir(fixtures()).expect("the fixtures are there");
    let paths = entries.map(|entry| entry.expect("a readable directory").path());
    let paths: Vec<PathBuf> =
        paths.filter(|path| path.extension().is_some_and(|extension| extension == "yaml")).collect();
    assert!(!paths.is_empty(), "no fixture was found in {}", fixtures().display());
    let differences: Vec<String> = (paths.iter())
        .filter_map(|path| {
            let text = std::fs::read_to_string(path).expect("a readable fixture");
            compare(&text, &fixtures(), &variables)
                .err()
                .map(|difference| format!("{}: {difference}", path.display()))
        })
        .collect();
    assert!(differences.is_empty(), "{}", differences.join("\n\n"));
}

#[test]
fn the_projects_own_file_means_what_compose_says() {
    if !plugin() {
        return;
    }
    let (text, directory) = own_file();
    compare(&text, &directory, &required_variables(&text))
        .unwrap_or_else(|difference| panic!("{difference}"));
}

fn own_file() -> (String, PathBuf) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").join("compose");
    let text = std::fs::read_to_string(directory.join("compose.yaml")).expect("the project's Compose file");
    (text, directory)
}

/// Two checkouts side by side, under two names, must not put their programs into one image.
#[test]
fn the_images_that_are_built_here_are_the_projects_own() {
    let (text, directory) = own_file();
    let images = |project: &str| {
        let variables = required_variables(&text);
        let parsed = stack::parse(&Source {
            text: &text,
            path: Path::new("compose.yaml"),
            directory: &directory,
            project: Some(project),
            variables: &|name| variables.get(name).cloned(),
            files: &|_| None,
        });
        let stack = parsed.expect("it can be read").stack;
        let built = stack.services.into_values().filter(|service| service.homeport.package.is_some());
        built.map(|service| service.image.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(images("homeport"), ["homeport/service:dev"; 2]);
    assert_eq!(images("other"), ["other/service:dev"; 2]);
    if plugin() {
        let renamed = text.replacen("name: ${HOMEPORT_PROJECT:-homeport}", "name: other", 1);
        let theirs =
            canonical("json", &renamed, &directory, &required_variables(&text)).expect("Compose takes it");
        assert_eq!(theirs.matches("\"image\": \"other/service:dev\"").count(), 2, "{theirs}");
    }
}

/// A value for each variable that the text asks for with `${NAME:?…}`.
fn required_variables(text: &str) -> BTreeMap<String, String> {
    let names = text.split("${").skip(1).filter_map(|rest| rest.split_once(":?")).map(|(name, _)| name);
    let name = |name: &&str| name.chars().all(|c| c.is_ascii_uppercase() || c == '_');
    names.filter(name).map(|name| (name.to_owned(), format!("value-of-{name}"))).collect()
}

/// Keys of a service that Compose refuses, one kind of mistake each. We must not be more generous, or a file would work
/// here and nowhere else.
const REFUSED: &[&str] = &[
    "user: 1000",
    "command: [sleep, 10]",
    "command: {a: b}",
    "environment: A=1",
    "environment: {A: [1]}",
    "environment: [A=1, 5]",
    "environment: {1: a}",
    "env_file: absent.env",
    "labels:",
    "ports:",
    "ports: 80",
    "ports: ['127.0.0.1:80']",
    "ports: ['localhost:80:80']",
    "ports: ['::1:80:80']",
    "ports: ['66000:80']",
    "ports: ['80:80-81']",
    "ports: ['80:']",
    "ports: [80.5]",
    "ports: [{target: 80, published: 80, host_ip: '[::1]'}]",
    "volumes: ['absent:/x']",
    "volumes: ['./a:/x:']",
    "volumes: [{type: bind, target: /x}]",
    "volumes: [{source: ./x, target: /x}]",
    "networks: [absent]",
    "depends_on: [absent]",
    "depends_on: [web]",
    "depends_on: {web: {condition: healthy}}",
    "healthcheck: {test: [probe]}",
    "healthcheck: {test: a, interval: 3}",
    "healthcheck: {test: a, interval: 1m 30s}",
    "mem_limit: 1gi",
    "mem_limit: '-1'",
    "mem_limit: 10m\n    deploy: {resources: {limits: {memory: 20m}}}",
    "deploy: {resources: {limits: {memory: 5}}}",
    "cpus: many",
    "ulimits: {nofile: {soft: 1}}",
    "init: '1'",
    "read_only: maybe",
    "enviroment: {A: b}",
    "user: a\n    user: b",
    "user: ${ABSENT:?}",
    "user: ${SET",
    "user: ${1}",
    "user: ${SET:=x}",
];

#[test]
fn what_compose_refuses_we_refuse() {
    if !plugin() {
        return;
    }
    let variables =
        variables().into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    for keys in REFUSED {
        let text = format!("services:\n  web:\n    image: image\n    {keys}\n");
        assert!(canonical("json", &text, &fixtures(), &variables).is_err(), "Compose takes {keys}");
        assert!(parse(&text, &fixtures(), &variables).is_err(), "we take {keys}");
    }
}
