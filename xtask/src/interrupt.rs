//! Ctrl-C and SIGTERM: the first asks for a clean stop, the second ends the program at once.

use tokio_util::sync::CancellationToken;

use crate::failure::{Code, Exit, Failure};

/// A token that fires at the first Ctrl-C or SIGTERM. The second ends the process with [`Exit::Interrupted`], after
/// `last_words` has told what that leaves.
///
/// # Errors
/// When the system does not let a handler be installed.
pub fn watch(last_words: impl Fn() + Send + 'static) -> std::io::Result<CancellationToken> {
    let token = CancellationToken::new();
    let fired = token.clone();
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                second_ends(&fired, &last_words);
            }
        });
    }
    #[cfg(not(unix))]
    tokio::spawn(async move {
        while tokio::signal::ctrl_c().await.is_ok() {
            second_ends(&fired, &last_words);
        }
    });
    Ok(token)
}

/// The last words of a command that was stopped at once: what it leaves, and what takes care of that.
pub fn stopped_at_once(left: &str, next: &str) -> Failure {
    Failure::new(Code::Interrupted, format!("stopped at once, because it was asked to twice; {left}"))
        .hint(next)
}

fn second_ends(token: &CancellationToken, last_words: &impl Fn()) {
    if token.is_cancelled() {
        last_words();
        std::process::exit(Exit::Interrupted as i32);
    }
    token.cancel();
}
