//! Frames as bytes: the packet that opens a flow.

use std::net::IpAddr;

const TCP: u8 = 6;
const UDP: u8 = 17;
const SCTP: u8 = 132;
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;
const SYN: u8 = 2;

/// Source port of the flows that [`opening`] opens, and identifier of its ICMP queries.
pub const SOURCE_PORT: u16 = 40_000;

/// An Ethernet frame with an IP packet of these addresses. The header checksum is right, transport checksums are the payload's
/// own business. `None` where the families of the addresses differ.
pub fn ip(source: IpAddr, destination: IpAddr, protocol: u8, payload: &[u8]) -> Option<Vec<u8>> {
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            frame.extend([8, 0]);
            let total = (20 + payload.len() as u16).to_be_bytes();
            let mut header =
                [0x45, 0, total[0], total[1], 0, 1, 0, 0, 64, protocol, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
            header[12..16].copy_from_slice(&source.octets());
            header[16..].copy_from_slice(&destination.octets());
            let checksum = checksum(&header);
            header[10..12].copy_from_slice(&checksum);
            frame.extend(header);
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
            frame.extend((payload.len() as u16).to_be_bytes());
            frame.extend([protocol, 64]);
            frame.extend(source.octets());
            frame.extend(destination.octets());
        }
        _ => return None,
    }
    frame.extend(payload);
    Some(frame)
}

/// The packet that opens a flow to `port`: `type * 256 + code` for ICMP and ICMPv6, 0 for protocols without ports.
pub fn opening(source: IpAddr, destination: IpAddr, protocol: u8, port: u16) -> Option<Vec<u8>> {
    let [high, low] = port.to_be_bytes();
    let payload = match protocol {
        TCP => tcp(SOURCE_PORT, port, SYN),
        UDP | SCTP => ports(protocol, SOURCE_PORT, port),
        ICMP | ICMPV6 => icmp(high, low, SOURCE_PORT, &[]),
        _ => vec![0; 8],
    };
    ip(source, destination, protocol, &payload)
}

/// A TCP header without options.
pub fn tcp(source: u16, destination: u16, flags: u8) -> Vec<u8> {
    let mut header = vec![0; 20];
    header[..2].copy_from_slice(&source.to_be_bytes());
    header[2..4].copy_from_slice(&destination.to_be_bytes());
    header[12] = 5 << 4;
    header[13] = flags;
    header[14..16].copy_from_slice(&[0xff, 0xff]);
    header
}

/// A UDP header, or an SCTP header with an INIT chunk's.
pub fn ports(protocol: u8, source: u16, destination: u16) -> Vec<u8> {
    let mut header = [source.to_be_bytes(), destination.to_be_bytes()].concat();
    if protocol == UDP {
        header.extend([0, 8, 0, 0]);
    } else {
        header.extend([0; 8]);
        header.extend([1, 0, 0, 20]);
        header.extend([0; 16]);
    }
    header
}

/// An ICMP or ICMPv6 message.
pub fn icmp(kind: u8, code: u8, id: u16, body: &[u8]) -> Vec<u8> {
    let [high, low] = id.to_be_bytes();
    let mut message = vec![kind, code, 0, 0, high, low, 0, 1];
    message.extend(body);
    message
}

/// The Internet checksum (RFC 1071).
fn checksum(bytes: &[u8]) -> [u8; 2] {
    let sum: u32 = bytes.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    (!(((folded & 0xffff) + (folded >> 16)) as u16)).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_checksum_is_right() {
        let frame = opening("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap(), 6, 80).unwrap();
        assert_eq!(frame.len(), 14 + 20 + 20);
        assert_eq!(checksum(&frame[14..34]), [0, 0], "a header with its checksum sums to zero");
        assert!(opening("10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap(), 6, 80).is_none());
    }
}
