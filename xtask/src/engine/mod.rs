//! The container engine. Architecture invariant: the only room that names `bollard`; what leaves it is our own types.
//!
//! Must not: decide what is to be done, parse Compose files, or print.

/// A connection to a container engine, its API version negotiated.
#[derive(Debug, Clone)]
pub struct Engine {
    docker: bollard::Docker,
}
