//! The kernel programs.
#![no_std]
#![no_main]

use aya_ebpf::{bindings::TC_ACT_UNSPEC, macros::classifier, programs::TcContext};

/// What a workload's device receives from the workload.
#[classifier]
pub fn enforcer_egress(_ctx: TcContext) -> i32 {
    TC_ACT_UNSPEC
}

/// What the host sends to the workload's device.
#[classifier]
pub fn enforcer_ingress(_ctx: TcContext) -> i32 {
    TC_ACT_UNSPEC
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// The kernel gives GPL-only helpers to programs that carry this.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
