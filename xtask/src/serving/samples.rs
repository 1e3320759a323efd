//! What tests of this room, and of who uses it, begin with.

use std::collections::BTreeMap;

use crate::plan::{Container, ContainerId, ContainerState, Role};
use crate::stack::ServiceName;

/// A container of the service `web`, as the engine might tell of one.
pub(crate) fn container(id: &str, role: Role, state: ContainerState) -> Container {
    Container {
        id: ContainerId(id.to_owned()),
        name: "shop-web".to_owned(),
        role,
        service: ServiceName::new("web"),
        depends_on: Vec::new(),
        config_hash: String::new(),
        files_hash: String::new(),
        repeat_hash: String::new(),
        image_id: String::new(),
        stop_grace: None,
        networks: BTreeMap::new(),
        ports: BTreeMap::new(),
        state,
        started_at: None,
        reason: None,
    }
}
