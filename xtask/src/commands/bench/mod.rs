//! `cargo xtask bench`: the budgets, each measured side by side with what a user would pick instead, in one run.
//!
//! One file a group of budgets. What a contender needs and this machine does not have is told as not measured.

mod checkout;
mod cluster;
mod fresh;
mod load;
mod save;
mod service;
mod stack;

use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::Serialize;

use super::{Context, write_with_directories};
use crate::bench::{self, Entry, Facts, Seen, Verdict, Work};
use crate::checklist::Checklist;
use crate::cli::{self, Group};
use crate::event::StepReporter;
use crate::failure::{Code, Failure};
use crate::limits;
use crate::process::{ProcessError, Program};
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

/// Runs `bench`.
///
/// # Errors
/// [`Code::ChecksFailed`] with `--gate`, when a budget is missed that does not depend on how fast the machine is, or could
/// not be measured; [`Code::Interrupted`] at Ctrl-C.
pub async fn run(context: &Context, arguments: &cli::Bench) -> Result<(), Failure> {
    let mut groups = if arguments.groups.is_empty() { Group::ALL.to_vec() } else { arguments.groups.clone() };
    groups.sort();
    groups.dedup();
    let titles = groups.iter().map(|group| format!("measure {}", group.title())).collect();
    let mut checklist = Checklist::announce(&context.events, &context.cancel, titles);
    let scratch = context.project.scratch().join("bench");
    let mut entries = Vec::new();
    let not = |group: Group, why: &str| -> Vec<Entry> {
        works(group).iter().map(|&work| Entry::not_measured(work, why)).collect()
    };
    if arguments.write {
        // The page has every budget.
        let others = Group::ALL.into_iter().filter(|group| !groups.contains(group));
        entries.extend(others.flat_map(|group| not(group, "not asked for in this run")));
    }
    for group in groups {
        let measured = checklist
            .step(async |reporter| {
                let runs = usize::try_from(arguments.runs).unwrap_or(1);
                let bench = Bench { context, scratch: scratch.clone(), runs, reporter };
                let measured = bench.group(group).await;
                Ok((measured.clone(), measured.err()))
            })
            .await?;
        entries.extend(measured.unwrap_or_else(|why| not(group, &why)));
    }
    entries.sort_by_key(|entry| entry.work);
    let results = Results { facts: facts(context).await, entries };
    results.write(context, arguments.write)?;
    context.answer(&results)?;
    if arguments.gate { results.gate() } else { Ok(()) }
}

/// The budgets that a group measures.
const fn works(group: Group) -> &'static [Work] {
    match group {
        Group::Stack => &[Work::NothingToDo, Work::NothingToDoWithCargo, Work::Cold, Work::Down],
        Group::Save => &[Work::Save, Work::SaveAgainstWatch],
        Group::Service => &[Work::Hello, Work::Visitors, Work::Insert, Work::Memory, Work::MemoryLargeBodies],
        Group::Cluster => &[Work::Deploy],
        Group::Fresh => &[Work::Image, Work::Help],
    }
}

impl Bench<'_> {
    async fn group(&self, group: Group) -> Result<Vec<Entry>, NotMeasured> {
        std::fs::create_dir_all(&self.scratch).map_err(|error| error.to_string())?;
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

/// Copies a directory with all that is in it.
fn copy_directory(from: &Path, to: &Path) -> Result<(), NotMeasured> {
    let failed = |error: std::io::Error| format!("cannot copy {}: {error}", from.display());
    std::fs::create_dir_all(to).map_err(failed)?;
    for entry in std::fs::read_dir(from).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let target = to.join(entry.file_name());
        if entry.file_type().map_err(failed)?.is_dir() {
            copy_directory(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target).map_err(failed)?;
        }
    }
    Ok(())
}

impl Results {
    fn write(&self, context: &Context, page: bool) -> Result<(), Failure> {
        let failed = |path: &Path, error: std::io::Error| {
            Failure::new(Code::Internal, format!("cannot write {}: {error}", path.display()))
        };
        let path = context.project.scratch().join("bench.json");
        let json = serde_json::to_string_pretty(self).unwrap_or_default();
        write_with_directories(&path, &json).map_err(|error| failed(&path, error))?;
        if page {
            let path = context.project.root().join(PAGE);
            let before = std::fs::read_to_string(&path).unwrap_or_default();
            let text = bench::markdown(&self.entries, &self.facts) + bench::remarks(&before);
            std::fs::write(&path, text).map_err(|error| failed(&path, error))?;
        }
        Ok(())
    }

    fn gate(&self) -> Result<(), Failure> {
        let missed = self.entries.iter().filter(|entry| entry.closes_the_gate());
        let unknown = self.entries.iter().filter(|entry| matches!(entry.seen, Seen::NotMeasured { .. }));
        let details: Vec<String> = missed
            .map(|entry| format!("missed: {}", entry.work.budget().work))
            .chain(unknown.map(|entry| format!("not measured: {}", entry.work.budget().work)))
            .collect();
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
async fn facts(context: &Context) -> Facts {
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
        fact("commit", &asked(program("git").args(["log", "-1", "--format=%h of %cs"])).await),
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
