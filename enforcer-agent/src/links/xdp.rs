//! XDP programs on devices: they meet a frame before every hook of the traffic control layer.

use std::collections::HashMap;
use std::io;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkExtentMask, LinkMessage, LinkXdp};

use super::ask::Asker;

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
    pub fn all(&self) -> io::Result<HashMap<u32, Vec<u32>>> {
        let mut question = LinkMessage::default();
        // Counting what passed a device takes longer than all the rest of the answer.
        question.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
        let mut found = HashMap::new();
        self.asker.list(RouteNetlinkMessage::GetLink(question), |message| {
            let RouteNetlinkMessage::NewLink(message) = message else { return };
            let programs = programs(message);
            if !programs.is_empty() {
                found.insert(message.header.index, programs);
            }
        })?;
        Ok(found)
    }
}

/// A device can have one in its driver, one in its hardware and one behind them; where it has a single one, it's told twice.
fn programs(message: &LinkMessage) -> Vec<u32> {
    let mut programs = Vec::new();
    for attribute in &message.attributes {
        let LinkAttribute::Xdp(told) = attribute else { continue };
        programs.extend(told.iter().filter_map(|one| match one {
            LinkXdp::ProgId(id) | LinkXdp::DrvProgId(id) | LinkXdp::SkbProgId(id) | LinkXdp::HwProgId(id) => {
                (*id != 0).then_some(*id)
            }
            _ => None,
        }));
    }
    programs.sort_unstable();
    programs.dedup();
    programs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_program_is_told_once() {
        let mut message = LinkMessage::default();
        assert!(programs(&message).is_empty());
        let told = vec![LinkXdp::ProgId(0), LinkXdp::DrvProgId(9), LinkXdp::SkbProgId(4), LinkXdp::ProgId(9)];
        message.attributes.push(LinkAttribute::Xdp(told));
        assert_eq!(programs(&message), [4, 9]);
    }
}
