//! What the engine's command line lists of a cluster's nodes. Pure.

use super::Mapping;

/// One line a node: name, state, published ports, identifier.
pub(super) const FORMAT: &str = "{{.Names}}\t{{.State}}\t{{.Ports}}\t{{.ID}}";

/// A container that is a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// The engine's word: `running`, `exited`.
    pub state: String,
    /// The ports that it publishes.
    pub ports: Vec<Mapping>,
    /// The engine's identifier: another cluster of the same name has other nodes.
    pub id: String,
}

impl Node {
    /// Whether it runs.
    pub fn runs(&self) -> bool {
        self.state == "running"
    }

    /// The host's port that leads to a NodePort.
    pub fn host_port(&self, node: u16) -> Option<u16> {
        self.ports.iter().find(|mapping| mapping.node == node).map(|mapping| mapping.host)
    }
}

pub(super) fn parse(listing: &str) -> Vec<Node> {
    listing
        .lines()
        .filter_map(|line| {
            let mut columns = line.split('\t');
            let (name, state) = (columns.next()?, columns.next()?);
            let ports = columns.next().unwrap_or_default().split(',').filter_map(mapping).collect();
            let id = columns.next().unwrap_or_default().to_owned();
            Some(Node { name: name.to_owned(), state: state.to_owned(), ports, id })
        })
        .collect()
}

/// Reads `127.0.0.1:30253->30253/tcp`.
fn mapping(text: &str) -> Option<Mapping> {
    let (outside, inside) = text.trim().split_once("->")?;
    let host = outside.rsplit_once(':')?.1.parse().ok()?;
    let node = inside.split('/').next()?.parse().ok()?;
    Some(Mapping { host, node })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_is_read() {
        let listing = "a-control-plane\trunning\t127.0.0.1:18801->30253/tcp, 127.0.0.1:39137->6443/tcp\t5cf\nb\texited\t\t6d0\n";
        let nodes = parse(listing);
        assert_eq!(nodes.len(), 2);
        assert!(nodes[0].runs() && !nodes[1].runs());
        assert_eq!(nodes[0].host_port(30253), Some(18801));
        assert_eq!(nodes[0].host_port(30090), None);
        assert!(nodes[1].ports.is_empty());
        assert_eq!([&*nodes[0].id, &*nodes[1].id], ["5cf", "6d0"]);
    }
}
