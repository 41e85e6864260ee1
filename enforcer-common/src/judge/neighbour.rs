//! IPv6 neighbour discovery (RFC 4861): the same rule as ARP, and no routers among workloads (RFC 6105).

use super::decide::owns;
use super::{Context, Sight};
use crate::Reason;
use crate::address::{Address, is_link_local};
use crate::maps::Direction;
use crate::packet::Packet;
use crate::parse::hardware;
use crate::tables::{FamilyTables, Tables};

const ROUTER_SOLICITATION: u8 = 133;
const ROUTER_ADVERTISEMENT: u8 = 134;
const NEIGHBOUR_SOLICITATION: u8 = 135;
const SOURCE_HARDWARE: u8 = 1;
const TARGET_HARDWARE: u8 = 2;
/// Options looked through. Linux sends two at most: its hardware address and a nonce.
const OPTIONS: u32 = 4;

/// What a socket of this machine sends or receives of it: the machine's kernel asks and answers for the machine, and nobody else has to.
#[inline(always)]
pub(super) fn hosted<T: Tables>(context: &Context) -> Result<(), Reason> {
    if context.hook.direction == Direction::Egress && !context.is_host::<T>() {
        return Err(Reason::NeighbourSpoof);
    }
    Ok(())
}

/// Judges messages 133 to 136. Their code is 0 and their hop limit 255, so they come from this link (RFC 4861, 7.1).
#[inline(never)]
pub(super) fn neighbour<const N: usize, P: Packet, T: Tables + FamilyTables<N>>(
    packet: &P,
    context: &Context,
    sight: &Sight<N>,
    tables: &T,
) -> Result<(), Reason> {
    let (net, key) = (&sight.net, &sight.key);
    let source = key.source(context.hook.direction);
    let header: [u8; 8] = packet.at(net.transport).ok_or(Reason::Short)?;
    if header[1] != 0 || net.hop_limit != 255 || net.fragment.more {
        return Err(Reason::Malformed);
    }
    let solicitation = header[0] == NEIGHBOUR_SOLICITATION;
    match (context.hook.direction, header[0]) {
        (Direction::Egress, ROUTER_ADVERTISEMENT) => return Err(Reason::RouterAdvertisement),
        (Direction::Ingress, ROUTER_ADVERTISEMENT) if !is_link_local(source) => {
            return Err(Reason::NeighbourSpoof);
        }
        (Direction::Ingress, _) => {}
        (Direction::Egress, message) => {
            let unspecified = *source == [0; N];
            let mine = |address: &Address<N>| claims(context, address, tables);
            let honest = if message == ROUTER_SOLICITATION {
                unspecified || mine(source)
            } else {
                if net.end < net.transport + 24 {
                    return Err(Reason::Malformed);
                }
                let target: [u32; 4] = packet.at(net.transport + 8).ok_or(Reason::Short)?;
                let mut claimed: Address<N> = [0; N];
                let mut i = 0;
                while i < N {
                    claimed[i] = target[i % 4];
                    i += 1;
                }
                match (solicitation, unspecified) {
                    // Asking for anybody, from an own address.
                    (true, false) => mine(source),
                    // Duplicate address detection: asking whether an own address is taken (RFC 4862, 5.4).
                    (true, true) => mine(&claimed),
                    (false, _) => mine(source) && mine(&claimed),
                }
            };
            if !honest {
                return Err(Reason::NeighbourSpoof);
            }
            let fixed = if message == ROUTER_SOLICITATION { 8 } else { 24 };
            options(packet, context, net.transport + fixed, net.end)?;
        }
    }
    Ok(())
}

/// Holds that every hardware address among the options is the frame's own: what a neighbour is told to send to. Options that don't add up are
/// denied, because receivers discard them (RFC 4861, 4.6).
#[inline(always)]
fn options<P: Packet>(packet: &P, context: &Context, start: u32, end: u32) -> Result<(), Reason> {
    let mut at = start;
    for _ in 0..OPTIONS {
        if at >= end {
            return Ok(());
        }
        if at + 8 > end {
            return Err(Reason::Malformed);
        }
        let [kind, units, rest @ ..]: [u8; 8] = packet.at(at).ok_or(Reason::Short)?;
        let len = units as u32 * 8;
        if len == 0 || at + len > end {
            return Err(Reason::Malformed);
        }
        if matches!(kind, SOURCE_HARDWARE | TARGET_HARDWARE)
            && (len != 8 || hardware(rest) != context.link.source)
        {
            return Err(Reason::NeighbourSpoof);
        }
        at += len;
    }
    if at == end { Ok(()) } else { Err(Reason::Malformed) }
}

/// Whether the subject may claim `address`: one of its own, or the link-local address its hardware address makes (RFC 4291, appendix A).
/// Link-local addresses made otherwise have to be among the workload's `addresses`.
#[inline(always)]
fn claims<const N: usize, T: Tables + FamilyTables<N>>(
    context: &Context,
    address: &Address<N>,
    tables: &T,
) -> bool {
    let [a, b, c] = context.link.source.map(u16::to_ne_bytes);
    let m = [a[0], a[1], b[0], b[1], c[0], c[1]];
    let made = [
        u32::from_ne_bytes([0xfe, 0x80, 0, 0]),
        0,
        u32::from_ne_bytes([m[0] ^ 2, m[1], m[2], 0xff]),
        u32::from_ne_bytes([0xfe, m[3], m[4], m[5]]),
    ];
    let mut same = true;
    let mut i = 0;
    while i < N {
        same &= address[i] == made[i % 4];
        i += 1;
    }
    same || *address != [0; N] && owns(context, address, tables)
}
