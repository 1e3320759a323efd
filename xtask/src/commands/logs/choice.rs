//! Which lines of logs a person wants to see, and what is told of those that are left out.
//!
//! Must not: read a log, or show a line.

use std::collections::BTreeMap;
use std::time::SystemTime;

use super::super::Context;
use crate::cli;
use crate::engine::LogLine;
use crate::plan::ContainerId;
use crate::severity::{self, Severity, Told};
use crate::stack::ServiceName;
use crate::ui::{Format, log_line};

/// What becomes of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is shown.
    Chosen,
    /// It tells of a probe that was answered well, and is left out because of that alone.
    Probe,
    /// It is not what was asked for.
    Other,
}

/// What a person wants to see, and what was seen of the lines so far.
#[derive(Debug, Default)]
pub(super) struct Choice {
    grep: Option<regex_lite::Regex>,
    least: Option<Severity>,
    hides_probes: bool,
    since: Option<SystemTime>,
    /// The severity of each container's line before.
    before: BTreeMap<ContainerId, Option<Severity>>,
    /// Whether a line of the service has told a level.
    levels: BTreeMap<ServiceName, Levels>,
}

/// What a service's lines tell of levels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Levels {
    /// Nothing yet.
    None,
    /// Nothing, and a person knows.
    NoneTold,
    /// A level.
    Some,
}

impl Choice {
    /// What the arguments ask for, and from when on. Probes are left out where lines are made readable, unless something is looked for.
    pub(super) fn of(arguments: &cli::Logs, context: &Context, since: Option<SystemTime>) -> Self {
        let is_pretty = arguments.pretty.unwrap_or(context.terminal.stdout_is_terminal);
        Self {
            grep: arguments.grep.clone(),
            least: arguments.level.map(Severity::from),
            hides_probes: is_pretty && context.format == Format::Human && arguments.grep.is_none(),
            since,
            ..Self::default()
        }
    }

    /// A container's log is read from somewhere before what was read of it.
    pub(super) fn begins(&mut self, container: &ContainerId) {
        self.before.remove(container);
    }

    /// What becomes of a line. Lines of one container come in their order.
    pub(super) fn judge(
        &mut self,
        service: &ServiceName,
        container: &ContainerId,
        line: &LogLine,
    ) -> Verdict {
        // The engine knows whole seconds only.
        if self.since.is_some_and(|since| line.at.is_some_and(|at| at < since)) {
            return Verdict::Other;
        }
        if let Some(least) = self.least {
            let before = self.before.entry(container.clone()).or_default();
            let severity = match severity::told(&line.text) {
                Told::Severity(severity) => Some(severity),
                Told::Continues => *before,
                Told::Nothing => None,
            };
            *before = severity;
            let levels = self.levels.entry(service.clone()).or_insert(Levels::None);
            if severity.is_some() {
                *levels = Levels::Some;
            }
            if severity.is_none_or(|severity| severity < least) {
                return Verdict::Other;
            }
        }
        if !self.grep.as_ref().is_none_or(|pattern| pattern.is_match(&line.text)) {
            return Verdict::Other;
        }
        if self.hides_probes && log_line::is_good_probe(&line.text) {
            Verdict::Probe
        } else {
            Verdict::Chosen
        }
    }

    /// What is told of so many probes that were left out.
    pub(super) fn told_of_probes(&self, count: usize, follows: bool) -> Option<String> {
        let what = "good answers to probes (/health, /ready, /metrics)";
        let how = "`--pretty=false` shows them";
        match count {
            _ if !self.hides_probes => None,
            0 if follows => Some(format!("{what} are left out; {how}")),
            0 => None,
            count => Some(format!("left out: {count} {what}; {how}")),
        }
    }

    /// What is told, once, of services none of whose lines has told a level.
    pub(super) fn told_of_levels(&mut self) -> Option<String> {
        let untold = self.levels.iter_mut().filter(|(_, levels)| **levels == Levels::None);
        let names: Vec<&str> = untold
            .map(|(service, levels)| {
                *levels = Levels::NoneTold;
                service.as_str()
            })
            .collect();
        let names = (!names.is_empty()).then(|| names.join(", "))?;
        Some(format!("no line of {names} has told a level that is known: `--level` leaves them out"))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const PROBE: &str = r#"{"level":"INFO","method":"GET","path":"/ready","status":200}"#;
    const FAILED_PROBE: &str = r#"{"level":"INFO","method":"GET","path":"/ready","status":503}"#;

    fn judged(choice: &mut Choice, service: &str, lines: &[&str]) -> Vec<Verdict> {
        let judge = |text: &&str| {
            let line = LogLine { at: None, stderr: false, text: (*text).to_owned() };
            choice.judge(&ServiceName::new(service), &ContainerId(service.to_owned()), &line)
        };
        lines.iter().map(judge).collect()
    }

    #[test]
    fn probes_are_left_out_and_told() {
        use Verdict::{Chosen, Probe};
        let mut choice = Choice { hides_probes: true, ..Choice::default() };
        assert_eq!(judged(&mut choice, "web", &[PROBE, FAILED_PROBE, "x"]), [Probe, Chosen, Chosen]);
        let what = "good answers to probes (/health, /ready, /metrics)";
        let how = "`--pretty=false` shows them";
        assert_eq!(choice.told_of_probes(3, true), Some(format!("left out: 3 {what}; {how}")));
        assert_eq!(choice.told_of_probes(0, true), Some(format!("{what} are left out; {how}")));
        assert_eq!(choice.told_of_probes(0, false), None);
        let mut choice = Choice::default();
        assert_eq!(judged(&mut choice, "web", &[PROBE]), [Chosen]);
        assert_eq!(choice.told_of_probes(0, true), None);
    }

    #[test]
    fn nothing_is_from_before_the_time_that_was_asked_for() {
        let at = |millis| SystemTime::UNIX_EPOCH + Duration::from_millis(millis);
        let mut choice = Choice { since: Some(at(1_500)), ..Choice::default() };
        for (line, expected) in
            [(Some(at(1_499)), Verdict::Other), (Some(at(1_500)), Verdict::Chosen), (None, Verdict::Chosen)]
        {
            let line = LogLine { at: line, stderr: false, text: String::new() };
            let service = ServiceName::new("web");
            assert_eq!(choice.judge(&service, &ContainerId("1".to_owned()), &line), expected, "{line:?}");
        }
    }

    #[test]
    fn what_goes_on_with_a_line_matters_as_much() {
        use Verdict::{Chosen, Other};
        let mut choice = Choice { least: Some(Severity::Warn), ..Choice::default() };
        let lines = [
            "2026-11-26 05:42:04.986 UTC [57] LOG:  statement: SELECT",
            "\t1",
            "2026-11-26 05:42:04.986 UTC [57] ERROR:  relation \"nope\" does not exist",
            "2026-11-26 05:42:04.986 UTC [57] STATEMENT:  SELECT",
            "\tFROM nope",
            "words",
            "\tmore words",
        ];
        let expected = [Other, Other, Chosen, Chosen, Chosen, Other, Other];
        assert_eq!(judged(&mut choice, "postgres", &lines), expected);
        assert_eq!(judged(&mut choice, "other", &["\tof another container"]), [Other]);
        judged(&mut choice, "postgres", &lines[..3]);
        choice.begins(&ContainerId("postgres".to_owned()));
        assert_eq!(judged(&mut choice, "postgres", &["\twhat was before is not known"]), [Other]);
    }

    #[test]
    fn services_without_a_level_are_told_once() {
        let mut choice = Choice { least: Some(Severity::Debug), ..Choice::default() };
        judged(&mut choice, "web", &["words", r#"{"level":"INFO"}"#]);
        judged(&mut choice, "a", &["words"]);
        judged(&mut choice, "b", &["words"]);
        let told = "no line of a, b has told a level that is known: `--level` leaves them out";
        assert_eq!(choice.told_of_levels().as_deref(), Some(told));
        judged(&mut choice, "a", &["words"]);
        assert_eq!(choice.told_of_levels(), None);
        let mut choice = Choice::default();
        judged(&mut choice, "a", &["words"]);
        assert_eq!(choice.told_of_levels(), None, "no level was asked for");
    }
}
