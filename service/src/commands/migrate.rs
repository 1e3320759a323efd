//! Owns `service migrate`: brings the schema up to date, once, and says what it did.

use std::process::ExitCode;

use slog::{crit, info};

use super::code;
use crate::{config::Config, logging::Log, store};

pub(super) fn migrate(config: &Config, log: &Log) -> ExitCode {
    match store::migrate(config, &log.logger()) {
        Ok(applied) => {
            info!(log.logger(), "the schema is up to date"; "applied" => applied.len());
            ExitCode::SUCCESS
        }
        Err(error) => {
            crit!(log.logger(), "the schema could not be brought up to date"; "error" => %error);
            ExitCode::from(code::FAILED)
        }
    }
}
