//! TCP and SCTP: a connection and an echo on it.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};

use super::Probe;

/// The outer result: whether it could be tried. The inner one: what came of it.
pub(super) fn exchange(probe: &Probe, to: SocketAddr, protocol: Protocol) -> io::Result<io::Result<()>> {
    let socket = probe.from.enter(|| Socket::new(Domain::for_address(to), Type::STREAM, Some(protocol)))?;
    if let Some(source) = probe.source {
        socket.set_reuse_address(true)?;
        socket.bind(&source.into())?;
    }
    let start = Instant::now();
    let token = probe.token();
    Ok(socket.connect_timeout(&to.into(), probe.timeout).and_then(|()| {
        let mut stream = TcpStream::from(socket);
        stream.set_nonblocking(false)?;
        let left = probe.timeout.saturating_sub(start.elapsed()).max(Duration::from_millis(1));
        stream.set_read_timeout(Some(left))?;
        stream.set_write_timeout(Some(left))?;
        stream.write_all(&token)?;
        let mut echo = vec![0; token.len()];
        stream.read_exact(&mut echo)?;
        same(&token, &echo)
    }))
}

fn same(sent: &[u8], received: &[u8]) -> io::Result<()> {
    if sent == received {
        Ok(())
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidData, "not what was sent"))
    }
}
