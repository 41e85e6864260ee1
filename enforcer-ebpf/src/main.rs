//! The kernel programs: one verdict function at two hooks.
//!
//! They only ever take away: a packet that passes goes on to whatever other program or qdisc stands behind
//! (`TC_ACT_UNSPEC`), one that doesn't is dropped, and answered where its subject's Segment says so.
#![no_std]
#![no_main]

mod maps;
mod packet;
mod reject;
mod tables;

use aya_ebpf::bindings::{TC_ACT_SHOT, TC_ACT_UNSPEC};
use aya_ebpf::{macros::classifier, programs::TcContext};
use enforcer_common::Hook;
use enforcer_common::judge::judge_in;
use enforcer_common::maps::Direction;

/// What the workload sends: on the ingress side of its host-side device.
#[classifier]
pub fn enforcer_egress(ctx: TcContext) -> i32 {
    verdict(&ctx, Direction::Egress)
}

/// What the workload receives: on the egress side of its host-side device.
#[classifier]
pub fn enforcer_ingress(ctx: TcContext) -> i32 {
    verdict(&ctx, Direction::Ingress)
}

#[inline(always)]
fn verdict(ctx: &TcContext, direction: Direction) -> i32 {
    let skb = aya_ebpf::EbpfContext::as_ptr(ctx).cast();
    if reject::is_answer(skb, direction) {
        return TC_ACT_UNSPEC;
    }
    let packet = packet::Skb::new(ctx);
    let hook = Hook { subject: packet.interface(), direction };
    let Some(scratch) = maps::SCRATCH.get_ptr_mut(0) else { return TC_ACT_SHOT };
    // SAFETY: this CPU's own slot. Programs at these hooks run with bottom halves off, so none interrupts another on
    // its CPU; zeroed map memory is a value of the type.
    let scratch = unsafe { &mut *scratch };
    let outcome = judge_in(&packet, hook, scratch, &mut tables::Kernel);
    #[cfg(feature = "log")]
    aya_log_ebpf::debug!(
        ctx,
        "interface {} direction {} passes {}",
        hook.subject,
        direction as u8,
        outcome.passes as u8
    );
    if outcome.passes {
        return TC_ACT_UNSPEC;
    }
    if scratch.rejection.family != 0 {
        let (offsets, how) = reject::packed(&scratch.rejection, direction);
        // Sending an answer runs this program anew, on this CPU: the scratch isn't read any more from here on.
        if reject::enforcer_reject(skb, offsets, how) != 0 {
            return TC_ACT_UNSPEC;
        }
    }
    TC_ACT_SHOT
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// The kernel gives GPL-only helpers to programs that carry this.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
