//! UDP: a request and its reply.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Instant;

use super::Probe;

pub(super) fn exchange(probe: &Probe, to: SocketAddr) -> io::Result<io::Result<()>> {
    let any = match to {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    let socket = probe.from.enter(|| UdpSocket::bind(probe.source.unwrap_or(any)))?;
    socket.connect(to)?;
    let start = Instant::now();
    let token = probe.token();
    let attempt = || {
        socket.send(&token)?;
        let mut reply = vec![0; token.len() + 1];
        loop {
            let left = probe.timeout.checked_sub(start.elapsed()).filter(|left| !left.is_zero());
            socket.set_read_timeout(Some(left.ok_or(io::ErrorKind::TimedOut)?))?;
            let count = socket.recv(&mut reply)?;
            if reply[..count] == token[..] {
                return Ok(());
            }
        }
    };
    Ok(attempt())
}
