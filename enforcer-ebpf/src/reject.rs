//! Telling the sender of a denied packet: a TCP reset, else an ICMP error "administratively prohibited", made out of the packet itself
//! and sent back through the device it came by. It carries a mark that only these programs know, so that no hook judges it.

use crate::maps::EVENT_COUNTS;
use crate::tables::KernelClock;
use aya_ebpf::Global;
use aya_ebpf::bindings::{__sk_buff, BPF_F_INGRESS};
use aya_ebpf::helpers::{
    bpf_clone_redirect, bpf_csum_diff, bpf_skb_change_tail, bpf_skb_load_bytes, bpf_skb_store_bytes,
};
use core::ffi::c_void;
use enforcer_common::checksum::folded;
use enforcer_common::judge::Rejection;
use enforcer_common::maps::{Direction, limits};
use enforcer_common::packet::flags::{ACK, FIN, RST, SYN};
use enforcer_common::tables::Clock as _;

/// Drawn by whoever loads the programs.
#[unsafe(no_mangle)]
static MARK: Global<u32> = Global::new(0);

/// No answer made here is longer: a link header with one tag, and an ICMPv6 error.
const LONGEST: u32 = 18 + 96;

/// Whether the frame is an answer made here, on its way.
#[inline(always)]
pub(crate) fn is_answer(skb: *mut __sk_buff, direction: Direction) -> bool {
    // SAFETY: the kernel hands programs a valid context.
    let skb = unsafe { &mut *skb };
    let mark = MARK.load();
    if mark == 0 || skb.mark != mark || skb.len > LONGEST {
        return false;
    }
    if matches!(direction, Direction::Ingress) {
        // Here it ends.
        skb.mark = 0;
    }
    true
}

/// Does what a [`Rejection`] says; whether the packet is to go on, because it has become the other end's reset. A global
/// function: the verifier walks it once, by itself.
#[inline(never)]
#[unsafe(no_mangle)]
pub extern "C" fn enforcer_reject(skb: *mut __sk_buff, offsets: u32, how: u32) -> u32 {
    let (network, transport) = (offsets & 0xffff, offsets >> 16);
    let (protocol, family, both) = (how as u8, (how >> 8) as u8, how >> 16 & 1 != 0);
    let back = if how >> 24 & 1 == 0 { 0 } else { BPF_F_INGRESS as u64 };
    // Without a link header there is no way back; and the verifier wants bounds.
    if !(14..=18).contains(&network) || transport <= network || transport > 2_048 {
        return 0;
    }
    let frame = Frame { skb, network, transport, back };
    let done = match (protocol, family) {
        (6, 4) => frame.reset(true, both),
        (6, _) => frame.reset(false, both),
        (_, 4) => frame.prohibit(true),
        _ => frame.prohibit(false),
    };
    (done == Some(Next::Forward)) as u32
}

/// What becomes of the packet that was in hand.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    Drop,
    /// It is a reset for the other end.
    Forward,
}

/// A denied frame.
struct Frame {
    skb: *mut __sk_buff,
    network: u32,
    transport: u32,
    /// Flags of the redirection that sends an answer back.
    back: u64,
}

/// Words of an answer at most: an IPv6 header, an ICMPv6 header, an IPv6 header and eight bytes.
const WORDS: usize = 24;

impl Frame {
    #[inline(always)]
    fn load<const N: usize>(&self, offset: u32) -> Option<[u32; N]> {
        let mut words = [0; N];
        // SAFETY: as long as stated.
        match unsafe { bpf_skb_load_bytes(self.skb.cast(), offset, words.as_mut_ptr().cast(), 4 * N as u32) }
        {
            0 => Some(words),
            _ => None,
        }
    }

    #[inline(always)]
    fn store(&self, offset: u32, bytes: *const c_void, len: u32) -> Option<()> {
        // SAFETY: callers pass the size of what they point at.
        (unsafe { bpf_skb_store_bytes(self.skb, offset, bytes, len, 0) } == 0).then_some(())
    }

    /// A reset for the sender; and where `both`, what remains in hand becomes one for the other end.
    #[inline(always)]
    fn reset(&self, v4: bool, both: bool) -> Option<Next> {
        let [source, destination] = self.addresses(v4)?;
        let [ports, seq, ack, flags, check] = self.load::<5>(self.transport)?;
        let [offset, set, ..] = flags.to_ne_bytes();
        let end = self.end(v4)?;
        let data = end.wrapping_sub(self.transport + (offset >> 4) as u32 * 4) & 0x1f_ffff;
        let length = end.wrapping_sub(self.transport) & 0x1f_ffff;
        // RFC 9293, 3.5.2: what was acknowledged is where the reset stands, else it acknowledges what came.
        let occupied = data + (set & (SYN | FIN) != 0) as u32;
        let (at, acknowledged, with) = if set & ACK != 0 {
            (ack, 0, RST)
        } else {
            (0, u32::from_be(seq).wrapping_add(occupied).to_be(), RST | ACK)
        };
        let turned = ports.rotate_left(16);
        let macs = self.load::<3>(0)?;
        let reply = Reset {
            source: destination,
            destination: source,
            ports: turned,
            seq: at,
            ack: acknowledged,
            set: with,
        };
        // What the kernel leaves to the device to check-sum holds the sum of the pseudo header alone.
        let partial = check as u16 == pseudo(&source, &destination, length);
        self.write(&reply, v4, false)?;
        self.swap(macs)?;
        self.send()?;
        if !both {
            return Some(Next::Drop);
        }
        let set = RST | set & ACK;
        self.write(&Reset { source, destination, ports, seq, ack, set }, v4, partial)?;
        self.store(0, macs.as_ptr().cast(), 12)?;
        Some(Next::Forward)
    }

    /// Makes the frame a reset.
    #[inline(always)]
    fn write(&self, reset: &Reset, v4: bool, partial: bool) -> Option<()> {
        let mut words = [0_u32; 15];
        let Reset { source, destination, ports, seq, ack, set } = reset;
        words[10] = *ports;
        words[11] = *seq;
        words[12] = *ack;
        words[13] = u32::from_ne_bytes([0x50, *set, 0, 0]);
        if v4 {
            (words[8], words[9]) = (source[3], destination[3]);
            words[5] = u32::from_ne_bytes([0x45, 0, 0, 40]);
            words[6] = u32::from_ne_bytes([0, 0, 0x40, 0]);
            words[7] = u32::from_ne_bytes([64, 6, 0, 0]);
            words[7] |= (check::<20>(&raw mut words[5], 0) as u32) << 16;
        } else {
            words[2..6].copy_from_slice(source);
            words[6..10].copy_from_slice(destination);
            words[0] = u32::from_ne_bytes([0x60, 0, 0, 0]);
            words[1] = u32::from_ne_bytes([0, 20, 6, 64]);
        }
        // Behind the addresses in a pseudo header: the protocol, and how long the segment is.
        let rest = u32::from_ne_bytes([0, 6, 0, 20]);
        words[14] = if partial {
            pseudo(source, destination, 20)
        } else if v4 {
            check::<28>(&raw mut words[8], rest)
        } else {
            check::<52>(&raw mut words[2], rest)
        } as u32;
        if v4 {
            self.replace::<40>((&raw const words[5]).cast())
        } else {
            self.replace::<60>(words.as_ptr().cast())
        }
    }

    /// Puts an answer in place of the packet. A constant size: the verifier wants to know which bytes of the stack are read.
    #[inline(always)]
    fn replace<const LEN: u32>(&self, answer: *const c_void) -> Option<()> {
        // SAFETY: a helper on the context in hand.
        if unsafe { bpf_skb_change_tail(self.skb, self.network + LEN, 0) } != 0 {
            return None;
        }
        self.store(self.network, answer, LEN)
    }

    /// An ICMP error for the sender (RFC 1812, RFC 4443), unless too many were sent of late. It quotes the IP header and eight bytes, so
    /// it isn't made of packets with options or extension headers.
    #[inline(always)]
    fn prohibit(&self, v4: bool) -> Option<Next> {
        if self.transport - self.network != if v4 { 20 } else { 40 } || !may_answer() {
            return None;
        }
        let [source, destination] = self.addresses(v4)?;
        let macs = self.load::<3>(0)?;
        let mut words = [0_u32; WORDS];
        if v4 {
            let quoted = self.load::<7>(self.network)?;
            words[7..14].copy_from_slice(&quoted);
            words[0] = u32::from_ne_bytes([0x45, 0, 0, 56]);
            words[1] = u32::from_ne_bytes([0, 0, 0x40, 0]);
            words[2] = u32::from_ne_bytes([64, 1, 0, 0]);
            (words[3], words[4]) = (destination[3], source[3]);
            words[2] |= (check::<20>(&raw mut words[0], 0) as u32) << 16;
            words[5] = u32::from_ne_bytes([3, 13, 0, 0]);
            words[5] |= (check::<36>(&raw mut words[5], 0) as u32) << 16;
            self.replace::<56>(words.as_ptr().cast())?;
        } else {
            let quoted = self.load::<12>(self.network)?;
            words[12..24].copy_from_slice(&quoted);
            words[0] = u32::from_ne_bytes([0x60, 0, 0, 0]);
            words[1] = u32::from_ne_bytes([0, 56, 58, 64]);
            words[2..6].copy_from_slice(&destination);
            words[6..10].copy_from_slice(&source);
            words[10] = u32::from_ne_bytes([1, 1, 0, 0]);
            let rest = u32::from_ne_bytes([0, 58, 0, 56]);
            words[10] |= (check::<88>(&raw mut words[2], rest) as u32) << 16;
            self.replace::<96>(words.as_ptr().cast())?;
        }
        self.swap(macs)?;
        self.send()?;
        Some(Next::Drop)
    }

    /// Source and destination, of IPv4 in the last word.
    #[inline(always)]
    fn addresses(&self, v4: bool) -> Option<[[u32; 4]; 2]> {
        if v4 {
            let [source, destination] = self.load::<2>(self.network + 12)?;
            return Some([[0, 0, 0, source], [0, 0, 0, destination]]);
        }
        let [a, b, c, d, e, f, g, h] = self.load::<8>(self.network + 8)?;
        Some([[a, b, c, d], [e, f, g, h]])
    }

    /// Offset one past the IP payload.
    #[inline(always)]
    fn end(&self, v4: bool) -> Option<u32> {
        let [word] = self.load::<1>(self.network + if v4 { 0 } else { 4 })?;
        let [a, b, c, d] = word.to_ne_bytes();
        let length = if v4 { u16::from_be_bytes([c, d]) } else { u16::from_be_bytes([a, b]) };
        Some(self.network + length as u32 + if v4 { 0 } else { 40 })
    }

    /// Puts the sender's hardware address where the receiver's was.
    #[inline(always)]
    fn swap(&self, [a, b, c]: [u32; 3]) -> Option<()> {
        let ([b0, b1, b2, b3], [c0, c1, c2, c3]) = (b.to_ne_bytes(), c.to_ne_bytes());
        let [a0, a1, a2, a3] = a.to_ne_bytes();
        let turned = [b2, b3, c0, c1, c2, c3, a0, a1, a2, a3, b0, b1];
        self.store(0, turned.as_ptr().cast(), 12)
    }

    /// Sends a copy back the way the packet came, marked; the mark stays on what is in hand.
    #[inline(always)]
    fn send(&self) -> Option<()> {
        // SAFETY: as above.
        let device = unsafe {
            (*self.skb).mark = MARK.load();
            (*self.skb).ifindex
        };
        // SAFETY: as above.
        (unsafe { bpf_clone_redirect(self.skb, device, self.back) } == 0).then_some(())
    }
}

/// A TCP segment without data, network order.
struct Reset {
    source: [u32; 4],
    destination: [u32; 4],
    ports: u32,
    seq: u32,
    ack: u32,
    set: u8,
}

/// The checksum of `N` bytes that start at `words`, and of `rest`.
#[inline(always)]
fn check<const N: u32>(words: *mut u32, rest: u32) -> u16 {
    // SAFETY: callers have `N` bytes there.
    let sum = unsafe { bpf_csum_diff(core::ptr::null_mut(), 0, words, N, rest) };
    !folded(sum as u32 as u64)
}

/// The sum of TCP's pseudo header, not complemented.
#[inline(always)]
fn pseudo(source: &[u32; 4], destination: &[u32; 4], length: u32) -> u16 {
    let mut total = u32::from_ne_bytes([0, 6, 0, 0]) as u64 + length.to_be() as u64;
    let mut i = 0;
    while i < 4 {
        total += source[i] as u64 + destination[i] as u64;
        i += 1;
    }
    folded(total)
}

/// Whether one more ICMP error may be sent by this CPU now.
#[inline(always)]
fn may_answer() -> bool {
    let Some(counter) = EVENT_COUNTS.get_ptr_mut(0) else { return false };
    // SAFETY: this CPU's own slot; programs on one CPU don't interrupt each other.
    let counter = unsafe { &mut *counter };
    counter.answers.take(KernelClock.coarse(), limits::DENY_ANSWERS)
}

/// The arguments of [`enforcer_reject`].
#[inline(always)]
pub(crate) fn packed(rejection: &Rejection, direction: Direction) -> (u32, u32) {
    let Rejection { network, transport, protocol, family, both, reserved: _ } = *rejection;
    let how = protocol as u32 | (family as u32) << 8 | (both as u32) << 16 | (direction as u32) << 24;
    (network as u32 | (transport as u32) << 16, how)
}
