//! Who of this machine has a socket: by the cgroup in which it was made.

use crate::maps::CGROUPS;
use aya_ebpf::bindings::{__sk_buff, bpf_sock_tuple};
use aya_ebpf::helpers::{
    bpf_sk_ancestor_cgroup_id, bpf_sk_cgroup_id, bpf_sk_lookup_tcp, bpf_sk_lookup_udp, bpf_sk_release,
    bpf_skb_ancestor_cgroup_id, bpf_skb_cgroup_id,
};
use core::mem::MaybeUninit;
use enforcer_common::flow::FlowKey;
use enforcer_common::maps::CgroupKey;

/// Levels of the hierarchy in which a cgroup that isn't in the table has an ancestor that is. What lies deeper is like that.
const LEVELS: i32 = 16;
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

macro_rules! lookup {
    ($name:ident, $words:literal, $field:ident $($word:tt)*) => {
        /// Who has the other end of a flow; 0 where no socket has it. A function of its own: the verifier has to see that the socket is let go of
        /// on every path.
        #[inline(never)]
        pub(crate) fn $name(skb: *mut __sk_buff, bank: u32, key: &FlowKey<$words>) -> u32 {
            let mut tuple = MaybeUninit::<bpf_sock_tuple>::zeroed();
            let at = tuple.as_mut_ptr();
            let addresses = $words as u32 * 8;
            // SAFETY: zeroed integers are a value of the union, and the fields written are those of the family.
            let socket = unsafe {
                let ends = &mut (*at).__bindgen_anon_1.$field;
                (ends.saddr, ends.daddr) = (key.local $($word)*, key.remote $($word)*);
                (ends.sport, ends.dport) = (key.local_port, key.remote_port);
                let (skb, netns) = (skb.cast(), THIS_NAMESPACE);
                match key.protocol {
                    TCP => bpf_sk_lookup_tcp(skb, at, addresses + 4, netns, 0),
                    UDP => bpf_sk_lookup_udp(skb, at, addresses + 4, netns, 0),
                    _ => return 0,
                }
            };
            if socket.is_null() {
                return 0;
            }
            let socket = socket.cast();
            // SAFETY: the look-up's reference is held until the release below.
            unsafe {
                let id = bpf_sk_cgroup_id(socket);
                let found = number(bank, id, |level| bpf_sk_ancestor_cgroup_id(socket, level));
                bpf_sk_release(socket);
                found
            }
        }
    };
}

lookup!(of_flow4, 1, ipv4[0]);
lookup!(of_flow6, 4, ipv6);
