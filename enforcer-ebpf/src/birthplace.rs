//! Where sockets are made: noted with each of them, for those who may not ask for its cgroup.

use crate::maps::{BIRTHPLACES, EARLIER, raw};
use aya_ebpf::bindings::{BPF_SK_STORAGE_GET_F_CREATE, bpf_sock};
use aya_ebpf::helpers::{
    bpf_get_current_ancestor_cgroup_id, bpf_get_current_cgroup_id, bpf_get_socket_cookie, bpf_sk_storage_get,
};
use core::ffi::c_void;
use core::ptr::{from_mut, from_ref, null_mut};
use enforcer_common::maps::Birthplace;

const CREATE: u64 = BPF_SK_STORAGE_GET_F_CREATE as u64;

/// Of a socket that is being bound by the running process, unless it is known.
#[inline(always)]
pub(crate) fn note_unless_known(socket: *mut bpf_sock) {
    // SAFETY: the kernel hands programs a valid context.
    if unsafe { bpf_sk_storage_get(raw(&BIRTHPLACES), socket.cast(), null_mut(), 0).is_null() } {
        note(socket);
    }
}

/// Of a socket that is being made by the running process.
#[inline(always)]
pub(crate) fn note(socket: *mut bpf_sock) {
    // SAFETY: a helper without arguments.
    let cgroup = unsafe { bpf_get_current_cgroup_id() };
    let mut birthplace = Birthplace { cgroup, path: [0; Birthplace::LEVELS] };
    for (level, id) in birthplace.path.iter_mut().enumerate() {
        // SAFETY: a helper that takes a number.
        *id = unsafe { bpf_get_current_ancestor_cgroup_id(level as i32) };
        if *id == 0 {
            break;
        }
    }
    // SAFETY: as above. Without memory nothing is noted, and the socket is the host's to whoever looks.
    let _noted = unsafe {
        bpf_sk_storage_get(raw(&BIRTHPLACES), socket.cast(), from_mut(&mut birthplace).cast(), CREATE)
    };
}

/// Of a socket that was there before, as an iterator over sockets comes upon it: the second field of its context.
#[inline(always)]
pub(crate) fn note_earlier(context: *mut c_void) {
    // SAFETY: `struct bpf_iter__tcp` and `struct bpf_iter__udp` have two pointers and more: what is common to all iterators, and the socket, which is null at the
    // end.
    unsafe {
        let socket = *context.cast::<*mut c_void>().add(1);
        if socket.is_null() {
            return;
        }
        let cookie = bpf_get_socket_cookie(socket);
        if let Some(birthplace) = EARLIER.get(cookie) {
            let _noted =
                bpf_sk_storage_get(raw(&BIRTHPLACES), socket, from_ref(birthplace).cast_mut().cast(), CREATE);
        }
    }
}
