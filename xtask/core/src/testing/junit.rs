//! The results as XML of the kind that `JUnit` began, the form in which every CI shows tests.
//!
//! Must not: write a file.

use std::fmt::Write as _;
use std::time::Duration;

use super::{Case, CaseOutcome, Program, SuiteReport};

/// The whole document. A program of tests is a `testsuite`; its name begins with our suite's.
pub fn junit(suites: &[SuiteReport]) -> String {
    let programs: Vec<(&str, &Program)> = suites
        .iter()
        .flat_map(|suite| suite.programs.iter().map(|program| (suite.suite.as_str(), program)))
        .collect();
    let cases = || programs.iter().flat_map(|(_, program)| &program.cases);
    let took = suites.iter().map(|suite| suite.took).sum();
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(text, "<testsuites name=\"homeport\" {}>", figures(cases(), took));
    for (suite, program) in &programs {
        let name = attribute(&format!("{suite}: {}", program.name));
        let _ = writeln!(text, "  <testsuite name={name} {}>", figures(program.cases.iter(), program.took));
        for case in &program.cases {
            test_case(&mut text, &program.name, case);
        }
        text.push_str("  </testsuite>\n");
    }
    text.push_str("</testsuites>\n");
    text
}

fn test_case(text: &mut String, class: &str, case: &Case) {
    let _ = write!(
        text,
        "    <testcase classname={} name={} time=\"{:.3}\"",
        attribute(class),
        attribute(&case.name),
        case.took.as_secs_f64()
    );
    match case.outcome {
        CaseOutcome::Passed => text.push_str("/>\n"),
        CaseOutcome::Skipped if case.said.is_empty() => text.push_str("><skipped/></testcase>\n"),
        CaseOutcome::Skipped => {
            let why = attribute(&case.said.join("\n"));
            let _ = writeln!(text, "><skipped message={why}/></testcase>");
        }
        CaseOutcome::Failed => {
            // The line that says what failed: the one after "panicked at", else the first.
            let panic = case.said.iter().position(|line| line.contains("panicked at"));
            let message = case.said.get(panic.map_or(0, |line| line + 1)).map_or("", String::as_str);
            let said = escape(&case.said.join("\n"));
            let _ = writeln!(text, "><failure message={}>{said}</failure></testcase>", attribute(message));
        }
    }
}

fn figures<'a>(cases: impl Iterator<Item = &'a Case>, took: Duration) -> String {
    let (mut all, mut failed, mut skipped) = (0, 0, 0);
    for case in cases {
        all += 1;
        failed += usize::from(case.outcome == CaseOutcome::Failed);
        skipped += usize::from(case.outcome == CaseOutcome::Skipped);
    }
    let seconds = took.as_secs_f64();
    format!("tests=\"{all}\" failures=\"{failed}\" errors=\"0\" skipped=\"{skipped}\" time=\"{seconds:.3}\"")
}

fn attribute(text: &str) -> String {
    format!("\"{}\"", escape(text).replace('\n', "&#10;"))
}

/// XML 1.0 has no way at all to write most control characters; terminals' escapes are among them.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\t' => escaped.push(character),
            '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            character if character < ' ' => escaped.push('\u{fffd}'),
            character => escaped.push(character),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;

    #[test]
    fn every_outcome_is_written() {
        let case = |name: &str, outcome, said: &[&str]| Case {
            name: name.to_owned(),
            outcome,
            took: Duration::from_millis(1_234),
            said: said.iter().map(|&line| line.to_owned()).collect(),
        };
        let suites = [
            SuiteReport {
                took: Duration::from_secs(3),
                programs: vec![Program {
                    name: "xtask src/lib.rs".to_owned(),
                    took: Duration::from_secs(2),
                    cases: vec![
                        case("plan::good", CaseOutcome::Passed, &[]),
                        case("plan::left_out", CaseOutcome::Skipped, &[]),
                        case("plan::locked_out", CaseOutcome::Skipped, &["there is no key"]),
                        case(
                            "plan::bad",
                            CaseOutcome::Failed,
                            &[
                                "thread 'plan::bad' panicked at x.rs:1:1:",
                                "\"a\" < \u{1b}[31m'b' & c ]]>",
                                "\tmore",
                            ],
                        ),
                    ],
                }],
                ..SuiteReport::new("unit")
            },
            SuiteReport::new("e2e"),
        ];
        assert_snapshot!(junit(&suites), @r#"
        <?xml version="1.0" encoding="UTF-8"?>
        <testsuites name="homeport" tests="4" failures="1" errors="0" skipped="2" time="3.000">
          <testsuite name="unit: xtask src/lib.rs" tests="4" failures="1" errors="0" skipped="2" time="2.000">
            <testcase classname="xtask src/lib.rs" name="plan::good" time="1.234"/>
            <testcase classname="xtask src/lib.rs" name="plan::left_out" time="1.234"><skipped/></testcase>
            <testcase classname="xtask src/lib.rs" name="plan::locked_out" time="1.234"><skipped message="there is no key"/></testcase>
            <testcase classname="xtask src/lib.rs" name="plan::bad" time="1.234"><failure message="&quot;a&quot; &lt; �[31m'b' &amp; c ]]&gt;">thread 'plan::bad' panicked at x.rs:1:1:
        &quot;a&quot; &lt; �[31m'b' &amp; c ]]&gt;
        	more</failure></testcase>
          </testsuite>
        </testsuites>
        "#);
    }
}
