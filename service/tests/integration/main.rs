//! Owns the run of the integration tests: the list of them, the containers they share, and the removal of every container
//! however the run ends. Tests themselves are in the modules; this file knows none of them but by its list.
//!
//! Needs an engine with the images of `HOMEPORT_TEST_POSTGRES_IMAGE` and `HOMEPORT_TEST_REDIS_IMAGE` (`cargo xtask test`
//! provides both) and pulls none.

mod application;
mod collector;
mod document;
mod engine;
mod generated;
mod proxy;
mod servers;
mod wire;

mod bad_input;
mod cache;
mod idempotency;
mod items;
mod log_lines;
mod migrations;
mod outages;
mod pages;
mod pool;
mod previous;
mod process;
mod raw_input;
mod readiness;
mod redis_outages;
mod refusals;
mod routes;
mod shutdown;
mod spans;
mod statements;
mod visitors;

use std::{future::Future, process::ExitCode, sync::LazyLock, time::Duration};

use libtest_mimic::{Arguments, Trial};
use service::logging::{Log, carry_log_records};
use tokio::runtime::Runtime;

/// Tests wait for containers far more than they compute.
const TESTS_AT_ONCE: usize = 8;

/// Several times what the longest takes on two busy cores: a test that hangs fails, and the run goes on.
const LONGEST_TEST: Duration = Duration::from_secs(90);

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().expect("a runtime for the tests"));

/// A test of this run.
pub(crate) fn trial<F: Future<Output = ()> + 'static>(name: &str, test: fn() -> F) -> Trial {
    Trial::test(name, move || {
        let bounded = RUNTIME.block_on(async { tokio::time::timeout(LONGEST_TEST, test()).await });
        bounded.map_err(|_| format!("no end within {LONGEST_TEST:?}").into())
    })
}

/// The tests of a module, by name.
macro_rules! tests {
    ($($name:ident),* $(,)?) => {
        pub(crate) fn all() -> Vec<libtest_mimic::Trial> {
            let module = module_path!().trim_start_matches("integration::");
            vec![$(crate::trial(&format!("{module}::{}", stringify!($name)), $name)),*]
        }
    };
}
pub(crate) use tests;

fn main() -> ExitCode {
    if engine::is_reaper() {
        RUNTIME.block_on(engine::reap());
        return ExitCode::SUCCESS;
    }
    // What libraries log in this process belongs to no test; without a destination Rocket would install its own.
    let unheard = Log::start(slog::Level::Warning, Box::new(std::io::sink()));
    carry_log_records(unheard.logger(), false).expect("no other destination");
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(TESTS_AT_ONCE);
    let trials = [
        bad_input::all(),
        cache::all(),
        idempotency::all(),
        items::all(),
        log_lines::all(),
        migrations::all(),
        outages::all(),
        pages::all(),
        pool::all(),
        previous::all(),
        process::all(),
        raw_input::all(),
        readiness::all(),
        redis_outages::all(),
        refusals::all(),
        routes::all(),
        shutdown::all(),
        spans::all(),
        statements::all(),
        visitors::all(),
    ];
    let reaper = (!arguments.list).then(engine::start_reaper);
    let mut trials: Vec<Trial> = trials.into_iter().flatten().collect();
    // In the order of the standard harness, from which `cargo xtask test` computes how long each took.
    trials.sort_by(|one, other| one.name().cmp(other.name()));
    let conclusion = libtest_mimic::run(&arguments, trials);
    if let Some(reaper) = reaper {
        reaper.finish();
    }
    conclusion.exit_code()
}
