//! Frames as an attacker would make them: whole, in parts, and claiming what isn't so.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use enforcer_policy::memory::frame::{self, icmp};

/// Bytes of an Ethernet header.
pub const LINK: usize = 14;
/// Broadcast hardware address.
const EVERYBODY: [u8; 6] = [0xff; 6];

/// An IP packet in a frame. The addresses are written as text and are of one family.
#[must_use]
pub fn packet(source: &str, destination: &str, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let address = |text: &str| text.parse::<IpAddr>().unwrap_or_else(|_| panic!("`{text}` is no address"));
    frame::ip(address(source), address(destination), protocol, payload).expect("one family")
}

/// A TCP segment with these flags.
#[must_use]
pub fn tcp(source: &str, destination: &str, ports: (u16, u16), flags: u8) -> Vec<u8> {
    packet(source, destination, 6, &frame::tcp(ports.0, ports.1, flags))
}

/// A TCP header with options, which fill whole words.
#[must_use]
pub fn segment(ports: (u16, u16), flags: u8, options: &[u8]) -> Vec<u8> {
    let mut header = frame::tcp(ports.0, ports.1, flags);
    header[12] = (5 + (options.len() / 4) as u8) << 4;
    [header, options.to_vec()].concat()
}

/// Other bytes at a place, and the checksum of an IPv4 header that still fits made right.
#[must_use]
pub fn patched(mut frame: Vec<u8>, at: usize, bytes: &[u8]) -> Vec<u8> {
    frame[at..at + bytes.len()].copy_from_slice(bytes);
    if frame[12..14] == [8, 0] && frame.len() >= LINK + header(&frame).max(20) {
        rechecksum(&mut frame);
    }
    frame
}

/// A UDP datagram.
#[must_use]
pub fn udp(source: &str, destination: &str, ports: (u16, u16), data: &[u8]) -> Vec<u8> {
    packet(source, destination, 17, &datagram(ports, data))
}

/// A UDP header and its data.
#[must_use]
pub fn datagram(ports: (u16, u16), data: &[u8]) -> Vec<u8> {
    let mut bytes = [ports.0.to_be_bytes(), ports.1.to_be_bytes()].concat();
    bytes.extend((8 + data.len() as u16).to_be_bytes());
    bytes.extend([0, 0]);
    bytes.extend(data);
    bytes
}

/// An ICMP or ICMPv6 message, by the addresses' family.
#[must_use]
pub fn message(source: &str, destination: &str, kind: u8, code: u8, id: u16, body: &[u8]) -> Vec<u8> {
    let protocol = if source.contains(':') { 58 } else { 1 };
    packet(source, destination, protocol, &icmp(kind, code, id, body))
}

/// An ICMP error about a frame's packet.
#[must_use]
pub fn error(source: &str, destination: &str, (kind, code): (u8, u8), about: &[u8]) -> Vec<u8> {
    message(source, destination, kind, code, 0, &about[LINK..about.len().min(LINK + 64)])
}

/// An ARP message: 1 asks, 2 answers.
#[must_use]
pub fn arp(operation: u8, hardware: [u8; 6], sender: &str, target: &str) -> Vec<u8> {
    let address = |text: &str| text.parse::<Ipv4Addr>().expect("an IPv4 address").octets();
    let mut frame = [EVERYBODY, hardware].concat();
    frame.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, operation]);
    frame.extend(hardware);
    frame.extend(address(sender));
    frame.extend([0; 6]);
    frame.extend(address(target));
    frame
}

/// A neighbour discovery message (133 to 137) about `target`, without options.
#[must_use]
pub fn neighbour(kind: u8, source: &str, destination: &str, target: &str) -> Vec<u8> {
    neighbour_with(kind, source, destination, target, &[])
}

/// As [`neighbour`], with options.
#[must_use]
pub fn neighbour_with(kind: u8, source: &str, destination: &str, target: &str, options: &[u8]) -> Vec<u8> {
    let mut body = vec![kind, 0, 0, 0, 0x60, 0, 0, 0];
    // A router solicitation has no target.
    if kind != 133 {
        body.extend(target.parse::<Ipv6Addr>().expect("an IPv6 address").octets());
    }
    body.extend(options);
    let mut frame = packet(source, destination, 58, &body);
    frame[LINK + 7] = 255;
    frame
}

/// The link-local address that a hardware address makes.
#[must_use]
pub fn link_local(mac: [u8; 6]) -> String {
    let [a, b, c, d, e, f] = mac;
    let words = [[a ^ 2, b], [c, 0xff], [0xfe, d], [e, f]].map(u16::from_be_bytes);
    Ipv6Addr::new(0xfe80, 0, 0, 0, words[0], words[1], words[2], words[3]).to_string()
}

/// Puts a VLAN tag on a frame.
#[must_use]
pub fn tagged(mut frame: Vec<u8>, ethertype: u16, tag: u16) -> Vec<u8> {
    frame.splice(12..12, [ethertype.to_be_bytes(), tag.to_be_bytes()].concat());
    frame
}

/// Extension headers: their numbers, outermost first, with their bytes from the second on.
pub type Chain<'a> = Vec<(u8, &'a [u8])>;

/// Puts extension headers between an IPv6 header and what follows it: their numbers, outermost first, with their bytes from the second on.
#[must_use]
pub fn extended(mut frame: Vec<u8>, headers: &[(u8, &[u8])]) -> Vec<u8> {
    let mut next = frame[LINK + 6];
    for (number, rest) in headers.iter().rev() {
        let mut header = vec![next];
        header.extend(*rest);
        frame.splice(LINK + 40..LINK + 40, header);
        next = *number;
    }
    frame[LINK + 6] = next;
    let length = (frame.len() - LINK - 40) as u16;
    frame[LINK + 4..LINK + 6].copy_from_slice(&length.to_be_bytes());
    frame
}

/// Puts options into an IPv4 header.
#[must_use]
pub fn with_options(mut frame: Vec<u8>, options: &[u8]) -> Vec<u8> {
    let mut padded = options.to_vec();
    padded.resize(options.len().next_multiple_of(4), 0);
    frame[LINK] = 0x45 + (padded.len() / 4) as u8;
    frame.splice(LINK + 20..LINK + 20, padded);
    relength(&mut frame);
    frame
}

/// One part of an IPv4 or IPv6 datagram: the bytes `from..to` of what follows the IP header.
#[must_use]
pub fn part(frame: &[u8], id: u16, from: usize, to: usize) -> Vec<u8> {
    let more = LINK + header(frame) + to < frame.len();
    part_as(frame, id, from, to, (from / 8) as u16, more)
}

/// As [`part`], claiming another place (in units of eight bytes) and whether more follows.
#[must_use]
pub fn part_as(frame: &[u8], id: u16, from: usize, to: usize, offset: u16, more: bool) -> Vec<u8> {
    let start = LINK + header(frame);
    let mut part = frame[..start].to_vec();
    part.extend(&frame[start + from..start + to]);
    if frame[12] == 8 {
        part[LINK + 4..LINK + 6].copy_from_slice(&id.to_be_bytes());
        part[LINK + 6..LINK + 8].copy_from_slice(&(offset | u16::from(more) << 13).to_be_bytes());
        relength(&mut part);
        part
    } else {
        let [high, low] = (offset << 3 | u16::from(more)).to_be_bytes();
        let [id_high, id_low] = id.to_be_bytes();
        extended(part, &[(44, &[0, high, low, 0, 0, id_high, id_low])])
    }
}

fn header(frame: &[u8]) -> usize {
    if frame[12] == 8 { usize::from(frame[LINK] & 15) * 4 } else { 40 }
}

/// States the length and the checksum of an IPv4 header anew.
fn relength(frame: &mut [u8]) {
    let total = ((frame.len() - LINK) as u16).to_be_bytes();
    frame[LINK + 2..LINK + 4].copy_from_slice(&total);
    rechecksum(frame);
}

/// Computes the checksum of an IPv4 header anew.
pub fn rechecksum(frame: &mut [u8]) {
    let end = LINK + header(frame);
    frame[LINK + 10..LINK + 12].copy_from_slice(&[0, 0]);
    let mut sum: u32 =
        frame[LINK..end].chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    frame[LINK + 10..LINK + 12].copy_from_slice(&(!(sum as u16)).to_be_bytes());
}
