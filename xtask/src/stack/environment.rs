//! `environment`, `env_file` and build arguments of a service.

use std::collections::BTreeMap;

use super::Context;
use super::cursor::Cursor;
use super::env_file::parse_env_file;
use super::paths;
use super::yaml::Value;

/// Names with their values; a name without a value takes the variable of that name, or is left out when that is unset
/// (Compose Specification, "environment").
pub(super) fn resolved(at: &Cursor<'_>, context: &Context<'_>) -> BTreeMap<String, String> {
    let named = at.assignments();
    if named.contains_key("") {
        at.fault("a variable has no name");
    }
    (named.into_iter())
        .filter_map(|(name, value)| {
            let value = value.or_else(|| (context.source.variables)(&name))?;
            Some((name, value))
        })
        .collect()
}

/// The variables of the files that `env_file` names; later files go before earlier ones.
pub(super) fn from_files(at: &Cursor<'_>, context: &Context<'_>) -> BTreeMap<String, String> {
    let mut environment = BTreeMap::new();
    for at in at.list_or_one() {
        let Some((file, required)) = file(&at) else { continue };
        let path = paths::absolute(context.source.directory, &file);
        let Some(text) = (context.source.files)(&path) else {
            if required {
                at.fault(format!("the file {file:?} does not exist"));
            }
            continue;
        };
        let lookup = |name: &str| environment.get(name).cloned().or_else(|| (context.source.variables)(name));
        match parse_env_file(&text, &lookup) {
            Ok(variables) => environment.extend(variables),
            Err(faults) => faults.iter().for_each(|fault| at.fault(format!("{file}:{fault}"))),
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
