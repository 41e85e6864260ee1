//! Questions to the kernel whose answers are lists, and are waited for.

use std::io;

use netlink_packet_route::RouteNetlinkMessage;
use rtnetlink::packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use rtnetlink::sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

/// A way to the kernel. Belongs to the network namespace it was opened in.
#[derive(Debug)]
pub(super) struct Asker {
    socket: Socket,
}

impl Asker {
    pub(super) fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Self { socket })
    }

    /// Asks for a list, and hands on each of its messages.
    pub(super) fn list(
        &self,
        question: RouteNetlinkMessage,
        mut each: impl FnMut(&RouteNetlinkMessage),
    ) -> io::Result<()> {
        let mut request = NetlinkMessage::from(question);
        request.header.flags = NLM_F_REQUEST | NLM_F_DUMP;
        request.finalize();
        let mut bytes = vec![0; request.buffer_len()];
        request.serialize(&mut bytes);
        self.socket.send(&bytes, 0)?;
        while !self.receive(&mut each)? {}
        Ok(())
    }

    /// One datagram of the answer; whether it was the last.
    fn receive(&self, each: &mut impl FnMut(&RouteNetlinkMessage)) -> io::Result<bool> {
        let (bytes, _) = self.socket.recv_from_full()?;
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let message =
                NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest).map_err(io::Error::other)?;
            let length = (message.header.length as usize).next_multiple_of(4);
            match message.payload {
                NetlinkPayload::Done(_) => return Ok(true),
                NetlinkPayload::Error(error) if error.code.is_none() => return Ok(true),
                NetlinkPayload::Error(error) => return Err(error.to_io()),
                NetlinkPayload::InnerMessage(message) => each(&message),
                _ => {}
            }
            rest = rest.get(length..).unwrap_or_default();
        }
        Ok(false)
    }
}
