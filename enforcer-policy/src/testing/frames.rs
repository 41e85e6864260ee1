//! The reference's packets as bytes.

use crate::memory::frame::{icmp, ip, ports, tcp};
use crate::reference::{Packet, Payload, Quoted, TcpFlags};
use std::net::IpAddr;

/// A packet as an Ethernet frame.
#[must_use]
pub fn frame(packet: &Packet) -> Vec<u8> {
    datagram(packet.source, packet.destination, &packet.payload)
}

fn datagram(source: IpAddr, destination: IpAddr, payload: &Payload) -> Vec<u8> {
    let (protocol, bytes) = match payload {
        Payload::Tcp { sport, dport, flags } => (6, tcp(*sport, *dport, bits(*flags))),
        Payload::Ports { protocol, sport, dport } => (*protocol, ports(*protocol, *sport, *dport)),
        Payload::Icmp { kind, code, id, quoted } => {
            let body = quoted.as_ref().map(quotation).unwrap_or_default();
            (if source.is_ipv4() { 1 } else { 58 }, icmp(*kind, *code, *id, &body))
        }
        Payload::Other(protocol) => (*protocol, vec![0; 8]),
    };
    ip(source, destination, protocol, &bytes).expect("packets have one family")
}

fn quotation(quoted: &Quoted) -> Vec<u8> {
    // What follows the Ethernet header.
    datagram(quoted.source, quoted.destination, &quoted.payload).split_off(14)
}

fn bits(flags: TcpFlags) -> u8 {
    let TcpFlags { fin, syn, rst, ack } = flags;
    u8::from(fin) | u8::from(syn) << 1 | u8::from(rst) << 2 | u8::from(ack) << 4
}
