//! A saved file until the new version is served: `dev` against cargo alone, and against cargo with `docker compose watch`.
//!
//! Each has a checkout and compiled files of its own. Compose's sync needs a shell and an unpacker in the image, so its
//! service runs in a Debian image, as its users' do.

use std::path::Path;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use super::checkout::{Checkout, SERVED, served};
use super::stack::{free_ports, on, running_services};
use super::{Bench, NotMeasured, PROJECT, cargo, program, quiet, xtask};
use crate::bench::{Entry, Series, Work};
use crate::limits;
use crate::process::Program;

const THEIRS: &str = "homeport-bench-watch";

/// How long Compose is given to notice a program before it is handed another: it does not announce when it has set up its
/// watches, and what was there before is never noticed.
const NOTICED: Duration = Duration::from_secs(10);

/// How many programs it is handed before it is taken for one that watches nothing.
const HANDED: u32 = 12;

pub(super) async fn measure(bench: &Bench<'_>) -> Result<Vec<Entry>, NotMeasured> {
    let (ours, theirs) = (Ours::start(bench).await?, Theirs::start(bench).await);
    let measured = take_turns(bench, &ours, theirs.as_ref().ok()).await;
    ours.end().await;
    let why = match theirs {
        Ok(theirs) => {
            theirs.end().await;
            None
        }
        Err(why) => Some(why),
    };
    let (saved, compiled, watched) = measured?;
    let against_watch = match why {
        None => Entry::measured(Work::SaveAgainstWatch, saved.clone(), watched),
        Some(why) => Entry::not_measured(Work::SaveAgainstWatch, why),
    };
    Ok(vec![Entry::measured(Work::Save, saved, compiled), against_watch])
}

async fn take_turns(
    bench: &Bench<'_>,
    ours: &Ours,
    theirs: Option<&Theirs>,
) -> Result<(Series, Series, Series), NotMeasured> {
    let mut saved = Series::of("`dev`");
    let mut compiled = Series::of("`cargo build` alone");
    let mut watched = Series::of("`cargo build` and `docker compose watch`");
    for run in 1..=bench.runs {
        bench.say(format!("run {run} of {}", bench.runs));
        let text = format!("for the {run}. time");
        let begun = Instant::now();
        ours.checkout.edit(&text)?;
        saved.values.push((served(ours.port, &text, SERVED).await? - begun).as_secs_f64());

        let Some(theirs) = theirs else { continue };
        let begun = Instant::now();
        theirs.checkout.edit(&text)?;
        theirs.build().await?;
        compiled.values.push(begun.elapsed().as_secs_f64());
        theirs.hand_over()?;
        watched.values.push((served(theirs.port, &text, SERVED).await? - begun).as_secs_f64());
    }
    Ok((saved, compiled, watched))
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
    program: Program,
    dev: Background,
}

impl Ours {
    async fn start(bench: &Bench<'_>) -> Result<Self, NotMeasured> {
        bench.say("compiling a checkout of its own");
        let checkout = Checkout::clone(bench, "save").await?;
        let ports = free_ports()?;
        let program = on(&ports, xtask(&checkout.root)?).env("CARGO_TARGET_DIR", &checkout.target);
        let down = program.clone().args(["down", "--volumes"]);
        // What a run that was cut off has left has other passwords.
        quiet(&down).await?;
        let dev = Background::start(program.clone().arg("dev"));
        let started = served(ports[0].1, "Hello", limits::BENCHED).await;
        let ours = Self { checkout, port: ports[0].1, program, dev };
        match started {
            Ok(_) => Ok(ours),
            Err(why) => {
                ours.end().await;
                Err(why)
            }
        }
    }

    async fn end(self) {
        drop(self.dev);
        let _ = quiet(&self.program.args(["down", "--volumes"])).await;
    }
}

struct Theirs {
    checkout: Checkout,
    port: u16,
    compose: Program,
    /// The directory that is synchronised.
    synchronised: std::path::PathBuf,
    watch: Background,
}

impl Theirs {
    async fn start(bench: &Bench<'_>) -> Result<Self, NotMeasured> {
        bench.say("compiling the contender's checkout");
        let checkout = Checkout::clone(bench, "watch").await?;
        copy(&bench.scratch.join("save/compose/.env"), &checkout.root.join("compose/.env"))?;
        build(&checkout).await?;
        let made = bench.scratch.join("watch-image");
        std::fs::create_dir_all(made.join("synchronised")).map_err(|error| error.to_string())?;
        copy(&checkout.target.join("debug/service"), &made.join("service"))?;
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
            .directory(&checkout.root)
            .args(["compose", "-p", THEIRS, "-f", "compose/compose.yaml", "-f"])
            .arg(made.join("compose.yaml"))
            .env("HOMEPORT_SERVICE_IMAGE", format!("{PROJECT}/service:dev"));
        quiet(&compose.clone().args(["up", "--detach", "--wait"]).args(running_services().await?)).await?;
        let watch = Background::start(compose.clone().args(["watch", "--no-up", "service"]));
        let theirs =
            Self { checkout, port: ports[0].1, compose, synchronised: made.join("synchronised"), watch };
        match theirs.watches().await {
            Ok(()) => Ok(theirs),
            Err(why) => {
                theirs.end().await;
                Err(why)
            }
        }
    }

    /// Hands programs over until one is served.
    async fn watches(&self) -> Result<(), NotMeasured> {
        self.checkout.edit("before all")?;
        self.build().await?;
        let mut last = String::new();
        for _ in 0..HANDED {
            self.hand_over()?;
            match served(self.port, "before all", NOTICED).await {
                Ok(_) => return Ok(()),
                Err(why) => last = why,
            }
        }
        Err(format!("`docker compose watch` notices nothing: {last}"))
    }

    async fn build(&self) -> Result<(), NotMeasured> {
        build(&self.checkout).await
    }

    /// Puts the compiled program where Compose looks.
    fn hand_over(&self) -> Result<(), NotMeasured> {
        copy(&self.checkout.target.join("debug/service"), &self.synchronised.join("service"))
    }

    async fn end(self) {
        drop(self.watch);
        let _ = quiet(&self.compose.args(["down", "--volumes"])).await;
        let _ = quiet(&program("docker").args(["image", "rm", THEIRS])).await;
    }
}

async fn build(checkout: &Checkout) -> Result<(), NotMeasured> {
    let cargo = cargo(&checkout.root).args(["build", "--package", "service", "--bin", "service"]);
    quiet(&cargo.env("CARGO_TARGET_DIR", &checkout.target)).await
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
