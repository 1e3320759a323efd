//! How many files and connections this process may have open, and how many clients a front may have of them.
//!
//! Must not: count what is open.

use crate::limits;

/// Asks the system for as many as `dev` wants, as far as an administrator allows: usually more than a process has unasked.
pub fn raise() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        // None means that there is no limit.
        let wanted = limits::DESCRIPTORS.min(maximum.unwrap_or(u64::MAX));
        if current.is_some_and(|current| current < wanted) {
            // Whoever is refused goes on with fewer.
            let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum });
        }
    }
}

/// How many clients a front may have at once.
pub(crate) fn clients() -> usize {
    #[cfg(unix)]
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    #[cfg(not(unix))]
    let limit = None;
    clients_within(limit)
}

/// The same where a process may have so many descriptors: each client costs two, itself and what it is led to.
fn clients_within(limit: Option<u64>) -> usize {
    let Some(limit) = limit else { return limits::CLIENTS };
    let room = limit.saturating_sub(limits::OTHER_DESCRIPTORS) / 2;
    // One at least: whoever has no descriptor left waits, and says so.
    usize::try_from(room).unwrap_or(usize::MAX).clamp(1, limits::CLIENTS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_fit_into_what_the_system_gives() {
        let table = [
            (None, limits::CLIENTS),
            (Some(u64::MAX), limits::CLIENTS),
            (Some(limits::DESCRIPTORS), limits::CLIENTS),
            (Some(256), 64),
            (Some(64), 1),
        ];
        for (limit, expected) in table {
            assert_eq!(clients_within(limit), expected, "{limit:?}");
        }
    }
}
