//! Generations made by hand, for tests of the maps rather than of policies.

use enforcer_agent::datapath::Usage;
use enforcer_common::answer::{Answer, Decision, Interval, PortSet};
use enforcer_common::maps::{Direction, Endpoint, Generation, PairKey, Quarantine, Subject, kind, mode};
use enforcer_policy::compile::Image;

/// Something in every table: as many thousand addresses of each family as asked for, and other entries in proportion.
#[must_use]
pub fn sized(thousands: u32) -> Image {
    let endpoint = |n: u32| Endpoint::new(n, n % 50 + 1, 0, kind::WORKLOAD);
    let count = thousands * 1_000;
    Image {
        generation: Generation {
            flags: Generation::PREFIXES4 | Generation::PREFIXES6,
            ..Generation::default()
        },
        addresses4: (0..count).map(|n| ([(0x0a00_0000 + n).to_be()], endpoint(n))).collect(),
        addresses6: (0..count).map(|n| ([0xfd_u32.to_be(), 0, 0, n.to_be()], endpoint(n))).collect(),
        prefixes4: (0..count / 10)
            .map(|n| (format!("192.{}.{}.0/24", n / 256, n % 256).parse().expect("a prefix"), endpoint(n)))
            .collect(),
        prefixes6: (0..count / 10)
            .map(|n| (format!("2001:db8:{n:x}::/48").parse().expect("a prefix"), endpoint(n)))
            .collect(),
        pairs: (0..count / 20)
            .map(|n| (PairKey::new(0, Direction::Egress, n, n + 1), PortSet { first: 0, len: 1 }))
            .collect(),
        intervals: vec![Interval { start: 0, decision: 0 }],
        decisions: vec![Decision::NONE],
        quarantines: vec![(7, Quarantine::sealed(u64::MAX))],
    }
}

/// What [`Usage`] says with [`sized`] in force: entries in the tables that a set of policies fills.
#[must_use]
pub fn owned(usage: &[Usage]) -> Vec<u64> {
    usage
        .iter()
        .filter(|usage| !["flows", "unanswered", "cgroups"].iter().any(|others| usage.table.contains(others)))
        .map(|usage| usage.used)
        .collect()
}

/// Lets the subject of [`subject_of`] send UDP to one address, by rule `rule`. Class numbers and places of entries are the rule's:
/// half of one generation with half of another allows nothing.
#[must_use]
pub fn allowing(peer: [u8; 4], rule: u32) -> Image {
    let place = rule % 100;
    let mut decisions = vec![Decision::NONE; place as usize + 1];
    decisions.push(Decision {
        enforced: Answer::new(1, 0, true, rule),
        full: Answer::new(1, 0, true, rule),
        ..Decision::NONE
    });
    let mut intervals = vec![Interval { start: 0, decision: 0 }; place as usize];
    intervals.push(Interval { start: 0, decision: place + 1 });
    let peer_endpoint = Endpoint::new(2, place + 20, 0, kind::WORKLOAD);
    let key = PairKey::new(0, Direction::Egress, place + 1, place + 20);
    Image {
        generation: Generation { flags: Generation::NARROW_NARROW, ..Generation::default() },
        addresses4: vec![([u32::from_ne_bytes(peer)], peer_endpoint)],
        pairs: vec![(key, PortSet { first: place, len: 1 })],
        intervals,
        decisions,
        ..Image::default()
    }
}

/// The subject that [`allowing`] means, with this address.
#[must_use]
pub fn subject_of(address: [u8; 4], rule: u32) -> Subject {
    Subject {
        identity: 1,
        mode: mode::ENFORCE,
        address4: [u32::from_ne_bytes(address)],
        class4: rule % 100 + 1,
        ..Subject::default()
    }
}

/// A subject about whom nothing is judged.
#[must_use]
pub fn free() -> Subject {
    Subject { identity: 1, mode: mode::OFF, ..Subject::default() }
}

/// Peers of [`contradicting`] sets.
pub const PEERS: u32 = 64;

/// The `n`th peer of [`contradicting`] sets.
#[must_use]
pub const fn peer(n: u32) -> [u8; 4] {
    [10, 1, 0, n as u8]
}

/// One of two sets that agree in nothing: one allows the subject of [`contradicting_subject`] to send UDP to every other peer and
/// denies the rest by a rule, the other the other way round. Identities, classes, rules and places of entries differ as well, so
/// that a verdict shows of which set it is, and that half of one with half of the other gives none of either's.
#[must_use]
pub fn contradicting(second: bool) -> Image {
    let base = if second { 2_000 } else { 1_000 };
    let mut image = Image {
        generation: Generation { flags: Generation::NARROW_NARROW, ..Generation::default() },
        intervals: vec![Interval { start: 0, decision: 0 }; PEERS as usize + 1],
        decisions: vec![Decision::NONE; PEERS as usize + 1],
        ..Image::default()
    };
    for n in 0..PEERS {
        let place = if second { PEERS - n } else { n + 1 };
        let class = base + place;
        let endpoint = Endpoint::new(base + n, class, 0, kind::WORKLOAD);
        image.addresses4.push(([u32::from_ne_bytes(peer(n))], endpoint));
        let key = PairKey::new(0, Direction::Egress, base, class);
        image.pairs.push((key, PortSet { first: place, len: 1 }));
        image.intervals[place as usize] = Interval { start: 0, decision: place };
        let answer = Answer::new(1, 0, allows(second, n), base + n);
        image.decisions[place as usize] = Decision { enforced: answer, full: answer, ..Decision::NONE };
    }
    image
}

/// Whether that set lets the subject send to its `n`th peer.
#[must_use]
pub const fn allows(second: bool, n: u32) -> bool {
    (n % 2 == 1) == second
}

/// The subject that [`contradicting`] means, with this address.
#[must_use]
pub fn contradicting_subject(address: [u8; 4], second: bool) -> Subject {
    let class = if second { 2_000 } else { 1_000 };
    Subject { identity: class / 1_000, class4: class, ..subject_of(address, 0) }
}
