//! Results with the same ends, port, verdict and cause, counted together.

use crate::ends::Ends;
use crate::flows::{Flow, Key};
use crate::judge::Ruling;
use enforcer_flows::{Recorded, Time};
use rustc_hash::FxHashMap;

/// Addresses that are kept as an example of a group's flows.
pub(crate) const SAMPLES: usize = 8;

/// What a group has in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct GroupKey {
    /// Identities by number: who opened the flows to whom.
    pub(crate) source: u32,
    pub(crate) destination: u32,
    /// `None` where no hook would have seen them.
    pub(crate) ruling: Option<Ruling>,
    pub(crate) protocol: u8,
    /// Destination port; `type << 8 | code` for ICMP; 0 for protocols without ports.
    pub(crate) port: u16,
}

/// What is counted in a group.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) key: GroupKey,
    pub(crate) flows: u64,
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    pub(crate) seen: Option<(Time, Time)>,
    /// Flows whose opening isn't in the recording.
    pub(crate) unopened: u64,
    /// Records by what the recording system did.
    pub(crate) passed: u64,
    pub(crate) refused: u64,
    /// Ends by number.
    pub(crate) samples: Vec<(u32, u32)>,
    pub(crate) more_samples: bool,
}

impl Group {
    pub(crate) fn count(&mut self, packets: u64, bytes: u64, seen: Option<(Time, Time)>) {
        self.packets += packets;
        self.bytes += bytes;
        self.seen = match (self.seen, seen) {
            (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
            (a, b) => a.or(b),
        };
    }

    pub(crate) fn record(&mut self, action: Option<Recorded>) {
        match action {
            Some(Recorded::Passed) => self.passed += 1,
            Some(Recorded::Refused) => self.refused += 1,
            None => {}
        }
    }

    /// Counts a flow that is here for the first time.
    pub(crate) fn open(&mut self, key: Key, flags: u8) {
        self.flows += 1;
        self.unopened += u64::from(flags & Flow::OPENED == 0);
        let ends = (key.source(), key.destination());
        if self.samples.contains(&ends) {
        } else if self.samples.len() < SAMPLES {
            self.samples.push(ends);
        } else {
            self.more_samples = true;
        }
    }
}

/// All of them.
#[derive(Default)]
pub(crate) struct Groups {
    all: Vec<Group>,
    index: FxHashMap<GroupKey, u32>,
}

impl Groups {
    pub(crate) fn all(&self) -> &[Group] {
        &self.all
    }

    pub(crate) fn get(&mut self, group: u32) -> &mut Group {
        &mut self.all[group as usize]
    }

    /// The group that a flow with this ruling belongs to; `hint` is where it was last.
    pub(crate) fn of(&mut self, key: Key, ruling: Option<Ruling>, hint: Option<u32>, ends: &Ends) -> u32 {
        if let Some(hint) = hint.filter(|hint| self.all[*hint as usize].key.ruling == ruling) {
            return hint;
        }
        let (source, destination) = (ends.get(key.source()), ends.get(key.destination()));
        let port = match key.protocol() {
            1 | 6 | 17 | 58 | 132 => key.ports().1,
            _ => 0,
        };
        let (source, destination, protocol) = (source.identity, destination.identity, key.protocol());
        self.index(GroupKey { source, destination, ruling, protocol, port })
    }

    fn index(&mut self, key: GroupKey) -> u32 {
        let Self { all, index } = self;
        *index.entry(key).or_insert_with(|| {
            all.push(Group {
                key,
                flows: 0,
                packets: 0,
                bytes: 0,
                seen: None,
                unopened: 0,
                passed: 0,
                refused: 0,
                samples: Vec::new(),
                more_samples: false,
            });
            all.len() as u32 - 1
        })
    }
}
