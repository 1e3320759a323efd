//! A saved file until the new version is served: `dev` against cargo alone, and against cargo with `docker compose watch`.
//!
//! Ours and cargo have a checkout and compiled files each; Compose is given what that cargo has compiled. Compose's sync
//! needs a shell and an unpacker in the image, so its service runs in a Debian image, as its users' do.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use super::checkout::{Checkout, SERVED, served};
use super::leftovers::{self, Leftover};
use super::stack::{free_ports, on, running_services};
use super::{Bench, NotMeasured, PROJECT, cargo, program, quiet, xtask};
use crate::bench::{Entry, Runs, Work};
use crate::limits;
use crate::process::Program;

/// The checkout that `dev` watches.
pub(super) const OURS: &str = "save";

/// Compose's project and image.
pub(super) const THEIRS: &str = "homeport-bench-watch";

/// How long Compose is given to notice a program before it is handed another: it does not announce when it has set up its
/// watches, and what was there before is never noticed.
const NOTICED: Duration = Duration::from_secs(10);

/// How many programs it is handed before it is taken for one that watches nothing.
const HANDED: u32 = 12;

pub(super) async fn measure(bench: &Bench<'_>) -> Result<Vec<Entry>, NotMeasured> {
    let ours = Ours::start(bench).await?;
    let compiler = Compiler::start(bench).await?;
    let theirs = Theirs::start(bench, &compiler).await;
    if theirs.is_err() {
        // What it has started would take its share of the machine from those that are measured.
        leftovers::remove(&[Leftover::Compose(THEIRS)], bench.root()).await;
    }
    let mut turns = Turns {
        saved: Runs::of("`dev`"),
        compiled: Runs::of("`cargo build` alone"),
        watched: Runs::of("`cargo build` and `docker compose watch`"),
    };
    turns.take(bench, &ours, &compiler, theirs.as_ref().ok()).await?;
    let Turns { saved, compiled, watched } = turns;
    let against_watch = match theirs {
        Ok(_) => Entry::measured(Work::SaveAgainstWatch, saved.clone(), watched),
        Err(why) => Entry::not_measured(Work::SaveAgainstWatch, why),
    };
    Ok(vec![Entry::measured(Work::Save, saved, compiled), against_watch])
}

/// How long each took, turn by turn.
struct Turns {
    saved: Runs,
    compiled: Runs,
    watched: Runs,
}

impl Turns {
    async fn take(
        &mut self,
        bench: &Bench<'_>,
        ours: &Ours,
        compiler: &Compiler,
        theirs: Option<&Theirs>,
    ) -> Result<(), NotMeasured> {
        for run in 1..=bench.runs {
            bench.say(format!("run {run} of {}", bench.runs));
            let text = format!("for the {run}. time");
            let begun = Instant::now();
            ours.checkout.edit(&text)?;
            self.saved.push((served(ours.port, &text, SERVED).await? - begun).as_secs_f64());

            let begun = Instant::now();
            compiler.checkout.edit(&text)?;
            compiler.build().await?;
            self.compiled.push(begun.elapsed().as_secs_f64());
            let Some(theirs) = theirs else { continue };
            theirs.hand_over(compiler)?;
            self.watched.push((served(theirs.port, &text, SERVED).await? - begun).as_secs_f64());
        }
        Ok(())
    }
}

/// A program that runs until it is no longer wanted.
struct Background(JoinHandle<()>);

impl Background {
    fn start(program: Program) -> Self {
        Self(tokio::spawn(async move {
            let _ = program.run(|_, _| ()).await;
        }))
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.0.abort();
    }
}

struct Ours {
    checkout: Checkout,
    port: u16,
    _dev: Background,
}

impl Ours {
    async fn start(bench: &Bench<'_>) -> Result<Self, NotMeasured> {
        bench.say("compiling a checkout of its own");
        let checkout = Checkout::clone(bench, OURS).await?;
        let ports = free_ports()?;
        let program = on(&ports, xtask(&checkout.root)?).env("CARGO_TARGET_DIR", &checkout.target);
        let dev = Background::start(program.arg("dev"));
        served(ports[0].1, "Hello", limits::BENCHED).await?;
        Ok(Self { checkout, port: ports[0].1, _dev: dev })
    }
}

/// What takes cargo alone.
struct Compiler {
    checkout: Checkout,
}

impl Compiler {
    async fn start(bench: &Bench<'_>) -> Result<Self, NotMeasured> {
        bench.say("compiling the contender's checkout");
        let compiler = Self { checkout: Checkout::clone(bench, "watch").await? };
        compiler.build().await?;
        Ok(compiler)
    }

    async fn build(&self) -> Result<(), NotMeasured> {
        let cargo = cargo(&self.checkout.root).args(["build", "--package", "service", "--bin", "service"]);
        quiet(&cargo.env("CARGO_TARGET_DIR", &self.checkout.target)).await
    }

    /// The program that it has compiled.
    fn program(&self) -> PathBuf {
        self.checkout.target.join("debug/service")
    }
}

struct Theirs {
    port: u16,
    /// The directory that is synchronised.
    synchronised: PathBuf,
    _watch: Background,
}

impl Theirs {
    async fn start(bench: &Bench<'_>, compiler: &Compiler) -> Result<Self, NotMeasured> {
        bench.say("starting what `docker compose watch` watches");
        let root = &compiler.checkout.root;
        copy(&bench.scratch.join(OURS).join("compose/.env"), &root.join("compose/.env"))?;
        let made = bench.scratch.join("watch-image");
        std::fs::create_dir_all(made.join("synchronised")).map_err(|error| error.to_string())?;
        copy(&compiler.program(), &made.join("service"))?;
        write(
            &made.join("Dockerfile"),
            "FROM debian:trixie-slim\nCOPY service /service\nENTRYPOINT [\"/service\"]\n",
        )?;
        quiet(
            &program("docker")
                .args(["build", "--quiet", "--tag", THEIRS])
                .arg(&made)
                .env("DOCKER_BUILDKIT", "0"),
        )
        .await?;
        write(&made.join("compose.yaml"), &override_file(&made.join("synchronised")))?;
        let ports = free_ports()?;
        let compose = on(&ports, program("docker"))
            .directory(root)
            .args(["compose", "-p", THEIRS, "-f", "compose/compose.yaml", "-f"])
            .arg(made.join("compose.yaml"))
            .env("HOMEPORT_SERVICE_IMAGE", format!("{PROJECT}/service:dev"));
        quiet(&compose.clone().args(["up", "--detach", "--wait"]).args(running_services().await?)).await?;
        let watch = Background::start(compose.args(["watch", "--no-up", "service"]));
        let theirs = Self { port: ports[0].1, synchronised: made.join("synchronised"), _watch: watch };
        theirs.watches(compiler).await?;
        Ok(theirs)
    }

    /// Hands programs over until one is served.
    async fn watches(&self, compiler: &Compiler) -> Result<(), NotMeasured> {
        compiler.checkout.edit("before all")?;
        compiler.build().await?;
        let mut last = String::new();
        for _ in 0..HANDED {
            self.hand_over(compiler)?;
            match served(self.port, "before all", NOTICED).await {
                Ok(_) => return Ok(()),
                Err(why) => last = why,
            }
        }
        Err(format!("`docker compose watch` notices nothing: {last}"))
    }

    /// Puts the compiled program where Compose looks.
    fn hand_over(&self, compiler: &Compiler) -> Result<(), NotMeasured> {
        copy(&compiler.program(), &self.synchronised.join("service"))
    }
}

/// What is added to compose.yaml. An engine before version 23 does not know the user `0:0` of an image without a shell.
fn override_file(synchronised: &Path) -> String {
    format!(
        "services:\n  service:\n    image: {THEIRS}\n    read_only: false\n    user: root\n    develop:\n      watch:\n        \
         - {{action: sync+restart, path: {}, target: /}}\n",
        serde_json::Value::from(synchronised.display().to_string()),
    )
}

fn copy(from: &Path, to: &Path) -> Result<(), NotMeasured> {
    let failed = |error| format!("cannot copy {} to {}: {error}", from.display(), to.display());
    std::fs::copy(from, to).map(drop).map_err(failed)
}

fn write(path: &Path, text: &str) -> Result<(), NotMeasured> {
    std::fs::write(path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))
}
