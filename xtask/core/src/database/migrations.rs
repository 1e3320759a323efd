//! The migrations of a checkout, and how those that a snapshot was made under differ from them.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::stack::hex;

/// A migration by the version that the database notes, and the digest of what it does.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Migration {
    /// `20260101000000`.
    pub version: String,
    /// SHA-256 of its text; `None` when the checkout that noted it did not have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

/// The version that diesel notes for a migration's folder (`2026-01-01-000000_create_items`): what stands before the first
/// underscore, without hyphens.
pub fn version(folder: &str) -> String {
    folder.split('_').next().unwrap_or(folder).replace('-', "")
}

/// The identity of what a migration does.
pub fn digest(text: &str) -> String {
    hex(&Sha256::digest(text))
}

/// How the migrations of a database differ from those of a checkout.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The checkout has them, the database lacks them: running the migrations adds them.
    pub lacks: Vec<String>,
    /// The database has them, the checkout does not know them.
    pub unknown: Vec<String>,
    /// Both have them, with another text.
    pub changed: Vec<String>,
}

impl Difference {
    /// Compares what a database was made under with a checkout's migrations.
    pub fn between(database: &[Migration], checkout: &[Migration]) -> Self {
        let of_version = |all: &'_ [Migration], version: &str| {
            all.iter().find(|migration| migration.version == version).cloned()
        };
        let mut difference = Self::default();
        for migration in checkout {
            if of_version(database, &migration.version).is_none() {
                difference.lacks.push(migration.version.clone());
            }
        }
        for migration in database {
            let version = migration.version.clone();
            match of_version(checkout, &version) {
                None => difference.unknown.push(version),
                Some(known) if known.digest != migration.digest => difference.changed.push(version),
                Some(_) => {}
            }
        }
        difference
    }

    /// Whether there is none.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// What it is, in words: `lacks 20260101000002; has 20270101000000, which this checkout does not know`.
    pub fn told(&self) -> String {
        let part = |versions: &[String], before: &str, after: &str| {
            (!versions.is_empty()).then(|| format!("{before}{}{after}", versions.join(", ")))
        };
        let parts = [
            part(&self.lacks, "lacks ", ""),
            part(&self.unknown, "has ", ", unknown to this checkout"),
            part(&self.changed, "has another ", " than this checkout"),
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join("; ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(migrations: &[(&str, &str)]) -> Vec<Migration> {
        let one = |(version, text): &(&str, &str)| Migration {
            version: (*version).to_owned(),
            digest: (!text.is_empty()).then(|| digest(text)),
        };
        migrations.iter().map(one).collect()
    }

    #[test]
    fn versions_are_diesels() {
        assert_eq!(version("2026-01-01-000000_create_items"), "20260101000000");
        assert_eq!(version("00000000000000_diesel_initial_setup"), "00000000000000");
    }

    #[test]
    fn every_difference_is_told() {
        let checkout = all(&[("1", "a"), ("2", "b")]);
        let table: [(&[(&str, &str)], &str); 6] = [
            (&[("1", "a"), ("2", "b")], ""),
            (&[("1", "a")], "lacks 2"),
            (&[], "lacks 1, 2"),
            (&[("1", "a"), ("2", "c")], "has another 2 than this checkout"),
            (&[("1", "a"), ("2", "b"), ("3", "")], "has 3, unknown to this checkout"),
            (
                &[("1", ""), ("3", "x"), ("4", "x")],
                "lacks 2; has 3, 4, unknown to this checkout; has another 1 than this checkout",
            ),
        ];
        for (database, expected) in table {
            let difference = Difference::between(&all(database), &checkout);
            assert_eq!(difference.told(), expected, "{database:?}");
            assert_eq!(difference.is_none(), expected.is_empty());
        }
    }
}
