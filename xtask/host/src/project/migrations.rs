//! The migrations of the checkout's service.

use std::io::ErrorKind;

use super::Project;
use crate::database::{Migration, digest, version};
use crate::failure::{Code, Failure};

/// Where they are: a folder each, with the text in `up.sql`, as diesel wants it.
const DIRECTORY: &str = "service/migrations";

/// All migrations, in the order in which they run; none when there is no folder for them.
///
/// # Errors
/// When a file cannot be read.
pub fn migrations(project: &Project) -> Result<Vec<Migration>, Failure> {
    let directory = project.root().join(DIRECTORY);
    let unreadable = |error: std::io::Error| {
        Failure::new(Code::ProjectInvalid, format!("cannot read {DIRECTORY}: {error}"))
    };
    let entries = match std::fs::read_dir(&directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let folder = entry.map_err(unreadable)?.path();
        match std::fs::read_to_string(folder.join("up.sql")) {
            Ok(text) => {
                let name = folder.file_name().unwrap_or_default().to_string_lossy();
                found.push(Migration { version: version(&name), digest: Some(digest(&text)) });
            }
            // Not a migration: an editor's folder, a file.
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {}
            Err(error) => return Err(unreadable(error)),
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn migrations_are_in_order_and_other_files_are_none() {
        let root = tempfile::tempdir().unwrap();
        let project = Project::at(root.path());
        assert_eq!(migrations(&project).unwrap(), []);
        for (path, text) in [
            ("2026-01-02-000000_b/up.sql", "SELECT 2"),
            ("2026-01-01-000000_a/up.sql", "SELECT 1"),
            ("2026-01-01-000000_a/down.sql", "SELECT 0"),
            (".keep/file", ""),
        ] {
            let path = root.path().join(DIRECTORY).join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        std::fs::write(root.path().join(DIRECTORY).join("README"), "").unwrap();
        let expected = [("20260101000000", "SELECT 1"), ("20260102000000", "SELECT 2")]
            .map(|(version, text)| Migration { version: version.to_owned(), digest: Some(digest(text)) });
        assert_eq!(migrations(&project).unwrap(), expected);
    }
}
