//! Checkouts of the commit that is checked out, to be edited and compiled apart from it; and what is asked of a service
//! that runs from one.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{Bench, NotMeasured, program, quiet};
use crate::limits;

/// How long an edit may take to be served; many times what the slowest contender needs.
pub(super) const SERVED: Duration = Duration::from_secs(120);

/// The pause between two looks at a service.
const PAUSE: Duration = Duration::from_millis(5);

/// The file that is edited, and the text in it that `GET /` shows.
const EDITED: &str = "service/src/routes/home.rs";
const GREETING: &str = "Hello from Homeport!";

/// A clone, with compiled files of its own that the next run finds again.
pub(super) struct Checkout {
    pub(super) root: PathBuf,
    pub(super) target: PathBuf,
}

impl Checkout {
    /// Clones the commit anew.
    pub(super) async fn clone(bench: &Bench<'_>, name: &str) -> Result<Self, NotMeasured> {
        let root = bench.scratch.join(name);
        if root.exists() {
            std::fs::remove_dir_all(&root)
                .map_err(|error| format!("cannot remove {}: {error}", root.display()))?;
        }
        quiet(&program("git").args(["clone", "--quiet"]).arg(bench.root()).arg(&root)).await?;
        Ok(Self { root, target: bench.scratch.join(format!("{name}-target")) })
    }

    /// Saves another greeting.
    pub(super) fn edit(&self, greeting: &str) -> Result<(), NotMeasured> {
        let path = self.root.join(EDITED);
        let failed = |error: std::io::Error| format!("cannot edit {}: {error}", path.display());
        let text = std::fs::read_to_string(&path).map_err(failed)?;
        let old = text
            .split('"')
            .find(|text| text.starts_with(GREETING))
            .ok_or_else(|| format!("{EDITED} has no greeting any more"))?;
        std::fs::write(&path, text.replace(old, &format!("{GREETING} {greeting}"))).map_err(failed)
    }
}

/// Waits until `GET /` at this port shows a text, and returns when it did.
pub(super) async fn served(port: u16, text: &str, bound: Duration) -> Result<Instant, NotMeasured> {
    let looked = tokio::time::timeout(bound, async {
        loop {
            if get(port).await.is_ok_and(|answer| answer.contains(text)) {
                return Instant::now();
            }
            tokio::time::sleep(PAUSE).await;
        }
    });
    looked.await.map_err(|_| format!("port {port} did not serve {text:?} within {} s", bound.as_secs()))
}

async fn get(port: u16) -> std::io::Result<String> {
    let asked = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    };
    // A container that is going takes connections and says nothing.
    tokio::time::timeout(limits::BENCH_ANSWER, asked)
        .await
        .unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
}
