//! A captured packet as the verdict function reads it: an Ethernet frame of the length it had on the wire.

use enforcer_common::packet::{Frame, Packet, Tag, Wire};
use enforcer_flows::{self as flows, Link, Network, network};
use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub(crate) const IPV4: u16 = 0x0800;
pub(crate) const ARP: u16 = 0x0806;
pub(crate) const IPV6: u16 = 0x86dd;

const ETHERNET: usize = 14;
/// Of both ends, where the capture has none: nobody's, and no group's.
const NOWHERE: [u8; 6] = [2, 0, 0, 0, 0, 0];
/// In place of the destination of what was sent to a group or everybody.
const EVERYBODY: [u8; 6] = [0xff; 6];

/// A frame in pieces: an Ethernet header that was made, if the capture has none of its own, then captured bytes.
pub(crate) struct Captured<'a> {
    head: [u8; ETHERNET],
    made: bool,
    body: &'a [u8],
    length: u32,
    /// Something was looked for that was on the wire and isn't in the capture.
    missed: Cell<bool>,
    /// What follows the Ethernet header and its tags.
    pub(crate) ethertype: u16,
    /// VLAN tags in front of it, also those that were taken off.
    pub(crate) tags: u32,
    /// Where the network header is in the frame.
    network: usize,
}

impl<'a> Captured<'a> {
    /// `None` where the link layer's header isn't there.
    pub(crate) fn new(packet: &flows::Packet<'a>, untag: bool) -> Option<Self> {
        let bytes = packet.bytes;
        let Network { ethertype, offset, grouped, .. } = network(packet)?;
        let made = packet.link != Link::Ethernet;
        let mut head = [0; ETHERNET];
        if made {
            head[..6].copy_from_slice(if grouped { &EVERYBODY } else { &NOWHERE });
            head[6..12].copy_from_slice(sender(packet).unwrap_or(&NOWHERE));
            head[12..].copy_from_slice(&ethertype.to_be_bytes());
        } else {
            head.copy_from_slice(bytes.get(..ETHERNET)?);
        }
        let skip = if made { offset } else { 0 };
        let whole = packet.length.max(bytes.len() as u32).saturating_sub(skip as u32);
        Self {
            head,
            made,
            body: bytes.get(skip..)?,
            length: if made { whole + ETHERNET as u32 } else { whole },
            missed: Cell::new(false),
            ethertype,
            tags: 0,
            network: ETHERNET,
        }
        .tagged(untag)
    }

    /// Finds what is behind VLAN tags, and takes them off where it should.
    fn tagged(mut self, untag: bool) -> Option<Self> {
        while matches!(self.ethertype, 0x8100 | 0x88a8 | 0x9100 | 0x9200 | 0x9300) && self.tags < 4 {
            let at = self.network - if self.made { ETHERNET } else { 0 };
            let inner = self.body.get(at + 2..at + 4)?;
            self.ethertype = u16::from_be_bytes([inner[0], inner[1]]);
            self.network += 4;
            self.tags += 1;
        }
        if untag && self.tags > 0 {
            let behind = self.network - if self.made { ETHERNET } else { 0 };
            self.body = self.body.get(behind..)?;
            self.length -= self.tags * 4;
            self.head[12..].copy_from_slice(&self.ethertype.to_be_bytes());
            self.made = true;
            self.network = ETHERNET;
        }
        Some(self)
    }

    /// Whether something was looked for that the capture has cut off.
    pub(crate) fn missed(&self) -> bool {
        self.missed.get()
    }

    /// Whether the capture kept all of it.
    pub(crate) fn is_whole(&self) -> bool {
        let head = if self.made { ETHERNET } else { 0 };
        (head + self.body.len()) as u32 >= self.length
    }

    /// The captured bytes from the network header on.
    pub(crate) fn datagram(&self) -> &'a [u8] {
        self.body.get(self.network - if self.made { ETHERNET } else { 0 }..).unwrap_or_default()
    }

    /// What follows the eight bytes of an ICMP header behind an IP header without extensions.
    pub(crate) fn behind_icmp(&self) -> Option<&'a [u8]> {
        let bytes = self.datagram();
        let header = if self.ethertype == IPV4 { usize::from(bytes.first()? & 15) * 4 } else { 40 };
        bytes.get(header + 8..)
    }

    /// Where an IP or ARP packet says that it comes from and goes, whatever else is wrong with it.
    pub(crate) fn addresses(&self) -> Option<(IpAddr, IpAddr)> {
        let bytes = self.datagram();
        match self.ethertype {
            IPV4 => Some((four(bytes, 12)?, four(bytes, 16)?)),
            IPV6 => Some((six(bytes, 8)?, six(bytes, 24)?)),
            ARP => Some((four(bytes, 14)?, four(bytes, 24)?)),
            _ => None,
        }
    }
}

fn four(bytes: &[u8], at: usize) -> Option<IpAddr> {
    let octets: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
    Some(Ipv4Addr::from(octets).into())
}

fn six(bytes: &[u8], at: usize) -> Option<IpAddr> {
    let octets: [u8; 16] = bytes.get(at..at + 16)?.try_into().ok()?;
    Some(Ipv6Addr::from(octets).into())
}

impl Packet for Captured<'_> {
    fn len(&self) -> u32 {
        self.length
    }

    fn fixed<T: Wire>(&self, offset: usize) -> Option<T> {
        let end = offset.checked_add(size_of::<T>())?;
        let read = if !self.made {
            Frame::new(self.body).fixed(offset)
        } else if offset >= ETHERNET {
            Frame::new(self.body).fixed(offset - ETHERNET)
        } else if end <= ETHERNET {
            Frame::new(&self.head).fixed(offset)
        } else {
            // Across the seam: nothing that is read often.
            let mut both = self.head[offset..].to_vec();
            both.extend(self.body.iter().take(end - ETHERNET));
            Frame::new(&both).fixed(0)
        };
        if read.is_none() && end <= self.length as usize {
            self.missed.set(true);
        }
        read
    }

    fn at<T: Wire>(&self, offset: u32) -> Option<T> {
        self.fixed(offset as usize)
    }

    fn vlan(&self) -> Option<Tag> {
        None
    }
}

/// Who sent the frame: cooked headers say it, and address resolution and neighbour discovery are held against it.
fn sender<'a>(packet: &flows::Packet<'a>) -> Option<&'a [u8]> {
    let bytes = packet.bytes;
    match packet.link {
        Link::Cooked1 if bytes.get(4..6) == Some(&[0, 6]) => bytes.get(6..12),
        Link::Cooked2 if bytes.get(11) == Some(&6) => bytes.get(12..18),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use enforcer_common::dissect::dissect;
    use enforcer_policy::memory::frame::opening;

    fn packet(link: Link, bytes: &[u8]) -> flows::Packet<'_> {
        flows::Packet { time: None, link, bytes, length: bytes.len() as u32 }
    }

    fn frame() -> Vec<u8> {
        opening("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap(), 6, 80).unwrap()
    }

    #[test]
    fn every_link_type_reads_as_the_frame_does() {
        let frame = frame();
        let expected = dissect(&Frame::new(&frame), false).unwrap();
        let ip = &frame[14..];
        let mut cooked1 = vec![0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0, 8, 0];
        cooked1.extend(ip);
        let mut cooked2 = vec![8, 0, 0, 0, 0, 0, 0, 3, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0];
        cooked2.extend(ip);
        let loopback = [&[2, 0, 0, 0][..], ip].concat();
        let cases = [
            (Link::Ethernet, frame.as_slice()),
            (Link::Cooked1, &cooked1),
            (Link::Cooked2, &cooked2),
            (Link::Raw, ip),
            (Link::Loopback, &loopback),
        ];
        for (link, bytes) in cases {
            let captured = Captured::new(&packet(link, bytes), false).unwrap();
            assert_eq!(dissect(&captured, false), Ok(expected), "{link:?}");
            assert_eq!(captured.len(), frame.len() as u32, "{link:?}");
            assert_eq!(captured.datagram(), ip, "{link:?}");
            assert!(!captured.missed());
            if matches!(link, Link::Cooked1 | Link::Cooked2) {
                assert_eq!(captured.head[6..12], [2, 0, 0, 0, 0, 1], "{link:?} says who sent the frame");
            }
        }
    }

    /// Frames of IEEE 802.3 have a length in place of a type, and Windows a number of its own for IPv6 on loopback.
    #[test]
    fn what_is_not_ip_and_what_is_are_told_by_the_link() {
        let mut framed = frame();
        framed[12..14].copy_from_slice(&[0, 38]);
        let captured = Captured::new(&packet(Link::Ethernet, &framed), false).unwrap();
        assert_eq!((captured.ethertype, captured.addresses()), (38, None));
        let six = opening("fd00::1".parse().unwrap(), "fd00::2".parse().unwrap(), 6, 80).unwrap();
        let windows = [&[23, 0, 0, 0][..], &six[14..]].concat();
        let captured = Captured::new(&packet(Link::Loopback, &windows), false).unwrap();
        assert_eq!((captured.ethertype, captured.datagram()), (IPV6, &six[14..]));
        assert_eq!(dissect(&captured, false), dissect(&Frame::new(&six), false));
    }

    #[test]
    fn what_the_capture_cut_off_is_missed_and_what_was_never_there_is_not() {
        let frame = frame();
        for kept in 14..frame.len() {
            let cut = flows::Packet {
                bytes: &frame[..kept],
                length: frame.len() as u32,
                ..packet(Link::Ethernet, &[])
            };
            let captured = Captured::new(&cut, false).unwrap();
            // The verdict asks for no more of TCP than its ports and flags.
            assert_eq!(dissect(&captured, false).is_ok(), kept >= 50, "{kept}");
            assert_eq!(captured.missed(), kept < 50, "{kept}");
            let short = Captured::new(&packet(Link::Ethernet, &frame[..kept]), false).unwrap();
            assert!(dissect(&short, false).is_err(), "{kept}");
            assert!(!short.missed(), "{kept}");
        }
    }

    #[test]
    fn tags_are_taken_off_only_where_asked() {
        let frame = frame();
        let tagged = [&frame[..12], &[0x81, 0, 0, 7, 0x81, 0, 0, 8], &frame[12..]].concat();
        let off = Captured::new(&packet(Link::Ethernet, &tagged), true).unwrap();
        assert_eq!((off.len(), off.tags, off.ethertype), (frame.len() as u32, 2, IPV4));
        assert_eq!(dissect(&off, false), dissect(&Frame::new(&frame), false));
        let on = Captured::new(&packet(Link::Ethernet, &tagged), false).unwrap();
        assert_eq!((on.len(), on.tags, on.ethertype), (tagged.len() as u32, 2, IPV4));
        assert_eq!(on.addresses(), off.addresses());
        assert_eq!(dissect(&on, false), Err(enforcer_common::Reason::Vlan));
    }
}
