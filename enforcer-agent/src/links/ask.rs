//! Questions to the kernel whose answers are lists, and are waited for.

use std::io;

use netlink_packet_route::RouteNetlinkMessage;
use rtnetlink::packet_core::{NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage};
use rtnetlink::sys::{
    Socket, SocketAddr,
    protocols::{NETLINK_ROUTE, NETLINK_SOCK_DIAG},
};

/// The kernel puts as much into a datagram as fits here, up to 32 KiB.
const ROOM: usize = 1 << 16;
/// Bytes of `struct nlmsghdr`.
pub(super) const HEADER: usize = 16;
/// Kinds of messages that say how a list ends.
const ERROR: u16 = 2;
const DONE: u16 = 3;

/// A way to the kernel. Belongs to the network namespace it was opened in.
#[derive(Debug)]
pub(super) struct Asker {
    socket: Socket,
    room: Vec<u8>,
}

impl Asker {
    pub(super) fn open() -> io::Result<Self> {
        Self::of(NETLINK_ROUTE)
    }

    /// A way to another part of the kernel.
    pub(super) fn of(protocol: isize) -> io::Result<Self> {
        let mut socket = Socket::new(protocol)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Self { socket, room: Vec::with_capacity(ROOM) })
    }

    /// Asks for one thing; the answer's bytes with their header.
    pub(super) fn ask(&mut self, question: RouteNetlinkMessage) -> io::Result<Vec<u8>> {
        self.send(question, NLM_F_REQUEST)
    }

    /// Has the kernel do something.
    pub(super) fn tell(&mut self, what: RouteNetlinkMessage) -> io::Result<()> {
        self.send(what, NLM_F_REQUEST | NLM_F_ACK).map(drop)
    }

    fn send(&mut self, what: RouteNetlinkMessage, flags: u16) -> io::Result<Vec<u8>> {
        let mut request = NetlinkMessage::from(what);
        request.header.flags = flags;
        request.finalize();
        let mut bytes = vec![0; request.buffer_len()];
        request.serialize(&mut bytes);
        self.socket.send(&bytes, 0)?;
        self.room.clear();
        self.socket.recv(&mut self.room, 0)?;
        let (length, kind) = header(&self.room).ok_or(io::ErrorKind::InvalidData)?;
        let message = self.room.get(..length).ok_or(io::ErrorKind::InvalidData)?;
        if kind == ERROR {
            outcome(message)?;
        }
        Ok(message.to_vec())
    }

    /// Asks for a list, and hands on each of its messages: its kind, and its bytes with their header.
    pub(super) fn list(
        &mut self,
        question: RouteNetlinkMessage,
        each: impl FnMut(u16, &[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut request = NetlinkMessage::from(question);
        request.header.flags = NLM_F_REQUEST | NLM_F_DUMP;
        request.finalize();
        let mut bytes = vec![0; request.buffer_len()];
        request.serialize(&mut bytes);
        self.gather(&bytes, each)
    }

    /// The same for a question that no crate has a form for: its kind, and what stands behind its header.
    pub(super) fn list_plain(
        &mut self,
        kind: u16,
        question: &[u8],
        each: impl FnMut(u16, &[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let length = u32::try_from(HEADER + question.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
        let mut bytes = Vec::with_capacity(HEADER + question.len());
        bytes.extend(length.to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend((NLM_F_REQUEST | NLM_F_DUMP).to_ne_bytes());
        // A number of its own, and who asks: neither is needed, for there is one question at a time.
        bytes.extend([0; 8]);
        bytes.extend(question);
        self.gather(&bytes, each)
    }

    /// Asks for a list of sockets (sock_diag(7)), and hands each message on, with its header.
    pub(super) fn list_sockets(question: &[u8], mut each: impl FnMut(&[u8])) -> io::Result<()> {
        const SOCK_DIAG_BY_FAMILY: u16 = 20;
        Self::of(NETLINK_SOCK_DIAG)?.list_plain(SOCK_DIAG_BY_FAMILY, question, |kind, message| {
            if kind == SOCK_DIAG_BY_FAMILY {
                each(message);
            }
            Ok(())
        })
    }

    fn gather(
        &mut self,
        question: &[u8],
        mut each: impl FnMut(u16, &[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        self.socket.send(question, 0)?;
        loop {
            self.room.clear();
            self.socket.recv(&mut self.room, 0)?;
            let mut rest = &self.room[..];
            while let Some((length, kind)) = header(rest) {
                let message = rest.get(..length).ok_or(io::ErrorKind::InvalidData)?;
                match kind {
                    DONE => return Ok(()),
                    ERROR => return outcome(message),
                    kind => each(kind, message)?,
                }
                rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
            }
        }
    }
}

/// Length and kind of the message that begins here.
fn header(bytes: &[u8]) -> Option<(usize, u16)> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (kind, _) = rest.split_first_chunk()?;
    Some(((u32::from_ne_bytes(*length) as usize).max(HEADER), u16::from_ne_bytes(*kind)))
}

/// What an error says, which may be that there is none.
fn outcome(message: &[u8]) -> io::Result<()> {
    let number = message[HEADER..].first_chunk().ok_or(io::ErrorKind::InvalidData)?;
    match i32::from_ne_bytes(*number) {
        0 => Ok(()),
        number => Err(io::Error::from_raw_os_error(-number)),
    }
}

/// The attributes in these bytes: kind and value.
pub(super) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    /// Whether there are others inside, and the byte order.
    const FLAGS: u16 = 0xc000;
    std::iter::from_fn(move || {
        let [a, b, c, d] = *bytes.first_chunk()?;
        let length = u16::from_ne_bytes([a, b]) as usize;
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((u16::from_ne_bytes([c, d]) & !FLAGS, value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_walked_to_the_last_whole_one() {
        let bytes: Vec<u8> =
            [5_u16, 7].iter().chain(&[0x11, 0, 4, 0x8009, 99, 1]).flat_map(|n| n.to_ne_bytes()).collect();
        let found: Vec<_> = attributes(&bytes).collect();
        assert_eq!(found, [(7, &[0x11_u16.to_ne_bytes()[0]][..]), (9, &[][..])]);
        assert_eq!(attributes(&[0; 8]).count(), 0, "one without even a header ends it");
    }

    #[test]
    fn an_error_of_nothing_is_none() {
        let message = |number: i32| [vec![0; HEADER], number.to_ne_bytes().to_vec()].concat();
        assert!(outcome(&message(0)).is_ok());
        assert_eq!(outcome(&message(-22)).unwrap_err().raw_os_error(), Some(22));
        assert!(outcome(&message(0)[..HEADER + 2]).is_err());
    }
}
