//! The images of a deployment to kind: the service's built here or given, the others from where the stack's come; then
//! those that the node lacks sent to it.

use std::collections::{BTreeMap, BTreeSet};

use xtask::commands::Context;
use xtask::engine::Engine;
use xtask::event::StepReporter;
use xtask::failure::{Code, Failure};
use xtask::images::{Availability, Catalogue, Freshness, HostBuild, Needed, Source, obtain, survey};
use xtask::session::{Session, needed_images};
use xtask::stack::ImageReference;

use super::SERVICE_IMAGE;
use crate::kind::NodeImages;
use crate::kustomize::split_tag;
use crate::steps::Finished;

/// Characters of an image's identifier in its tag, as many as the engine itself shows.
const TAG_LENGTH: usize = 12;

/// The service's image: a reference by content, and its identifier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ServiceImage {
    pub(super) reference: String,
    pub(super) version: String,
    pub(super) id: String,
}

impl ServiceImage {
    /// The image by its content: another program has another tag, and the same one always the same.
    fn of(id: &str) -> Self {
        let hex = id.strip_prefix("sha256:").unwrap_or(id);
        let version = format!("dev-{}", hex.get(..TAG_LENGTH).unwrap_or(hex));
        Self { reference: format!("{SERVICE_IMAGE}:{version}"), version, id: id.to_owned() }
    }
}

/// How the service is built here: the stack's service that is made of a package.
fn build(session: &Session) -> Result<HostBuild, Failure> {
    let built = session.stack.services.values().find_map(|service| {
        let package = service.homeport.package.clone()?;
        // The first part is the project's name, which may be another.
        let name = |image: &str| split_tag(image).0.rsplit('/').next().map(str::to_owned);
        (name(service.image.as_str()) == name(SERVICE_IMAGE)).then(|| HostBuild {
            root: session.project.root().to_owned(),
            package,
            image: service.image.clone(),
        })
    });
    built.ok_or_else(|| {
        Failure::new(
            Code::ComposeInvalid,
            format!("no service of the Compose file is built as {SERVICE_IMAGE}"),
        )
    })
}

/// Builds the service where it changed, or takes the image that was given; tags it by its content.
pub(super) async fn service(
    session: &Session,
    given: Option<&str>,
    reporter: &StepReporter,
) -> Result<Finished<ServiceImage>, Failure> {
    if let Some(given) = given {
        let found = session.engine.image(given).await?.ok_or_else(|| {
            Failure::new(Code::ImageUnavailable, format!("the engine has no image {given}"))
                .hint("build or pull it first")
        })?;
        let image = ServiceImage::of(&found.id);
        return Ok(Finished::changed(image.clone(), format!("{given} as {}", image.version)));
    }
    let build = build(session)?;
    if build.freshness(&session.engine).await? == Freshness::Fresh
        && let Some(found) = session.engine.image(build.image.with_tag().as_str()).await?
    {
        return Ok(Finished::unchanged(ServiceImage::of(&found.id)));
    }
    let made = build.build(&session.engine, &BTreeSet::new(), reporter).await?;
    let image = ServiceImage::of(&made.id);
    if !made.changed {
        return Ok(Finished::unchanged(image));
    }
    Ok(Finished::changed(image.clone(), image.version))
}

/// For a look that changes nothing: the image as it is, and why a build would change it.
pub(super) async fn service_as_it_is(
    session: &Session,
    given: Option<&str>,
) -> Result<(ServiceImage, Option<String>), Failure> {
    let build = build(session)?;
    let reference = given.map_or_else(|| build.image.with_tag().to_string(), str::to_owned);
    let found = session.engine.image(&reference).await?;
    let stale = match (given, build.freshness(&session.engine).await?) {
        (None, Freshness::Stale(cause)) => Some(cause),
        _ => None,
    };
    // An image that was never built has no identifier; whatever it will be, it differs.
    let id = found.map_or_else(|| "to-be-built".to_owned(), |image| image.id);
    Ok((ServiceImage::of(&id), stale))
}

/// The images that others make.
pub(super) struct Others {
    /// Reference → identifier, of those that can be had.
    pub(super) contents: BTreeMap<String, String>,
    /// Those that no source has, and what each source said.
    pub(super) unavailable: BTreeMap<String, String>,
}

/// Looks for images, and gets those that are obtainable unless this is a look that changes nothing.
pub(super) async fn others(
    session: &Session,
    references: &BTreeSet<String>,
    node: &NodeImages,
    get: Option<&StepReporter>,
) -> Result<Others, Failure> {
    let known = needed_images(&session.stack);
    let needed: Vec<Needed> = references
        .iter()
        .map(|reference| {
            let reference = ImageReference::new(reference.as_str());
            let known = known.iter().find(|known| known.reference == reference);
            known.cloned().unwrap_or(Needed { reference, recipe: None, built_here: false })
        })
        .collect();
    let catalogue = survey(&session.engine, &needed, &session.sources).await?;
    let mut others = Others { contents: BTreeMap::new(), unavailable: BTreeMap::new() };
    for reference in references {
        let name = ImageReference::new(reference.as_str());
        match (catalogue.get(&name), get) {
            (Some(Availability::Present { id, stale: None, .. }), _) => {
                others.contents.insert(reference.clone(), id.clone());
            }
            (
                Some(Availability::Present { stale: Some(source), .. } | Availability::Obtainable(source)),
                Some(reporter),
            ) => {
                let id = get_one(&session.engine, &catalogue, &name, source, reporter).await?;
                others.contents.insert(reference.clone(), id);
            }
            // The engine has lost it; the node has it still.
            (_, _) if node.identifier(reference).is_some() => {
                let id = node.identifier(reference).unwrap_or_default().to_owned();
                others.contents.insert(reference.clone(), id);
            }
            (Some(Availability::Unavailable(reasons)), _) => {
                others.unavailable.insert(reference.clone(), reasons.join("; "));
            }
            _ => {}
        }
    }
    Ok(others)
}

/// Gets one image, and what its recipe builds on before it.
async fn get_one(
    engine: &Engine,
    catalogue: &Catalogue,
    reference: &ImageReference,
    source: &Source,
    reporter: &StepReporter,
) -> Result<String, Failure> {
    if let Source::Recipe { base, .. } = source
        && let Some(Availability::Obtainable(of_base) | Availability::Present { stale: Some(of_base), .. }) =
            catalogue.get(base)
    {
        reporter.message(format!("getting {base} from {of_base}"));
        obtain(engine, base, of_base, reporter).await?;
    }
    reporter.message(format!("getting {reference} from {source}"));
    Ok(obtain(engine, reference, source, reporter).await?.id)
}

/// Whether the stack can do without an image.
pub(super) fn is_optional(session: &Session, reference: &str) -> bool {
    let mut users = session.stack.services.values().filter(|service| service.image.as_str() == reference);
    users.any(|service| service.homeport.optional)
}

/// Sends the node what it lacks. The service's image gets its name by content for the time of the journey only, so that
/// the engine does not fill with names.
pub(super) async fn send(
    ours: &super::ours::Ours,
    engine: &Engine,
    node: &NodeImages,
    wanted: &BTreeMap<String, String>,
    (service, given): (&ServiceImage, Option<&str>),
    reporter: &StepReporter,
) -> Result<Finished<()>, Failure> {
    forget_journeys(engine, given).await?;
    let missing = node.missing(wanted);
    if missing.is_empty() {
        return Ok(Finished::unchanged(()));
    }
    let named = missing.contains(&service.reference.as_str()) && given != Some(service.reference.as_str());
    if named {
        engine.tag_image(&service.id, &service.reference).await?;
    }
    let sent = ours.kind.send(engine, &missing, reporter).await;
    if named {
        engine.remove_image(&service.reference).await?;
    }
    let told = format!("{}, {}", missing.join(", "), xtask::quantity::bytes(sent?));
    Ok(Finished::changed((), told))
}

/// Removes names by content that killed runs have left: each is one that only [`send`] gives. The name by which this run
/// was given its image is the user's.
async fn forget_journeys(engine: &Engine, given: Option<&str>) -> Result<(), Failure> {
    for image in engine.images().await? {
        let left = ServiceImage::of(&image.id).reference;
        if given != Some(left.as_str()) && image.tags.contains(&left) {
            engine.remove_image(&left).await?;
        }
    }
    Ok(())
}

/// A session, for commands that work on images.
pub(super) async fn session(context: &Context, offline: bool) -> Result<Session, Failure> {
    Ok(context.session_as_found(offline).await?.0)
}
