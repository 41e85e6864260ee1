//! ARP over Ethernet for IPv4 (RFC 826): a workload may ask for anybody and answer for itself.

use super::decide::owns;
use super::{Context, Ruling};
use crate::Reason;
use crate::address::{Address, v4};
use crate::maps::Direction;
use crate::packet::Packet;
use crate::parse::hardware;
use crate::tables::Tables;
use crate::verdict::Outcome;

#[inline(always)]
pub(super) fn arp<P: Packet, T: Tables>(packet: &P, context: &Context, tables: &T) -> Result<Ruling, Reason> {
    let link = &context.link;
    let message: [u8; 28] =
        if link.network == 14 { packet.fixed(14) } else { packet.at(link.network) }.ok_or(Reason::Short)?;
    let [h0, h1, p0, p1, hlen, plen, _, operation, rest @ ..] = message;
    let understood = [h0, h1] == [0, 1] && [p0, p1] == [8, 0] && hlen == 6 && plen == 4;
    if !understood || message[6] != 0 || !matches!(operation, 1 | 2) {
        return Err(Reason::Malformed);
    }
    if context.hook.direction == Direction::Egress {
        let claimed = hardware([rest[0], rest[1], rest[2], rest[3], rest[4], rest[5]]);
        let sender = v4([rest[6], rest[7], rest[8], rest[9]]);
        let target = v4([rest[16], rest[17], rest[18], rest[19]]);
        let mine = |address: &Address<1>| owns::<1, T>(context, address, tables);
        // An address probe has no sender yet and asks for the address it is about to take (RFC 5227).
        let probe = operation == 1 && sender == v4([0; 4]);
        let asserted = if probe { target } else { sender };
        let honest = asserted != v4([0; 4]) && mine(&asserted);
        if claimed != link.source || !honest {
            return Err(Reason::ArpSpoof);
        }
    }
    Ok(Ruling::quiet(Outcome::pass(Reason::Neighbour)))
}
