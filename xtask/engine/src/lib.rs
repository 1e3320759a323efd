//! The container engine. Architecture invariant: the only crate that names `bollard`; what leaves it is our own types.
//!
//! Must not: decide what is to be done, parse Compose files, or print.

use xtask_core::{event, failure, limits, plan, scan, stack};

mod build;
#[cfg(feature = "buildkit")]
mod buildkit;
mod changes;
mod connect;
mod create;
mod endpoint;
mod environment;
mod error;
mod exec;
mod images;
pub mod labels;
mod logs;
mod machine;
mod named_by;
mod observe;
mod one_shot;
mod operate;
mod probe;
mod run;
mod sweep;
mod told;

pub use build::{BuildReport, ImageBuild};
pub use changes::{Change, Happening};
pub use connect::{ConnectError, EngineVersion};
pub use create::Blueprint;
pub use endpoint::{Address, Certificates, Endpoint, EndpointError};
pub use error::EngineError;
pub use exec::ExecEnd;
pub use images::{Credentials, LayerProgress, StoredImage};
pub use logs::{LogLine, LogOptions};
pub use machine::{EngineMachine, PublishedPort};
pub use named_by::NamedBy;
pub use observe::Objects;
pub use one_shot::{Freedom, OneShot, OneShotEnd};
pub use operate::Done;
pub use probe::{Look, ProbeResult, Standing, Waited};
pub use run::{NoRun, Run};
pub use told::Told;

use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::sync::OnceCell;

/// What the engine is asked, under way. Boxed, because code of a future is generated where it is awaited: that of bollard, a
/// third of all code, would be generated in whatever crate asks, last of all and once in each.
pub type Asked<'a, T, E = EngineError> = BoxFuture<'a, Result<T, E>>;

/// A connection to a container engine, its API version negotiated.
#[derive(Debug, Clone)]
pub struct Engine {
    docker: bollard::Docker,
    endpoint: Arc<Endpoint>,
    /// What does not change while it is connected to, asked for once.
    architecture: Arc<OnceCell<String>>,
}
