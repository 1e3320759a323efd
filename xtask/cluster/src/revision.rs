//! A revision: what one deployment applied, and how it went. Kept in the cluster itself as a ConfigMap, so that whoever
//! deploys next, from whatever checkout and after whatever kill, knows what to put back. Pure.
//!
//! It holds no Secret: the objects of the manifests have none.

use std::io::{Read as _, Write as _};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

use crate::limits;
use crate::object::Object;

/// The label with the number; it is what marks a ConfigMap as a revision.
pub const NUMBER_LABEL: &str = "dev.homeport/revision";

/// The key of a revision's ConfigMap with how it went.
pub const STATE_KEY: &str = "state";

/// The key with the version.
pub const VERSION_KEY: &str = "version";

/// The key with the objects, gzip of JSON.
pub const OBJECTS_KEY: &str = "objects.json.gz";

/// Bytes of objects that are read back at most: a ConfigMap holds a mebibyte, and JSON compresses to a tenth at best.
const MAX_OBJECTS: u64 = 16 * 1024 * 1024;

/// How a deployment went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It was begun. When nobody is at work on it any more, it was killed.
    Applying,
    /// It was rolled out and passed its smoke tests.
    Deployed,
    /// It failed.
    Failed,
}

impl State {
    /// The word in the cluster.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Applying => "applying",
            Self::Deployed => "deployed",
            Self::Failed => "failed",
        }
    }

    /// Reads the word. One that a later version wrote is no success to build upon.
    pub fn parse(word: &str) -> Self {
        match word {
            "deployed" => Self::Deployed,
            "applying" => Self::Applying,
            _ => Self::Failed,
        }
    }
}

/// One revision.
#[derive(Debug, Clone, PartialEq)]
pub struct Revision {
    /// Counted from 1.
    pub number: u64,
    /// The service's version in it.
    pub version: String,
    /// How it went.
    pub state: State,
    /// What was applied.
    pub objects: Vec<Object>,
}

/// The name of a revision's ConfigMap.
pub fn name(number: u64) -> String {
    format!("homeport-revision-{number}")
}

/// The objects as they are kept.
pub fn pack(objects: &[Object]) -> Vec<u8> {
    let json = serde_json::to_vec(objects).expect("objects are JSON");
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&json).expect("a vector takes all");
    encoder.finish().expect("a vector takes all")
}

/// The objects again.
///
/// # Errors
/// A sentence fragment, when they are not what [`pack`] writes.
pub fn unpack(bytes: &[u8]) -> Result<Vec<Object>, String> {
    let mut json = Vec::new();
    let decoded = GzDecoder::new(bytes).take(MAX_OBJECTS).read_to_end(&mut json);
    decoded.map_err(|error| error.to_string())?;
    serde_json::from_slice(&json).map_err(|error| error.to_string())
}

/// The number of the next revision.
pub fn next(revisions: &[Revision]) -> u64 {
    revisions.iter().map(|revision| revision.number).max().unwrap_or(0) + 1
}

/// The revision that is put back when a deployment fails: the last one that went well.
pub fn good(revisions: &[Revision]) -> Option<&Revision> {
    revisions.iter().filter(|r| r.state == State::Deployed).max_by_key(|revision| revision.number)
}

/// The revision that `rollback` goes to: the last one that went well before the one that stands now. What stands now is
/// the last one, however it went.
pub fn previous(revisions: &[Revision]) -> Option<&Revision> {
    let last = revisions.iter().map(|revision| revision.number).max()?;
    let well = |revision: &&Revision| revision.state == State::Deployed && revision.number < last;
    revisions.iter().filter(well).max_by_key(|revision| revision.number)
}

/// The revisions that need not be kept: all but the newest [`limits::REVISIONS`], and never the last two that went well,
/// however many have failed since: the one to be put back, and the one that `rollback` goes to from it.
pub fn surplus(revisions: &[Revision]) -> Vec<u64> {
    let newest = |wanted: fn(&Revision) -> bool| {
        let mut numbers: Vec<u64> =
            revisions.iter().filter(|revision| wanted(revision)).map(|revision| revision.number).collect();
        numbers.sort_unstable_by(|a, b| b.cmp(a));
        numbers
    };
    let mut good = newest(|revision| revision.state == State::Deployed);
    good.truncate(2);
    newest(|_| true).into_iter().skip(limits::REVISIONS).filter(|number| !good.contains(number)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn revisions(states: &[State]) -> Vec<Revision> {
        let numbered = (1..).zip(states);
        let revision = |(number, state): (u64, &State)| Revision {
            number,
            version: String::new(),
            state: *state,
            objects: Vec::new(),
        };
        numbered.map(revision).collect()
    }

    #[test]
    fn objects_survive() {
        let document = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}, "spec": {"ä": [1, null]}});
        let objects = vec![Object::new(document).expect("an object")];
        assert_eq!(unpack(&pack(&objects)).expect("they come back"), objects);
        assert!(unpack(b"x").is_err());
    }

    #[test]
    fn what_is_put_back_went_well() {
        use State::{Applying, Deployed, Failed};
        type Row<'a> = (&'a [State], Option<u64>, Option<u64>, u64);
        let table: [Row<'_>; 6] = [
            (&[], None, None, 1),
            (&[Applying], None, None, 2),
            (&[Deployed], Some(1), None, 2),
            (&[Deployed, Deployed], Some(2), Some(1), 3),
            (&[Deployed, Deployed, Failed], Some(2), Some(2), 4),
            (&[Deployed, Failed, Applying], Some(1), Some(1), 4),
        ];
        for (states, expected_good, expected_previous, expected_next) in table {
            let revisions = revisions(states);
            assert_eq!(good(&revisions).map(|r| r.number), expected_good, "{states:?}");
            assert_eq!(previous(&revisions).map(|r| r.number), expected_previous, "{states:?}");
            assert_eq!(next(&revisions), expected_next, "{states:?}");
        }
    }

    #[test]
    fn old_ones_go_and_the_last_two_good_ones_stay() {
        use State::{Deployed, Failed};
        assert_eq!(surplus(&revisions(&[Deployed; 7])), [2, 1]);
        let failed = [Deployed, Deployed, Deployed, Failed, Failed, Failed, Failed, Failed];
        assert_eq!(surplus(&revisions(&failed)), [1]);
        // Five have failed, then one went well: `rollback` goes to the one before them.
        let mended = revisions(&[Deployed, Deployed, Failed, Failed, Failed, Failed, Failed, Deployed]);
        assert_eq!(surplus(&mended), [3, 1]);
        assert_eq!(previous(&mended).map(|revision| revision.number), Some(2));
    }
}
