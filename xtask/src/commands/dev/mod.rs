//! `cargo xtask dev`: the stack up; then its logs, and every save brought to where it runs.

mod follow;
mod watch;

use tokio::sync::mpsc;

use super::Context;
use super::doctor::Examination;
use crate::cli;
use crate::doctor::Need;
use crate::event::Event;
use crate::failure::{Code, Failure};
use crate::plan::Wanted;
use crate::project::{Before, FOREGROUND_DEV, lock, outlived_secrets};
use crate::session::Session;
use crate::ui::Format;
use watch::Burst;

/// Runs `dev`.
///
/// # Errors
/// As design.md's "The command line" lists them: a wrong Compose file, no engine, a step that failed, something that did
/// not become healthy.
pub async fn run(context: &Context, arguments: &cli::Dev) -> Result<(), Failure> {
    let made = if arguments.dry_run { Vec::new() } else { context.make_credentials().await? };
    if arguments.fix {
        let (stack, ..) = context.project.stack_as_found()?;
        let needs = [Need::Dev];
        Examination::new(context.project.root(), Some(&stack), &needs, arguments.offline)
            .ensure(&context.events)
            .await?;
    }
    let wanted = Wanted { services: arguments.services.iter().cloned().collect(), ..Wanted::default() };
    if arguments.dry_run {
        let (session, _) = context.session_as_found(arguments.offline).await?;
        session.refuse_another_checkouts().await?;
        let session = if arguments.detach { session } else { in_foreground(session, &wanted) };
        return dry_run(context, &session, &wanted).await;
    }
    let session = context.session(arguments.offline).await?;
    session.refuse_another_checkouts().await?;
    if !made.is_empty() {
        let volumes = session.engine.observe(&session.stack.project).await?.volumes;
        for warning in outlived_secrets(&session.stack, &volumes, &made) {
            context.events.warning(warning);
        }
    }
    let command = if arguments.detach { "dev --detach" } else { FOREGROUND_DEV };
    let lock = lock(&context.project, &session.stack.project, command).await?;
    let ended = if arguments.detach {
        detached(context, &session, &wanted, lock.before()).await
    } else {
        let session = in_foreground(session, &wanted);
        foreground(context, session, &wanted, arguments.offline, lock.before()).await
    };
    lock.finish(&ended);
    ended
}

/// The session of a `dev` that stays: it holds ports in the place of services.
fn in_foreground(session: Session, wanted: &Wanted) -> Session {
    Session { stack: session.stack.fronted(&wanted.services), ..session }
}

async fn detached(
    context: &Context,
    session: &Session,
    wanted: &Wanted,
    before: Before,
) -> Result<(), Failure> {
    let up = session.bring_up(wanted, before).await?;
    context.events.send(Event::Summary { services: up.services });
    up.failure.map_or(Ok(()), Err)
}

async fn dry_run(context: &Context, session: &Session, wanted: &Wanted) -> Result<(), Failure> {
    let observed = session.observe().await?;
    let plan = session.plan_up(&observed, wanted)?;
    match context.format {
        Format::Human => context.print(&plan.to_string())?,
        Format::Json => {
            plan.notes.iter().for_each(|note| context.events.note(note.clone()));
            context.events.send(Event::Planned { steps: plan.announced() });
        }
    }
    session.refuse_impossible(&plan).await
}

/// Up, then on until Ctrl-C. What a save asks for is found by observing and planning again: a save that changes nothing
/// gives an empty plan.
async fn foreground(
    context: &Context,
    mut session: Session,
    wanted: &Wanted,
    offline: bool,
    before: Before,
) -> Result<(), Failure> {
    let (sender, mut saves) = mpsc::channel::<Burst>(1);
    let watcher = watch::start(session.project.root(), sender)?;
    let mut standing = Standing::default();
    // Before anything starts: what a service says at its start is shown too.
    let mut logs = follow::Follower::new(&session);
    let first = session.bring_up(wanted, before).await;
    match first {
        Ok(up) => {
            session.fronts.explain(NOT_RUNNING);
            context.events.send(Event::Summary { services: up.services });
            if let Some(failure) = &up.failure {
                standing.complain(context, failure.code.as_str(), failure);
            }
        }
        Err(failure) if failure.code == Code::BuildFailed => {
            session.fronts.explain(&failure.message);
            standing.complain(context, failure.code.as_str(), &failure);
        }
        Err(failure) if failure.code == Code::Interrupted => {
            stop(&session).await?;
            return Err(failure);
        }
        Err(failure) => return Err(failure),
    }
    context.events.note("watching for saves; Ctrl-C stops the stack");
    loop {
        if let Err(failure) = logs.attend(&session).await {
            // Without this program their ports lead nowhere, so they stop with it as far as the engine still answers.
            let _ = stop(&session).await;
            return Err(failure);
        }
        tokio::select! {
            () = context.cancel.cancelled() => break,
            burst = saves.recv() => {
                let Some(burst) = burst else { break };
                apply(context, &mut session, wanted, offline, &burst, &mut standing).await;
                if context.cancel.is_cancelled() {
                    break;
                }
            }
            () = logs.changed() => {}
        }
    }
    drop(watcher);
    // What services say while they stop is worth seeing.
    let stopped = stop(&session).await;
    logs.stop();
    stopped
}

/// The problems that stand: shown until the next good run.
#[derive(Debug, Default)]
struct Standing {
    about: Option<String>,
}

impl Standing {
    fn complain(&mut self, context: &Context, about: &str, failure: &Failure) {
        self.settle(context);
        let lines = std::iter::once(failure.message.clone())
            .chain(failure.details.iter().cloned())
            .chain(failure.hint.iter().map(|hint| format!("hint: {hint}")))
            .collect();
        context.events.send(Event::Problem { about: about.to_owned(), lines });
        self.about = Some(about.to_owned());
    }

    fn settle(&mut self, context: &Context) {
        if let Some(about) = self.about.take() {
            context.events.send(Event::ProblemSolved { about });
        }
    }
}

/// Brings a save to where it runs. A fault is shown and stays in view; the last good version goes on serving.
async fn apply(
    context: &Context,
    session: &mut Session,
    wanted: &Wanted,
    offline: bool,
    burst: &Burst,
    standing: &mut Standing,
) {
    if burst.paths.iter().any(|path| path.starts_with(context.project.root().join("compose"))) {
        match context.session(offline).await {
            // Neither locked nor looked at: it may be another checkout's.
            Ok(fresh) if fresh.stack.project != session.stack.project => {
                let message = format!(
                    "the project is called {} now, and {} runs",
                    fresh.stack.project, session.stack.project
                );
                let failure =
                    Failure::new(Code::ProjectBusy, message).hint("stop this `dev` and start it again");
                return standing.complain(context, "compose", &failure);
            }
            Ok(fresh) => {
                let kept = Session {
                    told: session.told.clone(),
                    fronts: session.fronts.clone(),
                    leaving: session.leaving.clone(),
                    attempts: session.attempts.clone(),
                    ..fresh
                };
                *session = in_foreground(kept, wanted);
            }
            Err(failure) => return standing.complain(context, "compose", &failure),
        }
    }
    match session.bring_up(wanted, Before::Ended).await {
        Ok(up) => {
            session.fronts.explain(NOT_RUNNING);
            standing.settle(context);
            if let Some(failure) = &up.failure {
                standing.complain(context, failure.code.as_str(), failure);
            } else if let Some(pace) = up.pace {
                let took = crate::ui::duration(pace.served.saturating_duration_since(burst.since));
                context.events.note(format!("saved to served in {took} ({pace})"));
            }
        }
        Err(failure) if failure.code == Code::Interrupted => {}
        Err(failure) => {
            session.fronts.explain(&failure.message);
            standing.complain(context, failure.code.as_str(), &failure);
        }
    }
}

/// What whoever asks for a service is told when it does not run and nothing is on its way.
const NOT_RUNNING: &str = "its container does not run; a save starts it again";

/// Stops what runs and keeps it: the next `dev` starts it again, `logs` shows what it said, `down` removes it. Ctrl-C
/// has fired already, so this runs to its end or to a second one.
async fn stop(session: &Session) -> Result<(), Failure> {
    session.fronts.close().await;
    session.leaving.give_up();
    let ending = Session { cancel: tokio_util::sync::CancellationToken::new(), ..session.clone() };
    ending.stop().await
}
