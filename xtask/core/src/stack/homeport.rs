//! `x-homeport` of a service: what only Homeport needs.

use super::cursor::Cursor;
use super::model::Homeport;
use super::signal::signal;
use super::{Context, paths, quantity};

/// The extension; unlike those of others, a key in it that is unknown is a fault.
pub(super) fn read(at: &Cursor<'_>, context: &Context<'_>) -> Homeport {
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
    section.finish_strictly(&[]);
    Homeport { optional, package, max_size, recipe, url_path, ready_path, reload, reload_check, repeat_for }
}

fn path(at: &Cursor<'_>) -> Option<String> {
    let path = at.text()?;
    if !path.starts_with('/') {
        at.fault(format!("the path {path:?} must begin with /"));
        return None;
    }
    Some(path)
}
