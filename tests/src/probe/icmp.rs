//! ICMP and ICMPv6: an echo request and its reply.

use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use etherparse::{
    IcmpEchoHeader, Icmpv4Slice, Icmpv4Type, Icmpv6Slice, Icmpv6Type, Ipv4HeaderSlice, PacketBuilder,
};
use socket2::{Domain, Protocol, Socket, Type};

use super::Probe;

pub(super) fn exchange(probe: &Probe) -> io::Result<io::Result<()>> {
    let to = SocketAddr::new(probe.to, 0);
    let protocol = if to.is_ipv4() { Protocol::ICMPV4 } else { Protocol::ICMPV6 };
    let mut socket = probe.from.enter(|| Socket::new(Domain::for_address(to), Type::RAW, Some(protocol)))?;
    if let Some(source) = probe.source {
        socket.bind(&SocketAddr::new(source.ip(), 0).into())?;
    }
    let token = probe.token();
    // The token's first bytes, which no other attempt shares, name the request too.
    let echo = IcmpEchoHeader { id: u16::from_be_bytes([token[0], token[1]]), seq: 1 };
    let request = request(probe.to, echo, &token)?;
    let start = Instant::now();
    let mut attempt = || {
        // Not connected: an ICMP error from a router on the way should be read past, not end the attempt.
        socket.send_to(&request, &to.into())?;
        let mut buffer = vec![0; token.len() + 128];
        loop {
            let left = probe.timeout.checked_sub(start.elapsed()).filter(|left| !left.is_zero());
            socket.set_read_timeout(Some(left.ok_or(io::ErrorKind::TimedOut)?))?;
            let count = socket.read(&mut buffer)?;
            if is_reply(probe.to, &buffer[..count], echo, &token) {
                return Ok(());
            }
        }
    };
    Ok(attempt())
}

/// The ICMP message alone: the kernel puts the IP header before it, and for IPv6 the checksum into it.
fn request(to: IpAddr, echo: IcmpEchoHeader, token: &[u8]) -> io::Result<Vec<u8>> {
    let mut packet = Vec::new();
    let header = match to {
        IpAddr::V4(_) => {
            let builder = PacketBuilder::ipv4([0; 4], [0; 4], 64).icmpv4_echo_request(echo.id, echo.seq);
            builder.write(&mut packet, token).map_err(io::Error::other)?;
            20
        }
        IpAddr::V6(_) => {
            let builder = PacketBuilder::ipv6([0; 16], [0; 16], 64).icmpv6_echo_request(echo.id, echo.seq);
            builder.write(&mut packet, token).map_err(io::Error::other)?;
            40
        }
    };
    Ok(packet.split_off(header))
}

/// IPv4's raw sockets deliver the IP header, IPv6's don't.
fn is_reply(from: IpAddr, packet: &[u8], echo: IcmpEchoHeader, token: &[u8]) -> bool {
    match from {
        IpAddr::V4(from) => {
            let Ok(header) = Ipv4HeaderSlice::from_slice(packet) else { return false };
            let Ok(message) = Icmpv4Slice::from_slice(&packet[header.slice().len()..]) else { return false };
            header.source_addr() == from
                && message.icmp_type() == Icmpv4Type::EchoReply(echo)
                && message.payload() == token
        }
        IpAddr::V6(_) => {
            let Ok(message) = Icmpv6Slice::from_slice(packet) else { return false };
            message.icmp_type() == Icmpv6Type::EchoReply(echo) && message.payload() == token
        }
    }
}
