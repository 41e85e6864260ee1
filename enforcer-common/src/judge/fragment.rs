//! Datagrams in parts: the first part is judged, the rest follow it in order or not at all.

use super::flow::known;
use super::{Context, Sight, Step, quota};
use crate::Reason;
use crate::flow::{FragmentEntry, FragmentKey, ticks};
use crate::packet::Packet;
use crate::tables::{Clock, FamilyTables, Tables};

/// `next` of a datagram that was found to overlap itself.
const POISONED: u32 = u32::MAX;

#[inline(always)]
fn datagram<const N: usize>(context: &Context, sight: &Sight<N>) -> FragmentKey<N> {
    let (net, key) = (&sight.net, &sight.key);
    let direction = context.hook.direction;
    FragmentKey {
        subject: context.hook.subject | (direction as u32) << 31,
        id: net.fragment.id,
        source: *key.source(direction),
        destination: *key.destination(direction),
        protocol: net.fragment.protocol as u32,
    }
}

/// Remembers a first part that passes.
#[inline(never)]
pub(super) fn first<const N: usize, T: Tables + FamilyTables<N>>(
    context: &Context,
    sight: &Sight<N>,
    tables: &mut T,
) -> Result<(), Reason> {
    if !sight.ruling.outcome.passes {
        return Ok(());
    }
    let datagram = datagram(context, sight);
    let now = ticks(tables.clock().coarse());
    // A second first part would choose the ports anew for what follows.
    if let Some(entry) = tables.fragment(&datagram)
        && now.wrapping_sub(entry.seen) <= FragmentEntry::LIMIT
    {
        entry.next = POISONED;
        return Err(Reason::FragmentOverlap);
    }
    quota::begin_datagram(context, now, tables)?;
    let (source_port, destination_port) = sight.key.ports(context.hook.direction);
    let entry = FragmentEntry { seen: now, next: sight.net.fragment.len, source_port, destination_port };
    if tables.insert_fragment(&datagram, &entry) { Ok(()) } else { Err(Reason::FragmentFull) }
}

/// Judges a part that isn't the first.
#[inline(never)]
pub(super) fn later<const N: usize, P: Packet, T: Tables + FamilyTables<N>>(
    packet: &P,
    context: &Context,
    sight: &mut Sight<N>,
    tables: &mut T,
) -> Result<Step, Reason> {
    if sight.net.end > packet.len() {
        return Err(Reason::Malformed);
    }
    let now = ticks(tables.clock().coarse());
    let offset = sight.net.fragment.offset;
    let datagram = datagram(context, sight);
    let entry = tables.fragment(&datagram).ok_or(Reason::FragmentUnknown)?;
    if now.wrapping_sub(entry.seen) > FragmentEntry::LIMIT {
        return Err(Reason::FragmentUnknown);
    }
    if offset < entry.next {
        entry.next = POISONED;
        return Err(Reason::FragmentOverlap);
    }
    if offset > entry.next {
        return Err(Reason::FragmentOrder);
    }
    entry.next = offset + sight.net.fragment.len;
    let (source_port, destination_port) = (entry.source_port, entry.destination_port);
    if !sight.net.fragment.more {
        // Whole: its identification may be used again.
        tables.remove_fragment(&datagram);
        quota::end_datagram(context, now, tables);
    }
    sight.key.set_ports(context.hook.direction, source_port, destination_port);
    // The flow the datagram belongs to knows whether it still passes.
    known(context, &sight.key, None, &mut sight.ask, &mut sight.ruling, tables).ok_or(Reason::FragmentUnknown)
}
