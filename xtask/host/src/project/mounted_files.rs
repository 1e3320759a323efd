//! Digests over files of the checkout that decide over a container: those it mounts, because its process has read something
//! that is no longer there; and those its work is repeated for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::plan::Repeats;
use crate::stack::{ServiceName, Stack, hex};

/// For every service that mounts files or directories of the checkout to read them: SHA-256 over their paths and contents.
/// Directories are read whole, except for what editors leave there. What cannot be read counts as absent; the engine says
/// so when it mounts it.
pub fn digest_mounted_files(stack: &Stack, root: &Path) -> BTreeMap<ServiceName, String> {
    let mut digests = BTreeMap::new();
    for (name, service) in &stack.services {
        let files = collected(service.files_read().filter(|path| path.starts_with(root)));
        if !files.is_empty() {
            digests.insert(name.clone(), digest(&files, root));
        }
    }
    digests
}

/// For every service whose work is repeated for files: SHA-256 over their paths and contents, as above; and what they are
/// called.
pub fn digest_repeats(stack: &Stack, root: &Path) -> BTreeMap<ServiceName, Repeats> {
    let repeated = stack.services.iter().filter(|(_, service)| !service.homeport.repeat_for.is_empty());
    let repeats = repeated.map(|(name, service)| {
        let paths = &service.homeport.repeat_for;
        let told: Vec<String> =
            paths.iter().map(|path| path.strip_prefix(root).unwrap_or(path).display().to_string()).collect();
        let digest = digest(&collected(paths), root);
        (name.clone(), Repeats { digest, told: told.join(", ") })
    });
    repeats.collect()
}

fn collected<'a>(sources: impl IntoIterator<Item = &'a PathBuf>) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = Vec::new();
    for source in sources {
        collect(source, &mut files);
    }
    files.sort();
    files
}

fn digest(files: &[PathBuf], root: &Path) -> String {
    let mut digest = Sha256::new();
    for file in files {
        let content = std::fs::read(file).unwrap_or_default();
        let path = file.strip_prefix(root).unwrap_or(file).to_string_lossy().into_owned();
        // Lengths first: two files must not be able to look like one.
        digest.update((path.len() as u64).to_le_bytes());
        digest.update(path);
        digest.update((content.len() as u64).to_le_bytes());
        digest.update(content);
    }
    hex(&digest.finalize())
}

/// Whether a file is an editor's own, or the system's, and nobody's source: backup copies, swap files, vim's probe for write
/// access, what Emacs saves by itself, what `JetBrains` editors put in place, the Finder's notes.
pub fn is_editors_own(path: &Path) -> bool {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return true };
    name.ends_with('~')
        || name.starts_with(".#")
        || (name.len() > 1 && name.starts_with('#') && name.ends_with('#'))
        || ["4913", ".DS_Store"].contains(&name)
        || [".swp", ".swx", ".swo", ".tmp", "___jb_tmp___", "___jb_old___"]
            .iter()
            .any(|ending| name.ends_with(ending))
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) {
    if let Ok(entries) = std::fs::read_dir(path) {
        for path in entries.flatten().map(|entry| entry.path()).filter(|path| !is_editors_own(path)) {
            collect(&path, files);
        }
    } else if path.is_file() {
        files.push(path.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_read_whole_and_contents_count() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("rules/deep")).unwrap();
        std::fs::write(root.path().join("rules/deep/a.yaml"), "one").unwrap();
        std::fs::write(root.path().join("rules/deep/.a.yaml.swp"), "half").unwrap();
        let mut files = Vec::new();
        collect(&root.path().join("rules"), &mut files);
        assert_eq!(files, [root.path().join("rules/deep/a.yaml")]);
    }

    fn stack(text: &str, root: &Path) -> Stack {
        let source = crate::stack::Source {
            text,
            path: Path::new("compose.yaml"),
            directory: &root.join("compose"),
            project: None,
            variables: &|_| None,
            files: &|_| None,
        };
        crate::stack::parse(&source).unwrap().stack
    }

    #[test]
    fn what_a_container_writes_does_not_replace_it() {
        let root = tempfile::tempdir().unwrap();
        for made in ["compose/read", "compose/written"] {
            std::fs::create_dir_all(root.path().join(made)).unwrap();
            std::fs::write(root.path().join(made).join("text"), "one").unwrap();
        }
        let text = "services: {web: {image: a, volumes: ['./read:/read:ro', './written:/written']}, \
                    other: {image: a, volumes: ['./written:/written']}}";
        let stack = stack(text, root.path());
        let digests = || digest_mounted_files(&stack, root.path());
        let before = digests();
        assert_eq!(before.keys().map(ServiceName::as_str).collect::<Vec<_>>(), ["web"]);
        std::fs::write(root.path().join("compose/written/text"), "two").unwrap();
        assert_eq!(digests(), before);
        std::fs::write(root.path().join("compose/read/text"), "two").unwrap();
        assert_ne!(digests(), before);
    }

    #[test]
    fn work_is_another_when_a_file_or_its_name_is() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        let text = "services: {once: {image: a, x-homeport: {repeat_for: [../work, ../more.sql]}}, \
                    web: {image: a, depends_on: {once: {condition: service_completed_successfully}}}}";
        let stack = stack(text, root.path());
        let repeats = || {
            let mut repeats = digest_repeats(&stack, root.path());
            assert_eq!(repeats.len(), 1, "only what says so");
            let once = repeats.remove(&ServiceName::new("once")).unwrap();
            assert_eq!(once.told, "work, more.sql");
            once.digest
        };
        // Also of what is not there.
        let mut seen = vec![repeats()];
        for (path, text) in
            [("work/1/up.sql", "a"), ("work/1/up.sql", "b"), ("work/2/up.sql", ""), ("more.sql", "")]
        {
            write(path, text);
            let digest = repeats();
            assert!(!seen.contains(&digest), "{path}: {text:?}");
            seen.push(digest);
        }
        write("work/2/up.sql~", "an editor's own");
        write("work/2/up.sql", "");
        assert_eq!(seen.last(), Some(&repeats()));
    }

    #[test]
    fn editors_own_files_do_not_count() {
        let own = [
            ".main.rs.swp",
            "main.rs~",
            ".#main.rs",
            "#main.rs#",
            "4913",
            "main.rs___jb_tmp___",
            "main.rs___jb_old___",
            ".DS_Store",
        ];
        for name in own {
            assert!(is_editors_own(&Path::new("/p/src").join(name)), "{name}");
        }
        for name in ["main.rs", "Cargo.lock", ".env", "#", "#notes"] {
            assert!(!is_editors_own(&Path::new("/p/src").join(name)), "{name}");
        }
    }
}
