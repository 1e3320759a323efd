//! The vocabulary of image sources, shared with the plan. Pure data.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use crate::stack::ImageReference;

/// Where an image can be had that the engine does not hold yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file of the directory `HOMEPORT_IMAGE_DIR`.
    Bundle(PathBuf),
    /// The registry its reference names.
    Registry,
    /// A recipe's directory, and the base image it builds on.
    Recipe {
        /// The directory with the Dockerfile.
        directory: PathBuf,
        /// The image named by its `FROM`.
        base: ImageReference,
    },
    /// A base system made by `mmdebstrap`, as the file describes it.
    Bootstrap(PathBuf),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bundle(path) => {
                write!(f, "bundle {}", path.file_name().unwrap_or(path.as_os_str()).to_string_lossy())
            }
            Self::Registry => f.write_str("registry"),
            Self::Recipe { .. } => f.write_str("recipe"),
            Self::Bootstrap(_) => f.write_str("mmdebstrap"),
        }
    }
}

/// What is known of one image before a plan is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Availability {
    /// The engine holds it.
    Present {
        /// The engine's identifier, `sha256:…`.
        id: String,
        /// Where it came from, as far as its labels tell.
        origin: String,
        /// Its recipe, when that has changed since the image was made from it.
        stale: Option<Source>,
    },
    /// It can be had from the first source that has it.
    Obtainable(Source),
    /// No source has it; what each one said, in order.
    Unavailable(Vec<String>),
}

/// What is known of all images that a stack needs, the bases of its recipes included.
pub type Catalogue = BTreeMap<ImageReference, Availability>;
