//! `volumes` and `tmpfs` of a service.

use super::Context;
use super::cursor::Cursor;
use super::model::{Mount, MountSource, VolumeName};
use super::paths;
use super::quantity;
use super::yaml::Value;

const ANONYMOUS: &str =
    "Homeport does not support volumes without a name: it could not tell them from left-overs";

/// One entry of `volumes`, in either syntax.
pub(super) fn volume(at: &Cursor<'_>, context: &Context<'_>) -> Option<Mount> {
    match at.node.value {
        Value::Map(_) => long(at, context),
        _ => short(at, context),
    }
}

/// `SOURCE:TARGET[:MODE]`
fn short(at: &Cursor<'_>, context: &Context<'_>) -> Option<Mount> {
    let text = at.filled_text()?;
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, mode) = match parts[..] {
        [_] => {
            at.fault(ANONYMOUS);
            return None;
        }
        [source, target] => (source, target, ""),
        [source, target, mode] if !mode.is_empty() => (source, target, mode),
        _ => {
            at.fault(format!("{text:?} is not SOURCE:TARGET or SOURCE:TARGET:MODE"));
            return None;
        }
    };
    let mut read_only = false;
    for option in mode.split(',').filter(|option| !option.is_empty()) {
        match option {
            "ro" => read_only = true,
            "rw" => read_only = false,
            // Hints to Docker Desktop of old that no engine reads any more (Compose Specification, "consistency").
            "cached" | "delegated" | "consistent" => {}
            _ => at.fault(format!("Homeport does not support the mount option {option:?}, only ro and rw")),
        }
    }
    // `d:/x` is a drive of Windows to Compose.
    if source.chars().count() == 1 && source.starts_with(|c: char| c.is_ascii_alphabetic()) {
        at.fault(format!("the volume's name {source:?} reads as a drive of Windows: give it two letters"));
        return None;
    }
    let source = if source.starts_with(['.', '/', '~']) {
        bind(at, source, context)?
    } else {
        MountSource::Volume(VolumeName::new(source))
    };
    Some(Mount { target: target_path(at, target)?, read_only, source })
}

/// A mapping with `type`, `source`, `target`, `read_only` and options of the type.
fn long(at: &Cursor<'_>, context: &Context<'_>) -> Option<Mount> {
    let mut section = at.section();
    let kind_at = section.take("type");
    let source_at = section.take("source");
    let target_at = section.take("target");
    let read_only = section.take("read_only").and_then(|at| at.boolean()).unwrap_or(false);
    section.take("consistency").and_then(|at| at.text());
    options(section.take("bind"), "create_host_path", true, &["propagation", "recursive", "selinux"]);
    options(section.take("volume"), "nocopy", false, &["labels", "subpath"]);
    let tmpfs_at = section.take("tmpfs");
    section.finish(&["image"]);
    for (key, found) in [("type", kind_at.is_some()), ("target", target_at.is_some())] {
        if !found {
            at.fault(format!("needs a `{key}`"));
        }
    }
    let kind_at = kind_at?;
    let kind = kind_at.text()?;
    let source = match (kind.as_str(), source_at) {
        ("bind", Some(at)) => bind(&at, &at.filled_text()?, context)?,
        ("bind", None) => {
            at.fault("needs a `source`");
            return None;
        }
        ("volume", Some(at)) => MountSource::Volume(VolumeName::new(at.filled_text()?)),
        ("volume", None) => {
            at.fault(ANONYMOUS);
            return None;
        }
        ("tmpfs", None) => {
            let mut source = (None, None);
            if let Some(at) = tmpfs_at {
                let mut section = at.section();
                source.0 =
                    section.take("size").and_then(|at| at.parsed(quantity::bytes)).filter(|size| *size > 0);
                source.1 = section.take("mode").and_then(|at| at.integer()).filter(|mode| *mode > 0);
                section.finish(&[]);
            }
            MountSource::Tmpfs { size: source.0, mode: source.1 }
        }
        ("tmpfs", Some(at)) => {
            at.fault("a tmpfs has no source");
            return None;
        }
        _ => {
            kind_at.fault(format!(
                "Homeport does not support mounts of type {kind:?}, only bind, volume and tmpfs"
            ));
            return None;
        }
    };
    let target_at = target_at?;
    Some(Mount { target: target_path(&target_at, &target_at.filled_text()?)?, read_only, source })
}

/// A mapping of options of which only one is known, and only with the value that is its default.
fn options(at: Option<Cursor<'_>>, key: &'static str, default: bool, unsupported: &[&str]) {
    let Some(at) = at else { return };
    let mut section = at.section();
    if let Some(at) = section.take(key)
        && at.boolean().is_some_and(|value| value != default)
    {
        at.fault(format!("Homeport supports only {default} here"));
    }
    section.finish(unsupported);
}

fn bind(at: &Cursor<'_>, source: &str, context: &Context<'_>) -> Option<MountSource> {
    let directory = context.source.directory;
    let path = match source.strip_prefix('~') {
        Some(rest) if !rest.is_empty() && !rest.starts_with('/') => {
            at.fault("Homeport does not support the home of somebody else");
            return None;
        }
        Some(rest) => {
            let Some(home) = (context.source.variables)("HOME") else {
                at.fault("~ needs the variable HOME, which is not set");
                return None;
            };
            paths::absolute(directory, &format!("{home}{rest}"))
        }
        None => paths::absolute(directory, source),
    };
    Some(MountSource::Bind(path))
}

fn target_path(at: &Cursor<'_>, target: &str) -> Option<String> {
    match paths::in_container(target) {
        Ok(target) => Some(target),
        Err(message) => {
            at.fault(message);
            None
        }
    }
}

/// One entry of `tmpfs`: `TARGET[:size=…,mode=…,ro]`, the mode in octal digits as mount(8) reads it.
pub(super) fn tmpfs(at: &Cursor<'_>) -> Option<Mount> {
    let text = at.filled_text()?;
    let (target, options) = text.split_once(':').unwrap_or((&text, ""));
    let (mut read_only, mut size, mut mode) = (false, None, None);
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option.split_once('=') {
            None if option == "ro" => read_only = true,
            None if option == "rw" => read_only = false,
            Some(("size", value)) => match quantity::bytes(value) {
                Ok(bytes) => size = Some(bytes).filter(|bytes| *bytes > 0),
                Err(message) => at.fault(message),
            },
            Some(("mode", value)) => match u32::from_str_radix(value, 8) {
                Ok(bits) => mode = Some(bits),
                Err(_) => at.fault(format!("{value:?} is not a mode such as 1777")),
            },
            _ => at.fault(format!(
                "Homeport does not support the tmpfs option {option:?}, only size, mode, ro and rw"
            )),
        }
    }
    Some(Mount { target: target_path(at, target)?, read_only, source: MountSource::Tmpfs { size, mode } })
}
