//! Every distinct flow, counted exactly: 56 bytes each.

use enforcer_flows::Time;
use rustc_hash::FxHashMap;

/// Who opened it to whom: ends by number, ports, protocol. For ICMP the ports are what the verdict function makes of identifier, type and code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    ends: u64,
    rest: u64,
}

impl Key {
    pub(crate) fn new(source: u32, destination: u32, protocol: u8, ports: (u16, u16)) -> Self {
        let ends = u64::from(source) << 32 | u64::from(destination);
        let rest = u64::from(ports.0) << 32 | u64::from(ports.1) << 16 | u64::from(protocol);
        Self { ends, rest }
    }

    pub(crate) fn source(self) -> u32 {
        (self.ends >> 32) as u32
    }

    pub(crate) fn destination(self) -> u32 {
        self.ends as u32
    }

    pub(crate) fn ports(self) -> (u16, u16) {
        ((self.rest >> 32) as u16, (self.rest >> 16) as u16)
    }

    pub(crate) fn protocol(self) -> u8 {
        self.rest as u8
    }
}

/// What is remembered of a flow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flow {
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    pub(crate) first: Time,
    pub(crate) last: Time,
    /// Index of the group that its last packet is counted in.
    pub(crate) group: u32,
    /// [`Flow::OPENED`] and the like.
    pub(crate) flags: u8,
}

impl Flow {
    /// Its first packet is in the recording, or a record tells who opened it.
    pub(crate) const OPENED: u8 = 1;
    /// The other end has sent something.
    pub(crate) const REPLIED: u8 = 2;
    /// What records at the source's interface say is what is counted.
    pub(crate) const AT_SOURCE: u8 = 4;
    /// What records at the destination's interface say is what is counted.
    pub(crate) const AT_DESTINATION: u8 = 8;
    /// A time is known.
    pub(crate) const TIMED: u8 = 16;
    /// A record says that it was let on.
    pub(crate) const PASSED: u8 = 32;
    /// A record says that it was dropped.
    pub(crate) const REFUSED: u8 = 64;
    /// Packets of it were captured: an answer would have been, too.
    pub(crate) const CAPTURED: u8 = 128;

    pub(crate) fn new(group: u32, flags: u8) -> Self {
        Self { packets: 0, bytes: 0, first: 0, last: 0, group, flags }
    }

    pub(crate) fn is(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    pub(crate) fn count(&mut self, packets: u64, bytes: u64, seen: Option<(Time, Time)>) {
        self.packets += packets;
        self.bytes += bytes;
        if let Some((first, last)) = seen {
            if self.flags & Self::TIMED == 0 {
                (self.first, self.last) = (first, last);
                self.flags |= Self::TIMED;
            } else {
                self.first = self.first.min(first);
                self.last = self.last.max(last);
            }
        }
    }

    /// Whether the verdict function has forgotten it by `now`, in the times of [`enforcer_common::flow::FlowEntry::idle_limit`]. TCP that
    /// has ended is taken for going on.
    pub(crate) fn is_over(&self, now: Time, protocol: u8) -> bool {
        self.is(Self::TIMED) && now.saturating_sub(self.last) > idle_limit(protocol, self.is(Self::REPLIED))
    }
}

/// Nanoseconds without a packet after which a flow is over.
pub(crate) fn idle_limit(protocol: u8, replied: bool) -> Time {
    let seconds = match protocol {
        6 => 86_400,
        1 | 58 => 30,
        17 if !replied => 30,
        17 => 180,
        _ => 600,
    };
    seconds * 1_000_000_000
}

/// By key.
#[derive(Default)]
pub(crate) struct Flows {
    all: FxHashMap<Key, Flow>,
}

impl Flows {
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    pub(crate) fn get(&self, key: Key) -> Option<&Flow> {
        self.all.get(&key)
    }

    /// The flow, and whether it is new.
    pub(crate) fn entry(&mut self, key: Key, fresh: Flow) -> (&mut Flow, bool) {
        match self.all.entry(key) {
            std::collections::hash_map::Entry::Occupied(entry) => (entry.into_mut(), false),
            std::collections::hash_map::Entry::Vacant(entry) => (entry.insert(fresh), true),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Key, &Flow)> {
        self.all.iter().map(|(key, flow)| (*key, flow))
    }
}

const _: () = assert!(size_of::<(Key, Flow)>() == 56);
