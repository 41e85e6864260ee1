//! Stages of the verdict as global functions: the verifier walks each once, by itself, instead of once for every path that leads there.
//!
//! Before Linux 5.13 such functions take numbers and the context alone. So each finds the packet's room by itself, and everything that stages
//! tell each other is in there.

use crate::maps::{CLAIMED, SCRATCH};
use crate::packet::Skb;
use crate::tables::{Kernel, hook};
use aya_ebpf::bindings::__sk_buff;
use enforcer_common::judge::{self, Scratch, Step};

/// The room of the packet in hand. It is always there, as it was when the packet came: only the verifier can't know.
#[inline(always)]
fn room<const HOOK: u8>(number: u32) -> Option<&'static mut Scratch> {
    // SAFETY: this CPU's own, and the caller's; the caller is done with it until the stage ends (it reads and writes memory anew then).
    unsafe {
        if HOOK == hook::SOCKET_EGRESS {
            CLAIMED.get_ptr_mut(number).map(|claimed| &mut (*claimed).room.scratch)
        } else {
            SCRATCH.get_ptr_mut(number).map(|room| &mut (*room).scratch)
        }
    }
}

macro_rules! stages {
    ($hook:ident, $network:literal, $of:ident, $related:ident, $ask:ident, $tell:ident) => {
        #[inline(never)]
        #[unsafe(no_mangle)]
        extern "C" fn $related(skb: *mut __sk_buff, number: u32) -> u32 {
            let Some(scratch) = room::<{ hook::$hook }>(number) else { return Step::Done as u32 };
            let (context, sight) = scratch.$of();
            let mut tables = Kernel::<{ hook::$hook }> { skb, control: context.control(), room: number };
            judge::related(&Skb::<$network>::new(skb), context, sight, &mut tables) as u32
        }

        #[inline(never)]
        #[unsafe(no_mangle)]
        extern "C" fn $ask(skb: *mut __sk_buff, number: u32) -> u32 {
            let Some(scratch) = room::<{ hook::$hook }>(number) else { return 0 };
            let (context, sight) = scratch.$of();
            let mut tables = Kernel::<{ hook::$hook }> { skb, control: context.control(), room: number };
            judge::ask(context, sight, &mut tables);
            0
        }

        #[inline(never)]
        #[unsafe(no_mangle)]
        extern "C" fn $tell(number: u32, family: u32) -> u32 {
            let Some(scratch) = room::<{ hook::$hook }>(number) else { return 0 };
            let (context, sight) = scratch.$of();
            // Passing it without need would cost the caller a register.
            let skb = core::ptr::null_mut();
            let mut tables = Kernel::<{ hook::$hook }> { skb, control: context.control(), room: number };
            judge::tell(context, sight, family as u8, &mut tables);
            0
        }
    };
}

stages!(DEVICE, 14, of4, enforcer_device_related4, enforcer_device_ask4, enforcer_device_tell4);
stages!(DEVICE, 14, of6, enforcer_device_related6, enforcer_device_ask6, enforcer_device_tell6);
stages!(SOCKET_INGRESS, 0, of4, enforcer_ingress_related4, enforcer_ingress_ask4, enforcer_ingress_tell4);
stages!(SOCKET_INGRESS, 0, of6, enforcer_ingress_related6, enforcer_ingress_ask6, enforcer_ingress_tell6);
stages!(SOCKET_EGRESS, 0, of4, enforcer_egress_related4, enforcer_egress_ask4, enforcer_egress_tell4);
stages!(SOCKET_EGRESS, 0, of6, enforcer_egress_related6, enforcer_egress_ask6, enforcer_egress_tell6);

macro_rules! of_hook {
    ($name:ident($($given:ident: $kind:ty),*), $device:ident, $ingress:ident, $egress:ident) => {
        #[inline(always)]
        pub(crate) fn $name<const HOOK: u8>($($given: $kind),*) -> u32 {
            match HOOK {
                hook::SOCKET_INGRESS => $ingress($($given),*),
                hook::SOCKET_EGRESS => $egress($($given),*),
                _ => $device($($given),*),
            }
        }
    };
    (stage $name:ident, $($of:ident),*) => {
        of_hook!($name(skb: *mut __sk_buff, room: u32), $($of),*);
    };
}

of_hook!(stage related4, enforcer_device_related4, enforcer_ingress_related4, enforcer_egress_related4);
of_hook!(stage related6, enforcer_device_related6, enforcer_ingress_related6, enforcer_egress_related6);
of_hook!(stage ask4, enforcer_device_ask4, enforcer_ingress_ask4, enforcer_egress_ask4);
of_hook!(stage ask6, enforcer_device_ask6, enforcer_ingress_ask6, enforcer_egress_ask6);
of_hook!(tell4(room: u32, family: u32), enforcer_device_tell4, enforcer_ingress_tell4, enforcer_egress_tell4);
of_hook!(tell6(room: u32, family: u32), enforcer_device_tell6, enforcer_ingress_tell6, enforcer_egress_tell6);
