//! `cargo xtask deploy-kind`: from nothing to the whole architecture on a kind cluster, verified.

use std::collections::BTreeMap;
use std::path::Path;

use xtask::cli;
use xtask::commands::Context;
use xtask::commands::doctor::Examination;
use xtask::doctor::Need;
use xtask::event::Event;
use xtask::failure::{Code, Failure};
use xtask::session::Session;

use super::images::{self, Others, ServiceImage};
use super::ours::{self, Found, Ours};
use super::{SERVICE_IMAGE, told};
use crate::kind::NodeImages;
use crate::object::Object;
use crate::release::{Place, Release};
use crate::smoke::Gate;
use crate::steps::{Finished, Steps};
use crate::{manifests, prepare};

/// The architecture on kind.
const OVERLAY: &str = "k8s/overlays/kind";

/// What a kind cluster lacks.
const PLATFORM: [&str; 2] = ["k8s/local-path", "k8s/metrics-server"];

/// The parts that a deployment may go without when no source has their image.
const OPTIONAL: [&str; 4] = ["grafana", "metrics-server", "postgres-exporter", "redis-exporter"];

/// What the manifests hold.
struct Manifests {
    architecture: Vec<Object>,
    platform: Vec<Object>,
}

/// Runs `deploy-kind`.
///
/// # Errors
/// As the README lists them ("When something fails").
pub async fn run(context: &Context, arguments: &cli::DeployKind) -> Result<(), Failure> {
    let manifests = read(context.project.root())?;
    if arguments.fix {
        let (stack, ..) = context.project.stack_as_found()?;
        let needs = [Need::DeployKind];
        Examination::new(context.project.root(), Some(&stack), &needs, arguments.offline)
            .ensure(&context.events)
            .await?;
    }
    let session = images::session(context, arguments.offline).await?;
    let steps = Steps::new(context.events.clone(), context.halt.clone());
    if arguments.dry_run {
        return dry_run(context, &session, &steps, manifests, arguments).await;
    }
    let kind = ours::of_project(context)?;
    let _lock = ours::exclusively(context, kind.name(), "deploy-kind").await?;
    let title = format!("kind cluster {}", kind.name());
    let find = steps.run(title, async |reporter| {
        ours::ensure(&kind, &session.engine, arguments.recreate, reporter).await
    });
    let build = steps.run("build the service", async |reporter| {
        images::service(&session, arguments.image.as_deref(), reporter).await
    });
    let (ours, service) = tokio::join!(find, build);
    let ((ours, node), service) = (ours?, service?);
    let (release, wanted, left_out) = prepare_release(&session, &steps, manifests, &service, &node).await?;
    let load = steps.run("load images into the node", async |reporter| {
        let service = (&service, arguments.image.as_deref());
        images::send(&ours, &session.engine, &node, &wanted, service, reporter).await
    });
    let gate = Gate::NodePorts(ours.node.clone());
    let place = Place { cluster: &ours.cluster, gate: &gate, force: arguments.force, steps: &steps };
    let (workloads, changed) = place.deploy(&release, load).await?;
    if !changed {
        context.events.note("nothing was to be changed; all of it is ready and passed the smoke tests");
    }
    context.events.send(Event::Summary { services: told::summary(&workloads, Some(&ours.node), &left_out) });
    Ok(())
}

fn read(root: &Path) -> Result<Manifests, Failure> {
    let mut platform = Vec::new();
    for directory in PLATFORM {
        platform.extend(manifests::read(root, Path::new(directory))?);
    }
    Ok(Manifests { architecture: manifests::read(root, Path::new(OVERLAY))?, platform })
}

type LeftOut = BTreeMap<String, (String, String)>;

/// Gets the images, leaves out what has none, sets version and image.
async fn prepare_release(
    session: &Session,
    steps: &Steps,
    manifests: Manifests,
    service: &ServiceImage,
    node: &NodeImages,
) -> Result<(Release, BTreeMap<String, String>, LeftOut), Failure> {
    let all: Vec<Object> = manifests.architecture.iter().chain(&manifests.platform).cloned().collect();
    let references = prepare::images(&all).into_iter().filter(|image| !is_service(image)).collect();
    let others = steps
        .run("images of the others", async |reporter| {
            let others = images::others(session, &references, node, Some(reporter)).await?;
            let told = format!("{} there", others.contents.len());
            Ok(Finished::changed(others, told))
        })
        .await?;
    let (release, left_out) = compose(session, steps, manifests, service, &others)?;
    let mut wanted = others.contents;
    wanted.insert(service.reference.clone(), service.id.clone());
    Ok((release, wanted, left_out))
}

fn is_service(image: &str) -> bool {
    crate::kustomize::split_tag(image).0 == SERVICE_IMAGE
}

/// The manifests as they are deployed with these images.
fn compose(
    session: &Session,
    steps: &Steps,
    mut manifests: Manifests,
    service: &ServiceImage,
    others: &Others,
) -> Result<(Release, LeftOut), Failure> {
    let mut left_out = LeftOut::new();
    for (image, reasons) in &others.unavailable {
        let part = OPTIONAL.into_iter().find(|part| {
            let name = crate::kustomize::split_tag(image).0;
            // `redis_exporter` is the image's own spelling.
            name.rsplit('/').next().is_some_and(|name| name.replace('_', "-") == *part)
        });
        let Some(part) = part.filter(|part| *part == "metrics-server" || images::is_optional(session, image))
        else {
            return Err(Failure::new(Code::ImageUnavailable, format!("no source has image {image}"))
                .details(reasons.split("; ").map(str::to_owned))
                .hint("`cargo xtask doctor` says what is in the way; a bundle in HOMEPORT_IMAGE_DIR needs no network"));
        };
        let count = prepare::leave_out(&mut manifests.architecture, part)
            + prepare::leave_out(&mut manifests.platform, part);
        steps.events().warning(format!("left out {part} ({count} objects): no source has its image {image}"));
        left_out.insert(part.to_owned(), (image.clone(), reasons.clone()));
    }
    let mut objects = manifests.architecture;
    prepare::set_image(&mut objects, SERVICE_IMAGE, &service.reference);
    prepare::set_version(&mut objects, &service.version);
    let mut contents = others.contents.clone();
    contents.insert(service.reference.clone(), service.id.clone());
    prepare::annotate(&mut objects, &contents);
    Ok((Release { version: service.version.clone(), objects, platform: manifests.platform }, left_out))
}

async fn dry_run(
    context: &Context,
    session: &Session,
    steps: &Steps,
    manifests: Manifests,
    arguments: &cli::DeployKind,
) -> Result<(), Failure> {
    let kind = ours::of_project(context)?;
    let title = format!("look at kind cluster {}", kind.name());
    let found = steps
        .run(title, async |reporter| Ok(Finished::unchanged(ours::find(&kind, reporter).await?)))
        .await?;
    let ours: Ours = match found {
        Found::Ours(ours) if !arguments.recreate => *ours,
        Found::Absent | Found::Ours(_) | Found::OursBroken(_) => {
            let count = manifests.architecture.len() + manifests.platform.len();
            return context.print(&format!("make kind cluster {}\ncreate {count} objects\n", kind.name()));
        }
        Found::Foreign(seen) => return Err(ours::left_alone(&kind, &seen)),
    };
    let node = ours.kind.images().await?;
    let (service, stale) = images::service_as_it_is(session, arguments.image.as_deref()).await?;
    let all: Vec<Object> = manifests.architecture.iter().chain(&manifests.platform).cloned().collect();
    let references = prepare::images(&all).into_iter().filter(|image| !is_service(image)).collect();
    let others = images::others(session, &references, &node, None).await?;
    let (release, _) = compose(session, steps, manifests, &service, &others)?;
    let place = Place { cluster: &ours.cluster, gate: &Gate::Pods, force: arguments.force, steps };
    let comparison = place.compare(&release).await?;
    let notes =
        stale.into_iter().map(|cause| format!("the service would be built first ({cause})")).collect();
    let difference = told::Difference::new(kind.name(), &[&comparison.platform, &comparison.release], notes);
    context.answer(&difference)
}
