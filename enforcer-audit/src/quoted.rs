//! The packet that an ICMP error quotes, as far as it takes to know its flow.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Ends, protocol and ports of a packet of which only the beginning is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quoted {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) protocol: u8,
    /// As the verdict function has them.
    pub(crate) ports: (u16, u16),
}

impl Quoted {
    /// Reads what follows an ICMP error's eight bytes. Behind IPv6 extension headers nothing is looked for.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let (source, destination, protocol, header): (IpAddr, IpAddr, u8, usize) = match bytes.first()? >> 4 {
            4 => {
                let at = |at: usize| Some(Ipv4Addr::from(<[u8; 4]>::try_from(bytes.get(at..at + 4)?).ok()?));
                (at(12)?.into(), at(16)?.into(), bytes[9], usize::from(bytes[0] & 15) * 4)
            }
            6 => {
                let at =
                    |at: usize| Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes.get(at..at + 16)?).ok()?));
                (at(8)?.into(), at(24)?.into(), bytes[6], 40)
            }
            _ => return None,
        };
        let word =
            |at: usize| Some(u16::from_be_bytes([*bytes.get(header + at)?, *bytes.get(header + at + 1)?]));
        let ports = match protocol {
            6 | 17 | 132 => (word(0)?, word(2)?),
            // A request goes from its identifier to its type and code.
            1 | 58 => (word(4)?, word(0)?),
            _ => (0, 0),
        };
        Some(Self { source, destination, protocol, ports })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packets::opening;

    #[test]
    fn eight_bytes_behind_the_header_are_enough() {
        for (source, destination, header) in [("10.0.0.1", "10.0.0.2", 20), ("fd00::1", "fd00::2", 40)] {
            let (source, destination) = (source.parse().unwrap(), destination.parse().unwrap());
            for (protocol, ports) in [(6, (40_000, 443)), (17, (1, 2)), (58, (9, 0x8000)), (47, (0, 0))] {
                let packet = opening(source, destination, protocol, ports).unwrap();
                let quoted = Quoted { source, destination, protocol, ports };
                assert_eq!(Quoted::read(&packet[14..14 + header + 8]), Some(quoted));
                assert_eq!(Quoted::read(&packet[14..14 + 12]), None);
            }
        }
    }
}
