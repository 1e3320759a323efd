//! `cargo xtask down [--volumes] [--verify]`: the stack gone, and the proof of it.

use super::Context;
use crate::cli;
use crate::engine::Engine;
use crate::event::Event;
use crate::failure::{Code, Failure};
use crate::images::labels::DIRECTORY;
use crate::plan::Keep;
use crate::project::lock;
use crate::session::Session;
use crate::stack::Stack;

/// What is not known without the Compose file.
const UNTOLD: &str = "what carries the project's label goes all the same: not known is whether something without it has the \
                      name of a container, network or volume of the stack";

/// Runs `down`.
///
/// # Errors
/// When the engine refuses, or something is left although nothing should be.
pub async fn run(context: &Context, arguments: &cli::Down) -> Result<(), Failure> {
    let (session, _) = context.session_by_engine(UNTOLD).await?;
    session.refuse_another_checkouts().await?;
    let project = session.stack.project.clone();
    let lock = lock(&context.project, &project, "down").await?;
    let keep = if arguments.volumes { Keep::Nothing } else { Keep::Data };
    let taken_down = session.take_down(keep, lock.before()).await;
    lock.finish(&taken_down);
    let observed = taken_down?;
    context.events.send(Event::TakenDown { project: project.to_string() });
    if arguments.verify {
        verify(&session.engine, &session.stack, keep).await?;
        let ours = if session.by_engine { " with its label" } else { "" };
        let what = match keep {
            Keep::Nothing => format!("no container, network or volume{ours} is left"),
            Keep::Data => format!("no container or network{ours} is left, and the data is kept"),
        };
        context.events.note(format!("verified: of project {project} {what}"));
        let images = built_here(&session).await?.join(" ");
        if !images.is_empty() {
            context.events.note(format!(
                "kept on purpose, because the next build begins with it: image {images}; `docker image rm {images}` removes it"
            ));
        }
    } else if keep == Keep::Data && !observed.volumes.is_empty() {
        context.events.note("the data is kept; `cargo xtask down --volumes` removes it too");
    }
    Ok(())
}

/// The images that were built from this checkout for the services that its containers ran: a teardown leaves them.
async fn built_here(session: &Session) -> Result<Vec<String>, Failure> {
    let here = session.project.root().display().to_string();
    let of_stack = |reference: &str| {
        session.by_engine
            || session.stack.services.values().any(|service| service.image.with_tag().as_str() == reference)
    };
    let images = session.engine.images().await?.into_iter();
    let built = images.filter(|image| image.labels.get(DIRECTORY) == Some(&here));
    let mut references: Vec<String> =
        built.flat_map(|image| image.tags).filter(|reference| of_stack(reference)).collect();
    references.sort();
    Ok(references)
}

/// Asks the engine anew, by label and by name: a volume or container that has our name and not our label is told too,
/// although it is not ours to remove.
async fn verify(engine: &Engine, stack: &Stack, keep: Keep) -> Result<(), Failure> {
    let mut left = engine.remains(stack).await?;
    if keep == Keep::Data {
        left.retain(|object| !object.starts_with("volume "));
    }
    if left.is_empty() {
        return Ok(());
    }
    left.sort();
    let message =
        format!("project {} should be gone, but {} of its objects are left", stack.project, left.len());
    Err(Failure::new(Code::LeftBehind, message).details(left).hint(
        "what carries no dev.homeport.project label is not Homeport's: remove it with docker, if it is yours",
    ))
}
