//! `cargo xtask bench`: the budgets, each measured side by side with what a user would pick instead, in one run.
//!
//! One file a group of budgets. What a contender needs and this machine does not have is told as not measured.

mod checkout;
mod cluster;
mod fresh;
mod leftovers;
mod load;
mod save;
mod service;
mod stack;

use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::Serialize;

use super::{Context, write_with_directories};
use crate::bench::{self, Commit, Entry, Facts, Verdict, Work};
use crate::checklist::Checklist;
use crate::cli::{self, Group};
use crate::event::StepReporter;
use crate::failure::{Code, Failure};
use crate::interrupt;
use crate::limits;
use crate::process::{ProcessError, Program};
use crate::project::Project;
use crate::ui::{Answer, Cell, Role, Style, Table};

/// The page that `--write` writes, below the checkout's top.
const PAGE: &str = "BENCHMARKS.md";

/// The project of everything that is measured: its containers, volumes and images.
const PROJECT: &str = "homeport-bench";

/// Why a group could not be measured, in words for a person.
type NotMeasured = String;

/// What every group is given.
struct Bench<'a> {
    context: &'a Context,
    /// Where checkouts, images and programs of the contenders are made.
    scratch: PathBuf,
    runs: usize,
    reporter: &'a StepReporter,
}

/// What was measured, as it is printed and written.
#[derive(Debug, Serialize)]
struct Results {
    facts: Facts,
    entries: Vec<Entry>,
}

/// Runs `bench`. Ctrl-C removes what it has made, within a bound.
///
/// # Errors
/// [`Code::ChecksFailed`] with `--gate`, when a budget is missed that does not depend on how fast the machine is, or could
/// not be measured, and with `--write`, when no commit is what was measured; [`Code::Interrupted`] at Ctrl-C.
pub async fn run(context: &Context, arguments: &cli::Bench) -> Result<(), Failure> {
    let commit = commit(context).await?;
    if arguments.write
        && let Some(why) = commit.is_not_what_was_measured(&commit)
    {
        return Err(not_written(&why));
    }
    let groups = chosen(arguments);
    let titles = groups.iter().map(|group| format!("measure {}", group.title())).collect();
    let mut checklist = Checklist::announce(&context.events, &context.cancel, titles);
    let scratch = context.project.scratch().join("bench");
    let mut entries = Vec::new();
    if arguments.write {
        // The page has every budget.
        let others = Group::ALL.into_iter().filter(|group| !groups.contains(group));
        let unasked = |group| bench::complete(works(group), Err("not asked for in this run".to_owned()));
        entries.extend(others.flat_map(unasked));
    }
    for group in groups {
        let measured = checklist
            .step(async |reporter| {
                let runs = usize::try_from(arguments.runs).unwrap_or(1);
                let bench = Bench { context, scratch: scratch.clone(), runs, reporter };
                let measured = bench.group(group).await;
                Ok((measured.clone(), measured.err()))
            })
            .await;
        match measured {
            Ok(measured) => entries.extend(bench::complete(works(group), measured)),
            Err(stopped) => {
                context.events.note("what was made is being removed; a second Ctrl-C leaves it");
                let leftovers = leftovers::of(group, context.project.root(), &scratch);
                let left = leftovers::remove(&leftovers, context.project.root()).await;
                return Err(stopped.details(left));
            }
        }
    }
    entries.sort_by_key(|entry| entry.work);
    let now = self::commit(context).await?;
    let results = Results { facts: facts(&commit, &now, context).await, entries };
    results.keep(context)?;
    context.answer(&results)?;
    if arguments.write {
        if let Some(why) = commit.is_not_what_was_measured(&now) {
            return Err(not_written(&why));
        }
        results.write(context)?;
    }
    if arguments.gate { results.gate() } else { Ok(()) }
}

/// What is told when a second Ctrl-C ends it at once: what is left, and the commands that remove it.
pub fn last_words(project: &Project, arguments: &cli::Bench) -> Failure {
    let scratch = project.scratch().join("bench");
    let mut commands: Vec<String> = Vec::new();
    for leftover in
        chosen(arguments).into_iter().flat_map(|group| leftovers::of(group, project.root(), &scratch))
    {
        let command = leftover.command();
        if !commands.contains(&command) {
            commands.push(command);
        }
    }
    let next = format!(
        "the next `cargo xtask bench` of the same groups removes it, or now: {}",
        commands.join(", ")
    );
    interrupt::stopped_at_once("what was being measured may run on", &next)
}

/// The groups that are asked for, in their order.
fn chosen(arguments: &cli::Bench) -> Vec<Group> {
    let mut groups = if arguments.groups.is_empty() { Group::ALL.to_vec() } else { arguments.groups.clone() };
    groups.sort();
    groups.dedup();
    groups
}

/// The page names the commit that was measured.
fn not_written(why: &str) -> Failure {
    Failure::new(Code::ChecksFailed, format!("{PAGE} is not written, because it names the commit: {why}"))
        .hint("commit or stash the changes, or leave out `--write`")
}

/// What is checked out. The page itself is no part of what is measured.
async fn commit(context: &Context) -> Result<Commit, Failure> {
    let git = |words: &[&str]| program("git").directory(context.project.root()).args(words.iter().copied());
    let untold = |why: String| {
        Failure::new(Code::ChecksFailed, format!("git does not say what is checked out: {why}"))
            .hint("figures are those of a commit: `git status` shows what is wrong")
    };
    let name = output(&git(&["log", "-1", "--format=%h of %cs"])).await.map_err(untold)?;
    let status = git(&["status", "--porcelain", "--", ".", &format!(":(exclude){PAGE}")]);
    let status = status.output().await.map_err(|error| untold(error.to_string()))?;
    Ok(Commit::new(&name, &status))
}

/// The budgets that a group measures.
const fn works(group: Group) -> &'static [Work] {
    match group {
        Group::Stack => &[Work::NothingToDo, Work::NothingToDoWithCargo, Work::Cold, Work::Down],
        Group::Save => &[Work::Save, Work::SaveAgainstWatch],
        Group::Service => &[Work::Hello, Work::Visitors, Work::Insert, Work::Memory, Work::MemoryLargeBodies],
        Group::Cluster => &[Work::Deploy, Work::DeploySameRoom],
        Group::Fresh => &[Work::Image, Work::Help],
    }
}

impl Bench<'_> {
    /// Measures a group. Whatever comes of it, nothing that it has made is left but the image of its stack, which the next
    /// run begins with; nor is it disturbed by what a run that was killed has left, whose data has other passwords.
    async fn group(&self, group: Group) -> Result<Vec<Entry>, NotMeasured> {
        if group != Group::Fresh {
            // Without an engine nothing is left either, and could not be removed.
            output(&program("docker").args(["version", "--format", "{{.Server.Version}}"])).await?;
        }
        std::fs::create_dir_all(&self.scratch).map_err(|error| error.to_string())?;
        let leftovers = leftovers::of(group, self.root(), &self.scratch);
        let left = leftovers::remove(&leftovers, self.root()).await;
        if !left.is_empty() {
            return Err(format!("what an earlier run has left cannot be removed: {}", left.join("; ")));
        }
        let measured = self.measured(group).await;
        for left in leftovers::remove(&leftovers, self.root()).await {
            self.context.events.warning(left);
        }
        measured
    }

    async fn measured(&self, group: Group) -> Result<Vec<Entry>, NotMeasured> {
        match group {
            Group::Stack => stack::measure(self).await,
            Group::Save => save::measure(self).await,
            Group::Service => service::measure(self).await,
            Group::Cluster => cluster::measure(self).await,
            Group::Fresh => fresh::measure(self).await,
        }
    }

    fn root(&self) -> &Path {
        self.context.project.root()
    }

    fn say(&self, text: impl Into<String>) {
        self.reporter.message(text.into());
    }
}

/// This program, in a checkout.
fn xtask(root: &Path) -> Result<Program, NotMeasured> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    // Outside of cargo, which has said where another checkout is.
    Ok(Program::new(program, limits::BENCHED)
        .directory(root)
        .outside_cargo()
        .env("HOMEPORT_PROJECT", PROJECT))
}

/// The cargo that runs this program, in a checkout.
fn cargo(root: &Path) -> Program {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    Program::new(cargo, limits::BENCHED).directory(root).outside_cargo()
}

/// A program of a contender.
fn program(name: &str) -> Program {
    Program::new(name, limits::BENCHED)
}

/// Runs a program and returns its seconds.
async fn timed(program: &Program) -> Result<f64, NotMeasured> {
    let begun = Instant::now();
    quiet(program).await?;
    Ok(begun.elapsed().as_secs_f64())
}

/// Runs a program whose output nobody needs.
async fn quiet(program: &Program) -> Result<(), NotMeasured> {
    program.run(|_, _| ()).await.map_err(|error| told(&error))
}

/// Runs a program and returns what it writes to standard output.
async fn output(program: &Program) -> Result<String, NotMeasured> {
    program.output().await.map(|output| output.trim().to_owned()).map_err(|error| told(&error))
}

/// What failed, with the last thing the program said.
fn told(error: &ProcessError) -> NotMeasured {
    match error {
        ProcessError::Failed { stderr, .. } => match stderr.iter().rfind(|line| !line.trim().is_empty()) {
            Some(last) => format!("{error}: {}", last.trim()),
            None => error.to_string(),
        },
        _ => error.to_string(),
    }
}

/// A port of the loopback address that nobody has now.
fn free_port() -> Result<u16, NotMeasured> {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).map_err(|error| error.to_string())?;
    Ok(listener.local_addr().map_err(|error| error.to_string())?.port())
}

/// Copies a directory with all that is in it. A file that says the same stays as it is: cargo looks at its time.
fn copy_directory(from: &Path, to: &Path) -> Result<(), NotMeasured> {
    let failed = |error: std::io::Error| format!("cannot copy {}: {error}", from.display());
    std::fs::create_dir_all(to).map_err(failed)?;
    for entry in std::fs::read_dir(from).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let target = to.join(entry.file_name());
        if entry.file_type().map_err(failed)?.is_dir() {
            copy_directory(&entry.path(), &target)?;
        } else if std::fs::read(&target).ok() != Some(std::fs::read(entry.path()).map_err(failed)?) {
            std::fs::copy(entry.path(), target).map_err(failed)?;
        }
    }
    Ok(())
}

fn cannot_write(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(Code::Internal, format!("cannot write {}: {error}", path.display()))
}

impl Results {
    /// For programs, in the scratch directory.
    fn keep(&self, context: &Context) -> Result<(), Failure> {
        let path = context.project.scratch().join("bench.json");
        let json = serde_json::to_string_pretty(self).unwrap_or_default();
        write_with_directories(&path, &json).map_err(|error| cannot_write(&path, &error))
    }

    /// For people, as the page.
    fn write(&self, context: &Context) -> Result<(), Failure> {
        let path = context.project.root().join(PAGE);
        let before = std::fs::read_to_string(&path).unwrap_or_default();
        let text = bench::markdown(&self.entries, &self.facts) + bench::remarks(&before);
        std::fs::write(&path, text).map_err(|error| cannot_write(&path, &error))
    }

    fn gate(&self) -> Result<(), Failure> {
        let details: Vec<String> = self.entries.iter().filter_map(Entry::closes_the_gate).collect();
        if details.is_empty() {
            return Ok(());
        }
        Err(Failure::new(Code::ChecksFailed, "the gate of the budgets is closed").details(details))
    }
}

impl Answer for Results {
    fn human(&self, style: Style, columns: Option<usize>) -> Vec<String> {
        let mut table = Table::new(["WORK", "OURS", "AGAINST", "", "FIGURE", "BUDGET", ""]);
        for entry in &self.entries {
            let row = bench::row(entry);
            let role = match entry.verdict() {
                Some(Verdict::Met) => Role::Good,
                Some(Verdict::Missed) => Role::Bad,
                None => Role::Caution,
            };
            let [work, ours, against, theirs, figure, budget, verdict] = row;
            table.row([
                Cell::plain(work),
                Cell::plain(ours),
                Cell::plain(against),
                Cell::plain(theirs),
                Cell::new(Role::Strong, figure),
                Cell::plain(budget),
                Cell::new(role, verdict),
            ]);
        }
        table.lines(style, columns)
    }
}

/// What the figures depend on besides this project.
async fn facts(commit: &Commit, now: &Commit, context: &Context) -> Facts {
    let root = context.project.root();
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let memory = memory.lines().find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB"));
    let memory = memory
        .and_then(|number| number.parse::<u64>().ok())
        .map(|number| crate::quantity::bytes(number * 1024));
    let asked =
        async |program: Program| output(&program.directory(root)).await.unwrap_or_else(|_| "none".to_owned());
    let docker = |words: &[&str]| program("docker").args(words.iter().copied());
    let fact = |name: &str, value: &str| {
        (name.to_owned(), value.trim_start_matches([':', ' ', '\t']).trim().to_owned())
    };
    Facts(vec![
        fact("processor", model),
        fact("cores", &cores.to_string()),
        fact("memory", &memory.unwrap_or_default()),
        fact("system", &asked(program("uname").arg("-sr")).await),
        fact("engine", &asked(docker(&["version", "--format", "{{.Server.Version}}"])).await),
        fact("Compose", &asked(docker(&["compose", "version", "--short"])).await),
        fact("kind", &asked(program("kind").arg("version")).await),
        fact("compiler", &asked(program("rustc").arg("--version")).await),
        fact("commit", &commit.told_with(now)),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_budget_is_measured_by_one_group() {
        let mut measured: Vec<Work> = Group::ALL.into_iter().flat_map(works).copied().collect();
        measured.sort();
        assert_eq!(measured, Work::ALL);
    }
}
