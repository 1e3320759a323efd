//! The manifests of the checkout, read from the disk.

use std::path::Path;

use xtask::failure::{Code, Failure};

use crate::kustomize;
use crate::object::Object;

/// The objects of a kustomization of the checkout.
///
/// # Errors
/// When a file is missing, wrong, or says something that is not supported.
pub fn read(root: &Path, directory: &Path) -> Result<Vec<Object>, Failure> {
    // Relative paths in messages are what a person of this checkout would write.
    let read = |path: &Path| std::fs::read_to_string(root.join(path)).map_err(|error| error.to_string());
    kustomize::build(directory, &read).map_err(|error| {
        Failure::new(Code::ProjectInvalid, error.to_string())
            .hint("k8s/README.md lists what a kustomization may say here")
    })
}
