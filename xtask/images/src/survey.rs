//! Looks where each image can be had, all images at once, in the order of the README ("Where images come from"), and changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use futures_util::future::{join_all, try_join_all};

use super::credentials::credentials;
use super::dockerfile;
use super::pull::cannot_ask;
use super::recipe::Recipe;
use super::reference::Parts;
use super::{Availability, Catalogue, ImageError, Source, Underway, bundle, labels};
use crate::engine::{Engine, EngineError, StoredImage};
use crate::stack::ImageReference;

/// The variable that names the directory of bundles.
pub const BUNDLE_DIRECTORY: &str = "HOMEPORT_IMAGE_DIR";

/// One image that a stack needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needed {
    /// The image.
    pub reference: ImageReference,
    /// The name of the directory with its recipe, when it is known to have one.
    pub recipe: Option<String>,
    /// Whether the host's cargo makes it, so that no other source is looked at.
    pub built_here: bool,
}

/// Where images may come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sources {
    /// The directory whose subdirectories are recipes (`compose/images`).
    pub recipes: PathBuf,
    /// The directory with bundles.
    pub bundles: Option<PathBuf>,
    /// The file that remembers what is in bundles.
    pub memory: PathBuf,
    /// Whether only the store and bundles may be used.
    pub offline: bool,
}

impl Sources {
    /// The sources of a checkout, bundles as the environment says.
    pub fn of_checkout(root: &Path, offline: bool) -> Self {
        let bundles = std::env::var_os(BUNDLE_DIRECTORY).filter(|value| !value.is_empty());
        Self {
            recipes: root.join("compose/images"),
            bundles: bundles.map(PathBuf::from),
            memory: root.join("target/homeport/bundles.json"),
            offline,
        }
    }

    fn recipe(&self, name: &str) -> Result<Option<Recipe>, ImageError> {
        let path = self.recipes.join(name);
        Recipe::read(&path).map_err(|source| ImageError::File { verb: "read", path, source })
    }
}

/// Looks for all images at once: the engine's own store, a bundle, the registry, a recipe. A recipe's base is looked for
/// in turn; it is in the catalogue when a recipe that is to be used builds on it.
///
/// # Errors
/// When the engine does not answer, or a recipe's files cannot be read. That no source has an image is no error but an
/// entry of the catalogue.
pub fn survey<'a>(engine: &'a Engine, needed: &'a [Needed], sources: &'a Sources) -> Underway<'a, Catalogue> {
    Box::pin(async move {
        let stored = look(engine, needed.iter().map(|needed| &needed.reference)).await?;
        let mut catalogue = Catalogue::new();
        let mut missing: Vec<Candidate> = Vec::new();
        for needed in needed {
            let image = stored.get(&needed.reference);
            if needed.built_here {
                let reasons =
                    || Availability::Unavailable(vec!["the host's cargo has not built it yet".to_owned()]);
                let entry = image.map_or_else(reasons, |image| present(image, None));
                catalogue.insert(needed.reference.clone(), entry);
                continue;
            }
            let candidate = Candidate::new(needed, sources)?;
            match image {
                Some(image) if !candidate.is_stale(image, sources) => {
                    catalogue.insert(needed.reference.clone(), present(image, None));
                }
                image => missing.push(Candidate { stored: image.cloned(), ..candidate }),
            }
        }
        if !missing.is_empty() {
            search(engine, missing, sources, &mut catalogue).await?;
        }
        Ok(catalogue)
    })
}

/// An image that is not in the store, or is there from a recipe that has changed since.
struct Candidate {
    reference: ImageReference,
    recipe: Option<Recipe>,
    stored: Option<StoredImage>,
}

impl Candidate {
    fn new(needed: &Needed, sources: &Sources) -> Result<Self, ImageError> {
        let recipe = needed.recipe.as_deref().map(|name| sources.recipe(name)).transpose()?.flatten();
        Ok(Self { reference: needed.reference.clone(), recipe, stored: None })
    }

    /// The base system a recipe builds on; its own recipe is found by its name.
    fn base(reference: ImageReference, sources: &Sources) -> Result<Self, ImageError> {
        let recipe = sources.recipe(Parts::of(&reference).name())?;
        Ok(Self { reference, recipe, stored: None })
    }

    /// Whether an image was made from this recipe when it was another. Offline no recipe can be built.
    fn is_stale(&self, image: &StoredImage, sources: &Sources) -> bool {
        !sources.offline
            && image.labels.contains_key(labels::RECIPE)
            && self.recipe.as_ref().is_some_and(|recipe| {
                image.labels.get(labels::RECIPE_HASH).map(String::as_str) != Some(recipe.hash().as_str())
            })
    }

    /// What the recipe builds on.
    fn bases(&self) -> Vec<ImageReference> {
        self.recipe
            .as_ref()
            .and_then(Recipe::dockerfile)
            .map(|text| dockerfile::bases(&text))
            .unwrap_or_default()
    }
}

/// Inspects images, all at once.
async fn look(
    engine: &Engine,
    references: impl Iterator<Item = &ImageReference>,
) -> Result<BTreeMap<ImageReference, StoredImage>, ImageError> {
    let unique: BTreeSet<&ImageReference> = references.collect();
    let looked = unique.into_iter().map(|reference| async move {
        let image = engine.image(reference.with_tag().as_str()).await?;
        Ok::<_, ImageError>(image.map(|image| (reference.clone(), image)))
    });
    Ok(try_join_all(looked).await?.into_iter().flatten().collect())
}

fn present(image: &StoredImage, stale: Option<Source>) -> Availability {
    let origin = if image.labels.contains_key(labels::BINARY) {
        "host build"
    } else if image.labels.contains_key(labels::RECIPE) {
        "recipe"
    } else {
        "engine's store"
    };
    Availability::Present { id: image.id.clone(), origin: origin.to_owned(), stale }
}

/// Searches the further sources, for the missing images and the bases of their recipes at once.
async fn search(
    engine: &Engine,
    missing: Vec<Candidate>,
    sources: &Sources,
    catalogue: &mut Catalogue,
) -> Result<(), ImageError> {
    let base_references: BTreeSet<ImageReference> = missing.iter().flat_map(Candidate::bases).collect();
    let stored_bases = look(engine, base_references.iter()).await?;
    let mut bases = Vec::new();
    for reference in base_references {
        bases.push(Candidate {
            stored: stored_bases.get(&reference).cloned(),
            ..Candidate::base(reference, sources)?
        });
    }
    let absent: Vec<ImageReference> = missing
        .iter()
        .chain(&bases)
        .filter(|candidate| candidate.stored.is_none())
        .map(|candidate| candidate.reference.clone())
        .collect();
    let shelves = Shelves::ask(engine, &absent, sources).await;
    let bases: Catalogue =
        bases.iter().map(|base| (base.reference.clone(), base_entry(base, &shelves, sources))).collect();
    for candidate in &missing {
        let entry = entry(candidate, &shelves, &bases, sources);
        if let Availability::Obtainable(Source::Recipe { base, .. })
        | Availability::Present { stale: Some(Source::Recipe { base, .. }), .. } = &entry
            && let Some(found) = bases.get(base)
        {
            catalogue.entry(base.clone()).or_insert_with(|| found.clone());
        }
        catalogue.insert(candidate.reference.clone(), entry);
    }
    Ok(())
}

/// What bundles and registries answered.
struct Shelves {
    bundles: Option<bundle::Found>,
    registries: BTreeMap<ImageReference, Result<(), String>>,
}

impl Shelves {
    async fn ask(engine: &Engine, absent: &[ImageReference], sources: &Sources) -> Self {
        let bundles = match &sources.bundles {
            Some(directory) if !absent.is_empty() => {
                let (directory, wanted, memory) =
                    (directory.clone(), absent.to_vec(), sources.memory.clone());
                let search = tokio::task::spawn_blocking(move || bundle::find(&directory, &wanted, &memory));
                Some(search.await.expect("the search neither panics nor is cancelled"))
            }
            _ => None,
        };
        let in_bundles = |image: &ImageReference| {
            bundles.as_ref().is_some_and(|found: &bundle::Found| found.files.contains_key(image))
        };
        let remaining = absent.iter().filter(|image| !sources.offline && !in_bundles(image));
        let asked = remaining.map(|image| async move { (image.clone(), ask_registry(engine, image).await) });
        let registries = join_all(asked).await.into_iter().collect();
        Self { bundles, registries }
    }

    /// Where an image can be had without a recipe, else what each source said.
    fn source(&self, image: &ImageReference, sources: &Sources) -> Result<Source, Vec<String>> {
        let mut reasons = vec!["engine's store: not there".to_owned()];
        match (&self.bundles, &sources.bundles) {
            (Some(found), Some(directory)) => {
                if let Some(path) = found.files.get(image) {
                    return Ok(Source::Bundle(path.clone()));
                }
                reasons.push(format!(
                    "bundles: not in the {} archives of {}",
                    found.read,
                    directory.display()
                ));
                reasons.extend(found.faults.iter().map(|fault| format!("bundles: cannot read {fault}")));
            }
            _ => reasons.push(format!("bundles: {BUNDLE_DIRECTORY} is not set")),
        }
        match self.registries.get(image) {
            Some(Ok(())) => return Ok(Source::Registry),
            Some(Err(reason)) => reasons.push(format!("registry: {reason}")),
            None => reasons.push("registry: not asked, --offline".to_owned()),
        }
        Err(reasons)
    }
}

/// Asks a registry through the engine. An engine that cannot pass on the question (Podman) is taken to be able to pull.
async fn ask_registry(engine: &Engine, image: &ImageReference) -> Result<(), String> {
    let credentials = credentials(image).await.map_err(|error| error.to_string())?;
    match engine.registry_image(image.with_tag().as_str(), credentials.as_ref()).await {
        Ok(_) => Ok(()),
        Err(EngineError::Refused { status, message, .. }) if cannot_ask(status, &message) => Ok(()),
        Err(EngineError::Refused { message, .. }) => Err(message),
        Err(EngineError::Silent { limit, .. }) => Err(format!("no answer within {} s", limit.as_secs())),
        Err(error) => Err(error.to_string()),
    }
}

fn entry(candidate: &Candidate, shelves: &Shelves, bases: &Catalogue, sources: &Sources) -> Availability {
    if let Some(image) = &candidate.stored {
        return present(image, recipe_source(candidate, bases).ok());
    }
    let mut reasons = match shelves.source(&candidate.reference, sources) {
        Ok(source) => return Availability::Obtainable(source),
        Err(reasons) => reasons,
    };
    if sources.offline {
        reasons.push("recipe: not used, --offline".to_owned());
        return Availability::Unavailable(reasons);
    }
    match recipe_source(candidate, bases) {
        Ok(source) => Availability::Obtainable(source),
        Err(reason) => {
            reasons.push(format!("recipe: {reason}"));
            Availability::Unavailable(reasons)
        }
    }
}

/// A recipe as a source, when its base can be had.
fn recipe_source(candidate: &Candidate, bases: &Catalogue) -> Result<Source, String> {
    let recipe = candidate.recipe.as_ref().ok_or("there is none")?;
    let directory = recipe.directory.clone();
    match candidate.bases().as_slice() {
        [base] => match bases.get(base) {
            Some(Availability::Unavailable(reasons)) => {
                Err(format!("its base {base} cannot be had ({})", reasons.join("; ")))
            }
            _ => Ok(Source::Recipe { directory, base: base.clone() }),
        },
        [] => Err(format!("{} has no Dockerfile with a base", directory.display())),
        several => {
            let several: Vec<&str> = several.iter().map(ImageReference::as_str).collect();
            Err(format!("{} builds on several images ({})", directory.display(), several.join(", ")))
        }
    }
}

fn base_entry(base: &Candidate, shelves: &Shelves, sources: &Sources) -> Availability {
    let bootstrap = base.recipe.as_ref().and_then(Recipe::bootstrap).filter(|_| !sources.offline);
    let bootstrap = bootstrap.map(Source::Bootstrap);
    if let Some(image) = &base.stored {
        return present(image, bootstrap.filter(|_| base.is_stale(image, sources)));
    }
    let mut reasons = match shelves.source(&base.reference, sources) {
        Ok(source) => return Availability::Obtainable(source),
        Err(reasons) => reasons,
    };
    match bootstrap {
        // mmdebstrap needs a Linux kernel's namespaces.
        Some(source) if cfg!(target_os = "linux") => return Availability::Obtainable(source),
        Some(_) => reasons.push("mmdebstrap: runs on Linux only".to_owned()),
        None if sources.offline => reasons.push("mmdebstrap: not used, --offline".to_owned()),
        None => reasons.push("mmdebstrap: no recipe describes it".to_owned()),
    }
    Availability::Unavailable(reasons)
}
