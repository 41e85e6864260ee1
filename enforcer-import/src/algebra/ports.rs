//! Sets of protocols and ports.

use enforcer_policy::model::PortSpec;

/// Sorted, disjoint and not adjacent ranges of `protocol << 16 | port`, ends included.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct PortSet(Vec<(u32, u32)>);

const LAST: u32 = (256 << 16) - 1;
/// Protocols with rules of their own in the language, and those that carry other flows.
const NAMED: [u8; 5] = [6, 17, 132, 1, 58];
/// More other protocols than these aren't listed one by one.
const OTHERS: usize = 16;

impl PortSet {
    /// Every protocol.
    pub(crate) fn all() -> Self {
        Self(vec![(0, LAST)])
    }

    /// A range of ports of a protocol, or of `type * 256 + code`.
    pub(crate) fn range(protocol: u8, first: u16, last: u16) -> Self {
        let base = u32::from(protocol) << 16;
        Self(vec![(base | u32::from(first), base | u32::from(last))])
    }

    /// A whole protocol.
    pub(crate) fn protocol(protocol: u8) -> Self {
        Self::range(protocol, 0, u16::MAX)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Both together.
    pub(crate) fn or(&self, other: &Self) -> Self {
        let mut ranges: Vec<(u32, u32)> = self.0.iter().chain(&other.0).copied().collect();
        ranges.sort_unstable();
        let mut merged: Vec<(u32, u32)> = Vec::with_capacity(ranges.len());
        for (first, last) in ranges {
            match merged.last_mut() {
                Some((_, end)) if first <= end.saturating_add(1) => *end = last.max(*end),
                _ => merged.push((first, last)),
            }
        }
        Self(merged)
    }

    /// What is in both.
    pub(crate) fn and(&self, other: &Self) -> Self {
        let mut both = Vec::new();
        for (first, last) in &self.0 {
            for (from, to) in &other.0 {
                let (low, high) = (*first.max(from), *last.min(to));
                if low <= high {
                    both.push((low, high));
                }
            }
        }
        Self(both)
    }

    /// What is in this and not in the other.
    pub(crate) fn without(&self, other: &Self) -> Self {
        let mut gaps = Vec::new();
        let mut next = 0;
        for (first, last) in &other.0 {
            if *first > next {
                gaps.push((next, first - 1));
            }
            next = last + 1;
        }
        if next <= LAST {
            gaps.push((next, LAST));
        }
        self.and(&Self(gaps))
    }

    /// As entries of `ports`, and whether rare protocols had to be left out, which no entry names together.
    pub(crate) fn specs(&self) -> (Vec<PortSpec>, bool) {
        if *self == Self::all() {
            return (vec![PortSpec::Any], false);
        }
        let mut specs = Vec::new();
        for protocol in NAMED {
            let part = self.and(&Self::protocol(protocol));
            if part == Self::protocol(protocol) {
                specs.push(PortSpec::Protocol(protocol));
                continue;
            }
            for (first, last) in part.0 {
                let (first, last) = ((first & 0xffff) as u16, (last & 0xffff) as u16);
                match protocol {
                    1 | 58 => icmp(&mut specs, protocol, first, last),
                    _ => specs.push(PortSpec::Ports { protocol, first, last }),
                }
            }
        }
        let others: Vec<PortSpec> = (0..=255)
            .filter(|protocol| !NAMED.contains(protocol))
            .filter(|protocol| self.and(&Self::protocol(*protocol)) == Self::protocol(*protocol))
            .map(PortSpec::Protocol)
            .collect();
        let rare = others.len() > OTHERS;
        if !rare {
            specs.extend(others);
        }
        (specs, rare)
    }
}

/// Whole types as types, the rest code by code.
fn icmp(specs: &mut Vec<PortSpec>, protocol: u8, first: u16, last: u16) {
    let mut at = u32::from(first);
    while at <= u32::from(last) {
        let [kind, code] = (at as u16).to_be_bytes();
        if code == 0 && at + 255 <= u32::from(last) {
            specs.push(PortSpec::Icmp { protocol, kind, code: None });
            at += 256;
        } else {
            specs.push(PortSpec::Icmp { protocol, kind, code: Some(code) });
            at += 1;
        }
    }
}
