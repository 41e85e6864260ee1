//! AF_XDP sockets: packets that go between a device's queue and a process, past everything else.

use std::io;

use super::ask::{Asker, HEADER, attributes};

/// A socket that is bound to a queue of a device, or not yet to any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct XdpSocket {
    /// The device; 0 for none.
    pub ifindex: u32,
    /// Its queue.
    pub queue: u32,
    /// Whether the device reads and writes the process's own memory.
    pub zero_copy: bool,
}

/// Those of this network namespace. `None` where the kernel has no such sockets, or no way to ask for them.
pub fn xdp_sockets() -> io::Result<Option<Vec<XdpSocket>>> {
    const AF_XDP: u8 = 44;
    /// `XDP_SHOW_INFO` and `XDP_SHOW_UMEM`.
    const SHOW: u32 = 1 | 1 << 2;
    // `struct xdp_diag_req`: family, protocol, padding, inode, what to show, cookie.
    let mut question = vec![AF_XDP, 0, 0, 0];
    question.extend(0_u32.to_ne_bytes());
    question.extend(SHOW.to_ne_bytes());
    question.extend([0; 8]);
    let mut found = Vec::new();
    let listed = Asker::list_sockets(&question, |message| found.push(socket(message)));
    match listed {
        Err(error)
            if [libc::ENOENT, libc::EINVAL, libc::EOPNOTSUPP]
                .iter()
                .any(|one| error.raw_os_error() == Some(*one)) =>
        {
            Ok(None)
        }
        listed => listed.map(|()| Some(found)),
    }
}

fn socket(message: &[u8]) -> XdpSocket {
    /// Behind `struct xdp_diag_msg`.
    const ATTRIBUTES: usize = HEADER + 16;
    const INFO: u16 = 1;
    const UMEM: u16 = 5;
    /// Place of the flags in `struct xdp_diag_umem`, and the flag.
    const FLAGS: usize = 32;
    const ZERO_COPY: u32 = 1;
    let mut socket = XdpSocket { ifindex: 0, queue: 0, zero_copy: false };
    let word = |value: &[u8], at: usize| {
        value.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |word| u32::from_ne_bytes(*word))
    };
    for (kind, value) in attributes(message.get(ATTRIBUTES..).unwrap_or_default()) {
        match kind {
            INFO => (socket.ifindex, socket.queue) = (word(value, 0), word(value, 4)),
            UMEM => socket.zero_copy = word(value, FLAGS) & ZERO_COPY != 0,
            _ => {}
        }
    }
    socket
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(kind: u16, value: &[u32]) -> Vec<u8> {
        let length = 4 + 4 * value.len() as u16;
        let head = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
        [head, value.iter().flat_map(|word| word.to_ne_bytes()).collect()].concat()
    }

    #[test]
    fn where_a_socket_is_bound_is_read_and_how() {
        let mut message = vec![0; HEADER + 16];
        message.extend(attribute(1, &[7, 3]));
        assert_eq!(socket(&message), XdpSocket { ifindex: 7, queue: 3, zero_copy: false });
        // Size (two words), id, pages, chunk, headroom, device, queue, flags, references.
        message.extend(attribute(5, &[4096, 0, 1, 1, 4096, 0, 7, 3, 1, 1]));
        assert_eq!(socket(&message), XdpSocket { ifindex: 7, queue: 3, zero_copy: true });
        for cut in 0..message.len() {
            let _ = socket(&message[..cut]);
        }
    }
}
