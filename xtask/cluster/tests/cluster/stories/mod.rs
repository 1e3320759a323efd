//! What the cluster must show, a file a subject.

pub(crate) mod birth;
pub(crate) mod changes;
pub(crate) mod kills;
pub(crate) mod production;
pub(crate) mod rollouts;
pub(crate) mod safety;
pub(crate) mod scaling;
pub(crate) mod verified;
