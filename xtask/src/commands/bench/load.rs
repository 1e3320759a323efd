//! Load on a server, and what came of it: `wrk` in front of HTTP, pgbench in front of Postgres.

use std::path::Path;

use super::{NotMeasured, output, program};
use crate::process::Program;

/// Connections at once: enough that two cores are never idle.
pub(super) const CONNECTIONS: &str = "32";

/// Seconds of one load.
pub(super) const SECONDS: &str = "5";

/// Asks for a path as often as it can and returns the answers a second. An answer that is no success spoils it.
pub(super) async fn requests(port: u16, path: &str, script: Option<&Path>) -> Result<f64, NotMeasured> {
    let mut wrk =
        program("wrk").args(["-t1", "-c", CONNECTIONS, "-d", &format!("{SECONDS}s"), "--timeout", "10s"]);
    if let Some(script) = script {
        wrk = wrk.arg("-s").arg(script);
    }
    let said = output(&wrk.arg(format!("http://127.0.0.1:{port}{path}"))).await?;
    answers(&said).map_err(|why| format!("wrk on {path}: {why}"))
}

fn answers(said: &str) -> Result<f64, String> {
    let after = |name: &str| said.lines().find_map(|line| line.trim().strip_prefix(name)).map(str::trim);
    for bad in ["Non-2xx or 3xx responses:", "Socket errors:"] {
        if let Some(count) = after(bad) {
            return Err(format!("{bad} {count}"));
        }
    }
    let rate = after("Requests/sec:").and_then(|rate| rate.parse().ok());
    rate.ok_or_else(|| "it told no rate".to_owned())
}

/// Runs pgbench by a shell whose environment names the database, and returns the transactions a second.
pub(super) async fn transactions(shell: Program, script: &str) -> Result<f64, NotMeasured> {
    let line = format!("printf '%s' \"$1\" | pgbench -n -M prepared -c {CONNECTIONS} -j 2 -T {SECONDS} -f -");
    let said = output(&shell.args(["-c", &line, "sh", script])).await?;
    committed(&said).ok_or_else(|| "pgbench told no rate".to_owned())
}

fn committed(said: &str) -> Option<f64> {
    let rate = said.lines().find_map(|line| line.strip_prefix("tps = "))?;
    rate.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_read_unless_answers_were_bad() {
        let good = "Running 5s test\n  1 threads and 32 connections\n    Latency   1.20ms\nRequests/sec:  53817.02\nTransfer/sec: 1MB\n";
        assert_eq!(answers(good), Ok(53817.02));
        let refused = format!("{good}  Non-2xx or 3xx responses: 7\n");
        assert_eq!(answers(&refused), Err("Non-2xx or 3xx responses: 7".to_owned()));
        let broken = format!("  Socket errors: connect 0, read 3, write 0, timeout 0\n{good}");
        assert!(answers(&broken).is_err());
        assert!(answers("").is_err());
        assert_eq!(
            committed("latency average = 1.2 ms\ntps = 25617.3 (without initial connection time)\n"),
            Some(25617.3)
        );
        assert_eq!(committed("latency"), None);
    }
}
