//! What the engine refused, named by the verb that failed.

use std::time::Duration;

use crate::failure::{Code, Failure};

/// A refusal of the engine, or its silence.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The engine answered with an error.
    #[error("cannot {verb} {object}: {message}")]
    Refused {
        /// What was attempted.
        verb: &'static str,
        /// On what.
        object: String,
        /// The HTTP status of the answer.
        status: u16,
        /// What the engine said.
        message: String,
    },
    /// The engine did not answer in time.
    #[error("cannot {verb} {object}: the engine did not answer within {} s", .limit.as_secs())]
    Silent {
        /// What was attempted.
        verb: &'static str,
        /// On what.
        object: String,
        /// The bound.
        limit: Duration,
    },
    /// The connection broke, or the answer could not be read.
    #[error("cannot {verb} {object}: {source}")]
    Broken {
        /// What was attempted.
        verb: &'static str,
        /// On what.
        object: String,
        /// What happened.
        source: bollard::errors::Error,
    },
    /// An object of the same name exists that does not carry our label.
    #[error("cannot {verb} {object}: one of this name exists that Homeport did not make")]
    Foreign {
        /// What was attempted.
        verb: &'static str,
        /// On what.
        object: String,
    },
}

impl EngineError {
    /// Whether the engine said that there is no such object.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { status: 404, .. })
    }

    /// Whether the engine said that the object is in that state already (HTTP 304) or in another's way (409).
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Refused { status: 409, .. })
    }

    /// Whether the engine refused because something still uses the object or is at work on it: 409, and 403 for a network
    /// with containers on it.
    pub fn is_in_use(&self) -> bool {
        matches!(self, Self::Refused { status: 403 | 409, .. })
    }

    /// The host port in an "address already in use" or "port is already allocated" refusal.
    pub fn taken_port(&self) -> Option<u16> {
        let Self::Refused { message, .. } = self else { return None };
        let taken =
            message.contains("address already in use") || message.contains("port is already allocated");
        if !taken {
            return None;
        }
        // Both texts name the address as IP:PORT; the container's own comes first in some, so the last one counts:
        // "Bind for 127.0.0.1:8000 failed: port is already allocated",
        // "listen tcp4 127.0.0.1:8000: bind: address already in use".
        message
            .split(|c: char| c.is_whitespace() || c == '(' || c == ')')
            .filter_map(|word| word.trim_end_matches(':').rsplit_once(':'))
            .filter(|(host, _)| host.parse::<std::net::IpAddr>().is_ok() || host.starts_with('['))
            .filter_map(|(_, port)| port.parse().ok())
            .next_back()
    }
}

/// Runs one request and names it when it fails.
pub(super) async fn ask<T>(
    verb: &'static str,
    object: impl Into<String>,
    limit: Duration,
    request: impl Future<Output = Result<T, bollard::errors::Error>>,
) -> Result<T, EngineError> {
    let object = object.into();
    match tokio::time::timeout(limit, request).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(source)) => Err(refusal(verb, object, source)),
        Err(_) => Err(EngineError::Silent { verb, object, limit }),
    }
}

/// Turns bollard's error into ours.
pub(super) fn refusal(verb: &'static str, object: String, source: bollard::errors::Error) -> EngineError {
    match source {
        bollard::errors::Error::DockerResponseServerError { status_code, message } => {
            EngineError::Refused { verb, object, status: status_code, message }
        }
        source => EngineError::Broken { verb, object, source },
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        let failure = Self::new(Code::EngineRefused, error.to_string());
        match error {
            EngineError::Foreign { .. } => failure.hint(
                "remove or rename it, or give this stack another name: HOMEPORT_PROJECT=NAME cargo xtask dev",
            ),
            _ => failure,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_taken_port_is_read_from_what_engines_say() {
        let table = [
            (
                "driver failed programming external connectivity on endpoint x (3af): Bind for 127.0.0.1:8000 failed: port is already allocated",
                Some(8000),
            ),
            (
                "driver failed programming external connectivity on endpoint x (3af): Error starting userland proxy: listen tcp4 127.0.0.1:5432: bind: address already in use",
                Some(5432),
            ),
            (
                "failed to set up container networking: failed to bind host port 127.0.0.1:9090:172.18.0.3:9090/tcp: address already in use",
                None,
            ),
            ("no such image: postgres:17", None),
        ];
        for (message, expected) in table {
            let error = EngineError::Refused {
                verb: "start",
                object: "container x".to_owned(),
                status: 500,
                message: message.to_owned(),
            };
            if let Some(expected) = expected {
                assert_eq!(error.taken_port(), Some(expected), "{message}");
            }
        }
    }
}
