//! The stack as a person wrote it: text of a Compose file in, [`Stack`] out.
//!
//! Architecture invariant: this room is pure. It does no I/O and reads no clock; the text, the variables it
//! interpolates and the files it names are handed to it. It knows the Compose Specification and nothing of Docker's API.
//!
//! The way through it: text → tree of values with their lines (`yaml`) → the same with variables replaced
//! (`interpolation`) → typed values, key by key (`cursor`, and one file a section) → what only the whole can show
//! (`check`). Faults are gathered all the way, so that one run names them all.

mod build;
mod check;
mod cursor;
mod dependency;
mod deploy;
mod env_file;
mod environment;
mod fault;
mod front;
mod healthcheck;
mod homeport;
mod interpolation;
mod model;
mod mount;
mod objects;
mod paths;
mod port;
mod quantity;
mod service;
mod signal;
mod words;
pub(crate) mod yaml;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;

pub use build::unlike_ours;
pub use env_file::parse_env_file;
pub use fault::{Fault, StackError};
pub use interpolation::Variables;
pub use model::*;

use cursor::Cursor;
use fault::Faults;

/// A Compose file and all that its meaning depends on.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    /// The file's text.
    pub text: &'a str,
    /// The file as its user named it, for messages (`compose/compose.yaml`).
    pub path: &'a Path,
    /// The absolute directory of the file; relative paths in it are seen from here.
    pub directory: &'a Path,
    /// A project name that goes before the file's own.
    pub project: Option<&'a str>,
    /// The variables for interpolation and for `environment` entries without a value: the process's environment, beneath
    /// it the `.env` file beside the Compose file. `HOME` is what `~` in a bind mount stands for.
    pub variables: &'a Variables<'a>,
    /// The text of a file that `env_file` names, by absolute path; `None` when there is no such file.
    pub files: &'a dyn Fn(&Path) -> Option<String>,
}

/// A Compose file that was understood.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed {
    /// What it says.
    pub stack: Stack,
    /// What is worth a second look though it is allowed, for example a variable that is not set.
    pub warnings: Vec<Fault>,
}

/// What every section needs beside its own place in the file.
struct Context<'a> {
    source: &'a Source<'a>,
    faults: &'a Faults,
    warnings: &'a Faults,
}

/// Reads a Compose file as `docker compose` would: variables replaced, defaults filled in, paths absolute.
///
/// # Errors
/// Every fault that could be found, with key and line: no YAML, a missing variable, a key that Homeport does not
/// support, a value of the wrong kind, a name that is not declared, a cycle of dependencies.
pub fn parse(source: &Source<'_>) -> Result<Parsed, StackError> {
    let failed = |project, faults| StackError { file: source.path.to_owned(), project, faults };
    let chosen = || source.project.and_then(chosen_project);
    let mut root = yaml::read(source.text).map_err(|fault| failed(chosen(), vec![fault]))?;
    let (faults, warnings) = (Faults::default(), Faults::default());
    let context = Context { source, faults: &faults, warnings: &warnings };
    let project = project_name(&root, &context);
    let stack = read(&mut root, project.clone(), &context);
    let faults = faults.into_sorted();
    match stack {
        Some(stack) if faults.is_empty() => Ok(Parsed { stack, warnings: warnings.into_sorted() }),
        _ => Err(failed(project, with_unset_variables(faults, warnings.into_sorted()))),
    }
}

/// The faults, each beside the warnings about its own value: a name that is empty because its variable is not set is
/// understood only with the variable.
fn with_unset_variables(faults: Vec<Fault>, warnings: Vec<Fault>) -> Vec<Fault> {
    let blamed =
        |warning: &Fault| faults.iter().any(|fault| fault.line == warning.line && fault.key == warning.key);
    let mut all: Vec<Fault> = warnings.into_iter().filter(blamed).collect();
    all.extend(faults);
    all.sort();
    all
}

/// The whole document; `None` only after a fault.
fn read(root: &mut yaml::Node, project: Option<ProjectName>, context: &Context<'_>) -> Option<Stack> {
    let Context { source, faults, warnings } = *context;
    let lookup = |name: &str| match name {
        // Compose sets it, so a file may rely on it (Compose Specification, "name top-level element").
        "COMPOSE_PROJECT_NAME" => project.as_ref().map(ToString::to_string),
        _ => (source.variables)(name),
    };
    interpolation::interpolate(root, &lookup, faults, warnings);

    let at = Cursor::root(root, faults);
    if at.is_null() {
        at.fault("the file is empty; it needs `services`");
        return None;
    }
    let mut top = at.section();
    // Read above, before anything else was interpolated.
    let _ = top.take_nullable("name");
    if let Some(version) = top.take_nullable("version") {
        warnings.add(version.line, &version.key, "this key has no meaning any more; remove it");
    }
    let services_written = at.entries().iter().any(|(key, _)| *key == "services");
    let services_at = top.take("services");
    let networks_at = top.take("networks");
    let volumes_at = top.take("volumes");
    if !services_written {
        at.fault("there is no `services`");
    }
    top.finish(&["include", "secrets", "configs", "models"]);
    let project = project?;
    let networks = networks_at.map(|at| objects::networks(&at, &project)).unwrap_or_default();
    let volumes = volumes_at.map(|at| objects::volumes(&at, &project)).unwrap_or_default();
    let services = services_at?;
    if services.entries().is_empty() {
        services.fault("there is no service");
    }
    let lines: BTreeMap<ServiceName, Cursor<'_>> =
        services.entries().into_iter().map(|(name, at)| (ServiceName::new(name), at)).collect();
    let services = (lines.iter())
        .filter_map(|(name, at)| {
            check::name(at, name.as_str(), "service");
            Some((name.clone(), service::read(at, name.as_str(), &project, context)?))
        })
        .collect();
    let mut stack = Stack { project, services, networks, volumes };
    check::whole(&mut stack, &lines);
    Some(stack)
}

/// The project's name: the caller's, else the file's, else the directory's.
fn project_name(root: &yaml::Node, context: &Context<'_>) -> Option<ProjectName> {
    let Context { source, faults, .. } = *context;
    let at = Cursor::root(root, faults);
    let written = match &root.value {
        yaml::Value::Map(_) => at.entries().into_iter().find(|(key, _)| *key == "name"),
        _ => None,
    };
    let line = written.as_ref().map_or(0, |(_, at)| at.line);
    let name = match (source.project, written) {
        (Some(chosen), _) => chosen.to_owned(),
        (None, Some((_, at))) => {
            // What is wrong with its variables is reported where the whole document is interpolated.
            interpolation::substitute(&at.text()?, source.variables, &mut Vec::new()).ok()?
        }
        (None, None) => directory_name(source.directory),
    };
    if !is_project(&name) {
        let chosen = if source.project.is_some() { " (chosen by HOMEPORT_PROJECT)" } else { "" };
        let message = format!(
            "the project's name {name:?}{chosen} must begin with a lower-case letter or digit and contain only these, - and _"
        );
        faults.add(line, "name", message);
        return None;
    }
    Some(ProjectName::new(name))
}

/// A name that goes before the file's own, when it can be one.
pub fn chosen_project(name: &str) -> Option<ProjectName> {
    is_project(name).then(|| ProjectName::new(name))
}

/// Whether a project may be called so (Compose Specification, "name top-level element").
fn is_project(name: &str) -> bool {
    let first = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    name.starts_with(first) && name.chars().all(|c| first(c) || c == '-' || c == '_')
}

/// The directory's own name, made valid as Compose does it: lower-case, everything foreign left out.
fn directory_name(directory: &Path) -> String {
    let name = directory.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    let kept = |c: &char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
    let name: String = name.chars().filter(kept).collect();
    name.trim_start_matches(['-', '_']).to_owned()
}
