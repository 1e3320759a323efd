//! What a snapshot is called, what is noted of it, and what a listing of the server's databases says.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Migration;

/// What the name of every snapshot's database begins with.
const PREFIX: &str = "homeport_snapshot_";

/// The longest name, in characters: Postgres cuts the name of a database at 63 bytes (`NAMEDATALEN`).
const LONGEST: usize = 63 - PREFIX.len();

/// The name that a person gives a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct SnapshotName(String);

/// Why a text is no name of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected 1 to {LONGEST} lower-case letters, digits, - and _, the first one a letter or a digit, found {0:?}"
)]
pub struct NameError(pub String);

impl std::str::FromStr for SnapshotName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let valid = text.starts_with(plain)
            && text.len() <= LONGEST
            && text.chars().all(|c| plain(c) || matches!(c, '-' | '_'));
        if valid { Ok(Self(text.to_owned())) } else { Err(NameError(text.to_owned())) }
    }
}

impl fmt::Display for SnapshotName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl SnapshotName {
    /// The database that holds it.
    pub fn database(&self) -> String {
        format!("{PREFIX}{}", self.0)
    }
}

/// What is noted of a snapshot, as the comment of its database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// What the comment is: anything else is no snapshot of ours.
    pub homeport: Kind,
    /// When it was made, RFC 3339 in UTC, whole seconds.
    pub created: String,
    /// The database that it is a copy of.
    pub of: String,
    /// The migrations that it was made under.
    pub migrations: Vec<Migration>,
}

/// What a comment of ours is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A snapshot.
    Snapshot,
}

/// A snapshot that there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Its name.
    pub name: SnapshotName,
    /// Its size on disk, in bytes.
    pub size: u64,
    /// What is noted of it.
    pub record: Record,
}

/// The snapshots of a database in the answer to [`super::sql::list`]: a JSON object a line. A database whose name is like a
/// snapshot's and whose comment is not ours is none.
pub fn read(answer: &str, of: &str) -> Vec<Snapshot> {
    #[derive(Deserialize)]
    struct Line {
        database: String,
        comment: Option<String>,
        size: u64,
    }
    let snapshot = |line: &str| {
        let line: Line = serde_json::from_str(line).ok()?;
        let name = line.database.strip_prefix(PREFIX)?.parse().ok()?;
        let record: Record = serde_json::from_str(&line.comment?).ok()?;
        (record.of == of).then_some(Snapshot { name, size: line.size, record })
    };
    answer.lines().filter_map(snapshot).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_need_no_quotes_and_fit() {
        let longest = "a".repeat(LONGEST);
        for text in ["a", "before-the-import", "1_2", &longest] {
            let name: SnapshotName = text.parse().unwrap();
            assert_eq!(name.to_string(), text);
            let database = name.database();
            assert_eq!(database.strip_prefix("homeport_snapshot_"), Some(text));
            assert!(database.len() <= 63, "{database}");
        }
        let longer = "a".repeat(LONGEST + 1);
        for name in ["", "-a", "_a", "A", "a b", "a\"b", "a'b", "a;b", "ä", "a/b", "a\n", &longer] {
            assert_eq!(name.parse::<SnapshotName>(), Err(NameError(name.to_owned())));
        }
    }

    #[test]
    fn only_what_carries_our_note_is_a_snapshot() {
        let record = Record {
            homeport: Kind::Snapshot,
            created: "2026-01-02T03:04:05Z".to_owned(),
            of: "app".to_owned(),
            migrations: vec![Migration { version: "1".to_owned(), digest: None }],
        };
        let line = |database: &str, comment: &str| {
            serde_json::json!({"database": database, "comment": comment, "size": 7}).to_string()
        };
        let ours = serde_json::to_string(&record).unwrap();
        let answer = [
            line("homeport_snapshot_one", &ours),
            line("homeport_snapshot_two", "my own"),
            line("homeport_snapshot_Three", &ours),
            line("other", &ours),
            line("homeport_snapshot_four", &ours.replace("\"app\"", "\"shop\"")),
            r#"{"database": "homeport_snapshot_five", "comment": null, "size": 1}"#.to_owned(),
        ]
        .join("\n");
        let name = "one".parse().unwrap();
        assert_eq!(read(&answer, "app"), [Snapshot { name, size: 7, record }]);
    }
}
