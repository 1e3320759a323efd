//! The service's JSON log lines, made readable: time of day with its zone, level, then either the request (method, path, status,
//! latency) or the message, what else it carries, and the request's id last.
//!
//! Must not: write. A line that is not such JSON is shown as it is.

use serde_json::{Map, Value};

use super::style::{Role, Style, sanitize};

/// The keys a line's time is looked for under: ours, and the usual ones of others.
const TIME: [&str; 3] = ["timestamp", "ts", "time"];
/// The keys a line's message is looked for under.
const MESSAGE: [&str; 2] = ["msg", "message"];
/// The key that is shown dimmed at the end, without its name.
const IDENTIFIER: &str = "request_id";
/// Keys that are left out of a request's line: the endpoint and the address repeat what the path and the machine tell,
/// and a request that came without a trace has its own identifier for one.
const REPEATED: [&str; 3] = ["endpoint", "ip", "trace_id"];
/// Paths that machines ask for every few seconds: a good answer to them is left out, so that people's requests are seen.
const PROBED: [&str; 3] = ["/health", "/ready", "/metrics"];
/// The cells that a path is given before it pushes the rest of its line out of the column: most paths of an API.
const PATH: usize = 20;

/// Whether the line tells of a probe that was answered well: nothing that a person looks for.
pub fn is_good_probe(line: &str) -> bool {
    let Ok(Value::Object(fields)) = serde_json::from_str(line) else { return false };
    let path = fields.get("path").and_then(Value::as_str);
    let status = fields.get("status").and_then(Value::as_u64);
    path.is_some_and(|path| PROBED.contains(&path)) && status.is_some_and(|status| status < 400)
}

/// As [`pretty`], without colour.
pub fn plain(line: &str) -> Option<String> {
    pretty(line, Style::PLAIN)
}

/// The readable form, or `None` when the line is no JSON object with a message or a request in it.
pub fn pretty(line: &str, style: Style) -> Option<String> {
    let line = line.trim();
    if !line.starts_with('{') {
        return None;
    }
    let Ok(Value::Object(mut fields)) = serde_json::from_str::<Value>(line) else { return None };
    let mut words = Vec::new();
    let request = request(&mut fields, style);
    let message = MESSAGE.iter().find_map(|key| text(fields.get(*key)?).map(|text| (*key, text)));
    if request.is_none() && message.is_none() {
        return None;
    }
    let time = TIME.iter().find_map(|key| fields.remove(*key));
    words.extend(time.as_ref().and_then(time_of_day).map(|time| style.paint(Role::Faint, &time)));
    if let Some(level) = fields.remove("level").as_ref().and_then(text) {
        words.push(painted_level(&level, style));
    }
    if let Some(request) = request {
        words.push(request);
        for key in REPEATED {
            fields.remove(key);
        }
        // A request's line says "request" or the like; the request says it better.
        for key in MESSAGE {
            fields.remove(key);
        }
    } else if let Some((key, message)) = message {
        fields.remove(key);
        words.push(sanitize(&message, false));
    }
    let identifier = fields.remove(IDENTIFIER).as_ref().and_then(text);
    for (key, value) in &fields {
        if let Some(value) = text(value) {
            let name = style.paint(Role::Faint, &format!("{}=", sanitize(key, false)));
            words.push(format!("{name}{}", sanitize(&value, false)));
        }
    }
    words.extend(identifier.map(|id| style.paint(Role::Faint, &sanitize(&id, false))));
    Some(words.join(" "))
}

/// Method, path, status and latency, taken out of the fields.
fn request(fields: &mut Map<String, Value>, style: Style) -> Option<String> {
    let method = text(fields.get("method")?)?;
    let path = text(fields.get("path")?)?;
    let status = fields.get("status")?.as_u64()?;
    let latency = fields.get("latency").and_then(Value::as_f64);
    for key in ["method", "path", "status", "latency"] {
        fields.remove(key);
    }
    let role = match status {
        ..400 => Role::Good,
        400..500 => Role::Caution,
        _ => Role::Bad,
    };
    let method = style.paint(Role::Strong, &format!("{:<4}", sanitize(&method, false)));
    let status = style.paint(role, &status.to_string());
    let latency = latency.map(|seconds| format!(" {:>6}", latency_text(seconds))).unwrap_or_default();
    Some(format!("{method} {:<PATH$} {status}{latency}", sanitize(&path, false)))
}

/// A latency: `85µs`, `1.3ms`, `2.10s`.
fn latency_text(seconds: f64) -> String {
    match seconds {
        s if s < 0.001 => format!("{:.0}µs", s * 1e6),
        s if s < 1.0 => format!("{:.1}ms", s * 1e3),
        s => format!("{s:.2}s"),
    }
}

fn painted_level(level: &str, style: Style) -> String {
    let role = match level.to_ascii_lowercase().as_str() {
        "error" | "erro" | "critical" | "crit" | "fatal" => Role::Bad,
        "warning" | "warn" => Role::Caution,
        "debug" | "debg" | "trace" | "trce" => Role::Faint,
        _ => Role::Good,
    };
    style.paint(role, &format!("{:<5}", sanitize(level, false).to_ascii_uppercase()))
}

/// `18:43:05.123Z` of an RFC 3339 time, in the zone it is written in, which is told: it may not be the reader's.
fn time_of_day(value: &Value) -> Option<String> {
    let (_, time) = value.as_str()?.split_once(['T', ' '])?;
    let end = time.find(|c: char| !c.is_ascii_digit() && !":.".contains(c)).unwrap_or(time.len());
    let (clock, zone) = time.split_at(end);
    let is_zone = |c: char| c.is_ascii_digit() || "Zz+-:".contains(c);
    let zone = if zone.chars().all(is_zone) { zone } else { "" };
    let clock: String = clock.chars().take("18:43:05.123".len()).collect();
    (clock.len() >= "18:43:05".len()).then(|| format!("{clock}{zone}"))
}

/// A field as text; nothing for null and the empty string.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()).filter(|text| !text.is_empty()),
        other => Some(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_readable_and_others_are_left_alone() {
        let table = [
            (
                r#"{"timestamp":"2026-11-24T18:43:05.123456Z","level":"INFO","msg":"request","method":"GET","path":"/api/data?limit=2","endpoint":"/api/data","status":200,"latency":0.00131,"ip":"127.0.0.1","request_id":"0192f","trace_id":"4bf9"}"#,
                Some("18:43:05.123Z INFO  GET  /api/data?limit=2    200  1.3ms 0192f"),
            ),
            (
                r#"{"timestamp":"2026-11-24T18:43:05Z","level":"error","msg":"cannot reach redis","attempt":3,"cause":"refused"}"#,
                Some("18:43:05Z ERROR cannot reach redis attempt=3 cause=refused"),
            ),
            (r#"{"msg":"clear\u001b[2J screen","level":"info"}"#, Some("INFO  clear screen")),
            (
                r#"{"time":"2026-11-24T18:43:05.123456+01:00","level":"info","msg":"elsewhere"}"#,
                Some("18:43:05.123+01:00 INFO  elsewhere"),
            ),
            (
                r#"{"time":"2026-11-24 18:43:05 in Paris","level":"info","msg":"elsewhere"}"#,
                Some("18:43:05 INFO  elsewhere"),
            ),
            (r#"{"level":"info","msg":"no time","ts":"soon"}"#, Some("INFO  no time")),
            (
                r#"{"method":"POST","path":"/","status":503,"latency":2.1}"#,
                Some("POST /                    503  2.10s"),
            ),
            (
                r#"{"method":"GET","path":"/","status":204,"latency":0.000085}"#,
                Some("GET  /                    204   85µs"),
            ),
            (r#"{"neither":"message","nor":"request"}"#, None),
            ("LOG:  database system is ready", None),
            ("{broken", None),
            ("[1]", None),
        ];
        for (line, expected) in table {
            assert_eq!(pretty(line, Style::PLAIN).as_deref(), expected, "{line}");
        }
    }

    #[test]
    fn good_answers_to_probes_are_known() {
        let table = [
            (r#"{"method":"GET","path":"/health","status":200}"#, true),
            (r#"{"method":"GET","path":"/metrics","status":200}"#, true),
            (r#"{"method":"GET","path":"/ready","status":503}"#, false),
            (r#"{"method":"GET","path":"/api/data","status":200}"#, false),
            (r#"{"path":"/health","msg":"no request"}"#, false),
            ("/health 200", false),
        ];
        for (line, expected) in table {
            assert_eq!(is_good_probe(line), expected, "{line}");
        }
    }
}
