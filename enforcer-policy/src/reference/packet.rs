//! Abstract packets: what a verdict can depend on, without bytes.
//!
//! Neighbour discovery (ICMPv6 133–136), ARP, DHCP, fragments and malformed packets have rules of their own that
//! this model leaves out.

use super::Family;
use jiff::Timestamp;
use std::net::IpAddr;

/// Which way a packet passes its subject's hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// The subject sends it.
    Egress,
    /// The subject receives it.
    Ingress,
}

impl Direction {
    /// The other way.
    pub fn opposite(self) -> Direction {
        match self {
            Direction::Egress => Direction::Ingress,
            Direction::Ingress => Direction::Egress,
        }
    }
}

/// One packet at one workload's hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// When; never earlier than the packet before.
    pub at: Timestamp,
    /// Name of the Workload document whose hook this is.
    pub subject: String,
    /// Which way.
    pub direction: Direction,
    /// Source address.
    pub source: IpAddr,
    /// Destination address, of the same family.
    pub destination: IpAddr,
    /// What it carries.
    pub payload: Payload,
}

/// TCP's control bits that matter here (PSH, URG, ECE and CWR don't).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct TcpFlags {
    /// FIN.
    pub fin: bool,
    /// SYN.
    pub syn: bool,
    /// RST.
    pub rst: bool,
    /// ACK.
    pub ack: bool,
}

impl TcpFlags {
    /// SYN alone: the only packet that opens a flow.
    pub const SYN: TcpFlags = TcpFlags { fin: false, syn: true, rst: false, ack: false };
    /// SYN and ACK: the answer to it.
    pub const SYN_ACK: TcpFlags = TcpFlags { fin: false, syn: true, rst: false, ack: true };
    /// ACK alone, with or without data.
    pub const ACK: TcpFlags = TcpFlags { fin: false, syn: false, rst: false, ack: true };
    /// FIN and ACK.
    pub const FIN_ACK: TcpFlags = TcpFlags { fin: true, syn: false, rst: false, ack: true };
    /// RST alone.
    pub const RST: TcpFlags = TcpFlags { fin: false, syn: false, rst: true, ack: false };

    /// Whether an honest stack can send this combination.
    pub fn plausible(self) -> bool {
        let TcpFlags { fin, syn, rst, ack } = self;
        let opens_and_ends = syn && (fin || rst);
        let ends_unasked = fin && !ack;
        let says_nothing = !syn && !rst && !ack;
        !opens_and_ends && !ends_unasked && !says_nothing
    }

    /// Whether it opens a flow: SYN without ACK.
    pub fn opens(self) -> bool {
        self.syn && !self.ack
    }
}

/// What a packet carries above IP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// TCP.
    Tcp {
        /// Source port.
        sport: u16,
        /// Destination port.
        dport: u16,
        /// Control bits.
        flags: TcpFlags,
    },
    /// UDP (17) or SCTP (132).
    Ports {
        /// IP protocol number.
        protocol: u8,
        /// Source port.
        sport: u16,
        /// Destination port.
        dport: u16,
    },
    /// ICMP over IPv4, ICMPv6 over IPv6.
    Icmp {
        /// Type.
        kind: u8,
        /// Code.
        code: u8,
        /// Identifier of echo and timestamp messages; 0 elsewhere.
        id: u16,
        /// The packet that an error is about, where it can be read.
        quoted: Option<Quoted>,
    },
    /// Any other protocol.
    Other(u8),
}

/// The packet that an ICMP error quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quoted {
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// What it carries, itself without a quotation.
    pub payload: Box<Payload>,
}

/// ICMP's number in the header of this family.
pub(super) fn icmp_protocol(family: Family) -> u8 {
    match family {
        Family::V4 => 1,
        Family::V6 => 58,
    }
}
