//! Every event in every renderer, as one snapshot a renderer.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use indicatif::{InMemoryTerm, ProgressDrawTarget, TermLike as _};

use super::json::JsonRenderer;
use super::live::LiveRenderer;
use super::plain::PlainRenderer;
use super::samples::{self, Sample, samples};
use super::screen::{Moment, Renderer, Settings, Streams};
use super::{Facts, Format, Terminal};
use crate::event::{Event, Outcome, Progress, StageOutcome, StepId};

const ROWS: u16 = 24;
const COLUMNS: u16 = 110;

/// What was written to one stream.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Written {
    fn take(&self) -> String {
        let bytes = std::mem::take(&mut *self.0.lock().expect("no panic while writing"));
        String::from_utf8(bytes).expect("renderers write text")
    }
}

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic while writing").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A pair of streams that are looked at.
#[derive(Clone, Default)]
struct Pair {
    out: Written,
    err: Written,
}

impl Pair {
    fn streams(&self) -> Streams {
        Streams { out: Box::new(self.out.clone()), err: Box::new(self.err.clone()) }
    }
}

/// A terminal in memory, written to both ways: redrawn, and as a stream.
struct OnScreen(InMemoryTerm);

impl Write for OnScreen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // What a terminal's driver makes of a line's end.
        self.0.write_str(&String::from_utf8_lossy(bytes).replace('\n', "\r\n"))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn live(screen: &InMemoryTerm) -> LiveRenderer {
    let target = ProgressDrawTarget::term_like(Box::new(screen.clone()));
    let streams = Streams { out: Box::new(io::sink()), err: Box::new(OnScreen(screen.clone())) };
    LiveRenderer::on(Settings::new(Format::Human, terminal(false)), streams, target)
}

fn terminal(colour: bool) -> Terminal {
    Terminal::judge(Facts {
        stderr_is_terminal: true,
        stdout_is_terminal: true,
        size: Some((ROWS, COLUMNS)),
        no_color: (!colour).then_some("1"),
        ..Facts::default()
    })
}

fn pipe() -> Terminal {
    Terminal::judge(Facts::default())
}

/// Time that the test sets: what came before at 0 s, the event `after` that.
fn moment(start: Instant, after: Duration) -> Moment {
    let wall = SystemTime::UNIX_EPOCH + Duration::from_millis(1_790_000_000_123);
    Moment { instant: start + after, wall: wall + after }
}

/// Later than the pause between two tellings of one step's progress.
const LATER: Duration = Duration::from_millis(6_300);

fn show(renderer: &mut dyn Renderer, sample: &Sample, after_before: impl FnOnce()) {
    let start = Instant::now();
    for (second, event) in (0..).zip(&sample.before) {
        // The last but one a pause later, so that "told a moment ago" is within the pause.
        let at = if second == 0 { Duration::ZERO } else { LATER };
        renderer.show(event, moment(start, at)).expect("memory takes everything");
    }
    after_before();
    renderer.show(&sample.event, moment(start, LATER)).expect("memory takes everything");
}

/// A snapshot without the expression, which only repeats the test.
fn snapshot(name: &str, text: &str) {
    insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!(name, text);
    });
}

fn sections(render: impl Fn(&Sample) -> String) -> String {
    samples().iter().fold(String::new(), |mut text, sample| {
        let _ = writeln!(text, "== {}\n{}", sample.name, render(sample).trim_end_matches('\n'));
        text
    })
}

#[test]
fn every_variant_has_a_sample() {
    let samples = samples();
    let events: BTreeSet<&str> = samples.iter().map(|sample| samples::event_kind(&sample.event)).collect();
    assert_eq!(events, samples::EVENTS.iter().copied().collect());
    let outcomes: BTreeSet<&str> = samples
        .iter()
        .filter_map(|sample| match &sample.event {
            Event::StepFinished { outcome, .. } => Some(samples::outcome_kind(outcome)),
            _ => None,
        })
        .collect();
    assert_eq!(outcomes, samples::OUTCOMES.iter().copied().collect());
    let states: BTreeSet<&str> = samples
        .iter()
        .filter_map(|sample| match &sample.event {
            Event::Summary { services } => Some(services),
            _ => None,
        })
        .flatten()
        .map(|report| samples::state_kind(&report.state))
        .collect();
    assert_eq!(states, samples::STATES.iter().copied().collect());
}

#[test]
fn every_event_in_a_terminal() {
    let text = sections(|sample| {
        let screen = InMemoryTerm::new(ROWS, COLUMNS);
        let mut renderer = live(&screen);
        show(&mut renderer, sample, || {});
        screen.contents()
    });
    snapshot("terminal", &text);
}

#[test]
fn every_event_as_plain_lines() {
    let text = sections(|sample| {
        let pair = Pair::default();
        let mut renderer = PlainRenderer::new(Settings::new(Format::Human, pipe()), pair.streams());
        show(&mut renderer, sample, || drop(pair.err.take()));
        let answer = match &sample.event {
            Event::Answered { lines, .. } => lines.iter().map(|line| format!("{line}\n")).collect(),
            _ => String::new(),
        };
        assert_eq!(pair.out.take(), answer, "only answers go to standard output");
        let text = pair.err.take();
        let forbidden = text.chars().find(|c| c.is_control() && *c != '\n');
        assert_eq!(forbidden, None, "{text:?}");
        text
    });
    snapshot("plain", &text);
}

#[test]
fn every_event_as_json() {
    let text = sections(|sample| {
        let pair = Pair::default();
        let mut renderer = JsonRenderer::new(pair.streams());
        show(&mut renderer, sample, || drop(pair.out.take()));
        assert_eq!(pair.err.take(), "", "JSON goes to standard output");
        let text = pair.out.take();
        let value: serde_json::Value = serde_json::from_str(&text).expect("a line is one JSON value");
        match &sample.event {
            Event::Answered { value: answer, .. } => assert_eq!(value, *answer),
            _ => assert!(value["timestamp"].is_string() && value["event"].is_string(), "{text}"),
        }
        text
    });
    snapshot("json", &text);
}

/// Colour adds nothing that would be missed without it: the same text, and every sequence is an SGR one.
#[test]
fn colour_changes_no_text() {
    let render = |colour: bool, sample: &Sample| {
        let pair = Pair::default();
        let mut settings = Settings::new(Format::Human, terminal(colour));
        settings.terminal.live = false;
        let mut renderer = PlainRenderer::new(settings, pair.streams());
        show(&mut renderer, sample, || drop(pair.err.take()));
        pair.err.take()
    };
    let mut painted = 0;
    for sample in samples() {
        let coloured = render(true, &sample);
        assert_eq!(console::strip_ansi_codes(&coloured), render(false, &sample), "{}", sample.name);
        painted += usize::from(coloured.contains('\u{1b}'));
    }
    assert!(painted > 10, "colour is used");
}

/// A whole run as it looks at its end: what was live is gone, what was told stays in order.
#[test]
fn nothing_live_is_left_when_the_screen_ends() {
    let screen = InMemoryTerm::new(ROWS, COLUMNS);
    let mut renderer = live(&screen);
    let chosen = ["step started, of several", "log above a problem and a step", "summary"];
    for sample in samples().iter().filter(|sample| chosen.contains(&sample.name)) {
        show(&mut renderer, sample, || {});
    }
    renderer.tick(Instant::now());
    assert!(renderer.moves());
    renderer.finish().expect("memory takes everything");
    snapshot("terminal-end", &screen.contents());
}

/// What was typed where nothing is redrawn does not stay, and does not shift what is redrawn next.
#[test]
fn what_a_key_leaves_behind_is_written_over() {
    let screen = InMemoryTerm::new(ROWS, COLUMNS);
    let mut renderer = live(&screen);
    let start = Instant::now();
    let (step, title) = (StepId(1), "stop container redis".to_owned());
    let outcome = Outcome::Done { detail: None };
    let progress = Progress { message: "x".to_owned(), bytes: None };
    let story = [
        (true, Event::Planned { steps: Vec::new() }),
        (true, Event::StepStarted { step, title: title.clone(), service: None }),
        (false, Event::StepProgress { step, progress }),
        (false, Event::StepFinished { step, title, outcome, took: Duration::from_secs(2) }),
        (true, Event::Note { text: "y".to_owned() }),
    ];
    for (second, (typed, event)) in (0..).zip(&story) {
        if *typed {
            screen.write_str("^C").expect("memory takes everything");
        }
        renderer.show(event, moment(start, Duration::from_secs(second))).expect("memory takes everything");
    }
    assert_eq!(screen.contents(), "nothing to do\n✓ stop container redis 2.0s\n· y");
}

/// A compiler's error is not scrolled away by what it kept from beginning, nor a save that changed nothing told at length.
#[test]
fn steps_that_never_began_are_counted_not_listed() {
    let screen = InMemoryTerm::new(ROWS, COLUMNS);
    let mut renderer = live(&screen);
    let ended = |step, title: &str, outcome, took| Event::StepFinished {
        step: StepId(step),
        title: title.to_owned(),
        outcome,
        took: Duration::from_secs(took),
    };
    let skipped = || Outcome::Skipped { because: "build service".to_owned() };
    let step = |step| crate::event::PlannedStep {
        step: StepId(step),
        title: "x".to_owned(),
        cause: "y".to_owned(),
        needs: Vec::new(),
        makes_ready: false,
    };
    let started = Event::StepStarted { step: StepId(1), title: "build service".to_owned(), service: None };
    let story = [
        Event::Planned { steps: (1..=4).map(step).collect() },
        started.clone(),
        ended(1, "build service", Outcome::Failed { message: "no such type".to_owned() }, 1),
        ended(2, "stop container service", skipped(), 0),
        ended(3, "start container service", skipped(), 0),
        ended(4, "pull something", Outcome::Unchanged, 0),
        Event::Planned { steps: (1..=2).map(step).collect() },
        started,
        ended(1, "build service", Outcome::Unchanged, 1),
        ended(2, "stop container service", Outcome::Unchanged, 0),
    ];
    for event in &story {
        renderer.show(event, moment(Instant::now(), Duration::ZERO)).expect("memory takes everything");
    }
    let expected = [
        "4 steps",
        "✗ build service 1.0s",
        "    no such type",
        "– 2 steps skipped, which need what failed",
        "2 steps",
        "= build service 1.0s  unchanged",
    ];
    assert_eq!(screen.contents(), expected.join("\n"));
}

/// In a job of GitHub Actions a stage is a group, and one that failed is an annotation.
#[test]
fn stages_are_groups_of_a_workflow() {
    let pair = Pair::default();
    let terminal = Terminal::judge(Facts { github_actions: Some("true"), ..Facts::default() });
    let mut renderer = PlainRenderer::new(Settings::new(Format::Human, terminal), pair.streams());
    let outcome = StageOutcome::Failed { message: "100 % wrong".to_owned() };
    for event in [
        Event::StageStarted { stage: "lint".to_owned() },
        Event::StageFinished { stage: "lint".to_owned(), outcome, took: Duration::from_secs(2) },
    ] {
        renderer.show(&event, moment(Instant::now(), Duration::ZERO)).expect("memory takes everything");
    }
    let expected = [
        "::group::stage lint",
        "::endgroup::",
        "::error title=stage lint::stage lint failed: 100 %25 wrong",
        "stage lint failed 2.0s: 100 % wrong",
        "",
    ];
    assert_eq!(pair.err.take(), expected.join("\n"));
}

/// What a command answers with goes to standard output, and a pipe gets a service's lines as they were written.
#[test]
fn data_goes_to_standard_output_when_it_is_the_answer() {
    let raw = "1:M \u{1b}[32mready\u{1b}[0m {\"msg\":\"x\"}";
    let log = Event::Log { service: "redis".to_owned(), stderr: false, line: raw.to_owned(), origin: None };
    let json = Event::Log {
        service: "redis".to_owned(),
        stderr: false,
        line: r#"{"msg":"x"}"#.to_owned(),
        origin: None,
    };
    let answered = r#"{"method":"GET","path":"/health","status":200}"#;
    let probe =
        Event::Log { service: "redis".to_owned(), stderr: false, line: answered.to_owned(), origin: None };
    let start = Instant::now();
    for pretty in [None, Some(true)] {
        let pair = Pair::default();
        let settings = Settings {
            data_on_stdout: true,
            pretty,
            log_names: false,
            ..Settings::new(Format::Human, pipe())
        };
        let mut renderer = PlainRenderer::new(settings, pair.streams());
        for event in [&log, &json, &probe] {
            renderer.show(event, moment(start, Duration::ZERO)).expect("memory takes everything");
        }
        // Made readable, good answers to probes are left out.
        let last =
            if pretty.is_some() { "x".to_owned() } else { format!("{}\n{answered}", r#"{"msg":"x"}"#) };
        assert_eq!(pair.out.take(), format!("{raw}\n{last}\n"));
        assert_eq!(pair.err.take(), "");
    }
}

/// A stream that takes nothing.
struct Refusing(io::ErrorKind);

impl Write for Refusing {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(self.0.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let lines = ["one".to_owned(), "two".to_owned()];
    let mut written = Vec::new();
    super::write_lines(&mut written, &lines).expect("a vector takes everything");
    super::write_text(&mut written, "three").expect("a vector takes everything");
    assert_eq!(written, b"one\ntwo\nthree");

    let refused = |kind| {
        let mut stream = Refusing(kind);
        let lines = super::forgive_closed_pipe(super::write_lines(&mut stream, &lines));
        let text = super::forgive_closed_pipe(super::write_text(&mut stream, "three"));
        (lines.map_err(|error| error.kind()), text.map_err(|error| error.kind()))
    };
    assert_eq!(refused(io::ErrorKind::BrokenPipe), (Ok(()), Ok(())));
    let full = io::ErrorKind::StorageFull;
    assert_eq!(refused(full), (Err(full), Err(full)));
}

/// What a command might answer with.
#[derive(serde::Serialize)]
struct Counted {
    pods: u8,
}

impl super::Answer for Counted {
    fn human(&self, _style: super::Style, columns: Option<usize>) -> Vec<String> {
        vec![format!("{} pods in {columns:?}", self.pods)]
    }
}

#[test]
fn an_answer_is_an_event_where_several_commands_run() {
    let piped = Terminal::judge(Facts { size: Some((24, 80)), ..Facts::default() });
    let expected =
        Event::Answered { lines: vec!["3 pods in None".to_owned()], value: serde_json::json!({ "pods": 3 }) };
    assert_eq!(super::answered(&piped, &Counted { pods: 3 }), expected, "what is piped is not cut");
}
