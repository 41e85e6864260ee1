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
    /// Source hardware address; zero where the device has none.
    pub(crate) source: [u8; 6],
}

impl Link {
    /// Before the header is read.
    pub(crate) const NONE: Self = Self { ethertype: 0, network: 0, source: [0; 6] };
}

/// A priority tag (VLAN 0) is read as if it weren't there, once; every other tag is denied (IEEE 802.1Q, 9.6).
#[inline(always)]
pub(crate) fn link<P: Packet>(packet: &P, no_header: bool) -> Result<Link, Reason> {
    let tag = packet.vlan();
    if let Some(control) = tag
        && control & 0x0fff != 0
    {
        return Err(Reason::Vlan);
    }
    if no_header {
        let first: u8 = packet.at(0).ok_or(Reason::Short)?;
        let ethertype = match first >> 4 {
            4 => ethertype::IPV4,
            6 => ethertype::IPV6,
            _ => return Err(Reason::Ethertype),
        };
        return Ok(Link { ethertype, network: 0, source: [0; 6] });
    }
    let header: [u8; 14] = packet.fixed(0).ok_or(Reason::Short)?;
    let source = [header[6], header[7], header[8], header[9], header[10], header[11]];
    let outer = u16::from_be_bytes([header[12], header[13]]);
    if outer != ethertype::VLAN {
        return Ok(Link { ethertype: outer, network: 14, source });
    }
    let inner: [u8; 4] = packet.fixed(14).ok_or(Reason::Short)?;
    let control = u16::from_be_bytes([inner[0], inner[1]]);
    let ethertype = u16::from_be_bytes([inner[2], inner[3]]);
    if control & 0x0fff != 0 || tag.is_some() || is_tag(ethertype) {
        return Err(Reason::Vlan);
    }
    Ok(Link { ethertype, network: 18, source })
}

/// Whether an ethertype announces another tag: 802.1Q, 802.1ad, and the old stacking numbers.
#[inline(always)]
pub(crate) const fn is_tag(ethertype: u16) -> bool {
    matches!(ethertype, ethertype::VLAN | 0x88a8 | 0x9100 | 0x9200 | 0x9300)
}
