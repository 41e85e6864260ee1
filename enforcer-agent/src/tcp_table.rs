//! The kernel's tables of TCP sockets as `/proc/net/tcp` and `/proc/net/tcp6` show them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

pub(crate) const ESTABLISHED: &str = "01";
pub(crate) const LISTENS: &str = "0A";

/// A line of a table of sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Line<'a> {
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
    pub(crate) state: &'a str,
    pub(crate) inode: u64,
}

/// A line of `/proc/net/tcp` or `/proc/net/tcp6`.
pub(crate) fn line(text: &str) -> Option<Line<'_>> {
    let mut words = text.split_ascii_whitespace().skip(1);
    let (local, remote, state) = (words.next()?, words.next()?, words.next()?);
    let inode = words.nth(5)?.parse().ok()?;
    Some(Line { local: end(local)?, remote: end(remote)?, state, inode })
}

/// `0100007F:0016`: the address as this machine's words, the port as a number.
fn end(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| Some(u32::from_str_radix(address.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    let ip: IpAddr = match address.len() {
        8 => Ipv4Addr::from(word(0)?).into(),
        32 => {
            let words = [word(0)?, word(8)?, word(16)?, word(24)?];
            let octets: [u8; 16] = words.concat().try_into().ok()?;
            // A socket of both families names IPv4 addresses in its own way.
            Ipv6Addr::from(octets).to_canonical()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_end_is_none() {
        assert_eq!(end("zz:1"), None);
        assert_eq!(end("0A:1"), None);
    }
}
