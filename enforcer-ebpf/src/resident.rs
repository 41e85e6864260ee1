//! Who of this machine has a socket: by the cgroup in which it was made.

use crate::maps::{BIRTHPLACES, CGROUPS, raw};
use aya_ebpf::bindings::{__sk_buff, bpf_sock_tuple};
use aya_ebpf::helpers::{
    bpf_sk_ancestor_cgroup_id, bpf_sk_cgroup_id, bpf_sk_lookup_tcp, bpf_sk_lookup_udp, bpf_sk_release,
    bpf_sk_storage_get, bpf_skb_ancestor_cgroup_id, bpf_skb_cgroup_id,
};
use core::ffi::c_void;
use core::mem::MaybeUninit;
use core::ptr::null_mut;
use enforcer_common::flow::FlowKey;
use enforcer_common::maps::{Birthplace, CgroupKey};

const LEVELS: i32 = Birthplace::LEVELS as i32;
const TCP: u8 = 6;
const UDP: u8 = 17;
/// The network namespace of the packet in hand.
const THIS_NAMESPACE: u64 = u64::MAX;

/// Who the socket belongs to that the packet in hand comes from, or goes to; 0 where it has none, or where nothing is known of its part of the hierarchy.
#[inline(never)]
pub(crate) fn owner(skb: *mut __sk_buff, bank: u32) -> u32 {
    // SAFETY: the kernel hands programs a valid context.
    let id = unsafe { bpf_skb_cgroup_id(skb) };
    if id == 0 {
        return 0;
    }
    // SAFETY: as above.
    number(bank, id, |level| unsafe { bpf_skb_ancestor_cgroup_id(skb, level) })
}

/// Whose a cgroup is: its own entry says so, else that of its nearest ancestor which has one; 0 where none has.
#[inline(always)]
fn number(bank: u32, id: u64, ancestor: impl Fn(i32) -> u64) -> u32 {
    let entry = |id| {
        // SAFETY: copied at once.
        unsafe { CGROUPS.get(CgroupKey::new(bank, id)).copied() }
    };
    if let Some(found) = entry(id) {
        return found.number;
    }
    let mut below = 0;
    for level in 0..LEVELS {
        let id = ancestor(level);
        if id == 0 {
            break;
        }
        if let Some(found) = entry(id) {
            below = found.below;
        }
    }
    below
}

/// Whose a socket is that is held, by what is kept with it, if anything is.
#[inline(always)]
unsafe fn maker(bank: u32, socket: *mut c_void) -> Option<u32> {
    // SAFETY: what is kept with a socket lives on until the program has run, also if it is taken away meanwhile.
    let birthplace = unsafe {
        bpf_sk_storage_get(raw(&BIRTHPLACES), socket, null_mut(), 0).cast::<Birthplace>().as_ref()
    }?;
    Some(number(bank, birthplace.cgroup, |level| birthplace.path[level as usize]))
}

macro_rules! lookup {
    ($find:ident, $of_flow:ident, $behind:ident, $words:literal, $field:ident $($word:tt)*) => {
        /// The socket here that has the other end of a flow, or would be asked for it; null where none has. It has to be released.
        #[inline(always)]
        fn $find(skb: *mut __sk_buff, key: &FlowKey<$words>, local_port: u16) -> *mut c_void {
            let mut tuple = MaybeUninit::<bpf_sock_tuple>::zeroed();
            let at = tuple.as_mut_ptr();
            let addresses = $words as u32 * 8;
            // SAFETY: zeroed integers are a value of the union, and the fields written are those of the family.
            unsafe {
                let ends = &mut (*at).__bindgen_anon_1.$field;
                (ends.saddr, ends.daddr) = (key.local $($word)*, key.remote $($word)*);
                (ends.sport, ends.dport) = (local_port, key.remote_port);
                let (skb, netns) = (skb.cast(), THIS_NAMESPACE);
                match key.protocol {
                    TCP => bpf_sk_lookup_tcp(skb, at, addresses + 4, netns, 0).cast(),
                    UDP => bpf_sk_lookup_udp(skb, at, addresses + 4, netns, 0).cast(),
                    _ => null_mut(),
                }
            }
        }

        /// Who has the other end of a flow; 0 where no socket has it. A function of its own: the verifier has to see that the socket is let go of
        /// on every path.
        #[inline(never)]
        pub(crate) fn $of_flow(skb: *mut __sk_buff, bank: u32, key: &FlowKey<$words>) -> u32 {
            let socket = $find(skb, key, key.local_port);
            if socket.is_null() {
                return 0;
            }
            // SAFETY: the look-up's reference is held until the release below.
            unsafe {
                let id = bpf_sk_cgroup_id(socket);
                let found = number(bank, id, |level| bpf_sk_ancestor_cgroup_id(socket, level));
                bpf_sk_release(socket);
                found
            }
        }

        /// The same for who is behind a device. Programs there may not ask for a socket's cgroup, so what was kept with it when it was made tells.
        #[inline(never)]
        pub(crate) fn $behind(skb: *mut __sk_buff, bank: u32, key: &FlowKey<$words>) -> u32 {
            // Nothing is kept with what a listener has accepted, and nothing is left of a connection that has ended: then the listener is asked for,
            // by a port that nobody connects from.
            let mut port = key.local_port;
            for _ in 0..2 {
                let socket = $find(skb, key, port);
                if !socket.is_null() {
                    // SAFETY: the look-up's reference is held until the release.
                    let found = unsafe {
                        let found = maker(bank, socket);
                        bpf_sk_release(socket);
                        found
                    };
                    if let Some(found) = found {
                        return found;
                    }
                }
                if key.protocol != TCP {
                    break;
                }
                port = 0;
            }
            0
        }
    };
}

lookup!(find4, of_flow4, behind4, 1, ipv4[0]);
lookup!(find6, of_flow6, behind6, 4, ipv6);
