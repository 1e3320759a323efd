//! What a release is called: its repository, version, revision and the address of its sources.
//!
//! Must not: build or publish it.

use crate::commands::Context;
use crate::failure::{Code, Failure};
use crate::limits;
use crate::process::Program;
use crate::stack::Stack;

/// The version of the workspace, which all its packages share.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What a revision ends with when files differ from the commit.
pub(crate) const DIRTY: &str = "-dirty";

/// The image that the checkout makes.
pub(crate) struct Made {
    /// The package whose program is in it.
    pub(crate) package: String,
    /// Its reference without the tag, as the Compose file has it.
    pub(crate) repository: String,
}

/// The image of the stack that a package of the workspace makes.
///
/// # Errors
/// When no service names a package.
pub(crate) fn made_here(stack: &Stack) -> Result<Made, Failure> {
    let made = stack.services.values().find_map(|service| {
        let package = service.homeport.package.clone()?;
        let image = service.image.with_tag();
        let repository = image.as_str().rsplit_once(':').map_or(image.as_str(), |(repository, _)| repository);
        Some(Made { package, repository: repository.to_owned() })
    });
    made.ok_or_else(|| {
        Failure::new(Code::ComposeInvalid, "no service of the stack names a package")
            .hint("`x-homeport: {package: NAME}` under a service says which package makes its image")
    })
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
    use super::{VERSION, public_address, tags};

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

    #[test]
    fn a_release_that_differs_from_its_commit_does_not_have_its_tag() {
        let commit = "0123456789abcdef0123456789abcdef01234567";
        assert_eq!(tags(Some(commit)), [VERSION, "0123456789ab"]);
        assert_eq!(tags(Some(&format!("{commit}-dirty"))), [VERSION, "0123456789ab-dirty"]);
        assert_eq!(tags(None), [VERSION]);
    }
}
