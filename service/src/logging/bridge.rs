//! Owns the way of other crates' `log` records (Rocket's, diesel's, r2d2's) into our log. Alters none of them; leaves out
//! only two of Rocket's, which say again what the request's own line says.

use log::{LevelFilter, Log, Metadata, Record};
use slog::{Logger, debug, error, info, warn};

struct Bridge {
    logger: Logger,
}

/// Makes `logger` the process's destination for `log` records at warning and above (at debug and above when `all`).
/// Must be called before Rocket is built, which otherwise installs its own. Rocket's information lines, several for each
/// request, cost a third of the throughput.
///
/// # Errors
/// When the process has such a destination already.
pub fn carry_log_records(logger: Logger, all: bool) -> Result<(), log::SetLoggerError> {
    log::set_boxed_logger(Box::new(Bridge { logger }))?;
    log::set_max_level(if all { LevelFilter::Debug } else { LevelFilter::Warn });
    Ok(())
}

/// Rocket 0.5 warns of each request that no route takes and of each catcher it calls.
const SAID_BY_THE_REQUEST_LINE: [&str; 2] = ["No matching routes for ", "Responding with registered "];

fn repeats_the_request_line(record: &Record<'_>) -> bool {
    record.target().starts_with("rocket::server") && {
        let text = record.args().to_string();
        SAID_BY_THE_REQUEST_LINE.iter().any(|start| text.starts_with(start))
    }
}

impl Log for Bridge {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) || repeats_the_request_line(record) {
            return;
        }
        let target = record.target().trim_end_matches("::_").trim_end_matches('_');
        match record.level() {
            // Rocket raises what it says of a launch to a warning, so that it is seen at any level.
            _ if target.starts_with("rocket::launch") => {
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
