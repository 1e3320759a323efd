//! The shapes of secrets: a table, one row a kind.
//!
//! Must not: decide where a shape counts; the search does.

/// What a secret is known by.
pub(super) struct Shape {
    /// A part that every one has: the pattern is tried only where it stands.
    pub(super) telling: &'static str,
    /// What it looks like (`regex-lite`). A group, where there is one, is the secret itself.
    pub(super) pattern: &'static str,
    /// What it is, as a finding says it.
    pub(super) what: &'static str,
}

const fn shape(telling: &'static str, pattern: &'static str, what: &'static str) -> Shape {
    Shape { telling, pattern, what }
}

/// Each issuer's own documentation says how its tokens begin. A private key is one only with its body: programs that read
/// keys contain the first line.
pub(super) const SHAPES: &[Shape] = &[
    shape(
        "PRIVATE KEY",
        r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----(?:\\[nr]|\s)+(?:[A-Za-z-]+: [^\n]*\s+)*[A-Za-z0-9+/=\s]{40}",
        "a private key",
    ),
    shape(
        "PuTTY-User-Key-File",
        r"PuTTY-User-Key-File-[23]: [^\n]*\n(?s:.){0,200}Private-Lines",
        "a private key",
    ),
    shape("AGE-SECRET-KEY-1", r"AGE-SECRET-KEY-1[0-9A-Z]{58}", "a private key"),
    shape("AKIA", r"\bAKIA[0-9A-Z]{16}\b", "an access key of AWS"),
    shape("ASIA", r"\bASIA[0-9A-Z]{16}\b", "an access key of AWS"),
    shape("ghp_", r"\bghp_[A-Za-z0-9]{36}\b", "a token of GitHub"),
    shape("gho_", r"\bgho_[A-Za-z0-9]{36}\b", "a token of GitHub"),
    shape("ghu_", r"\bghu_[A-Za-z0-9]{36}\b", "a token of GitHub"),
    shape("ghs_", r"\bghs_[A-Za-z0-9]{36}\b", "a token of GitHub"),
    shape("ghr_", r"\bghr_[A-Za-z0-9]{36}\b", "a token of GitHub"),
    shape("github_pat_", r"\bgithub_pat_[A-Za-z0-9_]{60,}", "a token of GitHub"),
    shape("glpat-", r"\bglpat-[A-Za-z0-9_-]{20,}", "a token of GitLab"),
    shape("gldt-", r"\bgldt-[A-Za-z0-9_-]{20,}", "a token of GitLab"),
    shape("glrt-", r"\bglrt-[A-Za-z0-9_-]{20,}", "a token of GitLab"),
    shape("dckr_pat_", r"\bdckr_pat_[A-Za-z0-9_-]{27}", "a token of Docker Hub"),
    shape(r#""auth""#, r#""auth"\s*:\s*"([A-Za-z0-9+/]{8,}={0,2})""#, "an account of a registry"),
    shape("cio", r"\bcio[A-Za-z0-9]{32}\b", "a token of crates.io"),
    shape("npm_", r"\bnpm_[A-Za-z0-9]{36}\b", "a token of npm"),
    shape("pypi-", r"\bpypi-AgEI[A-Za-z0-9_-]{50,}", "a token of PyPI"),
    shape("xox", r"\bxox[abeoprs]-[A-Za-z0-9-]{20,}", "a token of Slack"),
    shape("xapp-", r"\bxapp-[0-9]-[A-Za-z0-9-]{20,}", "a token of Slack"),
    shape(
        "hooks.slack.com/services/",
        r"hooks\.slack\.com/services/(T[A-Za-z0-9]+/B[A-Za-z0-9]+/[A-Za-z0-9]{20,})",
        "an address of Slack at which anybody may post",
    ),
    shape("k_live_", r"\b[sr]k_live_[A-Za-z0-9]{16,}", "a key of Stripe"),
    shape("AIza", r"\bAIza[0-9A-Za-z_-]{35}", "a key of a Google API"),
    shape("GOCSPX-", r"\bGOCSPX-[A-Za-z0-9_-]{28}", "a client secret of Google"),
    shape("SG.", r"\bSG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}", "a key of SendGrid"),
    shape("sk-", r"\bsk-(?:ant|proj|svcacct)-[A-Za-z0-9_-]{32,}", "a key of a model's API"),
    shape("hf_", r"\bhf_[A-Za-z]{34}\b", "a token of Hugging Face"),
    shape("dop_v1_", r"\bdop_v1_[0-9a-f]{64}\b", "a token of DigitalOcean"),
    shape("hvs.", r"\bhvs\.[A-Za-z0-9_-]{24,}", "a token of Vault"),
    shape("eyJ", r"\beyJ[A-Za-z0-9_-]{16,}\.eyJ[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}", "a JSON web token"),
    shape("machine", r"\bmachine\s+\S+\s+login\s+\S+\s+password\s+([^\s$<{]{4,})", "a password of .netrc"),
];

/// An assignment to a name that tells: `DB_PASSWORD=…`, `api-key: "…"`. The value is what a generator makes.
pub(super) const ASSIGNED: &str = r#"(?i)(?:pass(?:word|wd|phrase)?|pwd|secret(?:[_-]?(?:access[_-]?)?key)?|token|(?:api|access|private|encryption|signing)[_-]?key)["']?\s*[:=]\s*["']?([A-Za-z0-9+/_=-]{16,})"#;

/// A password in an address: `postgres://user:…@host`.
pub(super) const IN_ADDRESS: &str = r#"://[^\s/:@"']*:([A-Za-z0-9+_=%.~-]{16,})@"#;

/// What a request is signed with: `Authorization: Bearer …`.
pub(super) const BEARER: &str = r"(?i)\b(?:bearer|basic)\s+([A-Za-z0-9._~+/=-]{16,})";

/// In a file of settings a password need not look random: `DB_PASS=hunter2`, `password: "…"`.
pub(super) const SETTING: &str =
    r#"(?i)(?:pass|password|passwd|passphrase|pwd)["']?\s*[:=]\s*["']?([^\s"'#,;}\]]{3,})"#;

/// As [`SETTING`], in an address.
pub(super) const SETTING_IN_ADDRESS: &str = r#"://[^\s/:@"'$<{]*:([^\s/@"'$<{}]{3,})@"#;

/// The words of which the patterns of assignments want one, in lower case.
pub(super) const TELLING: [&str; 9] =
    ["pass", "pwd", "secret", "token", "api", "://", "bearer", "basic ", "key"];
