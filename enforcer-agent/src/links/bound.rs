//! The sockets of this network namespace that somebody may ask for, and in which cgroup each was made.

use std::io;

use super::ask::Asker;
use super::connections::{LISTEN, parts, question};

/// A TCP socket that listens, or a UDP socket that has a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BoundSocket {
    /// The kernel's number of it, which it gives to no other.
    pub cookie: u64,
    /// The id of the cgroup that it was made in.
    pub cgroup: u64,
}

/// Those of this network namespace; of what the kernel can't be asked for (`CONFIG_INET_DIAG`, `CONFIG_INET_UDP_DIAG`), none.
pub fn bound_sockets() -> io::Result<Vec<BoundSocket>> {
    const ANY: u32 = u32::MAX;
    let mut found = Vec::new();
    for (protocol, states) in [(libc::IPPROTO_TCP, 1 << LISTEN), (libc::IPPROTO_UDP, ANY)] {
        for family in [libc::AF_INET, libc::AF_INET6] {
            let question = question(family as u8, protocol as u8, states);
            match Asker::list_sockets(&question, |message| found.extend(socket(message))) {
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {}
                asked => asked?,
            }
        }
    }
    Ok(found)
}

fn socket(message: &[u8]) -> Option<BoundSocket> {
    const COOKIE: usize = 44;
    let (body, cgroup) = parts(message)?;
    let half = |at: usize| Some(u64::from(u32::from_ne_bytes(*body.get(at..)?.first_chunk()?)));
    Some(BoundSocket { cookie: half(COOKIE)? | half(COOKIE + 4)? << 32, cgroup })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, UdpSocket};
    use std::os::fd::AsFd;

    #[test]
    fn who_listens_and_who_has_a_port_is_found_by_its_cookie() {
        let (tcp, udp) = (TcpListener::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("[::1]:0").unwrap());
        let found = bound_sockets().unwrap();
        for socket in [tcp.as_fd(), udp.as_fd()] {
            let cookie = rustix::net::sockopt::socket_cookie(socket).unwrap();
            let one = found.iter().find(|one| one.cookie == cookie).unwrap();
            assert_ne!(one.cgroup, 0);
        }
    }
}
