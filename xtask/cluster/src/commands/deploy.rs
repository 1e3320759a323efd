//! `cargo xtask deploy --context NAME`: the same rollout on a cluster that the user names. Its nodes pull the images
//! themselves; what the cluster must have stands in the overlay's README.

use std::collections::BTreeMap;

use xtask::cli;
use xtask::commands::Context;
use xtask::event::Event;
use xtask::failure::{Code, Failure};

use super::{ours, told};
use crate::api::Cluster;
use crate::kustomize::split_tag;
use crate::object::Object;
use crate::release::{Place, Release};
use crate::smoke::Gate;
use crate::steps::Steps;
use crate::{manifests, prepare};

/// Digits of a digest in a version, as many as an image's identifier has in its tag.
const DIGITS: usize = 12;

/// Runs `deploy`.
///
/// # Errors
/// As for `deploy-kind`.
pub async fn run(context: &Context, arguments: &cli::Deploy) -> Result<(), Failure> {
    let mut objects = manifests::read(context.project.root(), &arguments.overlay)?;
    let image = service_image(&objects)?;
    let image = match &arguments.image {
        Some(given) => {
            prepare::set_image(&mut objects, split_tag(&image).0, given);
            given.clone()
        }
        None => image,
    };
    let version = version(&image);
    prepare::set_version(&mut objects, &version);
    prepare::annotate(&mut objects, &BTreeMap::new());
    let release = Release { version, objects, platform: Vec::new() };
    let cluster = Cluster::by_context(&arguments.context).await?;
    let steps = Steps::new(context.events.clone(), None);
    let place = Place { cluster: &cluster, gate: &Gate::Pods, force: arguments.force, steps: &steps };
    if arguments.dry_run {
        let comparison = place.compare(&release).await?;
        return context.answer(&told::Difference::new(cluster.name(), &[&comparison.release], Vec::new()));
    }
    let _lock = ours::exclusively_by_context(context, &arguments.context, "deploy").await?;
    let (workloads, changed) = place.deploy(&release, async { Ok(()) }).await?;
    if !changed {
        context.events.note("nothing was to be changed; all of it is ready and passed the smoke tests");
    }
    context.events.send(Event::Summary { services: told::summary(&workloads, None, &BTreeMap::new()) });
    Ok(())
}

/// What the service is to answer as its version: the image's tag, or the start of its digest where it has none.
fn version(image: &str) -> String {
    let digest = image.split_once('@').map(|(_, digest)| digest.replace(':', "-"));
    let short = digest.map(|digest| digest.chars().take("sha256-".len() + DIGITS).collect());
    split_tag(image).1.map(str::to_owned).or(short).unwrap_or_else(|| "latest".to_owned())
}

/// The image of the service, as the kustomization has it.
fn service_image(objects: &[Object]) -> Result<String, Failure> {
    let service = objects.iter().find(|object| object.name() == crate::smoke::DEPLOYMENT);
    service.and_then(|service| service.images().next()).map(str::to_owned).ok_or_else(|| {
        let message = format!("the kustomization holds no Deployment {}", crate::smoke::DEPLOYMENT);
        Failure::new(Code::ProjectInvalid, message)
    })
}

#[cfg(test)]
mod tests {
    use super::version;

    #[test]
    fn a_version_is_the_tag_or_the_start_of_the_digest() {
        let digest = format!("@sha256:{}", "0123456789abcdef".repeat(4));
        let table = [
            ("host:5000/team/app:1.2".to_owned(), "1.2"),
            (format!("host:5000/team/app:1.2{digest}"), "1.2"),
            (format!("host:5000/team/app{digest}"), "sha256-0123456789ab"),
            ("host:5000/team/app".to_owned(), "latest"),
        ];
        for (image, expected) in table {
            assert_eq!(version(&image), expected, "{image}");
        }
    }
}
