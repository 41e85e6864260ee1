//! XDP programs on devices: they meet a frame before every hook of the traffic control layer.

use std::collections::HashMap;
use std::io;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkExtentMask, LinkMessage};

use super::ask::{Asker, attributes};

/// Asks the kernel about XDP programs. Belongs to the network namespace it was opened in.
#[derive(Debug)]
pub struct XdpPrograms {
    asker: Asker,
}

impl XdpPrograms {
    /// Opens a way to the kernel.
    pub fn open() -> io::Result<Self> {
        Ok(Self { asker: Asker::open()? })
    }

    /// The ids of the programs on each device that has any.
    pub fn all(&mut self) -> io::Result<HashMap<u32, Vec<u32>>> {
        let mut question = LinkMessage::default();
        // Counting what passed a device takes longer than all the rest of the answer.
        question.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
        let mut found = HashMap::new();
        self.asker.list(RouteNetlinkMessage::GetLink(question), |kind, message| {
            if let Some((ifindex, programs)) = programs(kind, message) {
                found.insert(ifindex, programs);
            }
            Ok(())
        })?;
        Ok(found)
    }
}

/// A device that has programs, and which. It can have one in its driver, one in its hardware and one behind them; where it has a single
/// one, that is told twice. Read by hand: it is asked twice a second, of every device there is, and the rest of a message is long.
fn programs(kind: u16, message: &[u8]) -> Option<(u32, Vec<u32>)> {
    const RTM_NEWLINK: u16 = 16;
    const IFLA_XDP: u16 = 43;
    /// `IFLA_XDP_PROG_ID`, and those of driver, generic and hardware.
    const IDS: std::ops::RangeInclusive<u16> = 4..=7;
    /// Behind two headers: `struct nlmsghdr`, and `struct ifinfomsg`, which has the index in its second half.
    const INDEX: usize = 20;
    const ATTRIBUTES: usize = 32;
    if kind != RTM_NEWLINK {
        return None;
    }
    let ifindex = u32::from_ne_bytes(*message.get(INDEX..)?.first_chunk()?);
    let (_, xdp) = attributes(message.get(ATTRIBUTES..)?).find(|(kind, _)| *kind == IFLA_XDP)?;
    let id = |value: &[u8]| Some(u32::from_ne_bytes(*value.first_chunk()?));
    let ids = attributes(xdp).filter(|(kind, _)| IDS.contains(kind)).filter_map(|(_, value)| id(value));
    let mut programs: Vec<u32> = ids.filter(|id| *id != 0).collect();
    programs.sort_unstable();
    programs.dedup();
    (!programs.is_empty()).then_some((ifindex, programs))
}

#[cfg(test)]
mod tests {
    use netlink_packet_route::link::LinkXdp;
    use rtnetlink::packet_core::NetlinkMessage;

    use super::*;

    /// As the netlink crate writes it.
    fn message(told: Vec<LinkXdp>) -> Vec<u8> {
        let mut link = LinkMessage::default();
        link.header.index = 7;
        link.attributes = vec![LinkAttribute::IfName("v7".to_owned()), LinkAttribute::Xdp(told)];
        let mut message = NetlinkMessage::from(RouteNetlinkMessage::NewLink(link));
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        bytes
    }

    #[test]
    fn every_program_is_told_once() {
        assert_eq!(programs(16, &message(vec![LinkXdp::ProgId(0)])), None);
        let told = vec![LinkXdp::ProgId(0), LinkXdp::DrvProgId(9), LinkXdp::SkbProgId(4), LinkXdp::ProgId(9)];
        assert_eq!(programs(16, &message(told.clone())), Some((7, vec![4, 9])));
        assert_eq!(programs(17, &message(told.clone())), None, "no device");
        let whole = message(told);
        for cut in 0..whole.len() {
            let _ = programs(16, &whole[..cut]);
        }
    }
}
