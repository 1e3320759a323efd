//! Tools that only some commands need: named with the command that installs them, and installed when that is asked for.

use super::Context;
use crate::checklist::Checklist;
use crate::failure::{Code, Failure};
use crate::limits;
use crate::process::Program;

/// Something to install.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tool {
    /// Its name.
    pub name: &'static str,
    /// The program that installs it, and its arguments.
    pub command: &'static [&'static str],
}

impl Tool {
    fn line(&self) -> String {
        self.command.join(" ")
    }
}

/// Installs what is missing where `fix` says so, after saying how; otherwise it is a failure. `fixing` is the command that
/// would.
pub(super) async fn need(
    context: &Context,
    what_for: &str,
    fixing: &str,
    missing: &[Tool],
    fix: bool,
) -> Result<(), Failure> {
    if missing.is_empty() || fix {
        return install(context, missing).await;
    }
    let names: Vec<&str> = missing.iter().map(|tool| tool.name).collect();
    let message = format!("{what_for} needs {}, which is not installed", names.join(" and "));
    Err(Failure::new(Code::ProgramMissing, message)
        .details(missing.iter().map(Tool::line))
        .hint(format!("run what stands above, or {fixing}, which does")))
}

async fn install(context: &Context, tools: &[Tool]) -> Result<(), Failure> {
    if tools.is_empty() {
        return Ok(());
    }
    let titles = tools.iter().map(|tool| format!("install {}", tool.name)).collect();
    let mut checklist = Checklist::announce(&context.events, &context.cancel, titles);
    for tool in tools {
        context.events.note(format!("will run: {}", tool.line()));
    }
    for tool in tools {
        checklist
            .step(async |reporter| {
                let program = Program::new(tool.command[0], limits::CHECK)
                    .args(&tool.command[1..])
                    .directory(context.project.root());
                let ended = program.run(|_, line| reporter.output(tool.command[0], line)).await;
                ended.map_err(|error| {
                    let message = format!("cannot install {}: {error}", tool.name);
                    Failure::new(Code::ProgramMissing, message)
                        .hint(format!("run it yourself: {}", tool.line()))
                })?;
                Ok(((), None))
            })
            .await?;
    }
    Ok(())
}
