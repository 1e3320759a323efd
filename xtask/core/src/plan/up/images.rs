//! The images of the services that are not left out: obtained, built, or made anew because their recipe changed.

use std::collections::{BTreeMap, BTreeSet};

use super::fate::Fates;
use super::scope::Scope;
use crate::event::StepId;
use crate::images::{Availability, Source};
use crate::plan::step::done;
use crate::plan::{Action, Cause, Plan};
use crate::stack::{ImageReference, ServiceName};

/// The steps that make images.
#[derive(Default)]
pub(super) struct Images<'a> {
    steps: BTreeMap<&'a ImageReference, StepId>,
    /// By service: the steps for its own image and for those of everything it depends on.
    behind: BTreeMap<&'a ServiceName, BTreeSet<StepId>>,
}

impl Images<'_> {
    /// The step that makes an image, when one does.
    pub(super) fn step(&self, image: &ImageReference) -> Option<StepId> {
        self.steps.get(image).copied()
    }

    /// Everything that must be there before a service, once removed, can come back.
    pub(super) fn behind(&self, name: &ServiceName) -> impl Iterator<Item = StepId> {
        self.behind.get(name).into_iter().flatten().copied()
    }
}

/// Plans for every image that is missing or out of date; a recipe's base comes before it, and each once.
pub(super) fn obtain<'a>(plan: &mut Plan, scope: &Scope<'a>, fates: &Fates<'_>) -> Images<'a> {
    let mut images = Images::default();
    for (name, service) in &scope.services {
        let mut behind: BTreeSet<StepId> =
            service.depends_on.keys().flat_map(|dependency| images.behind(dependency)).collect();
        if !fates[name].is_out() {
            let step = obtain_one(plan, scope, &mut images.steps, &service.image, service.homeport.optional);
            behind.extend(step);
        }
        images.behind.insert(name, behind);
    }
    images
}

fn obtain_one<'a>(
    plan: &mut Plan,
    scope: &Scope<'a>,
    steps: &mut BTreeMap<&'a ImageReference, StepId>,
    image: &'a ImageReference,
    optional: bool,
) -> Option<StepId> {
    if let Some(&step) = steps.get(image) {
        if !optional {
            plan.require(step);
        }
        return Some(step);
    }
    let step = if let Some((package, cause)) = scope.build(image) {
        let action = Action::BuildImage { image: image.clone(), package: package.to_owned() };
        plan.push(action, Cause::SourcesChanged(cause.to_owned()), Vec::new(), optional)
    } else {
        let (source, cause) = match scope.observed.images.get(image)? {
            Availability::Obtainable(source) => (source, Cause::Missing),
            Availability::Present { stale: Some(source), .. } => (source, Cause::RecipeChanged),
            Availability::Present { .. } | Availability::Unavailable(_) => return None,
        };
        let base = match source {
            Source::Recipe { base, .. } => obtain_one(plan, scope, steps, base, optional),
            _ => None,
        };
        let action = Action::ObtainImage { image: image.clone(), source: source.clone() };
        plan.push(action, cause, base.map(done).into_iter().collect(), optional)
    };
    steps.insert(image, step);
    Some(step)
}
