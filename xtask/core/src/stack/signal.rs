//! The names of signals: `stop_signal`, and `reload` of `x-homeport`.
//!
//! Must not: send one.

/// The signals that Linux names (signal(7)), as the engine takes them: with or without `SIG`, in any case.
const NAMES: [&str; 34] = [
    "ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "IOT", "KILL", "PIPE",
    "POLL", "PROF", "PWR", "QUIT", "SEGV", "STKFLT", "STOP", "SYS", "TERM", "TRAP", "TSTP", "TTIN", "TTOU",
    "URG", "USR1", "USR2", "VTALRM", "WINCH", "XCPU", "XFSZ",
];
/// The highest number of a signal on Linux (`SIGRTMAX`).
const HIGHEST: u8 = 64;

/// Takes a signal's name or number as it is written.
///
/// # Errors
/// When Linux has no such signal.
pub(super) fn signal(text: &str) -> Result<String, String> {
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let real_time = ["RTMIN", "RTMAX"].into_iter().any(|end| name.starts_with(end));
    let number = text.parse().is_ok_and(|number: u8| (1..=HIGHEST).contains(&number));
    if number || real_time || NAMES.contains(&name) {
        return Ok(text.to_owned());
    }
    Err(format!("{text:?} is no signal; one is written like SIGHUP"))
}
