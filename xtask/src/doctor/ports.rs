//! Who has a port of this machine.
//!
//! Must not: talk to the engine; which ports its containers hold is handed in.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use super::facts::PortState;
use crate::engine::PublishedPort;
use crate::listening::listen;
use crate::process::Program;

/// How long `lsof` may take; it reads kernel tables and is done in well under a second.
const LSOF: Duration = Duration::from_secs(5);

/// Who listens on a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    /// A container.
    Container(String),
    /// A process of this machine.
    Process {
        /// Its name.
        name: String,
        /// Its number.
        pid: u32,
    },
    /// A process that we may not look into, of this user.
    User {
        /// The user's number.
        uid: u32,
    },
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Container(name) => write!(f, "container {name}"),
            Self::Process { name, pid } => write!(f, "{name} (pid {pid})"),
            Self::User { uid } => write!(f, "a process of the user with uid {uid}"),
        }
    }
}

/// Who listens on a TCP port, as far as this user may see; `published` are the ports that containers hold. `None` when
/// nobody does, or nothing can be seen.
pub async fn holder(port: u16, published: &[PublishedPort]) -> Option<Holder> {
    // First the engine: what the system shows is only its proxy.
    if let Some(found) = published.iter().find(|published| published.port == port) {
        return Some(Holder::Container(found.container.clone()));
    }
    if cfg!(target_os = "linux") { listening(Path::new("/proc"), port) } else { ask_lsof(port).await }
}

/// How a port of 127.0.0.1 stands for a project: it is tried, and only when it cannot be had, somebody is looked for.
pub async fn state(port: u16, project: Option<&str>, published: &[PublishedPort]) -> PortState {
    let ours = |found: &PublishedPort| {
        found.port == port && project.is_some() && found.project.as_deref() == project
    };
    if published.iter().any(ours) {
        return PortState::Ours;
    }
    match listen(SocketAddr::from((Ipv4Addr::LOCALHOST, port))) {
        Ok(_) if published.iter().all(|found| found.port != port) => PortState::Free,
        Err(error) if error.kind() != std::io::ErrorKind::AddrInUse => PortState::Refused(error.to_string()),
        _ => PortState::Taken(holder(port, published).await),
    }
}

/// A socket in `/proc/net/tcp` (proc(5)).
#[derive(Debug, PartialEq, Eq)]
struct Socket {
    uid: u32,
    inode: u64,
}

fn listening(proc: &Path, port: u16) -> Option<Holder> {
    let tables =
        ["net/tcp", "net/tcp6"].map(|name| std::fs::read_to_string(proc.join(name)).unwrap_or_default());
    let socket = tables.iter().find_map(|table| listening_socket(table, port))?;
    Some(process_with(proc, socket.inode).unwrap_or(Holder::User { uid: socket.uid }))
}

/// The socket that listens on `port`, in a table of the kernel.
fn listening_socket(table: &str, port: u16) -> Option<Socket> {
    /// `TCP_LISTEN` of the kernel's `net/tcp_states.h`, as the table writes it.
    const LISTEN: &str = "0A";
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (_, local_port) = fields.get(1)?.rsplit_once(':')?;
        let is_it = u16::from_str_radix(local_port, 16).ok()? == port && *fields.get(3)? == LISTEN;
        if !is_it {
            return None;
        }
        Some(Socket { uid: fields.get(7)?.parse().ok()?, inode: fields.get(9)?.parse().ok()? })
    })
}

/// The process that has the socket open. Only our own processes can be looked into, unless we are root.
fn process_with(proc: &Path, inode: u64) -> Option<Holder> {
    let wanted = format!("socket:[{inode}]");
    let entries = std::fs::read_dir(proc).ok()?;
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| {
        let Ok(descriptors) = std::fs::read_dir(proc.join(format!("{pid}/fd"))) else { return false };
        descriptors.filter_map(Result::ok).any(|descriptor| {
            std::fs::read_link(descriptor.path()).is_ok_and(|target| target.as_os_str() == wanted.as_str())
        })
    })
    // Of several the first: what a process has just started has its descriptors until it becomes another program.
    .min_by_key(|pid| (began(proc, *pid), *pid))
    .map(|pid| {
        let name = std::fs::read_to_string(proc.join(format!("{pid}/comm"))).unwrap_or_default();
        Holder::Process { name: name.trim_end().to_owned(), pid }
    })
}

/// When a process began (`starttime` of `proc_pid_stat(5)`): its number does not tell, for numbers begin anew.
fn began(proc: &Path, pid: u32) -> u64 {
    let stat = std::fs::read_to_string(proc.join(format!("{pid}/stat"))).unwrap_or_default();
    // The name stands in parentheses and may hold any character; the state comes after it, as the third of all.
    let rest = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    rest.split(' ').nth(19).and_then(|at| at.parse().ok()).unwrap_or(u64::MAX)
}

/// Where there is no `/proc`, `lsof` knows.
async fn ask_lsof(port: u16) -> Option<Holder> {
    let program =
        Program::new("lsof", LSOF).args(["-nP", "-sTCP:LISTEN", "-Fpc"]).arg(format!("-iTCP:{port}"));
    parse_lsof(&program.output().await.ok()?)
}

/// Reads lsof's output for programs: a line `p` with the process's number, then a line `c` with its name (lsof(8),
/// "OUTPUT FOR OTHER PROGRAMS").
fn parse_lsof(output: &str) -> Option<Holder> {
    let mut lines = output.lines();
    let pid = lines.find_map(|line| line.strip_prefix('p'))?.parse().ok()?;
    let name = lines.find_map(|line| line.strip_prefix('c'))?.to_owned();
    Some(Holder::Process { name, pid })
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    const TABLE: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F40 0100007F:C001 01 00000000:00000000 00:00000000 00000000  1000        0 111 1 0000000000000000 20 4 30 10 -1
   1: 0100007F:1F40 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 222 1 0000000000000000 100 0 0 10 0
   2: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 333 1 0000000000000000 100 0 0 10 0
";

    #[test]
    fn only_listening_sockets_count() {
        assert_eq!(listening_socket(TABLE, 8000), Some(Socket { uid: 1000, inode: 222 }));
        assert_eq!(listening_socket(TABLE, 22), Some(Socket { uid: 0, inode: 333 }));
        assert_eq!(listening_socket(TABLE, 0xC001), None);
        assert_eq!(listening_socket("", 22), None);
    }

    #[cfg(unix)]
    #[test]
    fn of_several_that_have_a_socket_the_first_is_told() {
        let proc = tempfile::tempdir().expect("a directory");
        // The second has just been started by the first, and numbers have begun anew.
        for (pid, name, began) in [(31_000, "web ) server", 5_000), (80, "sh", 9_000), (90, "other", 1)] {
            let process = proc.path().join(pid.to_string());
            std::fs::create_dir_all(process.join("fd")).expect("a directory");
            let socket = if name == "other" { "socket:[111]" } else { "socket:[222]" };
            std::os::unix::fs::symlink(socket, process.join("fd/3")).expect("a link");
            std::fs::write(process.join("comm"), format!("{name}\n")).expect("a file");
            let stat = format!("{pid} ({name}) S 1{} {began} 0 0", " 0".repeat(17));
            std::fs::write(process.join("stat"), stat).expect("a file");
        }
        let first = Holder::Process { name: "web ) server".to_owned(), pid: 31_000 };
        assert_eq!(process_with(proc.path(), 222), Some(first));
        assert_eq!(process_with(proc.path(), 333), None);
    }

    #[test]
    fn lsof_is_read() {
        let python = Holder::Process { name: "Python".to_owned(), pid: 4242 };
        assert_eq!(parse_lsof("p4242\ncPython\nf3\n"), Some(python));
        assert_eq!(parse_lsof(""), None);
    }

    fn published(port: u16, project: Option<&str>) -> PublishedPort {
        PublishedPort { port, container: "shop-web".to_owned(), project: project.map(str::to_owned) }
    }

    /// This test itself takes a port, and is found.
    #[tokio::test]
    async fn the_holder_of_a_real_port_is_found() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let PortState::Taken(Some(Holder::Process { name, pid })) = state(port, Some("x"), &[]).await else {
            panic!("we listen on {port}");
        };
        assert_eq!(pid, std::process::id());
        assert!(!name.is_empty());
        // The engine's word goes first: what the system shows is its proxy.
        let container = Holder::Container("shop-web".to_owned());
        assert_eq!(holder(port, &[published(port, None)]).await, Some(container.clone()));
        assert_eq!(state(port, Some("shop"), &[published(port, Some("shop"))]).await, PortState::Ours);
        assert_eq!(
            state(port, Some("x"), &[published(port, Some("shop"))]).await,
            PortState::Taken(Some(container.clone()))
        );
        drop(listener);
        // An engine without a proxy holds a port that can still be bound here.
        assert_eq!(state(port, Some("x"), &[published(port, None)]).await, PortState::Taken(Some(container)));
    }

    /// Other tests take any port that is free, for a moment this one: one of many is seen free.
    #[tokio::test]
    async fn a_port_that_nobody_has_is_free() {
        for _ in 0..100 {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
            let port = listener.local_addr().expect("an address").port();
            drop(listener);
            if state(port, Some("x"), &[]).await == PortState::Free {
                return;
            }
        }
        panic!("none of a hundred ports was free");
    }

    #[test]
    fn holders_are_named() {
        let table = [
            (Holder::Process { name: "python3".to_owned(), pid: 4242 }, "python3 (pid 4242)"),
            (Holder::Container("shop-web".to_owned()), "container shop-web"),
            (Holder::User { uid: 0 }, "a process of the user with uid 0"),
        ];
        for (holder, text) in table {
            assert_eq!(holder.to_string(), text);
        }
    }
}
