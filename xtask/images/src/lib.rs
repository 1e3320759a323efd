//! Where images come from: the engine's own store, a bundle, a registry, a recipe, the host's cargo.
//!
//! Must not: start containers, or decide whether an image is needed (that is the plan's).

mod buildkit;
mod bundle;
mod cargo;
mod context;
mod credentials;
mod error;
mod host_build;
pub mod labels;
pub mod layers;
mod obtain;
mod pull;
mod recipe;
mod reference;
mod release;
mod shelf;
mod survey;

pub use bundle::open_archive;
pub use cargo::architecture;
pub use error::ImageError;
pub use host_build::{Built, Freshness, HostBuild};
pub use obtain::{Obtained, obtain};
pub use pull::{bring, published, push};
pub use release::{Compiler, Found, Release, Released};
pub use shelf::{ImageReport, Loaded, Saved, bundles, list, load, save};
pub use survey::{BUNDLE_DIRECTORY, Needed, Sources, survey};
pub use xtask_core::images::*;

use futures_util::future::LocalBoxFuture;
use xtask_core::{event, failure, limits, scan, stack};
use xtask_engine as engine;
use xtask_host::{companion, process, program_sources};

/// Work on an image, under way. Boxed for the reason that [`engine::Asked`] is: so its code is generated with this crate.
pub type Underway<'a, T> = LocalBoxFuture<'a, Result<T, ImageError>>;
