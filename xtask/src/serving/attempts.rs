//! The versions that were tried in vain since this program began: each is shown until it is another, and not tried again.
//!
//! Must not: decide that; the plan does.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::failure::Failure;
use crate::plan::{Observed, Version};
use crate::stack::{ServiceName, Stack};

/// The last version of each service that failed. Cloned freely: all clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Attempts(Arc<Mutex<BTreeMap<ServiceName, (Version, Failure)>>>);

impl Attempts {
    /// Notes that a version failed.
    pub fn failed(&self, service: &ServiceName, version: Version, failure: &Failure) {
        self.noted().insert(service.clone(), (version, failure.clone()));
    }

    /// Forgets what failed: a version of this service serves.
    pub fn succeeded(&self, service: &ServiceName) {
        self.noted().remove(service);
    }

    /// What a plan has to know.
    pub fn versions(&self) -> BTreeMap<ServiceName, Version> {
        self.noted().iter().map(|(service, (version, _))| (service.clone(), version.clone())).collect()
    }

    /// Why a version that is wanted does not serve, if there is one. One that was started again in vain, by a key, serves.
    pub fn standing(&self, stack: &Stack, observed: &Observed) -> Option<Failure> {
        self.noted().iter().find_map(|(name, (version, failure))| {
            let service = stack.services.get(name)?;
            let serves = observed.container(name, service).is_some_and(|one| one.version() == *version);
            (observed.version(name, service)? == *version && !serves).then(|| failure.clone())
        })
    }

    fn noted(&self) -> MutexGuard<'_, BTreeMap<ServiceName, (Version, Failure)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::failure::Code;
    use crate::images::Availability;
    use crate::plan::{Container, ContainerState, Health, Role};
    use crate::serving::samples::container;
    use crate::stack::{ImageReference, Source, parse};

    #[test]
    fn a_failure_stands_as_long_as_its_version_is_wanted() {
        let source = Source {
            text: "services: {web: {image: 'web:dev'}}",
            path: Path::new("compose.yaml"),
            directory: Path::new("/shop"),
            project: None,
            variables: &|_| None,
            files: &|_| None,
        };
        let stack = parse(&source).expect("a stack").stack;
        let web = ServiceName::new("web");
        let built = |id: &str| {
            let present =
                Availability::Present { id: id.to_owned(), origin: "built".to_owned(), stale: None };
            Observed { images: [(ImageReference::new("web:dev"), present)].into(), ..Observed::default() }
        };
        let version = |id: &str| built(id).version(&web, &stack.services[&web]).expect("its image is there");
        let failure = Failure::new(Code::ContainerExited, "web ended with status 3");
        let attempts = Attempts::default();
        assert_eq!(attempts.standing(&stack, &built("one")), None);
        attempts.failed(&web, version("one"), &failure);
        assert_eq!(attempts.standing(&stack, &built("one")), Some(failure.clone()));
        assert_eq!(attempts.standing(&stack, &built("two")), None);
        assert_eq!(attempts.standing(&stack, &Observed::default()), None);
        // Started again in vain beside itself, it serves all the same.
        let serves = Container {
            config_hash: stack.services[&web].config_hash(),
            image_id: "one".to_owned(),
            ..container("1f", Role::Holder, ContainerState::Running(Health::Healthy))
        };
        let both = Observed { containers: vec![serves], ..built("one") };
        assert_eq!(attempts.standing(&stack, &both), None);
        assert_eq!(attempts.clone().versions(), [(web.clone(), version("one"))].into());
        attempts.succeeded(&web);
        assert_eq!(attempts.standing(&stack, &built("one")), None);
    }
}
