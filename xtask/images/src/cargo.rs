//! The host's cargo: builds a package's program so that it runs on nothing but a kernel.
//!
//! Must not: know of images.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::ImageError;
use crate::event::StepReporter;
use crate::limits;
use crate::process::{ProcessError, Program, Stream};
use crate::program_sources::{date, newer, sources};
use crate::stack::hex;

/// How often a build is repeated because a source was saved while it ran. Each repetition takes what one build takes;
/// whoever saves more often than that is watched by `dev` anyway.
const REPETITIONS: u32 = 3;

/// One of cargo's messages (cargo reference, "External tools", "JSON messages").
#[derive(Deserialize)]
#[serde(tag = "reason")]
enum Message {
    #[serde(rename = "compiler-artifact")]
    Artifact {
        #[serde(default)]
        package_id: String,
        target: Target,
        #[serde(default)]
        fresh: bool,
        executable: Option<PathBuf>,
    },
    #[serde(rename = "compiler-message")]
    Said { message: Diagnostic },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    #[serde(default)]
    kind: Vec<String>,
}

impl Target {
    /// What was compiled, for a person: every build script is called `build-script-build`, so it is told by its package.
    fn told(&self, package_id: &str) -> String {
        if !self.kind.iter().any(|kind| kind == "custom-build") {
            return self.name.clone();
        }
        // `registry+…#serde@1.0.228`, or `path+file:///src/service#0.1.0` (The Cargo Book, "Package ID Specifications").
        let (place, rest) = package_id.rsplit_once('#').unwrap_or(("", package_id));
        let name = match rest.split_once('@') {
            Some((name, _)) => name,
            None => place.rsplit('/').next().unwrap_or(place),
        };
        format!("the build script of {name}")
    }
}

#[derive(Deserialize)]
struct Diagnostic {
    level: String,
    #[serde(default)]
    message: String,
    rendered: Option<String>,
}

impl Diagnostic {
    /// Whether it is a warning, and not the count with which the compiler closes: `2 warnings emitted`.
    fn is_warning(&self) -> bool {
        let is_count =
            self.message.ends_with(" warning emitted") || self.message.ends_with(" warnings emitted");
        self.level == "warning" && !is_count
    }
}

/// What there is to say of the compiler's warnings. Cargo keeps them, so they can be read without a build.
fn told_warnings(package: &str, count: usize) -> Option<String> {
    let warnings = match count {
        0 => return None,
        1 => "1 warning".to_owned(),
        more => format!("{more} warnings"),
    };
    Some(format!("the compiler has {warnings}; `cargo check --package {package}` shows them again"))
}

/// Builds the program of a package and returns its path. The flags that make it static go to the program alone, with
/// `cargo rustc`: dependencies and the package's library are compiled as for any other cargo command and shared with
/// them, and flags that a user has configured stay in force. Static linking is decided when the program is linked.
///
/// # Errors
/// When the compiler refuses (its errors, as it renders them) or cargo cannot be run.
pub(super) async fn build(
    root: &Path,
    package: &str,
    reporter: &StepReporter,
) -> Result<PathBuf, ImageError> {
    let target = target_directory(root).await;
    let command = || {
        let command = command(root, package);
        match &target {
            Some(directory) => command.env("CARGO_TARGET_DIR", directory),
            None => command,
        }
    };
    for _ in 1..REPETITIONS {
        let started = SystemTime::now();
        let program = build_once(command(), package, reporter).await?;
        if let Ok(sources) = sources(&program)
            && newer(&sources, started).is_none()
        {
            // What cannot be dated costs another call of cargo, which finds nothing to do either.
            let _ = date(&program, &sources, started);
            return Ok(program);
        }
        reporter.message("saved while building: again");
    }
    build_once(command(), package, reporter).await
}

/// What cargo says of a workspace (cargo reference, "cargo metadata").
#[derive(Deserialize)]
struct Metadata {
    target_directory: PathBuf,
    #[serde(default)]
    packages: Vec<Package>,
}

/// A package of the workspace.
#[derive(Deserialize)]
struct Package {
    name: String,
    manifest_path: PathBuf,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    /// Where it lies, when that is on this machine.
    path: Option<PathBuf>,
}

async fn metadata(root: &Path) -> Option<Metadata> {
    let asked = cargo(root).args(["metadata", "--no-deps", "--format-version=1"]).output().await;
    // What is wrong with a manifest is told by the build.
    serde_json::from_str(&asked.ok()?).ok()
}

/// Where cargo is to put what it compiles in a checkout, when not where it does by itself.
///
/// Cargo tells packages apart by their place in the workspace, not by that of the workspace: of two checkouts that
/// share one target directory, one is given the other's program. So where that directory is not the checkout's own, a
/// part of it is.
async fn target_directory(root: &Path) -> Option<PathBuf> {
    static KNOWN: Mutex<BTreeMap<PathBuf, Option<PathBuf>>> = Mutex::new(BTreeMap::new());
    let known = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(directory) = known().get(root) {
        return directory.clone();
    }
    let directory = apart(root, &metadata(root).await?.target_directory);
    known().insert(root.to_owned(), directory.clone());
    directory
}

/// A checkout's part of a directory that is not its own; `None` when it is.
fn apart(root: &Path, target: &Path) -> Option<PathBuf> {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let own = target.starts_with(root) && (!target.exists() || real(target).starts_with(real(root)));
    let digest = || hex(&Sha256::digest(root.as_os_str().as_encoded_bytes()));
    (!own).then(|| target.join("checkouts").join(&digest()[..16]))
}

/// Builds the program of a release as the Dockerfile's compiling stage does: static, optimised, from the locked
/// dependencies, and without this machine's paths in it. All of that applies to every crate, so it has a directory of
/// its own under `target`.
///
/// `target_directory` is where compiled files go, when not where cargo puts them by itself.
///
/// # Errors
/// As for [`build`].
pub(super) async fn build_release(
    root: &Path,
    package: &str,
    target_directory: Option<&Path>,
    reporter: &StepReporter,
) -> Result<PathBuf, ImageError> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(std::env::home_dir()?.join(".cargo"))).unwrap_or_default();
    let mut flags = std::env::var("RUSTFLAGS").unwrap_or_default();
    for flag in [
        "-C target-feature=+crt-static".to_owned(),
        format!("--remap-path-prefix={}=/cargo", home.display()),
        format!("--remap-path-prefix={}=/src", root.display()),
    ] {
        flags.push(' ');
        flags.push_str(&flag);
    }
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let command = cargo(root)
        .args(["build", "--message-format=json", "--locked", "--release", "--package", package])
        .args(["--target", target.as_str()])
        .env("RUSTFLAGS", flags.trim_start());
    let command = match target_directory {
        Some(directory) => command.env("CARGO_TARGET_DIR", directory),
        None => command,
    };
    build_once(command, package, reporter).await
}

/// This machine's processor in Go's words, which engines use.
pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

async fn build_once(cargo: Program, package: &str, reporter: &StepReporter) -> Result<PathBuf, ImageError> {
    let mut executable = None;
    let mut errors = Vec::new();
    let (mut compiled, mut warnings) = (0, 0);
    let ran = cargo
        .run(|stream, line| match stream {
            Stream::Stdout => match serde_json::from_str(line) {
                Ok(Message::Artifact { package_id, target, fresh, executable: built }) => {
                    if !fresh {
                        compiled += 1;
                        reporter.message(format!("compiled {} ({compiled})", target.told(&package_id)));
                    }
                    executable = built.or(executable.take());
                }
                Ok(Message::Said { message }) => {
                    warnings += usize::from(message.is_warning());
                    let rendered = message.rendered.unwrap_or_default();
                    if message.level.starts_with("error") {
                        errors.push(rendered);
                    } else {
                        rendered.lines().for_each(|line| reporter.output("cargo", line));
                    }
                }
                Ok(Message::Other) | Err(_) => {}
            },
            Stream::Stderr => {
                let line = line.trim();
                if line.starts_with("Blocking") || line.starts_with("Downloading") {
                    reporter.message(line.to_lowercase());
                }
            }
        })
        .await;
    if let Some(told) = told_warnings(package, warnings).filter(|_| ran.is_ok()) {
        reporter.events().warning(told);
    }
    match ran {
        Ok(()) => executable.ok_or_else(|| ImageError::Build {
            package: package.to_owned(),
            message: "it has no program of its name".to_owned(),
            lines: Vec::new(),
        }),
        Err(ProcessError::Failed { stderr, .. }) => Err(refusal(package, &errors, &stderr)),
        Err(error) => Err(error.into()),
    }
}

fn command(root: &Path, package: &str) -> Program {
    cargo(root).args(["rustc", "--message-format=json", "--package", package, "--bin", package, "--"]).args([
        "-C",
        "target-feature=+crt-static",
        // At a fixed address there is nothing to relocate: the linker writes a tenth less, sooner. A release is not
        // built so.
        "-C",
        "relocation-model=static",
        "-C",
        "strip=symbols",
    ])
}

fn cargo(root: &Path) -> Program {
    // The cargo that runs us, when it does: with rustup, the one of the toolchain in use.
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    Program::new(cargo, limits::SERVICE_BUILD).directory(root).outside_cargo()
}

/// What the compiler said; what cargo itself said when the compiler was not reached.
fn refusal(package: &str, errors: &[String], stderr: &[String]) -> ImageError {
    // The compiler closes with a count, which has no code and no place.
    let is_summary = |error: &&String| error.starts_with("error: aborting due to");
    let errors: Vec<&String> = errors.iter().filter(|error| !is_summary(error)).collect();
    let (message, lines) = match errors.len() {
        0 => {
            let first = stderr.iter().position(|line| line.starts_with("error")).unwrap_or(0);
            ("cargo failed".to_owned(), stderr[first..].to_vec())
        }
        1 => ("1 error".to_owned(), Vec::new()),
        count => (format!("{count} errors"), Vec::new()),
    };
    let rendered =
        errors.iter().flat_map(|error| error.trim_end().lines().map(str::to_owned).chain([String::new()]));
    let lines = lines.into_iter().chain(rendered).collect();
    ImageError::Build { package: package.to_owned(), message, lines }
}

/// Where the sources lie of a package, and of those below the checkout that it depends on, by what the manifests say: for one
/// whose build did not come to a list of them.
pub(super) async fn declared(root: &Path, package: &str) -> BTreeSet<PathBuf> {
    metadata(root).await.map(|metadata| within(root, package, &metadata.packages)).unwrap_or_default()
}

fn within(root: &Path, package: &str, packages: &[Package]) -> BTreeSet<PathBuf> {
    let first = packages.iter().find(|one| one.name == package);
    let mut next: Vec<&Path> = first.and_then(|one| one.manifest_path.parent()).into_iter().collect();
    let mut places = BTreeSet::new();
    while let Some(directory) = next.pop() {
        if directory.starts_with(root) && !root.starts_with(directory) && places.insert(directory.to_owned())
        {
            let here = packages.iter().filter(|one| one.manifest_path.parent() == Some(directory));
            let dependencies = here.flat_map(|one| &one.dependencies);
            next.extend(dependencies.filter_map(|one| one.path.as_deref()));
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_script_is_told_by_its_package() {
        let target = |name: &str, kind: &str| Target { name: name.to_owned(), kind: vec![kind.to_owned()] };
        let script = target("build-script-build", "custom-build");
        assert_eq!(
            script.told("registry+https://example.org/index#serde@1.0.228"),
            "the build script of serde"
        );
        assert_eq!(script.told("path+file:///src/service#0.1.0"), "the build script of service");
        assert_eq!(target("serde", "lib").told("registry+https://example.org/index#serde@1.0.228"), "serde");
    }

    #[test]
    fn a_target_directory_that_others_may_share_is_parted() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = |name: &str| directory.path().join(name);
        for name in ["one", "two", "shared"] {
            std::fs::create_dir(path(name)).expect("a directory");
        }
        assert_eq!(apart(&path("one"), &path("one/target")), None, "it is not there yet");
        let [one, two] = ["one", "two"].map(|root| apart(&path(root), &path("shared")).expect("a part"));
        assert!(one.starts_with(path("shared")) && two.starts_with(path("shared")) && one != two);
        std::os::unix::fs::symlink(path("shared"), path("one/target")).expect("a link");
        assert!(apart(&path("one"), &path("one/target")).is_some());
    }

    #[test]
    fn before_the_first_good_build_the_manifests_say_where_sources_lie() {
        let text = r#"{"target_directory": "/c/target", "packages": [
            {"name": "web", "manifest_path": "/c/service/Cargo.toml", "dependencies":
                [{"path": "/c/common"}, {"path": null}, {"path": "/other"}]},
            {"name": "common", "manifest_path": "/c/common/Cargo.toml", "dependencies":
                [{"path": "/c/deep"}, {"path": "/c/service"}]},
            {"name": "aside", "manifest_path": "/c/aside/Cargo.toml", "dependencies": []}]}"#;
        let Metadata { packages, .. } = serde_json::from_str(text).expect("as cargo writes it");
        // One that is no member of the workspace too.
        let expected = ["/c/common", "/c/deep", "/c/service"].map(PathBuf::from);
        assert_eq!(within(Path::new("/c"), "web", &packages), expected.into());
        assert_eq!(within(Path::new("/c"), "absent", &packages), BTreeSet::new());
    }

    #[test]
    fn warnings_are_counted_without_the_compilers_own_count() {
        let said = |level: &str, message: &str| {
            let text = serde_json::json!({"level": level, "message": message, "rendered": null});
            serde_json::from_value::<Diagnostic>(text).expect("as the compiler writes it").is_warning()
        };
        let table = [
            ("warning", "unused variable: `emitted`", true),
            ("warning", "2 warnings emitted", false),
            ("warning", "1 warning emitted", false),
            ("error", "mismatched types", false),
            ("failure-note", "some errors have detailed explanations", false),
        ];
        for (level, message, expected) in table {
            assert_eq!(said(level, message), expected, "{message}");
        }
        assert_eq!(told_warnings("web", 0), None);
        let told = "the compiler has 2 warnings; `cargo check --package web` shows them again";
        assert_eq!(told_warnings("web", 2).as_deref(), Some(told));
    }

    #[test]
    fn what_the_compiler_said_goes_before_what_cargo_said() {
        let text = |error: ImageError| format!("{error}: {}", error.details().join("|"));
        let stderr = ["   Compiling app".to_owned(), "error: could not compile `app`".to_owned()];
        let errors = [
            "error[E0308]: mismatched types\n --> a.rs:1\n\n".to_owned(),
            "error: aborting due to 1 previous error\n\n".to_owned(),
        ];
        assert_eq!(
            text(refusal("app", &errors, &stderr)),
            "cannot build package app: 1 error: error[E0308]: mismatched types| --> a.rs:1|"
        );
        assert_eq!(
            text(refusal("app", &[], &stderr)),
            "cannot build package app: cargo failed: error: could not compile `app`"
        );
    }
}
