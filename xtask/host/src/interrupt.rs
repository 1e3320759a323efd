//! Ctrl-C, SIGTERM, and a terminal that is closed (SIGHUP): the first asks for a clean stop, the second ends the
//! program at once. Ctrl-\ ends it at once too. Ctrl-Z, for a program that has changed the terminal; and whether a
//! process stands still by it.

use tokio_util::sync::CancellationToken;

use crate::failure::{Code, Exit, Failure};
use crate::limits;
use crate::process::Program;

/// A token that fires at the first Ctrl-C, SIGTERM or SIGHUP. The second ends the process with [`Exit::Interrupted`], after
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
        let mut quit = signal(SignalKind::quit())?;
        // One that was started to outlive its terminal (nohup) does.
        let mut hangup = if outlives_terminal() { None } else { Some(signal(SignalKind::hangup())?) };
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    // The system tells of one closed terminal, and the shell in it once more: nobody asks twice by that.
                    Some(()) = async { hangup.as_mut()?.recv().await } => {
                        fired.cancel();
                        continue;
                    }
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                    _ = quit.recv() => end_at_once(&last_words),
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

/// Whether SIGHUP was told to be ignored before this program began, as nohup does. Known on Linux only.
#[cfg(unix)]
fn outlives_terminal() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    // proc_pid_status(5): a mask of signals in hexadecimal digits, of which SIGHUP is the first.
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored.is_some_and(|mask| u128::from_str_radix(mask.trim(), 16).is_ok_and(|mask| mask & 1 == 1))
}

/// The last words of a command that was stopped at once: what it leaves, and what takes care of that.
pub fn stopped_at_once(left: &str, next: &str) -> Failure {
    Failure::new(Code::Interrupted, format!("stopped at once, because it was asked to twice; {left}"))
        .hint(next)
}

fn second_ends(token: &CancellationToken, last_words: &impl Fn()) {
    if token.is_cancelled() {
        end_at_once(last_words);
    }
    token.cancel();
}

fn end_at_once(last_words: &impl Fn()) -> ! {
    last_words();
    std::process::exit(Exit::Interrupted as i32);
}

/// At Ctrl-Z calls `leave`, stops, and calls `come_back` once a shell lets the program go on. From then on for as long as
/// the program runs, because a signal that was taken over once cannot be given back.
///
/// # Errors
/// When the system does not let a handler be installed.
#[cfg(unix)]
pub fn around_stops(
    leave: impl Fn() + Send + 'static,
    come_back: impl Fn() + Send + 'static,
) -> std::io::Result<()> {
    use rustix::process::{Signal, getpid, kill_process};
    use tokio::signal::unix::{SignalKind, signal};
    let mut stop = signal(SignalKind::from_raw(Signal::TSTP.as_raw()))?;
    tokio::spawn(async move {
        while stop.recv().await.is_some() {
            if is_a_job() {
                leave();
                // Unlike SIGTSTP it cannot be taken over: this is where the program stands still.
                let _ = kill_process(getpid(), Signal::STOP);
                come_back();
            }
        }
    });
    Ok(())
}

/// Whether some shell could let this program go on. Of one that the terminal was opened with nobody would, and so the
/// system itself lets no Ctrl-Z stop it (POSIX: orphaned process groups).
#[cfg(unix)]
fn is_a_job() -> bool {
    use rustix::process::{getpgrp, getppid, getsid};
    let session = getsid(None);
    let of_session = |parent| getsid(Some(parent)).is_ok() && getsid(Some(parent)) == session;
    session.is_ok_and(|leader| leader != getpgrp()) && getppid().is_some_and(of_session)
}

/// Whether a process is stopped, as by Ctrl-Z. One that cannot be looked at is not known to be.
pub async fn is_suspended(pid: u32) -> bool {
    let state = match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        // proc_pid_stat(5): the state follows the name, which is in parentheses and may hold any character.
        Ok(stat) => stat.rsplit_once(") ").map(|(_, rest)| rest.to_owned()),
        // Other systems than Linux.
        Err(_) if cfg!(target_os = "linux") => None,
        Err(_) => {
            let asked =
                Program::new("ps", limits::ENGINE_ANSWER).args(["-o", "state=", "-p", &pid.to_string()]);
            asked.output().await.ok()
        }
    };
    state.is_some_and(|state| state.trim_start().starts_with('T'))
}
