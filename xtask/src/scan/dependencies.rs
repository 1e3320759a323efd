//! What cargo-deny says of the dependencies (`--format json`: one object a line), as findings.
//!
//! Must not: decide what is an error; `deny.toml` does.

use serde_json::Value;

use super::Finding;

/// The errors among cargo-deny's lines; `None` when there is no summary, so that it did not come to its end.
pub fn dependencies(lines: &[String]) -> Option<Vec<Finding>> {
    let values: Vec<Value> = lines.iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
    values.iter().find(|value| value["type"] == "summary")?;
    let errors = values.iter().filter(|value| value["type"] == "diagnostic");
    Some(
        errors
            .map(|value| &value["fields"])
            .filter(|fields| fields["severity"] == "error")
            .map(finding)
            .collect(),
    )
}

fn finding(fields: &Value) -> Finding {
    let package = &fields["graphs"][0]["Krate"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let place = match package["name"].as_str() {
        Some(name) => format!("{name} {}", text(&package["version"])),
        // About the configuration or the whole lock file.
        None => text(&fields["code"]),
    };
    let mut message = text(&fields["message"]);
    if let Some(advisory) = fields["advisory"]["id"].as_str() {
        message = format!("{advisory}: {message}");
    }
    // What a licence or a source is rejected for stands at the place that is pointed at.
    let spans = fields["labels"].as_array().into_iter().flatten();
    let pointed: Option<&str> =
        spans.filter_map(|label| label["span"].as_str()).find(|span| !span.is_empty() && span.len() <= 100);
    match pointed.filter(|_| fields["advisory"].is_null()) {
        Some(span) => Finding::new(place, format!("{message} ({span})")),
        None => Finding::new(place, message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines as cargo-deny 0.20 writes them, shortened.
    const LICENCE: &str = r#"{"fields":{"code":"rejected","graphs":[{"Krate":{"name":"pq-src","version":"0.3.14"}}],"labels":[{"column":12,"line":228,"message":"","span":"PostgreSQL"}],"message":"failed to satisfy license requirements","severity":"error"},"type":"diagnostic"}"#;
    const ADVISORY: &str = r#"{"fields":{"advisory":{"id":"RUSTSEC-2020-0071"},"code":"vulnerability","graphs":[{"Krate":{"name":"time","version":"0.1.40"}}],"labels":[{"span":"time 0.1.40 registry+https://github.com/rust-lang/crates.io-index"}],"message":"Potential segfault in the time crate","severity":"error"},"type":"diagnostic"}"#;
    const WARNING: &str = r#"{"fields":{"code":"license-not-encountered","graphs":[],"labels":[],"message":"license was not encountered","severity":"warning"},"type":"diagnostic"}"#;
    const SUMMARY: &str = r#"{"fields":{"advisories":{"errors":1}},"type":"summary"}"#;

    #[test]
    fn errors_are_findings_and_warnings_are_none() {
        let lines = [LICENCE, WARNING, ADVISORY, SUMMARY].map(str::to_owned);
        let found: Vec<String> =
            dependencies(&lines).expect("it ended").iter().map(ToString::to_string).collect();
        let expected = [
            "pq-src 0.3.14: failed to satisfy license requirements (PostgreSQL)",
            "time 0.1.40: RUSTSEC-2020-0071: Potential segfault in the time crate",
        ];
        assert_eq!(found, expected);
        assert_eq!(dependencies(&["error: no such option".to_owned()]), None);
    }
}
