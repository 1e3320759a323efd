//! The engine, its API, control groups.

use super::super::facts::{EngineSeen, Facts};
use super::super::platform::Os;
use super::super::{Check, Finding, Mend, Need, Status};
use super::ok;

/// The packages of an engine on Debian and Ubuntu. Without recommendations these must be named: `iptables` for the
/// engine's networks, `ca-certificates` to trust registries.
const ENGINE: [&str; 3] = ["docker.io", "iptables", "ca-certificates"];

pub(super) fn engine(facts: &Facts) -> Vec<Finding> {
    let engine = |seen: &str| ok(Check::Engine, seen, Need::BY_DEFAULT);
    match &facts.engine {
        EngineSeen::Answers { version, api, system, elsewhere } => {
            let seen = if system.is_empty() { version.clone() } else { format!("{version} on {system}") };
            let elsewhere = elsewhere.iter().map(|(message, hint)| {
                ok(Check::Engine, message, &[Need::Dev, Need::DeployKind])
                    .but(Status::Missing, "what it runs has neither this checkout's files nor its ports here")
                    .mended_by(vec![hint.clone()], None)
            });
            [engine(&seen), ok(Check::EngineApi, api, Need::BY_DEFAULT)]
                .into_iter()
                .chain(elsewhere)
                .collect()
        }
        EngineSeen::WrongVersion { message, hint } => {
            let api = ok(Check::EngineApi, message, Need::BY_DEFAULT)
                .but(Status::Missing, "Homeport and the engine do not understand each other")
                .mended_by(vec![hint.clone()], None);
            vec![engine("answers"), api]
        }
        EngineSeen::Misconfigured { message, hint } => {
            let found = engine(message).but(Status::Missing, "no engine is configured that could be used");
            vec![found.mended_by(vec![hint.clone()], None)]
        }
        EngineSeen::Silent { message, forbidden, own, installed } => {
            let found = engine(message).but(Status::Missing, "containers cannot be run");
            let (commands, mend) = wake(facts, *forbidden, *own, *installed);
            vec![found.mended_by(commands, mend)]
        }
    }
}

/// What makes a silent engine answer.
fn wake(facts: &Facts, forbidden: bool, own: bool, installed: bool) -> (Vec<String>, Option<Mend>) {
    let platform = &facts.platform;
    if forbidden {
        // Who may talk to the engine is root in effect: that is a person's to decide.
        let join = "sudo usermod -aG docker $USER    # then log in again".to_owned();
        return (vec![join], None);
    }
    if !own && platform.os != Os::MacOs {
        let elsewhere = "start the engine that DOCKER_HOST or the Docker context names, or unset it";
        return (vec![elsewhere.to_owned()], None);
    }
    let mends = platform.can_mend();
    if installed {
        return (platform.start_engine(), mends.then_some(Mend::StartEngine));
    }
    match platform.os {
        Os::Debian => {
            let mut commands = platform.install(&ENGINE, None);
            commands.extend(platform.start_engine());
            (commands, mends.then(|| Mend::InstallEngine { packages: ENGINE.to_vec() }))
        }
        Os::MacOs => {
            let commands = [
                "brew install --cask docker && open -a Docker",
                "# or, without Docker Desktop: brew install colima docker && colima start",
            ];
            (commands.map(str::to_owned).to_vec(), None)
        }
        Os::Linux | Os::Other => {
            (vec!["install Docker as https://docs.docker.com/engine/install/ says".to_owned()], None)
        }
    }
}

pub(super) fn cgroup(facts: &Facts) -> Option<Finding> {
    const NEEDED: &[Need] = &[Need::DeployKind];
    let version = facts.cgroup_version?;
    let finding = ok(Check::Cgroup, format!("version {version}"), NEEDED);
    Some(match version {
        2.. => finding,
        // Kubernetes' documentation, "About cgroup v2": maintenance mode since 1.31.
        _ => finding
            .but(Status::Warning, "Kubernetes only maintains version 1, and newer releases refuse it")
            .mended_by(vec!["boot the kernel with systemd.unified_cgroup_hierarchy=1".to_owned()], None),
    })
}
