//! What names the engine that is talked to, in the words of a message, and how a person names another.

use std::fmt;
use std::path::PathBuf;

/// What names an engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NamedBy {
    /// The variable `DOCKER_HOST`.
    Host,
    /// The context that the variable `DOCKER_CONTEXT` names.
    ChosenContext(String),
    /// The context that Docker's configuration has as the current one.
    CurrentContext {
        /// The context.
        name: String,
        /// The configuration's file.
        file: PathBuf,
    },
    /// Nothing: it is where engines are.
    Default,
}

impl NamedBy {
    /// What to do about an engine that cannot be used; `None` when nobody named it.
    pub(super) fn hint(&self) -> Option<String> {
        match self {
            Self::Host => Some(
                "DOCKER_HOST is set to it: correct that, or unset it, and Docker's current context counts"
                    .to_owned(),
            ),
            Self::ChosenContext(name) => Some(format!(
                "DOCKER_CONTEXT is set to {name}: correct that (`docker context ls` lists the contexts there are), or unset it"
            )),
            Self::CurrentContext { name, .. } => Some(format!(
                "the current Docker context is {name}: start its engine, or choose another with `docker context use` (`docker context ls` lists them)"
            )),
            Self::Default => None,
        }
    }
}

impl fmt::Display for NamedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => f.write_str("DOCKER_HOST"),
            Self::ChosenContext(name) => write!(f, "context {name} (DOCKER_CONTEXT)"),
            Self::CurrentContext { name, file } => write!(f, "context {name} ({})", file.display()),
            Self::Default => f.write_str("the default"),
        }
    }
}
