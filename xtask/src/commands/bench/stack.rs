//! The stack: up from nothing, up with nothing to do, down; against Docker Compose on the same file.

use super::{Bench, NotMeasured, PROJECT, cargo, free_port, output, program, quiet, timed, xtask};
use crate::bench::{Entry, Runs, Work};
use crate::process::Program;

/// Docker Compose's project.
pub(super) const THEIRS: &str = "homeport-bench-compose";

/// The variables of compose.yaml that choose ports.
const PORTS: [&str; 5] = [
    "HOMEPORT_SERVICE_PORT",
    "HOMEPORT_PROMETHEUS_PORT",
    "HOMEPORT_GRAFANA_PORT",
    "HOMEPORT_POSTGRES_PORT",
    "HOMEPORT_REDIS_PORT",
];

pub(super) async fn measure(bench: &Bench<'_>) -> Result<Vec<Entry>, NotMeasured> {
    let stand = Stand::build(bench)?;
    bench.say("warming up");
    quiet(&stand.ours(&["dev", "--detach"])).await?;
    let services = running_services().await?;
    quiet(&stand.ours(&["down", "--volumes"])).await?;
    quiet(&stand.theirs_up(&services)).await?;
    quiet(&stand.theirs_down()).await?;
    stand.take_turns(bench, &services).await
}

/// Both contenders, on ports of their own.
struct Stand {
    ours: Program,
    cargo: Program,
    theirs: Program,
}

impl Stand {
    fn build(bench: &Bench<'_>) -> Result<Self, NotMeasured> {
        let theirs = program("docker").directory(bench.root()).args(["compose", "-p", THEIRS]);
        let (ours, others) = (free_ports()?, free_ports()?);
        Ok(Self {
            ours: on(&ours, xtask(bench.root())?),
            // On the same ports: they are part of a container's configuration.
            cargo: on(&ours, cargo(bench.root()).arg("xtask").env("HOMEPORT_PROJECT", PROJECT)),
            theirs: on(&others, theirs)
                .args(["-f", "compose/compose.yaml"])
                .env("HOMEPORT_SERVICE_IMAGE", format!("{PROJECT}/service:dev")),
        })
    }

    fn ours(&self, words: &[&str]) -> Program {
        self.ours.clone().args(words.iter().copied())
    }

    fn theirs_up(&self, services: &[String]) -> Program {
        self.theirs.clone().args(["up", "--detach", "--wait"]).args(services)
    }

    fn theirs_down(&self) -> Program {
        self.theirs.clone().args(["down", "--volumes"])
    }

    async fn take_turns(&self, bench: &Bench<'_>, services: &[String]) -> Result<Vec<Entry>, NotMeasured> {
        let (dev, compose) = ("`dev --detach`", "`docker compose up --detach --wait`");
        let (mut cold, mut idle, mut with_cargo) =
            (Runs::of(dev), Runs::of(dev), Runs::of("`cargo xtask dev --detach`"));
        let mut down = Runs::of("`down --volumes`");
        let (mut their_cold, mut their_idle) = (Runs::of(compose), Runs::of(compose));
        let mut their_down = Runs::of("`docker compose down --volumes`");
        for run in 1..=bench.runs {
            bench.say(format!("run {run} of {}", bench.runs));
            let up = self.ours(&["dev", "--detach"]);
            cold.push(timed(&up).await?);
            idle.push(timed(&up).await?);
            with_cargo.push(timed(&self.cargo_up()).await?);
            down.push(timed(&self.ours(&["down", "--volumes"])).await?);

            let up = self.theirs_up(services);
            their_cold.push(timed(&up).await?);
            their_idle.push(timed(&up).await?);
            their_down.push(timed(&self.theirs_down()).await?);
        }
        Ok(vec![
            Entry::measured(Work::NothingToDo, idle, their_idle.clone()),
            Entry::measured(Work::NothingToDoWithCargo, with_cargo, their_idle),
            Entry::measured(Work::Cold, cold, their_cold),
            Entry::measured(Work::Down, down, their_down),
        ])
    }

    fn cargo_up(&self) -> Program {
        self.cargo.clone().args(["dev", "--detach"])
    }
}

/// Ports that nobody has, as variables of compose.yaml.
pub(super) fn free_ports() -> Result<Vec<(&'static str, u16)>, NotMeasured> {
    PORTS.into_iter().map(|name| Ok((name, free_port()?))).collect()
}

/// Has a program use these ports.
pub(super) fn on(ports: &[(&'static str, u16)], program: Program) -> Program {
    ports.iter().fold(program, |program, (name, port)| program.env(*name, port.to_string()))
}

/// What of our stack runs: the other contender is to run the same, and what no source has it cannot have either.
pub(super) async fn running_services() -> Result<Vec<String>, NotMeasured> {
    let listed = program("docker")
        .args(["ps", "--filter", &format!("label=dev.homeport.project={PROJECT}")])
        .args(["--format", "{{.Label \"dev.homeport.service\"}}"]);
    Ok(output(&listed).await?.lines().map(str::to_owned).collect())
}
