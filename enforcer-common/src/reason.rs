//! Reasons: why a packet met its verdict where no rule decided.

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $word:literal, $detail:literal;)*) => {
        /// Why a packet met its verdict where no rule decided. One stable word each.
        #[repr(u8)]
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, PartialOrd, Ord)]
        pub enum Reason { $($(#[$doc])* $name = $code,)* }

        impl Reason {
            /// Every reason, by code.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The reason with this code.
            pub const fn from_code(code: u32) -> Option<Self> {
                match code { $($code => Some(Self::$name),)* _ => None }
            }

            /// The word of the policy language.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }

            /// The finer name that the attack table uses; the same as [`Reason::word`] where it has none.
            pub const fn detail(self) -> &'static str {
                match self { $(Self::$name => $detail,)* }
            }
        }
    };
}

reasons! {
    /// No rule selects the flow.
    NoRule = 0, "no-rule", "no-rule";
    /// A protocol no rule names.
    Protocol = 1, "proto", "proto";
    /// A packet that carries another flow inside, not named by number.
    Encapsulated = 2, "encap", "encap";
    /// A group destination no rule names.
    Multicast = 3, "multicast", "multicast";
    /// An ICMP error that quotes no tracked flow.
    RelatedUnknown = 4, "related-unknown", "related-unknown";
    /// Out of state: no tracked flow, and not a packet that may open one.
    State = 5, "state", "state";
    /// TCP flags no real connection sends (RFC 9293).
    TcpFlags = 6, "tcp-flags", "tcp-flags";
    /// The source address isn't the workload's own.
    SpoofedSource = 7, "spoofed-source", "spoof-ip";
    /// The source hardware address isn't the workload's own.
    SpoofedMac = 8, "spoofed-source", "spoof-mac";
    /// An address that never stands on a wire.
    Martian = 9, "martian", "martian";
    /// The destination address isn't the workload's own.
    ForeignDestination = 10, "foreign-destination", "foreign-destination";
    /// ARP that claims another's address.
    ArpSpoof = 11, "arp-spoof", "arp-spoof";
    /// Neighbour discovery that claims another's address.
    NeighbourSpoof = 12, "nd-spoof", "nd-spoof";
    /// A router advertisement from a workload.
    RouterAdvertisement = 13, "ra-guard", "ra-guard";
    /// An ICMP redirect.
    Redirect = 14, "redirect", "redirect";
    /// DHCP server traffic or router discovery from a workload.
    RogueServer = 15, "rogue-server", "rogue-server";
    /// Cut before the end of a header.
    Short = 16, "short", "short";
    /// Contradicts itself or its RFC.
    Malformed = 17, "malformed", "malformed";
    /// A VLAN tag that wasn't declared.
    Vlan = 18, "vlan", "vlan";
    /// An ethertype that isn't understood.
    Ethertype = 19, "ethertype", "ethertype";
    /// Source route or record route (RFC 7126).
    IpOption = 20, "ip-option", "ip-option";
    /// More IPv6 extension headers than are looked through.
    ExtensionHeaders = 21, "exthdr-limit", "exthdr-limit";
    /// An IPv6 routing header (RFC 5095).
    RoutingHeader = 22, "routing-hdr", "routing-hdr";
    /// A later fragment whose first fragment wasn't allowed.
    FragmentUnknown = 23, "fragment", "frag-unknown";
    /// A fragment that doesn't continue where the last one ended.
    FragmentOrder = 24, "fragment", "frag-order";
    /// A first fragment without the whole transport header (RFC 1858, RFC 3128).
    FragmentTiny = 25, "fragment", "frag-tiny";
    /// A fragment that overlaps an earlier one (RFC 5722).
    FragmentOverlap = 26, "fragment", "frag-overlap";
    /// An IPv6 first fragment without its whole header chain (RFC 7112).
    FragmentHeader = 27, "fragment", "frag-hdr";
    /// No room to remember another fragmented datagram.
    FragmentFull = 28, "fragment", "frag-full";
    /// Nothing says whose the interface or the cgroup is.
    UnknownSubject = 29, "unknown-workload", "unknown-workload";
    /// Its workload, or the other end's, is cut off.
    Quarantined = 30, "quarantined", "quarantined";
    /// Address resolution and neighbour discovery that claim nothing foreign: passed.
    Neighbour = 31, "neighbour", "neighbour";
    /// The workload's segment is off: passed without being judged.
    SegmentOff = 32, "segment-off", "segment-off";
    /// The flow table had no room for the flow.
    FlowTableFull = 33, "flow-table-full", "flow-table-full";
    /// The workload has opened too many flows that nobody answers.
    FlowQuota = 34, "flow-quota", "flow-quota";
    /// Both ends are one workload's on this machine: passed.
    Within = 35, "within", "within";
    /// The one path that a quarantine leaves: passed.
    Forensic = 36, "forensic", "forensic";
    /// A failsafe path of the machine itself: passed.
    Failsafe = 37, "failsafe", "failsafe";
}

impl Reason {
    /// How many there are; codes are dense from 0.
    pub const COUNT: usize = Self::ALL.len();
}

const _: () = {
    let mut code = 0;
    while code < Reason::COUNT {
        assert!(Reason::ALL[code] as usize == code, "codes are dense");
        code += 1;
    }
};
