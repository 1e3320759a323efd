//! `cargo xtask lint`: format, clippy, the Compose file, Prometheus' configuration and rules through promtool of the
//! stack's own Prometheus image.

use std::time::Duration;

use super::Context;
use crate::checklist::Checklist;
use crate::engine::OneShot;
use crate::event::Event;
use crate::failure::{Code, Failure};
use crate::process::{ProcessError, Program};
use crate::session::Session;
use crate::stack::ServiceName;

/// One check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Check {
    Format,
    Clippy,
    Compose,
    PrometheusConfiguration,
    PrometheusRules,
}

impl Check {
    const ALL: [Self; 5] =
        [Self::Format, Self::Compose, Self::PrometheusConfiguration, Self::PrometheusRules, Self::Clippy];

    fn title(self) -> &'static str {
        match self {
            Self::Format => "format (rustfmt)",
            Self::Clippy => "clippy",
            Self::Compose => "Compose file",
            Self::PrometheusConfiguration => "Prometheus configuration (promtool check)",
            Self::PrometheusRules => "Prometheus rules (promtool test)",
        }
    }
}

/// Runs `lint`. Every check runs, whatever the others found.
///
/// # Errors
/// [`Code::ChecksFailed`] when a check finds something.
pub async fn run(context: &Context) -> Result<(), Failure> {
    context.make_credentials()?;
    let titles = Check::ALL.map(|check| check.title().to_owned()).to_vec();
    let mut checklist = Checklist::announce(&context.events, &context.cancel, titles);
    let mut found: Vec<&str> = Vec::new();
    for check in Check::ALL {
        match checklist.step(async |_| perform(context, check).await.map(|()| ((), None))).await {
            Ok(()) => {}
            Err(failure) if failure.code == Code::Interrupted => return Err(failure),
            Err(failure) => {
                for line in failure.details {
                    context.events.send(Event::Output { step: None, source: check.title().to_owned(), line });
                }
                found.push(check.title());
            }
        }
    }
    if found.is_empty() {
        return Ok(());
    }
    Err(Failure::new(Code::ChecksFailed, format!("checks found something: {}", found.join(", "))))
}

async fn perform(context: &Context, check: Check) -> Result<(), Failure> {
    match check {
        Check::Format => cargo(context, &["fmt", "--all", "--check"]).await,
        Check::Clippy => {
            cargo(context, &["clippy", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"])
                .await
        }
        Check::Compose => context.project.stack().map(drop),
        Check::PrometheusConfiguration => {
            promtool(context, "promtool check config /etc/prometheus/prometheus.yml").await
        }
        Check::PrometheusRules => {
            promtool(context, "promtool test rules /etc/prometheus/tests/*.test.yml").await
        }
    }
}

async fn cargo(context: &Context, arguments: &[&str]) -> Result<(), Failure> {
    let program = Program::new("cargo", crate::limits::CHECK)
        .args(arguments.iter().copied())
        .directory(context.project.root());
    let mut said = Vec::new();
    match program.run(|_, line| said.push(line.to_owned())).await {
        Ok(()) => Ok(()),
        Err(error @ ProcessError::Missing { .. }) => {
            Err(Failure::new(Code::ProgramMissing, error.to_string()))
        }
        Err(error) => Err(Failure::new(Code::ChecksFailed, error.to_string()).details(said)),
    }
}

/// How long promtool may take: the unit tests of rules evaluate hours of made-up samples.
const PROMTOOL: Duration = Duration::from_secs(300);

async fn promtool(context: &Context, line: &str) -> Result<(), Failure> {
    let session = context.session(false).await?;
    let prometheus = session.stack.services.get(&ServiceName::new("prometheus")).ok_or_else(|| {
        Failure::new(Code::ComposeInvalid, "the stack has no service prometheus, whose image holds promtool")
    })?;
    obtain_prometheus(&session).await?;
    let what = OneShot {
        image: prometheus.image.clone(),
        command: ["/bin/sh", "-c", line].map(str::to_owned).to_vec(),
        mounts: vec![(context.project.root().join("compose/prometheus"), "/etc/prometheus".to_owned())],
        limit: PROMTOOL,
    };
    let ended = session.engine.run_once(&what).await?;
    if ended.status == 0 {
        return Ok(());
    }
    Err(Failure::new(Code::ChecksFailed, format!("`{line}` ended with status {}", ended.status))
        .details(ended.lines))
}

/// Gets the image when it is missing; the others are no business of a check.
async fn obtain_prometheus(session: &Session) -> Result<(), Failure> {
    let mut only = session.clone();
    only.stack.services.retain(|name, _| name.as_str() == "prometheus");
    only.stack.services.values_mut().for_each(|service| service.depends_on.clear());
    super::image::obtain_missing(&only).await
}
