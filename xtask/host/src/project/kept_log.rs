//! The log of a container that is gone: what a version that failed has said, kept for whoever mends it.

use std::path::PathBuf;

use super::Project;
use crate::stack::{ProjectName, ServiceName};

/// Keeps a service's log in the place of the one before; where it is.
///
/// # Errors
/// When it cannot be written.
pub fn keep_log(
    project: &Project,
    name: &ProjectName,
    service: &ServiceName,
    lines: &[String],
) -> std::io::Result<PathBuf> {
    let path = project.scratch().join(format!("failed/{name}-{service}.log"));
    path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    std::fs::write(&path, text)?;
    Ok(path)
}
