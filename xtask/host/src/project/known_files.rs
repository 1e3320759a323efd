//! The files of a checkout that git knows, or would take if they were added.

use std::path::{Path, PathBuf};

use crate::failure::{Code, Failure};
use crate::limits;
use crate::process::Program;

/// A file that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its path below the checkout, as it is told; what is no UTF-8 in it is replaced.
    pub name: String,
}

/// All of them, submodules apart. One that git knows and that was removed is none.
///
/// # Errors
/// When git is missing, or knows no file here: a check of nothing must not pass.
pub async fn known_files(root: &Path) -> Result<Vec<KnownFile>, Failure> {
    let refused = |why: String| {
        Failure::new(Code::ProgramMissing, format!("cannot list the repository's files: {why}"))
            .hint("what is looked at is what git knows")
    };
    let list = Program::new("git", limits::CHECK)
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .directory(root)
        .bytes()
        .await
        .map_err(|error| refused(error.to_string()))?;
    let names = list.split(|byte| *byte == 0).filter(|name| !name.is_empty());
    let known: Vec<KnownFile> = names
        .map(|name| KnownFile {
            path: root.join(path_of(name)),
            name: String::from_utf8_lossy(name).into_owned(),
        })
        .collect();
    if known.is_empty() {
        return Err(refused("git knows none here".to_owned()));
    }
    Ok(known.into_iter().filter(|file| file.path.is_file()).collect())
}

#[cfg(unix)]
fn path_of(name: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt as _;
    PathBuf::from(std::ffi::OsStr::from_bytes(name))
}

#[cfg(not(unix))]
fn path_of(name: &[u8]) -> PathBuf {
    // git speaks UTF-8 there.
    PathBuf::from(String::from_utf8_lossy(name).into_owned())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    async fn git(root: &Path, arguments: &[&str]) {
        let git = Program::new("git", limits::CHECK).args(arguments.iter().copied()).directory(root);
        git.output().await.expect("git");
    }

    #[tokio::test]
    async fn a_name_that_is_no_utf8_hides_no_file() {
        let root = tempfile::tempdir().unwrap();
        git(root.path(), &["init", "--quiet"]).await;
        assert!(known_files(root.path()).await.is_err(), "of nothing nothing can be said");
        for name in [&b"a.txt"[..], b"b\xfcro.txt", b"two\nlines", b"c.txt"] {
            std::fs::write(root.path().join(path_of(name)), "x").unwrap();
        }
        git(root.path(), &["add", "."]).await;
        std::fs::remove_file(root.path().join("a.txt")).unwrap();
        let files = known_files(root.path()).await.unwrap();
        let names: Vec<&str> = files.iter().map(|file| file.name.as_str()).collect();
        assert_eq!(names, ["b\u{fffd}ro.txt", "c.txt", "two\nlines"]);
        assert!(files.iter().all(|file| std::fs::read(&file.path).is_ok()));
    }
}
