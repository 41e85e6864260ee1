//! Frames through AF_PACKET's ring: the kernel leaves the Ethernet header alone in the linear part of the socket buffer, and all that
//! follows in pages of ours.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr;

use crate::Namespace;

const BLOCK: usize = 4_096;
const FRAME: usize = 2_048;
/// Where data begins in a frame of the ring: behind `tpacket2_hdr` (linux/if_packet.h).
const DATA: usize = 32;

/// Sends frames whose headers lie outside the linear part.
#[derive(Debug)]
pub struct TxRing {
    socket: OwnedFd,
    ring: *mut u8,
    /// The kernel looks for the next frame behind the last one.
    next: usize,
}

impl TxRing {
    /// Opens a device in a namespace, as [`RawPort::open`](crate::RawPort::open) does.
    pub fn open(namespace: &Namespace, device: &str) -> io::Result<Self> {
        let index = namespace.index_of(device)?;
        let fd = namespace.enter(|| packet_socket(index))?;
        let (protection, shared) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
        // SAFETY: a new mapping of the socket's ring, as long as the ring is; nothing else knows it.
        let ring = unsafe { libc::mmap(ptr::null_mut(), BLOCK, protection, shared, fd.as_raw_fd(), 0) };
        if ring == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Self { socket: fd, ring: ring.cast(), next: 0 })
    }

    /// Sends one frame of at most 2,000 bytes, Ethernet header and all.
    pub fn send(&mut self, frame: &[u8]) -> io::Result<()> {
        assert!(frame.len() <= FRAME - DATA, "the frame doesn't fit the ring");
        let place = self.next * FRAME;
        self.next = (self.next + 1) % (BLOCK / FRAME);
        // SAFETY: this frame of the ring is ours until its status asks for it to be sent, and `send` returns when it was.
        unsafe {
            let start = self.ring.add(place);
            ptr::copy_nonoverlapping(frame.as_ptr(), start.add(DATA), frame.len());
            let header = start.cast::<u32>();
            header.add(1).write_volatile(frame.len() as u32);
            header.write_volatile(libc::TP_STATUS_SEND_REQUEST);
            if libc::send(self.socket.as_raw_fd(), ptr::null(), 0, 0) < 0 {
                return Err(io::Error::last_os_error());
            }
            match header.read_volatile() {
                libc::TP_STATUS_AVAILABLE => Ok(()),
                status => Err(io::Error::other(format!("the ring's frame has status {status}"))),
            }
        }
    }
}

impl Drop for TxRing {
    fn drop(&mut self) {
        // SAFETY: mapped in `open`, and used nowhere else.
        unsafe { libc::munmap(self.ring.cast(), BLOCK) };
    }
}

fn packet_socket(index: u32) -> io::Result<OwnedFd> {
    // SAFETY: plain system calls; the values they read outlive them, and the descriptor is ours.
    unsafe {
        let fd = libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0);
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        let owned = OwnedFd::from_raw_fd(fd);
        option(fd, libc::PACKET_VERSION, &(libc::tpacket_versions::TPACKET_V2 as libc::c_int))?;
        let request = libc::tpacket_req {
            tp_block_size: BLOCK as u32,
            tp_block_nr: 1,
            tp_frame_size: FRAME as u32,
            tp_frame_nr: (BLOCK / FRAME) as u32,
        };
        option(fd, libc::PACKET_TX_RING, &request)?;
        let mut address: libc::sockaddr_ll = std::mem::zeroed();
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = 3_u16.to_be();
        address.sll_ifindex = index as i32;
        let length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
        if libc::bind(fd, (&raw const address).cast(), length) < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(owned)
    }
}

/// # Safety
///
/// `T` has to be what the option takes.
unsafe fn option<T>(fd: i32, name: libc::c_int, value: &T) -> io::Result<()> {
    // SAFETY: the value is as long as stated; the caller vouches for its type.
    let done = unsafe {
        let length = size_of::<T>() as libc::socklen_t;
        libc::setsockopt(fd, libc::SOL_PACKET, name, ptr::from_ref(value).cast(), length)
    };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
