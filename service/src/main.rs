//! The service's program: hands its arguments to the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    service::commands::run(&std::env::args().skip(1).collect::<Vec<_>>())
}
