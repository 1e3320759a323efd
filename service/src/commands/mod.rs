//! Owns the program's commands, one a file, and their exit codes. Composes the rooms; decides nothing about a request.

mod health;
mod migrate;
mod serve;
mod sockets;

use std::{io::Write, process::ExitCode};

use crate::{
    config::{Config, Fault},
    logging::{Log, carry_log_records},
};

/// Exit codes: those of the whole platform (README, "When something fails").
mod code {
    pub(super) const FAULT: u8 = 1;
    pub(super) const USAGE: u8 = 2;
    pub(super) const CONFIGURATION: u8 = 3;
    pub(super) const FAILED: u8 = 5;
    pub(super) const UNHEALTHY: u8 = 1;
}

const USAGE: &str = "\
usage: service COMMAND

  serve    answer requests until SIGTERM or SIGINT
  migrate  bring the database's schema up to date
  health   ask the service on this host whether it lives; exit 0 if so, 1 if not

The environment configures it: see the documentation of `service::config`.
";

/// Runs the command that the arguments (without the program's name) name.
pub fn run(arguments: &[String]) -> ExitCode {
    match arguments {
        [command] if command == "serve" => with_configuration(serve::serve),
        [command] if command == "migrate" => with_configuration(migrate::migrate),
        [command] if command == "health" => health::health(),
        [command] if command == "--help" || command == "-h" => {
            say(&mut std::io::stdout(), USAGE);
            ExitCode::SUCCESS
        }
        [command] if command == "--version" || command == "-V" => {
            say(&mut std::io::stdout(), concat!("service ", env!("CARGO_PKG_VERSION"), "\n"));
            ExitCode::SUCCESS
        }
        _ => {
            say(&mut std::io::stderr(), USAGE);
            ExitCode::from(code::USAGE)
        }
    }
}

fn with_configuration(command: fn(&Config, &Log) -> ExitCode) -> ExitCode {
    let config = match Config::from_environment() {
        Ok(config) => config,
        Err(faults) => return refuse(&faults),
    };
    let log = Log::start(config.log_level, Box::new(std::io::stdout()));
    if carry_log_records(log.logger(), config.log_level >= slog::Level::Debug).is_err() {
        slog::error!(log.logger(), "another logger is installed: the lines of libraries are lost");
    }
    let exit = command(&config, &log);
    log.finish();
    exit
}

/// Names every fault, in a log line each.
fn refuse(faults: &[Fault]) -> ExitCode {
    let log = Log::start(slog::Level::Info, Box::new(std::io::stdout()));
    for fault in faults {
        slog::crit!(log.logger(), "invalid configuration: {}", fault; "variable" => &fault.variable);
    }
    log.finish();
    ExitCode::from(code::CONFIGURATION)
}

/// Writes text for a person; one who closed the pipe does not want it.
fn say(output: &mut dyn Write, text: &str) {
    drop(output.write_all(text.as_bytes()));
}
