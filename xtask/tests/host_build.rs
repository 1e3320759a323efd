//! The service's image in development, as one story: a workspace of its own, the host's cargo and a real engine. The
//! image is named `images-trial/…` and removed again.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::Path;

use futures_util::TryStreamExt as _;
use serde_json::Value;
use tokio_util::bytes::Bytes;
use xtask::engine::Engine;
use xtask::event::{Event, Events, StepId, StepReporter};
use xtask::images::{Freshness, HostBuild, ImageError};
use xtask::stack::ImageReference;

const DOCKERFILE: &str = r#"
FROM scratch AS runtime
ARG VERSION=dev
LABEL org.opencontainers.image.version="${VERSION}"
USER 1000:1000
EXPOSE 8000
HEALTHCHECK --interval=5s CMD ["/service", "health"]
ENTRYPOINT ["/service"]
CMD ["serve"]
FROM runtime AS release
COPY app /service
"#;

const MANIFEST: &str = "[package]\nname = \"app\"\nedition = \"2024\"\n[workspace]\n";

fn write(root: &Path, path: &str, content: &str) {
    let path = root.join(path);
    std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
    std::fs::write(path, content).expect("a file");
}

fn program(says: &str) -> String {
    format!("fn main() {{ println!(\"{says}\"); }}\n")
}

/// The files of an image's only layer and its configuration, read from what the engine saves.
async fn content(engine: &Engine, image: &ImageReference) -> (Vec<(String, u32)>, Value) {
    let chunks: Vec<Bytes> = engine.save_images(&[image.as_str()]).try_collect().await.expect("saved");
    let saved = chunks.concat();
    let mut files = BTreeMap::new();
    for entry in tar::Archive::new(saved.as_slice()).entries().expect("an archive") {
        let mut entry = entry.expect("an entry");
        let path = entry.path().expect("a path").to_string_lossy().into_owned();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).expect("readable");
        files.insert(path, content);
    }
    let manifest: Value = serde_json::from_slice(&files["manifest.json"]).expect("a manifest");
    let path = |value: &Value| value.as_str().expect("a path").to_owned();
    let configuration = serde_json::from_slice(&files[&path(&manifest[0]["Config"])]).expect("JSON");
    assert_eq!(manifest[0]["Layers"].as_array().expect("layers").len(), 1);
    let layer = &files[&path(&manifest[0]["Layers"][0])];
    let mut archive = tar::Archive::new(layer.as_slice());
    let entries = archive.entries().expect("an archive").map(|entry| {
        let entry = entry.expect("an entry");
        let mode = entry.header().mode().expect("a mode");
        (entry.path().expect("a path").to_string_lossy().into_owned(), mode)
    });
    (entries.collect(), configuration)
}

#[tokio::test]
async fn two_checkouts_with_one_target_directory_have_two_programs() {
    let engine =
        Engine::connect().await.expect("this test needs a container engine: `cargo xtask doctor --fix`");
    let directory = tempfile::tempdir().expect("a directory");
    let reporter = StepReporter::new(StepId(1), Events::channel().0);
    let shared = directory.path().join("shared");
    let configured = format!("[build]\ntarget-dir = {:?}\n", shared.to_str().expect("text"));
    let hosts = ["one", "two"].map(|name| {
        let root = directory.path().join(name);
        write(&root, "Cargo.toml", MANIFEST);
        write(&root, "Dockerfile", DOCKERFILE);
        write(&root, ".cargo/config.toml", &configured);
        write(&root, "src/main.rs", &program(name));
        let image = ImageReference::new(format!("images-trial/{name}:{}", std::process::id()));
        HostBuild { root, package: "app".to_owned(), image }
    });
    let none = BTreeSet::new();
    let mut programs = Vec::new();
    for host in &hosts {
        host.build(&engine, &none, &reporter).await.expect("built");
        let image = engine.image(host.image.as_str()).await.expect("asked").expect("it was made");
        let path = &image.labels["dev.homeport.artifact"];
        assert!(Path::new(path).starts_with(&shared), "where the person wants it: {path}");
        programs.push(std::process::Command::new(path).output().expect("it runs").stdout);
    }
    assert_eq!(programs, [b"one\n", b"two\n"]);
    for host in &hosts {
        assert_eq!(host.freshness(&engine).await.expect("told"), Freshness::Fresh);
    }
    write(&hosts[0].root, "src/main.rs", &program("three"));
    let saved = hosts[0].freshness(&engine).await.expect("told");
    assert_eq!(saved, Freshness::Stale("src/main.rs changed".to_owned()));
    assert!(hosts[0].build(&engine, &none, &reporter).await.expect("built").changed);
    assert_eq!(hosts[1].freshness(&engine).await.expect("told"), Freshness::Fresh);
    for host in &hosts {
        engine.remove_image(host.image.as_str()).await.expect("removed");
    }
}

#[tokio::test]
async fn the_image_follows_the_program() {
    let engine =
        Engine::connect().await.expect("this test needs a container engine: `cargo xtask doctor --fix`");
    let directory = tempfile::tempdir().expect("a directory");
    let root = directory.path();
    write(root, "Cargo.toml", MANIFEST);
    write(root, "Dockerfile", DOCKERFILE);
    write(root, "src/main.rs", &program("one"));
    let image = ImageReference::new(format!("images-trial/host-build:{}", std::process::id()));
    let host = HostBuild { root: root.to_owned(), package: "app".to_owned(), image: image.clone() };
    let (events, mut received) = Events::channel();
    let reporter = StepReporter::new(StepId(1), events);
    let none = BTreeSet::new();
    let stale = |cause: &str| Freshness::Stale(cause.to_owned());

    // Nothing there yet.
    assert_eq!(host.freshness(&engine).await.expect("told"), stale("missing"));
    let first = host.build(&engine, &none, &reporter).await.expect("built");
    assert!(first.changed);
    let (files, configuration) = content(&engine, &image).await;
    assert_eq!(files, [("service".to_owned(), 0o555)]);
    let settings = &configuration["config"];
    assert_eq!(settings["User"], "1000:1000");
    assert_eq!(settings["Entrypoint"], serde_json::json!(["/service"]));
    assert_eq!(settings["Cmd"], serde_json::json!(["serve"]));
    assert_eq!(settings["ExposedPorts"], serde_json::json!({"8000/tcp": {}}));
    assert_eq!(settings["Healthcheck"]["Test"], serde_json::json!(["CMD", "/service", "health"]));
    assert_eq!(settings["Healthcheck"]["Interval"], 5_000_000_000_u64);
    assert_eq!(settings["Labels"]["org.opencontainers.image.version"], "dev");

    // Nothing changed.
    assert_eq!(host.freshness(&engine).await.expect("told"), Freshness::Fresh);
    let again = host.build(&engine, &none, &reporter).await.expect("built");
    assert_eq!((again.changed, &again.id), (false, &first.id));

    // Saved without a change: the compiler runs, the image stays, and the next look needs no compiler.
    write(root, "src/main.rs", &program("one"));
    assert_eq!(host.freshness(&engine).await.expect("told"), stale("src/main.rs changed"));
    let saved = host.build(&engine, &none, &reporter).await.expect("built");
    assert_eq!((saved.changed, &saved.id), (false, &first.id));
    assert_eq!(host.freshness(&engine).await.expect("told"), Freshness::Fresh);

    // Changed: another image. The one before goes while the next one is compiled, when nobody waits for it.
    write(root, "src/main.rs", &program("two"));
    let second = host.build(&engine, &none, &reporter).await.expect("built");
    assert!(second.changed && second.id != first.id);

    // Configured otherwise.
    write(root, "Dockerfile", &DOCKERFILE.replace("VERSION=dev", "VERSION=next"));
    assert_eq!(host.freshness(&engine).await.expect("told"), stale("Dockerfile changed"));
    assert!(host.build(&engine, &none, &reporter).await.expect("built").changed);
    assert_eq!(host.freshness(&engine).await.expect("told"), Freshness::Fresh);
    assert_eq!(engine.image(&first.id).await.expect("asked"), None);

    // A warning is passed on, an error is the failure's evidence, and the image stays as it was.
    let before = engine.image(image.as_str()).await.expect("asked");
    write(root, "src/main.rs", "fn main() { let unused = 1; }\n");
    host.build(&engine, &none, &reporter).await.expect("built");
    let mut lines = Vec::new();
    while let Ok(event) = received.try_recv() {
        if let Event::Output { source, line, .. } = event {
            assert_eq!(source, "cargo");
            lines.push(line);
        }
    }
    assert!(lines.iter().any(|line| line.contains("unused variable: `unused`")), "{lines:?}");
    write(root, "src/main.rs", "fn main() { 1 + \"\" }\n");
    let error = host.build(&engine, &none, &reporter).await.expect_err("it does not compile");
    assert!(matches!(error, ImageError::Build { .. }), "{error}");
    assert_eq!(error.to_string(), "cannot build package app: 1 error");
    assert!(error.details().iter().any(|line| line.contains("cannot add")), "{:?}", error.details());
    let after = engine.image(image.as_str()).await.expect("asked");
    assert_ne!(before, after, "the program with the warning was built in between");

    // Elsewhere the engine builds the Dockerfile; told fresh and stale by the sources it was given.
    let dockerfile = DOCKERFILE.replace("COPY app /service", "COPY --chmod=555 src/main.rs /service");
    write(root, "Dockerfile", &dockerfile);
    write(root, ".dockerignore", "target");
    assert!(host.build_in_container(&engine, &reporter).await.expect("built").changed);
    assert_eq!(host.freshness(&engine).await.expect("told"), Freshness::Fresh);
    assert!(!host.build_in_container(&engine, &reporter).await.expect("built").changed);
    write(root, "src/main.rs", &program("three"));
    assert_eq!(host.freshness(&engine).await.expect("told"), stale("sources changed"));
    assert!(host.build_in_container(&engine, &reporter).await.expect("built").changed);

    engine.remove_image(image.as_str()).await.expect("removed");
}
