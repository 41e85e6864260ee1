//! Paths of the machine itself that stay open, whatever the rules say.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use enforcer_common::Reason;
use enforcer_common::Word;
use enforcer_common::address;
use enforcer_common::address::Address;
use enforcer_common::flow::FlowKey;
use enforcer_common::maps::{Direction, Failsafe};
use enforcer_common::tables::FamilyTables;
use ipnet::IpNet;

use super::ends::{End, Place, Who};
use super::{Cause, Explainer, Verdict};
use crate::memory::MemoryTables;

impl<'a> Explainer<'a> {
    /// Answers with these paths of the machine itself open.
    pub fn keep_open(&mut self, blocks: &[(IpNet, Failsafe)]) {
        self.tables.keep_open(blocks);
    }

    /// What the machine's own hook says before it asks any rule: that the flow passes, or nothing.
    pub(super) fn failsafe(
        &self,
        way: Direction,
        from: &End<'a>,
        to: &End<'a>,
        protocol: u8,
        port: u16,
    ) -> Option<Verdict<'a>> {
        let (own, other) = if way == Direction::Egress { (from, to) } else { (to, from) };
        if own.who != Who::Host || other.who == Who::Host {
            return None;
        }
        let other = match other.place {
            Place::At(address) => address,
            // As far as a whole family is concerned.
            Place::Anywhere(Some(false)) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            Place::Anywhere(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        };
        let open = match other {
            IpAddr::V4(other) => stays_open(&self.tables, address::v4(other.octets()), way, protocol, port),
            IpAddr::V6(other) => stays_open(&self.tables, address::v6(other.octets()), way, protocol, port),
        };
        let cause = Cause::Reason(Reason::Failsafe);
        open.then_some(Verdict { passes: true, word: Word::Allowed, cause })
    }
}

fn stays_open<const N: usize>(
    tables: &MemoryTables,
    remote: Address<N>,
    way: Direction,
    protocol: u8,
    port: u16,
) -> bool
where
    MemoryTables: FamilyTables<N>,
{
    let mut key = FlowKey::of(0);
    (key.remote, key.protocol) = (remote, protocol);
    match way {
        Direction::Egress => key.remote_port = port.to_be(),
        Direction::Ingress => key.local_port = port.to_be(),
    }
    FamilyTables::<N>::stays_open(tables, &key, 1 << way as u8)
}
