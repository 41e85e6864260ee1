//! What the daemon does to the kernel's flow tables from time to time.

use super::MemoryTables;
use enforcer_common::flow::ticks;
use enforcer_common::maps::Quota;

impl MemoryTables {
    /// Forgets flows that have been idle for too long by the coarse clock, and counts anew what each subject holds of the established ones.
    pub fn sweep(&mut self) {
        let now = ticks(self.clock.coarse);
        let shares = &mut self.shares;
        shares.clear();
        let mut stays = |subject, opened| *shares.entry(Quota::slot(subject, opened)).or_default() += 1;
        self.v4.sweep(now, &mut stays);
        self.v6.sweep(now, &mut stays);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::Image;
    use enforcer_common::flow::{FlowEntry, FlowKey, Tier};
    use enforcer_common::maps::Direction;
    use enforcer_common::tables::{FamilyTables, Tables};

    #[test]
    fn what_is_over_goes_and_what_stays_is_counted() {
        let mut tables = MemoryTables::new(&Image::default());
        let entry = FlowEntry {
            epoch: 1,
            cause: 0,
            deadline: u64::MAX,
            seen: 0,
            state: FlowEntry::REPLIED,
            verdict: FlowEntry::PASSES,
            opened: Direction::Ingress as u8,
            reserved: 0,
            packets_out: 0,
            bytes_out: 0,
            packets_in: 1,
            bytes_in: 60,
            resident: 0,
            padding: 0,
        };
        for (protocol, tier) in [(6, Tier::Established), (17, Tier::Established), (17, Tier::Embryonic)] {
            let key = FlowKey::<1> { protocol, ..FlowKey::of(7) };
            assert!(tables.insert_flow(tier, &key, &entry));
        }
        // Ten minutes: UDP is over, TCP isn't.
        tables.set_clock(0, 600_000_000_000);
        tables.sweep();
        assert_eq!((tables.flows(Tier::Established), tables.flows(Tier::Embryonic)), (1, 0));
        assert_eq!(tables.share(Quota::slot(7, Direction::Ingress)).copied(), Some(1));
        assert_eq!(tables.share(Quota::slot(7, Direction::Egress)).copied(), Some(0));
    }
}
