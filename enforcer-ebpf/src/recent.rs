//! Whose the cgroups are that packets were from, or for, of late: a look into the table is an eighth of what an established packet costs.

use crate::resident;
use aya_ebpf::bindings::__sk_buff;
use aya_ebpf::helpers::bpf_skb_cgroup_id;
use enforcer_common::maps::Control;

/// What the table said of a cgroup. Zeroed memory says nothing: no cgroup has that number.
#[repr(C)]
#[derive(Clone, Copy)]
struct Known {
    cgroup: u64,
    /// For as long as this is in force. It changes with whatever changes the table.
    control: Control,
    number: u64,
}

/// The cgroups of one room.
pub(crate) struct Recent([Known; Self::SLOTS]);

impl Recent {
    /// A power of two. Numbers of cgroups that are made one after the other are consecutive.
    const SLOTS: usize = 16;

    /// As [`resident::owner`].
    #[inline(always)]
    pub(crate) fn owner(&mut self, skb: *mut __sk_buff, control: Control) -> u32 {
        // SAFETY: the kernel hands programs a valid context.
        let cgroup = unsafe { bpf_skb_cgroup_id(skb) };
        if cgroup == 0 {
            return 0;
        }
        let known = &mut self.0[cgroup as usize % Self::SLOTS];
        if known.cgroup == cgroup && known.control.0 == control.0 {
            return known.number as u32;
        }
        let number = resident::owner(skb, control.bank());
        *known = Known { cgroup, control, number: number as u64 };
        number
    }
}
