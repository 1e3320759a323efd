//! Why an image could not be looked for, obtained or made.

use std::path::PathBuf;

use crate::engine::EngineError;
use crate::failure::{Code, Failure};
use crate::process::ProcessError;
use crate::stack::ImageReference;

/// Why an image could not be looked for, obtained or made.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The engine, or a registry through it, refused.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A program could not be run.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// A file could not be read or written.
    #[error("cannot {verb} {}: {source}", .path.display())]
    File {
        /// What was attempted.
        verb: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file is no archive of images.
    #[error("cannot read {} as an archive of images: {reason}", .path.display())]
    Bundle {
        /// The file.
        path: PathBuf,
        /// What was seen.
        reason: String,
    },
    /// Docker's configuration does not give the credentials it promises.
    #[error("cannot find the credentials for a registry in {}: {reason}", .path.display())]
    Credentials {
        /// The configuration.
        path: PathBuf,
        /// What was seen.
        reason: String,
    },
    /// An instruction of a Dockerfile failed.
    #[error("cannot make image {reference} from its Dockerfile: {message}")]
    Dockerfile {
        /// The image.
        reference: ImageReference,
        /// What the builder said.
        message: String,
        /// The last lines of its output.
        lines: Vec<String>,
    },
    /// The conversation with `BuildKit` failed.
    #[error("{0}")]
    BuildKit(String),
    /// The compiler refused the package.
    #[error("cannot build package {package}: {message}")]
    Build {
        /// The package.
        package: String,
        /// What was seen: the number of errors, cargo's own last words.
        message: String,
        /// The compiler's errors, as it renders them.
        lines: Vec<String>,
    },
    /// The base of the Dockerfile's compiling stage cannot be had, and the host is of another kind.
    #[error(
        "nothing can compile for {platform}: the Dockerfile's base cannot be had, and this machine is of another kind"
    )]
    NoCompiler {
        /// The platform.
        platform: String,
        /// What each source said.
        reasons: Vec<String>,
    },
    /// The engine passes no question on to a registry (Podman).
    #[error(
        "cannot tell what {0} is in its registry: this engine passes no question on; `push --overwrite` does not ask"
    )]
    Unasked(ImageReference),
    /// A source was used and the image is still not there.
    #[error("{source_name} was to bring image {reference}, and it did not")]
    NotBrought {
        /// The image.
        reference: ImageReference,
        /// The source.
        source_name: String,
    },
}

impl ImageError {
    /// Which failure of the program it is.
    fn code(&self) -> Code {
        match self {
            Self::Process(ProcessError::Missing { .. }) => Code::ProgramMissing,
            Self::Build { .. } => Code::BuildFailed,
            Self::NoCompiler { .. } => Code::ImageUnavailable,
            _ => Code::ImageFailed,
        }
    }

    /// Evidence, line by line.
    pub fn details(&self) -> Vec<String> {
        match self {
            Self::Dockerfile { lines, .. } | Self::Build { lines, .. } => lines.clone(),
            Self::NoCompiler { reasons, .. } => reasons.clone(),
            Self::Process(ProcessError::Failed { stderr, .. }) => {
                let first = stderr.len().saturating_sub(crate::limits::LAST_LINES);
                stderr[first..].to_vec()
            }
            _ => Vec::new(),
        }
    }

    /// What to do next.
    fn hint(&self) -> Option<String> {
        match self {
            Self::Process(ProcessError::Missing { .. }) => {
                Some("`cargo xtask doctor --fix` installs what is missing".to_owned())
            }
            Self::Credentials { .. } => Some("`docker login` writes them".to_owned()),
            Self::Bundle { .. } => {
                Some("`cargo xtask image save` makes archives that can be read".to_owned())
            }
            _ => None,
        }
    }
}

impl From<ImageError> for Failure {
    fn from(error: ImageError) -> Self {
        let failure = Self::new(error.code(), error.to_string()).details(error.details());
        match error.hint() {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}
