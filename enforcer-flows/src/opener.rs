//! Which end opened a flow, where the source doesn't say so itself. From the surest sign to the least sure.

use crate::item::Opener;

const SYN: u64 = 2;
const SYN_ACK: u64 = 18;
/// Servers below, in the system's own port range.
const SYSTEM: u16 = 1024;

/// By the flags of all its TCP packets, or-ed: the first packet of the one who opens has SYN alone, the answer SYN and ACK.
/// `acks` says whether a later packet's ACK would show as well; then SYN with ACK may be either end's.
pub(crate) const fn by_flags(flags: u64, acks: bool) -> Opener {
    match flags & SYN_ACK {
        SYN => Opener::Source,
        SYN_ACK if !acks => Opener::Destination,
        _ => Opener::Unknown,
    }
}

/// By ICMP's type: requests are sent by the one who opens, replies by the other. Errors belong to some other flow.
pub(crate) const fn by_icmp(protocol: u8, kind: u8) -> Opener {
    match (protocol, kind) {
        (1, 8 | 13 | 15 | 17) | (58, 128) => Opener::Source,
        (1, 0 | 14 | 16 | 18) | (58, 129) => Opener::Destination,
        _ => Opener::Unknown,
    }
}

/// By the ports, where exactly one is of the system's range: a server has it, a client gets one that is picked for it. Of others, one recording
/// or one flow says too little: whoever sees all of them decides.
pub(crate) const fn by_ports(source: u16, destination: u16) -> Opener {
    if source == 0 || destination == 0 {
        return Opener::Unknown;
    }
    match (source < SYSTEM, destination < SYSTEM) {
        (true, false) => Opener::Destination,
        (false, true) => Opener::Source,
        (true, true) | (false, false) => Opener::Unknown,
    }
}

/// The first of `signs` that tells.
pub(crate) fn first(signs: impl IntoIterator<Item = Opener>) -> Opener {
    signs.into_iter().find(|sign| *sign != Opener::Unknown).unwrap_or(Opener::Unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_tell_who_sent_the_first_packet() {
        assert_eq!(by_flags(2, false), Opener::Source);
        assert_eq!(by_flags(3, false), Opener::Source);
        assert_eq!(by_flags(18, false), Opener::Destination);
        assert_eq!(by_flags(19, false), Opener::Destination);
        assert_eq!(by_flags(19, true), Opener::Unknown);
        for flags in [0, 1, 4, 16] {
            assert_eq!(by_flags(flags, false), Opener::Unknown);
        }
    }

    #[test]
    fn ports_tell_where_only_one_is_a_servers() {
        assert_eq!(by_ports(40000, 443), Opener::Source);
        assert_eq!(by_ports(443, 1024), Opener::Destination);
        for (source, destination) in
            [(123, 123), (0, 443), (443, 0), (8080, 9090), (8080, 50000), (40000, 50000)]
        {
            assert_eq!(by_ports(source, destination), Opener::Unknown, "{source} {destination}");
        }
    }
}
