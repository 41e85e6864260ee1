//! Ways to spoil frames.

use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::forge::{patched, rechecksum};

/// Bytes of an Ethernet header.
const LINK: usize = 14;
const IPV6_HEADER: usize = 40;

/// What happens to a frame on its way to the hook.
#[derive(Clone, Debug)]
pub enum Spoiling {
    /// Nothing.
    None,
    /// It ends early.
    Cut(Index),
    /// A byte is another one.
    Byte(Index, u8),
    /// It is a fragment: offset in units of eight bytes, and whether more follow.
    Fragment(u16, bool, u16),
    /// IPv6: an extension header stands before the transport header. IPv4: options do.
    Header(u8, u8),
    /// It carries a VLAN tag of this ethertype.
    Tag(u16),
    /// It is an ARP message that claims an address.
    Arp(u16, [u8; 4]),
    /// It is noise with this ethertype.
    Noise(u16, Vec<u8>),
}

/// Any spoiling; mostly none.
pub fn spoiling() -> impl Strategy<Value = Spoiling> {
    prop_oneof![
        12 => Just(Spoiling::None),
        2 => any::<Index>().prop_map(Spoiling::Cut),
        3 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Spoiling::Byte(at, byte)),
        3 => (select(vec![0, 1, 2, 3, 185, 0x1fff]), any::<bool>(), 0_u16..3)
            .prop_map(|(offset, more, id)| Spoiling::Fragment(offset, more, id)),
        2 => (select(vec![0, 43, 51, 59, 60, 135, 139, 253]), select(vec![0, 1, 7, 68, 131, 137]))
            .prop_map(|(header, option)| Spoiling::Header(header, option)),
        1 => select(vec![0x8100, 0x88a8]).prop_map(Spoiling::Tag),
        1 => (1_u16..4, select(vec![[10, 0, 0, 1], [10, 0, 0, 2], [0, 0, 0, 0]]))
            .prop_map(|(operation, address)| Spoiling::Arp(operation, address)),
        1 => (select(vec![0x0800, 0x86dd, 0x0806, 0x88cc, 0x0005]), prop::collection::vec(any::<u8>(), 0..120))
            .prop_map(|(ethertype, bytes)| Spoiling::Noise(ethertype, bytes)),
    ]
}

impl Spoiling {
    /// Does it to a frame.
    #[must_use]
    pub fn spoil(&self, mut frame: Vec<u8>) -> Vec<u8> {
        let is_v4 = frame[12..14] == [8, 0];
        match self {
            Self::None => {}
            Self::Cut(at) => frame.truncate(LINK + at.index(frame.len() - LINK + 1)),
            Self::Byte(at, byte) => {
                let at = at.index(frame.len());
                // Mostly with a checksum that is right, or a wrong one would be all that is ever seen of it.
                if byte % 4 != 0 {
                    return patched(frame, at, &[*byte]);
                }
                frame[at] = *byte;
            }
            Self::Fragment(offset, more, id) if is_v4 => {
                frame[LINK + 4..LINK + 6].copy_from_slice(&id.to_be_bytes());
                let word = offset | u16::from(*more) << 13;
                frame[LINK + 6..LINK + 8].copy_from_slice(&word.to_be_bytes());
                rechecksum(&mut frame);
            }
            Self::Fragment(offset, more, id) => {
                let [high, low] = (offset << 3 | u16::from(*more)).to_be_bytes();
                let [first, second] = id.to_be_bytes();
                extend_v6(&mut frame, 44, |next| vec![next, 0, high, low, 0, 0, first, second]);
            }
            Self::Header(_, option) if is_v4 => {
                frame[LINK] = 0x46;
                frame.splice(LINK + 20..LINK + 20, [*option, 3, 4, 0]);
                let total = (frame.len() - LINK) as u16;
                frame[LINK + 2..LINK + 4].copy_from_slice(&total.to_be_bytes());
                rechecksum(&mut frame);
            }
            Self::Header(header, _) => {
                extend_v6(&mut frame, *header, |next| vec![next, 0, 1, 4, 0, 0, 0, 0]);
            }
            Self::Tag(ethertype) => {
                let [high, low] = ethertype.to_be_bytes();
                frame.splice(12..12, [high, low, 0, 7]);
            }
            Self::Arp(operation, address) => {
                frame.truncate(12);
                let [high, low] = operation.to_be_bytes();
                frame.extend([8, 6, 0, 1, 8, 0, 6, 4, high, low, 2, 0, 0, 0, 0, 1]);
                frame.extend(address);
                frame.extend([0; 6]);
                frame.extend([10, 0, 0, 9]);
            }
            Self::Noise(ethertype, bytes) => {
                frame.truncate(12);
                frame.extend(ethertype.to_be_bytes());
                frame.extend(bytes);
            }
        }
        frame
    }
}

/// Puts a header between the IPv6 header and what follows it. It is told what that is.
fn extend_v6(frame: &mut Vec<u8>, kind: u8, header: impl FnOnce(u8) -> Vec<u8>) {
    let next = std::mem::replace(&mut frame[LINK + 6], kind);
    let at = LINK + IPV6_HEADER;
    frame.splice(at..at, header(next));
    let length = (frame.len() - at) as u16;
    frame[LINK + 4..LINK + 6].copy_from_slice(&length.to_be_bytes());
}
