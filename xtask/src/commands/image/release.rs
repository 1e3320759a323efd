//! `cargo xtask image build`: the release image of the service, with the labels that say what it was built from.

use std::collections::BTreeMap;

use crate::checklist::Checklist;
use crate::cli;
use crate::commands::Context;
use crate::failure::{Code, Failure};
use crate::images::{Compiler, Release, Released};
use crate::limits;
use crate::process::Program;
use crate::stack::{ImageReference, Stack};
use crate::ui::{Answer, Cell, Style, Table, bytes};

/// The version of the workspace, which all its packages share.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Builds the image and checks its size.
///
/// # Errors
/// When nothing can compile it, the compiler refuses, or the image is larger than it may be.
pub(super) async fn run(context: &Context, arguments: &cli::ImageBuild) -> Result<(), Failure> {
    let session = context.session(false).await?;
    let (package, repository) = service(&session.stack)?;
    let revision = revision(context).await;
    let references = if arguments.tags.is_empty() {
        let short = revision.as_deref().map(|revision| revision.chars().take(12).collect::<String>());
        let tags = [Some(VERSION.to_owned()), short].into_iter().flatten();
        tags.map(|tag| ImageReference::new(format!("{repository}:{tag}"))).collect()
    } else {
        arguments.tags.iter().map(ImageReference::new).collect()
    };
    let given = [("REVISION", revision), ("SOURCE", source(context).await)];
    let given = given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    let release = Release {
        root: context.project.root().to_owned(),
        package,
        references,
        platform: arguments.platform.clone(),
        arguments: BTreeMap::from([("VERSION".to_owned(), VERSION.to_owned())])
            .into_iter()
            .chain(given)
            .collect(),
        labels: BTreeMap::new(),
    };
    let compiler = match arguments.compiler {
        Some(cli::Compiler::Container) => Compiler::Container,
        Some(cli::Compiler::Host) => Compiler::Host,
        None => release.compiler(&session.engine, &session.sources).await?,
    };
    if compiler == Compiler::Host && arguments.compiler.is_none() {
        context.events.note("the Dockerfile's base cannot be had: this machine's cargo compiles the release");
    }
    let title = format!("build image {}", release.references[0]);
    let mut checklist = Checklist::announce(&context.events, &context.cancel, vec![title]);
    let built = checklist
        .step(async |reporter| {
            let built = release.build(&session.engine, compiler, reporter).await?;
            let detail = bytes(built.size);
            Ok((built, Some(detail)))
        })
        .await?;
    context.answer(&built)?;
    if built.size > limits::RELEASE_IMAGE {
        return Err(Failure::new(
            Code::ChecksFailed,
            format!(
                "image {} is too large: {}, at most {}",
                built.references[0],
                bytes(built.size),
                bytes(limits::RELEASE_IMAGE)
            ),
        ));
    }
    Ok(())
}

/// The package that makes an image of the stack, and that image's repository.
fn service(stack: &Stack) -> Result<(String, String), Failure> {
    let made = stack.services.values().find_map(|service| {
        let package = service.homeport.package.clone()?;
        let image = service.image.with_tag();
        let repository = image.as_str().rsplit_once(':').map_or(image.as_str(), |(repository, _)| repository);
        Some((package, repository.to_owned()))
    });
    made.ok_or_else(|| {
        Failure::new(Code::ComposeInvalid, "no service of the stack names a package")
            .hint("`x-homeport: {package: NAME}` under a service says which package makes its image")
    })
}

/// The commit that is checked out, marked when files differ from it; `None` outside of git.
async fn revision(context: &Context) -> Option<String> {
    let head = git(context, &["rev-parse", "HEAD"]).await?;
    let changes = git(context, &["status", "--porcelain", "--untracked-files=no"]).await?;
    Some(if changes.is_empty() { head } else { format!("{head}-dirty") })
}

/// Where the sources are kept, as far as that is an address others can use.
async fn source(context: &Context) -> Option<String> {
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

impl Answer for Released {
    fn human(&self, style: Style, columns: Option<usize>) -> Vec<String> {
        let mut table = Table::new(["IMAGE", "SIZE", "ID"]);
        let id: String = self.id.trim_start_matches("sha256:").chars().take(12).collect();
        for reference in &self.references {
            table.row([Cell::plain(reference), Cell::plain(bytes(self.size)), Cell::plain(&id)]);
        }
        table.lines(style, columns)
    }
}

#[cfg(test)]
mod tests {
    use super::public_address;

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
}
