//! `environment`, `env_file` and build arguments of a service.

use std::collections::BTreeMap;

use super::Context;
use super::cursor::Cursor;
use super::env_file;
use super::paths;
use super::yaml::Value;

/// The environment of a service: the files that `env_file` names, beneath what `environment` says. A name without a
/// value takes the variable of that name; when that is unset it is left out, even if a file has it (Compose
/// Specification, "environment").
pub(super) fn read(
    files: Option<&Cursor<'_>>,
    own: Option<&Cursor<'_>>,
    context: &Context<'_>,
) -> BTreeMap<String, String> {
    let own = own.map(|at| resolved(at, context)).unwrap_or_default();
    let mut environment = files.map(|at| from_files(at, &own, context)).unwrap_or_default();
    for (name, value) in own {
        match value {
            Some(value) => drop(environment.insert(name, value)),
            None => drop(environment.remove(&name)),
        }
    }
    environment
}

/// The arguments of a build; one without a value that is no variable either is left out.
pub(super) fn arguments(at: &Cursor<'_>, context: &Context<'_>) -> BTreeMap<String, String> {
    resolved(at, context).into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

fn resolved(at: &Cursor<'_>, context: &Context<'_>) -> BTreeMap<String, Option<String>> {
    let mut named = at.assignments();
    if named.contains_key("") {
        at.fault("a variable has no name");
    }
    for (name, value) in &mut named {
        if value.is_none() {
            *value = (context.source.variables)(name);
        }
    }
    named
}

/// The variables of the files, later ones over earlier ones. Interpolation in a file asks the caller's variables first,
/// then `own`, then the lines above, then the earlier files.
fn from_files(
    at: &Cursor<'_>,
    own: &BTreeMap<String, Option<String>>,
    context: &Context<'_>,
) -> BTreeMap<String, String> {
    let lookup = |name: &str| (context.source.variables)(name).or_else(|| own.get(name).cloned().flatten());
    let mut environment = BTreeMap::new();
    for at in at.list_or_one() {
        let Some((file, required)) = file(&at) else { continue };
        let path = paths::absolute(context.source.directory, &file);
        match (context.source.files)(&path) {
            Some(text) => {
                for fault in env_file::extend(&mut environment, &text, &lookup) {
                    at.fault(format!("{file}:{fault}"));
                }
            }
            None if required => at.fault(format!("the file {file:?} does not exist")),
            None => {}
        }
    }
    environment
}

/// A path, or a mapping with `path` and `required`.
fn file(at: &Cursor<'_>) -> Option<(String, bool)> {
    if !matches!(at.node.value, Value::Map(_)) {
        return Some((at.filled_text()?, true));
    }
    let mut section = at.section();
    let path = section.take("path");
    let required = section.take("required").and_then(|at| at.boolean()).unwrap_or(true);
    section.finish(&["format"]);
    if path.is_none() {
        at.fault("needs a `path`");
    }
    Some((path?.filled_text()?, required))
}
