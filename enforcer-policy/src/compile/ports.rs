//! Port entries as ranges of `protocol << 16 | port`.

use crate::model::PortSpec;
use enforcer_common::judge::encapsulates;

/// A range of `protocol << 16 | port`, the last included.
pub(crate) type Range = (u32, u32);

/// The ranges of a rule's `ports`: sorted, none touching another.
pub(crate) fn ranges(ports: &[PortSpec]) -> Vec<Range> {
    let mut ranges = Vec::with_capacity(ports.len());
    for port in ports {
        push(*port, &mut ranges);
    }
    ranges.sort_unstable();
    let mut merged: Vec<Range> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match merged.last_mut() {
            Some(before) if first <= before.1.saturating_add(1) => before.1 = before.1.max(last),
            _ => merged.push((first, last)),
        }
    }
    merged
}

fn push(port: PortSpec, ranges: &mut Vec<Range>) {
    let key = |protocol: u8, port: u16| u32::from(protocol) << 16 | u32::from(port);
    match port {
        PortSpec::Any => {
            // A tunnel hides the flows it carries: `any` leaves it out.
            let mut first = 0;
            for tunnel in (0..=u8::MAX).filter(|number| encapsulates(*number)) {
                ranges.push((first, key(tunnel, 0) - 1));
                first = key(tunnel, u16::MAX) + 1;
            }
            ranges.push((first, key(u8::MAX, u16::MAX)));
        }
        PortSpec::Protocol(protocol) => ranges.push((key(protocol, 0), key(protocol, u16::MAX))),
        PortSpec::Ports { protocol, first, last } => ranges.push((key(protocol, first), key(protocol, last))),
        PortSpec::Icmp { protocol, kind, code } => {
            let kind = u16::from(kind) << 8;
            let (first, last) = code.map_or((0, 0xff), |code| (code, code));
            ranges.push((key(protocol, kind | u16::from(first)), key(protocol, kind | u16::from(last))));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TUNNELS: [u8; 7] = [4, 41, 47, 94, 97, 115, 137];

    #[test]
    fn any_leaves_out_tunnels() {
        let any = ranges(&[PortSpec::Any]);
        for protocol in 0..=u8::MAX {
            let key = u32::from(protocol) << 16;
            let inside = any.iter().any(|(first, last)| (*first..=*last).contains(&key));
            assert_eq!(inside, !TUNNELS.contains(&protocol), "proto/{protocol}");
        }
        let named = ranges(&[PortSpec::Any, PortSpec::Protocol(47), PortSpec::Protocol(41)]);
        assert!(named.contains(&(5 << 16, (94 << 16) - 1)), "{named:?}");
    }

    #[test]
    fn ranges_merge() {
        let tcp = |first, last| PortSpec::Ports { protocol: 6, first, last };
        let base = 6 << 16;
        assert_eq!(ranges(&[tcp(90, 99), tcp(80, 89), tcp(85, 92)]), [(base + 80, base + 99)]);
        assert_eq!(ranges(&[tcp(80, 80), tcp(82, 82)]), [(base + 80, base + 80), (base + 82, base + 82)]);
        let icmp = |code| PortSpec::Icmp { protocol: 1, kind: 3, code };
        assert_eq!(ranges(&[icmp(None), icmp(Some(4))]), [((1 << 16) + 0x300, (1 << 16) + 0x3ff)]);
    }
}
