//! What Trivy says of an image (`--format json`, schema 2: Trivy's documentation, "Reporting"), judged: what fails the
//! scan, what is only told, and what `.trivyignore.yaml` ignores with a reason until a day.
//!
//! Must not: run Trivy, or read a clock. The day is handed in.

use serde::Deserialize;

use super::Finding;

/// The file with what is ignored, in Trivy's own format ("Filtering", `.trivyignore.yaml`). It is judged here, so that an
/// entry without a reason or an end is none.
pub const IGNORED: &str = ".trivyignore.yaml";

/// The version of the report's schema that is understood.
const SCHEMA: u64 = 2;

/// The severities that fail a scan; those below are told.
const FAILING: [&str; 2] = ["CRITICAL", "HIGH"];

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Report {
    schema_version: u64,
    /// Left out when nothing was looked at.
    #[serde(default)]
    results: Option<Vec<Outcome>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Outcome {
    target: String,
    packages: Option<Vec<serde::de::IgnoredAny>>,
    vulnerabilities: Option<Vec<Vulnerability>>,
    secrets: Option<Vec<Secret>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Vulnerability {
    #[serde(rename = "VulnerabilityID")]
    id: String,
    pkg_name: String,
    installed_version: String,
    fixed_version: String,
    severity: String,
    title: String,
}

/// What it takes for a secret. The match itself is not read.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Secret {
    #[serde(rename = "RuleID")]
    id: String,
    title: String,
    start_line: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Ignored {
    vulnerabilities: Vec<Entry>,
    secrets: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
struct Entry {
    id: String,
    #[serde(default)]
    expired_at: Option<String>,
    #[serde(default)]
    statement: Option<String>,
}

/// What became of a report.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Judged {
    /// What fails the scan.
    pub found: Vec<Finding>,
    /// How many vulnerabilities are of a severity that does not.
    pub lesser: usize,
    /// How many were ignored with a reason.
    pub ignored: usize,
    /// How many packages it knew of what it looked at. Of none, nothing was said.
    pub packages: usize,
}

/// Judges reports (of an image, of its bill of materials) on `today` (`2026-11-25`), by the text of [`IGNORED`], empty when
/// there is none.
///
/// # Errors
/// When a report is none of the schema, or the file of what is ignored cannot be read; in words.
pub fn judge(reports: &[String], ignored: &str, today: &str) -> Result<Judged, String> {
    let mut outcomes = Vec::new();
    for report in reports {
        let report: Report =
            serde_json::from_str(report).map_err(|error| format!("Trivy's report is none: {error}"))?;
        if report.schema_version != SCHEMA {
            return Err(format!(
                "Trivy's report has the schema {}, expected {SCHEMA}",
                report.schema_version
            ));
        }
        outcomes.extend(report.results.unwrap_or_default());
    }
    let ignored: Ignored = if ignored.trim().is_empty() {
        Ignored::default()
    } else {
        serde_saphyr::from_str(ignored).map_err(|error| format!("cannot read {IGNORED}: {error}"))?
    };
    let mut judged = Judged::default();
    for entry in ignored.vulnerabilities.iter().chain(&ignored.secrets) {
        judged.found.extend(entry.fault());
    }
    for outcome in outcomes {
        judged.packages += outcome.packages.map_or(0, |packages| packages.len());
        for vulnerability in outcome.vulnerabilities.unwrap_or_default() {
            let entry = ignored.vulnerabilities.iter().find(|entry| entry.id == vulnerability.id);
            if entry.is_some_and(|entry| entry.holds(today)) {
                judged.ignored += 1;
            } else if FAILING.contains(&vulnerability.severity.as_str()) {
                judged.found.push(vulnerability.told(&outcome.target, entry));
            } else {
                judged.lesser += 1;
            }
        }
        for secret in outcome.secrets.unwrap_or_default() {
            if ignored.secrets.iter().any(|entry| entry.id == secret.id && entry.holds(today)) {
                judged.ignored += 1;
                continue;
            }
            let place = format!("{}:{}", outcome.target, secret.start_line);
            judged.found.push(Finding::new(place, format!("holds {} ({})", secret.title, secret.id)));
        }
    }
    judged.found.sort();
    judged.found.dedup();
    Ok(judged)
}

impl Entry {
    /// Days written as in [`IGNORED`] compare as texts do.
    fn holds(&self, today: &str) -> bool {
        self.fault().is_none() && self.expired_at.as_deref().is_some_and(|end| today < end)
    }

    fn fault(&self) -> Option<Finding> {
        let has_reason = self.statement.as_deref().is_some_and(|text| !text.trim().is_empty());
        let is_day = |text: &str| {
            let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
            shape == "0000-00-00"
        };
        let message = match (has_reason, self.expired_at.as_deref()) {
            (false, _) => "is ignored without a reason (statement)".to_owned(),
            (true, None) => "is ignored for ever, expected a day (expired_at)".to_owned(),
            (true, Some(day)) if !is_day(day) => {
                format!("is ignored until {day:?}, expected a day as 2027-01-31")
            }
            _ => return None,
        };
        Some(Finding::new(format!("{IGNORED}: {}", self.id), message))
    }
}

impl Vulnerability {
    fn told(&self, target: &str, entry: Option<&Entry>) -> Finding {
        let title = if self.title.is_empty() { String::new() } else { format!(": {}", self.title) };
        let fix = match self.fixed_version.as_str() {
            "" => "no version has it fixed yet".to_owned(),
            fixed => format!("fixed in {fixed}"),
        };
        let entry = entry.filter(|entry| entry.fault().is_none());
        let end = entry.and_then(|entry| entry.expired_at.as_ref());
        let over = end.map(|end| format!("; it was ignored until {end}")).unwrap_or_default();
        let message = format!("{} {}{title}; {fix}{over}", self.severity, self.id);
        Finding::new(format!("{target}: {} {}", self.pkg_name, self.installed_version), message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In the form of Trivy's documentation, shortened.
    const REPORT: &str = r#"{"SchemaVersion": 2, "ArtifactName": "/trivy/image.tar", "ArtifactType": "container_image",
      "Metadata": {"OS": {"Family": "debian", "Name": "13.1"}},
      "Results": [
        {"Target": "app (debian 13.1)", "Class": "os-pkgs", "Type": "debian", "Vulnerabilities": [
          {"VulnerabilityID": "CVE-2026-1", "PkgName": "libssl3", "InstalledVersion": "3.0.1", "FixedVersion": "3.0.2",
           "Status": "fixed", "Severity": "CRITICAL", "Title": "buffer overflow"},
          {"VulnerabilityID": "CVE-2026-2", "PkgName": "zlib1g", "InstalledVersion": "1.2", "Severity": "HIGH"},
          {"VulnerabilityID": "CVE-2026-3", "PkgName": "tar", "InstalledVersion": "1.3", "Severity": "MEDIUM"},
          {"VulnerabilityID": "CVE-2026-4", "PkgName": "tar", "InstalledVersion": "1.3", "Severity": "UNKNOWN"}]},
        {"Target": "service", "Class": "lang-pkgs", "Type": "rustbinary", "Packages": [
          {"Name": "rocket", "Version": "0.5.1"}, {"Name": "serde", "Version": "1.0.1"}]},
        {"Target": "/app/config", "Class": "secret", "Secrets": [
          {"RuleID": "stripe-secret-token", "Category": "Stripe", "Severity": "CRITICAL", "Title": "Stripe Secret Key",
           "StartLine": 3, "EndLine": 3, "Match": "key = ****"}]}]}"#;

    const TODAY: &str = "2026-11-25";

    fn found(ignored: &str) -> Vec<String> {
        let judged = judge(&[REPORT.to_owned()], ignored, TODAY).expect("a report");
        judged.found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn high_and_critical_ones_and_secrets_fail_and_the_rest_is_counted() {
        let expected = [
            "/app/config:3: holds Stripe Secret Key (stripe-secret-token)",
            "app (debian 13.1): libssl3 3.0.1: CRITICAL CVE-2026-1: buffer overflow; fixed in 3.0.2",
            "app (debian 13.1): zlib1g 1.2: HIGH CVE-2026-2; no version has it fixed yet",
        ];
        assert_eq!(found(""), expected);
        let judged = judge(&[REPORT.to_owned()], "", TODAY).expect("a report");
        assert_eq!((judged.lesser, judged.ignored), (2, 0));
    }

    #[test]
    fn what_is_ignored_has_a_reason_and_an_end() {
        let both = |end: &str| {
            format!(
                "vulnerabilities:\n  - id: CVE-2026-1\n    expired_at: {end}\n    statement: not reached\n\
                 secrets:\n  - id: stripe-secret-token\n    expired_at: {end}\n    statement: an example\n"
            )
        };
        let judged = judge(&[REPORT.to_owned()], &both("2026-11-26"), TODAY).expect("a report");
        assert_eq!((judged.found.len(), judged.ignored), (1, 2));
        let over = found(&both("2026-11-25"));
        assert_eq!(over.len(), 3);
        assert!(over[1].ends_with("fixed in 3.0.2; it was ignored until 2026-11-25"), "{over:?}");
        let table = [
            (
                "- id: CVE-2026-1\n    expired_at: 2099-01-01",
                "CVE-2026-1: is ignored without a reason (statement)",
            ),
            (
                "- id: CVE-2026-1\n    statement: x",
                "CVE-2026-1: is ignored for ever, expected a day (expired_at)",
            ),
            (
                "- id: CVE-2026-1\n    statement: x\n    expired_at: never",
                "CVE-2026-1: is ignored until \"never\", expected a day as 2027-01-31",
            ),
        ];
        for (entry, expected) in table {
            let said = found(&format!("vulnerabilities:\n  {entry}\n"));
            assert!(said.contains(&format!(".trivyignore.yaml: {expected}")), "{said:?}");
            assert_eq!(said.len(), 4, "it is not ignored: {said:?}");
        }
    }

    #[test]
    fn what_is_no_report_is_no_pass() {
        let judged = |report: &str| judge(&[report.to_owned()], "", TODAY);
        judged("").expect_err("empty");
        judged("{}").expect_err("no schema");
        judged(r#"{"SchemaVersion": 1}"#).expect_err("another schema");
        judge(&[REPORT.to_owned()], "vulnerabilities: 3", TODAY).expect_err("no list");
        let nothing = r#"{"SchemaVersion": 2}"#;
        assert_eq!(judged(nothing), Ok(Judged::default()), "and no package was looked at");
        let both = judge(&[nothing.to_owned(), REPORT.to_owned()], "", TODAY).expect("two reports");
        assert_eq!((both.packages, both.found.len()), (2, 3));
    }
}
