//! What holds for every text.

use std::time::Duration;

use proptest::prelude::*;

use super::super::interpolation::substitute;
use super::super::{parse_env_file, quantity, words};
use super::{read, service};

/// Go's way of writing a duration, which is what `docker compose config` prints: `1h2m3.5s`.
fn go_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    format!("{hours}h{minutes}m{}.{:09}s", seconds % 60, duration.subsec_nanos())
}

/// Fragments out of which texts are made that are nearly Compose files.
const FRAGMENTS: &[&str] = &[
    "services:",
    "\n",
    "\n  ",
    "\n    ",
    "\n      ",
    "web:",
    "image: ",
    "i",
    "ports:",
    "- ",
    "80:80",
    "[",
    "]",
    "{",
    "}",
    ",",
    ": ",
    "environment:",
    "A=1",
    "${",
    "A",
    ":-",
    "$",
    "}",
    "'",
    "\"",
    "&a ",
    "*a",
    "<<: ",
    "!reset ",
    "|",
    ">",
    "volumes:",
    "./x:/x",
    "healthcheck:",
    "test: ",
    "deploy:",
    "depends_on:",
    "networks:",
    "name: ",
    "~",
    "null",
    "1",
    "#",
    "---\n",
    "x-homeport: ",
    "0x1F",
    "1e9",
    "\t",
    "é",
    "\u{0}",
    "\\",
    "? ",
    "command: ",
    "env_file: some.env",
    "mem_limit: 1m",
];

proptest! {
    #[test]
    fn a_duration_is_read_as_it_is_printed(nanoseconds in 0..=u64::MAX) {
        let duration = Duration::from_nanos(nanoseconds);
        prop_assert_eq!(quantity::duration(&go_duration(duration)), Ok(duration));
        prop_assert_eq!(quantity::duration(&format!("{nanoseconds}ns")), Ok(duration));
    }

    #[test]
    fn a_size_is_read_as_it_is_printed(count in 0_u64..1 << 20, (unit, power) in prop::sample::select(vec![
        ("", 0), ("b", 0), ("k", 1), ("Kb", 1), ("m", 2), ("MiB", 2), (" g", 3), ("T", 4),
    ])) {
        let bytes = count << (10 * power);
        prop_assert_eq!(quantity::bytes(&format!("{count}{unit}")), Ok(bytes));
        prop_assert_eq!(quantity::bytes(&bytes.to_string()), Ok(bytes));
    }

    #[test]
    fn text_without_a_dollar_sign_is_not_changed(text in "[^$]*") {
        let mut unset = Vec::new();
        prop_assert_eq!(substitute(&text, &|_| None, &mut unset), Ok(text));
        prop_assert!(unset.is_empty());
    }

    #[test]
    fn text_with_each_dollar_sign_doubled_stands_for_itself(text in any::<String>()) {
        let doubled = text.replace('$', "$$");
        prop_assert_eq!(substitute(&doubled, &|_| None, &mut Vec::new()), Ok(text));
    }

    #[test]
    fn a_default_is_used_exactly_when_the_variable_is_unset_or_empty(value in prop::option::of("[a-z]{0,3}"), default in "[a-z]{0,3}") {
        let lookup = |name: &str| if name == "V" { value.clone() } else { None };
        let substitute = |text: &str| substitute(text, &lookup, &mut Vec::new());
        let filled = value.clone().filter(|value| !value.is_empty());
        prop_assert_eq!(substitute(&format!("${{V-{default}}}")), Ok(value.clone().unwrap_or(default.clone())));
        prop_assert_eq!(substitute(&format!("${{V:-{default}}}")), Ok(filled.clone().unwrap_or(default.clone())));
        prop_assert_eq!(substitute("${V?}").ok(), value.clone());
        prop_assert_eq!(substitute("${V:?}").ok(), filled.clone());
        prop_assert_eq!(substitute("${V+x}"), Ok(value.as_ref().map_or_else(String::new, |_| "x".to_owned())));
        prop_assert_eq!(substitute("${V:+x}"), Ok(filled.as_ref().map_or_else(String::new, |_| "x".to_owned())));
    }

    #[test]
    fn quoted_words_are_split_where_they_were_joined(expected in prop::collection::vec("[^\0]{0,8}", 0..5)) {
        let single: Vec<String> = expected.iter().map(|word| format!("'{}'", word.replace('\'', "'\\''"))).collect();
        prop_assert_eq!(words::split(&single.join(" ")), Ok(expected.clone()));
        let double: Vec<String> =
            expected.iter().map(|word| format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\""))).collect();
        prop_assert_eq!(words::split(&double.join("\n ")), Ok(expected));
    }

    #[test]
    fn an_env_file_gives_back_what_was_quoted_into_it(value in "[^\0\r]{0,20}") {
        // What a single-quoted value cannot hold: a backslash before a quote.
        prop_assume!(!value.contains('\\'));
        let text = format!("# first\nA='{}'\nB=next\n", value.replace('\'', "\\'"));
        let variables = parse_env_file(&text, &|_| None).expect("an env file");
        prop_assert_eq!(&variables["A"], &value);
        prop_assert_eq!(&variables["B"], "next");
    }

    #[test]
    fn no_env_file_breaks_the_reader(text in any::<String>(), line in "[A-Z= \"'$#:{}\\\\\n-]{0,40}") {
        for text in [text, line] {
            if let Err(faults) = parse_env_file(&text, &|_| None) {
                prop_assert!(!faults.is_empty());
                prop_assert!(faults.iter().all(|fault| fault.line <= text.lines().count().max(1)));
            }
        }
    }

    #[test]
    fn no_text_breaks_the_reader(text in any::<String>(), fragments in prop::collection::vec(prop::sample::select(FRAGMENTS), 0..40)) {
        let fragments = fragments.concat();
        for text in [&text, &fragments, &service(&text), &service(&fragments), &format!("services: {{web: {{image: i, {fragments}")] {
            if let Err(error) = read(text) {
                prop_assert!(!error.faults.is_empty());
                prop_assert!(error.faults.is_sorted());
                prop_assert!(error.faults.iter().all(|fault| !fault.message.is_empty() && !fault.message.contains('\n')));
            }
        }
    }

    #[test]
    fn no_bytes_break_the_reader(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let text = String::from_utf8_lossy(&bytes);
        if let Err(error) = read(&text) {
            prop_assert!(!error.faults.is_empty());
        }
    }

    #[test]
    fn no_value_under_any_key_breaks_the_reader(
        key in prop::sample::select(vec![
            "image", "build", "command", "entrypoint", "environment", "env_file", "ports", "volumes", "tmpfs", "networks",
            "depends_on", "healthcheck", "restart", "user", "read_only", "cap_add", "security_opt", "deploy", "mem_limit",
            "cpus", "pids_limit", "shm_size", "sysctls", "ulimits", "stop_grace_period", "labels", "x-homeport",
        ]),
        value in "\"?[a-z0-9:/.{}\\[\\], -]{0,24}\"?",
    ) {
        if let Err(error) = read(&format!("services: {{web: {{image: i, {key}: {value}}}}}")) {
            prop_assert!(!error.faults.is_empty());
        }
    }
}
