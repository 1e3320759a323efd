//! Mends what findings name and we can: packages of Debian and Ubuntu, an engine that is not started. Says first what
//! it will do, as a plan; each step's output goes to the events.
//!
//! Must not: do anything that no finding asked for.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::platform::{ENGINE_LOG, Platform, background_engine};
use super::{Finding, Mend, Status};
use crate::engine::Engine;
use crate::event::{Event, Events, Outcome, PlannedStep, StepId, StepReporter};
use crate::failure::{Code, Failure};
use crate::limits;
use crate::process::{ProcessError, Program};

/// How long fetching package lists and packages may take. The engine with what it needs has 100 MB: ten minutes is
/// 1.4 Mbit/s.
const INSTALL: Duration = Duration::from_secs(600);
/// How long cargo may take to compile a program: cargo-deny takes some four minutes on two cores, and a busy machine is
/// given several times that.
const COMPILE: Duration = Duration::from_secs(1800);
/// How long an engine may take to answer after its start. A first start makes its directories and networks: seconds; a
/// machine that boots at the same time is given a minute.
const ENGINE_START: Duration = Duration::from_secs(60);
/// How long a shell may take to become the engine it was told to start: far longer than it does.
const ENGINE_EXEC: Duration = Duration::from_secs(2);
/// The pause between two looks whether the engine answers.
const ENGINE_PAUSE: Duration = Duration::from_millis(200);

/// What was mended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fixed {
    /// There was nothing that we could mend.
    Nothing,
    /// Everything that we could mend.
    All,
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Action {
    Update,
    Install(Vec<&'static str>),
    Compile(&'static str),
    Go(&'static str),
    Pip(&'static str),
    StartEngine,
}

impl Action {
    /// Whose output its program's lines are.
    const fn program(&self) -> &'static str {
        match self {
            Self::Update | Self::Install(_) => "apt-get",
            Self::Compile(_) => "cargo",
            Self::Go(_) => "go",
            Self::Pip(_) => "pip",
            Self::StartEngine => "engine",
        }
    }
}

impl std::fmt::Display for Action {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Update => f.write_str("fetch the package lists"),
            Self::Install(packages) => write!(f, "install {}", packages.join(" ")),
            Self::Compile(name) | Self::Go(name) => write!(f, "compile and install {name}"),
            Self::Pip(name) => write!(f, "install {name}"),
            Self::StartEngine => f.write_str("start the engine"),
        }
    }
}

/// What is to be done for the findings, and for which: each package once, in the order of the findings.
fn plan(findings: &[Finding]) -> Vec<(Action, String)> {
    let mut packages: Vec<&'static str> = Vec::new();
    let (mut installed_for, mut start_for) = (Vec::new(), None);
    let mut compiled = Vec::new();
    for finding in findings.iter().filter(|finding| finding.status != Status::Ok) {
        let Some(mend) = finding.remedy.as_ref().and_then(|remedy| remedy.mend.as_ref()) else { continue };
        let cause = finding.check.to_string();
        if let Mend::Install { packages: wanted }
        | Mend::InstallEngine { packages: wanted }
        | Mend::Go { packages: wanted, .. }
        | Mend::Pip { packages: wanted, .. } = mend
            && !wanted.is_empty()
        {
            packages.extend(wanted.iter().filter(|name| !packages.contains(name)).collect::<Vec<_>>());
            installed_for.push(cause.clone());
        }
        let action = match mend {
            Mend::Compile { name } => Some(Action::Compile(name)),
            Mend::Go { module, .. } => Some(Action::Go(module)),
            Mend::Pip { package, .. } => Some(Action::Pip(package)),
            _ => None,
        };
        compiled.extend(action.map(|action| (action, format!("missing: {cause}"))));
        if matches!(mend, Mend::StartEngine | Mend::InstallEngine { .. }) {
            start_for = Some(cause);
        }
    }
    let mut actions = Vec::new();
    if !packages.is_empty() {
        let cause = format!("missing: {}", installed_for.join(", "));
        actions.push((Action::Update, cause.clone()));
        actions.push((Action::Install(packages), cause));
    }
    actions.extend(compiled);
    actions.extend(start_for.map(|_| (Action::StartEngine, "no engine answers".to_owned())));
    actions
}

/// Mends what can be mended. Look again afterwards: what was mended is seen, not assumed.
///
/// # Errors
/// When a step fails; what follows is then left alone.
pub async fn fix(findings: &[Finding], platform: &Platform, events: &Events) -> Result<Fixed, Failure> {
    let actions = plan(findings);
    if actions.is_empty() {
        return Ok(Fixed::Nothing);
    }
    let numbered = || (1..).map(StepId).zip(&actions);
    let steps = numbered().map(|(step, (action, cause))| PlannedStep {
        step,
        title: action.to_string(),
        cause: cause.clone(),
        needs: (1..step.0).next_back().map(StepId).into_iter().collect(),
        makes_ready: false,
    });
    events.send(Event::Planned { steps: steps.collect() });
    for (_, (action, _)) in numbered() {
        events.note(format!("will run: {}", shown(action, platform)));
    }
    for (step, (action, _)) in numbered() {
        let title = action.to_string();
        events.send(Event::StepStarted { step, title: title.clone(), service: None });
        let started = Instant::now();
        let result = perform(action, platform, &StepReporter::new(step, events.clone())).await;
        let outcome = match &result {
            Ok(()) => Outcome::Done { detail: None },
            Err(failure) => Outcome::Failed { message: failure.message.clone() },
        };
        events.send(Event::StepFinished { step, title, outcome, took: started.elapsed() });
        result?;
    }
    Ok(Fixed::All)
}

/// Where cargo keeps the programs that it installs, which `PATH` has where cargo is used: `CARGO_HOME`, or `~/.cargo`
/// (The Cargo Book, "Cargo Home").
fn cargo_home() -> PathBuf {
    let named = std::env::var_os("CARGO_HOME").filter(|path| !path.is_empty()).map(PathBuf::from);
    named.unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cargo"))
}

/// The words of a step's program.
fn words(action: &Action, platform: &Platform) -> Vec<String> {
    let line: Vec<String> = match action {
        Action::Update => ["apt-get", "update"].map(str::to_owned).into(),
        Action::Install(packages) => ["apt-get", "install", "-y", "--no-install-recommends"]
            .iter()
            .chain(packages)
            .map(|&word| word.to_owned())
            .collect(),
        // For this user alone: no privilege is asked for.
        Action::Compile(name) => {
            return ["cargo", "install", "--locked", name].map(str::to_owned).into();
        }
        Action::Go(module) => {
            let bin = format!("GOBIN={}", cargo_home().join("bin").display());
            return ["env", &bin, "go", "install", module].map(str::to_owned).into();
        }
        // With a prefix pip leaves the system's own packages alone, so that no system refuses it (PEP 668). Debian's would
        // put `local` between the prefix and `bin`, unless told (its python3's README, "deb_system").
        Action::Pip(package) => {
            let prefix = cargo_home().display().to_string();
            let layout = "DEB_PYTHON_INSTALL_LAYOUT=deb";
            return [
                "env",
                layout,
                "python3",
                "-m",
                "pip",
                "install",
                "--no-deps",
                "--prefix",
                &prefix,
                package,
            ]
            .map(str::to_owned)
            .into();
        }
        Action::StartEngine if platform.systemd => {
            ["systemctl", "enable", "--now", "docker"].map(str::to_owned).into()
        }
        Action::StartEngine => {
            vec!["sh".to_owned(), "-c".to_owned(), background_engine(Path::new(ENGINE_LOG))]
        }
    };
    // `-n`: a question for a password would have no answer here; whether it is asked was found out before. The
    // variable is given on the command line because sudo passes none on.
    let prefix: &[&str] = if platform.root { &["env"] } else { &["sudo", "-n", "env"] };
    let prefix = prefix.iter().copied().chain(["DEBIAN_FRONTEND=noninteractive"]);
    prefix.map(str::to_owned).chain(line).collect()
}

fn shown(action: &Action, platform: &Platform) -> String {
    words(action, platform)
        .into_iter()
        .map(|word| if word.contains(' ') { format!("'{word}'") } else { word })
        .collect::<Vec<_>>()
        .join(" ")
}

async fn perform(action: &Action, platform: &Platform, reporter: &StepReporter) -> Result<(), Failure> {
    let words = words(action, platform);
    let log_before = engine_log().len();
    let limit = if matches!(action, Action::Compile(_) | Action::Go(_)) { COMPILE } else { INSTALL };
    let program = Program::new(&words[0], limit).args(&words[1..]).at_terminal();
    let mut last = Vec::new();
    let result = program
        .run(|_, line| {
            if last.len() == limits::LAST_LINES {
                last.remove(0);
            }
            last.push(line.to_owned());
            reporter.output(action.program(), line);
        })
        .await;
    if let Err(error) = result {
        let code = match error {
            ProcessError::Missing { .. } => Code::ProgramMissing,
            _ => Code::MachineUnready,
        };
        let hint = format!("run it yourself: {}", shown(action, platform));
        return Err(Failure::new(code, format!("cannot {action}: {error}")).details(last).hint(hint));
    }
    if *action == Action::StartEngine { await_engine(platform, log_before, reporter).await } else { Ok(()) }
}

/// Waits until the engine answers; when it does not, its log says why. `log_before` is the length of the log of an
/// engine that we started without systemd, before we did.
async fn await_engine(
    platform: &Platform,
    log_before: usize,
    reporter: &StepReporter,
) -> Result<(), Failure> {
    let started = Instant::now();
    loop {
        let Err(error) = Engine::connect().await else { return Ok(()) };
        reporter.message(error.to_string());
        let waited = started.elapsed();
        let gone = !platform.systemd && waited >= ENGINE_EXEC && !is_running("dockerd");
        if gone || waited >= ENGINE_START {
            let message = if gone {
                "the engine was started and ended at once".to_owned()
            } else {
                format!(
                    "the engine was started and does not answer within {} s: {error}",
                    ENGINE_START.as_secs()
                )
            };
            let failure = Failure::new(Code::EngineUnreachable, message);
            return Err(if platform.systemd {
                failure.hint("journalctl -u docker")
            } else {
                let log = engine_log();
                let lines =
                    log.get(log_before..).unwrap_or(&log).lines().map(str::to_owned).collect::<Vec<_>>();
                let last = lines[lines.len().saturating_sub(limits::LAST_LINES)..].to_vec();
                failure.details(last).hint(format!("the engine's whole log is {ENGINE_LOG}"))
            });
        }
        tokio::time::sleep(ENGINE_PAUSE).await;
    }
}

fn engine_log() -> String {
    std::fs::read(ENGINE_LOG).map(|log| String::from_utf8_lossy(&log).into_owned()).unwrap_or_default()
}

/// Whether a process of this name runs (Linux: the kernel's name of it, proc(5)).
fn is_running(name: &str) -> bool {
    let Ok(entries) = std::fs::read_dir("/proc") else { return false };
    entries.filter_map(Result::ok).any(|entry| {
        std::fs::read_to_string(entry.path().join("comm")).is_ok_and(|comm| comm.trim_end() == name)
    })
}

#[cfg(test)]
mod tests {
    use super::super::platform::{Distribution, Os};
    use super::super::{Check, Need, Remedy};
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn a_running_process_is_seen() {
        let own = std::fs::read_to_string("/proc/self/comm").expect("Linux tells our name");
        assert!(is_running(own.trim_end()));
        assert!(!is_running("no-such-name"));
    }

    fn finding(check: Check, status: Status, mend: Option<Mend>) -> Finding {
        let remedy = Some(Remedy { commands: Vec::new(), mend });
        Finding {
            check,
            status,
            seen: String::new(),
            meaning: None,
            remedy,
            needed_for: Need::BY_DEFAULT.to_vec(),
        }
    }

    fn platform(root: bool, systemd: bool) -> Platform {
        Platform {
            os: Os::Debian,
            name: String::new(),
            distribution: Distribution::Debian(13),
            root,
            sudo: !root,
            systemd,
        }
    }

    #[test]
    fn packages_are_gathered_and_the_engine_starts_last() {
        let gcc = Mend::Install { packages: vec!["gcc", "libc6-dev"] };
        let engine = Mend::InstallEngine { packages: vec!["docker.io", "gcc"] };
        let findings = [
            finding(Check::Linker, Status::Missing, Some(gcc.clone())),
            finding(Check::Engine, Status::Missing, Some(engine)),
            finding(Check::Kind, Status::Ok, Some(gcc.clone())),
            finding(Check::Clock, Status::Missing, None),
        ];
        let cause = "missing: linker, engine".to_owned();
        assert_eq!(
            plan(&findings),
            [
                (Action::Update, cause.clone()),
                (Action::Install(vec!["gcc", "libc6-dev", "docker.io"]), cause),
                (Action::StartEngine, "no engine answers".to_owned()),
            ]
        );
        assert_eq!(plan(&findings[2..]), []);
        let deny = finding(Check::CargoDeny, Status::Missing, Some(Mend::Compile { name: "cargo-deny" }));
        assert_eq!(plan(&[deny]), [(Action::Compile("cargo-deny"), "missing: cargo-deny".to_owned())]);
        let go = Mend::Go { module: "a/b@v1", packages: vec!["golang-go"] };
        let pip = Mend::Pip { package: "c==1", packages: Vec::new() };
        let linters = [
            finding(Check::Actionlint, Status::Missing, Some(go)),
            finding(Check::Hadolint, Status::Missing, Some(pip)),
        ];
        let actionlint = "missing: actionlint".to_owned();
        assert_eq!(
            plan(&linters),
            [
                (Action::Update, actionlint.clone()),
                (Action::Install(vec!["golang-go"]), actionlint.clone()),
                (Action::Go("a/b@v1"), actionlint),
                (Action::Pip("c==1"), "missing: hadolint".to_owned()),
            ]
        );
        let start = finding(Check::Engine, Status::Missing, Some(Mend::StartEngine));
        assert_eq!(plan(&[start]), [(Action::StartEngine, "no engine answers".to_owned())]);
    }

    #[test]
    fn what_will_run_is_shown_as_it_is_typed() {
        let table = [
            (Action::Update, true, false, "env DEBIAN_FRONTEND=noninteractive apt-get update"),
            (
                Action::Install(vec!["gcc"]),
                false,
                false,
                "sudo -n env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends gcc",
            ),
            (Action::Compile("cargo-deny"), false, false, "cargo install --locked cargo-deny"),
            (
                Action::StartEngine,
                true,
                true,
                "env DEBIAN_FRONTEND=noninteractive systemctl enable --now docker",
            ),
            (
                Action::StartEngine,
                true,
                false,
                "env DEBIAN_FRONTEND=noninteractive sh -c 'setsid --fork dockerd >>/var/log/dockerd.log 2>&1 </dev/null'",
            ),
        ];
        for (action, root, systemd, text) in table {
            assert_eq!(shown(&action, &platform(root, systemd)), text);
        }
    }
}
