//! The engine's image store: looking, pulling, pushing, loading, importing, saving, tagging, removing.
//!
//! Must not: choose a source for an image, or read Docker's configuration (credentials are handed in).

use std::collections::BTreeMap;
use std::time::Duration;

use bollard::auth::DockerCredentials;
use bollard::errors::Error as BollardError;
use bollard::models::{CreateImageInfo, ImageInspect, ProgressDetail};
use bollard::query_parameters::{
    CreateImageOptions, ImportImageOptions, ListImagesOptions, PushImageOptions, RemoveImageOptions,
    TagImageOptions,
};
use futures_util::{Stream, StreamExt as _};
use tokio_util::bytes::Bytes;

use super::error::{EngineError, ask, refusal};
use super::{Asked, Engine};
use crate::limits;
use crate::scan::image::Configuration;

/// An image in the engine's store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredImage {
    /// The engine's identifier, `sha256:…`.
    pub id: String,
    /// Its references, as the engine writes them.
    pub tags: Vec<String>,
    /// What registries know it by: `repository@sha256:…`.
    pub digests: Vec<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Bytes unpacked, layers shared with other images included.
    pub size: u64,
    /// The processor it is for, in Go's words (`amd64`); empty in a listing.
    pub architecture: String,
}

/// What a registry is told of who asks.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The registry, as Docker's configuration writes it.
    pub server: String,
    /// The account; empty with an identity token.
    pub username: String,
    /// The password, or an access token.
    pub password: String,
    /// What a registry gave in place of a password.
    pub identity_token: Option<String>,
}

impl std::fmt::Debug for Credentials {
    /// Names the account and never the secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} at {}", self.username, self.server)
    }
}

/// One report of a pull or a push: one layer's progress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerProgress {
    /// The layer; empty when the report is about the whole.
    pub layer: String,
    /// What the engine does: `Downloading`, `Extracting`, `Pushed`.
    pub status: String,
    /// Bytes done and in all, when they are known.
    pub bytes: Option<(u64, u64)>,
}

impl Engine {
    /// Looks for an image in the engine's own store.
    ///
    /// # Errors
    /// When the engine does not answer. An image that is not there is `None`.
    pub fn image<'a>(&'a self, reference: &'a str) -> Asked<'a, Option<StoredImage>> {
        Box::pin(async move {
            let request = self.docker.inspect_image(reference);
            match ask("inspect", image(reference), limits::ENGINE_ANSWER, request).await {
                Ok(inspection) => Ok(Some(stored(inspection))),
                Err(error) if error.is_not_found() => Ok(None),
                Err(error) => Err(error),
            }
        })
    }

    /// What an image's configuration says of how it runs, in the words of the rules that judge it.
    ///
    /// # Errors
    /// When the engine does not answer. An image that is not there is `None`.
    pub fn image_configuration<'a>(&'a self, reference: &'a str) -> Asked<'a, Option<Configuration>> {
        Box::pin(async move {
            let request = self.docker.inspect_image(reference);
            let inspection = match ask("inspect", image(reference), limits::ENGINE_ANSWER, request).await {
                Ok(inspection) => inspection,
                Err(error) if error.is_not_found() => return Ok(None),
                Err(error) => return Err(error),
            };
            let size = inspection.size.and_then(|size| u64::try_from(size).ok()).unwrap_or(0);
            let config = inspection.config.unwrap_or_default();
            let history = self.docker.image_history(reference);
            let history =
                ask("read", format!("the history of image {reference}"), limits::ENGINE_ANSWER, history)
                    .await?;
            let check = config.healthcheck.as_ref().and_then(|check| check.test.clone()).unwrap_or_default();
            let command =
                [config.entrypoint.unwrap_or_default(), config.cmd.unwrap_or_default(), check].concat();
            Ok(Some(Configuration {
                user: config.user.unwrap_or_default(),
                environment: config.env.unwrap_or_default(),
                has_health_check: config
                    .healthcheck
                    .and_then(|check| check.test)
                    // `HEALTHCHECK NONE` is written as a test too.
                    .is_some_and(|test| test.first().is_some_and(|first| first != "NONE")),
                labels: config.labels.unwrap_or_default().into_iter().collect(),
                command,
                history: history.into_iter().map(|layer| layer.created_by).collect(),
                size,
            }))
        })
    }

    /// Lists the images that have a reference.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub fn images(&self) -> Asked<'_, Vec<StoredImage>> {
        Box::pin(async move {
            let request = self.docker.list_images(None::<ListImagesOptions>);
            let list = ask("list", "images", limits::ENGINE_ANSWER, request).await?;
            let stored = list.into_iter().map(|summary| StoredImage {
                id: summary.id,
                tags: summary.repo_tags.into_iter().filter(|tag| !tag.contains("<none>")).collect(),
                digests: summary.repo_digests,
                labels: summary.labels.into_iter().collect(),
                size: u64::try_from(summary.size).unwrap_or(0),
                architecture: String::new(),
            });
            Ok(stored.filter(|image| !image.tags.is_empty()).collect())
        })
    }

    /// Asks the registry of a reference, through the engine, whether it has the image; the digest that it knows it by.
    ///
    /// # Errors
    /// When the registry cannot be reached, does not have it, or does not show it to this account.
    pub fn registry_image<'a>(
        &'a self,
        reference: &'a str,
        credentials: Option<&'a Credentials>,
    ) -> Asked<'a, String> {
        Box::pin(async move {
            let request = self.docker.inspect_registry_image(reference, credentials.map(docker_credentials));
            ask("find", format!("image {reference} in its registry"), limits::REGISTRY_ANSWER, request)
                .await
                .map(|found| found.descriptor.digest.unwrap_or_default())
        })
    }

    /// Pulls an image. When the future is dropped the engine stops and nothing is tagged.
    ///
    /// # Errors
    /// When the registry or the engine refuses, or the bound is over.
    pub async fn pull_image(
        &self,
        reference: &str,
        credentials: Option<&Credentials>,
        on_progress: impl FnMut(LayerProgress),
    ) -> Result<(), EngineError> {
        let options = CreateImageOptions { from_image: Some(reference.to_owned()), ..Default::default() };
        let stream = self.docker.create_image(Some(options), None, credentials.map(docker_credentials));
        let mut on_progress = on_progress;
        follow("pull", image(reference), limits::IMAGE_PULL, stream, |info| {
            on_progress(LayerProgress {
                layer: info.id.unwrap_or_default(),
                status: info.status.unwrap_or_default(),
                bytes: info.progress_detail.as_ref().and_then(bytes),
            });
        })
        .await
    }

    /// Pushes an image to the registry its reference names. Returns the digest by which the registry knows it.
    ///
    /// # Errors
    /// When the registry or the engine refuses, or the bound is over.
    pub async fn push_image(
        &self,
        reference: &str,
        credentials: Option<&Credentials>,
        mut on_progress: impl FnMut(LayerProgress),
    ) -> Result<Option<String>, EngineError> {
        let (repository, tag) = split(reference);
        let options = PushImageOptions { tag: tag.map(str::to_owned), ..Default::default() };
        let stream = self.docker.push_image(repository, Some(options), credentials.map(docker_credentials));
        let mut digest = None;
        follow("push", image(reference), limits::IMAGE_PULL, stream, |info| {
            let status = info.status.unwrap_or_default();
            // The last report: `1.0: digest: sha256:… size: 528`.
            let told = status.split_once("digest: ").map(|(_, rest)| rest);
            let told = told.and_then(|rest| rest.split_whitespace().next());
            digest = told.map(str::to_owned).or(digest.take());
            on_progress(LayerProgress {
                layer: String::new(),
                status,
                bytes: info.progress_detail.as_ref().and_then(bytes),
            });
        })
        .await?;
        Ok(digest)
    }

    /// Loads an archive as `docker save` writes it, uncompressed or gzip. Returns what the engine says it loaded:
    /// references, or identifiers of images without one.
    ///
    /// # Errors
    /// When the archive ends in an error or the engine refuses it.
    pub async fn load_images(
        &self,
        name: &str,
        archive: impl Stream<Item = std::io::Result<Bytes>> + Send + 'static,
        limit: Duration,
    ) -> Result<Vec<String>, EngineError> {
        let options = ImportImageOptions { quiet: true, ..Default::default() };
        let stream = self.docker.import_image(options, bollard::body_try_stream(archive), None);
        let mut loaded = Vec::new();
        follow("load", name.to_owned(), limit, stream, |info| {
            let text = info.stream.unwrap_or_default();
            let said = text.trim().strip_prefix("Loaded image: ");
            let said = said.or_else(|| text.trim().strip_prefix("Loaded image ID: "));
            loaded.extend(said.map(str::to_owned));
        })
        .await?;
        Ok(loaded)
    }

    /// Makes an image of a root file system, a tar archive. `changes` are Dockerfile instructions. Returns the image's
    /// identifier, where the engine tells it.
    ///
    /// # Errors
    /// When the archive ends in an error or the engine refuses it; then nothing is tagged.
    pub async fn import_root_file_system(
        &self,
        reference: &str,
        archive: impl Stream<Item = std::io::Result<Bytes>> + Send + 'static,
        changes: Vec<String>,
        limit: Duration,
    ) -> Result<Option<String>, EngineError> {
        let (repository, tag) = split(reference);
        let options = CreateImageOptions {
            from_src: Some("-".to_owned()),
            repo: Some(repository.to_owned()),
            tag: tag.map(str::to_owned),
            changes,
            ..Default::default()
        };
        let stream = self.docker.create_image(Some(options), Some(bollard::body_try_stream(archive)), None);
        let mut id = None;
        let note = |report: CreateImageInfo| {
            if let Some(said) = report.status.filter(|status| status.starts_with("sha256:")) {
                id = Some(said);
            }
        };
        follow("import", image(reference), limit, stream, note).await?;
        Ok(id)
    }

    /// Writes images as `docker save` does: one uncompressed archive.
    pub fn save_images(&self, references: &[&str]) -> impl Stream<Item = Result<Bytes, EngineError>> + use<> {
        let object = format!("image {}", references.join(", "));
        self.docker
            .export_images(references)
            .map(move |chunk| chunk.map_err(|source| refusal("save", object.clone(), source)))
    }

    /// Removes images that have lost their reference to a newer one and carry all of these labels. One that a container
    /// still uses stays until the next time.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub fn remove_untagged_images<'a>(&'a self, labels: &'a [(&'a str, &'a str)]) -> Asked<'a, ()> {
        Box::pin(async move {
            let labels = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
            let filters = [("dangling", vec!["true".to_owned()]), ("label", labels)];
            let options = ListImagesOptions {
                filters: Some(filters.map(|(key, values)| (key.to_owned(), values)).into()),
                ..Default::default()
            };
            let request = self.docker.list_images(Some(options));
            for summary in ask("list", "images", limits::ENGINE_ANSWER, request).await? {
                match self.remove_image(&summary.id).await {
                    Err(error) if !error.is_conflict() => return Err(error),
                    _ => {}
                }
            }
            Ok(())
        })
    }

    /// Gives an image a further reference.
    ///
    /// # Errors
    /// When the engine refuses.
    pub fn tag_image<'a>(&'a self, source: &'a str, reference: &'a str) -> Asked<'a, ()> {
        Box::pin(async move {
            let (repository, tag) = split(reference);
            let options = TagImageOptions { repo: Some(repository.to_owned()), tag: tag.map(str::to_owned) };
            ask("tag", image(reference), limits::ENGINE_ANSWER, self.docker.tag_image(source, Some(options)))
                .await
        })
    }

    /// Removes a reference, and the image with its last one. An image that is not there is no error.
    ///
    /// # Errors
    /// When the engine refuses: a container uses it.
    pub fn remove_image<'a>(&'a self, reference: &'a str) -> Asked<'a, ()> {
        Box::pin(async move {
            let request = self.docker.remove_image(reference, None::<RemoveImageOptions>, None);
            match ask("remove", image(reference), limits::ENGINE_OPERATION, request).await {
                Ok(_) => Ok(()),
                Err(error) if error.is_not_found() => Ok(()),
                Err(error) => Err(error),
            }
        })
    }
}

fn image(reference: &str) -> String {
    format!("image {reference}")
}

/// The repository and the tag of a reference, as the engine wants them: apart.
fn split(reference: &str) -> (&str, Option<&str>) {
    match reference.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, Some(tag)),
        _ => (reference, None),
    }
}

fn stored(inspection: ImageInspect) -> StoredImage {
    let labels = inspection.config.and_then(|config| config.labels).unwrap_or_default();
    StoredImage {
        id: inspection.id.unwrap_or_default(),
        tags: inspection.repo_tags.unwrap_or_default(),
        digests: inspection.repo_digests.unwrap_or_default(),
        labels: labels.into_iter().collect(),
        size: inspection.size.and_then(|size| u64::try_from(size).ok()).unwrap_or(0),
        architecture: inspection.architecture.unwrap_or_default(),
    }
}

pub(super) fn docker_credentials(credentials: &Credentials) -> DockerCredentials {
    DockerCredentials {
        username: Some(credentials.username.clone()),
        password: Some(credentials.password.clone()),
        serveraddress: Some(credentials.server.clone()),
        identitytoken: credentials.identity_token.clone(),
        ..Default::default()
    }
}

fn bytes(detail: &ProgressDetail) -> Option<(u64, u64)> {
    let done = u64::try_from(detail.current?).ok()?;
    let total = u64::try_from(detail.total?).ok()?;
    Some((done, total))
}

/// Follows a stream of reports to its end. What the engine reports as an error on the way is a refusal.
pub(super) async fn follow<T>(
    verb: &'static str,
    object: String,
    limit: Duration,
    stream: impl Stream<Item = Result<T, BollardError>>,
    mut on_report: impl FnMut(T),
) -> Result<(), EngineError> {
    let work = async {
        let mut stream = std::pin::pin!(stream);
        while let Some(report) = stream.next().await {
            on_report(report?);
        }
        Ok(())
    };
    match tokio::time::timeout(limit, work).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(BollardError::DockerStreamError { error })) => {
            // The engine had answered 200 already when it failed; 500 is what it would have said.
            Err(EngineError::Refused { verb, object, status: 500, message: error })
        }
        Ok(Err(source)) => Err(refusal(verb, object, source)),
        Err(_) => Err(EngineError::Silent { verb, object, limit }),
    }
}
