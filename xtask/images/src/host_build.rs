//! The service's image in development: the program that the host's cargo built, on nothing else, configured as the
//! Dockerfile's stage on `scratch` says, so that the image of a release differs from it in the program alone.
//!
//! The engine imports the one file as a root file system: of the three ways it has, measured with a program of 13 MB
//! on engine 20.10, that takes 0.10 s, loading an archive 0.15 s and its plain builder 0.25 s.
//!
//! Where the host cannot compile for the engine (another system, another processor), the whole Dockerfile is built by the
//! engine instead.
//!
//! Must not: decide whether a container is replaced.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use sha2::{Digest as _, Sha256};
use tokio_util::bytes::Bytes;

use super::obtain::{Builder, run_builder};
use super::{ImageError, Underway, cargo, context, dockerfile, labels};
use crate::engine::{Engine, ImageBuild, StoredImage};
use crate::event::StepReporter;
use crate::limits;
use crate::program_sources;
use crate::stack::{ImageReference, hex};

/// The program's name in the image, whatever the package: the Dockerfile's `ENTRYPOINT` and `HEALTHCHECK` name it.
const PROGRAM: &str = "service";

/// The Dockerfile's `ARG` that says which package is built.
pub(super) const PACKAGE_ARGUMENT: &str = "PACKAGE";

/// What is built, and into which image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostBuild {
    /// The workspace's root.
    pub root: PathBuf,
    /// The package; its program has the same name, and another one in the image (`PROGRAM`).
    pub package: String,
    /// The image.
    pub image: ImageReference,
}

/// Whether the image is what a build would make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Freshness {
    /// The image is there, and nothing that it was made from has changed since.
    Fresh,
    /// A build may change it; why, in words.
    Stale(String),
}

/// What a build did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// Whether the image is another than before. A rebuilt program with the same content changes nothing.
    pub changed: bool,
    /// The engine's identifier of the image.
    pub id: String,
    /// How long the compiler took.
    pub compiled: Duration,
    /// How long making the image took.
    pub packed: Duration,
}

/// A program as it lies on the disk.
#[derive(Clone)]
struct Artifact {
    path: PathBuf,
    /// Size and time of the last change: as long as both are the same, so is the content.
    stamp: String,
    modified: SystemTime,
}

impl Artifact {
    fn of(path: &Path) -> io::Result<Self> {
        let metadata = std::fs::metadata(path)?;
        let modified = metadata.modified()?;
        let nanoseconds = modified.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        Ok(Self { path: path.to_owned(), stamp: format!("{}-{nanoseconds}", metadata.len()), modified })
    }

    fn read(&self) -> Result<(Vec<u8>, String), ImageError> {
        let content = std::fs::read(&self.path).map_err(|source| self.unreadable(source))?;
        let digest = hex(&Sha256::digest(&content));
        Ok((content, digest))
    }

    /// As [`Artifact::read`], on a thread of its own: some ten milliseconds of the processor.
    async fn read_aside(&self) -> Result<(Vec<u8>, String), ImageError> {
        let artifact = self.clone();
        let read = tokio::task::spawn_blocking(move || artifact.read()).await;
        read.map_err(|error| self.unreadable(io::Error::other(error)))?
    }

    fn unreadable(&self, source: io::Error) -> ImageError {
        ImageError::File { verb: "read", path: self.path.clone(), source }
    }
}

impl HostBuild {
    /// Whether the image is up to date, told without running cargo: from the times of the files that the compiler read,
    /// and the labels of the image.
    ///
    /// # Errors
    /// When the engine does not answer or the Dockerfile cannot be used.
    pub fn freshness<'a>(&'a self, engine: &'a Engine) -> Underway<'a, Freshness> {
        Box::pin(async move {
            let Some(image) = engine.image(self.image.with_tag().as_str()).await? else {
                return Ok(Freshness::Stale("missing".to_owned()));
            };
            let cause = self.staleness(&image)?;
            Ok(cause.map_or(Freshness::Fresh, Freshness::Stale))
        })
    }

    /// Where in the checkout the sources of the program lie: by what the compiler read for the image that is there, and, when
    /// the last build `failed`, by what the manifests say too.
    pub async fn sources(&self, engine: &Engine, failed: bool) -> BTreeSet<PathBuf> {
        let image = engine.image(self.image.with_tag().as_str()).await.ok().flatten();
        let program = image.as_ref().and_then(|image| image.labels.get(labels::ARTIFACT)).map(Path::new);
        let read = program.and_then(|program| Some((program, program_sources::sources(program).ok()?)));
        let mut places = read
            .map(|(program, sources)| program_sources::places(&self.root, program, &sources))
            .unwrap_or_default();
        if failed {
            places.extend(cargo::declared(&self.root, &self.package).await);
        }
        places
    }

    fn staleness(&self, image: &StoredImage) -> Result<Option<String>, ImageError> {
        let stale = |cause: &str| Ok(Some(cause.to_owned()));
        let label = |key| image.labels.get(key).map(String::as_str);
        if label(labels::DIRECTORY) != Some(self.root.to_string_lossy().as_ref()) {
            return stale("not built in this checkout");
        }
        if let Some(context) = label(labels::CONTEXT) {
            return if self.context()?.1 == context { Ok(None) } else { stale("sources changed") };
        }
        let Some(artifact) = label(labels::ARTIFACT) else { return stale("not built by the host's cargo") };
        if label(labels::INSTRUCTIONS) != Some(digest(&self.instructions()?).as_str()) {
            return stale("Dockerfile changed");
        }
        if Path::new(artifact).file_stem() != Some(self.package.as_ref()) {
            return stale("made of another package");
        }
        let Ok(artifact) = Artifact::of(Path::new(artifact)) else { return stale("program is gone") };
        let Ok(sources) = program_sources::sources(&artifact.path) else { return stale("never built") };
        if !sources.iter().any(|source| source.starts_with(&self.root)) {
            return stale("program is another checkout's");
        }
        if let Some(path) = program_sources::newer(&sources, artifact.modified) {
            return Ok(Some(format!("{} changed", path.strip_prefix(&self.root).unwrap_or(path).display())));
        }
        if label(labels::STAMP) != Some(artifact.stamp.as_str())
            && label(labels::BINARY) != Some(artifact.read()?.1.as_str())
        {
            return stale("program changed");
        }
        Ok(None)
    }

    /// Builds the package with the host's cargo and, when the program is another than the image's, makes the image; when it
    /// is that of an image in `use_now` (identifiers of images that containers run), the image is that one again.
    /// Where the host cannot compile for the engine, as [`HostBuild::build_in_container`].
    ///
    /// # Errors
    /// When the compiler refuses, with its errors as it renders them; when the engine refuses.
    pub fn build<'a>(
        &'a self,
        engine: &'a Engine,
        use_now: &'a BTreeSet<String>,
        reporter: &'a StepReporter,
    ) -> Underway<'a, Built> {
        Box::pin(async move {
            if !cfg!(target_os = "linux") || engine.architecture().await? != cargo::architecture() {
                return self.build_in_container(engine, reporter).await;
            }
            let instructions = self.instructions()?;
            reporter.message("compiling");
            let begun = Instant::now();
            let directory = self.root.to_string_lossy();
            let ours = [(labels::DIRECTORY, &*directory)];
            // The processor is the compiler's; the disk has time for what the builds before have left.
            let (path, tidied) = tokio::join!(
                async {
                    let path = cargo::build(&self.root, &self.package, reporter).await;
                    path.map(|path| (path, begun.elapsed()))
                },
                engine.remove_untagged_images(&ours),
            );
            let (path, compiled) = path?;
            tidied?;
            let unchanged = |image: &StoredImage| {
                Ok(Built { changed: false, id: image.id.clone(), compiled, packed: Duration::ZERO })
            };
            let artifact =
                Artifact::of(&path).map_err(|source| ImageError::File { verb: "read", path, source })?;
            // A build that changes nothing is seldom: while the engine answers, the program is read.
            let reference = self.image.with_tag();
            let (present, read) = tokio::join!(engine.image(reference.as_str()), artifact.read_aside());
            let present = present?;
            let configured = |image: &StoredImage| {
                let label = |key| image.labels.get(key).map(String::as_str);
                label(labels::INSTRUCTIONS) == Some(digest(&instructions).as_str())
                    && label(labels::ARTIFACT) == Some(artifact.path.to_string_lossy().as_ref())
            };
            let labelled = |image: &StoredImage, key, value: &str| {
                image.labels.get(key).is_some_and(|label| label == value) && configured(image)
            };
            if let Some(image) =
                present.as_ref().filter(|image| labelled(image, labels::STAMP, &artifact.stamp))
            {
                return unchanged(image);
            }
            let (content, binary) = read?;
            if let Some(image) = present.as_ref().filter(|image| labelled(image, labels::BINARY, &binary)) {
                return unchanged(image);
            }
            // After a version that failed the source may be again that of the one that serves.
            for id in use_now.iter().filter(|id| present.as_ref().is_none_or(|image| image.id != **id)) {
                let used = engine.image(id).await?;
                if let Some(image) = used.filter(|image| labelled(image, labels::BINARY, &binary)) {
                    engine.tag_image(&image.id, reference.as_str()).await?;
                    let packed = begun.elapsed().saturating_sub(compiled);
                    return Ok(Built { changed: true, id: image.id, compiled, packed });
                }
            }
            reporter.message("making the image");
            let labels = self.labels(&artifact, &binary, &instructions);
            let id = self.import(engine, content, [instructions, labels].concat()).await?;
            Ok(Built { changed: true, id, compiled, packed: begun.elapsed().saturating_sub(compiled) })
        })
    }

    /// Has the engine build the Dockerfile, with cargo's caches mounted.
    ///
    /// # Errors
    /// When the compiler or an instruction refuses, with its output; when the engine refuses.
    pub fn build_in_container<'a>(
        &'a self,
        engine: &'a Engine,
        reporter: &'a StepReporter,
    ) -> Underway<'a, Built> {
        Box::pin(async move {
            let begun = Instant::now();
            let (context, digest) = self.context()?;
            let reference = self.image.with_tag();
            let before = engine.image(reference.as_str()).await?;
            let order = ImageBuild {
                reference: reference.to_string(),
                context,
                labels: BTreeMap::from([
                    (labels::CONTEXT.to_owned(), digest),
                    (labels::DIRECTORY.to_owned(), self.root.to_string_lossy().into_owned()),
                ]),
                arguments: BTreeMap::from([(PACKAGE_ARGUMENT.to_owned(), self.package.clone())]),
                limit: limits::SERVICE_BUILD,
                ..Default::default()
            };
            run_builder(Builder::BuildKit, &reference, order, &self.package, reporter).await?;
            let id = self.made(engine, reference).await?;
            engine.remove_untagged_images(&[(labels::DIRECTORY, &self.root.to_string_lossy())]).await?;
            // The compiler runs within.
            let (compiled, packed) = (begun.elapsed(), Duration::ZERO);
            Ok(Built { changed: before.is_none_or(|before| before.id != id), id, compiled, packed })
        })
    }

    /// What a build in a container is given, and the digest of that and of the package.
    fn context(&self) -> Result<(Vec<u8>, String), ImageError> {
        let archive = context::archive(&self.root).map_err(|source| ImageError::File {
            verb: "read",
            path: self.root.clone(),
            source,
        })?;
        let digest = hex(&Sha256::new().chain_update(&archive).chain_update(&self.package).finalize());
        Ok((archive, digest))
    }

    /// The identifier of the image that was just made.
    async fn made(&self, engine: &Engine, reference: ImageReference) -> Result<String, ImageError> {
        let image = engine.image(reference.as_str()).await?;
        let missing = || ImageError::NotBrought { reference, source_name: "the build".to_owned() };
        Ok(image.ok_or_else(missing)?.id)
    }

    /// The configuration of the image, from the Dockerfile.
    fn instructions(&self) -> Result<Vec<String>, ImageError> {
        let path = self.root.join("Dockerfile");
        let unusable = |source| ImageError::File { verb: "use", path: path.clone(), source };
        let text = std::fs::read_to_string(&path).map_err(unusable)?;
        dockerfile::configuration(&text, &BTreeMap::new())
            .map_err(|reason| unusable(io::Error::other(reason)))
    }

    fn labels(&self, artifact: &Artifact, binary: &str, instructions: &[String]) -> Vec<String> {
        [
            (labels::BINARY, binary),
            (labels::STAMP, &artifact.stamp),
            (labels::ARTIFACT, &artifact.path.to_string_lossy()),
            (labels::INSTRUCTIONS, &digest(instructions)),
            (labels::DIRECTORY, &self.root.to_string_lossy()),
        ]
        .map(|(key, value)| format!("LABEL {key}={}", quoted(value)))
        .to_vec()
    }

    /// Has the engine make an image that holds the program and nothing else.
    async fn import(
        &self,
        engine: &Engine,
        content: Vec<u8>,
        instructions: Vec<String>,
    ) -> Result<String, ImageError> {
        let reference = self.image.with_tag();
        let archive = futures_util::stream::iter(archive(content).map(Ok));
        let limit = limits::IMAGE_LOAD;
        match engine.import_root_file_system(reference.as_str(), archive, instructions, limit).await? {
            Some(id) => Ok(id),
            None => self.made(engine, reference).await,
        }
    }
}

/// A tar archive with the program, that everybody may run and nobody may change, in pieces.
pub(super) fn archive(content: Vec<u8>) -> [Bytes; 3] {
    let mut header = tar::Header::new_gnu();
    header.set_path(PROGRAM).expect("it fits a tar header");
    header.set_size(content.len() as u64);
    header.set_mode(0o555);
    header.set_mtime(0);
    header.set_cksum();
    // Content is padded to whole blocks, and two empty blocks end the archive (POSIX, pax, "ustar Interchange Format").
    let padding = content.len().next_multiple_of(512) - content.len();
    [Bytes::copy_from_slice(header.as_bytes()), content.into(), vec![0; padding + 2 * 512].into()]
}

fn digest(instructions: &[String]) -> String {
    hex(&Sha256::digest(instructions.join("\n")))
}

/// A value as a Dockerfile's instruction takes it literally.
pub(super) fn quoted(value: &str) -> String {
    let escaped = value.replace('\\', "\\\\").replace('"', "\\\"").replace('$', "\\$");
    format!("\"{escaped}\"")
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn the_archive_holds_the_program_and_nothing_else() {
        for length in [0, 1, 511, 512, 513] {
            let bytes = archive(vec![7; length]).concat();
            let mut archive = tar::Archive::new(bytes.as_slice());
            let mut entries = archive.entries().expect("an archive");
            let mut entry = entries.next().expect("one entry").expect("a whole entry");
            assert_eq!(entry.path().expect("a path"), Path::new("service"));
            assert_eq!(entry.header().mode().expect("a mode"), 0o555);
            let mut content = Vec::new();
            entry.read_to_end(&mut content).expect("the content");
            assert_eq!(content, vec![7; length]);
            assert!(entries.next().is_none());
            assert_eq!(bytes.len() % 512, 0);
        }
    }

    #[test]
    fn a_label_is_taken_literally() {
        assert_eq!(quoted(r#"/a "b" $c\d"#), r#""/a \"b\" \$c\\d""#);
    }
}
