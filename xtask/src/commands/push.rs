//! `cargo xtask push`: publishes the release image that `image build` made, under its version and its revision.
//!
//! Must not: build. What is published is what was built and looked at.

use serde::{Deserialize, Serialize};

use super::Context;
use super::image::identity;
use crate::checklist::Checklist;
use crate::cli;
use crate::engine::{Engine, StoredImage};
use crate::failure::{Code, Failure};
use crate::images;
use crate::stack::ImageReference;
use crate::ui::{Answer, Cell, Style, Table};

/// The variable that names the repository to push to.
pub const REPOSITORY_VARIABLE: &str = "HOMEPORT_REPOSITORY";

/// What was published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Pushed {
    repository: String,
    tags: Vec<String>,
    /// The manifest by which the registry knows the image: `sha256:…`.
    digest: String,
    /// The engine's identifier of the image.
    pub(super) image: String,
    revision: Option<String>,
}

impl Pushed {
    /// The image by its content, whatever its tags will mean later. The tag stands beside it for people, and for the
    /// version that the service is to answer with; who pulls goes by the digest.
    pub(super) fn by_digest(&self) -> String {
        let tag = self.tags.iter().find(|tag| *tag == identity::VERSION).or(self.tags.first());
        let tag = tag.map(|tag| format!(":{tag}")).unwrap_or_default();
        format!("{}{tag}@{}", self.repository, self.digest)
    }

    /// Whether the image that the engine has under this name is the one that the registry was given: the engine knows which
    /// of its images has that digest.
    ///
    /// # Errors
    /// [`Code::ChecksFailed`] when it is another one.
    pub(super) async fn is_held(&self, engine: &Engine, local: &str) -> Result<(), Failure> {
        let published = format!("{}@{}", self.repository, self.digest);
        let (here, there) = (engine.image(local).await?, engine.image(&published).await?);
        let id = |image: Option<StoredImage>| image.map_or_else(|| "none".to_owned(), |image| image.id);
        let (here, there) = (id(here), id(there));
        if here == there && here == self.image {
            return Ok(());
        }
        let message = format!("{local} is not what was pushed: it is {here}, and {published} is {there}");
        Err(Failure::new(Code::ChecksFailed, message)
            .hint("it was built again since; `cargo xtask push` publishes it"))
    }
}

/// What was last pushed from this checkout, if it was of the commit that is checked out.
///
/// # Errors
/// When the file that tells cannot be read.
pub(super) async fn pushed(context: &Context) -> Result<Option<Pushed>, Failure> {
    let path = context.project.root().join(cli::PUSHED);
    let unreadable = |error: &dyn std::fmt::Display| {
        Failure::new(Code::ProjectInvalid, format!("cannot read {}: {error}", path.display()))
    };
    let text = match std::fs::read_to_string(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        read => read.map_err(|error| unreadable(&error))?,
    };
    let pushed: Pushed = serde_json::from_str(&text).map_err(|error| unreadable(&error))?;
    let revision = identity::revision(context).await;
    Ok(Some(pushed).filter(|pushed| pushed.revision == revision))
}

/// A cluster that is named pulls; there is nothing for it to pull.
pub(super) fn nothing_pushed(cluster: &str) -> Failure {
    let message = format!("cannot deploy to {cluster}: nothing of this commit was pushed from here");
    Failure::new(Code::ImageUnavailable, message).hint("`cargo xtask ci build push` does that first")
}

/// Runs `push`.
///
/// # Errors
/// When the image was not built, was built from something else than what is checked out, or is too large; when the
/// registry refuses.
pub async fn run(context: &Context, arguments: &cli::Push) -> Result<(), Failure> {
    // What an earlier run has pushed is no answer to this one, should it fail.
    let _ = std::fs::remove_file(context.project.root().join(&arguments.output));
    let repository = repository(arguments)?;
    judge_tag(|name| std::env::var(name).ok())?;
    let (session, _) = context.session_as_found(false).await?;
    let made = identity::made_here(&session.stack)?;
    let revision = identity::revision(context).await;
    let local = format!("{}:{}", made.repository, identity::VERSION);
    let image = session.engine.image(&local).await?.ok_or_else(|| {
        Failure::new(Code::ImageUnavailable, format!("cannot push {local}: the engine does not have it"))
            .hint("`cargo xtask image build` builds it")
    })?;
    judge(&local, &image, revision.as_deref(), arguments.allow_dirty)?;
    identity::judge_size(&local, image.size, &made)?;
    if arguments.tags.is_empty() {
        judge_architecture(&local, &image.architecture, session.engine.architecture().await?)?;
    }
    let mut tags =
        if arguments.tags.is_empty() { identity::tags(revision.as_deref()) } else { arguments.tags.clone() };
    tags.extend(arguments.latest.then(|| "latest".to_owned()));
    tags.dedup();
    // `latest` is meant to move.
    let kept = tags.iter().filter(|tag| !arguments.overwrite && *tag != "latest").collect::<Vec<_>>();
    let image = match there_already(context, &session.engine, &image, &repository, &kept).await? {
        Some(published) => {
            // What is deployed from here is what is published.
            session.engine.tag_image(&published.id, &local).await?;
            published
        }
        None => image,
    };
    let digest = publish(context, &session.engine, &image.id, &repository, &tags).await?;
    let pushed = Pushed { repository, tags, digest, image: image.id, revision };
    write(context, arguments, &pushed)?;
    context.answer(&pushed)
}

/// The repository that the environment names; an empty variable names none.
pub(super) fn named_by_environment() -> Option<String> {
    std::env::var(REPOSITORY_VARIABLE).ok().filter(|repository| !repository.is_empty())
}

/// The repository to push to; one without a registry is Docker Hub's.
fn repository(arguments: &cli::Push) -> Result<String, Failure> {
    let given = arguments.repository.clone().filter(|repository| !repository.is_empty());
    let Some(repository) = given.or_else(named_by_environment) else {
        return Err(Failure::new(Code::Usage, "no repository is named to push to")
            .hint(format!("`cargo xtask push registry.example/team/app`, or {REPOSITORY_VARIABLE}")));
    };
    let last = repository.rsplit('/').next().unwrap_or(&repository);
    if last.contains([':', '@']) || !repository.contains('/') {
        return Err(Failure::new(Code::Usage, format!("{repository:?} is not a repository"))
            .hint("it is written like registry.example/team/app, without a tag; `--tag` chooses tags"));
    }
    Ok(repository)
}

/// Whether the tag that a job of GitHub Actions runs for is that of the version: nobody looks for 0.1.0 under v0.2.0.
fn judge_tag(variable: impl Fn(&str) -> Option<String>) -> Result<(), Failure> {
    let name = variable("GITHUB_REF_NAME").filter(|_| variable("GITHUB_REF_TYPE").as_deref() == Some("tag"));
    let Some(tag) = name.filter(|tag| tag.strip_prefix('v').unwrap_or(tag) != identity::VERSION) else {
        return Ok(());
    };
    let message = format!("cannot push version {}: this job is for the tag {tag}", identity::VERSION);
    Err(Failure::new(Code::ChecksFailed, message)
        .hint("the version stands in Cargo.toml; the tag is `v` and the version"))
}

/// Whether this image may be published from this checkout.
fn judge(local: &str, image: &StoredImage, revision: Option<&str>, allow_dirty: bool) -> Result<(), Failure> {
    let refuse =
        |message: String| Failure::new(Code::ChecksFailed, format!("cannot push {local}: {message}"));
    let built_from = image.labels.get(identity::REVISION_LABEL).map(String::as_str);
    if revision.is_none() && !allow_dirty {
        return Err(refuse("git does not tell which commit is checked out".to_owned())
            .hint("push from a git checkout, or say --allow-dirty"));
    }
    if let Some(revision) = revision {
        if revision.ends_with(identity::DIRTY) && !allow_dirty {
            return Err(refuse("files differ from the commit".to_owned())
                .hint("commit them and build again, or say --allow-dirty"));
        }
        if built_from != Some(revision) {
            let built_from = built_from.unwrap_or("something unknown");
            return Err(refuse(format!("it was built from {built_from}, and {revision} is checked out"))
                .hint("`cargo xtask image build` builds what is checked out"));
        }
    }
    Ok(())
}

/// A version's tag names one image, for the machines that the engine's is like: one for others needs a tag of its own.
fn judge_architecture(local: &str, images: &str, engines: &str) -> Result<(), Failure> {
    if images.is_empty() || images == engines {
        return Ok(());
    }
    let version = identity::VERSION;
    let message = format!("cannot push {local}: it is for {images}, and this engine's machine is {engines}");
    Err(Failure::new(Code::ChecksFailed, message).hint(format!(
        "`--tag {version}-{images}` gives it a tag of its own; `cargo xtask image build` builds for {engines}"
    )))
}

/// Asks before anything is pushed whether a tag has another image there: who relies on a version must not get another one.
/// An image of the same commit, built once more, is that version as well: a release that is run again goes on with the one
/// that was published first, which is returned.
async fn there_already(
    context: &Context,
    engine: &Engine,
    image: &StoredImage,
    repository: &str,
    tags: &[&String],
) -> Result<Option<StoredImage>, Failure> {
    if tags.is_empty() {
        return Ok(None);
    }
    let title = format!("look what {repository} has");
    let mut checklist = Checklist::announce(&context.events, &context.cancel, vec![title]);
    checklist
        .step(async |reporter| {
            let mut published: Option<StoredImage> = None;
            let mut ours_is_there = false;
            for tag in tags {
                let reference = ImageReference::new(format!("{repository}:{tag}"));
                let Some(digest) = images::published(engine, &reference, reporter).await? else { continue };
                // The engine remembers under which digests it has pushed or pulled an image.
                let known = published.as_ref().unwrap_or(image);
                if known.digests.iter().any(|known| known.ends_with(&digest)) {
                    ours_is_there |= published.is_none();
                    continue;
                }
                let by_digest = ImageReference::new(format!("{repository}@{digest}"));
                let there = images::bring(engine, &by_digest, reporter).await?;
                // All tags are to be one image: that of another tag would move one that has ours.
                if ours_is_there || published.is_some() || !is_the_same_release(image, &there) {
                    let message =
                        format!("cannot push {reference}: it is there with another image, {digest}");
                    return Err(Failure::new(Code::ChecksFailed, message)
                        .hint("raise the version in Cargo.toml; `--overwrite` puts this one in its place"));
                }
                published = Some(there);
            }
            let said = published.as_ref().map(|there| {
                let digest = there.digests.iter().find_map(|known| known.strip_prefix(repository));
                format!(
                    "already pushed from this commit: {}",
                    digest.unwrap_or(&there.id).trim_start_matches('@')
                )
            });
            Ok((published, said))
        })
        .await
}

/// Whether two images are of one commit and for one kind of machine. What was built from files that differ from a commit is
/// like nothing else.
fn is_the_same_release(one: &StoredImage, other: &StoredImage) -> bool {
    let revision = |image: &StoredImage| {
        image
            .labels
            .get(identity::REVISION_LABEL)
            .filter(|revision| !revision.ends_with(identity::DIRTY))
            .cloned()
    };
    one.architecture == other.architecture && revision(one).is_some() && revision(one) == revision(other)
}

/// Pushes one tag after the other: the layers go with the first.
async fn publish(
    context: &Context,
    engine: &Engine,
    id: &str,
    repository: &str,
    tags: &[String],
) -> Result<String, Failure> {
    let titles = tags.iter().map(|tag| format!("push {repository}:{tag}")).collect();
    let mut checklist = Checklist::announce(&context.events, &context.cancel, titles);
    let mut digest = None;
    for tag in tags {
        let reference = ImageReference::new(format!("{repository}:{tag}"));
        let pushed = checklist
            .step(async |reporter| {
                engine.tag_image(id, reference.as_str()).await?;
                let digest = images::push(engine, &reference, reporter).await?;
                Ok((digest.clone(), digest))
            })
            .await?;
        digest = digest.or(pushed);
    }
    digest.ok_or_else(|| {
        Failure::new(
            Code::ImageFailed,
            format!("{repository} was pushed, and the registry did not tell its digest"),
        )
    })
}

fn write(context: &Context, arguments: &cli::Push, pushed: &Pushed) -> Result<(), Failure> {
    let path = context.project.root().join(&arguments.output);
    let text = serde_json::to_string_pretty(pushed).unwrap_or_default() + "\n";
    super::keep(&path, &text)
}

impl Answer for Pushed {
    fn human(&self, style: Style, columns: Option<usize>) -> Vec<String> {
        let mut table = Table::new(["IMAGE", "DIGEST"]);
        for tag in &self.tags {
            table.row([Cell::plain(format!("{}:{tag}", self.repository)), Cell::plain(&self.digest)]);
        }
        table.lines(style, columns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_pushed_is_named_by_its_digest() {
        let named = |tags: &[&str]| {
            let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
            let (repository, digest) = ("host:5000/team/app".to_owned(), "sha256:ab".to_owned());
            Pushed { repository, tags, digest, image: "sha256:cd".to_owned(), revision: None }.by_digest()
        };
        let version = identity::VERSION;
        assert_eq!(named(&["0123", version]), format!("host:5000/team/app:{version}@sha256:ab"));
        assert_eq!(named(&["own"]), "host:5000/team/app:own@sha256:ab");
        assert_eq!(named(&[]), "host:5000/team/app@sha256:ab");
    }

    #[test]
    fn a_version_is_for_machines_like_this_one() {
        assert_eq!(judge_architecture("app:1", "amd64", "amd64"), Ok(()));
        let refused = judge_architecture("app:1", "arm64", "amd64").expect_err("for other machines");
        assert!(refused.hint.is_some_and(|hint| hint.contains("-arm64")), "{}", refused.message);
    }

    #[test]
    fn a_tag_and_the_version_agree() {
        let judged = |kind: &str, name: &str| {
            let variables = [("GITHUB_REF_TYPE", kind.to_owned()), ("GITHUB_REF_NAME", name.to_owned())];
            judge_tag(|wanted| {
                variables.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value.clone())
            })
        };
        assert_eq!(judged("tag", &format!("v{}", identity::VERSION)), Ok(()));
        assert_eq!(judged("branch", "main"), Ok(()));
        assert_eq!(judge_tag(|_| None), Ok(()));
        let refused = judged("tag", "v9.9.9").expect_err("another version");
        assert!(refused.message.contains("v9.9.9"), "{refused}");
    }
}
