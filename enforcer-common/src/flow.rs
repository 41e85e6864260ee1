//! The flow table: keys, entries, and when an entry dies.

use crate::address::Address;
use crate::maps::Direction;
use crate::verdict::{Cause, Word};

/// A flow as its subject sees it: the same key whichever way a packet goes. Holding the subject's number, it also proves
/// that `local` was found to be the subject's own when the entry was made.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct FlowKey<const N: usize> {
    /// Number of the hook: an interface index, or [`crate::maps::Subject::hosted`].
    pub subject: u32,
    /// The subject's address (or the group it was reached by).
    pub local: Address<N>,
    /// The peer's address.
    pub remote: Address<N>,
    /// The subject's port, network order; see [`crate::judge()`] for ICMP.
    pub local_port: u16,
    /// The peer's port, network order.
    pub remote_port: u16,
    /// IP protocol number.
    pub protocol: u8,
    /// Zero.
    pub reserved: [u8; 3],
}

impl<const N: usize> FlowKey<N> {
    /// Nothing known but the hook.
    #[inline(always)]
    pub const fn of(subject: u32) -> Self {
        Self {
            subject,
            local: [0; N],
            remote: [0; N],
            local_port: 0,
            remote_port: 0,
            protocol: 0,
            reserved: [0; 3],
        }
    }

    /// Source address of a packet that goes in `direction`.
    #[inline(always)]
    pub const fn source(&self, direction: Direction) -> &Address<N> {
        match direction {
            Direction::Egress => &self.local,
            Direction::Ingress => &self.remote,
        }
    }

    /// Destination address of a packet that goes in `direction`.
    #[inline(always)]
    pub const fn destination(&self, direction: Direction) -> &Address<N> {
        match direction {
            Direction::Egress => &self.remote,
            Direction::Ingress => &self.local,
        }
    }

    /// Source and destination port of a packet that goes in `direction`, network order.
    #[inline(always)]
    pub const fn ports(&self, direction: Direction) -> (u16, u16) {
        match direction {
            Direction::Egress => (self.local_port, self.remote_port),
            Direction::Ingress => (self.remote_port, self.local_port),
        }
    }

    /// Sets the ports of a packet that goes in `direction`, network order.
    #[inline(always)]
    pub const fn set_ports(&mut self, direction: Direction, source: u16, destination: u16) {
        match direction {
            Direction::Egress => (self.local_port, self.remote_port) = (source, destination),
            Direction::Ingress => (self.remote_port, self.local_port) = (source, destination),
        }
    }
}

/// Which of the two tables an entry is in. New flows can't push out established ones.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tier {
    /// Answered and going on.
    Established,
    /// Not yet answered; the least recently used goes when the table is full.
    Embryonic,
}

/// What is remembered of a flow.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FlowEntry {
    /// Epoch of the verdict.
    pub epoch: u32,
    /// Cause of the verdict, as [`Cause`] packs it.
    pub cause: u32,
    /// Boot-time nanoseconds after which the verdict no longer holds; `u64::MAX` for never.
    pub deadline: u64,
    /// Last packet, coarse monotonic clock, in [`FlowEntry::TICK`]s.
    pub seen: u32,
    /// [`FlowEntry::REPLIED`] and the like.
    pub state: u8,
    /// [`Word`] as a number, with [`FlowEntry::PASSES`].
    pub verdict: u8,
    /// [`crate::maps::Direction`] of the packet that opened it.
    pub opened: u8,
    /// Zero.
    pub reserved: u8,
    /// Packets the subject sent.
    pub packets_out: u64,
    /// Bytes the subject sent.
    pub bytes_out: u64,
    /// Packets the subject received.
    pub packets_in: u64,
    /// Bytes the subject received.
    pub bytes_in: u64,
    /// Who on this machine has the other end, where sockets told it when the flow was opened: [`crate::maps::Subject::hosted`]; else 0.
    pub resident: u32,
    /// Zero.
    pub padding: u32,
}

impl FlowEntry {
    /// The other end has answered.
    pub const REPLIED: u8 = 1;
    /// The opener has sent a FIN.
    pub const FIN_OPENER: u8 = 2;
    /// The other end has sent a FIN.
    pub const FIN_OTHER: u8 = 4;
    /// A reset has been seen.
    pub const RESET: u8 = 8;
    /// Bit of `verdict`: packets go on.
    pub const PASSES: u8 = 0x80;
    /// `seen` counts nanoseconds shifted right by this much: units of 16.8 ms.
    pub const TICK: u32 = 24;

    /// Nothing.
    pub const NONE: Self = Self {
        epoch: 0,
        cause: 0,
        deadline: 0,
        seen: 0,
        state: 0,
        verdict: 0,
        opened: 0,
        reserved: 0,
        packets_out: 0,
        bytes_out: 0,
        packets_in: 0,
        bytes_in: 0,
        resident: 0,
        padding: 0,
    };

    /// Whether the verdict lets packets on.
    #[inline(always)]
    pub const fn passes(&self) -> bool {
        self.verdict & Self::PASSES != 0
    }

    /// The word of the verdict.
    #[inline(always)]
    pub const fn word(&self) -> Word {
        Word::from_code(self.verdict & !Self::PASSES)
    }

    /// The cause of the verdict.
    #[inline(always)]
    pub const fn cause(&self) -> Cause {
        Cause(self.cause)
    }

    /// Direction of the packet that opened it.
    #[inline(always)]
    pub const fn opener(&self) -> Direction {
        if self.opened == 0 { Direction::Egress } else { Direction::Ingress }
    }

    /// Both ends have said goodbye, or one has reset.
    #[inline(always)]
    pub const fn closed(&self) -> bool {
        let both = Self::FIN_OPENER | Self::FIN_OTHER;
        self.state & Self::RESET != 0 || self.state & both == both
    }

    /// Ticks without a packet after which the flow is over. Values follow Linux conntrack's defaults, except TCP's
    /// five days, which are one here.
    #[inline(always)]
    pub const fn idle_limit(&self, protocol: u8) -> u32 {
        let seconds = match protocol {
            6 if self.closed() => 120,
            6 if self.state & Self::REPLIED == 0 => 120,
            6 => 86_400,
            1 | 58 => 30,
            17 if self.state & Self::REPLIED == 0 => 30,
            17 => 180,
            _ => 600,
        };
        ticks(seconds * 1_000_000_000)
    }

    /// Whether the flow has been idle for too long at tick `now`.
    #[inline(always)]
    pub const fn expired(&self, now: u32, protocol: u8) -> bool {
        // A packet on another CPU may have written a later tick: negative idle time is none.
        let idle = now.wrapping_sub(self.seen);
        idle > self.idle_limit(protocol) && idle < 1 << 31
    }
}

/// Nanoseconds as [`FlowEntry::seen`] counts them.
#[inline(always)]
pub const fn ticks(nanoseconds: u64) -> u32 {
    (nanoseconds >> FlowEntry::TICK) as u32
}

/// A fragmented datagram under way.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct FragmentKey<const N: usize> {
    /// Interface index of the hook, with the direction in the top bit.
    pub subject: u32,
    /// Identification field, network order (16 bits on IPv4).
    pub id: u32,
    /// Source address.
    pub source: Address<N>,
    /// Destination address.
    pub destination: Address<N>,
    /// Protocol of the fragments.
    pub protocol: u32,
}

/// What later fragments lack: the ports of the first one, by which they follow its flow.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FragmentEntry {
    /// First fragment, in ticks.
    pub seen: u32,
    /// Offset at which the next fragment must start; `u32::MAX` once the datagram was found to lie.
    pub next: u32,
    /// Source port of the first fragment, as in [`FlowKey`].
    pub source_port: u16,
    /// Destination port of the first fragment.
    pub destination_port: u16,
}

impl FragmentEntry {
    /// Ticks a datagram may take to arrive: 30 s, as Linux' `ipfrag_time`.
    pub const LIMIT: u32 = ticks(30_000_000_000);
}

const _: () = assert!(size_of::<FlowKey<1>>() == 20 && size_of::<FlowKey<4>>() == 44);
const _: () = assert!(size_of::<FlowEntry>() == 64);
const _: () = assert!(size_of::<FragmentKey<1>>() == 20 && size_of::<FragmentKey<4>>() == 44);
const _: () = assert!(size_of::<FragmentEntry>() == 12);
