//! `cargo xtask status`: what runs, and why it is or is not healthy.

use super::Context;
use crate::event::Event;
use crate::failure::Failure;

/// Runs `status`.
///
/// # Errors
/// When the Compose file is wrong or the engine does not answer. Services that are not well are an answer, no failure.
pub async fn run(context: &Context) -> Result<(), Failure> {
    context.make_credentials()?;
    let session = context.session(true).await?;
    context.events.send(Event::Summary { services: session.reports().await? });
    Ok(())
}
