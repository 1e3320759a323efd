//! `cargo xtask image list`, `save` and `load`: what the stack's images are, and bundles written and read.
//!
//! Must not: print, or choose the images (the stack names them).

use std::fs::File;
use std::io::{self, Cursor, Read, Seek as _, SeekFrom, Write};
use std::path::{Path, PathBuf};

use futures_util::StreamExt as _;
use serde::Serialize;
use tempfile::NamedTempFile;
use tokio::io::AsyncWriteExt as _;

use super::{Availability, ImageError, Needed, Sources, Underway, bundle, obtain, survey};
use crate::engine::Engine;
use crate::event::StepReporter;
use crate::limits;
use crate::process::{ProcessError, Program};
use crate::stack::ImageReference;

/// One image as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageReport {
    /// The image.
    pub reference: ImageReference,
    /// Where it is or where it would come from.
    pub availability: Availability,
    /// Bytes unpacked, when the engine holds it.
    pub size: Option<u64>,
}

/// Tells of each image where it is or where it would come from; the bases of recipes that would be built are included.
///
/// # Errors
/// As for [`survey`].
pub fn list<'a>(
    engine: &'a Engine,
    needed: &'a [Needed],
    sources: &'a Sources,
) -> Underway<'a, Vec<ImageReport>> {
    Box::pin(async move {
        let mut reports = Vec::new();
        for (reference, availability) in survey(engine, needed, sources).await? {
            let size = match &availability {
                Availability::Present { id, .. } => engine.image(id).await?.map(|image| image.size),
                _ => None,
            };
            reports.push(ImageReport { reference, availability, size });
        }
        Ok(reports)
    })
}

/// A bundle that was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Saved {
    /// The image.
    pub reference: String,
    /// The file.
    pub path: PathBuf,
    /// Its size in bytes.
    pub size: u64,
}

/// Writes an image of the engine into a directory as a bundle, `NAME.tar.zst`, replacing an older one when it is
/// complete. The name follows from the reference alone. The manifest comes first in it, so that what is in a bundle is
/// told from its first bytes.
///
/// # Errors
/// When the engine does not have the image or the file cannot be written; then nothing is left of it.
pub fn save<'a>(
    engine: &'a Engine,
    reference: &'a ImageReference,
    directory: &'a Path,
    reporter: &'a StepReporter,
) -> Underway<'a, Saved> {
    Box::pin(async move {
        let path = directory.join(format!("{}.tar.zst", bundle::file_stem(reference)));
        let failed = |source| ImageError::File { verb: "write", path: path.clone(), source };
        std::fs::create_dir_all(directory).map_err(failed)?;
        let name = reference.with_tag();
        let total = engine.image(name.as_str()).await?.map_or(0, |image| image.size);
        let archive = tempfile::tempfile_in(directory).map_err(failed)?;
        let mut file = tokio::fs::File::from_std(archive.try_clone().map_err(failed)?);
        let mut chunks = Box::pin(engine.save_images(&[name.as_str()]));
        let mut done = 0;
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk?;
            file.write_all(&chunk).await.map_err(failed)?;
            done += chunk.len() as u64;
            // The archive has some headers more than the image has bytes.
            reporter.bytes("reading from the engine", done.min(total), total);
        }
        file.flush().await.map_err(failed)?;
        reporter.message("compressing");
        let (plain, compressed) = blocking({
            let directory = directory.to_owned();
            move || {
                let mut plain = NamedTempFile::new_in(&directory)?;
                io::copy(&mut manifest_first(archive)?, &mut plain)?;
                Ok((plain, NamedTempFile::new_in(&directory)?))
            }
        })
        .await
        .map_err(failed)?;
        let compressed = match compress_by_program(plain.path(), compressed.path()).await {
            Ok(()) => compressed,
            Err(ProcessError::Missing { .. }) => {
                blocking(move || compress(plain.as_file(), compressed)).await.map_err(failed)?
            }
            Err(error) => return Err(error.into()),
        };
        let size = put_in_place(compressed, &path).map_err(failed)?;
        Ok(Saved { reference: reference.to_string(), path, size })
    })
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.expect("the work neither panics nor is cancelled")
}

/// The zstd program makes half the size in a tenth of the time of the library, which has its fastest level only.
async fn compress_by_program(plain: &Path, compressed: &Path) -> Result<(), ProcessError> {
    Program::new("zstd", limits::IMAGE_LOAD)
        .args(["--quiet", "--force", "--threads=0"])
        .arg(plain)
        .arg("-o")
        .arg(compressed)
        .run(|_, _| {})
        .await
}

/// A bundle that was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Loaded {
    /// The file.
    pub path: PathBuf,
    /// What the engine says it has loaded from it.
    pub images: Vec<String>,
}

/// The bundles of a directory.
///
/// # Errors
/// When the directory cannot be read.
pub fn bundles(directory: &Path) -> Result<Vec<PathBuf>, ImageError> {
    bundle::files(directory).map_err(|source| ImageError::File {
        verb: "read",
        path: directory.to_owned(),
        source,
    })
}

/// Loads a bundle into the engine.
///
/// # Errors
/// When the file cannot be read or the engine refuses it.
pub fn load<'a>(engine: &'a Engine, path: &'a Path, reporter: &'a StepReporter) -> Underway<'a, Loaded> {
    Box::pin(async move {
        let images = obtain::load(engine, path, reporter).await?;
        Ok(Loaded { path: path.to_owned(), images })
    })
}

/// Compresses an archive with the library. Blocks.
fn compress(mut plain: &File, mut compressed: NamedTempFile) -> io::Result<NamedTempFile> {
    plain.rewind()?;
    let mut source = Careful::new(plain);
    let mut drain = Careful::new(io::BufWriter::new(compressed.as_file_mut()));
    ruzstd::encoding::compress(&mut source, &mut drain, ruzstd::encoding::CompressionLevel::Fastest);
    source.finish()?;
    drain.finish()?.flush()?;
    Ok(compressed)
}

/// Gives a complete file its name, in place of an older one. Returns its size.
fn put_in_place(file: NamedTempFile, path: &Path) -> io::Result<u64> {
    // The zstd program replaces the file, so the handle at hand may be of one that is gone.
    let written = File::open(file.path())?;
    readable_by_all(&written)?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(written.metadata()?.len())
}

/// Temporary files are their owner's alone; a bundle is made to be passed on.
#[cfg(unix)]
fn readable_by_all(file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    file.set_permissions(std::fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn readable_by_all(_: &File) -> io::Result<()> {
    Ok(())
}

/// The compressor takes an error of what it reads or writes for a bug of its own, and panics. This keeps the error and
/// lets the compressor come to its end: reading ends, and writing goes nowhere.
struct Careful<T> {
    inner: T,
    error: Option<io::Error>,
}

impl<T> Careful<T> {
    fn new(inner: T) -> Self {
        Self { inner, error: None }
    }

    fn finish(self) -> io::Result<T> {
        self.error.map_or(Ok(self.inner), Err)
    }
}

impl<R: Read> Read for Careful<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(self.inner.read(buffer).unwrap_or_else(|error| {
            self.error = Some(error);
            0
        }))
    }
}

impl<W: Write> Write for Careful<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        if self.error.is_none() {
            self.error = self.inner.write_all(buffer).err();
        }
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The archive's bytes with `manifest.json`, which engines write last, moved to the front.
fn manifest_first(mut archive: File) -> io::Result<Box<dyn Read + Send>> {
    archive.rewind()?;
    let mut place = None;
    for entry in tar::Archive::new(&archive).entries_with_seek()? {
        let mut entry = entry?;
        // An entry with a header of its own before it cannot be moved alone; it stays where it is.
        if entry.path()?.as_os_str() == "manifest.json" && entry.pax_extensions()?.is_none() {
            let end = entry.raw_file_position() + entry.size().next_multiple_of(512);
            place = Some((entry.raw_header_position(), end));
        }
    }
    let Some((start, end)) = place else {
        archive.rewind()?;
        return Ok(Box::new(archive));
    };
    archive.seek(SeekFrom::Start(start))?;
    let mut manifest = Vec::new();
    (&archive).take(end - start).read_to_end(&mut manifest)?;
    archive.rewind()?;
    let before = archive.try_clone()?.take(start);
    // Both halves share the place in the file: when the first is read, the second moves it on.
    Ok(Box::new(Cursor::new(manifest).chain(before).chain(Skip { archive, to: Some(end) })))
}

/// A file read from a place that is gone to when the reading begins.
struct Skip {
    archive: File,
    to: Option<u64>,
}

impl Read for Skip {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(place) = self.to.take() {
            self.archive.seek(SeekFrom::Start(place))?;
        }
        self.archive.read(buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifest_is_moved_to_the_front_and_all_else_stays() {
        let mut archive = tar::Builder::new(tempfile::tempfile().expect("a file"));
        for (path, content) in
            [("a/layer.tar", &b"x".repeat(700)[..]), ("manifest.json", b"[]"), ("repositories", b"{}")]
        {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            archive.append_data(&mut header, path, content).expect("written");
        }
        let archive = archive.into_inner().expect("written");
        let mut ordered = tempfile::tempfile().expect("a file");
        io::copy(&mut manifest_first(archive).expect("readable"), &mut ordered).expect("written");
        let compressed = compress(&ordered, NamedTempFile::new().expect("a file")).expect("compressed");
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("x.tar.zst");
        let size = put_in_place(compressed, &path).expect("moved");
        assert_eq!(size, std::fs::metadata(&path).expect("a file").len());
        let plain = ruzstd::decoding::StreamingDecoder::new(File::open(&path).expect("a file"));
        let mut archive = tar::Archive::new(plain.expect("zstd"));
        let entries = archive.entries().expect("an archive").map(|entry| {
            let entry = entry.expect("an entry");
            (entry.path().expect("a path").display().to_string(), entry.size())
        });
        let expected = [("manifest.json", 2), ("a/layer.tar", 700), ("repositories", 2)];
        assert_eq!(entries.collect::<Vec<_>>(), expected.map(|(path, size)| (path.to_owned(), size)));
        assert_eq!(bundle::references(&path).expect("an empty manifest"), []);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_disk_that_is_full_is_an_error_and_no_panic() {
        let mut full = Careful::new(File::options().write(true).open("/dev/full").expect("a full disk"));
        ruzstd::encoding::compress(&b"x"[..], &mut full, ruzstd::encoding::CompressionLevel::Fastest);
        assert_eq!(full.finish().expect_err("it is full").kind(), io::ErrorKind::StorageFull);
    }
}
