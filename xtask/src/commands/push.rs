//! `cargo xtask push`: publishes the release image that `image build` made, under its version and its revision.
//!
//! Must not: build. What is published is what was built and looked at.

use serde::Serialize;

use super::Context;
use super::image::identity;
use crate::checklist::Checklist;
use crate::cli;
use crate::engine::{Engine, StoredImage};
use crate::failure::{Code, Failure};
use crate::images;
use crate::limits;
use crate::stack::ImageReference;
use crate::ui::{Answer, Cell, Style, Table, bytes};

/// The variable that names the repository to push to.
pub const REPOSITORY_VARIABLE: &str = "HOMEPORT_REPOSITORY";

/// The label that says which commit an image was built from (OCI image specification, "Pre-Defined Annotation Keys").
const REVISION_LABEL: &str = "org.opencontainers.image.revision";

/// What was published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Pushed {
    repository: String,
    tags: Vec<String>,
    /// The manifest by which the registry knows the image: `sha256:…`.
    digest: String,
    revision: Option<String>,
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
    let mut tags =
        if arguments.tags.is_empty() { identity::tags(revision.as_deref()) } else { arguments.tags.clone() };
    tags.extend(arguments.latest.then(|| "latest".to_owned()));
    tags.dedup();
    let digest = publish(context, &session.engine, &image.id, &repository, &tags).await?;
    let pushed = Pushed { repository, tags, digest, revision };
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
    let built_from = image.labels.get(REVISION_LABEL).map(String::as_str);
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
    if image.size > limits::RELEASE_IMAGE {
        let (is, most) = (bytes(image.size), bytes(limits::RELEASE_IMAGE));
        return Err(refuse(format!("it is too large: {is}, at most {most}")));
    }
    Ok(())
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
