//! The release image by both of its ways, for a workspace of its own. Images are named `images-trial/…` and removed.

use std::collections::BTreeMap;
use std::path::Path;

use xtask::engine::Engine;
use xtask::event::{Event, Events, StepId, StepReporter};
use xtask::images::{Compiler, Found, ImageError, Release, Sources};
use xtask::stack::ImageReference;

/// `COPY --chmod` needs `BuildKit`: the classic builder refuses it.
const DOCKERFILE: &str = r#"
ARG BASE=scratch
FROM scratch AS runtime
ARG VERSION=dev
LABEL org.opencontainers.image.version="${VERSION}"
USER 1000:1000
ENTRYPOINT ["/service"]
FROM runtime
COPY --chmod=555 app/src/main.rs /service
"#;

fn write(root: &Path, path: &str, content: &str) {
    let path = root.join(path);
    std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
    std::fs::write(path, content).expect("a file");
}

struct Trial {
    directory: tempfile::TempDir,
    release: Release,
    sources: Sources,
}

impl Trial {
    fn new(name: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let root = directory.path();
        write(root, "Cargo.toml", "[workspace]\nresolver = \"3\"\nmembers = [\"app\"]\n");
        write(root, "Cargo.lock", "version = 4\n\n[[package]]\nname = \"app\"\nversion = \"0.0.0\"\n");
        write(root, "app/Cargo.toml", "[package]\nname = \"app\"\nedition = \"2024\"\n");
        write(root, "app/src/main.rs", "fn main() { panic!(\"here\") }\n");
        write(root, ".dockerignore", "*\n!app\n**/target\n");
        write(root, "Dockerfile", DOCKERFILE);
        let tag = std::process::id();
        let reference = |suffix| ImageReference::new(format!("images-trial/{name}:{tag}{suffix}"));
        let release = Release {
            root: root.to_owned(),
            package: "app".to_owned(),
            references: vec![reference(""), reference("-further")],
            platform: None,
            arguments: BTreeMap::from([("VERSION".to_owned(), "1.2.3".to_owned())]),
            labels: BTreeMap::from([("dev.homeport.trial".to_owned(), "yes \"$1\"".to_owned())]),
        };
        let sources = Sources {
            recipes: root.join("recipes"),
            bundles: None,
            memory: root.join("memory"),
            offline: false,
        };
        Self { directory, release, sources }
    }
}

async fn engine() -> Engine {
    Engine::connect().await.expect("these tests need a container engine: `cargo xtask doctor --fix`")
}

async fn labels(engine: &Engine, reference: &ImageReference) -> BTreeMap<String, String> {
    engine.image(reference.as_str()).await.expect("asked").expect("it is there").labels
}

#[tokio::test]
async fn a_release_is_built_by_buildkit_with_progress() {
    let engine = engine().await;
    let trial = Trial::new("release");
    let release = &trial.release;
    assert_eq!(release.compiler(&engine, &trial.sources).await.expect("told"), Found::Container);
    let (events, mut received) = Events::channel();
    let reporter = StepReporter::new(StepId(1), events);
    let built = release.build(&engine, Compiler::Container, &reporter).await.expect("built");
    assert_eq!(built.references.len(), 2);
    let mut messages = Vec::new();
    while let Ok(event) = received.try_recv() {
        if let Event::StepProgress { progress, .. } = event {
            messages.push(progress.message);
        }
    }
    assert!(messages.iter().any(|message| message.contains("COPY --chmod=555")), "{messages:?}");
    for reference in &release.references {
        let labels = labels(&engine, reference).await;
        assert_eq!(labels["org.opencontainers.image.version"], "1.2.3");
        assert_eq!(labels["dev.homeport.trial"], "yes \"$1\"");
        engine.remove_image(reference.as_str()).await.expect("removed");
    }

    write(trial.directory.path(), "Dockerfile", "FROM scratch\nCOPY --chmod=555 missing /\n");
    let error = release.build(&engine, Compiler::Container, &reporter).await.expect_err("no such file");
    assert!(matches!(error, ImageError::Dockerfile { .. }), "{error}");
    assert!(error.to_string().contains("missing"), "{error}");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn where_the_base_cannot_be_had_the_host_compiles_the_same() {
    let engine = engine().await;
    let mut trial = Trial::new("host-release");
    // Port 1 of the loopback interface: nobody runs a registry there.
    let dockerfile = DOCKERFILE.replace("FROM runtime\n", "FROM 127.0.0.1:1/none AS build\nFROM runtime\n");
    write(trial.directory.path(), "Dockerfile", &dockerfile);
    let release = &trial.release;
    let machine = engine.version().await.expect("told").architecture;
    let found = release.compiler(&engine, &trial.sources).await.expect("told");
    assert!(matches!(&found, Found::Host { without } if !without.is_empty()), "{machine}: {found:?}");
    let (events, _received) = Events::channel();
    let reporter = StepReporter::new(StepId(1), events);
    let built = release.build(&engine, Compiler::Host, &reporter).await.expect("built");
    assert_eq!(built.compiler, Compiler::Host);
    for reference in &release.references {
        let labels = labels(&engine, reference).await;
        assert_eq!(labels["org.opencontainers.image.version"], "1.2.3");
        assert_eq!(labels["dev.homeport.trial"], "yes \"$1\"");
        engine.remove_image(reference.as_str()).await.expect("removed");
    }
    let target = format!("target/{}-unknown-linux-gnu/release/app", std::env::consts::ARCH);
    let program = std::fs::read(trial.directory.path().join(target)).expect("the program");
    let root = trial.directory.path().to_string_lossy().into_owned();
    assert!(
        !program.windows(root.len()).any(|window| window == root.as_bytes()),
        "it names this machine's path"
    );

    trial.release.platform = Some("linux/s390x".to_owned());
    let error = trial.release.compiler(&engine, &trial.sources).await.expect_err("not this kind");
    assert!(matches!(error, ImageError::NoCompiler { .. }), "{error}");
    assert!(error.details().iter().any(|reason| reason.contains("refused")), "{:?}", error.details());
}
