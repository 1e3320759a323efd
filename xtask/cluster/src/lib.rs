//! Homeport on Kubernetes, as a library: the rooms behind `cargo xtask deploy-kind` and its siblings.
//!
//! Architecture invariant: the only crate that names `kube`, and `api` its only room that does. What a rollout's state
//! means (`rollout`), what is deployed of the manifests (`prepare`), what differs (`diff`) and what
//! is put back (`revision`) is pure.

pub mod api;
pub mod commands;
pub mod diff;
pub mod http;
pub mod kind;
pub mod limits;
pub mod manifests;
pub mod measure;
pub mod prepare;
pub mod proof;
pub mod release;
pub mod revision;
pub mod rollout;
pub mod smoke;
pub mod steps;

pub use xtask::{kustomize, object};
