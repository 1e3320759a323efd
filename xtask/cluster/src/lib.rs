//! Homeport on Kubernetes, as a library: the rooms behind `cargo xtask deploy-kind` and its siblings.
//!
//! Architecture invariant: the only crate that names `kube`. What a rollout's state means (`rollout`), what manifests say
//! (`kustomize`), what is deployed of them (`prepare`) and what is put back (`revision`) is pure.

pub mod diff;
pub mod kustomize;
pub mod limits;
pub mod object;
pub mod prepare;
pub mod revision;
pub mod rollout;
