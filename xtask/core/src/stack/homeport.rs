//! `x-homeport` of a service: what only Homeport needs.

use std::path::PathBuf;

use super::cursor::Cursor;
use super::model::{Homeport, Mount, MountSource};
use super::signal::signal;
use super::{Context, paths, quantity};

/// The extension of a service with these mounts; unlike those of others, a key in it that is unknown is a fault.
pub(super) fn read(at: &Cursor<'_>, mounts: &[Mount], context: &Context<'_>) -> Homeport {
    let mut section = at.section();
    let optional = section.take("optional").and_then(|at| at.boolean()).unwrap_or(false);
    let mut text = |key| section.take(key).and_then(|at: Cursor<'_>| at.filled_text());
    let (package, recipe) = (text("package"), text("recipe"));
    let max_size =
        section.take("max_size").and_then(|at| at.parsed(quantity::bytes)).filter(|size| *size > 0);
    let reload = section.take("reload").and_then(|at| at.parsed_text(signal));
    let check_at = section.take("reload_check");
    if let Some(at) = check_at.as_ref().filter(|_| reload.is_none()) {
        at.fault("checks what `reload` makes the process read, and there is none");
    }
    let reload_check = check_at.map(|at| at.texts()).unwrap_or_default();
    let url_path = section.take("url_path").and_then(|at| path(&at));
    let ready_path = section.take("ready_path").and_then(|at| path(&at));
    let repeat_for = section.take("repeat_for").map(|at| at.texts()).unwrap_or_default();
    let repeat_for = repeat_for.iter().map(|path| paths::absolute(context.source.directory, path)).collect();
    let first_start = section.take("first_start").map(|at| at.list()).unwrap_or_default();
    let first_start = first_start.iter().filter_map(|at| mounted(at, mounts, context)).collect();
    section.finish_strictly(&[]);
    Homeport {
        optional,
        package,
        max_size,
        recipe,
        url_path,
        ready_path,
        reload,
        reload_check,
        repeat_for,
        first_start,
    }
}

/// A path of this machine that is mounted to be read.
fn mounted(at: &Cursor<'_>, mounts: &[Mount], context: &Context<'_>) -> Option<PathBuf> {
    let path = paths::absolute(context.source.directory, &at.filled_text()?);
    let reads = |mount: &Mount| mount.read_only && mount.source == MountSource::Bind(path.clone());
    if !mounts.iter().any(reads) {
        at.fault("is no path that this service mounts read-only");
        return None;
    }
    Some(path)
}

fn path(at: &Cursor<'_>) -> Option<String> {
    let path = at.text()?;
    if !path.starts_with('/') {
        at.fault(format!("the path {path:?} must begin with /"));
        return None;
    }
    Some(path)
}
