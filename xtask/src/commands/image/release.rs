//! `cargo xtask image build`: the release image of the service, with the labels that say what it was built from.

use std::collections::BTreeMap;

use super::identity;
use crate::checklist::Checklist;
use crate::cli;
use crate::commands::Context;
use crate::failure::{Code, Failure};
use crate::images::{Compiler, Release, Released};
use crate::limits;
use crate::stack::ImageReference;
use crate::ui::{Answer, Cell, Style, Table, bytes};

/// Builds the image and checks its size.
///
/// # Errors
/// When nothing can compile it, the compiler refuses, or the image is larger than it may be.
pub(super) async fn run(context: &Context, arguments: &cli::ImageBuild) -> Result<(), Failure> {
    let (session, _) = context.session_as_found(false).await?;
    let identity::Made { package, repository } = identity::made_here(&session.stack)?;
    let revision = identity::revision(context).await;
    let references = if arguments.tags.is_empty() {
        let tags = identity::tags(revision.as_deref()).into_iter();
        tags.map(|tag| ImageReference::new(format!("{repository}:{tag}"))).collect()
    } else {
        arguments.tags.iter().map(ImageReference::new).collect()
    };
    let given = [("REVISION", revision), ("SOURCE", identity::source(context).await)];
    let given = given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    let release = Release {
        root: context.project.root().to_owned(),
        package,
        references,
        platform: arguments.platform.clone(),
        arguments: BTreeMap::from([("VERSION".to_owned(), identity::VERSION.to_owned())])
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
