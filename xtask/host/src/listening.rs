//! Whether a port of this machine is to be had: tried, and where the system's word is not enough, asked.
//!
//! Must not: know whose port it is to be.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

/// How long a connection to an address of this machine may take; it is refused or made within a millisecond.
const CONNECT: Duration = Duration::from_secs(5);

/// Listens at an address.
///
/// # Errors
/// When somebody else does, or the system refuses.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    refuse_answered(address)?;
    TcpListener::bind(address)
}

/// Before an address is listened at, what the system would not say by itself.
///
/// # Errors
/// When somebody listens there already.
pub fn refuse_answered(address: SocketAddr) -> io::Result<()> {
    // Elsewhere than on Linux, SO_REUSEADDR (which the standard library sets) lets one program have 127.0.0.1:8000 although
    // another one has *:8000: it would get the connections that the other is to have (setsockopt(2) of the BSDs).
    if !cfg!(target_os = "linux") && is_answered(address) {
        return Err(io::ErrorKind::AddrInUse.into());
    }
    Ok(())
}

/// Whether somebody takes connections at an address.
fn is_answered(address: SocketAddr) -> bool {
    let host = match address.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        host => host,
    };
    let address = SocketAddr::new(host, address.port());
    // Any port: nobody can be asked there.
    if address.port() == 0 {
        return false;
    }
    let asked = TcpStream::connect_timeout(&address, CONNECT);
    // From a port that the system chooses a connection may reach itself, if it chooses this one.
    asked.is_ok_and(|stream| stream.local_addr().is_ok_and(|from| from != address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_listens_everywhere_is_found_at_each_address() {
        let everywhere = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("a port");
        let port = everywhere.local_addr().expect("an address").port();
        for host in [Ipv4Addr::LOCALHOST, Ipv4Addr::UNSPECIFIED] {
            assert!(is_answered(SocketAddr::from((host, port))), "{host}");
            let refused = listen(SocketAddr::from((host, port))).expect_err("somebody has it");
            assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
        }
        // Port 1 of the loopback interface: reserved (tcpmux), and nobody runs it.
        assert!(!is_answered(SocketAddr::from((Ipv4Addr::LOCALHOST, 1))));
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        assert!(!is_answered(any) && listen(any).is_ok());
    }
}
