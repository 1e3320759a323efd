//! Gets an image from the source that the survey found.
//!
//! Dropping the future stops the work, and nothing half-made is left with a reference: the engine gives an image its
//! reference when it is complete, and an archive that ends early is refused.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use futures_util::Stream;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::Child;
use tokio::sync::mpsc;
use tokio_util::bytes::{Bytes, BytesMut};

use super::pull::pull;
use super::recipe::{CHANGES, Recipe};
use super::reference::Parts;
use super::{ImageError, Source, Underway, buildkit, bundle, labels};
use crate::engine::{Engine, EngineError, ImageBuild, Told};
use crate::event::StepReporter;
use crate::limits;
use crate::process::{ProcessError, Program};
use crate::stack::ImageReference;

/// How much of a program's output is passed on at a time.
const CHUNK: usize = 256 * 1024;

/// An image that was obtained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Obtained {
    /// The engine's identifier, `sha256:…`.
    pub id: String,
    /// Bytes unpacked.
    pub size: u64,
}

/// Gets an image from a source.
///
/// # Errors
/// When the source fails, with its own words; when it was used and did not bring the image.
pub fn obtain<'a>(
    engine: &'a Engine,
    reference: &'a ImageReference,
    source: &'a Source,
    reporter: &'a StepReporter,
) -> Underway<'a, Obtained> {
    Box::pin(async move {
        match source {
            Source::Bundle(path) => load(engine, path, reporter).await.map(drop)?,
            Source::Registry => pull(engine, reference, reporter).await?,
            Source::Recipe { directory, .. } => build(engine, reference, directory, reporter).await?,
            Source::Bootstrap(script) => bootstrap(engine, reference, script, reporter).await?,
        }
        let image = engine.image(reference.with_tag().as_str()).await?.ok_or_else(|| {
            ImageError::NotBrought { reference: reference.clone(), source_name: source.to_string() }
        })?;
        Ok(Obtained { id: image.id, size: image.size })
    })
}

/// Loads a bundle. Returns what the engine says that it loaded.
pub(super) async fn load(
    engine: &Engine,
    path: &Path,
    reporter: &StepReporter,
) -> Result<Vec<String>, ImageError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let progress = reporter.clone();
    let archive = bundle::stream(path, move |done, total| progress.bytes("loading", done, total))
        .map_err(|source| ImageError::File { verb: "read", path: path.to_owned(), source })?;
    Ok(engine.load_images(&name, archive, limits::IMAGE_LOAD).await?)
}

/// Builds a recipe with the engine's classic builder.
async fn build(
    engine: &Engine,
    reference: &ImageReference,
    directory: &Path,
    reporter: &StepReporter,
) -> Result<(), ImageError> {
    let unreadable = |source| ImageError::File { verb: "read", path: directory.to_owned(), source };
    let recipe = Recipe::read(directory)
        .and_then(|recipe| recipe.ok_or_else(|| io::ErrorKind::NotFound.into()))
        .map_err(unreadable)?;
    let order = ImageBuild {
        reference: reference.with_tag().to_string(),
        context: recipe.context().map_err(unreadable)?,
        labels: BTreeMap::from([
            (labels::RECIPE.to_owned(), recipe.name.clone()),
            (labels::RECIPE_HASH.to_owned(), recipe.hash()),
        ]),
        limit: limits::IMAGE_BUILD,
        ..Default::default()
    };
    let speaker = format!("recipe {}", recipe.name);
    run_builder(Builder::Classic(engine), reference, order, &speaker, reporter).await
}

/// Who builds from a Dockerfile.
#[derive(Debug, Clone, Copy)]
pub(super) enum Builder<'a> {
    /// The engine's own, as old as engines are.
    Classic(&'a Engine),
    /// `BuildKit`, which mounts caches.
    BuildKit,
}

/// Runs one of the builders and passes on what it tells.
pub(super) async fn run_builder(
    builder: Builder<'_>,
    reference: &ImageReference,
    order: ImageBuild,
    speaker: &str,
    reporter: &StepReporter,
) -> Result<(), ImageError> {
    let mut lines = Vec::new();
    let mut end = None;
    let mut on_told = |told: Told| {
        let line = match told {
            Told::Step(line) => {
                reporter.message(&line);
                line
            }
            Told::Line(line) => line,
            Told::Refused(_) | Told::Failed(_) => return end = Some(told),
        };
        reporter.output(speaker, &line);
        lines.push(line);
    };
    match builder {
        Builder::Classic(engine) => match engine.build_image(order, |report| on_told(report.into())).await {
            Err(EngineError::Refused { message, .. }) => end = Some(Told::Refused(message)),
            other => other?,
        },
        Builder::BuildKit => buildkit::build(order, reporter, on_told).await?,
    }
    match end {
        None => Ok(()),
        Some(Told::Refused(message)) => Err(ImageError::Dockerfile {
            reference: reference.clone(),
            message,
            lines: lines.split_off(lines.len().saturating_sub(limits::LAST_LINES)),
        }),
        Some(Told::Failed(why) | Told::Step(why) | Told::Line(why)) => Err(ImageError::BuildKit(why)),
    }
}

/// Makes a base system with the recipe's script, which writes it as a tar archive, and imports that.
async fn bootstrap(
    engine: &Engine,
    reference: &ImageReference,
    script: &Path,
    reporter: &StepReporter,
) -> Result<(), ImageError> {
    let directory = script.parent().unwrap_or(Path::new("."));
    let unreadable = |source| ImageError::File { verb: "read", path: directory.to_owned(), source };
    let recipe = Recipe::read(directory)
        .and_then(|recipe| recipe.ok_or_else(|| io::ErrorKind::NotFound.into()))
        .map_err(unreadable)?;
    // Asked for by itself, so that its absence is told as such and not as the script's failure.
    Program::new("mmdebstrap", limits::ENGINE_ANSWER).arg("--version").output().await?;
    let changes = std::fs::read_to_string(directory.join(CHANGES)).or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => Ok(String::new()),
        _ => Err(unreadable(error)),
    })?;
    let mut changes: Vec<String> =
        changes.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
    changes.push(format!("LABEL {}={}", labels::RECIPE, recipe.name));
    changes.push(format!("LABEL {}={}", labels::RECIPE_HASH, recipe.hash()));

    let tag = Parts::of(reference).tag.unwrap_or_default();
    let suite = tag.strip_suffix("-slim").unwrap_or(&tag).to_owned();
    let scratch = tempfile::tempdir().map_err(|source| ImageError::File {
        verb: "make",
        path: std::env::temp_dir(),
        source,
    })?;
    let program = contained(script).arg(suite).env("TMPDIR", scratch.path()).directory(directory);
    let mut child = program.stream()?;
    let (archive, sender) = channel();
    let name = reference.with_tag();
    let import = engine.import_root_file_system(name.as_str(), archive, changes, limits::IMAGE_BUILD);
    let speaker = format!("recipe {}", recipe.name);
    let run = pump(&program, &mut child, sender, |line| {
        reporter.message(line);
        reporter.output(speaker.as_str(), line);
    });
    // The program's own failure says more than what the engine makes of the broken archive.
    let (ran, imported) = tokio::join!(run, import);
    ran?;
    imported?;
    Ok(())
}

/// The script as a program. As root it runs in a process namespace of its own, so that stopping it stops everything it
/// started at once (util-linux, `unshare --kill-child`); others cannot make one, and their processes end with the
/// closed pipe.
fn contained(script: &Path) -> Program {
    #[cfg(target_os = "linux")]
    if std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0) {
        return Program::new("unshare", limits::IMAGE_BUILD)
            .args(["--pid", "--fork", "--kill-child", "sh"])
            .arg(script);
    }
    Program::new("sh", limits::IMAGE_BUILD).arg(script)
}

type Chunks = mpsc::Sender<io::Result<Bytes>>;

fn channel() -> (impl Stream<Item = io::Result<Bytes>> + Send + 'static, Chunks) {
    let (sender, receiver) = mpsc::channel(2);
    let stream = futures_util::stream::unfold(receiver, |mut receiver: mpsc::Receiver<_>| async {
        Some((receiver.recv().await?, receiver))
    });
    (stream, sender)
}

/// Passes a program's standard output on, and its standard error line by line. When it fails, the stream ends in an
/// error, so that the engine refuses what it has got.
async fn pump(
    program: &Program,
    child: &mut Child,
    chunks: Chunks,
    mut on_line: impl FnMut(&str),
) -> Result<(), ImageError> {
    let mut stdout = child.stdout.take().expect("the stream was asked for as a pipe");
    let stderr = child.stderr.take().expect("the stream was asked for as a pipe");
    let mut said = Vec::new();
    let lines = async {
        let mut lines = BufReader::new(stderr).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            on_line(&line);
            said.push(line);
        }
    };
    let bytes = async {
        loop {
            let mut chunk = BytesMut::with_capacity(CHUNK);
            match stdout.read_buf(&mut chunk).await {
                Ok(0) => return Ok(()),
                Ok(_) => {
                    if chunks.send(Ok(chunk.freeze())).await.is_err() {
                        // The engine has refused already; its answer is the error that counts.
                        return Ok(());
                    }
                }
                Err(error) => return Err(error),
            }
        }
    };
    let (read, ()) = tokio::join!(bytes, lines);
    let failed = |source| ProcessError::Io { program: program.line(), source };
    read.map_err(failed)?;
    let refused = chunks.is_closed();
    let status = child.wait().await.map_err(failed)?;
    if !status.success() && !refused {
        let _ = chunks.send(Err(io::Error::other("the program failed"))).await;
        return Err(ProcessError::Failed { program: program.line(), status, stderr: said }.into());
    }
    Ok(())
}
