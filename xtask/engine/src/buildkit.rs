//! `BuildKit` within the engine, which mounts caches. Compiled only into the program that speaks it, `xtask-buildkit`.
//!
//! Must not: know how that program is started.

use std::collections::BTreeSet;
use std::time::{SystemTime, UNIX_EPOCH};

use bollard::models::BuildInfoAux;
use bollard::query_parameters::{BuildImageOptions, BuilderVersion};

use super::Engine;
use super::build::{BuildReport, ImageBuild, Teller, request};
use super::error::EngineError;
use super::images::follow;

impl Engine {
    /// As [`Engine::build_image`], by `BuildKit`.
    ///
    /// # Errors
    /// As for [`Engine::build_image`].
    pub async fn build_image_by_buildkit(
        &self,
        build: ImageBuild,
        on_report: impl FnMut(BuildReport<'_>),
    ) -> Result<(), EngineError> {
        let (object, limit) = (format!("image {}", build.reference), build.limit);
        let (options, context) = request(build, BuilderVersion::BuilderBuildKit);
        let options = BuildImageOptions { session: Some(session()), ..options };
        let stream = self.docker.build_image(options, None, Some(bollard::body_full(context)));
        let mut teller = Teller { on_report, partial: String::new() };
        let mut begun = BTreeSet::new();
        follow("build", object, limit, stream, |info| {
            let Some(BuildInfoAux::BuildKit(status)) = &info.aux else { return };
            for vertex in &status.vertexes {
                // Told again at each change of its state; one met in the cache is done when it is told first.
                if vertex.started.is_some() && begun.insert(vertex.digest.clone()) {
                    (teller.on_report)(BuildReport::Step(&vertex.name));
                }
            }
            for log in &status.logs {
                teller.text(&String::from_utf8_lossy(&log.msg));
            }
        })
        .await
    }
}

/// A name for one build's connection back to this program, unlike any other at the same engine.
fn session() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("homeport-{}-{}", std::process::id(), now.as_nanos())
}
