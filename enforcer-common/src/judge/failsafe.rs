//! Paths of the machine itself that stay open whatever else is in force. Only at the machine's own hook: at a workload's they mean nothing.
//!
//! A flow is opened on such a path like one that a rule allows, before any rule is asked and whatever the machine has opened of late. Past that, TCP packets
//! of a connection that isn't tracked pass as well: it was open before anybody looked, or its entry had to make room.

use super::decide::below;
use super::{Context, Sight};
use crate::flow::FlowKey;
use crate::maps::{Direction, Failsafe};
use crate::tables::{FamilyTables, Tables};

/// Either direction in which a path may have been opened.
const EITHER: u8 = way(Direction::Egress) | way(Direction::Ingress);

const fn way(opened: Direction) -> u8 {
    1 << opened as u8
}

/// Whether such a path allows the flow that [`Sight::ask`] is about, or may have opened the one that an ICMP error quotes, which isn't tracked.
#[inline(always)]
pub(super) fn allows<const N: usize, T: Tables + FamilyTables<N>>(
    context: &Context,
    sight: &Sight<N>,
    tables: &T,
) -> bool {
    let (key, ways) = match sight.stray {
        true => (&sight.about, EITHER),
        false => (sight.target(), way(sight.ask.opened)),
    };
    context.is_host::<T>() && tables.stays_open(key, ways)
}

/// Whether a connection that isn't tracked may be on such a path, of a TCP packet that opens none.
#[inline(always)]
pub(super) fn carries<const N: usize, T: Tables + FamilyTables<N>>(
    context: &Context,
    key: &FlowKey<N>,
    tables: &T,
) -> bool {
    context.is_host::<T>() && tables.stays_open(key, EITHER)
}

/// Ports of a flow, in host order, and its IP protocol number.
#[derive(Clone, Copy)]
pub struct Ends {
    /// The machine's.
    pub local: u16,
    /// The other end's.
    pub remote: u16,
    /// As in [`FlowKey::protocol`].
    pub protocol: u8,
}

impl Ends {
    /// Those of a flow.
    #[inline(always)]
    pub const fn of<const N: usize>(key: &FlowKey<N>) -> Self {
        let (local, remote) = (u16::from_be(key.local_port), u16::from_be(key.remote_port));
        Self { local, remote, protocol: key.protocol }
    }
}

/// Whether a path that was opened in one of these ways is open to a flow, of what stays open to its other end. Arithmetic instead of branches: the
/// verifier walks one path and not two for each range.
#[inline(always)]
pub fn stays_open(paths: &Failsafe, ends: Ends, ways: u8) -> bool {
    let protocol = (ends.protocol as u64) << 16;
    let (local, remote) = (protocol | ends.local as u64, protocol | ends.remote as u64);
    let into = below(0, (ways & way(Direction::Ingress)) as u64);
    let out = below(0, (ways & way(Direction::Egress)) as u64);
    let mut found = 0;
    let mut i = 0;
    while i < Failsafe::RANGES {
        let range = &paths.ranges[i];
        let ingress = below(0, range.ingress as u64);
        let port = remote ^ (remote ^ local) & ingress;
        let asked = into & ingress | out & !ingress;
        found |= below(range.first as u64, port + 1) & below(port, range.last as u64 + 1) & asked;
        // Not unrolled: that would take stack.
        i = core::hint::black_box(i + 1);
    }
    found != 0
}
