//! Events as plain lines: for pipes and CI, where nothing can be redrawn. One line an event worth telling, nothing that
//! a terminal would obey, progress only now and then.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::time::{Duration, Instant};

use super::names::Names;
use super::results;
use super::screen::{Moment, Renderer, Settings, Streams};
use super::style::{Role, Style, sanitize};
use super::words::{self, Ending};
use super::{log_line, write_lines};
use crate::event::{Event, PlannedStep, Progress, StageOutcome, StepId};
use crate::quantity;

/// How often at most the progress of one step is told. Long enough that a log of a ten-minute pull has some hundred
/// lines, short enough that no CI service takes the job for dead.
const PROGRESS_PAUSE: Duration = Duration::from_secs(5);

/// A step under way.
struct Running {
    title: String,
    told_at: Instant,
    told: Option<String>,
}

/// Writes lines.
pub(super) struct PlainRenderer {
    settings: Settings,
    streams: Streams,
    running: BTreeMap<StepId, Running>,
    names: Names,
    /// The only service whose logs are shown.
    only: Option<String>,
}

impl PlainRenderer {
    pub(super) fn new(settings: Settings, streams: Streams) -> Self {
        let names = Names::new(&settings.services);
        Self { settings, streams, running: BTreeMap::new(), names, only: None }
    }

    fn style(&self) -> Style {
        self.settings.terminal.stderr_style
    }

    fn data_style(&self) -> Style {
        let terminal = self.settings.terminal;
        if self.settings.data_on_stdout { terminal.stdout_style } else { terminal.stderr_style }
    }

    /// The width that data is fitted to.
    fn data_columns(&self) -> Option<usize> {
        let terminal = self.settings.terminal;
        let is_terminal = if self.settings.data_on_stdout {
            terminal.stdout_is_terminal
        } else {
            terminal.stderr_is_terminal
        };
        terminal.columns.filter(|_| is_terminal)
    }

    /// Lines of data: to standard output when the command answers with it.
    fn data(&mut self, lines: &[String]) -> io::Result<()> {
        let to = if self.settings.data_on_stdout { &mut self.streams.out } else { &mut self.streams.err };
        write_lines(to, lines)
    }

    fn line(&mut self, line: &str) -> io::Result<()> {
        let line = sanitize(line, self.style().is_coloured());
        write_lines(&mut self.streams.err, &[line])
    }

    fn labelled(&mut self, role: Role, label: &str, text: &str) -> io::Result<()> {
        let label = self.style().paint(role, &format!("{label}:"));
        let text = sanitize(text, false);
        self.line(&format!("{label} {text}"))
    }

    fn planned(&mut self, steps: &[PlannedStep]) -> io::Result<()> {
        self.labelled(Role::Strong, "plan", &words::planned(steps.len()))?;
        for PlannedStep { step, title, cause, .. } in steps {
            self.line(&format!("{:>5}  {title} ({cause})", step.0))?;
        }
        Ok(())
    }

    fn progress(&mut self, step: StepId, progress: &Progress, now: Instant) -> io::Result<()> {
        let Some(running) = self.running.get_mut(&step) else { return Ok(()) };
        if now.duration_since(running.told_at) < PROGRESS_PAUSE {
            return Ok(());
        }
        let text = progress_text(progress);
        if running.told.as_ref() == Some(&text) {
            return Ok(());
        }
        running.told_at = now;
        running.told = Some(text.clone());
        let line = format!("{:<9}  {}: {text}", "...", running.title);
        self.line(&line)
    }

    fn finished(&mut self, title: &str, ending: &Ending<'_>, took: Duration) -> io::Result<()> {
        let word = self.style().paint(ending.role, &format!("{:<9}", ending.word));
        let took = if took.is_zero() { String::new() } else { format!(" {}", quantity::duration(took)) };
        let remark = ending.remark.as_deref().map(|remark| format!(" ({remark})")).unwrap_or_default();
        let message = ending.message.map(|message| format!(": {message}")).unwrap_or_default();
        self.line(&format!("{word}  {title}{took}{remark}{message}"))
    }

    fn stage_finished(&mut self, stage: &str, outcome: &StageOutcome, took: Duration) -> io::Result<()> {
        let (_, word, role, remark) = words::stage_ending(outcome);
        let took = quantity::duration(took);
        let remark = remark.map(|remark| format!(": {remark}")).unwrap_or_default();
        if self.settings.terminal.workflow_commands {
            self.line("::endgroup::")?;
            if matches!(outcome, StageOutcome::Failed { .. } | StageOutcome::NotRun { .. }) {
                let text = words::workflow_data(&format!("stage {stage} {word}{remark}"));
                self.line(&format!("::error title=stage {}::{text}", words::workflow_data(stage)))?;
            }
        }
        let word = self.style().paint(role, word);
        self.line(&format!("stage {stage} {word} {took}{remark}"))
    }

    fn log(&mut self, service: &str, line: &str) -> io::Result<()> {
        if self.only.as_ref().is_some_and(|only| only != service) {
            return Ok(());
        }
        if self.settings.hides_probes && self.settings.is_pretty() && log_line::is_good_probe(line) {
            return Ok(());
        }
        let style = self.data_style();
        let prefix =
            if self.settings.log_names { self.names.prefix(service, "|", style) } else { String::new() };
        let pretty = if self.settings.is_pretty() { log_line::pretty(line, style) } else { None };
        let raw = self.settings.data_on_stdout && !self.settings.terminal.stdout_is_terminal;
        let text = pretty.unwrap_or_else(|| {
            // A program that reads a log from a pipe gets what was written.
            if raw { line.to_owned() } else { sanitize(line, style.is_coloured()) }
        });
        self.data(&[format!("{prefix}{text}")])
    }
}

impl Renderer for PlainRenderer {
    fn show(&mut self, event: &Event, at: Moment) -> io::Result<()> {
        for service in words::services_of(event) {
            self.names.meet(service);
        }
        match event {
            Event::RunStarted { command, directory } => {
                self.line(&format!("cargo xtask {command} (in {directory})"))
            }
            Event::Planned { steps } => self.planned(steps),
            Event::StepStarted { step, title, .. } => {
                let running = Running { title: title.clone(), told_at: at.instant, told: None };
                self.running.insert(*step, running);
                self.line(&format!("{:<9}  {title}", "start"))
            }
            Event::StepProgress { step, progress } => self.progress(*step, progress, at.instant),
            Event::StepFinished { step, title, outcome, took } => {
                self.running.remove(step);
                self.finished(title, &Ending::of(title, outcome), *took)
            }
            Event::StageStarted { stage } if self.settings.terminal.workflow_commands => {
                self.line(&format!("::group::stage {}", words::workflow_data(stage)))
            }
            Event::StageStarted { stage } => self.labelled(Role::Strong, "stage", stage),
            Event::StageFinished { stage, outcome, took } => self.stage_finished(stage, outcome, *took),
            Event::Note { text } => self.labelled(Role::Strong, "note", text),
            Event::Warning { text } => self.labelled(Role::Caution, "warning", text),
            // A builder says hundreds of lines: a failure carries the last of them, the run log has all.
            Event::Output { step: Some(step), .. } if self.running.contains_key(step) => Ok(()),
            Event::Output { source, line, .. } => self.line(&format!("{source} | {line}")),
            Event::Log { service, line, .. } => self.log(service, line),
            // Its steps have told.
            Event::TakenDown { .. } => Ok(()),
            Event::LogsNarrowed { to } => {
                self.only.clone_from(to);
                match to {
                    Some(service) => {
                        self.labelled(Role::Strong, "note", &format!("{service}{}", words::NARROWED))
                    }
                    None => self.labelled(Role::Strong, "note", words::NARROWED_TO_ALL),
                }
            }
            Event::Summary { .. }
            | Event::StartProfiled { .. }
            | Event::LastMinute { .. }
            | Event::Diagnosis { .. }
            | Event::Tested { .. }
            | Event::Covered { .. } => {
                let lines = results::told(event, self.data_style(), self.data_columns());
                self.data(&lines)
            }
            Event::Answered { lines, .. } => write_lines(&mut self.streams.out, lines),
            Event::Problem { about, lines } => {
                self.labelled(Role::Bad, "problem", about)?;
                lines.iter().try_for_each(|line| self.line(&format!("    {line}")))
            }
            Event::ProblemSolved { about } => self.labelled(Role::Good, "solved", about),
            Event::Failed { code, message, details, hint, .. } => {
                let lines = words::failure(code, message, details, hint.as_deref(), self.style());
                write_lines(&mut self.streams.err, &lines)
            }
            Event::RunFinished { took, failure, exit } => {
                let close = words::close(*took, *failure, *exit);
                let text = self.style().paint(close.role, &close.text);
                self.line(&text)
            }
        }
    }

    fn finish(&mut self) -> io::Result<()> {
        self.streams.out.flush()?;
        self.streams.err.flush()
    }
}

/// `downloading 12 MB of 30 MB`.
fn progress_text(progress: &Progress) -> String {
    match progress.bytes {
        Some((done, total)) => {
            format!("{} {} of {}", progress.message, quantity::bytes(done), quantity::bytes(total))
        }
        None => progress.message.clone(),
    }
}
