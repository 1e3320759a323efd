//! One `kustomization.yaml` → what it says, as far as the subset goes (`k8s/README.md` lists it). Anything else is an error
//! that names file and key. Pure.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::KustomizeError;

/// What a kustomization says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Kustomization {
    pub(super) is_component: bool,
    pub(super) resources: Vec<PathBuf>,
    pub(super) components: Vec<PathBuf>,
    pub(super) namespace: Option<String>,
    pub(super) labels: Vec<(String, String)>,
    pub(super) config_maps: Vec<Generator>,
    pub(super) images: Vec<ImageChange>,
    pub(super) patches: Vec<PathBuf>,
}

/// A ConfigMap that is made of files.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Generator {
    pub(super) name: String,
    /// `path` or `key=path`.
    pub(super) files: Vec<String>,
    #[serde(default)]
    pub(super) options: GeneratorOptions,
}

#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GeneratorOptions {
    #[serde(default)]
    pub(super) labels: std::collections::BTreeMap<String, String>,
}

/// An image's other name, tag, or both.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct ImageChange {
    pub(super) name: String,
    pub(super) new_name: Option<String>,
    pub(super) new_tag: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Labels {
    pairs: std::collections::BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Patch {
    path: PathBuf,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct SharedGeneratorOptions {
    disable_name_suffix_hash: bool,
}

impl Kustomization {
    /// Reads the text of a kustomization.
    pub(super) fn parse(path: &Path, text: &str) -> Result<Self, KustomizeError> {
        let fault = |key: &str, reason: String| KustomizeError::Kustomization {
            file: path.to_owned(),
            key: key.to_owned(),
            reason,
        };
        let document: Map<String, Value> =
            serde_saphyr::from_str(text).map_err(|error| fault("(whole file)", error.to_string()))?;
        let mut parsed = Self::default();
        let mut hash_disabled = false;
        for (key, value) in document {
            let wrong = |why: String| fault(&key, why);
            match key.as_str() {
                "apiVersion" => {}
                "kind" => match value.as_str() {
                    Some("Kustomization") => {}
                    Some("Component") => parsed.is_component = true,
                    _ => {
                        return Err(fault(
                            "kind",
                            format!("expected Kustomization or Component, found {value}"),
                        ));
                    }
                },
                "resources" => parsed.resources = read(value).map_err(wrong)?,
                "components" => parsed.components = read(value).map_err(wrong)?,
                "namespace" => parsed.namespace = read(value).map_err(wrong)?,
                "labels" => {
                    let labels: Vec<Labels> = read(value).map_err(wrong)?;
                    parsed.labels = labels.into_iter().flat_map(|labels| labels.pairs).collect();
                }
                "images" => parsed.images = read(value).map_err(wrong)?,
                "patches" => {
                    let patches: Vec<Patch> = read(value).map_err(wrong)?;
                    parsed.patches = patches.into_iter().map(|patch| patch.path).collect();
                }
                "configMapGenerator" => {
                    parsed.config_maps = read(value).map_err(wrong)?;
                }
                "generatorOptions" => {
                    let options: SharedGeneratorOptions = read(value).map_err(wrong)?;
                    hash_disabled = options.disable_name_suffix_hash;
                }
                _ => return Err(fault(&key, "not supported".to_owned())),
            }
        }
        if !parsed.config_maps.is_empty() && !hash_disabled {
            let reason = "expected generatorOptions.disableNameSuffixHash: true beside it";
            return Err(fault("configMapGenerator", reason.to_owned()));
        }
        if parsed.is_component && !parsed.holds_resources_only() {
            return Err(fault("kind", "a Component here holds resources only".to_owned()));
        }
        Ok(parsed)
    }

    fn holds_resources_only(&self) -> bool {
        self.components.is_empty()
            && self.namespace.is_none()
            && self.labels.is_empty()
            && self.config_maps.is_empty()
            && self.images.is_empty()
            && self.patches.is_empty()
    }
}

fn read<T: DeserializeOwned>(value: Value) -> Result<T, String> {
    serde_json::from_value(value).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_in_the_subset_is_named() {
        let table = [
            ("namePrefix: a-", "k/kustomization.yaml: namePrefix: not supported"),
            (
                "patches: [{path: a.yaml, target: {kind: X}}]",
                "k/kustomization.yaml: patches: unknown field `target`, expected `path`",
            ),
            (
                "labels: [{pairs: {a: b}, includeSelectors: true}]",
                "k/kustomization.yaml: labels: unknown field `includeSelectors`, expected `pairs`",
            ),
            (
                "configMapGenerator: [{name: a, files: [b]}]",
                "k/kustomization.yaml: configMapGenerator: expected generatorOptions.disableNameSuffixHash: true beside it",
            ),
            (
                "kind: Component\nnamespace: x",
                "k/kustomization.yaml: kind: a Component here holds resources only",
            ),
            ("kind: List", "k/kustomization.yaml: kind: expected Kustomization or Component, found \"List\""),
            (
                "images: [{name: a, digest: b}]",
                "k/kustomization.yaml: images: unknown field `digest`, expected one of `name`, `newName`, `newTag`",
            ),
        ];
        for (text, expected) in table {
            let error = Kustomization::parse(Path::new("k/kustomization.yaml"), text).expect_err(text);
            assert_eq!(error.to_string(), expected);
        }
    }
}
