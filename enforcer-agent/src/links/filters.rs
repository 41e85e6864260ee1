//! The filters on a device's clsact qdisc, in the order in which they run.

use std::io;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::tc::{TcAttribute, TcBpfFlags, TcFilterBpfOption, TcHandle, TcMessage, TcOption};
use rtnetlink::packet_core::{NetlinkMessage, NetlinkPayload};

use super::ask::Asker;

/// The number that every clsact qdisc has.
const CLSACT: u16 = 0xffff;

/// A filter, as far as it matters whether it comes before another.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Filter {
    /// Lower ones run first.
    pub priority: u16,
    /// Its handle; whoever made it chose it.
    pub handle: u32,
    /// `bpf`, `matchall`, `flower`, …
    pub kind: String,
    /// Id of the program in it, where it is a BPF filter that decides by itself.
    pub program: Option<u32>,
}

/// Asks the kernel about filters. Belongs to the network namespace it was opened in.
#[derive(Debug)]
pub struct Filters {
    asker: Asker,
}

impl Filters {
    /// Opens a way to the kernel.
    pub fn open() -> io::Result<Self> {
        Ok(Self { asker: Asker::open()? })
    }

    /// The filters on what a device hands to the host (`ingress`), or on what the host hands to it. None where there is
    /// no such qdisc.
    pub fn on(&mut self, ifindex: u32, ingress: bool) -> io::Result<Vec<Filter>> {
        let mut filters = Vec::new();
        self.each(ifindex, ingress, |message| filters.extend(filter(message)))?;
        Ok(filters)
    }

    /// Takes a device's clsact qdisc away, if nobody has a filter there, whatever its chain. Whether it is gone.
    pub fn remove_empty_qdisc(&mut self, ifindex: u32) -> io::Result<bool> {
        let mut any = false;
        for ingress in [true, false] {
            self.each(ifindex, ingress, |message| any |= u32::from(message.header.handle) != 0)?;
        }
        if any {
            return Ok(false);
        }
        let mut message = TcMessage::with_index(ifindex.cast_signed());
        message.header.parent = TcHandle::CLSACT;
        message.header.handle = TcHandle { major: CLSACT, minor: 0 };
        match self.asker.tell(RouteNetlinkMessage::DelQueueDiscipline(message)) {
            // Somebody else did, or the device has gone.
            Err(error)
                if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOENT | libc::ENODEV)) =>
            {
                Ok(true)
            }
            done => done.map(|()| true),
        }
    }

    fn each(&mut self, ifindex: u32, ingress: bool, mut each: impl FnMut(&TcMessage)) -> io::Result<()> {
        let mut message = TcMessage::with_index(ifindex.cast_signed());
        let minor = if ingress { TcHandle::MIN_INGRESS } else { TcHandle::MIN_EGRESS };
        message.header.parent = TcHandle { major: CLSACT, minor };
        let listed = self.asker.list(RouteNetlinkMessage::GetTrafficFilter(message), |_, message| {
            let message =
                NetlinkMessage::<RouteNetlinkMessage>::deserialize(message).map_err(io::Error::other)?;
            if let NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewTrafficFilter(message)) =
                message.payload
            {
                each(&message);
            }
            Ok(())
        });
        match listed {
            // The device has no such qdisc.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(()),
            listed => listed,
        }
    }
}

/// What a message tells. The kernel also reports each priority by itself, without a handle: those are no filters.
fn filter(message: &TcMessage) -> Option<Filter> {
    let handle = u32::from(message.header.handle);
    let mut found =
        Filter { priority: (message.header.info >> 16) as u16, handle, kind: String::new(), program: None };
    let (mut program, mut decides) = (None, false);
    for attribute in &message.attributes {
        match attribute {
            TcAttribute::Kind(kind) => found.kind.clone_from(kind),
            // Filters of other chains run only where one of the first sends a packet there.
            TcAttribute::Chain(chain) if *chain != 0 => return None,
            TcAttribute::Options(options) => {
                for option in options {
                    match option {
                        TcOption::Bpf(TcFilterBpfOption::ProgId(id)) => program = Some(*id),
                        TcOption::Bpf(TcFilterBpfOption::Flags(flags)) => {
                            decides = flags.contains(TcBpfFlags::DirectAction);
                        }
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    found.program = program.filter(|_| decides);
    (handle != 0).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(handle: u32, attributes: Vec<TcAttribute>) -> TcMessage {
        let mut message = TcMessage::default();
        message.header.handle = handle.into();
        message.header.info = 7 << 16 | 3;
        message.attributes = attributes;
        message
    }

    #[test]
    fn a_filter_is_read_with_its_place() {
        let bpf = |flags| {
            vec![
                TcAttribute::Kind("bpf".to_owned()),
                TcAttribute::Chain(0),
                TcAttribute::Options(vec![
                    TcOption::Bpf(TcFilterBpfOption::Flags(flags)),
                    TcOption::Bpf(TcFilterBpfOption::ProgId(42)),
                ]),
            ]
        };
        let expected = Filter { priority: 7, handle: 0x10, kind: "bpf".to_owned(), program: Some(42) };
        assert_eq!(filter(&message(0x10, bpf(TcBpfFlags::DirectAction))), Some(expected.clone()));
        let undecided = Filter { program: None, ..expected };
        assert_eq!(filter(&message(0x10, bpf(TcBpfFlags::empty()))), Some(undecided));
        assert_eq!(filter(&message(0, bpf(TcBpfFlags::DirectAction))), None, "a priority, not a filter");
        let elsewhere = vec![TcAttribute::Kind("flower".to_owned()), TcAttribute::Chain(4)];
        assert_eq!(filter(&message(0x10, elsewhere)), None, "another chain");
    }
}
