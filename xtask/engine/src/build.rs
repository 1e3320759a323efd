//! Builds of images: what is ordered, what is told on the way, and the classic builder, which every engine has and recipes
//! need. The other one is in `buildkit`.
//!
//! Must not: read files; the context is handed in as an archive.

use std::collections::BTreeMap;
use std::time::Duration;

use bollard::models::BuildInfo;
use bollard::query_parameters::{BuildImageOptions, BuilderVersion};
use serde::{Deserialize, Serialize};
use tokio_util::bytes::Bytes;

use super::Engine;
use super::error::EngineError;
use super::images::follow;

/// What an image is built from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageBuild {
    /// The reference it gets when the build has succeeded.
    pub reference: String,
    /// The context as an uncompressed tar archive with a `Dockerfile` at its root. Written without it: bytes are no JSON.
    #[serde(skip)]
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
        let (object, limit) = (format!("image {}", build.reference), build.limit);
        let (options, context) = request(build, BuilderVersion::BuilderV1);
        let stream = self.docker.build_image(options, None, Some(bollard::body_full(context)));
        let mut teller = Teller { on_report, partial: String::new() };
        follow("build", object, limit, stream, |info| teller.tell(&info)).await
    }
}

/// What either builder is asked for.
pub(super) fn request(build: ImageBuild, version: BuilderVersion) -> (BuildImageOptions, Bytes) {
    let options = BuildImageOptions {
        dockerfile: "Dockerfile".to_owned(),
        t: Some(build.reference),
        rm: true,
        forcerm: true,
        target: build.target.unwrap_or_default(),
        platform: build.platform.unwrap_or_default(),
        buildargs: Some(build.arguments.into_iter().collect()),
        labels: Some(build.labels.into_iter().collect()),
        version,
        ..Default::default()
    };
    (options, build.context.into())
}

/// Makes whole lines of what builders send.
pub(super) struct Teller<F> {
    pub(super) on_report: F,
    pub(super) partial: String,
}

impl<F: FnMut(BuildReport<'_>)> Teller<F> {
    fn tell(&mut self, info: &BuildInfo) {
        if let Some(text) = &info.stream {
            self.text(text);
        }
    }

    pub(super) fn text(&mut self, text: &str) {
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
        };
        for piece in ["Step 1/2 : FROM x\n ---> 12", "34\n", "10%\r100%\nlast"] {
            teller.tell(&BuildInfo { stream: Some(piece.to_owned()), ..Default::default() });
        }
        assert_eq!(told, [r#"Step("Step 1/2 : FROM x")"#, r#"Line(" ---> 1234")"#, r#"Line("100%")"#]);
    }
}
