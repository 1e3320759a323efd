//! Owns the way of other crates' `log` records (Rocket's above all; diesel and the pool log nothing themselves) into our
//! log. Alters none of them, and leaves out what would show a client's headers or query, whatever the level: what may be
//! said of a request, its own line says.

use log::{LevelFilter, Log, Metadata, Record};
use slog::{Logger, debug, error, info, warn};

struct Bridge {
    logger: Logger,
}

/// Makes `logger` the process's destination for `log` records at warning and above (at debug and above when `all`).
/// Must be called before Rocket is built, which otherwise installs its own.
///
/// # Errors
/// When the process has such a destination already.
pub fn carry_log_records(logger: Logger, all: bool) -> Result<(), log::SetLoggerError> {
    log::set_boxed_logger(Box::new(Bridge { logger }))?;
    log::set_max_level(if all { LevelFilter::Debug } else { LevelFilter::Warn });
    Ok(())
}

/// Crates that print whole requests, credentials and all, below a warning: Rocket 0.5 at debug and information, hyper at
/// debug and trace.
const PRINT_REQUESTS: [&str; 2] = ["rocket", "hyper"];

/// Where Rocket says what it launches: the one place below a warning that speaks of no request.
const LAUNCH: &str = "rocket::launch";

fn may_print_a_request(metadata: &Metadata<'_>) -> bool {
    let target = metadata.target();
    metadata.level() > log::Level::Warn
        && !target.starts_with(LAUNCH)
        && PRINT_REQUESTS.iter().any(|crate_name| target.starts_with(crate_name))
}

/// What Rocket 0.5 warns of for single requests: that no route takes it, the catcher it calls; of one that it cannot read,
/// the whole URI; the names of headers that are no UTF-8, which it drops, as many as a client sends.
const SAID_OF_A_REQUEST: [&str; 7] = [
    "No matching routes for ",
    "Responding with registered ",
    "Dispatching salvaged request to catcher: ",
    "Hyper/Rocket URI validity discord: ",
    "Error: invalid origin URI: ",
    "Header '",
    "Rocket only supports UTF-8 header values. ",
];

/// In what it warns of a client's address that is none: the header's value follows.
const SAID_OF_AN_ADDRESS: &str = "' header is malformed: ";

fn is_said_of_a_request(record: &Record<'_>) -> bool {
    record.target().starts_with("rocket::") && {
        let text = record.args().to_string();
        SAID_OF_A_REQUEST.iter().any(|start| text.starts_with(start)) || text.contains(SAID_OF_AN_ADDRESS)
    }
}

impl Log for Bridge {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level() && !may_print_a_request(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) || is_said_of_a_request(record) {
            return;
        }
        let target = record.target().trim_end_matches("::_").trim_end_matches('_');
        match record.level() {
            // Rocket raises what it says of a launch to a warning, so that it is seen at any level.
            _ if target.starts_with(LAUNCH) => {
                info!(self.logger, "{}", record.args(); "target" => target);
            }
            log::Level::Error => {
                error!(self.logger, "{}", record.args(); "target" => target);
            }
            log::Level::Warn => {
                warn!(self.logger, "{}", record.args(); "target" => target);
            }
            log::Level::Info => {
                info!(self.logger, "{}", record.args(); "target" => target);
            }
            log::Level::Debug | log::Level::Trace => {
                debug!(self.logger, "{}", record.args(); "target" => target);
            }
        }
    }

    fn flush(&self) {}
}
