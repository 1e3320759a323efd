//! Where a story plays: a project with a name and ports of its own, in a directory of its own or in this checkout. It is
//! taken down at the end, whatever happened, and proves that nothing is left.
//!
//! Must not: touch anything that does not carry its project's name.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::engine::{self, OwnImage};
use crate::program::{Ended, Planned, Program, Running};

/// How long a condition may take that a program or container brings about by itself.
const PATIENCE: Duration = Duration::from_secs(120);

/// The pause between two looks at a condition: short beside what is waited for.
const LOOK: Duration = Duration::from_millis(50);

/// A project of one test.
#[derive(Debug)]
pub(crate) struct Checkout {
    root: PathBuf,
    directory: Option<tempfile::TempDir>,
    name: String,
    /// Whether its commands are told the name.
    named: bool,
    environment: Vec<(String, String)>,
    compose: String,
    /// Removed after the containers that use it.
    image: Option<OwnImage>,
    _slot: Option<Slot>,
}

impl Checkout {
    /// A small project in a directory of its own. In `compose`, `${PORT}` is a free port.
    pub(crate) fn small(test: &str, compose: &str) -> Self {
        let slot = Slot::take();
        engine::need_images(compose);
        let directory = tempfile::Builder::new()
            .prefix(test)
            .tempdir_in(env!("CARGO_TARGET_TMPDIR"))
            .expect("cargo's directory for tests can be written");
        let root = directory.path().canonicalize().expect("it was just made");
        let checkout = Self {
            root,
            directory: Some(directory),
            name: name(test),
            named: true,
            environment: vec![("PORT".to_owned(), free_port().to_string())],
            compose: compose.to_owned(),
            image: None,
            _slot: Some(slot),
        };
        checkout.write("compose/compose.yaml", compose);
        checkout
    }

    /// A checkout that is told no name: it finds its project's by itself, which is to be `name`. It stands in a directory
    /// that already has its files; the second of one test (`beside`) has no slot of its own.
    pub(crate) fn found(root: &Path, name: String, beside: Option<&Self>) -> Self {
        let slot = beside.is_none().then(Slot::take);
        let compose = std::fs::read_to_string(root.join("compose/compose.yaml")).expect("it was written");
        engine::need_images(&compose);
        let root = root.canonicalize().expect("it is there");
        let named = false;
        Self {
            root,
            directory: None,
            name,
            named,
            environment: Vec::new(),
            compose,
            image: None,
            _slot: slot,
        }
    }

    /// This checkout with its full stack, under another name, on other ports, with an image of its own.
    pub(crate) fn full(test: &str) -> Self {
        let slot = Slot::take();
        let root =
            Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is in the workspace").to_owned();
        let name = name(test);
        let environment: Vec<(String, String)> = ["SERVICE", "POSTGRES", "REDIS", "PROMETHEUS", "GRAFANA"]
            .map(|service| (format!("HOMEPORT_{service}_PORT"), free_port().to_string()))
            .into();
        let compose = std::fs::read_to_string(root.join("compose/compose.yaml")).expect("it is in git");
        // The Compose file names it after the project.
        let image = Some(OwnImage::new(&format!("{name}/service:dev")));
        let named = true;
        Self { root, directory: None, name, named, environment, compose, image, _slot: Some(slot) }
    }

    /// Lets this variable name an image of the project's own.
    pub(crate) fn with_own_image(mut self, variable: &str) -> Self {
        let image = OwnImage::new(&format!("{}:1", self.name));
        self.environment.push((variable.to_owned(), image.reference().to_owned()));
        self.image = Some(image);
        self
    }

    /// The image of the project's own.
    pub(crate) fn image(&self) -> &OwnImage {
        self.image.as_ref().expect("it has one")
    }

    /// The project's name, which all its objects begin with.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Its top directory.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// A variable of the environment that its commands get.
    pub(crate) fn variable(&self, name: &str) -> &str {
        let found = self.environment.iter().find(|(other, _)| other == name);
        &found.unwrap_or_else(|| panic!("no variable {name}")).1
    }

    /// The port of a small project.
    pub(crate) fn port(&self) -> u16 {
        self.variable("PORT").parse().expect("a port")
    }

    /// A command line, not started yet.
    pub(crate) fn xtask(&self, arguments: &[&str]) -> Program {
        self.in_environment(Program::new(&self.root, arguments))
    }

    /// A shell in the environment of its commands, not started yet.
    pub(crate) fn shell(&self) -> Program {
        self.other("sh", &["-i"])
    }

    /// Another program in the environment of its commands, not started yet.
    pub(crate) fn other(&self, program: &str, arguments: &[&str]) -> Program {
        self.in_environment(Program::other(program, &self.root, arguments))
    }

    /// A script of a shell in the environment of its commands; `$XTASK` is the program.
    pub(crate) fn script(&self, script: &str) -> Program {
        let shell = Program::other("sh", &self.root, &["-c", script]);
        self.in_environment(shell.env("XTASK", env!("CARGO_BIN_EXE_xtask")))
    }

    fn in_environment(&self, program: Program) -> Program {
        let program = if self.named { program.env("HOMEPORT_PROJECT", &self.name) } else { program };
        self.environment.iter().fold(program, |program, (name, value)| program.env(name, value))
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        self.xtask(arguments).run()
    }

    /// Starts a command.
    pub(crate) fn start(&self, arguments: &[&str]) -> Running {
        self.xtask(arguments).start()
    }

    /// Brings the stack up, and fails unless that works.
    #[track_caller]
    pub(crate) fn up(&self) {
        self.run(&["dev", "--detach"]).expect(0);
    }

    /// What `dev --detach` would do now.
    #[track_caller]
    pub(crate) fn plan(&self) -> Vec<Planned> {
        self.run(&["dev", "--detach", "--dry-run", "--format", "json"]).expect(0).plan()
    }

    /// Writes a file of a small project.
    pub(crate) fn write(&self, path: &str, text: &str) {
        assert!(self.directory.is_some(), "a test does not write to this checkout");
        let path = self.root.join(path);
        std::fs::create_dir_all(path.parent().expect("a file is in a directory")).expect("it can be made");
        // As an editor saves: nobody sees half of it. Under a name that is no save, however long this stands still before the
        // file has its own.
        let beside = path.with_extension("tmp");
        std::fs::write(&beside, text).expect("it can be written");
        std::fs::rename(&beside, &path).expect("it can be renamed");
    }

    /// Saves the Compose file as it was at the beginning, but with these places changed.
    pub(crate) fn edit(&self, changes: &[(&str, &str)]) {
        let text = changes.iter().fold(self.compose.clone(), |text, (from, to)| {
            assert_eq!(text.matches(from).count(), 1, "{from:?} in the Compose file");
            text.replace(from, to)
        });
        self.write("compose/compose.yaml", &text);
    }

    /// Puts the Compose file back.
    pub(crate) fn restore(&self) {
        self.write("compose/compose.yaml", &self.compose);
    }
}

impl Drop for Checkout {
    fn drop(&mut self) {
        if self.directory.is_some() {
            self.restore();
        }
        let ended = self.run(&["down", "--volumes", "--verify"]);
        // A second panic would hide the first.
        if !std::thread::panicking() {
            ended.expect(0);
            assert_eq!(engine::objects(&self.name), Vec::<String>::new(), "left of {}", self.name);
        }
    }
}

/// Waits for a condition, with a bound; `what` names it in the failure.
#[track_caller]
pub(crate) fn until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(begun.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(LOOK);
    }
}

/// A project's name that no other run has.
pub(crate) fn name(test: &str) -> String {
    format!("e2e-{}-{test}", std::process::id())
}

/// A port that nobody listens on now. From below the range that systems give to outgoing connections, so that none of
/// those takes it in between; each once.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Two runs at once begin at different places.
    let first = 20_000 + u16::try_from(std::process::id() % 100).expect("below 100") * 100;
    let port = (0..10_000).find_map(|_| {
        let port = 20_000 + (first - 20_000 + NEXT.fetch_add(1, Ordering::Relaxed)) % 10_000;
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok().map(|_| port)
    });
    port.expect("one of ten thousand ports is free")
}

/// A stack that runs takes memory and processor: two at once are what a machine with two cores bears.
const SLOTS: usize = xtask::limits::END_TO_END_TESTS;

static TAKEN: Mutex<usize> = Mutex::new(0);
static FREED: Condvar = Condvar::new();

/// The right to run one stack.
#[derive(Debug)]
struct Slot;

impl Slot {
    fn take() -> Self {
        let taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken =
            FREED.wait_while(taken, |taken| *taken >= SLOTS).unwrap_or_else(PoisonError::into_inner);
        *taken += 1;
        Self
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        *TAKEN.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        FREED.notify_one();
    }
}
