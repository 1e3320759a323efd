//! Events in a terminal: a live line for each step under way, redrawn in place; one line for each that ended; problems
//! pinned below until they are solved; then the table of services and the logs.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use rustix::termios::LocalModes;

use super::names::Names;
use super::screen::{Moment, Renderer, Settings, Streams};
use super::style::{Role, Style, sanitize};
use super::terminal::Terminal;
use super::words::{self, Ending};
use super::write_lines;
use super::{log_line, problem, results};
use crate::event::{Event, Progress, StepId};
use crate::quantity;
use crate::tty::Off;

/// The frames of a spinner.
const SPINNER: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];
/// How long one frame of the spinner stays.
const FRAME: Duration = Duration::from_millis(100);
/// How often the terminal is written to at most, in hertz: what the eye takes for motion.
const REDRAWS: u8 = 20;
/// The width of a bar of bytes, in cells: a step of 5 % is seen.
const BAR: usize = 20;
/// Back to the first column, and what is on the line erased (ECMA-48, CR and EL).
const CLEAR_LINE: &str = "\r\u{1b}[K";

/// A step under way.
struct LiveStep {
    bar: ProgressBar,
    title: String,
    service: Option<String>,
    progress: Option<Progress>,
    since: Instant,
}

/// Draws.
pub(super) struct LiveRenderer {
    settings: Settings,
    streams: Streams,
    area: MultiProgress,
    steps: BTreeMap<StepId, LiveStep>,
    /// The count of steps, below them; and how many ended of how many.
    count: Option<ProgressBar>,
    ended: usize,
    total: usize,
    /// How many of the ended ones were not begun, because something that they need failed.
    skipped: usize,
    problems: BTreeMap<String, (Vec<String>, Vec<ProgressBar>)>,
    /// The only service whose logs are shown, and the line at the bottom that says so.
    only: Option<(String, ProgressBar)>,
    names: Names,
    started: Option<Instant>,
    quiet: Option<Off>,
}

impl LiveRenderer {
    pub(super) fn new(settings: Settings, streams: Streams) -> Self {
        let stderr = console::Term::buffered_stderr();
        let mut renderer = Self::on(settings, streams, ProgressDrawTarget::term(stderr, REDRAWS));
        renderer.quiet = Some(Off::take(LocalModes::ECHOCTL));
        renderer
    }

    pub(super) fn on(settings: Settings, streams: Streams, target: ProgressDrawTarget) -> Self {
        Self {
            names: Names::new(&settings.services),
            settings,
            streams,
            area: MultiProgress::with_draw_target(target),
            steps: BTreeMap::new(),
            count: None,
            ended: 0,
            total: 0,
            skipped: 0,
            problems: BTreeMap::new(),
            only: None,
            started: None,
            quiet: None,
        }
    }

    fn style(&self) -> Style {
        self.settings.terminal.stderr_style
    }

    /// Whether anything is redrawn at the moment.
    fn is_live(&self) -> bool {
        !self.steps.is_empty() || !self.problems.is_empty() || self.only.is_some()
    }

    /// A line that stays, above what is redrawn. With nothing to redraw it is simply written, over what a key that was
    /// typed may have left on the line (`^C`).
    fn line(&mut self, line: &str) -> io::Result<()> {
        if self.is_live() {
            return self.area.println(line);
        }
        self.streams.err.write_all(format!("{CLEAR_LINE}{line}\n").as_bytes())?;
        self.streams.err.flush()
    }

    fn lines(&mut self, lines: &[String]) -> io::Result<()> {
        // `println` drops a text without any line.
        lines.iter().try_for_each(|line| self.line(if line.is_empty() { " " } else { line }))
    }

    /// Lines of data, to standard output or above what is redrawn.
    fn data(&mut self, lines: &[String]) -> io::Result<()> {
        if !self.settings.data_on_stdout {
            return self.lines(lines);
        }
        let out = &mut self.streams.out;
        self.area.suspend(|| write_lines(out, lines))
    }

    fn data_style(&self) -> Style {
        let terminal = self.settings.terminal;
        if self.settings.data_on_stdout { terminal.stdout_style } else { terminal.stderr_style }
    }

    /// The width that data is fitted to.
    fn data_columns(&self) -> Option<usize> {
        let terminal = self.settings.terminal;
        terminal.columns.filter(|_| !self.settings.data_on_stdout || terminal.stdout_is_terminal)
    }

    /// Looks how large the terminal is: a person may have changed the window since.
    fn look(&mut self) {
        if self.quiet.is_some() {
            self.settings.terminal = self.settings.terminal.as_large_as_now();
        }
    }

    /// Makes the line empty that what is redrawn will begin on.
    fn begin_area(&mut self) -> io::Result<()> {
        if self.is_live() {
            return Ok(());
        }
        self.streams.err.write_all(CLEAR_LINE.as_bytes())?;
        self.streams.err.flush()
    }

    /// A line of the redrawn part, in its place: steps first, then their count, then problems, then whose logs are shown.
    fn add_bar(&self, place: Place) -> ProgressBar {
        let bar = ProgressBar::hidden();
        bar.set_style(ProgressStyle::with_template("{wide_msg}").expect("the template is ours"));
        let count = self.count.as_ref().filter(|_| place < Place::Count);
        let problem = || self.problems.values().find_map(|(_, bars)| bars.first());
        let problem = || problem().filter(|_| place < Place::Problem);
        let only = || self.only.as_ref().map(|(_, bar)| bar);
        match count.or_else(problem).or_else(only) {
            Some(before) => self.area.insert_before(before, bar),
            None => self.area.add(bar),
        }
    }

    fn start_step(
        &mut self,
        step: StepId,
        title: &str,
        service: Option<&String>,
        now: Instant,
    ) -> io::Result<()> {
        self.begin_area()?;
        let bar = self.add_bar(Place::Step);
        let live =
            LiveStep { bar, title: title.to_owned(), service: service.cloned(), progress: None, since: now };
        self.steps.insert(step, live);
        if self.count.is_none() && self.total > 1 {
            self.count = Some(self.add_bar(Place::Count));
        }
        self.draw(now);
        Ok(())
    }

    fn end_step(&mut self, step: StepId, title: &str, ending: &Ending<'_>, took: Duration) -> io::Result<()> {
        let ended = self.steps.remove(&step);
        let began = ended.is_some();
        self.ended += 1;
        let style = self.style();
        let service = ended.as_ref().and_then(|step| step.service.as_ref());
        let role = service.map(|name| (name, self.names.meet(name)));
        let title = match (ending.role, role) {
            (Role::Faint, _) => style.paint(Role::Faint, title),
            (_, Some((name, role))) => highlight(title, name, role, style),
            _ => sanitize(title, false),
        };
        let mut line = format!("{} {title}", style.paint(ending.role, ending.sign));
        if !took.is_zero() {
            line.push_str(&style.paint(Role::Faint, &format!(" {}", quantity::duration(took))));
        }
        // Two endings have a sign of their own; the others share one and are told apart by their word.
        let word = Some(ending.word).filter(|word| !matches!(*word, "done" | "failed"));
        let remark: Vec<&str> = word.into_iter().chain(ending.remark.as_deref()).collect();
        if !remark.is_empty() {
            let remark = sanitize(&remark.join(": "), false);
            line.push_str(&style.paint(Role::Faint, &format!("  {remark}")));
        }
        if let Some(step) = ended {
            step.bar.finish_and_clear();
            self.area.remove(&step.bar);
        }
        if self.steps.is_empty()
            && let Some(count) = self.count.take()
        {
            count.finish_and_clear();
            self.area.remove(&count);
        }
        // What was never begun is no news, line by line: the plan's other steps are, and what failed.
        let silent = !began && matches!(ending.word, "unchanged" | "skipped");
        self.skipped += usize::from(silent && ending.word == "skipped");
        if !silent {
            self.line(&line)?;
        }
        if self.skipped > 0 && self.ended == self.total {
            let steps =
                if self.skipped == 1 { "1 step".to_owned() } else { format!("{} steps", self.skipped) };
            self.line(&style.paint(Role::Caution, &format!("– {steps} skipped, which need what failed")))?;
        }
        for text in ending.message.iter().flat_map(|message| message.lines()) {
            self.line(&format!("    {}", style.paint(Role::Bad, &sanitize(text, false))))?;
        }
        Ok(())
    }

    fn draw(&mut self, now: Instant) {
        let style = self.style();
        for live in self.steps.values() {
            let elapsed = now.saturating_duration_since(live.since);
            let frame = usize::try_from(elapsed.as_millis() / FRAME.as_millis()).unwrap_or(0) % SPINNER.len();
            let title = match &live.service {
                Some(name) => highlight(&live.title, name, self.names.meet(name), style),
                None => sanitize(&live.title, false),
            };
            let spinner = style.paint(Role::Caution, SPINNER[frame]);
            let took = style.paint(Role::Faint, &quantity::duration(elapsed));
            let progress = live.progress.as_ref().map(|progress| progress_text(progress, style));
            live.bar.set_message(format!("{spinner} {title} {took}  {}", progress.unwrap_or_default()));
        }
        if let Some(count) = &self.count {
            let elapsed =
                self.started.map_or(Duration::ZERO, |started| now.saturating_duration_since(started));
            let text = format!("  {} of {} steps, {}", self.ended, self.total, quantity::duration(elapsed));
            count.set_message(style.paint(Role::Faint, &text));
        }
    }

    /// Shows a problem for as long as it stands. One that has no room there is written above as a whole, once.
    fn pin(&mut self, about: &str, lines: &[String]) -> io::Result<()> {
        let is_told = self.problems.get(about).is_some_and(|(told, _)| told == lines);
        self.unpin(about);
        self.look();
        let Terminal { rows, columns, .. } = self.settings.terminal;
        let fitted = problem::fitted(lines, rows, columns);
        if !is_told && !problem::is_whole(lines, &fitted, columns) {
            self.lines(&self.problem(about, lines))?;
        }
        self.begin_area()?;
        let bars = self.problem(about, &fitted).into_iter().map(|text| {
            let bar = self.add_bar(Place::Problem);
            bar.set_message(text);
            bar.force_draw();
            bar
        });
        let bars = bars.collect();
        self.problems.insert(about.to_owned(), (lines.to_vec(), bars));
        Ok(())
    }

    fn problem(&self, about: &str, lines: &[String]) -> Vec<String> {
        let style = self.style();
        let about = style.paint(Role::Bad, &format!("✗ {}", sanitize(about, false)));
        let within =
            |line: &String| format!("{:1$}{2}", "", problem::INDENTED, sanitize(line, style.is_coloured()));
        std::iter::once(about).chain(lines.iter().map(within)).collect()
    }

    fn unpin(&mut self, about: &str) -> bool {
        let Some((_, bars)) = self.problems.remove(about) else { return false };
        for bar in bars {
            bar.finish_and_clear();
            self.area.remove(&bar);
        }
        true
    }

    /// Shows the logs of one service only, and says so at the bottom for as long as that is so.
    fn narrow(&mut self, to: Option<&str>) -> io::Result<()> {
        if let Some((_, bar)) = self.only.take() {
            bar.finish_and_clear();
            self.area.remove(&bar);
        }
        let Some(service) = to else { return self.labelled(Role::Link, "·", words::NARROWED_TO_ALL) };
        self.begin_area()?;
        let bar = self.add_bar(Place::Only);
        let style = self.style();
        let name = style.paint(self.names.meet(service), &sanitize(service, false));
        bar.set_message(format!("{} {name}{}", style.paint(Role::Link, "·"), words::NARROWED));
        // Nothing moves: a frame that is left out, because one was drawn a moment ago, would be the last.
        bar.force_draw();
        self.only = Some((service.to_owned(), bar));
        Ok(())
    }

    fn log(&mut self, service: &str, line: &str) -> io::Result<()> {
        if self.only.as_ref().is_some_and(|(only, _)| only != service) {
            return Ok(());
        }
        if self.settings.hides_probes && self.settings.is_pretty() && log_line::is_good_probe(line) {
            return Ok(());
        }
        let style = self.data_style();
        let pretty = if self.settings.is_pretty() { log_line::pretty(line, style) } else { None };
        let raw = self.settings.data_on_stdout && !self.settings.terminal.stdout_is_terminal;
        let text =
            pretty.unwrap_or_else(|| if raw { line.to_owned() } else { sanitize(line, style.is_coloured()) });
        let prefix =
            if self.settings.log_names { self.names.prefix(service, "│", style) } else { String::new() };
        self.data(&[format!("{prefix}{text}")])
    }

    fn labelled(&mut self, role: Role, label: &str, text: &str) -> io::Result<()> {
        self.line(&format!("{} {}", self.style().paint(role, label), sanitize(text, false)))
    }
}

/// Where in the redrawn part a line stands.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
enum Place {
    Step,
    Count,
    Problem,
    Only,
}

impl Renderer for LiveRenderer {
    fn show(&mut self, event: &Event, at: Moment) -> io::Result<()> {
        for service in words::services_of(event) {
            self.names.meet(service);
        }
        match event {
            Event::RunStarted { command, directory } => {
                self.started = Some(at.instant);
                let style = self.style();
                let directory = style.paint(Role::Faint, &format!("in {directory}"));
                self.line(&format!("{} {directory}", style.paint(Role::Strong, command)))
            }
            Event::Planned { steps } => {
                (self.ended, self.total, self.skipped) = (0, steps.len(), 0);
                self.started = Some(at.instant);
                self.line(&self.style().paint(Role::Faint, &words::planned(steps.len())))
            }
            Event::StepStarted { step, title, service } => {
                self.start_step(*step, title, service.as_ref(), at.instant)
            }
            Event::StepProgress { step, progress } => {
                if let Some(live) = self.steps.get_mut(step) {
                    live.progress = Some(progress.clone());
                    self.draw(at.instant);
                }
                Ok(())
            }
            Event::StepFinished { step, title, outcome, took } => {
                self.end_step(*step, title, &Ending::of(title, outcome), *took)?;
                self.draw(at.instant);
                Ok(())
            }
            Event::StageStarted { stage } => {
                self.line(&self.style().paint(Role::Strong, &format!("stage {stage}")))
            }
            Event::StageFinished { stage, outcome, took } => {
                let (sign, word, role, remark) = words::stage_ending(outcome);
                let remark = remark.map(|remark| format!(": {remark}")).unwrap_or_default();
                let took = quantity::duration(*took);
                self.labelled(role, sign, &format!("stage {stage} {word} {took}{remark}"))
            }
            Event::Note { text } => self.labelled(Role::Link, "·", text),
            Event::Warning { text } => self.labelled(Role::Caution, "! warning:", text),
            // A step's program has one line, the step's own; the run log has all of them.
            Event::Output { step: Some(step), line, .. } if self.steps.contains_key(step) => {
                if let Some(live) = self.steps.get_mut(step) {
                    live.progress = Some(Progress { message: line.clone(), bytes: None });
                    self.draw(at.instant);
                }
                Ok(())
            }
            Event::Output { source, line, .. } => {
                let style = self.style();
                let prefix = style.paint(Role::Faint, &format!("{source} │"));
                self.line(&format!("{prefix} {}", sanitize(line, style.is_coloured())))
            }
            Event::Log { service, line, .. } => self.log(service, line),
            Event::LogsNarrowed { to } => self.narrow(to.as_deref()),
            // Its steps have told.
            Event::TakenDown { .. } => Ok(()),
            Event::Summary { .. }
            | Event::StartProfiled { .. }
            | Event::LastMinute { .. }
            | Event::Diagnosis { .. }
            | Event::Tested { .. }
            | Event::Covered { .. } => {
                self.look();
                let lines = results::told(event, self.data_style(), self.data_columns());
                self.data(&lines)
            }
            Event::Answered { lines, .. } => {
                let out = &mut self.streams.out;
                self.area.suspend(|| write_lines(out, lines))
            }
            Event::Problem { about, lines } => self.pin(about, lines),
            Event::ProblemSolved { about } => {
                self.unpin(about);
                self.labelled(Role::Good, "✓", &format!("{about}: solved"))
            }
            Event::Failed { code, message, details, hint, .. } => {
                self.lines(&words::failure(code, message, details, hint.as_deref(), self.style()))
            }
            Event::RunFinished { took, failure, exit } => {
                let close = words::close(*took, *failure, *exit);
                self.labelled(close.role, close.sign, &close.text)
            }
        }
    }

    fn tick(&mut self, now: Instant) {
        self.draw(now);
    }

    fn moves(&self) -> bool {
        !self.steps.is_empty()
    }

    /// What was redrawn goes; a problem that stands is left behind as lines.
    fn finish(&mut self) -> io::Result<()> {
        for about in self.problems.keys().cloned().collect::<Vec<_>>() {
            let lines = self.problem(&about, &self.problems[&about].0);
            self.unpin(&about);
            self.lines(&lines)?;
        }
        if let Some((_, bar)) = self.only.take() {
            bar.finish_and_clear();
        }
        self.area.clear()?;
        self.quiet = None;
        self.streams.out.flush()
    }
}

/// The title with the service's name in the service's colour.
fn highlight(title: &str, service: &str, role: Role, style: Style) -> String {
    let title = sanitize(title, false);
    let words =
        title.split(' ').map(|word| if word == service { style.paint(role, word) } else { word.to_owned() });
    words.collect::<Vec<_>>().join(" ")
}

/// A message, or a bar when bytes are counted: `downloading [████░░░░] 12 MB of 30 MB`.
fn progress_text(progress: &Progress, style: Style) -> String {
    let message = style.paint(Role::Faint, &sanitize(&progress.message, false));
    let Some((done, total)) = progress.bytes else { return message };
    let share = u128::from(done.min(total)) * BAR as u128 / u128::from(total.max(1));
    let filled = usize::try_from(share).unwrap_or(BAR);
    let bar = format!("{}{}", "█".repeat(filled), style.paint(Role::Faint, &"░".repeat(BAR - filled)));
    format!("{message} {bar} {} of {}", quantity::bytes(done), quantity::bytes(total))
}
