//! Homeport on Kubernetes, as a library: the rooms behind `cargo xtask deploy-kind` and its siblings.
//!
//! Architecture invariant: the only crate that names `kube`.

pub mod kustomize;
pub mod object;
