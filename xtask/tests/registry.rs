//! Pushing and pulling against a real registry, Debian's `docker-registry`, with and without a password, with and without
//! TLS. The engine must be on this machine: the registry listens on the loopback interface, which engines reach without
//! TLS too, and whose certificates they do not judge.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use xtask::engine::{Credentials, Engine};
use xtask::event::{Event, Events, Progress, StepId, StepReporter};
use xtask::images::{Availability, Needed, Source, Sources, obtain, push, survey};
use xtask::limits;
use xtask::stack::ImageReference;

/// A password with the letters whose base64 differs between the two alphabets.
const PASSWORD: &str = "se?cr>et~~~???";

/// That password for the user `me`, as `htpasswd -B` writes it.
const ACCOUNTS: &str = "me:$2b$04$y88aRCYWGCIIoo8UFRYsX.WcyE7OAHCTFLCq9GOhQdLvSRB78pDV.\n";

/// What a registry asks of who comes.
#[derive(Clone, Copy, Default)]
struct Door {
    /// Whether it wants an account.
    accounts: bool,
    /// Whether it speaks TLS only.
    tls: bool,
}

/// A registry of its own, killed when it is dropped.
struct Registry {
    address: String,
    _process: Child,
    _directory: tempfile::TempDir,
}

impl Registry {
    /// Starts one on a port of the system's choice; `None` when the program is not installed.
    async fn start(door: Door) -> Option<Self> {
        let directory = tempfile::tempdir().expect("a directory");
        let mut configuration = format!(
            "version: 0.1\nlog: {{level: info}}\nstorage: {{filesystem: {{rootdirectory: {}/data}}}}\nhttp:\n  addr: 127.0.0.1:0\n",
            directory.path().display()
        );
        if door.tls {
            let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
            let (certificate, key) = (directory.path().join("certificate"), directory.path().join("key"));
            std::fs::write(&certificate, made.cert.pem()).expect("a file");
            std::fs::write(&key, made.signing_key.serialize_pem()).expect("a file");
            let (certificate, key) = (certificate.display(), key.display());
            writeln!(configuration, "  tls: {{certificate: {certificate}, key: {key}}}").expect("in memory");
        }
        if door.accounts {
            let path = directory.path().join("accounts");
            std::fs::write(&path, ACCOUNTS).expect("a file");
            writeln!(configuration, "auth: {{htpasswd: {{realm: test, path: {}}}}}", path.display())
                .expect("in memory");
        }
        let path = directory.path().join("config.yml");
        std::fs::write(&path, configuration).expect("a file");
        let mut process = Command::new("docker-registry")
            .arg("serve")
            .arg(&path)
            .stderr(std::process::Stdio::piped())
            .stdout(std::process::Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .ok()?;
        // It says where it listens; the rest of what it says is read so that it can go on.
        let mut lines = BufReader::new(process.stderr.take().expect("a pipe")).lines();
        while let Some(line) = lines.next_line().await.expect("readable") {
            if let Some((_, said)) = line.split_once("listening on ") {
                let end = said.find(|c: char| c != '.' && c != ':' && !c.is_ascii_digit());
                let address = said[..end.unwrap_or(said.len())].to_owned();
                tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
                return Some(Self { address, _process: process, _directory: directory });
            }
        }
        panic!("docker-registry ended before it listened");
    }
}

/// A registry, or `None` where tests may be left out: on a laptop. In the pipeline it must be there.
async fn registry(door: Door) -> Option<Registry> {
    let registry = Registry::start(door).await;
    if registry.is_none() {
        xtask::pipeline::leave_out("docker-registry is not installed: `apt-get install docker-registry`");
    }
    registry
}

async fn engine() -> Engine {
    Engine::connect().await.expect("these tests need a container engine: `cargo xtask doctor --fix`")
}

/// Makes an image with a layer of some size in the engine.
async fn make(engine: &Engine, reference: &ImageReference) {
    let content: Vec<u8> =
        (0..3_000_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    archive.append_data(&mut header, "file", content.as_slice()).expect("in memory");
    let archive = archive.into_inner().expect("in memory").into();
    let stream = futures_util::stream::iter([Ok(archive)]);
    engine
        .import_root_file_system(reference.as_str(), stream, Vec::new(), limits::IMAGE_LOAD)
        .await
        .expect("imported");
}

#[tokio::test]
async fn an_image_is_pushed_found_and_pulled() {
    let Some(registry) = registry(Door::default()).await else { return };
    let engine = engine().await;
    let image = ImageReference::new(format!("{}/images-trial/open:1", registry.address));
    make(&engine, &image).await;
    let (events, mut received) = Events::channel();
    let reporter = StepReporter::new(StepId(1), events);
    let digest = push(&engine, &image, &reporter).await.expect("pushed").expect("the registry tells it");
    assert!(digest.starts_with("sha256:") && digest.len() == 71, "{digest}");
    engine.remove_image(image.as_str()).await.expect("removed");

    let directory = tempfile::tempdir().expect("a directory");
    let sources = Sources {
        recipes: directory.path().to_owned(),
        bundles: None,
        memory: directory.path().join("memory"),
        offline: false,
    };
    let by_digest = ImageReference::new(format!("{}/images-trial/open@{digest}", registry.address));
    let missing = ImageReference::new(format!("{}/images-trial/open:2", registry.address));
    let needed = [&image, &by_digest, &missing].map(|reference| Needed {
        reference: reference.clone(),
        recipe: None,
        built_here: false,
    });
    let found = survey(&engine, &needed, &sources).await.expect("surveyed");
    assert_eq!(found[&image], Availability::Obtainable(Source::Registry));
    assert_eq!(found[&by_digest], Availability::Obtainable(Source::Registry));
    let Availability::Unavailable(reasons) = &found[&missing] else { panic!("{found:?}") };
    assert!(reasons[2].contains("unknown"), "{}", reasons[2]);

    let obtained = obtain(&engine, &image, &Source::Registry, &reporter).await.expect("pulled");
    assert!(obtained.size >= 12_000_000, "{}", obtained.size);
    while let Ok(event) = received.try_recv() {
        if let Event::StepProgress { progress: Progress { bytes: Some((done, total)), .. }, .. } = event {
            assert!(done <= total, "{done} of {total}");
        }
    }
    obtain(&engine, &missing, &Source::Registry, &reporter).await.expect_err("it is not there");
    engine.remove_image(image.as_str()).await.expect("removed");
}

#[tokio::test]
async fn a_registry_with_accounts_wants_the_right_one() {
    only_the_right_account_comes_in(Door { accounts: true, tls: false }).await;
}

#[tokio::test]
async fn a_registry_with_tls_wants_the_right_account_too() {
    only_the_right_account_comes_in(Door { accounts: true, tls: true }).await;
}

async fn only_the_right_account_comes_in(door: Door) {
    let Some(registry) = registry(door).await else { return };
    let engine = engine().await;
    let image = format!("{}/images-trial/closed:1", registry.address);
    make(&engine, &ImageReference::new(&image)).await;
    let account = |password: &str| Credentials {
        server: registry.address.clone(),
        username: "me".to_owned(),
        password: password.to_owned(),
        identity_token: None,
    };
    let (right, wrong) = (account(PASSWORD), account("wrong"));
    engine.push_image(&image, Some(&wrong), |_| {}).await.expect_err("a wrong password");
    engine.push_image(&image, Some(&right), |_| {}).await.expect("the right password");
    engine.remove_image(&image).await.expect("removed");
    for nobody in [None, Some(&wrong)] {
        engine.registry_image(&image, nobody).await.expect_err("not for everybody");
        engine.pull_image(&image, nobody, |_| {}).await.expect_err("not for everybody");
    }
    engine.registry_image(&image, Some(&right)).await.expect("shown");
    engine.pull_image(&image, Some(&right), |_| {}).await.expect("pulled");
    engine.remove_image(&image).await.expect("removed");
}

/// A checkout with one commit, whose Compose file names an image that its package makes.
struct Checkout {
    directory: tempfile::TempDir,
    repository: String,
}

impl Checkout {
    fn new() -> Self {
        // Tests run at once; each has an image of its own.
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let repository = format!("images-trial/pushed-{}-{number}", std::process::id());
        let checkout = Self { directory: tempfile::tempdir().expect("a directory"), repository };
        let compose = format!(
            "name: pushed\nservices:\n  app:\n    image: {}:dev\n    x-homeport: {{package: app}}\n",
            checkout.repository
        );
        checkout.write("compose/compose.yaml", &compose);
        checkout.write(".gitignore", "target\n");
        checkout.git(&["init", "--quiet"]);
        checkout.git(&["add", "."]);
        checkout.git(&["-c", "user.name=x", "-c", "user.email=x@example.org", "commit", "-qm", "x"]);
        checkout
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.directory.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        std::fs::write(path, text).expect("a file");
    }

    fn git(&self, arguments: &[&str]) -> String {
        let output = std::process::Command::new("git")
            .args(arguments)
            .current_dir(self.directory.path())
            .output()
            .expect("these tests need git");
        assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text").trim().to_owned()
    }

    /// Stands for `image build`: an image under the version, labelled with the commit it was built from.
    async fn build(&self, engine: &Engine, revision: &str) {
        let reference = format!("{}:{}", self.repository, env!("CARGO_PKG_VERSION"));
        let archive = tar::Builder::new(Vec::new()).into_inner().expect("in memory").into();
        let label = format!("LABEL org.opencontainers.image.revision={revision}");
        engine
            .import_root_file_system(
                &reference,
                futures_util::stream::iter([Ok(archive)]),
                vec![label, "CMD [\"/app\"]".to_owned()],
                limits::IMAGE_LOAD,
            )
            .await
            .expect("imported");
    }

    /// Runs `push` as an account of the environment; gives the exit status and all that it said.
    async fn push(&self, password: &str, arguments: &[&str]) -> (i32, String) {
        let mut push = self.command("push");
        push.args(arguments).env("HOMEPORT_REGISTRY_USER", "me").env("HOMEPORT_REGISTRY_PASSWORD", password);
        Self::ended(push).await
    }

    /// Runs the stage `deploy` of the pipeline, for this context or none. In cargo's place stands a program that writes
    /// down what it is asked for.
    async fn deploy(&self, context: &str) -> (i32, String, String) {
        use std::os::unix::fs::PermissionsExt as _;
        let programs = self.directory.path().join("target/programs");
        // Stands for cargo, and tells of a program that stands for the commands on Kubernetes.
        let made = format!(
            r#"{{"target":{{"name":"xtask-cluster"}},"executable":"{}"}}"#,
            programs.join("cluster").display()
        );
        for (name, text) in
            [("cargo", format!("echo '{made}'")), ("cluster", "echo \"$@\" >> \"$0.asked\"".to_owned())]
        {
            self.write(&format!("target/programs/{name}"), &format!("#!/bin/sh\n{text}\n"));
            let program = programs.join(name);
            std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("it is ours");
        }
        let asked = programs.join("cluster.asked");
        std::fs::write(&asked, "").expect("a file");
        let path = std::env::var("PATH").expect("text");
        let mut deploy = self.command("ci");
        deploy.arg("deploy").env("PATH", format!("{}:{path}", programs.display()));
        deploy.env("HOMEPORT_CONTEXT", context);
        let (status, said) = Self::ended(deploy).await;
        (status, said, std::fs::read_to_string(asked).expect("text"))
    }

    fn command(&self, command: &str) -> Command {
        let mut xtask = Command::new(env!("CARGO_BIN_EXE_xtask"));
        xtask.arg(command).current_dir(self.directory.path()).env_remove("CARGO_MANIFEST_DIR");
        xtask
    }

    async fn ended(mut command: Command) -> (i32, String) {
        let output = command.output().await.expect("it runs");
        let said =
            [output.stdout, output.stderr].map(|stream| String::from_utf8(stream).expect("text")).concat();
        assert!(!said.contains(PASSWORD), "a password is told:\n{said}");
        (output.status.code().expect("it ends by itself"), said)
    }
}

#[tokio::test]
async fn a_release_is_published_only_as_what_it_is() {
    let Some(registry) = registry(Door { accounts: true, tls: true }).await else { return };
    let engine = engine().await;
    let checkout = Checkout::new();
    let target = format!("{}/team/app", registry.address);
    let refused = async |password: &str, exit: i32, words: &str| {
        let (status, said) = checkout.push(password, &[&target]).await;
        assert!(status == exit && said.contains(words), "exit status {status}:\n{said}");
    };
    refused(PASSWORD, 4, "cargo xtask image build").await;
    checkout.build(&engine, "0123").await;
    let commit = checkout.git(&["rev-parse", "HEAD"]);
    refused(PASSWORD, 5, &format!("it was built from 0123, and {commit} is checked out")).await;
    checkout.build(&engine, &commit).await;
    checkout.write(".gitignore", "target\nmore\n");
    refused(PASSWORD, 5, "files differ from the commit").await;
    checkout.git(&["checkout", "--quiet", "."]);
    refused("wrong", 5, "error[image-failed]").await;
    for wrong in ["app", "registry.example/team/app:1"] {
        let (status, said) = checkout.push(PASSWORD, &[wrong]).await;
        assert_eq!(status, 2, "{said}");
    }

    let (status, said) = checkout.push(PASSWORD, &[&target]).await;
    assert_eq!(status, 0, "{said}");
    let written = std::fs::read_to_string(checkout.directory.path().join("target/homeport/pushed.json"))
        .expect("what was pushed is written");
    let pushed: serde_json::Value = serde_json::from_str(&written).expect("JSON");
    let tags = [env!("CARGO_PKG_VERSION"), &commit[..12]];
    assert_eq!(pushed["tags"], serde_json::json!(tags), "and never `latest`");
    assert_eq!(pushed["revision"], commit.as_str());
    let digest = pushed["digest"].as_str().expect("a digest");
    assert!(said.contains(digest), "{said}");
    let (status, said) = checkout.push(PASSWORD, &[&target]).await;
    assert_eq!(status, 0, "the same image again: {said}");
    let account = Credentials {
        server: registry.address.clone(),
        username: "me".to_owned(),
        password: PASSWORD.to_owned(),
        identity_token: None,
    };
    for reference in tags.map(|tag| format!("{target}:{tag}")).iter().chain([&format!("{target}@{digest}")]) {
        engine.registry_image(reference, Some(&account)).await.expect("the registry has it");
    }
    engine
        .registry_image(&format!("{target}:latest"), Some(&account))
        .await
        .expect_err("nobody asked for it");
    let local = format!("{}:{}", checkout.repository, env!("CARGO_PKG_VERSION"));
    for reference in tags.map(|tag| format!("{target}:{tag}")).iter().chain([&local]) {
        engine.remove_image(reference).await.expect("removed");
    }
}

/// The same commit, built again, is another image, because its configuration has another time; and the same release, so
/// that a job which failed behind its push can be run again.
#[tokio::test]
async fn what_a_version_means_does_not_change_unasked() {
    let Some(registry) = registry(Door::default()).await else { return };
    let engine = engine().await;
    let checkout = Checkout::new();
    let (target, version) = (format!("{}/team/app", registry.address), env!("CARGO_PKG_VERSION"));
    let commit = checkout.git(&["rev-parse", "HEAD"]);
    let reference = format!("{target}:{version}");
    let there = async || engine.registry_image(&reference, None).await.expect("the registry has it");
    checkout.build(&engine, &commit).await;
    let (status, said) = checkout.push(PASSWORD, &[&target]).await;
    assert_eq!(status, 0, "{said}");
    let first = there().await;

    checkout.build(&engine, &commit).await;
    let (status, said) = checkout.push(PASSWORD, &[&target, "--tag", version, "--tag", "further"]).await;
    assert!(status == 0 && said.contains(&format!("already pushed from this commit: {first}")), "{said}");
    assert_eq!(there().await, first);
    let further = format!("{target}:further");
    let digest = engine.registry_image(&further, None).await.expect("pushed with it");
    assert_eq!(digest, first, "the first one has the further tag");
    let written = std::fs::read_to_string(checkout.directory.path().join("target/homeport/pushed.json"))
        .expect("what was pushed is written");
    assert!(written.contains(&first), "{written}");
    engine.remove_image(&further).await.expect("removed");
    let local = format!("{}:{version}", checkout.repository);
    let (here, published) = (engine.image(&local).await, engine.image(&format!("{target}@{first}")).await);
    assert_eq!(
        here.expect("asked"),
        published.expect("asked"),
        "what would be deployed is what is published"
    );

    checkout.git(&[
        "-c",
        "user.name=x",
        "-c",
        "user.email=x@example.org",
        "commit",
        "-qm",
        "y",
        "--allow-empty",
    ]);
    let commit = checkout.git(&["rev-parse", "HEAD"]);
    checkout.build(&engine, &commit).await;
    let (status, said) = checkout.push(PASSWORD, &[&target]).await;
    let refusal = format!("cannot push {reference}: it is there with another image, {first}");
    assert!(status == 5 && said.contains(&refusal) && said.contains("--overwrite"), "{status}: {said}");
    assert_eq!(there().await, first);
    let (status, said) = checkout.push(PASSWORD, &[&target, "--overwrite"]).await;
    assert_eq!(status, 0, "{said}");
    assert_ne!(there().await, first);
    // Without a tag it is held by its digest alone.
    engine.remove_image(&format!("{target}@{first}")).await.expect("removed");

    std::fs::rename(checkout.directory.path().join(".git"), checkout.directory.path().join("no-git"))
        .expect("renamed");
    let (status, said) = checkout.push(PASSWORD, &[&target]).await;
    assert!(status == 5 && said.contains("git does not tell which commit"), "{status}: {said}");
    let (status, said) = checkout.push(PASSWORD, &[&target, "--allow-dirty", "--tag", "own"]).await;
    assert_eq!(status, 0, "{said}");
    for reference in [reference, format!("{target}:{}", &commit[..12]), format!("{target}:own")] {
        engine.remove_image(&reference).await.expect("removed");
    }
    engine.remove_image(&format!("{}:{version}", checkout.repository)).await.expect("removed");
}

/// To a cluster that is named by its digest; to kind the engine's image, if it is the one that was pushed.
#[tokio::test]
async fn what_was_pushed_is_what_is_deployed() {
    let Some(registry) = registry(Door::default()).await else { return };
    let engine = engine().await;
    let checkout = Checkout::new();
    let (target, version) = (format!("{}/team/app", registry.address), env!("CARGO_PKG_VERSION"));
    let commit = checkout.git(&["rev-parse", "HEAD"]);
    let local = format!("{}:{version}", checkout.repository);
    checkout.build(&engine, &commit).await;
    let (status, said, asked) = checkout.deploy("far-away").await;
    assert!(status == 4 && said.contains("nothing of this commit was pushed from here"), "{status}: {said}");
    assert_eq!(asked, "");

    let (status, said) = checkout.push(PASSWORD, &[&target]).await;
    assert_eq!(status, 0, "{said}");
    let digest = engine.registry_image(&format!("{target}:{version}"), None).await.expect("it is there");
    let (status, said, asked) = checkout.deploy("far-away").await;
    let expected = format!("deploy --context far-away --image {target}:{version}@{digest}\n");
    let told = format!("pushed before this run: {target}:{version}@{digest}");
    assert!(said.contains(&told), "{said}");
    assert!(status == 0 && asked.ends_with(&expected), "{status}: {said}\n{asked}");
    let (status, said, asked) = checkout.deploy("").await;
    let id = engine.image(&local).await.expect("asked").expect("it is there").id;
    assert!(
        status == 0 && asked.ends_with(&format!("deploy-kind --image {id}\n")),
        "{status}: {said}\n{asked}"
    );

    checkout.build(&engine, &commit).await;
    let (status, said, asked) = checkout.deploy("").await;
    assert!(status == 5 && said.contains(&format!("{local} is not what was pushed")), "{status}: {said}");
    assert_eq!(asked, "");
    for reference in [format!("{target}:{version}"), format!("{target}:{}", &commit[..12]), local] {
        engine.remove_image(&reference).await.expect("removed");
    }
}
