//! Valid packets, header by header.

use crate::input::Input;
use enforcer_common::Reason;
use etherparse::checksum::Sum16BitWords;

const HOP_BY_HOP: u8 = 0;
const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const ICMPV6: u8 = 58;
const DESTINATION: u8 = 60;
/// ESP, no next header, GRE, SCTP, one for experiments.
const OTHERS: [u8; 5] = [50, 59, 47, 132, 253];
/// Flags that connections send, and some that none does.
const FLAGS: [u8; 10] = [0x02, 0x12, 0x10, 0x18, 0x11, 0x04, 0x14, 0x00, 0x03, 0x29];
const EXTENSION_HEADERS: usize = 8;

/// A packet, and why ours may refuse it although it is valid.
pub(super) struct Built {
    pub(super) frame: Vec<u8>,
    pub(super) refused: Vec<Reason>,
}

/// Which part of a datagram, in units of 8 bytes.
#[derive(Clone, Copy)]
struct Part {
    offset: u16,
    more: bool,
}

pub(super) fn packet(input: &mut Input<'_>) -> Built {
    let mut built = Built { frame: input.array::<12>().to_vec(), refused: Vec::new() };
    let shape = input.u8();
    if shape & 1 != 0 {
        // A priority tag: VLAN 0, any priority.
        built.frame.extend([0x81, 0, input.u8() & 0xf0, 0]);
    }
    let part = (shape & 2 != 0).then(|| {
        let (offset, more) = (input.pick(&[0u16, 0, 1, 2, 3, 16, 1024]), input.u8() & 1 != 0);
        Part { offset, more: more || offset == 0 }
    });
    if shape & 4 == 0 {
        ipv4(input, &mut built, part)
    } else {
        ipv6(input, &mut built, part)
    }
    if shape & 8 != 0 {
        // Padding, as Ethernet adds it to short frames.
        built.frame.resize(built.frame.len() + usize::from(input.u8() & 31), 0);
    }
    built
}

fn ipv4(input: &mut Input<'_>, built: &mut Built, part: Option<Part>) {
    built.frame.extend([8, 0]);
    let at = built.frame.len();
    let options = options(input, built);
    let protocol = input.pick(&[TCP, UDP, ICMP, ICMPV6, 0xff]);
    let (protocol, payload) = payload(input, built, protocol, ICMP, part);
    let words = 5 + options.len() as u8 / 4;
    let total = usize::from(words) * 4 + payload.len();
    built.frame.extend([0x40 | words, input.u8()]);
    built.frame.extend((total as u16).to_be_bytes());
    built.frame.extend(input.array::<2>());
    let field = match part {
        None => u16::from(input.u8() & 1) << 14,
        Some(part) => part.offset | u16::from(part.more) << 13,
    };
    built.frame.extend(field.to_be_bytes());
    built.frame.extend([input.u8(), protocol]);
    built.frame.extend(input.array::<10>());
    built.frame.extend(options);
    built.frame[at + 10..at + 12].fill(0);
    let sum = Sum16BitWords::new().add_slice(&built.frame[at..]).ones_complement();
    built.frame[at + 10..at + 12].copy_from_slice(&sum.to_ne_bytes());
    built.frame.extend(payload);
    debug_assert_eq!(built.frame.len() - at, total);
    if part.is_some_and(|part| part.offset == 1) {
        built.refused.push(Reason::FragmentTiny);
    }
}

/// Up to 40 bytes of options, padded to words.
fn options(input: &mut Input<'_>, built: &mut Built) -> Vec<u8> {
    let mut options = Vec::new();
    let mut looked = 0;
    for _ in 0..input.u8() % 20 {
        let kind = input.pick(&[1, 1, 1, 68, 148, 130, 7, 131, 137]);
        let body =
            if kind == 1 { Vec::new() } else { input.take(usize::from(input.0.len() as u8 & 7)).to_vec() };
        let len = if kind == 1 { 1 } else { 2 + body.len() };
        if options.len() + len > 40 {
            break;
        }
        options.push(kind);
        if kind != 1 {
            options.push(len as u8);
            options.extend(body);
        }
        looked += 1;
        if matches!(kind, 7 | 131 | 137) || looked == 17 {
            built.refused.push(Reason::IpOption);
        }
    }
    // What fills up is the end of the list, which is looked at like an option.
    if looked == 16 && options.len() % 4 != 0 {
        built.refused.push(Reason::IpOption);
    }
    options.resize(options.len().next_multiple_of(4), 0);
    options
}

fn ipv6(input: &mut Input<'_>, built: &mut Built, part: Option<Part>) {
    built.frame.extend([0x86, 0xdd]);
    let protocol = input.pick(&[TCP, UDP, ICMPV6, ICMP, 0xff]);
    let (protocol, payload) = payload(input, built, protocol, ICMPV6, part);
    let (first, chain) = chain(input, built, protocol, part);
    let length = chain.len() + payload.len();
    built.frame.extend([0x60 | input.u8() & 0xf, input.u8(), input.u8(), input.u8()]);
    built.frame.extend((length as u16).to_be_bytes());
    built.frame.extend([first, input.u8()]);
    built.frame.extend(input.array::<32>());
    built.frame.extend(chain);
    built.frame.extend(payload);
}

/// Extension headers before `protocol`, and which is the first. The fragment header goes anywhere but before hop-by-hop options.
fn chain(input: &mut Input<'_>, built: &mut Built, protocol: u8, part: Option<Part>) -> (u8, Vec<u8>) {
    let mut kinds: Vec<u8> = Vec::new();
    for index in 0..input.u8() % 10 {
        let kind = input.pick(&[DESTINATION, AUTHENTICATION, DESTINATION, HOP_BY_HOP, ROUTING]);
        // Hop-by-hop options come first or not at all.
        kinds.push(if kind == HOP_BY_HOP && index != 0 { DESTINATION } else { kind });
    }
    // A chain may have a fragment header that says the datagram is whole.
    let atomic = part.is_none() && input.u8() & 7 == 1;
    if part.is_some() || atomic {
        let least = usize::from(kinds.first() == Some(&HOP_BY_HOP));
        let mut at = least + usize::from(input.u8()) % (kinds.len() + 1 - least);
        if part.is_some_and(|part| part.offset != 0) {
            // Of what follows in the datagram, a later part has bytes but no headers.
            kinds.truncate(at);
            at = kinds.len();
        }
        kinds.insert(at, FRAGMENT);
    }
    if kinds.len() > EXTENSION_HEADERS {
        built.refused.push(Reason::ExtensionHeaders);
    }
    if kinds.contains(&ROUTING) {
        built.refused.push(Reason::RoutingHeader);
    }
    let mut chain = Vec::new();
    for (index, kind) in kinds.iter().enumerate() {
        let next = kinds.get(index + 1).copied().unwrap_or(protocol);
        chain.extend(extension(input, *kind, next, part));
    }
    (kinds.first().copied().unwrap_or(protocol), chain)
}

fn extension(input: &mut Input<'_>, kind: u8, next: u8, part: Option<Part>) -> Vec<u8> {
    let units = input.u8() & 3;
    let mut header = match kind {
        FRAGMENT => {
            let field = part.map_or(0, |part| part.offset << 3 | u16::from(part.more));
            let [high, low] = field.to_be_bytes();
            vec![next, 0, high, low]
        }
        // In words less two, and whole units of 8 bytes on IPv6.
        AUTHENTICATION => vec![next, 2 + units * 2, 0, 0],
        _ => vec![next, units],
    };
    let len = match kind {
        FRAGMENT => 8,
        AUTHENTICATION => (usize::from(units) * 2 + 4) * 4,
        _ => (usize::from(units) + 1) * 8,
    };
    while header.len() < len {
        header.push(input.u8());
    }
    header
}

/// Transport header and data; of a later part, data alone. Parts have a length that their place allows.
fn payload(
    input: &mut Input<'_>,
    built: &mut Built,
    protocol: u8,
    family_icmp: u8,
    part: Option<Part>,
) -> (u8, Vec<u8>) {
    let protocol = if protocol == 0xff { input.pick(&OTHERS) } else { protocol };
    let mut bytes = Vec::new();
    let data = usize::from(input.u8());
    if part.is_none_or(|part| part.offset == 0) {
        match protocol {
            TCP => tcp(input, built, &mut bytes),
            UDP => {
                bytes.extend(input.array::<4>());
                bytes.extend((8 + data as u16).to_be_bytes());
                bytes.extend(input.array::<2>());
            }
            132 => bytes.extend(input.array::<12>()),
            icmp if icmp == family_icmp => bytes.extend(input.array::<8>()),
            // Of the other family.
            ICMP | ICMPV6 => built.refused.push(Reason::Malformed),
            _ => {}
        }
    }
    let data = input.take(data).iter().copied().chain(std::iter::repeat(0)).take(data);
    bytes.extend(data);
    if let Some(part) = part {
        // Whole units, but for the last part; and at least something.
        let room = if part.more { bytes.len().next_multiple_of(8).max(8) } else { bytes.len().max(1) };
        bytes.resize(room, 0);
    }
    (protocol, bytes)
}

fn tcp(input: &mut Input<'_>, built: &mut Built, bytes: &mut Vec<u8>) {
    let words = 5 + input.u8() % 11;
    bytes.extend(input.array::<12>());
    let flags = input.pick(&FLAGS);
    bytes.extend([words << 4 | input.u8() & 0xf, flags]);
    bytes.extend(input.array::<6>());
    // Options without an operation.
    bytes.resize(usize::from(words) * 4, 1);
    if matches!(flags, 0x00 | 0x03 | 0x29) {
        built.refused.push(Reason::TcpFlags);
    }
}
