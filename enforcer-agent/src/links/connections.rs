//! TCP connections of this network namespace, as the kernel has them, and whose cgroup each socket is of.

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::ask::{Asker, HEADER, attributes};

/// A connection that both ends have agreed on, seen from one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Connection {
    /// The end on this machine.
    pub local: SocketAddr,
    /// The other one.
    pub remote: SocketAddr,
    /// Whether somebody listens at the local end, so that it was opened by the other.
    pub accepted: bool,
    /// The id of the cgroup that the socket was made in.
    pub cgroup: u64,
}

/// `enum` of net/tcp_states.h: those of a connection that was opened and isn't over.
const OPEN: u32 = 1 << 1 | 1 << 4 | 1 << 5 | 1 << 8 | 1 << 9 | 1 << 11;
pub(super) const LISTEN: u8 = 10;

/// Those of this network namespace. `None` where the kernel can't be asked (`CONFIG_INET_DIAG`).
pub fn connections() -> io::Result<Option<Vec<Connection>>> {
    let mut found = Vec::new();
    for family in [libc::AF_INET, libc::AF_INET6] {
        match ask(family as u8, &mut found) {
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => return Ok(None),
            asked => asked?,
        }
    }
    Ok(Some(opened(&found)))
}

fn ask(family: u8, found: &mut Vec<Socket>) -> io::Result<()> {
    Asker::list_sockets(&question(family, libc::IPPROTO_TCP as u8, OPEN | 1 << LISTEN), |message| {
        found.extend(socket(message))
    })
}

/// `struct inet_diag_req_v2`: family, protocol, what to show beside, padding, states, and an id that is looked at in other requests only.
pub(super) fn question(family: u8, protocol: u8, states: u32) -> Vec<u8> {
    let mut question = vec![family, protocol, 0, 0];
    question.extend(states.to_ne_bytes());
    question.extend([0; 48]);
    question
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Socket {
    listens: bool,
    local: SocketAddr,
    remote: SocketAddr,
    cgroup: u64,
}

/// `struct inet_diag_msg`, and the cgroup behind it.
pub(super) fn parts(message: &[u8]) -> Option<(&[u8], u64)> {
    const ATTRIBUTES: usize = HEADER + 72;
    const CGROUP: u16 = 21;
    let body = message.get(HEADER..ATTRIBUTES)?;
    let mut behind = attributes(message.get(ATTRIBUTES..).unwrap_or_default());
    let cgroup = behind.find_map(|(kind, value)| {
        let id = value.first_chunk().filter(|_| kind == CGROUP)?;
        Some(u64::from_ne_bytes(*id))
    });
    Some((body, cgroup?))
}

fn socket(message: &[u8]) -> Option<Socket> {
    let (body, cgroup) = parts(message)?;
    let (family, state) = (body[0], body[1]);
    let end = |port: usize, address: usize| {
        let port = u16::from_be_bytes([body[port], body[port + 1]]);
        let bytes = &body[address..address + 16];
        let address = match i32::from(family) {
            libc::AF_INET => IpAddr::V4(Ipv4Addr::from(*bytes.first_chunk::<4>()?)),
            _ => IpAddr::V6(Ipv6Addr::from(*bytes.first_chunk::<16>()?)).to_canonical(),
        };
        Some(SocketAddr::new(address, port))
    };
    Some(Socket { listens: state == LISTEN, local: end(4, 8)?, remote: end(6, 24)?, cgroup })
}

fn opened(sockets: &[Socket]) -> Vec<Connection> {
    let (listening, open): (Vec<&Socket>, Vec<&Socket>) = sockets.iter().partition(|socket| socket.listens);
    let at: HashSet<SocketAddr> = listening.iter().map(|socket| socket.local).collect();
    let anywhere = |port| {
        let any = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
        any.iter().any(|any| at.contains(&SocketAddr::new(*any, port)))
    };
    let connection = |socket: &Socket| Connection {
        local: socket.local,
        remote: socket.remote,
        accepted: at.contains(&socket.local) || anywhere(socket.local.port()),
        cgroup: socket.cgroup,
    };
    open.into_iter().map(connection).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn both_ends_of_a_connection_are_found_and_who_opened_it() {
        let Some(before) = connections().unwrap() else { panic!("this kernel can't be asked") };
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let listener = TcpListener::bind(address).unwrap();
            let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (server, _) = listener.accept().unwrap();
            let (here, there) = (client.local_addr().unwrap(), server.local_addr().unwrap());
            let now = connections().unwrap().unwrap();
            let at = |local| now.iter().find(|one| one.local == local && !before.contains(one)).unwrap();
            assert_eq!((at(here).remote, at(here).accepted), (there, false));
            assert_eq!((at(there).remote, at(there).accepted), (here, true));
            assert!(at(here).cgroup != 0 && at(here).cgroup == at(there).cgroup);
        }
    }

    #[test]
    fn what_is_cut_short_is_passed_over() {
        let mut message = vec![0; HEADER + 72];
        (message[HEADER], message[HEADER + 1]) = (libc::AF_INET as u8, 1);
        message.extend([12_u16, 21].iter().flat_map(|word| word.to_ne_bytes()));
        message.extend(7_u64.to_ne_bytes());
        let found = socket(&message).unwrap();
        assert_eq!((found.cgroup, found.listens), (7, false));
        assert_eq!(found.local, "0.0.0.0:0".parse().unwrap());
        assert!((0..message.len()).all(|cut| socket(&message[..cut]).is_none()));
    }
}
