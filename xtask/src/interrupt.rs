//! Ctrl-C and SIGTERM: the first asks for a clean stop, the second ends the program at once.

use tokio_util::sync::CancellationToken;

use crate::failure::Exit;

/// A token that fires at the first Ctrl-C or SIGTERM. The second ends the process with [`Exit::Interrupted`].
///
/// # Errors
/// When the system does not let a handler be installed.
pub fn watch() -> std::io::Result<CancellationToken> {
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
                second_ends(&fired);
            }
        });
    }
    #[cfg(not(unix))]
    tokio::spawn(async move {
        while tokio::signal::ctrl_c().await.is_ok() {
            second_ends(&fired);
        }
    });
    Ok(token)
}

fn second_ends(token: &CancellationToken) {
    if token.is_cancelled() {
        std::process::exit(Exit::Interrupted as i32);
    }
    token.cancel();
}
