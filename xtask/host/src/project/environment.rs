//! `compose/.env`: credentials, random at first use, never in git, and what tells this checkout from another: its project's
//! name and its ports. `compose/env.template` says how each is made.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::path::Path;

use super::place::{Place, Surroundings};
use super::{PROJECT_VARIABLE, Project};
use crate::failure::{Code, Failure};
use crate::plan::VolumeSeen;
use crate::stack::{MountSource, Stack};

/// Why the template cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvironmentError {
    /// A line is neither a comment nor `NAME=value`.
    #[error("line {line}: expected NAME=value or a comment, found {found:?}")]
    NotAnAssignment {
        /// Counted from 1.
        line: usize,
        /// The line.
        found: String,
    },
    /// `<random:N>` with an N that is no number between 16 and 128: fewer characters are guessable, more fit nowhere.
    #[error("line {line}: expected <random:N> with N from 16 to 128, found {found:?}")]
    BadLength {
        /// Counted from 1.
        line: usize,
        /// The value.
        found: String,
    },
    /// `<own-port:N>` with an N that is no port.
    #[error("line {line}: expected <own-port:N> with N from 1 to 65535, found {found:?}")]
    BadPort {
        /// Counted from 1.
        line: usize,
        /// The value.
        found: String,
    },
}

/// What a variable's value is made with.
struct Making<'a> {
    place: Place,
    surroundings: &'a Surroundings,
    /// Whether a port is free.
    is_free: &'a dyn Fn(u16) -> bool,
    /// A secret of this length.
    secret: &'a mut dyn FnMut(usize) -> String,
    /// Whether what tells this checkout from others is to be decided.
    decides: bool,
}

/// A variable that `compose/.env` lacked.
#[derive(Clone, PartialEq, Eq)]
pub struct Added {
    /// Its name.
    pub name: String,
    /// The value it gets.
    pub value: String,
    /// Whether the value is random.
    pub secret: bool,
}

/// The value of a secret that is not made yet, for commands that make none. No container was made with it, so that one
/// whose secret is lost is not taken for one that fits.
const STAND_IN: &str = "not-made-yet";

/// Makes sure that `compose/.env` exists and has every variable of the template; those that are there are kept. Without
/// surroundings nothing is decided: what tells this checkout from others is left out. Returns those that were added.
///
/// # Errors
/// When a file cannot be read or written, or the template is wrong.
pub fn ensure_environment(
    project: &Project,
    surroundings: Option<&Surroundings>,
) -> Result<Vec<Added>, Failure> {
    let path = project.environment_file();
    let decides = surroundings.is_some() && !Project::is_named_by_environment();
    let surroundings = surroundings.cloned().unwrap_or_default();
    let mut random = std::fs::File::open("/dev/urandom").ok();
    let mut making = Making {
        place: Place::of(project),
        surroundings: &surroundings,
        is_free: &|port| surroundings.is_free(port),
        secret: &mut |length| secret(random.as_mut(), length),
        decides,
    };
    let missing = lacking(project, &read(&path)?, &mut making)?;
    if !missing.is_empty() {
        append(&path, &missing).map_err(|error| {
            Failure::new(Code::ProjectInvalid, format!("cannot write {}: {error}", path.display()))
        })?;
    }
    Ok(missing)
}

/// Whether the first `dev` has still to decide what tells this checkout from others.
///
/// # Errors
/// When a file cannot be read, or the template is wrong.
pub fn is_undecided(project: &Project) -> Result<bool, Failure> {
    let missing = stand_ins(project, &read(&project.environment_file())?)?;
    Ok(missing.contains_key(PROJECT_VARIABLE) && !Project::is_named_by_environment())
}

/// What the template asks for and nothing has a value for, each with a stand-in: what is decided without looking at the
/// machine.
pub(super) fn stand_ins(
    project: &Project,
    present: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, Failure> {
    let mut making = Making {
        place: Place::of(project),
        surroundings: &Surroundings::default(),
        is_free: &|_| true,
        secret: &mut |_| STAND_IN.to_owned(),
        decides: !Project::is_named_by_environment(),
    };
    let missing = lacking(project, present, &mut making)?;
    Ok(missing.into_iter().map(|added| (added.name, added.value)).collect())
}

fn lacking(
    project: &Project,
    present: &BTreeMap<String, String>,
    making: &mut Making<'_>,
) -> Result<Vec<Added>, Failure> {
    let template = project.environment_template();
    let text = match std::fs::read_to_string(&template) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(&template, &error)),
    };
    complete(&text, present, making)
        .map_err(|error| Failure::new(Code::ProjectInvalid, format!("{}: {error}", template.display())))
}

/// What to say of data that was made with other secrets than those just added: a line for each volume that is there
/// and whose service is given one of them.
pub fn outlived_secrets(stack: &Stack, volumes: &[VolumeSeen], added: &[Added]) -> Vec<String> {
    let mut lines = Vec::new();
    for (service, described) in &stack.services {
        let given: Vec<&str> = (added.iter().filter(|added| added.secret))
            .filter(|added| described.environment.values().any(|value| value.contains(&added.value)))
            .map(|added| added.name.as_str())
            .collect();
        for mount in &described.mounts {
            let MountSource::Volume(volume) = &mount.source else { continue };
            if !given.is_empty() && volumes.iter().any(|seen| seen.name == *volume) {
                lines.push(format!(
                    "volume {volume} holds data that {service} made with another {} than the one just put into \
                     compose/.env, and {service} keeps to the old one. It may be another checkout's, that stood here and \
                     was moved: then give this one a name of its own (`{PROJECT_VARIABLE}=NAME` in compose/.env), and the \
                     data stays that one's. If it is this one's, put the old file back. `cargo xtask down --volumes` \
                     deletes it, whose ever it is",
                    given.join(", ")
                ));
            }
        }
    }
    lines
}

/// The variables of an env file; none when it does not exist.
///
/// # Errors
/// When it cannot be read, or a line is not understood.
pub fn read(path: &Path) -> Result<BTreeMap<String, String>, Failure> {
    match std::fs::read_to_string(path) {
        Ok(text) => crate::stack::parse_env_file(&text, &|name| std::env::var(name).ok()).map_err(|faults| {
            let lines = faults.iter().map(|fault| format!("{}:{fault}", path.display()));
            Failure::new(Code::ProjectInvalid, format!("cannot read {}", path.display())).details(lines)
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(BTreeMap::new()),
        Err(error) => Err(unreadable(path, &error)),
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(Code::ProjectInvalid, format!("cannot read {}: {error}", path.display()))
}

/// How the template says a value is made.
enum Value<'t> {
    Plain(&'t str),
    Random(usize),
    /// The name of the project, with that of the first checkout.
    OwnName(&'t str),
    /// A port, with that of the first checkout.
    OwnPort(u16),
}

/// The template's lines, each with its number.
fn lines(template: &str) -> Result<Vec<(&str, Value<'_>)>, EnvironmentError> {
    let mut lines = Vec::new();
    for (index, text) in template.lines().enumerate() {
        let (line, text) = (index + 1, text.trim());
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let (name, value) = text
            .split_once('=')
            .ok_or_else(|| EnvironmentError::NotAnAssignment { line, found: text.to_owned() })?;
        let of = |kind: &str| value.strip_prefix(kind).and_then(|rest| rest.strip_suffix('>'));
        let found = || value.to_owned();
        let value = if let Some(length) = of("<random:") {
            match length.parse() {
                Ok(length @ 16..=128) => Value::Random(length),
                _ => return Err(EnvironmentError::BadLength { line, found: found() }),
            }
        } else if let Some(port) = of("<own-port:") {
            match port.parse() {
                Ok(port @ 1..) => Value::OwnPort(port),
                _ => return Err(EnvironmentError::BadPort { line, found: found() }),
            }
        } else if let Some(default) = of("<own-name:") {
            Value::OwnName(default)
        } else {
            Value::Plain(value)
        };
        lines.push((name, value));
    }
    Ok(lines)
}

/// The template's variables that are not present, each with the value it gets.
fn complete(
    template: &str,
    present: &BTreeMap<String, String>,
    making: &mut Making<'_>,
) -> Result<Vec<Added>, EnvironmentError> {
    let lines = lines(template)?;
    // A checkout that goes by another name than the first one's has ports of its own.
    let names = lines.iter().find_map(|(name, value)| match value {
        Value::OwnName(default) => Some(match present.get(*name) {
            Some(name) => (name.clone(), *default),
            None => (making.place.project(default, &making.surroundings.projects), *default),
        }),
        _ => None,
    });
    let is_first = names.as_ref().is_none_or(|(name, default)| name == default);
    let count = lines.iter().filter(|(_, value)| matches!(value, Value::OwnPort(_))).count();
    let undecided =
        lines.iter().any(|(name, value)| matches!(value, Value::OwnPort(_)) && !present.contains_key(*name));
    let mut next = match u16::try_from(count) {
        Ok(count) if undecided && making.decides && !is_first => making.place.ports(count, making.is_free),
        _ => 0,
    };
    let mut missing = Vec::new();
    for (name, value) in &lines {
        let own = matches!(value, Value::OwnName(_) | Value::OwnPort(_));
        let (value, is_secret) = match value {
            Value::Plain(value) => ((*value).to_owned(), false),
            Value::Random(length) if !present.contains_key(*name) => ((making.secret)(*length), true),
            Value::Random(_) => continue,
            Value::OwnName(default) => {
                (names.as_ref().map_or(*default, |(name, _)| name.as_str()).to_owned(), false)
            }
            Value::OwnPort(default) if is_first => (default.to_string(), false),
            Value::OwnPort(_) => {
                next += 1;
                ((next - 1).to_string(), false)
            }
        };
        if !present.contains_key(*name) && (making.decides || !own) {
            missing.push(Added { name: (*name).to_owned(), value, secret: is_secret });
        }
    }
    Ok(missing)
}

/// A secret of its own, as those of `compose/.env` are made.
pub fn random_secret(length: usize) -> String {
    secret(std::fs::File::open("/dev/urandom").ok().as_mut(), length)
}

/// Random letters and digits from the system's generator: no character that a shell, a URL or an env file would read as
/// anything else. Each is one of 62, so 32 of them hold 190 bits.
fn secret(random: Option<&mut std::fs::File>, length: usize) -> String {
    const LETTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut letters = String::with_capacity(length);
    let mut bytes = [0_u8; 1];
    let mut source: Box<dyn FnMut() -> u8> = match random {
        Some(file) => Box::new(move || {
            file.read_exact(&mut bytes).expect("the system's random generator answers");
            bytes[0]
        }),
        // No /dev/urandom (Windows): the seeds of the standard library's hash maps come from the system's generator.
        None => Box::new(|| {
            use std::hash::{BuildHasher as _, Hasher as _};
            std::collections::hash_map::RandomState::new().build_hasher().finish().to_le_bytes()[0]
        }),
    };
    while letters.len() < length {
        // 248 is the largest multiple of 62 in a byte: what lies above would favour the first letters.
        let byte = source();
        if byte < 248 {
            letters.push(char::from(LETTERS[usize::from(byte % 62)]));
        }
    }
    letters
}

/// Adds lines to the file through a new one beside it, so that a kill leaves the old or the new one; only the user may
/// read it.
fn append(path: &Path, missing: &[Added]) -> std::io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    match std::fs::read_to_string(path) {
        Ok(text) => {
            file.write_all(text.as_bytes())?;
            if !text.is_empty() && !text.ends_with('\n') {
                file.write_all(b"\n")?;
            }
        }
        Err(_) => file.write_all(b"# Generated by `cargo xtask dev` for this checkout; not for git.\n")?,
    }
    for Added { name, value, .. } in missing {
        writeln!(file, "{name}={value}")?;
    }
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is made in a checkout `second`, beside others of these projects, where no port is taken.
    fn made_beside(
        template: &str,
        present: &BTreeMap<String, String>,
        others: &[&str],
    ) -> Result<Vec<Added>, EnvironmentError> {
        let projects = others.iter().map(|&name| name.to_owned()).collect();
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("second");
        std::fs::create_dir_all(directory.join(".git")).unwrap();
        let mut making = Making {
            place: Place::of(&Project::at(directory)),
            surroundings: &Surroundings { projects, ..Surroundings::default() },
            is_free: &|_| true,
            secret: &mut |length| "x".repeat(length),
            decides: true,
        };
        complete(template, present, &mut making)
    }

    #[test]
    fn a_further_checkout_gets_a_name_and_ports_that_it_keeps() {
        let template = "HOMEPORT_PROJECT=<own-name:shop>\nA_PORT=<own-port:80>\nB_PORT=<own-port:81>\n";
        let made = |present: &BTreeMap<String, String>, others: &[&str]| {
            let made = made_beside(template, present, others).unwrap();
            made.into_iter().map(|one| (one.name, one.value)).collect::<BTreeMap<_, _>>()
        };
        let first = made(&BTreeMap::new(), &[]);
        let expected = [("HOMEPORT_PROJECT", "shop"), ("A_PORT", "80"), ("B_PORT", "81")];
        assert_eq!(first, expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
        assert_eq!(made(&first, &["shop"]), BTreeMap::new(), "what is decided stays");

        let second = made(&BTreeMap::new(), &["shop"]);
        assert_eq!(second["HOMEPORT_PROJECT"], "shop-second");
        let port = |name: &str| second[name].parse::<u16>().unwrap();
        assert_eq!(port("B_PORT"), port("A_PORT") + 1);
        assert!(port("A_PORT") >= 12_000);
        // A service that came later takes its place beside the others; a port that a person chose stays.
        let without = BTreeMap::from([
            ("HOMEPORT_PROJECT".to_owned(), "shop-second".to_owned()),
            ("A_PORT".to_owned(), "4711".to_owned()),
        ]);
        assert_eq!(made(&without, &["shop"]).into_keys().collect::<Vec<_>>(), ["B_PORT"]);
        assert_ne!(made(&without, &[])["B_PORT"], "81", "its name says that it is not the first");
    }

    #[test]
    fn only_what_is_missing_is_made() {
        let template = "# how\nDB_USER=hello\n\nDB_PASSWORD=<random:24>\nADMIN=<random:16>\n";
        let present = BTreeMap::from([("ADMIN".to_owned(), "mine".to_owned())]);
        let made = made_beside(template, &present, &[]).unwrap();
        let made: Vec<_> =
            made.iter().map(|one| (one.name.as_str(), one.value.as_str(), one.secret)).collect();
        assert_eq!(made, [("DB_USER", "hello", false), ("DB_PASSWORD", &"x".repeat(24), true)]);
    }

    #[test]
    fn data_that_was_made_with_a_secret_that_is_lost_is_named() {
        let text = "services:\n  store: {image: a, environment: {P: 'secret', Q: 'x-other-x'}, volumes: ['data:/d', 'more:/m']}\n  \
                    page: {image: a, environment: {P: 'secret'}}\n  aside: {image: a, volumes: ['more:/m']}\nvolumes: {data: {}, more: {}}\n";
        let source = crate::stack::Source {
            path: Path::new("compose.yaml"),
            text,
            directory: Path::new("/stack"),
            project: None,
            variables: &|_| None,
            files: &|_| None,
        };
        let stack = crate::stack::parse(&source).unwrap().stack;
        let seen = |name: &str| VolumeSeen {
            engine_name: format!("stack-{name}"),
            name: crate::stack::VolumeName::new(name),
            config_hash: String::new(),
        };
        let added = |name: &str, value: &str, secret| Added {
            name: name.to_owned(),
            value: value.to_owned(),
            secret,
        };
        let all = [added("FIRST", "secret", true), added("SECOND", "other", true), added("USER", "x", false)];
        let told = outlived_secrets(&stack, &[seen("data")], &all);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(
            told[0].starts_with("volume data holds data that store made with another FIRST, SECOND than"),
            "{told:?}"
        );
        assert_eq!(outlived_secrets(&stack, &[], &all), [""; 0], "there is no data yet");
        assert_eq!(outlived_secrets(&stack, &[seen("data")], &all[2..]), [""; 0], "a name is no secret");
    }

    #[test]
    fn a_wrong_template_is_named_by_line() {
        let table = [
            ("A=1\nB", "line 2: expected NAME=value or a comment, found \"B\""),
            ("A=<random:4>", "line 1: expected <random:N> with N from 16 to 128, found \"<random:4>\""),
            ("A=<random:x>", "line 1: expected <random:N> with N from 16 to 128, found \"<random:x>\""),
            (
                "A=<own-port:0>",
                "line 1: expected <own-port:N> with N from 1 to 65535, found \"<own-port:0>\"",
            ),
        ];
        for (template, expected) in table {
            let error = made_beside(template, &BTreeMap::new(), &[]).err().expect("it is wrong");
            assert_eq!(error.to_string(), expected);
        }
    }

    #[test]
    fn secrets_differ_and_use_all_letters() {
        for mut source in [std::fs::File::open("/dev/urandom").ok(), None] {
            let one = secret(source.as_mut(), 64);
            let other = secret(source.as_mut(), 64);
            assert_eq!(one.len(), 64);
            assert!(one.chars().all(|c| c.is_ascii_alphanumeric()), "{one}");
            assert_ne!(one, other);
        }
    }
}
