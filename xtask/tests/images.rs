//! Images against a real engine: found, loaded, built, and nothing left behind. Every image made here is named
//! `images-trial/…` and removed again.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use futures_util::TryStreamExt as _;
use tokio_util::bytes::Bytes;
use xtask::engine::Engine;
use xtask::event::{Event, Events, StepId, StepReporter};
use xtask::images::{self, Availability, Needed, Source, Sources, obtain, survey};
use xtask::limits;
use xtask::stack::ImageReference;

async fn engine() -> Engine {
    Engine::connect().await.expect("these tests need a container engine: `cargo xtask doctor --fix`")
}

fn reporter() -> (StepReporter, xtask::event::Arriving) {
    let (events, receiver) = Events::channel();
    (StepReporter::new(StepId(1), events), receiver)
}

/// A reference of this test's own, so that tests may run side by side.
fn own_reference(name: &str) -> ImageReference {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    ImageReference::new(format!("images-trial/{name}:{}-{number}", std::process::id()))
}

/// A checkout with recipes of its own and a directory of bundles.
struct Checkout(tempfile::TempDir);

impl Checkout {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    fn write(&self, path: &str, content: &str) -> PathBuf {
        let path = self.0.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        std::fs::write(&path, content).expect("a file");
        path
    }

    fn sources(&self, offline: bool) -> Sources {
        Sources {
            recipes: self.0.path().join("recipes"),
            bundles: Some(self.0.path().join("bundles")),
            memory: self.0.path().join("memory"),
            offline,
        }
    }
}

fn needed(reference: &ImageReference, recipe: Option<&str>) -> Needed {
    Needed { reference: reference.clone(), recipe: recipe.map(str::to_owned), built_here: false }
}

/// A root file system with one file, as a tar archive.
fn root_file_system(content: &str) -> Bytes {
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    archive.append_data(&mut header, "file", content.as_bytes()).expect("in memory");
    archive.into_inner().expect("in memory").into()
}

async fn import(engine: &Engine, reference: &ImageReference) {
    let archive = futures_util::stream::iter([Ok(root_file_system(reference.as_str()))]);
    engine
        .import_root_file_system(reference.as_str(), archive, Vec::new(), limits::IMAGE_LOAD)
        .await
        .expect("the engine imports a tar archive");
}

async fn remove(engine: &Engine, references: &[&ImageReference]) {
    for reference in references {
        engine.remove_image(reference.as_str()).await.expect("removed");
    }
}

#[tokio::test]
async fn a_recipe_is_found_built_and_found_stale_when_it_changes() {
    let engine = engine().await;
    let (base, image) = (own_reference("base"), own_reference("app"));
    import(&engine, &base).await;
    let checkout = Checkout::new();
    checkout
        .write("recipes/app/Dockerfile", &format!("ARG BASE={base}\nFROM ${{BASE}}\nCOPY entry /entry\n"));
    checkout.write("recipes/app/entry", "one");
    let needed = [needed(&image, Some("app"))];

    let found = survey(&engine, &needed, &checkout.sources(false)).await.expect("surveyed");
    let directory = checkout.0.path().join("recipes/app");
    let recipe = Source::Recipe { directory, base: base.clone() };
    assert_eq!(found[&image], Availability::Obtainable(recipe.clone()));
    assert!(matches!(&found[&base], Availability::Present { origin, .. } if origin == "engine's store"));

    let (reporter, mut events) = reporter();
    let obtained = obtain(&engine, &image, &recipe, &reporter).await.expect("built");
    let mut lines = Vec::new();
    while let Ok(event) = events.try_recv() {
        if let Event::Output { source, line, .. } = event {
            assert_eq!(source, "recipe app");
            lines.push(line);
        }
    }
    assert!(lines.iter().any(|line| line.contains("COPY entry /entry")), "{lines:?}");

    let fresh = survey(&engine, &needed, &checkout.sources(false)).await.expect("surveyed");
    let present =
        |stale| Availability::Present { id: obtained.id.clone(), origin: "recipe".to_owned(), stale };
    assert_eq!(fresh[&image], present(None));
    assert_eq!(fresh.len(), 1, "a base that nothing is built on is not in the catalogue");

    checkout.write("recipes/app/entry", "two");
    let stale = survey(&engine, &needed, &checkout.sources(false)).await.expect("surveyed");
    assert_eq!(stale[&image], present(Some(recipe)));
    let offline = survey(&engine, &needed, &checkout.sources(true)).await.expect("surveyed");
    assert_eq!(offline[&image], present(None), "offline an older recipe's image will do");
    remove(&engine, &[&image, &base]).await;
}

#[tokio::test]
async fn a_recipe_that_fails_tells_the_builders_words_and_leaves_no_image() {
    let engine = engine().await;
    let (base, image) = (own_reference("base"), own_reference("broken"));
    import(&engine, &base).await;
    let checkout = Checkout::new();
    checkout.write("recipes/broken/Dockerfile", &format!("FROM {base}\nCOPY missing /missing\n"));
    let source = Source::Recipe { directory: checkout.0.path().join("recipes/broken"), base: base.clone() };
    let error = obtain(&engine, &image, &source, &reporter().0).await.expect_err("there is no such file");
    assert!(error.to_string().contains("missing"), "{error}");
    assert_eq!(engine.image(image.as_str()).await.expect("asked"), None);
    remove(&engine, &[&base]).await;
}

#[tokio::test]
async fn what_no_source_has_is_told_source_by_source() {
    let engine = engine().await;
    // Port 1 of the loopback interface: nobody runs a registry there.
    let image = ImageReference::new("127.0.0.1:1/images-trial/none:1");
    let checkout = Checkout::new();
    checkout.write("bundles/other.tar", "junk");
    let found =
        survey(&engine, &[needed(&image, Some("none"))], &checkout.sources(false)).await.expect("surveyed");
    let Availability::Unavailable(reasons) = &found[&image] else { panic!("{found:?}") };
    let starts = [
        "engine's store: not there",
        "bundles: not in the 1 archives of",
        "bundles: cannot read",
        "registry: ",
        "recipe: there is none",
    ];
    for (reason, start) in reasons.iter().zip(starts) {
        assert!(reason.starts_with(start), "{reason}");
    }
    assert_eq!(reasons.len(), starts.len());
    assert!(reasons[3].contains("refused"), "{}", reasons[3]);
    let found =
        survey(&engine, &[needed(&image, Some("none"))], &checkout.sources(true)).await.expect("surveyed");
    let Availability::Unavailable(reasons) = &found[&image] else { panic!("{found:?}") };
    assert_eq!(reasons[3..], ["registry: not asked, --offline", "recipe: not used, --offline"]);
}

type Compress = fn(&[u8]) -> Vec<u8>;

/// Writes an image of the engine into a bundle and removes it from the engine.
async fn move_to_bundle(engine: &Engine, image: &ImageReference, path: &Path, compress: Compress) {
    let chunks: Vec<Bytes> =
        engine.save_images(&[image.as_str()]).try_collect().await.expect("the engine saves an image");
    std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
    std::fs::write(path, compress(&chunks.concat())).expect("a file");
    remove(engine, &[image]).await;
}

fn zstd(content: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(content, ruzstd::encoding::CompressionLevel::Fastest)
}

fn gzip(content: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(content).expect("in memory");
    encoder.finish().expect("in memory")
}

#[tokio::test]
async fn a_bundle_is_found_and_loaded_offline_in_every_compression() {
    let engine = engine().await;
    for (name, compress) in [("x.tar", <[u8]>::to_vec as Compress), ("x.tar.gz", gzip), ("x.tar.zst", zstd)] {
        let image = own_reference("bundled");
        import(&engine, &image).await;
        let checkout = Checkout::new();
        let path = checkout.0.path().join("bundles").join(name);
        move_to_bundle(&engine, &image, &path, compress).await;
        let found =
            survey(&engine, &[needed(&image, None)], &checkout.sources(true)).await.expect("surveyed");
        assert_eq!(found[&image], Availability::Obtainable(Source::Bundle(path.clone())));
        let obtained = obtain(&engine, &image, &Source::Bundle(path), &reporter().0).await.expect("loaded");
        let stored = engine.image(image.as_str()).await.expect("asked").expect("it is there");
        assert_eq!(stored.id, obtained.id);
        remove(&engine, &[&image]).await;
    }
}

#[tokio::test]
async fn a_saved_image_can_be_listed_found_and_loaded() {
    let engine = engine().await;
    let image = own_reference("saved");
    import(&engine, &image).await;
    let checkout = Checkout::new();
    let sources = checkout.sources(true);
    let directory = checkout.0.path().join("bundles");
    let saved = images::save(&engine, &image, &directory, &reporter().0).await.expect("saved");
    let expected = format!("{}.tar.zst", image.as_str().replace(['/', ':'], "_"));
    assert_eq!(saved.path, directory.join(expected));
    assert_eq!(
        images::bundles(&directory).expect("read"),
        std::slice::from_ref(&saved.path),
        "nothing half-made is left"
    );

    let listed = images::list(&engine, &[needed(&image, None)], &sources).await.expect("listed");
    let Availability::Present { id, .. } = &listed[0].availability else { panic!("{listed:?}") };
    assert!(listed[0].size.is_some());
    remove(&engine, &[&image]).await;
    let moved = images::list(&engine, &[needed(&image, None)], &sources).await.expect("listed");
    assert_eq!(moved[0].availability, Availability::Obtainable(Source::Bundle(saved.path.clone())));

    let loaded = images::load(&engine, &saved.path, &reporter().0).await.expect("loaded");
    assert_eq!(loaded.images, [image.to_string()]);
    assert_eq!(&engine.image(image.as_str()).await.expect("asked").expect("it is there").id, id);
    remove(&engine, &[&image]).await;

    let missing = own_reference("missing");
    images::save(&engine, &missing, &directory, &reporter().0).await.expect_err("it is not there");
    assert_eq!(images::bundles(&directory).expect("read"), [saved.path], "nothing half-made is left");
}

#[tokio::test]
async fn an_archive_that_ends_early_leaves_no_image() {
    let engine = engine().await;
    let image = own_reference("cut-off");
    let half = root_file_system("half").slice(..700);
    let archive = futures_util::stream::iter([Ok(half), Err(std::io::Error::other("the program failed"))]);
    engine
        .import_root_file_system(image.as_str(), archive, Vec::new(), limits::IMAGE_LOAD)
        .await
        .expect_err("the archive is not whole");
    assert_eq!(engine.image(image.as_str()).await.expect("asked"), None);
}
