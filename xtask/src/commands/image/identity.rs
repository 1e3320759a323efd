//! What a release is called: its repository, version, revision and the address of its sources.
//!
//! Must not: build or publish it.

use crate::commands::Context;
use crate::failure::{Code, Failure};
use crate::limits;
use crate::process::Program;
use crate::quantity::bytes;
use crate::stack::Stack;

/// The version of the workspace, which all its packages share.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The label of an image that says which commit it is of (OCI image annotations).
pub(crate) const REVISION_LABEL: &str = "org.opencontainers.image.revision";

/// What a revision ends with when files differ from the commit.
pub(crate) const DIRTY: &str = "-dirty";

/// The image that the checkout makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Made {
    /// The package whose program is in it.
    pub(crate) package: String,
    /// Its reference without the tag, as the Compose file has it.
    pub(crate) repository: String,
    /// How large a release may be, in bytes unpacked.
    pub(crate) max_size: Option<u64>,
}

/// The image of the stack that a package of the workspace makes.
///
/// # Errors
/// When no service names a package, or services name several: a release is one image.
pub(crate) fn made_here(stack: &Stack) -> Result<Made, Failure> {
    let mut all: Vec<Made> = Vec::new();
    for service in stack.services.values() {
        let Some(package) = service.homeport.package.clone() else { continue };
        let image = service.image.with_tag();
        let repository = image.as_str().rsplit_once(':').map_or(image.as_str(), |(repository, _)| repository);
        match all.iter_mut().find(|made| made.package == package && made.repository == repository) {
            // A bound that stands at one of the services that share an image is the image's.
            Some(made) => made.max_size = made.max_size.into_iter().chain(service.homeport.max_size).min(),
            None => all.push(Made {
                package,
                repository: repository.to_owned(),
                max_size: service.homeport.max_size,
            }),
        }
    }
    match all.as_slice() {
        [made] => Ok(made.clone()),
        [] => Err(Failure::new(Code::ComposeInvalid, "no service of the stack names a package")
            .hint("`x-homeport: {package: NAME}` under a service says which package makes its image")),
        several => {
            let made = |made: &Made| format!("{} of the package {}", made.repository, made.package);
            Err(Failure::new(
                Code::ComposeInvalid,
                "the stack has several images of its own, and a release is one",
            )
            .details(several.iter().map(made))
            .hint("what is released together can be one package with a command for each service"))
        }
    }
}

/// Refuses an image that is larger than its service allows.
pub(crate) fn judge_size(image: &str, size: u64, made: &Made) -> Result<(), Failure> {
    let Some(most) = made.max_size.filter(|most| size > *most) else { return Ok(()) };
    let message = format!("image {image} is too large: {}, at most {}", bytes(size), bytes(most));
    Err(Failure::new(Code::ChecksFailed, message)
        .hint("`x-homeport: {max_size: …}` of the service sets the bound"))
}

/// The tags of a release: the version, and the start of the revision.
pub(crate) fn tags(revision: Option<&str>) -> Vec<String> {
    let short = revision.map(|revision| match revision.strip_suffix(DIRTY) {
        Some(commit) => format!("{}{DIRTY}", shortened(commit)),
        None => shortened(revision),
    });
    [Some(VERSION.to_owned()), short].into_iter().flatten().collect()
}

/// Enough of a commit's name to know it by.
fn shortened(commit: &str) -> String {
    commit.chars().take(12).collect()
}

/// The commit that is checked out, marked when files differ from it; `None` outside of git.
pub(crate) async fn revision(context: &Context) -> Option<String> {
    let head = git(context, &["rev-parse", "HEAD"]).await?;
    let changes = git(context, &["status", "--porcelain"]).await?;
    Some(if changes.is_empty() { head } else { format!("{head}{DIRTY}") })
}

/// Where the sources are kept, as far as that is an address others can use.
pub(super) async fn source(context: &Context) -> Option<String> {
    public_address(&git(context, &["config", "--get", "remote.origin.url"]).await?)
}

async fn git(context: &Context, arguments: &[&str]) -> Option<String> {
    let program = Program::new("git", limits::ENGINE_ANSWER).args(arguments.iter().copied());
    let output = program.directory(context.project.root()).output().await.ok()?;
    Some(output.trim().to_owned())
}

/// A remote's address as one for a browser, without credentials; `None` for a path of this machine.
fn public_address(remote: &str) -> Option<String> {
    let (scheme, rest) = match remote.split_once("://") {
        Some((scheme @ ("http" | "https"), rest)) => (scheme, rest.to_owned()),
        Some(("ssh", rest)) => ("https", rest.to_owned()),
        Some(_) => return None,
        // `git@host:path`, as scp writes it.
        None => ("https", remote.split_once('@')?.1.replacen(':', "/", 1)),
    };
    let (host, path) = rest.split_once('/')?;
    let host = host.rsplit('@').next().unwrap_or(host);
    Some(format!("{scheme}://{host}/{}", path.strip_suffix(".git").unwrap_or(path)))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::stack::Source;

    #[test]
    fn a_remote_is_told_without_credentials_and_paths_of_this_machine_not_at_all() {
        let table = [
            ("https://example.org/team/app.git", Some("https://example.org/team/app")),
            ("https://me:token@example.org/team/app", Some("https://example.org/team/app")),
            ("git@example.org:team/app.git", Some("https://example.org/team/app")),
            ("ssh://git@example.org/team/app.git", Some("https://example.org/team/app")),
            ("/srv/git/app", None),
            ("../app", None),
            ("file:///srv/git/app", None),
        ];
        for (remote, expected) in table {
            assert_eq!(public_address(remote).as_deref(), expected, "{remote}");
        }
    }

    fn stack(services: &str) -> Stack {
        let source = Source {
            text: &format!("name: shop\nservices:\n{services}"),
            path: Path::new("compose.yaml"),
            directory: Path::new("/project/compose"),
            project: None,
            variables: &|_| None,
            files: &|_| None,
        };
        crate::stack::parse(&source).expect("a stack").stack
    }

    #[test]
    fn a_release_is_the_one_image_of_the_stacks_own() {
        let one = "  migrate: {image: 'shop/app:dev', x-homeport: {package: app}}\n  \
                   web: {image: 'shop/app:dev', x-homeport: {package: app, max_size: 1k}}\n  db: {image: 'postgres:17'}\n";
        let made = made_here(&stack(one)).expect("one image");
        assert_eq!((made.package.as_str(), made.repository.as_str()), ("app", "shop/app"));
        assert_eq!(judge_size("shop/app", 1024, &made), Ok(()));
        assert!(judge_size("shop/app", 1025, &made).expect_err("too large").message.contains("too large"));
        let unbounded = Made { max_size: None, ..made };
        assert_eq!(judge_size("shop/app", u64::MAX, &unbounded), Ok(()));

        let two = format!("{one}  worker: {{image: 'shop/worker:dev', x-homeport: {{package: worker}}}}\n");
        let refused = made_here(&stack(&two)).expect_err("which one?");
        assert_eq!(refused.details, ["shop/app of the package app", "shop/worker of the package worker"]);
        assert!(made_here(&stack("  db: {image: 'postgres:17'}\n")).is_err());
    }

    #[test]
    fn a_release_that_differs_from_its_commit_does_not_have_its_tag() {
        let commit = "0123456789abcdef0123456789abcdef01234567";
        assert_eq!(tags(Some(commit)), [VERSION, "0123456789ab"]);
        assert_eq!(tags(Some(&format!("{commit}-dirty"))), [VERSION, "0123456789ab-dirty"]);
        assert_eq!(tags(None), [VERSION]);
    }
}
