//! The Ethernet header and the one VLAN tag that is let through.

use crate::Reason;
use crate::packet::Packet;

pub(crate) mod ethertype {
    pub(crate) const IPV4: u16 = 0x0800;
    pub(crate) const ARP: u16 = 0x0806;
    pub(crate) const VLAN: u16 = 0x8100;
    pub(crate) const IPV6: u16 = 0x86dd;
}

#[derive(Clone, Copy)]
pub(crate) struct Link {
    pub(crate) ethertype: u16,
    /// Offset of the network header.
    pub(crate) network: u32,
    /// Source hardware address, as it stands in memory; zero where the device has none.
    pub(crate) source: [u16; 3],
    /// Not zero where the frame is for a group of receivers or for everybody.
    pub(crate) group: u16,
}

impl Link {
    /// Before the header is read.
    pub(crate) const NONE: Self = Self { ethertype: 0, network: 0, source: [0; 3], group: 0 };
}

/// Six octets of a hardware address as [`Link::source`] holds them.
#[inline(always)]
pub(crate) const fn hardware(octets: [u8; 6]) -> [u16; 3] {
    [
        u16::from_ne_bytes([octets[0], octets[1]]),
        u16::from_ne_bytes([octets[2], octets[3]]),
        u16::from_ne_bytes([octets[4], octets[5]]),
    ]
}

/// A priority tag (VLAN 0) is read as if it weren't there, once; every other tag is denied (IEEE 802.1Q, 9.6).
#[inline(always)]
pub(crate) fn link<P: Packet>(packet: &P, no_header: bool) -> Result<Link, Reason> {
    let tag = packet.vlan();
    if let Some(tag) = tag
        && (tag.control & 0x0fff != 0 || tag.ethertype != ethertype::VLAN)
    {
        return Err(Reason::Vlan);
    }
    if no_header || P::NETWORK == 0 {
        // Two bytes: that there is one, the verifier doesn't gather from how compilers ask for it.
        let first: Option<u16> = if P::NETWORK == 0 { packet.fixed(0) } else { packet.at(0) };
        let first = first.ok_or(Reason::Short)?;
        let ethertype = match u16::from_be(first) >> 12 {
            4 => ethertype::IPV4,
            6 => ethertype::IPV6,
            _ => return Err(Reason::Ethertype),
        };
        return Ok(Link { ethertype, network: 0, source: [0; 3], group: 0 });
    }
    let header: [u16; 7] = packet.fixed(0).ok_or(Reason::Short)?;
    let source = [header[3], header[4], header[5]];
    let group = header[0] & u16::from_ne_bytes([1, 0]);
    let outer = u16::from_be(header[6]);
    if outer != ethertype::VLAN {
        return Ok(Link { ethertype: outer, network: 14, source, group });
    }
    let inner: [u16; 2] = packet.fixed(14).ok_or(Reason::Short)?;
    let (control, ethertype) = (u16::from_be(inner[0]), u16::from_be(inner[1]));
    if control & 0x0fff != 0 || tag.is_some() || is_tag(ethertype) {
        return Err(Reason::Vlan);
    }
    Ok(Link { ethertype, network: 18, source, group })
}

/// Whether an ethertype announces another tag: 802.1Q, 802.1ad, and the old stacking numbers.
#[inline(always)]
pub(crate) const fn is_tag(ethertype: u16) -> bool {
    matches!(ethertype, ethertype::VLAN | 0x88a8 | 0x9100 | 0x9200 | 0x9300)
}
