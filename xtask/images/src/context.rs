//! What a build in a container is given of the checkout: everything but what `.dockerignore` leaves out, as an archive
//! that depends on names and contents alone.
//!
//! Must not: talk to the engine.

use std::io;
use std::path::Path;

/// One line of a `.dockerignore`.
struct Rule {
    pattern: Vec<String>,
    /// A `!` line brings back what earlier lines left out.
    brings_back: bool,
}

/// A `.dockerignore` (Docker's reference, ".dockerignore files"): the last line that fits decides.
struct Rules(Vec<Rule>);

impl Rules {
    fn parse(text: &str) -> Self {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        Self(
            lines
                .map(|line| {
                    let (brings_back, line) =
                        line.strip_prefix('!').map_or((false, line), |rest| (true, rest));
                    let names = line.trim().split('/').filter(|name| !name.is_empty() && *name != ".");
                    Rule { pattern: names.map(str::to_owned).collect(), brings_back }
                })
                .collect(),
        )
    }

    /// Whether a path is left out. A rule that fits a directory fits what is in it.
    fn leave_out(&self, path: &[&str]) -> bool {
        let fits = |rule: &Rule| (1..=path.len()).any(|length| fits(&rule.pattern, &path[..length]));
        self.0.iter().rev().find(|rule| fits(rule)).is_some_and(|rule| !rule.brings_back)
    }

    /// Whether a rule may bring back something within a directory that is left out.
    fn bring_back_within(&self, directory: &[&str]) -> bool {
        self.0.iter().filter(|rule| rule.brings_back).any(|rule| {
            let wide = rule.pattern.iter().position(|name| name == "**").unwrap_or(rule.pattern.len());
            let length = wide.min(directory.len());
            (wide < rule.pattern.len() || rule.pattern.len() > directory.len())
                && rule.pattern[..length]
                    .iter()
                    .zip(directory)
                    .all(|(pattern, name)| name_fits(pattern, name))
        })
    }
}

/// Whether a pattern fits a whole path, name by name; `**` stands for any number of names.
fn fits(pattern: &[String], path: &[&str]) -> bool {
    match (pattern.split_first(), path.split_first()) {
        (None, None) => true,
        (Some((first, rest)), _) if first == "**" => {
            fits(rest, path) || path.split_first().is_some_and(|(_, deeper)| fits(pattern, deeper))
        }
        (Some((first, rest)), Some((name, deeper))) => name_fits(first, name) && fits(rest, deeper),
        _ => false,
    }
}

/// Whether a pattern fits one name: `*` stands for any characters, `?` for one.
fn name_fits(pattern: &str, name: &str) -> bool {
    let mut characters = pattern.chars();
    match characters.next() {
        None => name.is_empty(),
        Some('*') => {
            let rest = characters.as_str();
            name.char_indices().map(|(at, _)| &name[at..]).chain([""]).any(|tail| name_fits(rest, tail))
        }
        Some(first) => {
            let mut letters = name.chars();
            letters.next().is_some_and(|letter| first == '?' || first == letter)
                && name_fits(characters.as_str(), letters.as_str())
        }
    }
}

/// Where the Dockerfile looks for the certificates of a site's own authority.
const CERTIFICATES: &str = ".certificates.pem";

/// The context of a build: the Dockerfile and everything that `.dockerignore` does not leave out, sorted, without
/// times and owners. `.git` is left out in any case. Where this machine is told of certificates other than the
/// system's, as cargo and OpenSSL are, they are added: the container has to fetch through the same proxy.
///
/// # Errors
/// When a file cannot be read.
pub(super) fn archive(root: &Path) -> io::Result<Vec<u8>> {
    let named = ["CARGO_HTTP_CAINFO", "SSL_CERT_FILE"].into_iter().find_map(std::env::var_os);
    archive_with(root, named.map(std::fs::read).transpose()?.as_deref())
}

fn archive_with(root: &Path, certificates: Option<&[u8]>) -> io::Result<Vec<u8>> {
    let rules = match std::fs::read_to_string(root.join(".dockerignore")) {
        Ok(text) => Rules::parse(&text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Rules(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut files = Vec::new();
    gather(root, &mut Vec::new(), &rules, &mut files)?;
    // The builder needs it whatever the rules say; Docker's own command line sends it too.
    if !files.iter().any(|file| file == "Dockerfile") {
        files.push("Dockerfile".to_owned());
    }
    files.sort();
    let mut archive = tar::Builder::new(Vec::new());
    for file in &files {
        let path = root.join(file);
        append(&mut archive, file, &std::fs::read(&path)?, is_executable(&path)?)?;
    }
    if let Some(certificates) = certificates {
        append(&mut archive, CERTIFICATES, certificates, false)?;
    }
    archive.into_inner()
}

fn append(
    archive: &mut tar::Builder<Vec<u8>>,
    name: &str,
    content: &[u8],
    is_executable: bool,
) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(if is_executable { 0o755 } else { 0o644 });
    header.set_mtime(0);
    archive.append_data(&mut header, name, content)
}

fn gather(
    directory: &Path,
    path: &mut Vec<String>,
    rules: &Rules,
    files: &mut Vec<String>,
) -> io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        path.push(entry.file_name().to_string_lossy().into_owned());
        let names: Vec<&str> = path.iter().map(String::as_str).collect();
        let left_out = rules.leave_out(&names);
        if entry.file_type()?.is_dir() {
            if names != [".git"] && (!left_out || rules.bring_back_within(&names)) {
                gather(&entry.path(), path, rules, files)?;
            }
        } else if !left_out {
            files.push(path.join("/"));
        }
        path.pop();
    }
    Ok(())
}

#[cfg(unix)]
fn is_executable(path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::PermissionsExt as _;
    Ok(std::fs::metadata(path)?.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_executable(_: &Path) -> io::Result<bool> {
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_rule_that_fits_decides() {
        let own = "*\n!Cargo.toml\n!service\n**/target\n";
        let table = [
            (own, "Cargo.toml", false),
            (own, "README.md", true),
            (own, "service/src/main.rs", false),
            (own, "service/target/debug/x", true),
            (own, "target/debug/x", true),
            ("*.md\n!README.md", "docs.md", true),
            ("*.md\n!README.md", "README.md", false),
            ("*.md", "docs/a.md", false),
            ("**/*.md", "docs/deep/a.md", true),
            ("/docs/\n# docs2\n", "docs/a", true),
            ("a?c", "abc", true),
            ("", "anything", false),
        ];
        for (rules, path, expected) in table {
            let names: Vec<&str> = path.split('/').collect();
            assert_eq!(Rules::parse(rules).leave_out(&names), expected, "{rules:?} {path}");
        }
    }

    #[test]
    fn a_directory_is_looked_into_only_when_something_may_be_brought_back() {
        let table = [
            ("*\n!service", "target", false),
            ("*\n!service/src", "service", true),
            ("*\n!service/src", "service/target", false),
            ("*\n!**/keep", "deep/down", true),
        ];
        for (rules, path, expected) in table {
            let names: Vec<&str> = path.split('/').collect();
            assert_eq!(Rules::parse(rules).bring_back_within(&names), expected, "{rules:?} {path}");
        }
    }

    #[test]
    fn the_context_depends_on_names_and_contents_alone() {
        let directory = tempfile::tempdir().expect("a directory");
        let root = directory.path();
        for (path, content) in [
            (".dockerignore", "*\n!app\n**/target"),
            ("Dockerfile", "FROM scratch"),
            ("app/b", "b"),
            ("app/a", "a"),
            ("app/target/x", "x"),
            (".git/config", "secret"),
        ] {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
            std::fs::write(path, content).expect("a file");
        }
        let archive = |certificates| archive_with(root, certificates).expect("readable");
        let names = |archive: &[u8]| -> Vec<String> {
            tar::Archive::new(archive)
                .entries()
                .expect("an archive")
                .map(|entry| entry.expect("an entry").path().expect("a path").display().to_string())
                .collect()
        };
        let first = archive(None);
        assert_eq!(names(&first), ["Dockerfile", "app/a", "app/b"]);
        assert_eq!(names(&archive(Some(b"x"))), ["Dockerfile", "app/a", "app/b", CERTIFICATES]);
        std::fs::write(root.join("app/a"), "a").expect("written again");
        assert_eq!(archive(None), first);
    }
}
