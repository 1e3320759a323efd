//! The images that a node has, and sending it those it has not: by content, all in one archive, straight into the node's
//! containerd. (`kind load docker-image` saves each to a file first, and asks by name.)

use std::collections::BTreeMap;

use futures_util::{StreamExt as _, pin_mut};
use serde::Deserialize;
use tokio::io::AsyncWriteExt as _;
use xtask::engine::Engine;
use xtask::event::StepReporter;
use xtask::failure::{Code, Failure};

use super::{Kind, docker, unusable};
use crate::limits;

/// An image as the node's containerd knows it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeImage {
    /// The digest of its configuration: the same that the engine calls its identifier.
    pub id: String,
    /// Its full references: `docker.io/library/postgres:17`.
    #[serde(default)]
    pub repo_tags: Vec<String>,
}

/// All images of a node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct NodeImages {
    images: Vec<NodeImage>,
}

impl NodeImages {
    /// Whether a reference means this content on the node.
    pub fn has(&self, reference: &str, id: &str) -> bool {
        self.identifier(reference) == Some(id)
    }

    /// What a reference means on the node.
    pub fn identifier(&self, reference: &str) -> Option<&str> {
        let full = full_name(reference);
        self.images.iter().find(|image| image.repo_tags.contains(&full)).map(|image| image.id.as_str())
    }

    /// Of images that are wanted (reference → identifier), those that the node lacks.
    pub fn missing<'a>(&self, wanted: &'a BTreeMap<String, String>) -> Vec<&'a str> {
        let missing = wanted.iter().filter(|(reference, id)| !self.has(reference, id));
        missing.map(|(reference, _)| reference.as_str()).collect()
    }
}

/// A reference as containerd writes it, by Docker's rules for familiar names.
fn full_name(reference: &str) -> String {
    let reference = match reference.rsplit_once(':') {
        Some((_, tag)) if !tag.contains('/') => reference.to_owned(),
        _ => format!("{reference}:latest"),
    };
    match reference.split_once('/') {
        Some((first, _)) if first.contains(['.', ':']) || first == "localhost" => reference,
        Some(_) => format!("docker.io/{reference}"),
        None => format!("docker.io/library/{reference}"),
    }
}

impl Kind {
    /// Asks the node what it has.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn images(&self) -> Result<NodeImages, Failure> {
        let limit = format!("--timeout={}s", limits::NODE_LISTING.as_secs());
        let asked =
            docker(["exec", &self.node(), "crictl", &limit, "images", "--output", "json"]).output().await;
        serde_json::from_str(&asked.map_err(unusable)?).map_err(|error| {
            Failure::new(
                Code::ClusterUnusable,
                format!("cannot read the images of node {}: {error}", self.node()),
            )
        })
    }

    /// Sends images of the engine to the node. Returns the bytes that went.
    ///
    /// # Errors
    /// When the engine or the node refuses.
    pub async fn send(
        &self,
        engine: &Engine,
        references: &[&str],
        reporter: &StepReporter,
    ) -> Result<u64, Failure> {
        let node = self.node();
        let import =
            docker(["exec", "--interactive", &node, "ctr", "--namespace", "k8s.io", "images", "import", "-"]);
        let mut child = import.feed().map_err(unusable)?;
        let mut stdin = child.stdin.take().expect("the stream was asked for as a pipe");
        let mut sent = 0_u64;
        let mut told = String::new();
        let feeding = async {
            let archive = engine.save_images(references);
            pin_mut!(archive);
            while let Some(chunk) = archive.next().await {
                let chunk = chunk.map_err(Failure::from)?;
                sent += chunk.len() as u64;
                if stdin.write_all(&chunk).await.is_err() {
                    // The node has refused already; its own words are the error that counts.
                    break;
                }
                let text = format!("sending, {}", xtask::quantity::bytes(sent));
                // The engine sends a chunk of some kB some thousand times; what is told is in MB.
                if text != told {
                    reporter.message(&text);
                    told = text;
                }
            }
            drop(stdin);
            Ok::<(), Failure>(())
        };
        let work = async {
            // What it says is little (a line for each image), so the pipe holds it until it is read.
            feeding.await?;
            child.wait_with_output().await.map_err(|error| self.unwritable(&error))
        };
        let ended = tokio::time::timeout(limits::NODE_IMPORT, work).await.map_err(|_| {
            Failure::new(
                Code::ImageFailed,
                format!("cannot send images to node {node} within {} s", limits::NODE_IMPORT.as_secs()),
            )
        })??;
        if ended.status.success() {
            return Ok(sent);
        }
        let said = String::from_utf8_lossy(&ended.stderr).lines().map(str::to_owned).collect::<Vec<_>>();
        let what = references.join(", ");
        Err(Failure::new(Code::ImageFailed, format!("node {node} refused {what}: {}", ended.status))
            .details(said))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_missing_unless_name_and_content_are_there() {
        let listing = r#"{"images": [
            {"id": "sha256:a", "repoTags": ["docker.io/library/postgres:17"], "size": "1"},
            {"id": "sha256:b", "repoTags": ["registry.k8s.io/x/y:v1", "docker.io/homeport/service:1"]},
            {"id": "sha256:c"}
        ]}"#;
        let images: NodeImages = serde_json::from_str(listing).expect("crictl's JSON");
        let table = [
            ("postgres:17", "sha256:a", true),
            ("postgres:17", "sha256:z", false),
            ("postgres", "sha256:a", false),
            ("homeport/service:1", "sha256:b", true),
            ("registry.k8s.io/x/y:v1", "sha256:b", true),
            ("localhost/y:v1", "sha256:b", false),
        ];
        for (reference, id, expected) in table {
            assert_eq!(images.has(reference, id), expected, "{reference} {id}");
        }
        let wanted = [("postgres:17", "sha256:z"), ("homeport/service:1", "sha256:b")];
        let wanted = wanted.map(|(name, id)| (name.to_owned(), id.to_owned())).into();
        assert_eq!(images.missing(&wanted), ["postgres:17"]);
    }
}
