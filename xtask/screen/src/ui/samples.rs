//! One sample, or more, of every event, outcome and state. Architecture invariant: a variant without a sample fails
//! `every_variant_has_a_sample`, and a variant that the lists here do not name does not compile.

use std::time::Duration;

use crate::event::{
    Event, LastMinute, Outcome, PlannedStep, Progress, ServiceReport, ServiceState, StageOutcome, StepId,
};
use crate::failure::{Code, Failure};
use crate::finding::{Check, Finding, Mend, Need, Remedy, Status};
use crate::profile::{Link, Other, Profile, Waited};
use crate::testing::coverage::RoomCoverage;
use crate::testing::{Case, CaseOutcome, Program, SuiteReport};

/// One name a variant, from a match that must be exhaustive.
macro_rules! kinds {
    ($function:ident, $all:ident, $type:ident: $($variant:ident)+) => {
        pub(super) const $all: &[&str] = &[$(stringify!($variant)),+];

        pub(super) fn $function(value: &$type) -> &'static str {
            match value { $($type::$variant { .. } => stringify!($variant),)+ }
        }
    };
}

kinds!(event_kind, EVENTS, Event: RunStarted Planned StepStarted StepProgress StepFinished StageStarted
    StageFinished Note Warning Output Log LogsNarrowed TakenDown
    Summary StartProfiled LastMinute Diagnosis Tested Covered Answered Problem ProblemSolved Failed RunFinished);
kinds!(outcome_kind, OUTCOMES, Outcome: Done Unchanged Skipped Cancelled Failed);
kinds!(state_kind, STATES, ServiceState: Healthy Running Starting Unhealthy Completed Exited Stopped Paused Absent
    Unavailable);

/// An event, and what must have come before it.
pub(super) struct Sample {
    pub(super) name: &'static str,
    pub(super) before: Vec<Event>,
    pub(super) event: Event,
}

fn alone(name: &'static str, event: Event) -> Sample {
    Sample { name, before: Vec::new(), event }
}

fn after(name: &'static str, before: Vec<Event>, event: Event) -> Sample {
    Sample { name, before, event }
}

/// All samples.
pub(super) fn samples() -> Vec<Sample> {
    let mut all = runs();
    all.extend(steps());
    all.extend(outcomes());
    all.extend(stages());
    all.extend(texts());
    all.extend(ends());
    all
}

fn planned() -> Vec<PlannedStep> {
    let step = |step, title: &str, cause: &str, needs: &[u32]| PlannedStep {
        step: StepId(step),
        title: title.to_owned(),
        cause: cause.to_owned(),
        needs: needs.iter().copied().map(StepId).collect(),
        makes_ready: title.starts_with("await "),
    };
    vec![
        step(1, "create container postgres", "missing", &[]),
        step(2, "start container postgres", "created", &[1]),
        step(3, "await postgres healthy", "started", &[2]),
    ]
}

fn await_started() -> Event {
    Event::StepStarted {
        step: StepId(3),
        title: "await postgres healthy".to_owned(),
        service: Some("postgres".to_owned()),
    }
}

fn pull_started() -> Event {
    let title = "obtain image redis:8 from registry".to_owned();
    Event::StepStarted { step: StepId(1), title, service: None }
}

fn runs() -> Vec<Sample> {
    vec![
        alone(
            "run started",
            Event::RunStarted { command: "dev".to_owned(), directory: "/src/homeport".to_owned() },
        ),
        alone("planned", Event::Planned { steps: planned() }),
        alone("planned, nothing to do", Event::Planned { steps: Vec::new() }),
    ]
}

fn steps() -> Vec<Sample> {
    let progress = |step, message: &str, bytes| Event::StepProgress {
        step: StepId(step),
        progress: Progress { message: message.to_owned(), bytes },
    };
    let plan = || Event::Planned { steps: planned() };
    vec![
        alone("step started", await_started()),
        after("step started, of several", vec![plan(), pull_started()], await_started()),
        after(
            "step progress, message",
            vec![await_started()],
            progress(3, "probe: connection refused", None),
        ),
        after(
            "step progress, bytes",
            vec![pull_started()],
            progress(1, "downloading", Some((12_345_678, 45_000_000))),
        ),
        after(
            "step progress, told a moment ago",
            vec![await_started(), progress(3, "probe: connection refused", None)],
            progress(3, "probe: connection refused", None),
        ),
        after(
            "output of a step",
            vec![pull_started()],
            Event::Output {
                step: Some(StepId(1)),
                source: "recipe redis".to_owned(),
                line: "\u{1b}[1mSetting up\u{1b}[0m redis-server".to_owned(),
            },
        ),
        alone(
            "output of no step",
            Event::Output {
                step: None,
                source: "cargo".to_owned(),
                line: "   \u{1b}[32mCompiling\u{1b}[0m service v0.1.0".to_owned(),
            },
        ),
    ]
}

fn outcomes() -> Vec<Sample> {
    let finished = |outcome, milliseconds| Event::StepFinished {
        step: StepId(3),
        title: "await postgres healthy".to_owned(),
        outcome,
        took: Duration::from_millis(milliseconds),
    };
    let running = || vec![await_started()];
    vec![
        after("step done", running(), finished(Outcome::Done { detail: None }, 1_840)),
        after(
            "step done, as its title says",
            running(),
            finished(Outcome::Done { detail: Some("healthy".to_owned()) }, 1_840),
        ),
        after(
            "step done, with a detail",
            vec![await_started(), pull_started()],
            Event::StepFinished {
                step: StepId(1),
                title: "obtain image redis:8 from registry".to_owned(),
                outcome: Outcome::Done { detail: Some("45 MB".to_owned()) },
                took: Duration::from_secs(75),
            },
        ),
        after("step unchanged", running(), finished(Outcome::Unchanged, 0)),
        alone(
            "step skipped",
            finished(Outcome::Skipped { because: "start container postgres".to_owned() }, 0),
        ),
        after("step cancelled", running(), finished(Outcome::Cancelled, 12_000)),
        after(
            "step failed",
            running(),
            finished(
                Outcome::Failed { message: "postgres ended with status 1, expected it to run".to_owned() },
                900,
            ),
        ),
    ]
}

fn stages() -> Vec<Sample> {
    let finished = |outcome| Event::StageFinished {
        stage: "lint".to_owned(),
        outcome,
        took: Duration::from_millis(4_200),
    };
    vec![
        alone("stage started", Event::StageStarted { stage: "lint".to_owned() }),
        alone("stage passed", finished(StageOutcome::Passed)),
        alone(
            "stage failed",
            finished(StageOutcome::Failed { message: "checks found something".to_owned() }),
        ),
        alone("stage skipped", finished(StageOutcome::Skipped { because: "build".to_owned() })),
        alone(
            "answered",
            Event::Answered {
                lines: vec!["STAGE  RESULT".to_owned(), "lint   passed".to_owned()],
                value: serde_json::json!({"stages": [{"stage": "lint", "result": "passed"}]}),
            },
        ),
        alone("stage not run", finished(StageOutcome::NotRun { why: "no repository is named".to_owned() })),
    ]
}

fn texts() -> Vec<Sample> {
    let log = |service: &str, line: &str| Event::Log {
        service: service.to_owned(),
        stderr: false,
        line: line.to_owned(),
        origin: None,
    };
    let problem = || Event::Problem {
        about: "build service".to_owned(),
        lines: vec![
            "\u{1b}[1;31merror[E0308]\u{1b}[0m: mismatched types".to_owned(),
            "  --> service/src/routes/root.rs:12:5".to_owned(),
        ],
    };
    vec![
        alone("note", Event::Note { text: "the engine is Docker 28.0 at /var/run/docker.sock".to_owned() }),
        alone(
            "warning",
            Event::Warning { text: "left out, being optional: no source has grafana".to_owned() },
        ),
        after(
            "log, plain line",
            vec![log("prometheus", "ready")],
            log("redis", "1:M \u{1b}[2J* Ready to accept connections"),
        ),
        alone(
            "log, a request",
            log(
                "service",
                r#"{"timestamp":"2026-11-24T18:43:05.123456Z","level":"INFO","msg":"request","method":"GET","path":"/api/data","endpoint":"/api/data","status":200,"latency":0.00131,"ip":"127.0.0.1","request_id":"0192f","trace_id":"4bf9"}"#,
            ),
        ),
        after(
            "logs narrowed to one",
            vec![problem(), Event::LogsNarrowed { to: Some("redis".to_owned()) }, log("redis", "shown")],
            log("prometheus", "left out"),
        ),
        alone("taken down", Event::TakenDown { project: "homeport".to_owned() }),
        alone("logs narrowed", Event::LogsNarrowed { to: Some("redis".to_owned()) }),
        after(
            "logs narrowed no more",
            vec![Event::LogsNarrowed { to: Some("redis".to_owned()) }],
            Event::LogsNarrowed { to: None },
        ),
        alone("problem", problem()),
        after(
            "log above a problem and a step",
            vec![problem(), await_started(), log("service", "first")],
            log("service", "second"),
        ),
        after(
            "problem too long for the screen",
            vec![await_started()],
            Event::Problem {
                about: "build service".to_owned(),
                lines: (1..=40).map(|number| format!("line {number}")).collect(),
            },
        ),
        after("problem solved", vec![problem()], Event::ProblemSolved { about: "build service".to_owned() }),
    ]
}

fn profile() -> Profile {
    let time = Duration::from_millis;
    let link = |step: &str, worked, until, waited: Option<(&str, u64)>| Link {
        step: step.to_owned(),
        worked: time(worked),
        until: time(until),
        waited: waited.map(|(on, waited)| Waited { on: on.to_owned(), time: time(waited) }),
    };
    let other = |step: &str, worked, until, slack| Other {
        step: step.to_owned(),
        worked: time(worked),
        until: time(until),
        slack: time(slack),
    };
    Profile {
        took: time(2_700),
        before: time(100),
        path: vec![
            link("start container postgres", 50, 150, None),
            link("await postgres healthy", 2_100, 2_250, None),
            link("start container service", 450, 2_700, Some(("await postgres healthy", 1_850))),
        ],
        others: vec![
            other("await redis healthy", 100, 400, 1_860),
            other("create container redis", 9, 300, 1_860),
        ],
    }
}

fn ends() -> Vec<Sample> {
    vec![
        alone("summary", Event::Summary { services: reports() }),
        alone(
            "last minute",
            Event::LastMinute {
                figures: LastMinute::Measured {
                    requests_per_second: 41.9,
                    requests_before_rate: 1,
                    error_ratio: Some(0.0123),
                    p95_seconds: Some(0.0042),
                },
            },
        ),
        alone(
            "last minute, nobody asked",
            Event::LastMinute {
                figures: LastMinute::Measured {
                    requests_per_second: 0.0,
                    requests_before_rate: 0,
                    error_ratio: None,
                    p95_seconds: None,
                },
            },
        ),
        alone(
            "last minute, before the first look",
            Event::LastMinute {
                figures: LastMinute::Measured {
                    requests_per_second: 0.0,
                    requests_before_rate: 60,
                    error_ratio: None,
                    p95_seconds: None,
                },
            },
        ),
        alone(
            "last minute, unknown",
            Event::LastMinute {
                figures: LastMinute::Unknown {
                    why: "Prometheus cannot be asked: service prometheus is exited".to_owned(),
                },
            },
        ),
        alone("start profiled", Event::StartProfiled { at: None, profile: profile() }),
        alone(
            "start profiled, an earlier one",
            Event::StartProfiled { at: Some("2026-11-25T16:00:00.500Z".to_owned()), profile: profile() },
        ),
        alone("diagnosis", Event::Diagnosis { findings: findings() }),
        alone("tested", Event::Tested { suites: suites() }),
        alone("covered", Event::Covered { rooms: rooms() }),
        alone(
            "failed",
            Event::from(
                &Failure::new(Code::ContainerExited, "service ended with status 3, expected it to run")
                    .details(["{\"level\":\"error\"}".to_owned(), "DB_HOST is not set".to_owned()])
                    .hint("cargo xtask logs service"),
            ),
        ),
        alone("failed, bare", Event::from(&Failure::new(Code::Internal, "the plan has a circle"))),
        alone(
            "run finished, well",
            Event::RunFinished { took: Duration::from_millis(3_210), failure: None, exit: 0 },
        ),
        alone(
            "run finished, not well",
            Event::RunFinished {
                took: Duration::from_secs(61),
                failure: Some(Code::PortTaken.as_str()),
                exit: Code::PortTaken.exit() as u8,
            },
        ),
        alone(
            "run finished, interrupted",
            Event::RunFinished {
                took: Duration::from_secs(9),
                failure: Some(Code::Interrupted.as_str()),
                exit: Code::Interrupted.exit() as u8,
            },
        ),
        alone(
            "run finished, with a status of another program's",
            Event::RunFinished { took: Duration::from_secs(9), failure: None, exit: 3 },
        ),
    ]
}

fn suites() -> Vec<SuiteReport> {
    let case = |name: &str, outcome, milliseconds, said: &[&str]| Case {
        name: name.to_owned(),
        outcome,
        took: Duration::from_millis(milliseconds),
        said: said.iter().map(|&line| line.to_owned()).collect(),
    };
    let program = |name: &str, seconds, cases| Program {
        name: name.to_owned(),
        took: Duration::from_secs(seconds),
        cases,
    };
    vec![
        SuiteReport {
            compiling: Duration::from_secs(61),
            took: Duration::from_millis(64_500),
            programs: vec![
                program(
                    "xtask src/lib.rs",
                    2,
                    vec![
                        case("plan::tests::quick", CaseOutcome::Passed, 1, &[]),
                        case("plan::tests::left_out", CaseOutcome::Skipped, 0, &[]),
                    ],
                ),
                program(
                    "service src/lib.rs",
                    1,
                    vec![case("config::wrong", CaseOutcome::Failed, 700, &["left: 1"])],
                ),
            ],
            ..SuiteReport::new("unit")
        },
        SuiteReport {
            compiling: Duration::from_millis(400),
            took: Duration::from_secs(31),
            programs: vec![program(
                "integration tests/integration/main.rs",
                30,
                vec![case("outages::slow", CaseOutcome::Passed, 12_300, &[])],
            )],
            ..SuiteReport::new("integration")
        },
    ]
}

fn rooms() -> Vec<RoomCoverage> {
    let room = |name: &str, covered, gaps: &[(&str, usize)]| RoomCoverage {
        room: name.to_owned(),
        lines: 1_000,
        covered,
        percent: f64::from(u32::try_from(covered).expect("a sample's number")) / 10.0,
        enough: covered >= 900,
        gaps: gaps.iter().map(|(path, missing)| ((*path).to_owned(), *missing)).collect(),
    };
    vec![
        room("plan", 1_000, &[]),
        room("service", 899, &[("service/src/main.rs", 60), ("service/src/error.rs", 41)]),
    ]
}

fn findings() -> Vec<Finding> {
    let finding = |check, status, seen: &str, needed_for: &[Need]| Finding {
        check,
        status,
        seen: seen.to_owned(),
        meaning: None,
        remedy: None,
        needed_for: needed_for.to_vec(),
    };
    let remedy = |command: &str, mend| Some(Remedy { commands: vec![command.to_owned()], mend });
    vec![
        finding(Check::Rust, Status::Ok, "rustc 1.95.0", Need::BY_DEFAULT),
        Finding {
            meaning: Some("newer releases of Kubernetes refuse it".to_owned()),
            remedy: remedy("boot with systemd.unified_cgroup_hierarchy=1", None),
            ..finding(Check::Cgroup, Status::Warning, "version 1", &[Need::DeployKind])
        },
        Finding {
            meaning: Some("service cannot be published there".to_owned()),
            remedy: remedy("stop it, or choose another port with HOMEPORT_SERVICE_PORT=…", None),
            ..finding(Check::Port(8000), Status::Missing, "taken by python3 (pid 4242)", &[Need::Dev])
        },
        Finding {
            meaning: Some("Rust programs cannot be linked".to_owned()),
            remedy: remedy("apt-get install -y gcc", Some(Mend::Install { packages: vec!["gcc"] })),
            ..finding(Check::Linker, Status::Missing, "cc is not on PATH", Need::BY_DEFAULT)
        },
        Finding {
            meaning: Some("needed by no command".to_owned()),
            ..finding(Check::Compose, Status::Ok, "not installed", &[])
        },
    ]
}

fn reports() -> Vec<ServiceReport> {
    let report = |service: &str, state, reason: Option<&str>, url: Option<&str>, up_seconds: Option<u64>| {
        ServiceReport {
            service: service.to_owned(),
            state,
            reason: reason.map(str::to_owned),
            image: format!("{service}:1"),
            image_source: up_seconds.map(|_| "recipe".to_owned()),
            urls: url.map(str::to_owned).into_iter().collect(),
            up_seconds,
        }
    };
    vec![
        report("service", ServiceState::Healthy, None, Some("http://127.0.0.1:8000/"), Some(59)),
        report("worker", ServiceState::Running, None, None, Some(3_725)),
        report(
            "postgres",
            ServiceState::Starting,
            Some("its health check has not run yet"),
            Some("127.0.0.1:5432"),
            Some(2),
        ),
        report(
            "redis",
            ServiceState::Unhealthy,
            Some("its health check says: connection refused"),
            None,
            Some(90_061),
        ),
        report("migrate", ServiceState::Completed, None, None, None),
        report("broken", ServiceState::Exited, Some("ended with status 1"), None, None),
        report("mailer", ServiceState::Stopped, None, None, None),
        report("frozen", ServiceState::Paused, None, None, Some(60)),
        report("new", ServiceState::Absent, None, None, None),
        report(
            "grafana",
            ServiceState::Unavailable,
            Some("optional, and no source has its image: the registry does not answer"),
            None,
            None,
        ),
    ]
}
