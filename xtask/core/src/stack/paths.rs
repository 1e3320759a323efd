//! Paths, made absolute by their text alone: no file system is asked, so a symbolic link stays what it is called.

use std::path::{Component, Path, PathBuf};

/// `path` seen from `directory`, without `.` and `..`.
pub(super) fn absolute(directory: &Path, path: &str) -> PathBuf {
    clean(&directory.join(path))
}

/// The path without `.`, `..`, doubled or trailing slashes.
pub(super) fn clean(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir if clean.file_name().is_some() => {
                clean.pop();
            }
            // The root's parent is the root.
            Component::ParentDir if clean.has_root() => {}
            other => clean.push(other),
        }
    }
    clean
}

/// A path in the container, which is Unix whatever the host is: absolute and clean.
///
/// # Errors
/// When it is not absolute.
pub(super) fn in_container(path: &str) -> Result<String, String> {
    if !path.starts_with('/') {
        return Err(format!("{path:?} must be an absolute path in the container"));
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    Ok(format!("/{}", parts.join("/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_and_doubled_slashes_are_resolved() {
        let table = [
            ("/a", "./b//c/.", "/a/b/c"),
            ("/a", "../b", "/b"),
            ("/a", "b/../../../c", "/c"),
            ("/a", "/b/./c/", "/b/c"),
            ("a", "../b", "b"),
            ("a", "../../b", "../b"),
            ("a", "../../../b", "../../b"),
        ];
        for (directory, path, expected) in table {
            assert_eq!(absolute(Path::new(directory), path), Path::new(expected), "{path} from {directory}");
        }
    }
}
