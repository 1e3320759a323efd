//! `x-homeport` of a service: what only Homeport needs.

use super::cursor::Cursor;
use super::model::Homeport;
use super::signal::signal;

/// The extension; unlike those of others, a key in it that is unknown is a fault.
pub(super) fn read(at: &Cursor<'_>) -> Homeport {
    let mut section = at.section();
    let optional = section.take("optional").and_then(|at| at.boolean()).unwrap_or(false);
    let mut text = |key| section.take(key).and_then(|at: Cursor<'_>| at.filled_text());
    let (package, recipe) = (text("package"), text("recipe"));
    let reload = section.take("reload").and_then(|at| at.parsed_text(signal));
    let url_path = section.take("url_path").and_then(|at| path(&at));
    let ready_path = section.take("ready_path").and_then(|at| path(&at));
    section.finish_strictly(&[]);
    Homeport { optional, package, recipe, url_path, ready_path, reload }
}

fn path(at: &Cursor<'_>) -> Option<String> {
    let path = at.text()?;
    if !path.starts_with('/') {
        at.fault(format!("the path {path:?} must begin with /"));
        return None;
    }
    Some(path)
}
