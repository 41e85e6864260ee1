//! The record of a verdict that goes to userspace.

/// One judged packet: every packet that opens a flow, every change of an open flow's verdict, and denied packets up to a rate.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FlowEvent {
    /// Boot-time clock, nanoseconds.
    pub time: u64,
    /// Epoch of the verdict.
    pub epoch: u32,
    /// Interface index of the hook.
    pub subject: u32,
    /// The subject's identity number.
    pub identity: u32,
    /// The peer's identity number, 0 where unknown or the world.
    pub peer: u32,
    /// As [`crate::Cause`] packs it.
    pub cause: u32,
    /// Length of the packet, link header included.
    pub bytes: u32,
    /// Source address; IPv4 in the first word.
    pub source: [u32; 4],
    /// Destination address.
    pub destination: [u32; 4],
    /// Source port in host order; for ICMP queries the identifier.
    pub source_port: u16,
    /// Destination port in host order; for ICMP `type << 8 | code`.
    pub destination_port: u16,
    /// IP protocol number, or 0 where the packet wasn't parsed that far.
    pub protocol: u8,
    /// 4, 6, or 0 where the packet isn't IP.
    pub family: u8,
    /// [`crate::maps::Direction`].
    pub direction: u8,
    /// [`crate::Word`].
    pub word: u8,
    /// Whether the packet went on.
    pub passes: u8,
    /// [`FlowEvent::NEW`] and the like.
    pub flags: u8,
    /// Zero.
    pub reserved: u16,
    /// Where [`FlowEvent::CHANGED`]: the epoch of the flow's verdict until then. The same as `epoch` where a deadline changed it.
    pub before: u32,
}

impl FlowEvent {
    /// Opened a flow.
    pub const NEW: u8 = 1;
    /// An open flow was judged again and its verdict changed.
    pub const CHANGED: u8 = 2;
    /// Along with [`FlowEvent::CHANGED`]: the flow passed until then, and doesn't any more.
    pub const CUT: u8 = 4;
}

const _: () = assert!(size_of::<FlowEvent>() == 80);
