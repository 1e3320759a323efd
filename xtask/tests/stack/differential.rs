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

fn parse(text: &str, directory: &Path, variables: &BTreeMap<String, String>) -> Result<Parsed, StackError> {
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
fn plugin() -> bool {
    let there = Command::new("docker")
        .args(["compose", "version"])
        .output()
        .is_ok_and(|output| output.status.success());
    if !there {
        let missing = "did not run: `docker compose` (the compose plugin of Docker's CLI) is missing";
        assert!(std::env::var_os("CI").is_none(), "{missing}");
        let _ = writeln!(std::io::stderr(), "{missing}");
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
        .args(["compose", "--file", "-", "config", "--format", format])
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
fn compare(text: &str, directory: &Path, variables: &BTreeMap<String, String>) -> Result<(), String> {
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
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").join("compose");
    let text = std::fs::read_to_string(directory.join("compose.yaml")).expect("the project's Compose file");
    compare(&text, &directory, &required_variables(&text))
        .unwrap_or_else(|difference| panic!("{difference}"));
}

/// A value for each variable that the text asks for with `${NAME:?…}`.
fn required_variables(text: &str) -> BTreeMap<String, String> {
    let names = text.split("${").skip(1).filter_map(|rest| rest.split_once(":?")).map(|(name, _)| name);
    let name = |name: &&str| name.chars().all(|c| c.is_ascii_uppercase() || c == '_');
    names.filter(name).map(|name| (name.to_owned(), format!("value-of-{name}"))).collect()
}
