//! The kernel programs: one verdict function at four hooks, and a note of where sockets are made.
//!
//! They only ever take away: a packet that passes goes on to whatever other program or qdisc stands behind
//! (`TC_ACT_UNSPEC`), one that doesn't is dropped, and answered where its subject's Segment says so.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

mod atomic;
mod birthplace;
mod claim;
mod maps;
mod packet;
mod recent;
mod reject;
mod resident;
mod stages;
mod tables;

use aya_ebpf::bindings::{TC_ACT_SHOT, TC_ACT_UNSPEC};
use aya_ebpf::macros::{cgroup_skb, cgroup_sock, classifier};
use aya_ebpf::programs::{SkBuffContext, SockContext, TcContext};
use claim::{Claimed, Room};
use core::ffi::c_void;
use enforcer_common::judge::judge_in;
use enforcer_common::maps::{Direction, Subject, Tally, mode};
use enforcer_common::tables::Tables;
use enforcer_common::{Hook, Outcome, Reason};
use tables::{Kernel, hook};

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
    let packet = packet::Framed::new(skb);
    let hook = Hook { subject: packet.interface(), direction };
    let Some(room) = maps::SCRATCH.get_ptr_mut(0) else { return TC_ACT_SHOT };
    // SAFETY: this CPU's own slot. Programs at these hooks run with bottom halves off, so none interrupts another on
    // its CPU; zeroed map memory is a value of the type.
    let scratch = unsafe { &mut (*room).scratch };
    let outcome = judge_in(&packet, hook, scratch, &mut Kernel::<{ hook::DEVICE }>::new(skb));
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

/// What a socket of the cgroup root's descendants sends.
#[cgroup_skb(egress)]
pub fn enforcer_socket_egress(ctx: SkBuffContext) -> i32 {
    let mut tables = Kernel::<{ hook::SOCKET_EGRESS }>::new(ctx.skb.skb);
    let Some(claimed) = Claimed::take() else {
        let outcome = Outcome::deny(Reason::FlowTableFull);
        tables.count(&outcome, Tally::new(mode::ENFORCE, Direction::Egress, outcome.word), ctx.len(), false);
        return DROP;
    };
    tables.room = claimed.number as u32;
    let passes = socket(&ctx, Direction::Egress, &mut claimed.room, &mut tables);
    claimed.give_back();
    passes
}

/// What such a socket is about to receive.
#[cgroup_skb(ingress)]
pub fn enforcer_socket_ingress(ctx: SkBuffContext) -> i32 {
    let mut tables = Kernel::<{ hook::SOCKET_INGRESS }>::new(ctx.skb.skb);
    let Some(room) = maps::SCRATCH.get_ptr_mut(0) else { return DROP };
    // SAFETY: this CPU's own slot. Packets are received with bottom halves off, as devices' programs run.
    let room = unsafe { &mut *room };
    socket(&ctx, Direction::Ingress, room, &mut tables)
}

const DROP: i32 = 0;

#[inline(always)]
fn socket<const HOOK: u8>(
    ctx: &SkBuffContext,
    direction: Direction,
    room: &mut Room,
    tables: &mut Kernel<HOOK>,
) -> i32 {
    let skb = ctx.skb.skb;
    let subject = match room.recent.owner(skb, tables.control) {
        0 => Subject::UNKNOWN,
        known => known,
    };
    let hook = Hook { subject, direction };
    let outcome = judge_in(&packet::Bare::new(skb), hook, &mut room.scratch, tables);
    // 1 lets the packet on. The verifier wants to see that it is nothing else.
    core::hint::black_box(outcome.passes as i32) & 1
}

/// A socket that is made.
#[cgroup_sock(sock_create)]
pub fn enforcer_socket_made(ctx: SockContext) -> i32 {
    birthplace::note(ctx.sock);
    GO_ON
}

/// One that is bound to an IPv4 address. Those that the kernel makes inside others (MPTCP's) are seen here only.
#[cgroup_sock(post_bind4)]
pub fn enforcer_socket_bound4(ctx: SockContext) -> i32 {
    birthplace::note_unless_known(ctx.sock);
    GO_ON
}

/// The same for IPv6.
#[cgroup_sock(post_bind6)]
pub fn enforcer_socket_bound6(ctx: SockContext) -> i32 {
    birthplace::note_unless_known(ctx.sock);
    GO_ON
}

/// Whatever comes of it, the process gets its socket.
const GO_ON: i32 = 1;

/// A TCP socket that is older than the hooks. aya has no form for iterators' programs.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/tcp")]
pub extern "C" fn enforcer_earlier_tcp(context: *mut c_void) -> i32 {
    birthplace::note_earlier(context);
    0
}

/// The same for UDP.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/udp")]
pub extern "C" fn enforcer_earlier_udp(context: *mut c_void) -> i32 {
    birthplace::note_earlier(context);
    0
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// The kernel gives GPL-only helpers to programs that carry this.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
