//! The files of an image, from the archive that the engine writes of it (`docker save`, and the OCI layout of newer
//! engines: both have a `manifest.json`). A file that a later layer removes is listed too: it can still be read from the
//! image.
//!
//! Must not: judge what is in them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};

use serde::Deserialize;

use crate::scan::image::File;

/// One entry of `manifest.json` (Docker image specification 1.2, "Combined Image JSON + Filesystem Changeset Format").
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Manifest {
    layers: Vec<String>,
}

/// How a gzip stream begins (RFC 1952, "Member header").
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// The regular files of the one image in an archive, `most` bytes of each.
///
/// # Errors
/// When the archive is none of an image.
pub fn files(archive: &[u8], most: u64) -> io::Result<Vec<File>> {
    let mut members: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    // A layer that is in the image twice is there once, and a link to it.
    let mut links: BTreeMap<String, String> = BTreeMap::new();
    for entry in tar::Archive::new(archive).entries()? {
        let mut entry = entry?;
        if entry.header().entry_type().is_file() {
            let path = entry.path()?.to_string_lossy().into_owned();
            let mut content = Vec::new();
            entry.read_to_end(&mut content)?;
            members.insert(path, content);
        } else if let Some(target) = entry.link_name()? {
            let path = entry.path()?.to_string_lossy().into_owned();
            let target = target.to_string_lossy().trim_start_matches("../").to_owned();
            links.insert(path, target);
        }
    }
    let manifest = members.get("manifest.json").ok_or_else(|| invalid("it has no manifest.json"))?;
    let manifests: Vec<Manifest> = serde_json::from_slice(manifest)?;
    let mut files = Vec::new();
    let layers = manifests.iter().flat_map(|manifest| &manifest.layers);
    let mut seen = BTreeSet::new();
    for layer in layers.map(|layer| links.get(layer).unwrap_or(layer)).filter(|layer| seen.insert(*layer)) {
        let content = members.get(layer).ok_or_else(|| invalid(format!("it has no layer {layer}")))?;
        let layer: Box<dyn Read> = if content.starts_with(&GZIP) {
            Box::new(flate2::read::GzDecoder::new(content.as_slice()))
        } else {
            Box::new(content.as_slice())
        };
        files.extend(of_layer(layer, most)?);
    }
    Ok(files)
}

fn of_layer(layer: impl Read, most: u64) -> io::Result<Vec<File>> {
    let mut files = Vec::new();
    for entry in tar::Archive::new(layer).entries()? {
        let entry = entry?;
        let kind = entry.header().entry_type();
        if kind.is_dir() {
            continue;
        }
        let path = entry.path()?.to_string_lossy().trim_start_matches(['.', '/']).to_owned();
        let mode = entry.header().mode()?;
        let mut content = Vec::new();
        if kind.is_file() {
            entry.take(most).read_to_end(&mut content)?;
        }
        files.push(File { path, mode, content });
    }
    Ok(files)
}

fn invalid(message: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message.into())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn archive(members: &[(&str, &[u8], u32)]) -> Vec<u8> {
        let mut archive = tar::Builder::new(Vec::new());
        for (path, content, mode) in members {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(*mode);
            archive.append_data(&mut header, path, *content).expect("in memory");
        }
        archive.into_inner().expect("in memory")
    }

    #[test]
    fn the_files_of_all_layers_are_listed_compressed_or_not() {
        let below = archive(&[("bin/su", b"long content", 0o4755)]);
        let above = archive(&[("./app", b"x", 0o755)]);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&above).expect("in memory");
        let above = gzip.finish().expect("in memory");
        let manifest =
            br#"[{"Config":"c.json","RepoTags":["a:1"],"Layers":["one/layer.tar","blobs/sha256/two"]}]"#;
        let saved = archive(&[
            ("manifest.json", manifest, 0o644),
            ("one/layer.tar", &below, 0o644),
            ("blobs/sha256/two", &above, 0o644),
        ]);
        let files = files(&saved, 4).expect("an image");
        let expected = [
            File { path: "bin/su".to_owned(), mode: 0o4755, content: b"long".to_vec() },
            File { path: "app".to_owned(), mode: 0o755, content: b"x".to_vec() },
        ];
        assert_eq!(files, expected);
        super::files(&archive(&[("x", b"", 0)]), 4).expect_err("no image");
    }

    #[test]
    fn a_layer_that_is_there_twice_is_read_once() {
        let layer = archive(&[("app", b"x", 0o755)]);
        let manifest = br#"[{"Layers":["one/layer.tar","two/layer.tar"]}]"#;
        let mut saved = tar::Builder::new(Vec::new());
        for (path, content) in [("manifest.json", manifest.as_slice()), ("one/layer.tar", &layer)] {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            saved.append_data(&mut header, path, content).expect("in memory");
        }
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        saved.append_link(&mut header, "two/layer.tar", "../one/layer.tar").expect("in memory");
        let files = files(&saved.into_inner().expect("in memory"), 4).expect("an image");
        assert_eq!(files.len(), 1, "{files:?}");
    }
}
