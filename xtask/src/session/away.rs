//! An engine that goes away while a command stays, and may come back: it is restarted, or upgraded.
//!
//! Must not: know what is asked of it.

use std::time::Instant;

use super::Session;
use crate::failure::Failure;
use crate::limits;

impl Session {
    /// Asks an engine that has just failed again and again, until it answers; it is told that it is waited for, and that it is
    /// back.
    ///
    /// # Errors
    /// The last failure, when it stays away for longer than [`limits::ENGINE_RETURNS`].
    pub async fn until_it_answers(
        &self,
        failure: Failure,
        mut ask: impl AsyncFnMut() -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        self.events.warning(format!("{failure}; waiting for the engine"));
        let begun = Instant::now();
        loop {
            tokio::time::sleep(limits::ENGINE_LOOK).await;
            match ask().await {
                Ok(()) => break,
                Err(failure) if begun.elapsed() > limits::ENGINE_RETURNS => return Err(failure),
                Err(_) => {}
            }
        }
        self.events.note("the engine answers again");
        Ok(())
    }
}
