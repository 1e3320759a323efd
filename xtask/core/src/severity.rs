//! How much a line of a log matters, read from what programs write: JSON, logfmt (Prometheus, Grafana), Postgres, Redis.
//!
//! Must not: guess. A line that tells no level in one of these ways has none.

use serde_json::Value;

/// How much a line of a log matters, the least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// For whoever looks for a fault.
    Debug,
    /// What happens.
    Info,
    /// Likely to be unwanted.
    Warn,
    /// Something failed.
    Error,
}

/// What a line tells of its severity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// It has this one.
    Severity(Severity),
    /// It goes on with what the line before it began, and matters as much.
    Continues,
    /// Nothing that is known.
    Nothing,
}

/// How many words of a line may come before Postgres' own: the time, the process, and what a `log_line_prefix` adds.
const PREFIX: usize = 12;

/// Postgres' words (`src/backend/utils/error/elog.c`, `error_severity`); a `LOG` is what an operator wants to know.
const POSTGRES: [(&str, Severity); 13] = [
    ("DEBUG:", Severity::Debug),
    ("DEBUG1:", Severity::Debug),
    ("DEBUG2:", Severity::Debug),
    ("DEBUG3:", Severity::Debug),
    ("DEBUG4:", Severity::Debug),
    ("DEBUG5:", Severity::Debug),
    ("LOG:", Severity::Info),
    ("INFO:", Severity::Info),
    ("NOTICE:", Severity::Info),
    ("WARNING:", Severity::Warn),
    ("ERROR:", Severity::Error),
    ("FATAL:", Severity::Error),
    ("PANIC:", Severity::Error),
];

/// What Postgres says more of the message before, a line each.
const POSTGRES_FIELDS: [&str; 7] =
    ["DETAIL:", "HINT:", "QUERY:", "CONTEXT:", "LOCATION:", "BACKTRACE:", "STATEMENT:"];

/// What a line tells of its severity.
pub fn told(line: &str) -> Told {
    // Postgres begins each further line of a message with a tab.
    if line.starts_with('\t') {
        return Told::Continues;
    }
    let known = json(line).or_else(|| logfmt(line)).or_else(|| redis(line));
    known.map_or_else(|| postgres(line), Told::Severity)
}

/// A level's word, in whichever case, as loggers write it.
fn word(word: &str) -> Option<Severity> {
    match word.to_lowercase().as_str() {
        "trace" | "trce" | "debug" | "debg" => Some(Severity::Debug),
        "info" | "notice" => Some(Severity::Info),
        "warn" | "warning" => Some(Severity::Warn),
        "error" | "erro" | "eror" | "crit" | "critical" | "fatal" | "panic" => Some(Severity::Error),
        _ => None,
    }
}

fn json(line: &str) -> Option<Severity> {
    let line = line.trim();
    if !line.starts_with('{') {
        return None;
    }
    let Value::Object(fields) = serde_json::from_str(line).ok()? else { return None };
    word(fields.get("level")?.as_str()?)
}

/// `time=… level=INFO msg="…"`: the value of `level`, which must stand outside of others' quotes.
fn logfmt(line: &str) -> Option<Severity> {
    let mut rest = line;
    // A line of words is none.
    while let Some((key, value)) = rest.split_once('=') {
        if key.is_empty() || key.contains(char::is_whitespace) {
            return None;
        }
        let (value, after) = match value.strip_prefix('"') {
            Some(quoted) => {
                let end = closing_quote(quoted)?;
                (&quoted[..end], &quoted[end + 1..])
            }
            None => value.split_at(value.find(' ').unwrap_or(value.len())),
        };
        if matches!(key, "level" | "lvl") {
            return word(value);
        }
        rest = after.trim_start();
    }
    None
}

fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    })
}

/// `1:M 26 Nov 2026 05:41:58.324 * Ready to accept connections tcp`: process and role, time, sign
/// (Redis' `src/server.c`, `serverLogRaw`).
fn redis(line: &str) -> Option<Severity> {
    let mut words = line.split(' ');
    let (pid, role) = words.next()?.split_once(':')?;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(pid) || !matches!(role, "X" | "C" | "S" | "M") {
        return None;
    }
    let [_day, _month, year, time] = [words.next()?, words.next()?, words.next()?, words.next()?];
    if !is_number(year) || !time.contains(':') {
        return None;
    }
    match words.next()? {
        "." | "-" => Some(Severity::Debug),
        "*" => Some(Severity::Info),
        "#" => Some(Severity::Warn),
        _ => None,
    }
}

/// `2026-11-26 05:42:04.986 UTC [57] ERROR:  relation "nope" does not exist`: the word is followed by two spaces, whatever
/// the prefix is.
fn postgres(line: &str) -> Told {
    for (at, word) in line.split(' ').enumerate().take(PREFIX).filter(|(_, word)| word.ends_with(':')) {
        let mut after = line.split(' ').skip(at + 1);
        if after.next() != Some("") || after.next().is_none_or(str::is_empty) {
            continue;
        }
        if let Some((_, severity)) = POSTGRES.iter().find(|(known, _)| *known == word) {
            return Told::Severity(*severity);
        }
        if POSTGRES_FIELDS.contains(&word) {
            return Told::Continues;
        }
    }
    Told::Nothing
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_severity_of_what_programs_write() {
        use Severity::{Debug, Error, Info, Warn};
        let table = [
            // The service, and what logs as it does.
            (r#"{"timestamp":"2026-11-26T05:41:58Z","level":"INFO","msg":"request"}"#, Some(Info)),
            (r#"{"level":"TRCE"}"#, Some(Debug)),
            (r#"{"level":"WARN"}"#, Some(Warn)),
            (r#"{"level":"CRIT"}"#, Some(Error)),
            (r#"{"level":"loud"}"#, None),
            (r#"{"level":3}"#, None),
            (r#"{"msg":"level=error"}"#, None),
            // Prometheus 3 and 2, Grafana, and exporters.
            (
                r#"time=2026-11-26T05:41:59.181Z level=INFO source=main.go:1230 msg="Starting TSDB ...""#,
                Some(Info),
            ),
            (
                r#"ts=2026-11-26T05:41:59.181Z caller=main.go:1230 level=warn msg="no level=info here""#,
                Some(Warn),
            ),
            (
                r#"logger=sqlstore t=2026-11-26T05:41:59.18Z level=error msg="cannot \"open\"" error="x""#,
                Some(Error),
            ),
            (r#"time="2026-11-26T05:41:59Z" level=debug msg="said with \" level=error""#, Some(Debug)),
            (r#"msg="what was said: \" level=error" lvl=dbug"#, None),
            (r#"msg="what was said: \" level=error" lvl=eror"#, Some(Error)),
            ("the words level=error in a sentence", None),
            // Postgres 17, with the prefix that it has by default, with others, and without one.
            (
                r#"2026-11-26 05:42:04.986 UTC [57] ERROR:  relation "nope" does not exist at character 15"#,
                Some(Error),
            ),
            (
                "2026-11-26 05:42:02.684 UTC [1] LOG:  database system is ready to accept connections",
                Some(Info),
            ),
            ("2026-11-26 05:42:02.6 UTC [9] web@shop FATAL:  password authentication failed", Some(Error)),
            ("2026-11-26 05:42:02.6 UTC [9] WARNING:  there is no transaction in progress", Some(Warn)),
            ("DEBUG2:  parse <unnamed>: ERROR:  not this one", Some(Debug)),
            ("docker-entrypoint: cluster made, starting", None),
            ("ERROR: of another program", None),
            // Redis 8.
            ("1:M 26 Nov 2026 05:41:58.324 * Ready to accept connections tcp", Some(Info)),
            ("1:C 26 Nov 2026 05:41:58.218 # WARNING Memory overcommit must be enabled!", Some(Warn)),
            (
                "1:M 26 Nov 2026 05:42:03.722 . 0 clients connected (0 replicas), 670640 bytes in use",
                Some(Debug),
            ),
            ("1:S 26 Nov 2026 05:42:03.722 - Accepted 127.0.0.1:40212", Some(Debug)),
            ("1:M of another program * here", None),
            ("", None),
        ];
        for (line, expected) in table {
            assert_eq!(told(line), expected.map_or(Told::Nothing, Told::Severity), "{line}");
        }
        assert!(Debug < Info && Info < Warn && Warn < Error);
    }

    #[test]
    fn what_postgres_says_more_of_a_message_goes_on_with_it() {
        for line in [
            "2026-11-26 05:42:04.986 UTC [57] STATEMENT:  select * from nope",
            "2026-11-26 05:42:04.986 UTC [57] DETAIL:  Key (id)=(1) already exists.",
            "\tfrom items",
        ] {
            assert_eq!(told(line), Told::Continues, "{line}");
        }
    }
}
