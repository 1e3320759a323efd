//! Nothing a person has is thrown away unless they said so: at the terminal, or beforehand by `--yes`.

use super::super::Context;
use crate::failure::{Code, Failure};
use crate::ui::{self, Format};

/// What is said when a person does not agree.
const REFUSED: &str = "not agreed to: nothing was changed";

/// Whether a command ended because a person did not agree.
pub(super) fn is_refusal(failure: &Failure) -> bool {
    failure.message == REFUSED
}

/// Asks whether that may be done; `how` is the command that asks nothing.
///
/// # Errors
/// [`Code::Usage`] where nobody can be asked, [`Code::Interrupted`] when the answer is no.
pub(super) async fn ask(context: &Context, yes: bool, what: &str, how: &str) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    if context.format == Format::Json || !ui::can_ask() {
        let message = format!("{what}, and without a terminal nobody can be asked: it was not begun");
        return Err(Failure::new(Code::Usage, message).hint(format!("`{how}` does it unasked")));
    }
    let question = format!("{what}; go on?");
    let asked = tokio::task::spawn_blocking(move || ui::agrees(&question));
    let answer = context.cancel.run_until_cancelled(asked).await;
    match answer {
        Some(Ok(Ok(true))) => Ok(()),
        Some(Ok(Err(error))) => Err(Failure::new(Code::Internal, format!("cannot ask: {error}"))),
        _ => Err(Failure::new(Code::Interrupted, REFUSED)),
    }
}
