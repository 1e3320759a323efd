//! What each stage of the pipeline does: the commands that a person would type, one after the other.
//!
//! Must not: know which other stages run.

use std::collections::BTreeSet;

use crate::cli::{self, Check, Stage};
use crate::commands::{Context, cluster, dev, down, image, lint, push, scan, test};
use crate::doctor::Need;
use crate::failure::{Code, Failure};
use crate::pipeline;
use crate::session::Session;
use crate::stack::ServiceName;

/// The variable that names the context of the kubeconfig to deploy to; the kind cluster when it is not set.
const CONTEXT_VARIABLE: &str = "HOMEPORT_CONTEXT";

/// The variable with the optional services that a pipeline's stack goes without, separated by commas: an image that did not
/// come once is not to be told from one that never was there.
const WITHOUT_VARIABLE: &str = "HOMEPORT_STACK_WITHOUT";

/// How a stage ended that did not fail.
#[derive(Debug)]
pub(super) enum Ran {
    /// All is well.
    Passed,
    /// It could not be run, and why.
    NotRun(String),
}

/// The commands whose needs of the machine a stage has.
pub(super) const fn machine(stage: Stage) -> &'static [Need] {
    match stage {
        Stage::Lint => &[Need::Dev, Need::Lint],
        Stage::Security => &[Need::Scan],
        Stage::Test | Stage::Coverage => &[Need::Test],
        Stage::Deploy | Stage::Verify => &[Need::DeployKind],
        Stage::Stack | Stage::Build | Stage::Push => &[Need::Dev],
    }
}

/// What a stage is told of the run that it is a part of.
#[derive(Debug, Clone, Default)]
pub(super) struct Run {
    /// Whether what is missing may be installed.
    pub(super) fix: bool,
    /// The stages that have passed before.
    pub(super) passed: Vec<Stage>,
}

/// Runs a stage.
pub(super) async fn perform(context: &Context, stage: Stage, run: &Run) -> Result<Ran, Failure> {
    let ran = match stage {
        Stage::Lint => lint::run(context).await,
        Stage::Security => scanned(context, &Check::OF_SOURCES).await,
        Stage::Test => tested(context, None).await,
        Stage::Coverage => tested(context, Some(run.fix)).await,
        Stage::Stack => Box::pin(stack(context)).await,
        Stage::Build => {
            let arguments = cli::ImageBuild::default();
            image::run(context, &cli::Image::Build(arguments)).await?;
            scanned(context, &Check::OF_IMAGE).await
        }
        Stage::Push if push::named_by_environment().is_none() => {
            return Ok(Ran::NotRun(format!("{} names no repository", push::REPOSITORY_VARIABLE)));
        }
        Stage::Push => push::run(context, &cli::Push::default()).await,
        Stage::Deploy => deploy(context, &run.passed).await,
        Stage::Verify => cluster::verify(context, named_context().as_deref()).await,
    };
    ran.map(|()| Ran::Passed)
}

/// All tests; or, with whether what measures may be installed, how far they reach.
async fn tested(context: &Context, coverage: Option<bool>) -> Result<(), Failure> {
    let (coverage, fix) = (coverage.is_some(), coverage == Some(true));
    let arguments = cli::Test { suite: None, filter: None, coverage, fix, offline: false };
    test::run(context, &arguments).await
}

async fn scanned(context: &Context, checks: &[Check]) -> Result<(), Failure> {
    scan::run(context, &cli::Scan { checks: checks.to_vec(), ..cli::Scan::default() }).await
}

/// Brings the stack up from nothing and takes it away, with its data; so not one that somebody has.
async fn stack(context: &Context) -> Result<(), Failure> {
    let (session, _) = context.session_as_found(false).await?;
    let project = &session.stack.project;
    if !session.engine.observe(project).await?.is_empty() {
        let message =
            format!("the stage `stack` removes all data at its end, and the project {project} is there");
        return Err(Failure::new(Code::ProjectBusy, message).hint(
            "`cargo xtask down --volumes` removes it now, or `HOMEPORT_PROJECT=NAME` with free ports runs the stage beside it",
        ));
    }
    let arguments = cli::Dev { detach: true, ..cli::Dev::default() };
    let up = dev::run(context, &arguments).await;
    let there = session.engine.observe(project).await;
    let gone = down::run(context, &cli::Down { volumes: true, verify: true }).await;
    up.and(gone)?;
    let there: BTreeSet<ServiceName> = there?.containers.into_iter().map(|seen| seen.service).collect();
    let accepted = std::env::var(WITHOUT_VARIABLE).unwrap_or_default();
    let missing = left_out(session.stack.services.keys(), &there, &accepted);
    if pipeline::is_here() && !missing.is_empty() {
        return Err(incomplete(&missing));
    }
    Ok(())
}

/// The services that did not run because nobody has their images, and that nobody has answered for.
fn left_out<'a>(
    wanted: impl Iterator<Item = &'a ServiceName>,
    there: &BTreeSet<ServiceName>,
    accepted: &str,
) -> Vec<String> {
    let accepted: Vec<&str> = accepted.split(',').map(str::trim).collect();
    let names = wanted.filter(|name| !there.contains(*name));
    names.map(ToString::to_string).filter(|name| !accepted.contains(&name.as_str())).collect()
}

fn incomplete(names: &[String]) -> Failure {
    let names = names.join(", ");
    let message = format!("not everything of the stack was run: nobody has the image of {names}");
    Failure::new(Code::ImageUnavailable, message)
        .hint(format!("run it again; {WITHOUT_VARIABLE}={names} accepts that this site goes without"))
}

/// The context that the environment names; an empty variable names none.
fn named_context() -> Option<String> {
    std::env::var(CONTEXT_VARIABLE).ok().filter(|context| !context.is_empty())
}

/// A cluster that is named pulls what was pushed, by its digest. The kind cluster is sent the engine's image, which must be
/// the one that was pushed where something was.
async fn deploy(context: &Context, passed: &[Stage]) -> Result<(), Failure> {
    let push = push_of(passed);
    if let Some(name) = named_context() {
        let pushed = push::pushed(context).await?.ok_or_else(|| push::nothing_pushed(&name))?;
        match push {
            Push::Here => {}
            Push::Before => context.events.note(format!("pushed before this run: {}", pushed.by_digest())),
            Push::Unrelated => {
                let (session, _) = context.session_as_found(false).await?;
                pushed.is_held(&session.engine, &built(&session)?).await?;
            }
        }
        return cluster::deploy_by_context(context, &name, &pushed.by_digest()).await;
    }
    let (session, _) = context.session_as_found(false).await?;
    let mut image = built(&session)?;
    if push != Push::Unrelated
        && let Some(pushed) = push::pushed(context).await?
    {
        pushed.is_held(&session.engine, &image).await?;
        image = pushed.image;
    }
    cluster::deploy(context, &image).await
}

/// What was last pushed, as seen from this run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Push {
    /// It is this run's.
    Here,
    /// It is an earlier run's, and so is the image.
    Before,
    /// This run has built an image and not pushed it.
    Unrelated,
}

fn push_of(passed: &[Stage]) -> Push {
    match (passed.contains(&Stage::Build), passed.contains(&Stage::Push)) {
        (_, true) => Push::Here,
        (false, false) => Push::Before,
        (true, false) => Push::Unrelated,
    }
}

/// The release image as `image build` names it.
fn built(session: &Session) -> Result<String, Failure> {
    let made = image::identity::made_here(&session.stack)?;
    Ok(format!("{}:{}", made.repository, image::identity::VERSION))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_stack_went_without_is_named_unless_it_is_accepted() {
        let names = ["web", "grafana", "exporter"].map(ServiceName::new);
        let there = BTreeSet::from([ServiceName::new("web")]);
        assert_eq!(left_out(names.iter(), &there, ""), ["grafana", "exporter"]);
        assert_eq!(left_out(names.iter(), &there, "grafana, other"), ["exporter"]);
        assert_eq!(left_out(names.iter(), &names.clone().into(), ""), Vec::<String>::new());
        assert!(incomplete(&["grafana".to_owned()]).hint.is_some_and(|hint| hint.contains("=grafana")));
    }

    #[test]
    fn what_was_pushed_before_is_told_from_what_this_run_has_built() {
        let table: [(&[Stage], Push); 4] = [
            (&[], Push::Before),
            (&[Stage::Lint], Push::Before),
            (&[Stage::Build, Stage::Push], Push::Here),
            (&[Stage::Build], Push::Unrelated),
        ];
        for (passed, expected) in table {
            assert_eq!(push_of(passed), expected, "{passed:?}");
        }
    }
}
