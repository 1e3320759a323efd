//! Faults that are planted into a release that went well, to see each of them rolled back. Pure.
//!
//! Must not: reach a cluster.

use std::collections::BTreeMap;

use serde_json::json;

use crate::prepare;
use crate::release::Release;
use crate::smoke::DEPLOYMENT;

/// The version that pods of a planted fault answer with.
const PLANTED: &str = "planted-fault";

/// What is wrong with a revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Its pods end as soon as they are started, so that the rollout must notice.
    Crash,
    /// Its pods serve well, as another version than the release's, so that only a smoke test can notice. No request fails
    /// meanwhile.
    WrongVersion,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Crash, Self::WrongVersion];

    /// What it does, for a sentence.
    pub const fn told(self) -> &'static str {
        match self {
            Self::Crash => "whose pods crash",
            Self::WrongVersion => "that fails its smoke tests",
        }
    }

    /// The release with this fault.
    pub fn plant(self, good: &Release) -> Release {
        let mut objects = good.objects.clone();
        match self {
            Self::Crash => {
                let service = objects.iter_mut().filter(|object| object.name() == DEPLOYMENT);
                let first = "/spec/template/spec/containers/0";
                for container in
                    service.filter_map(|object| object.value_mut().pointer_mut(first)?.as_object_mut())
                {
                    container.insert("args".to_owned(), json!([PLANTED]));
                }
            }
            Self::WrongVersion => {
                prepare::set_version(&mut objects, PLANTED);
                // The pods read the version when they start, so there must be new ones. Their images stay.
                prepare::annotate(&mut objects, &BTreeMap::new());
            }
        }
        Release { version: good.version.clone(), objects, platform: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::Object;

    fn good() -> Release {
        let documents = [
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "app-config"},
                "data": {"APP_VERSION": "1"}}),
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": DEPLOYMENT},
            "spec": {"template": {"spec": {
                "initContainers": [{"name": "migrate", "args": ["migrate"]}],
                "containers": [{"name": "hello", "args": ["serve"],
                    "envFrom": [{"configMapRef": {"name": "app-config"}}]}],
            }}}}),
        ];
        let mut objects: Vec<Object> =
            documents.map(|document| Object::new(document).expect("an object")).into();
        prepare::annotate(&mut objects, &BTreeMap::new());
        Release { version: "1".to_owned(), objects, platform: Vec::new() }
    }

    /// Each makes new pods, or nothing would be rolled out; and what is expected stays what was.
    #[test]
    fn every_fault_makes_new_pods_under_the_version_that_was_good() {
        let template = |release: &Release| release.objects[1].value()["spec"]["template"].clone();
        let good = good();
        for fault in Fault::ALL {
            let bad = fault.plant(&good);
            assert_ne!(template(&bad), template(&good), "{fault:?}");
            assert_eq!(bad.version, good.version, "{fault:?}");
            assert_eq!(
                template(&bad)["spec"]["initContainers"],
                template(&good)["spec"]["initContainers"],
                "{fault:?}: migrations are not what is on trial"
            );
        }
        let crash = Fault::Crash.plant(&good);
        assert_eq!(template(&crash)["spec"]["containers"][0]["args"], json!([PLANTED]));
        assert_eq!(crash.objects[0], good.objects[0], "its version is right");
        let wrong = Fault::WrongVersion.plant(&good);
        assert_eq!(wrong.objects[0].value()["data"]["APP_VERSION"], PLANTED);
        assert_eq!(template(&wrong)["spec"]["containers"], template(&good)["spec"]["containers"]);
    }
}
