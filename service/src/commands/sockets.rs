//! Owns the look at what the kernel holds of this port's connections: those that nobody has taken in, what nobody has read,
//! and what is still to be sent. It takes an answer long before a slow client has it, and a container that ends takes its
//! network along, with what was not sent yet. Knows a port, and nothing of requests.

use std::{fs, time::Duration};

/// Between two looks: what the end takes at most beyond the last byte.
pub(super) const PAUSE: Duration = Duration::from_millis(20);

/// Where Linux lists the connections of this process's network (proc(5)), by IPv4 and by IPv6. Elsewhere there is no such
/// list, and nothing to wait for that could be seen.
const TABLES: [&str; 2] = ["/proc/self/net/tcp", "/proc/self/net/tcp6"];

/// What of the port's connections is waiting, each in a place of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Held {
    /// Connections that are not taken in.
    pub(super) connections: u64,
    /// Bytes that were received and not read.
    pub(super) unread: u64,
    /// Bytes that the clients have not acknowledged.
    pub(super) unsent: u64,
}

impl Held {
    fn and(self, other: Self) -> Self {
        Self {
            connections: self.connections + other.connections,
            unread: self.unread + other.unread,
            unsent: self.unsent + other.unsent,
        }
    }
}

/// Waits until the clients of this port have all that was sent to them.
pub(super) async fn until_all_is_sent(port: u16) {
    while held(port).unsent > 0 {
        tokio::time::sleep(PAUSE).await;
    }
}

/// What is held now.
pub(super) fn held(port: u16) -> Held {
    let tables = TABLES.iter().filter_map(|table| fs::read_to_string(table).ok());
    tables.map(|table| sum(&table, port)).fold(Held::default(), Held::and)
}

fn sum(table: &str, port: u16) -> Held {
    table.lines().filter_map(|line| read(line, port)).fold(Held::default(), Held::and)
}

/// The queues of a connection's line: `0: 0100007F:1F40 0100007F:C350 01 00000A00:00000000 …`, its numbers hexadecimal.
fn read(line: &str, port: u16) -> Option<Held> {
    /// A socket that listens: its queue is of connections.
    const LISTEN: &str = "0A";
    const ESTABLISHED: &str = "01";
    /// The client will send no more, and that end counts as a byte that is not read.
    const CLOSE_WAIT: &str = "08";
    /// `FIN_WAIT1`, `LAST_ACK` and `CLOSING`: the end itself counts as a byte that is not acknowledged. It is not
    /// waited for, or one client that has vanished would hold the service up with a connection that it left idle.
    const ENDED: [&str; 3] = ["04", "09", "0B"];
    let mut fields = line.split_ascii_whitespace().skip(1);
    let (local, _remote, state, queues) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    let (_, local_port) = local.rsplit_once(':')?;
    if u16::from_str_radix(local_port, 16).ok()? != port {
        return None;
    }
    let (sending, receiving) = queues.split_once(':')?;
    let [sending, receiving] = [sending, receiving].map(|queue| u64::from_str_radix(queue, 16).ok());
    let (sending, receiving) = (sending?, receiving?);
    Some(match state {
        LISTEN => Held { connections: receiving, ..Held::default() },
        ESTABLISHED => Held { unread: receiving, unsent: sending, ..Held::default() },
        CLOSE_WAIT => Held { unread: receiving.saturating_sub(1), unsent: sending, ..Held::default() },
        state if ENDED.contains(&state) => Held { unsent: sending.saturating_sub(1), ..Held::default() },
        _ => Held { unsent: sending, ..Held::default() },
    })
}

#[cfg(test)]
mod tests {
    use super::{Held, sum};

    #[test]
    fn only_what_this_ports_connections_hold_counts() {
        let table = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:1F40 00000000:0000 0A 00000007:00000005 00:00000000 00000000  1000        0 1 1 0 100 0 0 10 0
   1: 0100007F:1F40 0100007F:C350 01 00000A00:00000003 01:00000014 00000000  1000        0 2 2 0 20 4 0 10 -1
   2: 0100007F:C350 0100007F:1F40 01 00000001:00000000 00:00000000 00000000     0        0 3 1 0 20 4 30 10 -1
   3: 0100007F:1F40 0100007F:C351 04 00000001:00000000 01:00000014 00000000     0        0 0 2 0 20 4 0 10 -1
   4: 0100007F:1F40 0100007F:C353 09 00000011:00000000 01:00000014 00000000     0        0 0 2 0 20 4 0 10 -1
   5: 0100007F:1F41 0100007F:C352 01 00000F00:00000000 01:00000014 00000000     0        0 0 2 0 20 4 0 10 -1
   6: 0100007F:1F40 0100007F:C354 08 00000000:00000041 01:00000014 00000000     0        0 0 2 0 20 4 0 10 -1
   7: 0100007F:1F40 0100007F:C355 08 00000000:00000001 01:00000014 00000000     0        0 0 2 0 20 4 0 10 -1
";
        assert_eq!(sum(table, 8000), Held { connections: 5, unread: 0x43, unsent: 0xa10 });
        assert_eq!(sum(table, 8001), Held { unsent: 0xf00, ..Held::default() });
        assert_eq!(sum("", 8000), Held::default());
        assert_eq!(sum("0: x y", 8000), Held::default());
    }
}
