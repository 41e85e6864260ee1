//! What etherparse reads out of a frame, in our words.

use enforcer_common::dissect::{Dissected, Part};
use etherparse::{
    IpAuthHeaderSlice, IpNumber, Ipv4Slice, Ipv6FragmentHeaderSlice, Ipv6HeaderSlice, Ipv6RawExtHeaderSlice,
    NetSlice, SlicedPacket, TcpHeaderSlice, UdpHeaderSlice,
};
use std::fmt::Display;

type Error = String;

fn said(error: impl Display) -> Error {
    error.to_string()
}

pub(super) fn dissect(frame: &[u8]) -> Result<Dissected, Error> {
    // The link header with its tag; the rest is looked at slice by slice, because etherparse reads what follows a later part's header
    // as if it were one.
    let link = SlicedPacket::from_ethernet(frame);
    let network = match frame[12..14] {
        [0x81, 0] => 18,
        _ => 14,
    };
    match frame[network - 2..network] {
        [8, 0] => {
            if let Ok(SlicedPacket { net: Some(net), .. }) = &link {
                assert!(matches!(net, NetSlice::Ipv4(_)));
            }
            ipv4(frame, network)
        }
        _ => {
            if let Ok(SlicedPacket { net: Some(net), .. }) = &link {
                assert!(matches!(net, NetSlice::Ipv6(_)));
            }
            ipv6(frame, network)
        }
    }
}

fn ipv4(frame: &[u8], network: usize) -> Result<Dissected, Error> {
    let header = etherparse::Ipv4HeaderSlice::from_slice(&frame[network..]).map_err(said)?;
    let transport = network + header.slice().len();
    let end = network + usize::from(header.total_len());
    // Checks the lengths, and what follows an IPv4 authentication header, which we take for a transport header.
    if header.protocol() != IpNumber::AUTHENTICATION_HEADER {
        Ipv4Slice::from_slice(&frame[network..]).map_err(said)?;
    }
    let payload = frame.get(transport..end).ok_or("cut")?;
    let offset = u32::from(header.fragments_offset().value()) * 8;
    let part = header.is_fragmenting_payload().then(|| Part {
        id: header.identification().into(),
        offset,
        len: payload.len() as u32,
        more: header.more_fragments(),
    });
    let protocol = header.protocol().0;
    let (ports, flags) = ports(protocol, 1, payload, part)?;
    Ok(Dissected {
        source: header.source_addr().into(),
        destination: header.destination_addr().into(),
        protocol,
        hop_limit: header.ttl(),
        transport: transport as u32,
        end: end as u32,
        part,
        ports,
        flags,
    })
}

fn ipv6(frame: &[u8], network: usize) -> Result<Dissected, Error> {
    let header = Ipv6HeaderSlice::from_slice(&frame[network..]).map_err(said)?;
    let end = network + 40 + usize::from(header.payload_length());
    let whole = frame.get(network + 40..end).ok_or("cut")?;
    let mut rest = whole;
    let mut next = header.next_header();
    let mut part = None;
    loop {
        let len = match next {
            IpNumber::IPV6_HEADER_HOP_BY_HOP if rest.len() != whole.len() => {
                return Err("not first".to_owned());
            }
            IpNumber::IPV6_HEADER_HOP_BY_HOP
            | IpNumber::IPV6_DESTINATION_OPTIONS
            | IpNumber::IPV6_ROUTE_HEADER => {
                let slice = Ipv6RawExtHeaderSlice::from_slice(rest).map_err(said)?;
                next = slice.next_header();
                slice.slice().len()
            }
            IpNumber::AUTHENTICATION_HEADER => {
                let slice = IpAuthHeaderSlice::from_slice(rest).map_err(said)?;
                next = slice.next_header();
                slice.slice().len()
            }
            IpNumber::IPV6_FRAGMENTATION_HEADER => {
                let slice = Ipv6FragmentHeaderSlice::from_slice(rest).map_err(said)?;
                next = slice.next_header();
                if slice.is_fragmenting_payload() {
                    part = Some(Part {
                        id: slice.identification(),
                        offset: u32::from(slice.fragment_offset().value()) * 8,
                        len: rest.len() as u32 - 8,
                        more: slice.more_fragments(),
                    });
                }
                8
            }
            _ => break,
        };
        rest = &rest[len..];
        if part.is_some_and(|part| part.offset != 0) {
            break;
        }
    }
    let (ports, flags) = ports(next.0, 58, rest, part)?;
    Ok(Dissected {
        source: header.source_addr().into(),
        destination: header.destination_addr().into(),
        protocol: next.0,
        hop_limit: header.hop_limit(),
        transport: (end - rest.len()) as u32,
        end: end as u32,
        part,
        ports,
        flags,
    })
}

type Ports = (Option<(u16, u16)>, u8);

fn ports(protocol: u8, family_icmp: u8, payload: &[u8], part: Option<Part>) -> Result<Ports, Error> {
    if part.is_some_and(|part| part.offset != 0) {
        return Ok((None, 0));
    }
    let mut flags = 0;
    let ports = match protocol {
        6 => {
            let tcp = TcpHeaderSlice::from_slice(payload).map_err(said)?;
            let set = [tcp.fin(), tcp.syn(), tcp.rst(), tcp.psh(), tcp.ack(), tcp.urg()];
            flags = set.iter().enumerate().fold(0, |flags, (bit, set)| flags | u8::from(*set) << bit);
            (tcp.source_port(), tcp.destination_port())
        }
        17 => {
            let udp = UdpHeaderSlice::from_slice(payload).map_err(said)?;
            let whole = part.is_none() && usize::from(udp.length()) > payload.len();
            if whole || udp.length() < 8 {
                return Err("the length is wrong".to_owned());
            }
            (udp.source_port(), udp.destination_port())
        }
        132 => {
            let header: &[u8; 12] = payload.first_chunk().ok_or("cut")?;
            (u16::from_be_bytes([header[0], header[1]]), u16::from_be_bytes([header[2], header[3]]))
        }
        icmp if icmp == family_icmp => message(icmp, payload)?,
        _ => (0, 0),
    };
    Ok((Some(ports), flags))
}

/// A query goes from its identifier to its type and code, its answer the other way with the query's type; anything else has its own.
fn message(protocol: u8, payload: &[u8]) -> Result<(u16, u16), Error> {
    let [kind, code, _, _, high, low, ..] = *payload.first_chunk::<8>().ok_or("cut")?;
    let id = u16::from_be_bytes([high, low]);
    let known: &[(u8, u8)] =
        if protocol == 1 { &[(8, 0), (13, 14), (15, 16), (17, 18)] } else { &[(128, 129)] };
    Ok(match known.iter().find(|(query, answer)| kind == *query || kind == *answer) {
        Some((query, _)) if kind == *query => (id, u16::from_be_bytes([kind, code])),
        Some((query, _)) => (u16::from_be_bytes([*query, code]), id),
        None => (0, u16::from_be_bytes([kind, code])),
    })
}
