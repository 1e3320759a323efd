//! Bundles: archives of images in a directory, as `docker save` and `cargo xtask image save` write them: plain, gzip or
//! zstd. What is in one is read from its manifest, never guessed from its name; the name only says where to look first.
//!
//! Must not: talk to the engine.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use futures_util::Stream;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio_util::bytes::Bytes;

use super::reference::same;
use crate::stack::ImageReference;

/// The largest window an archive may ask for: the largest that the zstd program writes (`--long=31`). Archives of images
/// are compressed that way because layers repeat far apart; a window takes as much memory.
const ZSTD_WINDOW: u64 = 1 << 31;

/// How much is read at a time: large enough that the cost of passing it on does not count.
const CHUNK: usize = 1 << 20;

/// How many chunks may wait for the engine.
const CHUNKS_AHEAD: usize = 4;

/// What a search found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// The file that has each image.
    pub(super) files: BTreeMap<ImageReference, PathBuf>,
    /// How many files were read.
    pub(super) read: usize,
    /// What could not be read, each with the reason.
    pub(super) faults: Vec<String>,
}

/// Searches a directory for images. Files whose name fits come first, and the search ends when all are found. Blocks.
/// What was read is remembered in the file `memory`, because a large archive with its manifest at the end takes seconds.
pub(super) fn find(directory: &Path, wanted: &[ImageReference], memory: &Path) -> Found {
    let mut found = Found::default();
    let mut remembered = Memory::read(memory);
    let mut files = match files(directory) {
        Ok(files) => files,
        Err(error) => {
            found.faults.push(format!("{}: {error}", directory.display()));
            return found;
        }
    };
    let names: Vec<String> = wanted.iter().map(file_stem).collect();
    files.sort_by_key(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        (!names.iter().any(|stem| name.starts_with(stem.as_str())), name)
    });
    for path in files {
        if found.files.len() == wanted.len() {
            break;
        }
        found.read += 1;
        match remembered.references(&path) {
            Ok(references) => {
                for image in wanted {
                    if references.iter().any(|reference| same(reference, image)) {
                        found.files.entry(image.clone()).or_insert_with(|| path.clone());
                    }
                }
            }
            Err(error) => found.faults.push(format!("{}: {error}", path.display())),
        }
    }
    remembered.write(memory);
    found
}

/// What is in archives that were read before. It is believed for as long as a file has the same size and time.
#[derive(Default, Serialize, Deserialize)]
struct Memory {
    files: BTreeMap<PathBuf, Remembered>,
    #[serde(skip)]
    changed: bool,
}

#[derive(Serialize, Deserialize)]
struct Remembered {
    size: u64,
    modified: SystemTime,
    references: Vec<String>,
}

impl Memory {
    /// A memory that is not there or cannot be read is empty: archives are read again.
    fn read(path: &Path) -> Self {
        std::fs::read(path).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
    }

    /// Written whole or not at all, and not at all where it cannot be: the next search is only slower.
    fn write(&self, path: &Path) {
        let Some(directory) = path.parent().filter(|_| self.changed) else { return };
        let write = || -> io::Result<()> {
            std::fs::create_dir_all(directory)?;
            let file = tempfile::NamedTempFile::new_in(directory)?;
            serde_json::to_writer(&file, self)?;
            file.persist(path)?;
            Ok(())
        };
        let _ = write();
    }

    fn references(&mut self, path: &Path) -> io::Result<Vec<ImageReference>> {
        let metadata = std::fs::metadata(path)?;
        let (size, modified) = (metadata.len(), metadata.modified()?);
        let known = self.files.get(path).filter(|file| (file.size, file.modified) == (size, modified));
        if let Some(known) = known {
            return Ok(known.references.iter().map(ImageReference::new).collect());
        }
        let found = references(path)?;
        let references = found.iter().map(ToString::to_string).collect();
        self.files.insert(path.to_owned(), Remembered { size, modified, references });
        self.changed = true;
        Ok(found)
    }
}

/// The archives of a directory.
pub(super) fn files(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if [".tar", ".tar.gz", ".tgz", ".tar.zst"].iter().any(|end| name.ends_with(end)) && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// The name of an image's bundle without its ending: the reference with what a file name cannot hold replaced.
pub(super) fn file_stem(reference: &ImageReference) -> String {
    reference.with_tag().as_str().replace(['/', ':', '@'], "_")
}

/// One image of a Docker archive (`manifest.json`; moby, "image/spec/v1.2").
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DockerImage {
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
}

/// The index of an OCI layout (`index.json`; OCI image specification, "Image Layout").
#[derive(Deserialize)]
struct OciIndex {
    manifests: Vec<OciManifest>,
}

#[derive(Deserialize)]
struct OciManifest {
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

/// The references in an archive. Reads no further than it must: what a plain archive holds beside its manifest is
/// skipped by seeking, and a manifest at its beginning ends the reading. Blocks.
pub(super) fn references(path: &Path) -> io::Result<Vec<ImageReference>> {
    let mut file = File::open(path)?;
    if compression(&mut file)? == Compression::None {
        let mut archive = tar::Archive::new(file);
        read_references(archive.entries_with_seek()?)
    } else {
        let mut archive = tar::Archive::new(plain(file, |_| {})?);
        read_references(archive.entries()?)
    }
}

fn read_references<'a, R: Read + 'a>(
    entries: impl Iterator<Item = io::Result<tar::Entry<'a, R>>>,
) -> io::Result<Vec<ImageReference>> {
    let mut index = None;
    for entry in entries {
        let entry = entry?;
        let path = entry.path()?.to_string_lossy().trim_start_matches("./").to_owned();
        match path.as_str() {
            "manifest.json" => {
                let images: Vec<DockerImage> = serde_json::from_reader(entry)?;
                let tags = images.into_iter().flat_map(|image| image.repo_tags.unwrap_or_default());
                return Ok(tags.map(ImageReference::new).collect());
            }
            "index.json" => index = Some(serde_json::from_reader::<_, OciIndex>(entry)?),
            _ => {}
        }
    }
    let index = index.ok_or_else(|| io::Error::other("it has neither manifest.json nor index.json"))?;
    // containerd writes the whole reference; the specification's own annotation may hold the tag alone.
    let names = index.manifests.into_iter().filter_map(|mut manifest| {
        let whole = manifest.annotations.remove("io.containerd.image.name");
        whole.or_else(|| manifest.annotations.remove("org.opencontainers.image.ref.name"))
    });
    Ok(names.map(ImageReference::new).collect())
}

/// How an archive is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Compression {
    None,
    Gzip,
    Zstd,
}

/// Tells it from the first bytes (RFC 1952, section 2.3.1; RFC 8878, section 3.1.1) and goes back to the beginning.
fn compression(file: &mut File) -> io::Result<Compression> {
    use std::io::Seek as _;
    let mut magic = Vec::new();
    file.by_ref().take(4).read_to_end(&mut magic)?;
    file.rewind()?;
    Ok(match magic.as_slice() {
        [0x1f, 0x8b, ..] => Compression::Gzip,
        // The second form is a skippable frame, which some compressors write first.
        [0x28, 0xb5, 0x2f, 0xfd] | [0x50..=0x5f, 0x2a, 0x4d, 0x18] => Compression::Zstd,
        _ => Compression::None,
    })
}

/// Opens an archive for reading: plain, gzip or zstd, as its first bytes say.
///
/// # Errors
/// When it cannot be read.
pub fn open_archive(path: &Path) -> io::Result<Box<dyn Read + Send>> {
    plain(File::open(path)?, |_| {})
}

/// The uncompressed content of a file. `on_read` is told how many bytes were read from the file itself.
fn plain(mut file: File, on_read: impl Fn(u64) + Send + 'static) -> io::Result<Box<dyn Read + Send>> {
    let compression = compression(&mut file)?;
    let source = BufReader::with_capacity(CHUNK, Counted { source: file, on_read });
    Ok(match compression {
        Compression::None => Box::new(source),
        Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(source)),
        Compression::Zstd => Box::new(Zstd::new(source)),
    })
}

/// Passes reading on and tells how much was read.
struct Counted<R, F> {
    source: R,
    on_read: F,
}

impl<R: Read, F: Fn(u64)> Read for Counted<R, F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.source.read(buffer)?;
        (self.on_read)(length as u64);
        Ok(length)
    }
}

/// Decodes zstd: any number of frames, skippable ones among them (the library decodes one frame).
struct Zstd<R> {
    source: R,
    decoder: FrameDecoder,
    in_frame: bool,
}

impl<R: io::BufRead> Zstd<R> {
    fn new(source: R) -> Self {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(ZSTD_WINDOW);
        Self { source, decoder, in_frame: false }
    }

    /// Begins the next frame; `false` at the end of the file.
    fn next_frame(&mut self) -> io::Result<bool> {
        while !self.source.fill_buf()?.is_empty() {
            match self.decoder.init(&mut self.source) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    io::copy(&mut (&mut self.source).take(u64::from(length)), &mut io::sink())?;
                }
                Err(error) => return Err(io::Error::other(error)),
            }
        }
        Ok(false)
    }
}

impl<R: io::BufRead> Read for Zstd<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.in_frame && self.decoder.can_collect() > 0 {
                return self.decoder.read(buffer);
            }
            if self.in_frame && !self.decoder.is_finished() {
                self.decoder
                    .decode_blocks(&mut self.source, BlockDecodingStrategy::UptoBytes(CHUNK))
                    .map_err(io::Error::other)?;
                continue;
            }
            self.in_frame = self.next_frame()?;
            if !self.in_frame {
                return Ok(0);
            }
        }
    }
}

/// The content of an archive as every engine can load it: zstd undone, because engines before 23 do not know it. Read
/// and decompressed in a thread of its own, which ends when the stream is dropped. `on_read` is told how many bytes of
/// the file were read and how many it has.
pub(super) fn stream<F: Fn(u64, u64) + Send + 'static>(
    path: &Path,
    on_read: F,
) -> io::Result<impl Stream<Item = io::Result<Bytes>> + Send + use<F>> {
    let mut file = File::open(path)?;
    let total = file.metadata()?.len();
    let kind = compression(&mut file)?;
    let done = std::sync::atomic::AtomicU64::new(0);
    let count = move |length| {
        let before = done.fetch_add(length, std::sync::atomic::Ordering::Relaxed);
        on_read(before + length, total);
    };
    let mut source: Box<dyn Read + Send> = match kind {
        Compression::Zstd => plain(file, count)?,
        _ => Box::new(Counted { source: file, on_read: count }),
    };
    let (sender, receiver) = mpsc::channel(CHUNKS_AHEAD);
    tokio::task::spawn_blocking(move || {
        loop {
            let chunk = read_chunk(&mut source);
            let last = !matches!(&chunk, Ok(bytes) if !bytes.is_empty());
            if matches!(&chunk, Ok(bytes) if bytes.is_empty()) || sender.blocking_send(chunk).is_err() || last
            {
                return;
            }
        }
    });
    Ok(futures_util::stream::unfold(receiver, |mut receiver| async {
        Some((receiver.recv().await?, receiver))
    }))
}

fn read_chunk(source: &mut impl Read) -> io::Result<Bytes> {
    let mut chunk = Vec::with_capacity(CHUNK);
    source.by_ref().take(CHUNK as u64).read_to_end(&mut chunk)?;
    Ok(chunk.into())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use futures_util::StreamExt as _;

    use super::*;

    const MANIFEST: &str =
        r#"[{"Config":"c.json","RepoTags":["redis:8","registry.example/redis:8"],"Layers":[]}]"#;

    fn archive(files: &[(&str, &str)]) -> Vec<u8> {
        let mut archive = tar::Builder::new(Vec::new());
        for (path, content) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            archive.append_data(&mut header, path, content.as_bytes()).expect("in memory");
        }
        archive.into_inner().expect("in memory")
    }

    fn gzip(content: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(content).expect("in memory");
        encoder.finish().expect("in memory")
    }

    fn zstd(content: &[u8]) -> Vec<u8> {
        ruzstd::encoding::compress_to_vec(content, ruzstd::encoding::CompressionLevel::Fastest)
    }

    fn directory(files: &[(&str, Vec<u8>)]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().expect("a directory");
        for (name, content) in files {
            std::fs::write(directory.path().join(name), content).expect("a file");
        }
        directory
    }

    fn found(directory: &tempfile::TempDir, wanted: &[&str]) -> Vec<(String, String)> {
        let wanted: Vec<ImageReference> = wanted.iter().copied().map(ImageReference::new).collect();
        let name = |path: PathBuf| path.file_name().expect("a name").to_string_lossy().into_owned();
        let found = find(directory.path(), &wanted, &directory.path().join("memory")).files;
        found.into_iter().map(|(image, path)| (image.to_string(), name(path))).collect()
    }

    #[test]
    fn images_are_found_whatever_the_name_and_the_compression_of_the_archive() {
        let docker = archive(&[("layer.tar", "xxxx"), ("manifest.json", MANIFEST)]);
        let oci = archive(&[(
            "index.json",
            r#"{"manifests":[{"annotations":{"io.containerd.image.name":"docker.io/prom/prometheus:v3","org.opencontainers.image.ref.name":"v3"}}]}"#,
        )]);
        let directory = directory(&[
            ("a.tar", docker.clone()),
            ("redis_8.tar.zst", zstd(&docker)),
            ("c.tar.gz", gzip(&oci)),
            ("broken.tar.gz", b"\x1f\x8bnot gzip".to_vec()),
            ("notes.txt", b"redis:8".to_vec()),
        ]);
        let found = found(&directory, &["redis:8", "docker.io/library/redis:8", "prom/prometheus:v3", "x"]);
        let expected = [
            ("docker.io/library/redis:8", "redis_8.tar.zst"),
            ("prom/prometheus:v3", "c.tar.gz"),
            ("redis:8", "redis_8.tar.zst"),
        ];
        assert_eq!(found, expected.map(|(image, file)| (image.to_owned(), file.to_owned())));
    }

    #[test]
    fn the_search_ends_when_all_is_found_and_faults_are_told() {
        let docker = archive(&[("manifest.json", MANIFEST)]);
        let directory =
            directory(&[("a.tar", b"junk".repeat(300)), ("redis_8.tar", docker), ("z.tar", Vec::new())]);
        let wanted = [ImageReference::new("redis:8")];
        let find =
            |directory: &Path, wanted: &[ImageReference]| find(directory, wanted, Path::new("/dev/null/no"));
        let all_found = find(directory.path(), &wanted);
        assert_eq!((all_found.read, all_found.faults.len()), (1, 0));
        let none = find(directory.path(), &[ImageReference::new("other")]);
        assert_eq!((none.read, none.faults.len()), (3, 2));
        let missing = find(Path::new("/nowhere"), &wanted);
        assert_eq!(missing.faults, ["/nowhere: No such file or directory (os error 2)"]);
    }

    #[test]
    fn an_archive_is_read_again_only_when_it_is_another() {
        let directory = directory(&[("a.tar", archive(&[("manifest.json", MANIFEST)]))]);
        let path = directory.path().join("a.tar");
        let memory = directory.path().join("new/memory");
        let redis = [ImageReference::new("redis:8")];
        assert_eq!(find(directory.path(), &redis, &memory).files.len(), 1);
        // Other content under the same size and time: who still finds the image did not read it.
        let file = File::options().write(true).open(&path).expect("a file");
        let modified = file.metadata().and_then(|metadata| metadata.modified()).expect("a time");
        let junk = vec![b'x'; usize::try_from(file.metadata().expect("a size").len()).expect("small")];
        (&file).write_all(&junk).expect("written");
        file.set_modified(modified).expect("set");
        assert_eq!(find(directory.path(), &redis, &memory).files.len(), 1);
        file.set_modified(modified + std::time::Duration::from_secs(1)).expect("set");
        assert_eq!(find(directory.path(), &redis, &memory).files.len(), 0);
    }

    #[tokio::test]
    async fn zstd_is_undone_frame_by_frame_and_gzip_left_to_the_engine() {
        let one = b"one ".repeat(1 << 20);
        let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"abc"].concat();
        let frames = [skippable.clone(), zstd(&one), skippable, zstd(b"two")].concat();
        let compressed = gzip(&one);
        let directory = directory(&[("a.tar.zst", frames), ("b.tar.gz", compressed.clone())]);
        let content = |name: &str| {
            let stream = stream(&directory.path().join(name), |_, _| {}).expect("readable");
            stream.map(|chunk| chunk.expect("readable").to_vec()).concat()
        };
        assert_eq!(content("a.tar.zst").await, [one, b"two".to_vec()].concat());
        assert_eq!(content("b.tar.gz").await, compressed);
    }

    #[test]
    fn a_bundle_is_named_after_its_image() {
        let stem = |reference| file_stem(&ImageReference::new(reference));
        assert_eq!(stem("registry.example:5000/team/app"), "registry.example_5000_team_app_latest");
    }
}
