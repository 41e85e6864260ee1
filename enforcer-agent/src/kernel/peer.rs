//! Who is at the other end of a Unix socket, as far as no crate asks for it.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// `SO_PEERGROUPS`, the same on every machine that this is built for.
const SO_PEERGROUPS: libc::c_int = 59;

/// The supplementary groups that the other end had when it connected. They can't change under whoever asks, as those of a process can.
pub fn peer_groups(socket: impl AsFd) -> io::Result<Vec<u32>> {
    let mut groups = vec![0_u32; 32];
    loop {
        let mut bytes = (groups.len() * size_of::<u32>()) as libc::socklen_t;
        // SAFETY: the kernel writes at most `bytes` bytes, which `groups` has.
        let result = unsafe {
            libc::getsockopt(
                socket.as_fd().as_raw_fd(),
                libc::SOL_SOCKET,
                SO_PEERGROUPS,
                groups.as_mut_ptr().cast(),
                &raw mut bytes,
            )
        };
        let count = bytes as usize / size_of::<u32>();
        if result == 0 {
            groups.truncate(count);
            return Ok(groups);
        }
        let error = io::Error::last_os_error();
        if error.raw_os_error() != Some(libc::ERANGE) || count <= groups.len() {
            return Err(error);
        }
        // There are more: now it is known how many.
        groups.resize(count, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    #[test]
    fn both_ends_here_have_this_process_groups() {
        let (one, _other) = UnixStream::pair().unwrap();
        let mut own: Vec<u32> =
            nix::unistd::getgroups().unwrap().into_iter().map(|group| group.as_raw()).collect();
        let mut told = peer_groups(&one).unwrap();
        own.sort_unstable();
        told.sort_unstable();
        assert_eq!(told, own);
        let file = tempfile::tempfile().unwrap();
        assert!(peer_groups(&file).is_err(), "no socket");
    }
}
