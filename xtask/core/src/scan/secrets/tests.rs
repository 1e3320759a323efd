//! Texts with and without secrets, and what is said of them.

use super::*;

const ALPHABET: &str = "Ab1Cd2Ef3Gh4Ij5Kl6Mn7Op8Qr9St0UvWxYzAb1Cd2Ef3Gh4Ij5Kl6Mn7Op8Qr9";
const BODY: &str = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj";

fn found(path: &str, text: &str) -> Vec<String> {
    hits(path, text, &Rules::default()).iter().map(|hit| format!("{}: {}", hit.line, hit.what)).collect()
}

/// Put together here, so that this file has no secret in it.
fn tokens() -> Vec<(String, &'static str)> {
    let of = |start: &str, length: usize| format!("{start}{}", &ALPHABET[..length]);
    let capitals = ALPHABET.to_uppercase();
    vec![
        (format!("{}{}", "AK", "IAIOSFODNN7EXAMPLE"), "an access key of AWS"),
        (of("ghp_", 36), "a token of GitHub"),
        (of("github_pat_", 60), "a token of GitHub"),
        (of("glpat-", 20), "a token of GitLab"),
        (of("gldt-", 20), "a token of GitLab"),
        (of("glrt-", 20), "a token of GitLab"),
        (of("dckr_pat_", 27), "a token of Docker Hub"),
        (
            format!("{{\"auths\": {{\"r\": {{\"{}\": \"{}\"}}}}}}", "auth", "YXBwOmh1bnRlcg=="),
            "an account of a registry",
        ),
        (of("cio", 32), "a token of crates.io"),
        (of("npm_", 36), "a token of npm"),
        (of("pypi-AgEI", 50), "a token of PyPI"),
        (of("xoxb-", 24), "a token of Slack"),
        (of("xapp-1-", 24), "a token of Slack"),
        (
            of("https://hooks.slack.com/services/T0AB/B0CD/", 24),
            "an address of Slack at which anybody may post",
        ),
        (of("sk_live_", 24), "a key of Stripe"),
        (of("rk_live_", 24), "a key of Stripe"),
        (of("AIza", 35), "a key of a Google API"),
        (of("GOCSPX-", 28), "a client secret of Google"),
        (format!("SG.{}.{}", &ALPHABET[..22], &ALPHABET[..43]), "a key of SendGrid"),
        (of("sk-proj-", 40), "a key of a model's API"),
        (format!("hf_{}", "abcdefghijklmnopqrstuvwxyzabcdefgh"), "a token of Hugging Face"),
        (format!("dop_v1_{}", "0123456789abcdef".repeat(4)), "a token of DigitalOcean"),
        (of("hvs.", 24), "a token of Vault"),
        (format!("AGE-SECRET-KEY-1{}", &capitals[..58]), "a private key"),
        (format!("eyJ{0}.eyJ{0}.{0}", &ALPHABET[..20]), "a JSON web token"),
        (format!("machine h\n  login me\n  {} {}", "password", "hunter2"), "a password of .netrc"),
    ]
}

#[test]
fn every_shape_of_a_token_is_found() {
    for (text, what) in tokens() {
        let lines = found("notes", &format!("first line\n{text}\n"));
        let hit = lines.iter().any(|line| line.ends_with(&format!("holds {what}")));
        assert!(hit, "{what}: {text}: {lines:?}");
    }
    let all: std::collections::BTreeSet<&str> = tokens().into_iter().map(|(_, what)| what).collect();
    let untested: Vec<&str> =
        SHAPES.iter().map(|shape| shape.what).filter(|what| !all.contains(what)).collect();
    assert_eq!(untested, Vec::<&str>::new());
}

#[test]
fn private_keys_of_every_kind_are_found() {
    let key =
        |kind: &str, middle: &str| format!("x\n-----BEGIN {kind}{}-----\n{middle}{BODY}\n", "PRIVATE KEY");
    let texts = [
        key("", ""),
        key("RSA ", ""),
        key("EC ", ""),
        key("OPENSSH ", ""),
        key("ENCRYPTED ", ""),
        key("RSA ", "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\n"),
        key("PGP ", "Version: 1\n\n").replace("KEY-----", "KEY BLOCK-----"),
        key("", "").replace('\n', "\n    "),
        format!("x\n{{\"key\": \"{}\"}}", key("", "").trim_start_matches("x\n").replace('\n', "\\n")),
        format!("x\nPuTTY-User-Key-{}: ssh-rsa\nEncryption: none\nPrivate-{}: 8\n", "File-2", "Lines"),
    ];
    for text in texts {
        assert_eq!(found("f", &text), ["2: holds a private key"], "{text}");
    }
}

#[test]
fn what_is_assigned_to_a_telling_name_is_found() {
    let random = &ALPHABET[..24];
    let anywhere = [
        format!("DB_PASSWORD={random}"),
        format!("DB_PASS={random}"),
        format!("ROCKET_SECRET_KEY={}", &ALPHABET[..44]),
        format!("aws_secret_access_key = {}", &ALPHABET[..40]),
        format!("secretAccessKey: {}", &ALPHABET[..40]),
        format!("URL=postgres://app:{random}@db/app"),
        format!("\"api-key\": \"{random}\""),
        format!("Authorization: Bearer {random}"),
        format!("curl -H 'authorization: basic {random}'"),
    ];
    for text in anywhere {
        assert_eq!(found("f.rs", &text), ["1: assigns what looks like a secret"], "{text}");
    }
    let of_settings = [
        ("a/.env", "DB_PASS=hunter2"),
        ("env.production", "export PASSWORD='correct horse'"),
        ("compose.yaml", "  - DB_PASSWORD=hunter2"),
        ("compose.yaml", "  environment: {POSTGRES_PASSWORD: hunter2}"),
        ("app.yml", "password: \"letmein\""),
        ("Dockerfile", "ENV DB_PASSWD=hunter2"),
        ("redis.conf", "url = redis://default:hunter2@cache:6379"),
    ];
    for (path, text) in of_settings {
        assert_eq!(found(path, text), ["1: assigns what looks like a secret"], "{path}: {text}");
        assert_eq!(found("README.md", text), Vec::<String>::new(), "only an example: {text}");
    }
}

#[test]
fn a_program_is_searched_like_a_text_without_lines() {
    let padding = "\0x".repeat(LINE);
    let text = format!("{padding}DB_PASSWORD={}{padding}", &ALPHABET[..24]);
    let hit = hits("service", &text, &Rules::default()).remove(0);
    assert_eq!((hit.line, hit.what.as_str()), (1, "assigns what looks like a secret"));
    assert_eq!(hit.fingerprint, fingerprint(&ALPHABET[..24]));
}

#[test]
fn a_secret_is_told_with_its_line_however_far_it_stands_behind() {
    let random = &ALPHABET[..24];
    let padding = "words without end, ".repeat(10);
    let token = format!("{padding}{}{}", "ghp_", &ALPHABET[..36]);
    for line in [token, format!("{padding}DB_PASSWORD={random}"), format!("DB_PASSWORD={random}")] {
        let hits = hits("f", &format!("first\nsecond\n{line}\nlast\n"), &Rules::default());
        assert_eq!(hits.iter().map(|hit| hit.line).collect::<Vec<_>>(), [3], "{line}: {hits:?}");
    }
}

#[test]
fn letters_of_several_bytes_may_stand_around_a_secret() {
    let token = format!("{}{}", "ghp_", &ALPHABET[..36]);
    for before in 0..4 {
        let text = format!("{}{} {token} {}", "-".repeat(before), "€".repeat(50), "€".repeat(500));
        assert_eq!(found("f", &text), ["1: holds a token of GitHub"], "{before}");
    }
}

#[test]
fn a_secret_that_two_rules_know_is_told_once() {
    let value = &ALPHABET[..24];
    let rules = Rules { known: vec![("DB_PASSWORD".to_owned(), value.to_owned())], ..Rules::default() };
    let hits = hits("f", &format!("DB_PASSWORD={value}"), &rules);
    assert_eq!(
        hits.iter().map(|hit| hit.what.as_str()).collect::<Vec<_>>(),
        ["holds this checkout's DB_PASSWORD"]
    );
    let table = [
        (0..4, 4..8, false),
        (0..5, 4..8, true),
        (2..3, 0..9, true),
        (0..4, 0..4, true),
        (0..2, 6..8, false),
    ];
    for (one, other, expected) in table {
        assert_eq!(overlap(&one, &other), expected, "{one:?} {other:?}");
        assert_eq!(overlap(&other, &one), expected, "{other:?} {one:?}");
    }
}

#[test]
fn what_is_allowed_hides_nothing_beside_it() {
    let [token, other] = [0, 4].map(|from| format!("{}{}", "ghp_", &ALPHABET[from..from + 36]));
    let (random, another) = (&ALPHABET[..24], &ALPHABET[20..44]);
    let lines = [
        format!("{token} {other}"),
        format!("X={token} DB_PASSWORD={random}"),
        format!("A_PASSWORD={random} B_PASSWORD={another}"),
    ];
    for (line, [allowed, remaining]) in
        lines.iter().zip([[token.as_str(), other.as_str()], [token.as_str(), random], [random, another]])
    {
        let both = hits("f", line, &Rules::default());
        assert_eq!(both.len(), 2, "{line}: {both:?}");
        for (allowed, remaining) in [(allowed, remaining), (remaining, allowed)] {
            let allowed =
                Allowed::parse(&format!("{} an example", fingerprint(allowed))).expect("well written");
            let left = hits("f", line, &Rules { allowed, ..Rules::default() });
            let prints: Vec<&str> = left.iter().map(|hit| hit.fingerprint.as_str()).collect();
            assert_eq!(prints, [fingerprint(remaining)], "{line}");
        }
    }
}

#[test]
fn what_only_speaks_of_secrets_is_none() {
    let innocent = [
        "POSTGRES_PASSWORD: ${POSTGRES_PASSWORD:?run cargo xtask dev}",
        "POSTGRES_PASSWORD=",
        "DB_PASSWORD_FILE=/run/secrets/database-password",
        "password: /run/secrets/password",
        "password: ${{ secrets.REGISTRY_PASSWORD }}",
        "secretKeyRef: {name: app-secret, key: DB_PASSWORD}",
        "-----BEGIN PRIVATE KEY-----",
        "token: deny",
        "postgres://app:${DB_PASSWORD}@db/app",
        "https://example.org:8443/a/page-of-2026@home",
        "let token = CancellationToken::new();",
        "bypass: true",
        "# DB_USER, DB_PASSWORD: the service's role",
        "# what the service reads from its environment when it begins: DB_USER, DB_PASSWORD: both of its role",
    ];
    for text in innocent {
        assert_eq!(found("f.yaml", text), Vec::<String>::new(), "{text}");
    }
    let joined = "password = \"correct-horse-battery-staple\"";
    assert_eq!(found("f.rs", joined), Vec::<String>::new());
}

#[test]
fn a_secret_of_this_checkout_is_found_wherever_it_stands_and_however_it_looks() {
    let known =
        vec![("DB_PASSWORD".to_owned(), "plain words here".to_owned()), ("SHORT".to_owned(), "a".to_owned())];
    let rules = Rules { known, ..Rules::default() };
    let hits = hits("run.jsonl", "a\n{\"line\": \"plain words here\"}\n", &rules);
    let expected = Hit {
        line: 2,
        what: "holds this checkout's DB_PASSWORD".to_owned(),
        fingerprint: fingerprint("plain words here"),
    };
    assert_eq!(hits, [expected]);
}

#[test]
fn a_finding_has_a_fingerprint_by_which_it_is_allowed_and_not_the_secret() {
    let token = format!("{}{}", "ghp_", &ALPHABET[..36]);
    let said: Vec<String> = secrets("f", &token, &Rules::default()).iter().map(ToString::to_string).collect();
    let print = fingerprint(&token);
    assert_eq!(said, [format!("f:1: holds a token of GitHub (fingerprint {print})")]);
    assert!(!said[0].contains(&token[4..12]));
    let allowed = Allowed::parse(&format!("{print} made for a test")).expect("well written");
    assert_eq!(secrets("f", &token, &Rules { allowed, ..Rules::default() }), []);
}
