//! Recipes: a directory with a Dockerfile that makes an image from Debian packages, or with `rootfs.sh` that makes the
//! base system the others build on.
//!
//! Reads the directory. Must not: build anything, or know whether a recipe is needed.

use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::stack::hex;

/// The file that makes a base system: called with the suite, writes a tar archive to its standard output.
pub(super) const BOOTSTRAP: &str = "rootfs.sh";

/// Instructions for the image made of a base system, one a line, beside [`BOOTSTRAP`].
pub(super) const CHANGES: &str = "changes";

/// A recipe's files, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Recipe {
    /// The directory's name.
    pub(super) name: String,
    /// The directory.
    pub(super) directory: PathBuf,
    files: Vec<File>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct File {
    /// Relative to the directory, with slashes.
    path: String,
    content: Vec<u8>,
    executable: bool,
}

impl Recipe {
    /// Reads a recipe's directory; `None` when there is none.
    pub(super) fn read(directory: &Path) -> io::Result<Option<Self>> {
        if !directory.is_dir() {
            return Ok(None);
        }
        let mut files = Vec::new();
        gather(directory, "", &mut files)?;
        files.sort_by(|a, b| a.path.cmp(&b.path));
        let name = directory.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Some(Self { name, directory: directory.to_owned(), files }))
    }

    fn file(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }

    /// The Dockerfile's text.
    pub(super) fn dockerfile(&self) -> Option<String> {
        self.file("Dockerfile").map(|file| String::from_utf8_lossy(&file.content).into_owned())
    }

    /// The script that makes a base system, when this is such a recipe.
    pub(super) fn bootstrap(&self) -> Option<PathBuf> {
        self.file(BOOTSTRAP).map(|_| self.directory.join(BOOTSTRAP))
    }

    /// A digest of everything that decides what the recipe makes: names, content and the right to be run.
    pub(super) fn hash(&self) -> String {
        let mut digest = Sha256::new();
        for file in &self.files {
            digest.update(file.path.as_bytes());
            digest.update([0, u8::from(file.executable)]);
            digest.update((file.content.len() as u64).to_le_bytes());
            digest.update(&file.content);
        }
        hex(&digest.finalize())
    }

    /// The build context: a tar archive in which nothing depends on when and by whom the files were written, so that
    /// the builder's cache is met.
    pub(super) fn context(&self) -> io::Result<Vec<u8>> {
        let mut archive = tar::Builder::new(Vec::new());
        for file in &self.files {
            let mut header = tar::Header::new_gnu();
            header.set_size(file.content.len() as u64);
            header.set_mode(if file.executable { 0o755 } else { 0o644 });
            header.set_mtime(0);
            archive.append_data(&mut header, &file.path, file.content.as_slice())?;
        }
        archive.into_inner()
    }
}

fn gather(directory: &Path, prefix: &str, files: &mut Vec<File>) -> io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let path = format!("{prefix}{}", entry.file_name().to_string_lossy());
        let metadata = std::fs::metadata(entry.path())?;
        if metadata.is_dir() {
            gather(&entry.path(), &format!("{path}/"), files)?;
        } else {
            let content = std::fs::read(entry.path())?;
            files.push(File { path, content, executable: executable(&metadata) });
        }
    }
    Ok(())
}

#[cfg(unix)]
fn executable(metadata: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    metadata.permissions().mode() & 0o111 != 0
}

#[cfg(not(unix))]
fn executable(_: &std::fs::Metadata) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_follows_names_content_and_the_right_to_be_run_and_nothing_else() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("redis");
        assert_eq!(Recipe::read(&path).expect("readable"), None);
        std::fs::create_dir_all(path.join("conf")).expect("a directory");
        std::fs::write(path.join("Dockerfile"), "FROM scratch").expect("a file");
        std::fs::write(path.join("conf/a"), "1").expect("a file");
        let read = || Recipe::read(&path).expect("readable").expect("a recipe");
        let first = read();
        assert_eq!(first.name, "redis");
        std::fs::write(path.join("conf/a"), "1").expect("a file");
        assert_eq!(read().hash(), first.hash(), "written again with the same content");
        std::fs::write(path.join("conf/a"), "2").expect("a file");
        assert_ne!(read().hash(), first.hash());
        std::fs::rename(path.join("conf/a"), path.join("conf/b")).expect("renamed");
        std::fs::write(path.join("conf/b"), "1").expect("a file");
        assert_ne!(read().hash(), first.hash());
        assert_eq!(first.context().expect("an archive"), first.context().expect("an archive"));
    }
}
