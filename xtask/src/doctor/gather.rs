//! The one place that looks: programs, disks, memory, ports, network. It changes nothing and judges nothing; what
//! cannot be seen is told as such.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::facts::{
    Clock, Compiler, Disk, DiskUse, EngineSeen, Facts, ImagesSeen, Inotify, Memory, PortSeen, PortState, Tool,
};
use super::platform::Platform;
use super::ports::Holder;
use super::{BROWSERS, network, ports};
use crate::engine::{Address, ConnectError, Engine, EngineMachine, EngineVersion, PublishedPort};
use crate::images::{Needed, Sources, survey};
use crate::pipeline;
use crate::process::{ProcessError, Program};
use crate::project::{Holder as LockHolder, Project, holder};
use crate::stack::ProjectName;

/// How long a program may take to tell its version. rustup's proxies and kind do so within a second on a cold disk.
const VERSION: Duration = Duration::from_secs(10);
/// How long the compiler may take for a program of one line: well under a second, ten on a machine that swaps.
const COMPILE: Duration = Duration::from_secs(10);

/// Where the look is taken from.
#[derive(Debug)]
pub struct Surroundings<'a> {
    /// The workspace's root.
    pub root: &'a Path,
    /// The project, whose containers may have the ports.
    pub project: Option<&'a str>,
    /// The ports that are to be published on 127.0.0.1, each with its service.
    pub ports: Vec<(u16, String)>,
    /// The connection to the engine, or why there is none.
    pub engine: &'a Result<(Engine, EngineVersion), ConnectError>,
    /// The images that the stack needs.
    pub images: &'a [Needed],
    /// Whether nothing on the network may be asked.
    pub offline: bool,
}

impl Facts {
    /// Looks at this machine. Takes as long as the slowest question, each of which has a bound.
    pub async fn gather(from: Surroundings<'_>) -> Self {
        let (platform, compiler, network, (machine, published), images) = tokio::join!(
            platform(),
            compiler(),
            network::look(from.offline),
            ask_engine(from.engine),
            images(&from),
        );
        let (rust, kind, docker_cli, compose, mmdebstrap, docker_registry, cargo_deny) = tokio::join!(
            version("rustc", &["--version"], from.root),
            version("kind", &["version"], from.root),
            version("docker", &["--version"], from.root),
            version("docker", &["compose", "version", "--short"], from.root),
            version("mmdebstrap", &["--version"], from.root),
            version("docker-registry", &["--version"], from.root),
            version("cargo-deny", &["--version"], from.root),
        );
        let (actionlint, go, hadolint, pip) = tokio::join!(
            version("actionlint", &["-version"], from.root),
            version("go", &["version"], from.root),
            version("hadolint", &["--version"], from.root),
            version("python3", &["-m", "pip", "--version"], from.root),
        );
        let browser = browser(from.root).await;
        let (kind_is_packaged, docker_cli_is_packaged) =
            tokio::join!(is_packaged("kind", &platform), is_packaged("docker-cli", &platform));
        let dev = from.project.and_then(|name| holder(&Project::of_user(from.root), &ProjectName::new(name)));
        let dev = dev.filter(LockHolder::is_foreground_dev).map(|holder| holder.pid);
        let mut seen = Vec::with_capacity(from.ports.len());
        for (port, service) in from.ports {
            let state = match ports::state(port, from.project, &published).await {
                // A `dev` that stays holds ports in the place of its containers.
                PortState::Taken(Some(Holder::Process { pid, .. })) if dev == Some(pid) => PortState::Ours,
                state => state,
            };
            seen.push(PortSeen { port, service, state });
        }
        let in_ci = pipeline::is_here();
        let now = SystemTime::now();
        let mut others: Vec<(String, SystemTime)> =
            network.date.map(|date| (network.who, date)).into_iter().collect();
        others.extend(
            machine.as_ref().and_then(|machine| machine.time).map(|time| ("the engine".to_owned(), time)),
        );
        Self {
            platform,
            rust,
            oldest_rust: oldest_rust(from.root),
            compiler,
            engine: engine_seen(from.engine, machine.as_ref()),
            disks: disks(from.root, machine.as_ref()),
            memory: memory(machine.as_ref()),
            ports: seen,
            kind,
            kind_is_packaged,
            docker_cli,
            docker_cli_is_packaged,
            compose,
            cgroup_version: machine
                .as_ref()
                .and_then(|machine| machine.cgroup_version)
                .or_else(cgroup_version),
            inotify: inotify(),
            mirror: network.mirror,
            registry: network.registry,
            images,
            mmdebstrap,
            docker_registry: in_ci.then_some(docker_registry),
            browser,
            in_ci,
            cargo_deny,
            actionlint,
            go,
            hadolint,
            pip,
            clock: Clock { now, others },
        }
    }
}

async fn platform() -> Platform {
    let release = std::fs::read_to_string("/etc/os-release").ok();
    let root = rustix::process::geteuid().is_root();
    let sudo = !root && Program::new("sudo", VERSION).args(["-n", "true"]).output().await.is_ok();
    // sd_booted(3): this directory is there exactly when systemd runs the machine.
    let systemd = Path::new("/run/systemd/system").is_dir();
    Platform::judge(std::env::consts::OS, release.as_deref(), root, sudo, systemd)
}

/// Whether a program is found on `PATH`, without running it.
fn is_on_path(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(name).is_file())
}

async fn version(program: &str, arguments: &[&str], directory: &Path) -> Tool {
    match Program::new(program, VERSION).args(arguments).directory(directory).output().await {
        Ok(output) => Tool::Version(output.lines().next().unwrap_or_default().trim().to_owned()),
        Err(ProcessError::Missing { .. }) => Tool::Missing,
        Err(error) => Tool::Broken(said(&error)),
    }
}

/// The first browser that is there.
async fn browser(directory: &Path) -> Tool {
    for name in BROWSERS {
        match version(name, &["--version"], directory).await {
            Tool::Missing => {}
            found => return found,
        }
    }
    Tool::Missing
}

/// What a program that failed said first, or how it failed.
fn said(error: &ProcessError) -> String {
    match error {
        ProcessError::Failed { stderr, .. } => {
            stderr.iter().map(|line| line.trim()).find(|line| !line.is_empty()).map(str::to_owned)
        }
        _ => None,
    }
    .unwrap_or_else(|| error.to_string())
}

/// Links a program of one line, as cargo's linker would: statically where the service is linked so (Linux).
async fn compiler() -> Compiler {
    if !is_on_path("cc") {
        return Compiler::Missing;
    }
    let Ok(directory) = tempfile::tempdir() else {
        return Compiler::Broken("no temporary directory can be made".to_owned());
    };
    let source = directory.path().join("probe.c");
    if let Err(error) = std::fs::write(&source, "int main(void) { return 0; }\n") {
        return Compiler::Broken(error.to_string());
    }
    let link = async |option: Option<&str>| {
        let program = Program::new("cc", COMPILE).args(option).arg(&source).arg("-o");
        program.arg(directory.path().join("probe")).output().await
    };
    if cfg!(target_os = "linux") {
        let Err(of_static) = link(Some("-static")).await else { return Compiler::Works };
        return match link(None).await {
            Ok(_) => Compiler::OnlyShared(said(&of_static)),
            Err(error) => Compiler::Broken(said(&error)),
        };
    }
    match link(None).await {
        Ok(_) => Compiler::Works,
        Err(error) => Compiler::Broken(said(&error)),
    }
}

/// Whether `apt` has a package of this name. Before its first `update`, which `--fix` begins with, it knows of none.
async fn is_packaged(name: &str, platform: &Platform) -> bool {
    if !has_lists(Path::new(APT_LISTS)) {
        return platform.packages_by_release();
    }
    let program = Program::new("apt-cache", VERSION).args(["show", "--no-all-versions", name]);
    program.output().await.is_ok_and(|output| !output.trim().is_empty())
}

/// Where apt keeps the lists of packages (sources.list(5), `Dir::State::Lists`).
const APT_LISTS: &str = "/var/lib/apt/lists";

/// Whether there is a list of packages: `…_Packages`, compressed or not.
fn has_lists(directory: &Path) -> bool {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name()).any(|name| name.to_string_lossy().contains("_Packages"))
}

/// Looks where the stack's images can be had. A survey that fails tells nothing.
async fn images(from: &Surroundings<'_>) -> ImagesSeen {
    let Ok((engine, _)) = from.engine else { return ImagesSeen::Unknown };
    let sources = Sources::of_checkout(from.root, from.offline);
    match survey(engine, from.images, &sources).await {
        Ok(catalogue) => ImagesSeen::read(&catalogue, from.images),
        Err(_) => ImagesSeen::Unknown,
    }
}

async fn ask_engine(
    engine: &Result<(Engine, EngineVersion), ConnectError>,
) -> (Option<EngineMachine>, Vec<PublishedPort>) {
    let Ok((engine, _)) = engine else { return (None, Vec::new()) };
    let (machine, ports) = tokio::join!(engine.machine(), engine.published_ports());
    (machine.ok(), ports.unwrap_or_default())
}

fn engine_seen(
    engine: &Result<(Engine, EngineVersion), ConnectError>,
    machine: Option<&EngineMachine>,
) -> EngineSeen {
    match engine {
        Ok((engine, version)) => EngineSeen::Answers {
            version: version.version.clone(),
            api: version.api.clone(),
            system: machine.map(|machine| machine.system.clone()).unwrap_or_default(),
            elsewhere: engine.is_on_this_machine().err().map(|error| (error.to_string(), error.hint())),
        },
        Err(error @ ConnectError::Unreachable { endpoint, forbidden, .. }) => EngineSeen::Silent {
            message: error.to_string(),
            forbidden: *forbidden,
            // Where dockerd listens when nothing else is said: an engine that we start will be found there.
            own: endpoint.address == Address::Unix(PathBuf::from("/var/run/docker.sock")),
            installed: is_on_path("dockerd")
                || Path::new("/Applications/Docker.app").exists()
                || is_on_path("colima"),
        },
        Err(error @ (ConnectError::TooOld { .. } | ConnectError::TooNew { .. })) => {
            EngineSeen::WrongVersion { message: error.to_string(), hint: error.hint() }
        }
        Err(error @ (ConnectError::Endpoint(_) | ConnectError::Elsewhere { .. })) => {
            EngineSeen::Misconfigured { message: error.to_string(), hint: error.hint() }
        }
    }
}

/// The `rust-version` of the workspace's manifest; empty when it names none.
fn oldest_rust(root: &Path) -> String {
    let manifest = std::fs::read_to_string(root.join("Cargo.toml")).unwrap_or_default();
    let mut values =
        manifest.lines().filter_map(|line| line.strip_prefix("rust-version")?.trim().strip_prefix('='));
    values.next().map(|value| value.trim().trim_matches('"').to_owned()).unwrap_or_default()
}

fn disks(root: &Path, machine: Option<&EngineMachine>) -> Vec<Disk> {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |path| root.join(path));
    // The engine's directory is looked at only when it is on this machine.
    let engine = machine.map(|machine| PathBuf::from(&machine.root)).filter(|root| root.is_dir());
    [(DiskUse::Engine, engine), (DiskUse::Build, Some(target))]
        .into_iter()
        .filter_map(|(used_for, path)| {
            let path = path?;
            // What does not exist yet will be made on the disk of the nearest directory above.
            let existing = path.ancestors().find(|ancestor| ancestor.exists())?;
            let space = rustix::fs::statvfs(existing).ok()?;
            Some(Disk { used_for, free: space.f_bavail * space.f_frsize, path })
        })
        .collect()
}

fn memory(machine: Option<&EngineMachine>) -> Option<Memory> {
    let here = std::fs::read_to_string("/proc/meminfo").ok();
    let field = |name: &str| {
        let line = here.as_deref()?.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        // proc(5): in units of 1024 bytes, whatever "kB" says.
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kibibytes| kibibytes * 1024)
    };
    let engine = machine.map(|machine| machine.memory).filter(|&bytes| bytes > 0);
    let here_total = field("MemTotal");
    // An engine in a virtual machine has less than this machine: then what is free here says nothing about it.
    let same = engine.is_none() || engine == here_total;
    let available = field("MemAvailable").filter(|_| same);
    engine.or(here_total).map(|total| Memory { total, available })
}

/// Which control groups are mounted where the kernel's documentation has them.
fn cgroup_version() -> Option<u8> {
    let mounted = Path::new("/sys/fs/cgroup");
    if mounted.join("cgroup.controllers").exists() {
        Some(2)
    } else if mounted.join("memory").exists() {
        Some(1)
    } else {
        None
    }
}

fn inotify() -> Option<Inotify> {
    let limit = |name: &str| {
        std::fs::read_to_string(Path::new("/proc/sys/fs/inotify").join(name)).ok()?.trim().parse::<u64>().ok()
    };
    Some(Inotify { watches: limit("max_user_watches")?, instances: limit("max_user_instances")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workspaces_rust_version_is_read() {
        let root =
            Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is a member of the workspace");
        assert_eq!(oldest_rust(root), env!("CARGO_PKG_RUST_VERSION"));
    }

    #[test]
    fn that_apt_has_no_lists_yet_is_seen() {
        let directory = tempfile::tempdir().expect("a directory");
        assert!(!has_lists(&directory.path().join("none")));
        std::fs::write(directory.path().join("lock"), "").expect("a file");
        assert!(!has_lists(directory.path()), "what an image without lists has");
        let list = "deb.debian.org_debian_dists_trixie_main_binary-amd64_Packages.lz4";
        std::fs::write(directory.path().join(list), "").expect("a file");
        assert!(has_lists(directory.path()));
    }

    #[tokio::test]
    async fn what_is_there_and_what_is_not_is_told_apart() {
        let here = Path::new(".");
        assert!(
            matches!(version("rustc", &["--version"], here).await, Tool::Version(text) if text.starts_with("rustc "))
        );
        assert_eq!(version("no-such-program-anywhere", &[], here).await, Tool::Missing);
        assert!(
            matches!(version("rustc", &["--no-such-option"], here).await, Tool::Broken(text) if text.contains("no-such-option"))
        );
    }
}
