//! What a checkout is called and on which ports it publishes: the first one of a project as the Compose file says, every
//! further one by a name and ports of its own, so that both run side by side.
//!
//! Architecture invariant: which name and which ports is decided once, by the first `dev`, and then stands in
//! `compose/.env`: the same from run to run, the same for `docker compose`, and a person may change it.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::Project;
use crate::listening::listen;
use crate::stack::hex;

/// The ports of further checkouts: below those that systems give to outgoing connections (32768 and above) and below
/// Kubernetes' NodePorts (30000 and above), and none of the stack's own.
const FIRST_PORT: u16 = 12_000;

/// The ports that one checkout is given stand together.
const BLOCK: u16 = 10;

/// How many blocks there are.
const BLOCKS: u16 = 600;

/// What else is on this machine.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// The projects of other checkouts.
    pub projects: BTreeSet<String>,
    /// The ports that containers publish.
    pub published: BTreeSet<u16>,
}

impl Surroundings {
    /// Whether nobody has a port of 127.0.0.1.
    pub(super) fn is_free(&self, port: u16) -> bool {
        !self.published.contains(&port) && listen(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).is_ok()
    }
}

/// Where a checkout is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// Its top directory: two checkouts have two.
    directory: PathBuf,
    /// What a person calls it: the name of git's top directory, where there is one.
    name: String,
    /// Whether it is a worktree that `git worktree add` made beside another.
    linked: bool,
}

impl Place {
    /// Looks where a checkout is.
    pub(super) fn of(project: &Project) -> Self {
        let directory = project.root().to_owned();
        let top = directory.ancestors().find(|above| above.join(".git").exists());
        let link = top.and_then(|top| std::fs::read_to_string(top.join(".git")).ok());
        let named = top.unwrap_or(&directory).file_name().unwrap_or_default().to_string_lossy();
        Self { name: slug(&named), linked: link.is_some_and(|text| is_link(&text)), directory }
    }

    /// The name of its project, where `default` is the first checkout's.
    pub(super) fn project(&self, default: &str, others: &BTreeSet<String>) -> String {
        if !self.linked && !others.contains(default) {
            return default.to_owned();
        }
        let plain = format!("{default}-{}", self.name);
        if self.name.is_empty() || others.contains(&plain) {
            return format!("{}-{}", plain.trim_end_matches('-'), &digest(&self.directory)[..6]);
        }
        plain
    }

    /// The first of `count` ports that stand together and are all free. Where it looks first follows from the path, so that
    /// a checkout whose file was lost is likely to get the same.
    pub(super) fn ports(&self, count: u16, is_free: &dyn Fn(u16) -> bool) -> u16 {
        let digest = digest(&self.directory);
        let (step, blocks) = match count.div_ceil(BLOCK) {
            0 | 1 => (BLOCK, BLOCKS),
            many => (BLOCK * many, BLOCKS / many),
        };
        let start = u16::from_str_radix(&digest[..4], 16).unwrap_or_default() % blocks;
        let base = |block: u16| FIRST_PORT + (start + block) % blocks * step;
        let free = |first: &u16| (*first..*first + count).all(is_free);
        (0..blocks).map(base).find(free).unwrap_or(base(0))
    }
}

/// A digest of a directory's path, in hexadecimal digits.
pub(super) fn digest(directory: &Path) -> String {
    hex(&Sha256::digest(directory.as_os_str().as_encoded_bytes()))
}

/// Whether a `.git` that is a file names one of several worktrees of a repository (gitrepository-layout(5)); a submodule's
/// names a place under `modules`.
fn is_link(text: &str) -> bool {
    let mut parts = text.strip_prefix("gitdir:").unwrap_or_default().trim().rsplit(['/', '\\']);
    parts.nth(1) == Some("worktrees")
}

/// A directory's name with what a project's name may hold.
fn slug(name: &str) -> String {
    let kept = |c: char| if c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' { c } else { '-' };
    let name: String = name.to_lowercase().chars().map(kept).collect();
    name.trim_matches(['-', '_']).to_owned()
}

/// The other checkout that has this project, when it is still there; `directories` are those that the engine's objects of
/// the project were made from.
pub fn other_checkout<'a>(project: &Project, directories: &'a BTreeSet<PathBuf>) -> Option<&'a Path> {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let here = real(project.root());
    directories
        .iter()
        .map(PathBuf::as_path)
        .find(|&directory| real(directory) != here && Project::at(directory).compose_file().is_file())
}

/// The projects that were made from this checkout; `checkouts` are those of the engine's objects, each with its project.
pub fn made_here(project: &Project, checkouts: &BTreeSet<(String, PathBuf)>) -> BTreeSet<String> {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let here = real(project.root());
    let ours = checkouts.iter().filter(|(_, directory)| real(directory) == here);
    ours.map(|(name, _)| name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(directory: &str, linked: bool) -> Place {
        let name = slug(&Path::new(directory).file_name().unwrap_or_default().to_string_lossy());
        Place { directory: directory.into(), name, linked }
    }

    #[test]
    fn a_checkout_has_the_default_name_unless_it_stands_beside_another() {
        let others = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<BTreeSet<_>>();
        let table: [(&str, bool, &[&str], &str); 6] = [
            ("/src/homeport", false, &[], "homeport"),
            ("/src/second", false, &["other"], "homeport"),
            ("/src/second", false, &["homeport"], "homeport-second"),
            ("/src/Fix #12", true, &[], "homeport-fix--12"),
            ("/a/fix", true, &["homeport-fix"], "homeport-fix-"),
            ("/src/äö", true, &[], "homeport-"),
        ];
        for (directory, linked, names, expected) in table {
            let name = place(directory, linked).project("homeport", &others(names));
            match expected.strip_suffix('-') {
                Some(before) => {
                    let digest = name.strip_prefix(before).expect(expected);
                    assert!(digest.len() == 7 && digest.starts_with('-'), "{name}");
                }
                None => assert_eq!(name, expected),
            }
        }
    }

    #[test]
    fn ports_follow_from_the_path_and_are_all_free() {
        let (one, other) = (place("/src/one", true), place("/src/two", true));
        let first = one.ports(8, &|_| true);
        assert_eq!(first, one.ports(8, &|_| true), "the same each time");
        assert_ne!(first, other.ports(8, &|_| true));
        assert!((FIRST_PORT..FIRST_PORT + BLOCK * BLOCKS).contains(&first));
        let taken = first + 7;
        let next = one.ports(8, &|port| port != taken);
        assert!(!(next..next + 8).contains(&taken), "{next} {taken}");
        let many = one.ports(23, &|_| true);
        assert_eq!((many - FIRST_PORT) % (3 * BLOCK), 0, "{many}");
        assert!(many + 23 <= FIRST_PORT + BLOCK * BLOCKS);
    }

    #[test]
    fn a_worktree_is_told_from_a_submodule() {
        assert!(is_link("gitdir: /src/homeport/.git/worktrees/fix\n"));
        assert!(!is_link("gitdir: ../.git/modules/homeport\n"));
        assert!(!is_link("gitdir: /worktrees/.git/modules/homeport\n"));
        assert!(!is_link(""));
    }

    #[test]
    fn what_was_made_from_a_checkout_is_known_by_its_directory() {
        let root = tempfile::tempdir().unwrap();
        let here = root.path().join("here");
        std::fs::create_dir(&here).unwrap();
        let seen = |name: &str, directory: &str| (name.to_owned(), root.path().join(directory));
        let checkouts = [seen("shop", "here"), seen("shop", "here/../here"), seen("other", "there")].into();
        assert_eq!(made_here(&Project::at(&here), &checkouts), ["shop".to_owned()].into());
        assert_eq!(made_here(&Project::at(root.path()), &checkouts), BTreeSet::new());
    }

    #[test]
    fn another_checkout_is_one_that_is_still_there() {
        let root = tempfile::tempdir().unwrap();
        let checkout = |name: &str| {
            let directory = root.path().join(name);
            std::fs::create_dir_all(directory.join("compose")).unwrap();
            std::fs::write(directory.join("compose/compose.yaml"), "").unwrap();
            directory
        };
        let (here, there, gone) = (checkout("here"), checkout("there"), root.path().join("gone"));
        let project = Project::at(&here);
        assert_eq!(other_checkout(&project, &[here.clone(), gone.clone()].into()), None);
        assert_eq!(other_checkout(&project, &[here.join("../here")].into()), None);
        assert_eq!(other_checkout(&project, &[here, gone, there.clone()].into()), Some(there.as_path()));
    }
}
