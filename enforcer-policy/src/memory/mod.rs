//! The tables of the verdict function in ordinary memory: what `explain`, `audit` and the tests judge by.

mod family;
pub mod frame;
mod prefixes;
mod sweep;

use crate::compile::{Delta, Image};
use enforcer_common::address;
use enforcer_common::answer::{Decision, Interval, PortSet};
use enforcer_common::event::FlowEvent;
use enforcer_common::flow::{FlowEntry, FlowKey, FragmentEntry, FragmentKey, Tier};
use enforcer_common::judge::{Ends, stays_open};
use enforcer_common::maps::{
    Control, Direction, Endpoint, EventCounter, Failsafe, Generation, PairKey, Quarantine, Quota,
    RuleCounter, Subject, Tally, limits,
};
use enforcer_common::tables::{Clock, FamilyTables, Tables};
use enforcer_common::{Outcome, Reason, Word};
use family::Family;
use ipnet::IpNet;
use rustc_hash::FxHashMap;
use std::net::IpAddr;

pub use family::Capacity;

/// One generation's tables.
#[derive(Clone, Debug, Default)]
struct Bank {
    generation: Generation,
    pairs: FxHashMap<PairKey, PortSet>,
    intervals: Vec<Interval>,
    decisions: Vec<Decision>,
    subjects: FxHashMap<u32, Subject>,
    quarantines: FxHashMap<u32, Quarantine>,
}

/// Everything the verdict function reads and writes, as the kernel maps hold it.
#[derive(Clone, Debug)]
pub struct MemoryTables {
    control: Control,
    banks: [Bank; 2],
    v4: Family<1>,
    v6: Family<4>,
    clock: MemoryClock,
    events: Vec<FlowEvent>,
    /// Nobody wants records.
    quiet: bool,
    event_counter: EventCounter,
    quotas: FxHashMap<u32, Quota>,
    shares: FxHashMap<u32, u32>,
    rules: FxHashMap<u32, RuleCounter>,
    /// By [`Tally::slot`].
    verdicts: Vec<RuleCounter>,
}

impl MemoryTables {
    /// Tables with `image` in force as epoch 1, no subject bound, both clocks at 0.
    pub fn new(image: &Image) -> Self {
        Self::with_capacity(image, Capacity::default())
    }

    /// As [`MemoryTables::new`], with flow tables of these sizes.
    pub fn with_capacity(image: &Image, capacity: Capacity) -> Self {
        let mut tables = Self {
            control: Control::new(0, 1),
            banks: [Bank::default(), Bank::default()],
            v4: Family::new(capacity),
            v6: Family::new(capacity),
            clock: MemoryClock::default(),
            events: Vec::new(),
            quiet: false,
            event_counter: EventCounter::default(),
            quotas: FxHashMap::default(),
            shares: FxHashMap::default(),
            rules: FxHashMap::default(),
            verdicts: vec![RuleCounter::default(); Tally::COUNT as usize],
        };
        tables.switch(image, &[]);
        tables
    }

    /// Puts `image` in force in the other bank, with these subjects by hook number, under the next epoch.
    /// Flows stay, and are judged again.
    pub fn switch(&mut self, image: &Image, subjects: &[(u32, Subject)]) {
        let bank = 1 - self.control.bank();
        let index = bank as usize;
        self.banks[index] = Bank {
            generation: image.generation,
            pairs: image.pairs.iter().map(|(key, set)| (in_bank(key, bank), *set)).collect(),
            intervals: image.intervals.clone(),
            decisions: image.decisions.clone(),
            subjects: subjects.iter().copied().collect(),
            quarantines: image.quarantines.iter().copied().collect(),
        };
        self.v4.load(
            index,
            &image.addresses4,
            image.prefixes4.iter().map(|(net, e)| (prefixes::key4(net), *e)),
        );
        self.v6.load(
            index,
            &image.addresses6,
            image.prefixes6.iter().map(|(net, e)| (prefixes::key6(net), *e)),
        );
        self.control = Control::new(self.control.epoch() + 1, bank);
    }

    /// Writes `delta` over the bank in force and begins the next epoch. Its subjects are bound by the caller.
    pub fn apply(&mut self, delta: &Delta) {
        let number = self.control.bank();
        let bank = &mut self.banks[number as usize];
        for (index, decision) in &delta.decisions {
            put(&mut bank.decisions, *index, *decision, Decision::NONE);
        }
        for (index, interval) in &delta.intervals {
            put(&mut bank.intervals, *index, *interval, Interval { start: 0, decision: 0 });
        }
        for (key, set) in &delta.pairs {
            let key = in_bank(key, number);
            match set {
                Some(set) => bank.pairs.insert(key, *set),
                None => bank.pairs.remove(&key),
            };
        }
        if let Some(generation) = delta.generation {
            bank.generation = generation;
        }
        for (identity, quarantine) in &delta.quarantines {
            match quarantine {
                Some(quarantine) => bank.quarantines.insert(*identity, *quarantine),
                None => bank.quarantines.remove(identity),
            };
        }
        let prefixes4 = delta.prefixes4.iter().map(|(net, e)| (prefixes::key4(net), *e));
        self.v4.update(number as usize, &delta.addresses4, prefixes4);
        let prefixes6 = delta.prefixes6.iter().map(|(net, e)| (prefixes::key6(net), *e));
        self.v6.update(number as usize, &delta.addresses6, prefixes6);
        self.next_epoch();
    }

    /// Makes hook `number` the hook of `subject`, in the bank in force.
    pub fn bind(&mut self, number: u32, subject: Subject) {
        self.banks[self.control.bank() as usize].subjects.insert(number, subject);
    }

    /// Leaves hook `number` without an owner.
    pub fn unbind(&mut self, number: u32) {
        self.banks[self.control.bank() as usize].subjects.remove(&number);
    }

    /// Says that hook `number` ([`Subject::hosted`]) has the socket at this address and port, as the kernel knows of its own sockets.
    pub fn house(&mut self, number: u32, protocol: u8, address: IpAddr, port: u16) {
        match address {
            IpAddr::V4(v4) => self.v4.house(protocol, address::v4(v4.octets()), port, number),
            IpAddr::V6(v6) => self.v6.house(protocol, address::v6(v6.octets()), port, number),
        }
    }

    /// Makes these the paths of the machine itself that stay open, whatever generation is in force.
    pub fn keep_open(&mut self, blocks: &[(IpNet, Failsafe)]) {
        let four = blocks.iter().filter_map(|(block, ports)| match block {
            IpNet::V4(block) => Some((prefixes::key4(block), *ports)),
            IpNet::V6(_) => None,
        });
        let six = blocks.iter().filter_map(|(block, ports)| match block {
            IpNet::V6(block) => Some((prefixes::key6(block), *ports)),
            IpNet::V4(_) => None,
        });
        self.v4.keep_open(four);
        self.v6.keep_open(six);
        self.next_epoch();
    }

    /// Forgets every flow, fragment and record, as if nothing had been judged; counters stay.
    pub fn forget_flows(&mut self) {
        self.v4.forget();
        self.v6.forget();
        self.quotas.clear();
        self.shares.clear();
        self.events.clear();
    }

    /// Makes every flow be judged again.
    pub fn next_epoch(&mut self) {
        self.control = Control::new(self.control.epoch() + 1, self.control.bank());
    }

    /// Sets the boot-time clock and the coarse monotonic clock, nanoseconds.
    pub fn set_clock(&mut self, boot: u64, coarse: u64) {
        self.clock = MemoryClock { boot, coarse };
    }

    /// Lets both clocks run on.
    pub fn advance(&mut self, nanoseconds: u64) {
        self.clock.boot += nanoseconds;
        self.clock.coarse += nanoseconds;
    }

    /// Makes no records from now on.
    pub fn be_quiet(&mut self) {
        self.quiet = true;
    }

    /// The records reported so far.
    pub fn events(&self) -> &[FlowEvent] {
        &self.events
    }

    /// Takes the records reported so far.
    pub fn take_events(&mut self) -> Vec<FlowEvent> {
        std::mem::take(&mut self.events)
    }

    /// How many records there were, and what became of them.
    pub fn event_counter(&self) -> EventCounter {
        self.event_counter
    }

    /// Packets that this rule decided.
    pub fn rule_counter(&self, number: u32) -> RuleCounter {
        self.rules.get(&number).copied().unwrap_or_default()
    }

    /// Every rule that decided a packet.
    pub fn rule_counters(&self) -> impl Iterator<Item = (u32, RuleCounter)> {
        self.rules.iter().map(|(number, counter)| (*number, *counter))
    }

    /// Counters of every cause by [`Tally::slot`].
    pub fn verdict_counters(&self) -> &[RuleCounter] {
        &self.verdicts
    }

    /// Packets that met this reason.
    pub fn reason_counter(&self, reason: Reason) -> RuleCounter {
        RuleCounter::of_reason(&self.verdicts, reason)
    }

    /// Tracked flows of both families in `tier`.
    pub fn flows(&self, tier: Tier) -> usize {
        self.v4.flows(tier) + self.v6.flows(tier)
    }
}

/// Writes entry `index`, as a kernel array takes it: what isn't written yet is `blank`.
fn put<T: Copy>(table: &mut Vec<T>, index: u32, value: T, blank: T) {
    let index = index as usize;
    if index >= table.len() {
        table.resize(index + 1, blank);
    }
    table[index] = value;
}

fn in_bank(key: &PairKey, bank: u32) -> PairKey {
    PairKey { table: key.table & 1 | bank << 1, ..*key }
}

/// The clocks as last set.
#[derive(Clone, Copy, Debug, Default)]
pub struct MemoryClock {
    boot: u64,
    coarse: u64,
}

impl Clock for MemoryClock {
    fn coarse(self) -> u64 {
        self.coarse
    }

    fn boot(self) -> u64 {
        self.boot
    }
}

impl Tables for MemoryTables {
    type Clock = MemoryClock;

    const HOSTED: Option<bool> = None;

    fn control(&self) -> Control {
        self.control
    }

    fn generation(&self, bank: u32) -> Option<&Generation> {
        self.banks.get(bank as usize).map(|bank| &bank.generation)
    }

    fn subject_entry(&self, bank: u32, number: u32) -> Option<&Subject> {
        self.banks.get(bank as usize)?.subjects.get(&number)
    }

    fn quarantine(&self, bank: u32, identity: u32) -> Option<&Quarantine> {
        self.banks.get(bank as usize)?.quarantines.get(&identity)
    }

    fn pair(&self, key: &PairKey) -> Option<PortSet> {
        self.banks.get((key.table >> 1) as usize)?.pairs.get(key).copied()
    }

    fn interval(&self, bank: u32, index: u32) -> Option<Interval> {
        self.banks.get(bank as usize)?.intervals.get(index as usize).copied()
    }

    fn decision(&self, bank: u32, index: u32) -> Option<Decision> {
        self.banks.get(bank as usize)?.decisions.get(index as usize).copied()
    }

    fn port_decision(&self, bank: u32, set: PortSet, key: u32) -> u32 {
        enforcer_common::judge::port_decision(bank, set, key, self)
    }

    fn quota(&mut self, slot: u32) -> Option<&mut Quota> {
        Some(self.quotas.entry(slot).or_default())
    }

    fn share(&mut self, slot: u32) -> Option<&mut u32> {
        Some(self.shares.entry(slot).or_default())
    }

    fn clock(&self) -> MemoryClock {
        self.clock
    }

    fn count(&mut self, outcome: &Outcome, tally: Tally, bytes: u32, opened: bool) {
        let one = RuleCounter {
            packets: 1,
            bytes: bytes.into(),
            audited: u64::from(outcome.word == Word::Audited),
            flows: opened.into(),
        };
        let reason = match outcome.cause.as_rule() {
            Some(number) => {
                self.rules.entry(number).or_default().add(&one);
                None
            }
            None => Some(outcome.cause.reason_code()),
        };
        self.verdicts[tally.slot(reason) as usize].add(&one);
    }

    fn wants(&mut self, limited: bool) -> bool {
        if self.quiet {
            return false;
        }
        if !limited {
            return true;
        }
        let counter = &mut self.event_counter;
        let told = counter.denied.take(self.clock.coarse, limits::DENY_EVENTS);
        if !told {
            counter.suppressed += 1;
        }
        told
    }

    fn report(&mut self, event: impl FnOnce() -> FlowEvent) {
        self.event_counter.sent += 1;
        self.events.push(event());
    }
}

macro_rules! family_tables {
    ($words:literal, $field:ident) => {
        impl FamilyTables<$words> for MemoryTables {
            fn flow(&mut self, tier: Tier, key: &FlowKey<$words>) -> Option<&mut FlowEntry> {
                self.$field.flow(tier, key)
            }

            fn insert_flow(&mut self, tier: Tier, key: &FlowKey<$words>, entry: &FlowEntry) -> bool {
                self.$field.insert_flow(tier, key, entry)
            }

            fn promote_flow(&mut self, key: &FlowKey<$words>) {
                self.$field.promote_flow(key);
            }

            fn remove_flow(&mut self, tier: Tier, key: &FlowKey<$words>) {
                self.$field.remove_flow(tier, key);
            }

            fn address(&self, bank: u32, address: &[u32; $words]) -> Option<&Endpoint> {
                self.$field.address(bank as usize, address)
            }

            fn resident(&self, _: u32, key: &FlowKey<$words>, _: Direction) -> u32 {
                self.$field.resident(key)
            }

            fn prefix(&self, bank: u32, address: &[u32; $words]) -> Option<&Endpoint> {
                self.$field.prefix(bank as usize, address)
            }

            fn stays_open(&self, key: &FlowKey<$words>, ways: u8) -> bool {
                self.$field.failsafe(&key.remote).is_some_and(|paths| stays_open(paths, Ends::of(key), ways))
            }

            fn fragment(&mut self, key: &FragmentKey<$words>) -> Option<&mut FragmentEntry> {
                self.$field.fragment(key)
            }

            fn insert_fragment(&mut self, key: &FragmentKey<$words>, entry: &FragmentEntry) -> bool {
                self.$field.insert_fragment(key, entry)
            }

            fn remove_fragment(&mut self, key: &FragmentKey<$words>) {
                self.$field.remove_fragment(key);
            }
        }
    };
}

family_tables!(1, v4);
family_tables!(4, v6);
