//! `build` of a service.

use super::Context;
use super::cursor::Cursor;
use super::environment;
use super::model::Build;
use super::paths;

/// A directory, or a mapping with `context`, `dockerfile`, `args` and `target`.
pub(super) fn read(at: &Cursor<'_>, context: &Context<'_>) -> Option<Build> {
    let directory = context.source.directory;
    if let super::yaml::Value::Text(_) = &at.node.value {
        let context_directory = paths::absolute(directory, &local(at)?);
        let dockerfile = context_directory.join("Dockerfile");
        return Some(Build { context: context_directory, dockerfile, args: [].into(), target: None });
    }
    let mut section = at.section();
    let context_at = section.take("context");
    let dockerfile_at = section.take("dockerfile");
    let args = section.take("args").map(|at| environment::arguments(&at, context)).unwrap_or_default();
    let target = section.take("target").and_then(|at| at.filled_text());
    section.finish(&[
        "additional_contexts",
        "cache_from",
        "cache_to",
        "dockerfile_inline",
        "entitlements",
        "extra_hosts",
        "isolation",
        "labels",
        "network",
        "no_cache",
        "platforms",
        "privileged",
        "provenance",
        "pull",
        "sbom",
        "secrets",
        "shm_size",
        "ssh",
        "tags",
        "ulimits",
    ]);
    let written = match context_at {
        Some(at) => local(&at)?,
        None => ".".to_owned(),
    };
    let context_directory = paths::absolute(directory, &written);
    let dockerfile = match dockerfile_at {
        Some(at) => at.filled_text()?,
        None => "Dockerfile".to_owned(),
    };
    let dockerfile = paths::absolute(&context_directory, &dockerfile);
    Some(Build { context: context_directory, dockerfile, args, target })
}

/// A build context that is a directory, not an address.
fn local(at: &Cursor<'_>) -> Option<String> {
    let text = at.filled_text()?;
    if text.contains("://") || text.starts_with("git@") || text.starts_with("github.com/") {
        at.fault("Homeport builds only from a local directory");
        return None;
    }
    Some(text)
}
