//! The release image: the Dockerfile's last stage, built in a container with cargo's caches mounted; where that
//! container's own base cannot be had, on Linux, the same program built by the host's cargo with the same flags.
//!
//! Must not: push, or judge the image.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::host_build::{PACKAGE_ARGUMENT, archive, quoted};
use super::obtain::{Builder, run_builder};
use super::{Availability, ImageError, Needed, Sources, Underway, cargo, context, dockerfile, survey};
use crate::engine::{Engine, ImageBuild};
use crate::event::StepReporter;
use crate::limits;
use crate::stack::{ImageReference, hex};

/// What a release image is built from and told about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// The workspace's root, with the Dockerfile.
    pub root: PathBuf,
    /// The package; its program has the same name.
    pub package: String,
    /// The references the image gets, at least one.
    pub references: Vec<ImageReference>,
    /// The platform, `linux/arm64`; the engine's own when not given.
    pub platform: Option<String>,
    /// The Dockerfile's `ARG`s: `VERSION`, `REVISION`, `SOURCE`, which become OCI labels.
    pub arguments: BTreeMap<String, String>,
    /// Labels added to those of the Dockerfile.
    pub labels: BTreeMap<String, String>,
}

/// Who compiles a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Compiler {
    /// The Dockerfile, in a container.
    Container,
    /// The host's cargo.
    Host,
}

/// A release image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Released {
    /// Its references.
    pub references: Vec<String>,
    /// The engine's identifier.
    pub id: String,
    /// Bytes unpacked.
    pub size: u64,
    /// Who compiled it.
    pub compiler: Compiler,
}

/// Who can compile here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// The container.
    Container,
    /// This machine's cargo, without the Dockerfile's base: what each source of it said.
    Host {
        /// A line each.
        without: Vec<String>,
    },
}

impl Release {
    /// Who can compile here: the container when its base can be had, else the host when it is of the right kind.
    ///
    /// # Errors
    /// When neither can, as [`ImageError::NoCompiler`] with what each source of the base said.
    pub fn compiler<'a>(&'a self, engine: &'a Engine, sources: &'a Sources) -> Underway<'a, Found> {
        Box::pin(async move {
            let needed: Vec<Needed> = dockerfile::bases(&self.dockerfile()?)
                .into_iter()
                .map(|reference| Needed { reference, recipe: None, built_here: false })
                .collect();
            let mut missing = Vec::new();
            for (reference, availability) in survey(engine, &needed, sources).await? {
                if let Availability::Unavailable(reasons) = availability {
                    missing.extend(reasons.into_iter().map(|reason| format!("{reference}: {reason}")));
                }
            }
            if missing.is_empty() {
                return Ok(Found::Container);
            }
            let architecture = engine.version().await?.architecture;
            let engines = self.platform.clone().unwrap_or_else(|| format!("linux/{architecture}"));
            if cfg!(target_os = "linux") && engines == format!("linux/{}", cargo::architecture()) {
                return Ok(Found::Host { without: missing });
            }
            Err(ImageError::NoCompiler { platform: engines, reasons: missing })
        })
    }

    /// Builds the image.
    ///
    /// # Errors
    /// When the compiler or an instruction refuses, with its output; when the engine refuses.
    pub fn build<'a>(
        &'a self,
        engine: &'a Engine,
        compiler: Compiler,
        reporter: &'a StepReporter,
    ) -> Underway<'a, Released> {
        Box::pin(async move {
            let first = self.references.first().expect("a release has a reference").with_tag();
            match compiler {
                Compiler::Container => self.build_in_container(&first, reporter).await?,
                Compiler::Host => self.build_on_host(engine, &first, reporter).await?,
            }
            for further in &self.references[1..] {
                engine.tag_image(first.as_str(), further.with_tag().as_str()).await?;
            }
            let image = engine.image(first.as_str()).await?.ok_or_else(|| ImageError::NotBrought {
                reference: first,
                source_name: "the build".to_owned(),
            })?;
            let references =
                self.references.iter().map(|reference| reference.with_tag().to_string()).collect();
            Ok(Released { references, id: image.id, size: image.size, compiler })
        })
    }

    /// The digests of the program as this machine's cargo builds it here, and from nothing in another checkout of the same
    /// commit: `sha256:…`, equal when a build can be repeated.
    ///
    /// # Errors
    /// When the compiler refuses.
    pub fn digests<'a>(
        &'a self,
        other_root: &'a Path,
        reporter: &'a StepReporter,
    ) -> Underway<'a, [String; 2]> {
        Box::pin(async move {
            let digest =
                |program| Ok::<_, ImageError>(format!("sha256:{}", hex(&Sha256::digest(read(program)?))));
            let here = digest(cargo::build_release(&self.root, &self.package, None, reporter).await?)?;
            let target = other_root.join("target");
            let there = cargo::build_release(other_root, &self.package, Some(&target), reporter).await?;
            Ok([here, digest(there)?])
        })
    }

    fn dockerfile(&self) -> Result<String, ImageError> {
        let path = self.root.join("Dockerfile");
        std::fs::read_to_string(&path).map_err(|source| ImageError::File { verb: "read", path, source })
    }

    async fn build_in_container(
        &self,
        reference: &ImageReference,
        reporter: &StepReporter,
    ) -> Result<(), ImageError> {
        let unreadable = |source| ImageError::File { verb: "read", path: self.root.clone(), source };
        let mut arguments = self.arguments.clone();
        arguments.insert(PACKAGE_ARGUMENT.to_owned(), self.package.clone());
        let order = ImageBuild {
            reference: reference.to_string(),
            context: context::archive(&self.root).map_err(unreadable)?,
            target: None,
            platform: self.platform.clone(),
            arguments,
            labels: self.labels.clone(),
            limit: limits::SERVICE_BUILD,
        };
        run_builder(Builder::BuildKit, reference, order, &self.package, reporter).await
    }

    async fn build_on_host(
        &self,
        engine: &Engine,
        reference: &ImageReference,
        reporter: &StepReporter,
    ) -> Result<(), ImageError> {
        let path = self.root.join("Dockerfile");
        let mut instructions = dockerfile::configuration(&self.dockerfile()?, &self.arguments)
            .map_err(|reason| ImageError::File { verb: "use", path, source: io::Error::other(reason) })?;
        instructions.extend(
            self.labels.iter().map(|(key, value)| format!("LABEL {}={}", quoted(key), quoted(value))),
        );
        let program = cargo::build_release(&self.root, &self.package, None, reporter).await?;
        let content = read(program)?;
        let archive = futures_util::stream::iter(archive(content).map(Ok));
        let limit = limits::IMAGE_LOAD;
        engine.import_root_file_system(reference.as_str(), archive, instructions, limit).await?;
        Ok(())
    }
}

fn read(path: PathBuf) -> Result<Vec<u8>, ImageError> {
    std::fs::read(&path).map_err(|source| ImageError::File { verb: "read", path, source })
}
