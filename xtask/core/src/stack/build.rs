//! `build` of a service: what it says, and whether it is what Homeport does.

use std::path::Path;

use super::cursor::Cursor;
use super::model::{Build, Service, Stack};
use super::{Context, Fault, environment, paths, yaml};

/// The builds of a stack that Homeport would not do as they are written, each as a fault. What it does is one thing: the
/// Dockerfile beside the workspace's Cargo.toml makes the image of one package (`x-homeport: {package: NAME}`).
///
/// `text` is what the stack was parsed from, `workspace` the absolute directory of Cargo.toml.
pub fn unlike_ours(text: &str, stack: &Stack, workspace: &Path) -> Vec<Fault> {
    let Ok(root) = yaml::read(text) else { return Vec::new() };
    let mut found: Vec<Fault> = stack
        .services
        .iter()
        .filter_map(|(name, service)| {
            let message = difference(service, workspace)?;
            let at = ["services", name.as_str(), "build"];
            Some(Fault { line: line(&root, &at), key: at.join("."), message })
        })
        .collect();
    found.sort();
    found
}

fn difference(service: &Service, workspace: &Path) -> Option<String> {
    let build = service.build.as_ref()?;
    if service.homeport.package.is_none() {
        let message = "Homeport builds the image of a workspace's package, and none is named: \
                       `x-homeport: {package: NAME}`, or an `image` alone that others build";
        return Some(message.to_owned());
    }
    let dockerfile = workspace.join("Dockerfile");
    let said = if build.context != workspace {
        format!("the context {}, expected {}", build.context.display(), workspace.display())
    } else if build.dockerfile != dockerfile {
        format!("the Dockerfile {}, expected {}", build.dockerfile.display(), dockerfile.display())
    } else if let Some(target) = &build.target {
        format!("the stage {target}, expected the last one")
    } else if let Some(name) = build.args.keys().next() {
        format!("the argument {name}, expected the Dockerfile's defaults")
    } else {
        return None;
    };
    Some(format!("Homeport would not build this as it is written: found {said}"))
}

/// The line of a key; that of the deepest one that is there.
fn line(root: &yaml::Node, keys: &[&str]) -> usize {
    let (mut node, mut line) = (root, root.line);
    for key in keys {
        let yaml::Value::Map(entries) = &node.value else { return line };
        let Some(entry) = entries.iter().find(|entry| entry.key == *key) else { return line };
        (node, line) = (&entry.node, entry.line);
    }
    line
}

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
