//! Stages of the verdict as global functions: the verifier walks each once, by itself, instead of once for every path that leads there.
//!
//! Before Linux 5.13 such functions take numbers and the context alone. So each finds the packet's room by itself, and everything that stages
//! tell each other is in there.

use crate::maps::{CLAIMED, SCRATCH};
use crate::packet::Skb;
use crate::tables::{Kernel, hook};
use aya_ebpf::bindings::__sk_buff;
use enforcer_common::judge::{self, Scratch, Step};

/// The room of the packet in hand.
#[inline(always)]
fn room<const HOOK: u8>(number: u32) -> Option<&'static mut Scratch> {
    // SAFETY: this CPU's own, and the caller's; the caller is done with it until the stage ends (it reads and writes memory anew then).
    unsafe {
        if HOOK == hook::SOCKET_EGRESS {
            CLAIMED.get_ptr_mut(number).map(|room| &mut (*room).scratch)
        } else {
            SCRATCH.get_ptr_mut(number).map(|room| &mut *room)
        }
    }
}

macro_rules! stages {
    ($of:ident, $related:ident, $ask:ident, $(($hook:ident, $network:literal, $its_related:ident, $its_ask:ident)),*) => {
        $(
            #[inline(never)]
            #[unsafe(no_mangle)]
            extern "C" fn $its_related(skb: *mut __sk_buff, number: u32) -> u32 {
                let Some(scratch) = room::<{ hook::$hook }>(number) else { return Step::Done as u32 };
                let (context, sight) = scratch.$of();
                let mut tables = Kernel::<{ hook::$hook }> { skb, control: context.control(), room: number };
                judge::related(&Skb::<$network>::new(skb), context, sight, &mut tables) as u32
            }

            #[inline(never)]
            #[unsafe(no_mangle)]
            extern "C" fn $its_ask(skb: *mut __sk_buff, number: u32) -> u32 {
                let Some(scratch) = room::<{ hook::$hook }>(number) else { return 0 };
                let (context, sight) = scratch.$of();
                let mut tables = Kernel::<{ hook::$hook }> { skb, control: context.control(), room: number };
                judge::ask(context, sight, &mut tables);
                0
            }
        )*

        /// Judges an ICMP error.
        #[inline(always)]
        pub(crate) fn $related<const HOOK: u8>(skb: *mut __sk_buff, number: u32) -> Step {
            let step = match HOOK {
                $(hook::$hook => $its_related(skb, number),)*
                _ => 0,
            };
            if step == Step::Ask as u32 { Step::Ask } else { Step::Done }
        }

        /// Asks the rules.
        #[inline(always)]
        pub(crate) fn $ask<const HOOK: u8>(skb: *mut __sk_buff, number: u32) {
            match HOOK {
                $(hook::$hook => $its_ask(skb, number),)*
                _ => 0,
            };
        }
    };
}

stages!(
    of4,
    related4,
    ask4,
    (DEVICE, 14, enforcer_device_related4, enforcer_device_ask4),
    (SOCKET_INGRESS, 0, enforcer_ingress_related4, enforcer_ingress_ask4),
    (SOCKET_EGRESS, 0, enforcer_egress_related4, enforcer_egress_ask4)
);
stages!(
    of6,
    related6,
    ask6,
    (DEVICE, 14, enforcer_device_related6, enforcer_device_ask6),
    (SOCKET_INGRESS, 0, enforcer_ingress_related6, enforcer_ingress_ask6),
    (SOCKET_EGRESS, 0, enforcer_egress_related6, enforcer_egress_ask6)
);
