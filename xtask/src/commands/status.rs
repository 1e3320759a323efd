//! `cargo xtask status`: what runs, and why it is or is not healthy.

use super::Context;
use crate::event::Event;
use crate::failure::Failure;

/// Runs `status`.
///
/// # Errors
/// When the Compose file is wrong or the engine does not answer. Services that are not well are an answer, no failure.
pub async fn run(context: &Context) -> Result<(), Failure> {
    let (session, missing) = context.session_as_found(true).await?;
    if !missing.is_empty() {
        let missing = missing.join(", ");
        context
            .events
            .note(format!("compose/.env has no {missing} yet; `cargo xtask dev` makes what is missing"));
    }
    context
        .events
        .send(Event::Summary { services: context.unless_stopped(Box::pin(session.reports())).await? });
    Ok(())
}
