//! Which end of a flow opened it, where the recording doesn't show it.

use rustc_hash::FxHashSet;

/// Ephemeral ports begin here at the latest, on Linux (32768) and by IANA (49152).
pub(crate) const EPHEMERAL: u16 = 32_768;

/// Ends and ports that were seen to take connections.
#[derive(Default)]
pub(crate) struct Listeners {
    seen: FxHashSet<(u32, u8, u16)>,
}

impl Listeners {
    pub(crate) fn add(&mut self, end: u32, protocol: u8, port: u16) {
        self.seen.insert((end, protocol, port));
    }

    /// Whether it was seen to take connections.
    pub(crate) fn has(&self, end: u32, protocol: u8, port: u16) -> bool {
        self.seen.contains(&(end, protocol, port))
    }

    /// Whether the receiver of a packet opened its flow: by which port was seen to take connections, else by which is the only one that isn't
    /// ephemeral. `None` where neither tells.
    pub(crate) fn receiver_opened(&self, ends: (u32, u32), protocol: u8, ports: (u16, u16)) -> Option<bool> {
        let serves = |end, port| self.has(end, protocol, port);
        let either = |sender, receiver| (sender != receiver).then_some(sender);
        either(serves(ends.0, ports.0), serves(ends.1, ports.1))
            .or_else(|| either(ports.0 < EPHEMERAL, ports.1 < EPHEMERAL))
    }

    /// The same, where it can't be left open: else the lower port serves. Of two that are alike, the sender opened it.
    pub(crate) fn receiver_likely_opened(&self, ends: (u32, u32), protocol: u8, ports: (u16, u16)) -> bool {
        self.receiver_opened(ends, protocol, ports).unwrap_or(ports.0 < ports.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_tell_who_serves() {
        let mut listeners = Listeners::default();
        let reply = |listeners: &Listeners, ports| listeners.receiver_likely_opened((1, 2), 6, ports);
        assert!(reply(&listeners, (443, 50_000)));
        assert!(!reply(&listeners, (50_000, 443)));
        assert!(reply(&listeners, (22, 1_000)), "the lower one");
        assert!(!reply(&listeners, (500, 500)), "alike: as it is");
        listeners.add(1, 6, 50_000);
        assert!(reply(&listeners, (50_000, 443)), "what was seen counts for more than numbers");
        assert!(!listeners.receiver_likely_opened((1, 2), 17, (50_000, 443)), "another protocol");
        assert_eq!(listeners.receiver_opened((1, 2), 6, (50_051, 37_000)), None);
    }
}
