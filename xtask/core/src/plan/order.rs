//! In which order containers go: dependents before what they depend on.

use std::collections::BTreeSet;

use crate::stack::ServiceName;

/// One container: its service, and the services it depends on.
pub(super) type Edge<'a> = (&'a ServiceName, &'a BTreeSet<&'a ServiceName>);

/// The places of all containers in an order in which they may go, each with the places of its dependents that went
/// before it. Of those that may go at once the first comes first. Labels can lie: a cycle is cut at the first container
/// on it, so the answer always holds all of them.
pub(super) fn dependents_first(containers: &[Edge<'_>]) -> Vec<(usize, Vec<usize>)> {
    let depends = |dependent: usize, on: usize| {
        containers[dependent].0 != containers[on].0 && containers[dependent].1.contains(containers[on].0)
    };
    let mut waiting: Vec<usize> = (0..containers.len()).collect();
    let mut order: Vec<(usize, Vec<usize>)> = Vec::with_capacity(containers.len());
    while !waiting.is_empty() {
        let free = |&one: &usize| !waiting.iter().any(|&other| depends(other, one));
        let next = waiting.iter().position(free);
        let next = next.or_else(|| waiting.iter().position(|&one| on_cycle(one, &waiting, depends)));
        let next = next.expect("where nothing is free there is a cycle");
        let one = waiting.remove(next);
        let gone = order.iter().map(|&(gone, _)| gone).filter(|&gone| depends(gone, one)).collect();
        order.push((one, gone));
    }
    order
}

/// Whether a container depends on itself through others of `among`.
fn on_cycle(one: usize, among: &[usize], depends: impl Fn(usize, usize) -> bool) -> bool {
    let mut reached = BTreeSet::new();
    let mut open = vec![one];
    while let Some(from) = open.pop() {
        open.extend(among.iter().copied().filter(|&to| depends(from, to) && reached.insert(to)));
    }
    reached.contains(&one)
}
