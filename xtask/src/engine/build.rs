//! The engine's two builders: the classic one, which every engine has and recipes need, and `BuildKit`, which mounts
//! caches.
//!
//! Must not: read files; the context is handed in as an archive.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bollard::models::{BuildInfo, BuildInfoAux};
use bollard::query_parameters::{BuildImageOptions, BuilderVersion};
use tokio_util::bytes::Bytes;

use super::Engine;
use super::error::EngineError;
use super::images::follow;

/// Who builds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Builder {
    /// The engine's own, as old as engines are.
    #[default]
    Classic,
    /// `BuildKit` within the engine.
    BuildKit,
}

/// What an image is built from.
#[derive(Debug, Clone, Default)]
pub struct ImageBuild {
    /// Who builds.
    pub builder: Builder,
    /// The reference it gets when the build has succeeded.
    pub reference: String,
    /// The context as an uncompressed tar archive with a `Dockerfile` at its root.
    pub context: Vec<u8>,
    /// The stage to stop at; the last one when not given.
    pub target: Option<String>,
    /// The platform to build for, `linux/arm64`; the engine's own when not given.
    pub platform: Option<String>,
    /// Values for the Dockerfile's `ARG`s.
    pub arguments: BTreeMap<String, String>,
    /// Labels added to those of the Dockerfile.
    pub labels: BTreeMap<String, String>,
    /// The bound of the whole build.
    pub limit: Duration,
}

/// What a builder tells on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BuildReport<'a> {
    /// An instruction begins.
    Step(&'a str),
    /// A line of an instruction's output.
    Line(&'a str),
}

impl Engine {
    /// Builds an image. When the future is dropped the engine stops, and nothing gets a reference.
    ///
    /// # Errors
    /// When an instruction fails (the engine's own words) or the bound is over.
    pub async fn build_image(
        &self,
        build: ImageBuild,
        on_report: impl FnMut(BuildReport<'_>),
    ) -> Result<(), EngineError> {
        let buildkit = build.builder == Builder::BuildKit;
        let options = BuildImageOptions {
            dockerfile: "Dockerfile".to_owned(),
            t: Some(build.reference.clone()),
            rm: true,
            forcerm: true,
            target: build.target.unwrap_or_default(),
            platform: build.platform.unwrap_or_default(),
            buildargs: Some(build.arguments.into_iter().collect()),
            labels: Some(build.labels.into_iter().collect()),
            version: if buildkit { BuilderVersion::BuilderBuildKit } else { BuilderVersion::BuilderV1 },
            session: buildkit.then(session),
            ..Default::default()
        };
        let context = bollard::body_full(Bytes::from(build.context));
        let stream = self.docker.build_image(options, None, Some(context));
        let mut teller = Teller { on_report, partial: String::new(), begun: BTreeSet::new() };
        let object = format!("image {}", build.reference);
        follow("build", object, build.limit, stream, |info| teller.tell(&info)).await
    }
}

/// A name for one build's connection back to this program, unlike any other at the same engine.
fn session() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("homeport-{}-{}", std::process::id(), now.as_nanos())
}

/// Makes whole lines of what builders send.
struct Teller<F> {
    on_report: F,
    partial: String,
    /// The steps that were told, by their digest.
    begun: BTreeSet<String>,
}

impl<F: FnMut(BuildReport<'_>)> Teller<F> {
    fn tell(&mut self, info: &BuildInfo) {
        if let Some(text) = &info.stream {
            self.text(text);
        }
        let Some(BuildInfoAux::BuildKit(status)) = &info.aux else { return };
        for vertex in &status.vertexes {
            // Told again at each change of its state; one met in the cache is done when it is told first.
            if vertex.started.is_some() && self.begun.insert(vertex.digest.clone()) {
                (self.on_report)(BuildReport::Step(&vertex.name));
            }
        }
        for log in &status.logs {
            self.text(&String::from_utf8_lossy(&log.msg));
        }
    }

    fn text(&mut self, text: &str) {
        self.partial.push_str(text);
        while let Some(end) = self.partial.find('\n') {
            let line: String = self.partial.drain(..=end).collect();
            // A program's own progress bar ends with a carriage return what it overwrites.
            let line = line.trim_end().rsplit('\r').next().unwrap_or_default();
            let is_step = line.starts_with("Step ") && line.contains(" : ");
            (self.on_report)(if is_step { BuildReport::Step(line) } else { BuildReport::Line(line) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_told_line_by_line_whatever_the_pieces() {
        let mut told = Vec::new();
        let mut teller = Teller {
            on_report: |report: BuildReport<'_>| told.push(format!("{report:?}")),
            partial: String::new(),
            begun: BTreeSet::new(),
        };
        for piece in ["Step 1/2 : FROM x\n ---> 12", "34\n", "10%\r100%\nlast"] {
            teller.tell(&BuildInfo { stream: Some(piece.to_owned()), ..Default::default() });
        }
        assert_eq!(told, [r#"Step("Step 1/2 : FROM x")"#, r#"Line(" ---> 1234")"#, r#"Line("100%")"#]);
    }
}
