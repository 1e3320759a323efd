//! `cargo xtask dev`: the stack up; then its logs, and every save brought to where it runs.

mod follow;
mod keys;
mod reading;
mod standing;
mod watch;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Instant;

use tokio::sync::mpsc;

use super::Context;
use super::doctor::Examination;
use crate::cli;
use crate::doctor::Need;
use crate::event::Event;
use crate::failure::{Code, Failure};
use crate::pace::Pace;
use crate::plan::{ContainerState, Wanted};
use crate::project::{Before, FOREGROUND_DEV, lock};
use crate::proxy::raise_descriptors;
use crate::session::{BroughtUp, Fault, Reached, Session, Setback};
use crate::stack::{Service, ServiceName};
use crate::ui::Format;
use keys::{Asked, Keys};
use reading::{Reading, warn_of_outlived};
use standing::Standing;
use watch::{Burst, Watch};

/// Runs `dev`.
///
/// # Errors
/// As the README lists them ("When something fails"): a wrong Compose file, no engine, a step that failed, something that did
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
    session.engine.is_on_this_machine()?;
    session.refuse_another_checkouts().await?;
    warn_of_outlived(context, &session, &made).await?;
    let command = if arguments.detach { "dev --detach" } else { FOREGROUND_DEV };
    let lock = lock(&context.project, &session.stack.project, command).await?;
    let ended = if arguments.detach {
        detached(context, &session, &wanted, arguments.profile, lock.before()).await
    } else {
        let session = in_foreground(session, &wanted);
        foreground(context, session, &wanted, arguments, lock.before()).await
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
    profiled: bool,
    before: Before,
) -> Result<(), Failure> {
    let up = session.bring_up(wanted, before).await?;
    context.events.send(Event::Summary { services: up.services });
    if profiled {
        tell_profile(context, session);
    }
    up.failure.map_or(Ok(()), Err)
}

/// Where the time of the start went.
fn tell_profile(context: &Context, session: &Session) {
    match session.profile() {
        Some(profile) => context.events.send(Event::StartProfiled { at: None, profile }),
        None => context.events.note("nothing had to be done, so there is nothing to profile"),
    }
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
    arguments: &cli::Dev,
    before: Before,
) -> Result<(), Failure> {
    raise_descriptors();
    let (sender, mut saves) = mpsc::channel::<Burst>(1);
    let mut stay = Stay {
        context,
        wanted,
        reading: Reading::done(context),
        watch: watch::start(session.project.root(), &session.stack, sender)?,
        keys: Keys::listen(context),
        standing: Standing::default(),
        ended: None,
    };
    // Before anything starts: what a service says at its start is shown too.
    let mut logs = follow::Follower::begin(&session);
    let first = session.bring_up(wanted, before).await;
    match first {
        Ok(up) => {
            session.fronts.explain(NOT_RUNNING);
            stay.learn(&session, false).await;
            stay.keys.know(&up.services, &built_here(&session, wanted));
            context.events.send(Event::Summary { services: up.services });
            if arguments.profile {
                tell_profile(context, &session);
            }
            stay.standing.end_well(&context.events, up.failure.as_ref());
        }
        Err(setback) if setback.is_interruption() => {
            let stopped = stop(&session).await;
            logs.stop(&session).await;
            return stopped.and(Err(setback.into()));
        }
        Err(setback) if setback.faults.iter().any(|fault| may_be_mended(fault.failure.code)) => {
            stay.suffer(&session, &setback).await;
        }
        Err(setback) => {
            logs.stop(&session).await;
            tell_what_is_left(context, &session).await;
            return Err(setback.into());
        }
    }
    let keys_note = if stay.keys.are_there() { ", ? shows the keys" } else { "" };
    context.events.note(format!("watching for saves; Ctrl-C stops the stack{keys_note}"));
    let mut since_run = true;
    loop {
        let attended = context.cancel.run_until_cancelled(logs.attend(&session, since_run)).await;
        since_run = false;
        if let Some(Err(failure)) = attended {
            // Without this program their ports lead nowhere, so they stop with it as far as the engine still answers.
            let _ = stop(&session).await;
            return Err(failure);
        }
        let errand = tokio::select! {
            () = context.cancel.cancelled() => break,
            burst = saves.recv() => match burst {
                Some(burst) => Errand::Save(burst),
                None => break,
            },
            (asked, since) = stay.keys.asked() => Errand::Key(asked, since),
            () = logs.news(&session) => continue,
        };
        session.says_nothing_twice = errand.was_gathered(stay.ended);
        stay.run(&mut session, &errand).await;
        since_run = true;
        if context.cancel.is_cancelled() {
            break;
        }
    }
    // The keyboard stays until the end: what is typed meanwhile is not the terminal's to show.
    let Stay { watch, keys: _keys, .. } = stay;
    drop(watch);
    // What services say while they stop is worth seeing.
    let stopped = stop(&session).await;
    logs.stop(&session).await;
    stopped
}

/// Whether a save may mend what a first start failed for, so that `dev` goes on and watches.
fn may_be_mended(code: Code) -> bool {
    matches!(code, Code::BuildFailed | Code::ContainerExited | Code::NotHealthy | Code::ChecksFailed)
}

/// Says what a start that was given up leaves running.
async fn tell_what_is_left(context: &Context, session: &Session) {
    let Ok(containers) = session.engine.containers(&session.stack.project).await else { return };
    let runs = containers.iter().filter(|one| matches!(one.state, ContainerState::Running(_)));
    let left: BTreeSet<&str> = runs.map(|one| one.service.as_str()).collect();
    if !left.is_empty() {
        let left = left.into_iter().collect::<Vec<_>>().join(", ");
        context
            .events
            .warning(format!("left running: {left}; `cargo xtask down` takes it away and keeps the data"));
    }
}

/// Why the stack is brought up again.
#[derive(Debug)]
enum Errand {
    Save(Burst),
    /// A key was pressed, then.
    Key(Asked, Instant),
}

impl Errand {
    /// What is wanted for it.
    fn wanted(&self, session: &Session, wanted: &Wanted) -> Wanted {
        match self {
            Self::Save(_) => wanted.clone(),
            Self::Key(Asked::Rebuild, _) => Wanted { rebuild: true, ..wanted.clone() },
            Self::Key(Asked::Restart, _) => {
                Wanted { recreate: built_here(session, wanted), ..wanted.clone() }
            }
        }
    }

    /// Whether it is of saves that came while another errand was on its way, which may have seen them already.
    fn was_gathered(&self, ended: Option<Instant>) -> bool {
        matches!(self, Self::Save(burst) if ended.is_some_and(|ended| burst.since <= ended))
    }

    /// What was saved and applies to nothing that runs.
    fn read_no_more<'a>(&self, session: &'a Session) -> BTreeSet<&'a PathBuf> {
        let Self::Save(burst) = self else { return BTreeSet::new() };
        let first = session.stack.services.values().flat_map(|service| &service.homeport.first_start);
        first.filter(|first| burst.paths.iter().any(|path| path.starts_with(first))).collect()
    }

    /// What is said at its good end. An empty plan has said by itself that there was nothing to do.
    fn told(&self, up: &BroughtUp) -> Option<String> {
        match &up.pace {
            Some(pace) => Some(self.paced(pace)),
            None => up.tried.then(|| "nothing to do: what was built is what serves".to_owned()),
        }
    }

    /// What is said of services that got ready beside what failed.
    fn told_despite(&self, reached: &Reached) -> String {
        let services: Vec<&str> = reached.services.iter().map(String::as_str).collect();
        format!("{}: {}, beside what failed", self.paced(&reached.pace), services.join(", "))
    }

    fn paced(&self, pace: &Pace) -> String {
        let (since, what) = match self {
            Self::Save(burst) => (burst.since, "saved to served"),
            Self::Key(Asked::Restart, since) => (*since, "restarted"),
            Self::Key(Asked::Rebuild, since) => (*since, "built and served"),
        };
        let took = crate::quantity::duration(pace.served.saturating_duration_since(since));
        format!("{what} in {took} ({pace})")
    }
}

/// The services that stay and whose programs are built here: what `r` restarts.
fn built_here(session: &Session, wanted: &Wanted) -> BTreeSet<ServiceName> {
    let scope = session.stack.with_dependencies(&wanted.services);
    let is_built = |service: &Service| service.homeport.package.is_some();
    let built =
        session.stack.services.iter().filter(|(name, service)| scope.contains(name) && is_built(service));
    built.filter(|(name, _)| !session.stack.is_one_shot(name)).map(|(name, _)| name.clone()).collect()
}

/// What a `dev` that stays has while it does.
struct Stay<'a> {
    context: &'a Context,
    wanted: &'a Wanted,
    reading: Reading,
    watch: Watch,
    keys: Keys,
    standing: Standing,
    /// When the last errand ended.
    ended: Option<Instant>,
}

impl Stay<'_> {
    /// Brings a save to where it runs, or does what a key asks for. A fault is shown and stays in view; the last good
    /// version goes on serving.
    async fn run(&mut self, session: &mut Session, errand: &Errand) {
        let Self { context, wanted, .. } = *self;
        let events = &context.events;
        if self.reading.is_due(context, errand) {
            match self.reading.again(context, session, wanted).await {
                Ok(()) => self.standing.read(events),
                // The stack that was read last goes on, and what else was saved is brought to it.
                Err(failure) => {
                    self.standing.unread(events, &failure);
                    session.says_nothing_twice = true;
                }
            }
        }
        if let Errand::Save(Burst { missed: Some(why), .. }) = errand {
            events.warning(format!("saves may have gone unnoticed ({why}): everything is looked at anew"));
            self.watch.forget();
        }
        for path in errand.read_no_more(session) {
            let path = context.project.relative(path).display();
            events.note(format!(
                "{path} is read at the first start only; `cargo xtask down --volumes` applies it, and deletes the data"
            ));
        }
        // Before the look that the plan is made of: what is saved after it is seen.
        self.follow(session);
        let brought_up = session.bring_up(&errand.wanted(session, wanted), Before::Ended).await;
        // Before anything is told: whoever saves because of that is not taken for somebody who saved meanwhile.
        self.ended = Some(Instant::now());
        match brought_up {
            Ok(up) => {
                session.fronts.explain(NOT_RUNNING);
                self.keys.know(&up.services, &built_here(session, wanted));
                self.standing.end_well(events, up.failure.as_ref());
                if let Some(told) = errand.told(&up).filter(|_| up.failure.is_none()) {
                    events.note(told);
                }
                if up.tried {
                    self.learn(session, false).await;
                }
            }
            Err(setback) if setback.is_interruption() => {}
            Err(setback) => {
                self.suffer(session, &setback).await;
                if let Some(reached) = &setback.reached {
                    events.note(errand.told_despite(reached));
                }
            }
        }
    }

    /// Shows what failed, and looks what runs all the same.
    async fn suffer(&mut self, session: &Session, setback: &Setback) {
        session.fronts.explain(&setback.message());
        self.standing.end_badly(&self.context.events, setback);
        // When the engine does not tell, that is told by whoever attends to it.
        if let Ok(services) = Box::pin(session.reports()).await {
            self.keys.know(&services, &built_here(session, self.wanted));
        }
        let is_build = |fault: &Fault| fault.failure.code == Code::BuildFailed;
        self.learn(session, setback.faults.iter().any(is_build)).await;
    }

    /// Watches what was built, too.
    async fn learn(&mut self, session: &Session, failed: bool) {
        self.watch.learn(session.sources(failed).await);
        self.follow(session);
    }

    /// Watches what the stack depends on now.
    fn follow(&mut self, session: &Session) {
        if let Err(failure) = self.watch.follow(&session.stack) {
            self.context.events.warning(failure.to_string());
        }
    }
}

/// What whoever asks for a service is told when it does not run and nothing is on its way.
const NOT_RUNNING: &str = "its container does not run; a save, or `r`, starts it again";

/// Stops what runs and keeps it: the next `dev` starts it again, `logs` shows what it said, `down` removes it. Ctrl-C
/// has fired already, so this runs to its end or to a second one.
async fn stop(session: &Session) -> Result<(), Failure> {
    session.fronts.close().await;
    session.leaving.give_up();
    let cancel = tokio_util::sync::CancellationToken::new();
    // A person who has asked for the end waits for no command.
    let ending = Session { cancel, waits_for_database: false, ..session.clone() };
    ending.stop().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn saves_that_came_meanwhile_were_gathered() {
        let since = Instant::now();
        let later = since + std::time::Duration::from_secs(1);
        let saved = |since| Errand::Save(Burst { paths: BTreeSet::new(), since, missed: None });
        let save = saved(since);
        assert!(!save.was_gathered(None), "nothing was on its way");
        assert!(save.was_gathered(Some(later)));
        let afterwards = saved(later);
        assert!(!afterwards.was_gathered(Some(since)));
        assert!(!Errand::Key(Asked::Rebuild, since).was_gathered(Some(later)), "a person waits for a word");
    }
}
