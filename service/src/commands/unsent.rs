//! Owns the look at what the kernel has still to send. It takes an answer long before a slow client has it, and a container
//! that ends takes its network along, with what was not sent yet. Knows a port, and nothing of requests.

use std::{fs, time::Duration};

/// Between two looks: what the end takes at most beyond the last byte.
const PAUSE: Duration = Duration::from_millis(20);

/// Where Linux lists the connections of this process's network (proc(5)), by IPv4 and by IPv6. Elsewhere there is no such
/// list, and nothing to wait for that could be seen.
const TABLES: [&str; 2] = ["/proc/self/net/tcp", "/proc/self/net/tcp6"];

/// Waits until the clients of this port have all that was sent to them.
pub(super) async fn until_all_is_sent(port: u16) {
    while bytes(port) > 0 {
        tokio::time::sleep(PAUSE).await;
    }
}

/// What the clients of this port have not acknowledged.
pub(super) fn bytes(port: u16) -> u64 {
    TABLES.iter().filter_map(|table| fs::read_to_string(table).ok()).map(|table| sum(&table, port)).sum()
}

fn sum(table: &str, port: u16) -> u64 {
    table.lines().filter_map(|line| unsent(line, port)).sum()
}

/// The queue of a connection's line: `0: 0100007F:1F40 0100007F:C350 01 00000A00:00000000 …`, its numbers hexadecimal.
fn unsent(line: &str, port: u16) -> Option<u64> {
    /// A socket that listens sends nothing.
    const LISTEN: &str = "0A";
    /// `FIN_WAIT1`, `LAST_ACK` and `CLOSING`: the end itself counts as a byte that is not acknowledged. It is not
    /// waited for, or one client that has vanished would hold the service up with a connection that it left idle.
    const ENDED: [&str; 3] = ["04", "09", "0B"];
    let mut fields = line.split_ascii_whitespace().skip(1);
    let (local, _remote, state, queues) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    let (_, local_port) = local.rsplit_once(':')?;
    let is_ours = u16::from_str_radix(local_port, 16).ok()? == port && state != LISTEN;
    let (sending, _receiving) = queues.split_once(':')?;
    let bytes = u64::from_str_radix(sending, 16).ok().filter(|_| is_ours)?;
    Some(if ENDED.contains(&state) { bytes.saturating_sub(1) } else { bytes })
}

#[cfg(test)]
mod tests {
    use super::sum;

    #[test]
    fn only_what_this_ports_connections_send_counts() {
        let table = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:1F40 00000000:0000 0A 00000007:00000005 00:00000000 00000000  1000        0 1 1 0 100 0 0 10 0
   1: 0100007F:1F40 0100007F:C350 01 00000A00:00000003 01:00000014 00000000  1000        0 2 2 0 20 4 0 10 -1
   2: 0100007F:C350 0100007F:1F40 01 00000001:00000000 00:00000000 00000000     0        0 3 1 0 20 4 30 10 -1
   3: 0100007F:1F40 0100007F:C351 04 00000001:00000000 01:00000014 00000000     0        0 0 2 0 20 4 0 10 -1
   4: 0100007F:1F40 0100007F:C353 09 00000011:00000000 01:00000014 00000000     0        0 0 2 0 20 4 0 10 -1
   5: 0100007F:1F41 0100007F:C352 01 00000F00:00000000 01:00000014 00000000     0        0 0 2 0 20 4 0 10 -1
";
        assert_eq!(sum(table, 8000), 0xa10);
        assert_eq!(sum(table, 8001), 0xf00);
        assert_eq!(sum("", 8000), 0);
        assert_eq!(sum("0: x y", 8000), 0);
    }
}
