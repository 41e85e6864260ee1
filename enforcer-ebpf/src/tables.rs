//! The verdict function's tables over BPF maps.

use crate::maps::*;
use aya_ebpf::Global;
use aya_ebpf::bindings::{BPF_ANY, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP};
use aya_ebpf::helpers::{bpf_ktime_get_boot_ns, bpf_ktime_get_coarse_ns, bpf_ktime_get_ns};
use aya_ebpf::maps::lpm_trie::Key;
use enforcer_common::address::Address;
use enforcer_common::event::FlowEvent;
use enforcer_common::flow::{FlowEntry, FlowKey, FragmentEntry, FragmentKey, Tier};
use enforcer_common::judge::port_decision;
use enforcer_common::maps::{
    AddressKey, Control, Endpoint, Generation, PairKey, Quota, RuleCounter, Subject, SubjectKey, Tally,
    limits,
};
use enforcer_common::tables::{Clock, FamilyTables, Tables};
use enforcer_common::{Decision, Interval, Outcome, PortSet, Word};

/// Whether the kernel has a coarse clock for programs (5.11 and later), which costs a quarter of the exact one. Set before loading: the
/// verifier takes it for a constant and leaves out the branch that isn't taken.
#[unsafe(no_mangle)]
static COARSE_CLOCK: Global<u8> = Global::new(1);

/// The maps, all of them static.
pub(crate) struct Kernel;

/// The search through a port set. A global function: the verifier walks its loops once, by themselves, instead of
/// once for every path that leads here (kernel 5.6 and later).
#[inline(never)]
#[unsafe(no_mangle)]
pub extern "C" fn enforcer_port_decision(bank: u32, first: u32, len: u32, key: u32) -> u32 {
    port_decision(bank & 1, PortSet { first, len }, key, &Kernel)
}

/// The kernel's clocks.
#[derive(Clone, Copy)]
pub(crate) struct KernelClock;

impl Clock for KernelClock {
    #[inline(always)]
    fn coarse(self) -> u64 {
        // SAFETY: helpers without arguments.
        unsafe { if COARSE_CLOCK.load() != 0 { bpf_ktime_get_coarse_ns() } else { bpf_ktime_get_ns() } }
    }

    #[inline(always)]
    fn boot(self) -> u64 {
        // SAFETY: a helper without arguments.
        unsafe { bpf_ktime_get_boot_ns() }
    }
}

impl Tables for Kernel {
    type Clock = KernelClock;

    #[inline(always)]
    fn control(&self) -> Control {
        CONTROL.get(0).copied().unwrap_or_default()
    }

    #[inline(always)]
    fn generation(&self, bank: u32) -> Option<Generation> {
        GENERATIONS.get(bank).copied()
    }

    #[inline(always)]
    fn subject(&self, bank: u32, number: u32) -> Option<Subject> {
        if number < Subject::DIRECT {
            return SUBJECTS.get(number << 1 | bank).copied();
        }
        // SAFETY: values are copied at once; a torn one can only be an older subject of the same number.
        unsafe { SUBJECTS_HIGH.get(SubjectKey { bank, number }).copied() }
    }

    #[inline(always)]
    fn pair(&self, key: &PairKey) -> Option<PortSet> {
        // SAFETY: pairs of the bank in force are only ever added.
        unsafe { PAIRS.get(key).copied() }
    }

    #[inline(always)]
    fn interval(&self, bank: u32, index: u32) -> Option<Interval> {
        INTERVALS.get(bank * limits::INTERVALS + index).copied()
    }

    #[inline(always)]
    fn decision(&self, bank: u32, index: u32) -> Option<Decision> {
        DECISIONS.get(bank * limits::DECISIONS + index).copied()
    }

    #[inline(always)]
    fn port_decision(&self, bank: u32, set: PortSet, key: u32) -> u32 {
        enforcer_port_decision(bank, set.first, set.len, key)
    }

    #[inline(always)]
    fn quota(&mut self, slot: u32) -> Option<&mut Quota> {
        // SAFETY: map memory outlives the program's run; CPUs that write at once lose a count, which quotas bear.
        QUOTAS.get_ptr_mut(slot).map(|quota| unsafe { &mut *quota })
    }

    #[inline(always)]
    fn share(&mut self, slot: u32) -> Option<&mut u32> {
        // SAFETY: as in `quota`.
        SHARES.get_ptr_mut(slot).map(|held| unsafe { &mut *held })
    }

    #[inline(always)]
    fn clock(&self) -> KernelClock {
        KernelClock
    }

    #[inline(always)]
    fn count(&mut self, outcome: &Outcome, tally: Tally, bytes: u32, opened: bool) {
        let reason = match outcome.cause.as_rule() {
            Some(rule) => {
                add(RULES.get_ptr_mut(rule), outcome, bytes, opened);
                None
            }
            None => Some(outcome.cause.reason_code()),
        };
        add(REASONS.get_ptr_mut(tally.slot(reason)), outcome, bytes, opened);
    }

    #[inline(always)]
    fn wants(&mut self, limited: bool) -> bool {
        if !limited {
            return true;
        }
        let Some(counter) = EVENT_COUNTS.get_ptr_mut(0) else { return false };
        // SAFETY: as in `count`.
        let counter = unsafe { &mut *counter };
        let told = counter.denied.take(KernelClock.coarse(), limits::DENY_EVENTS);
        if !told {
            counter.suppressed += 1;
        }
        told
    }

    #[inline(always)]
    fn report(&mut self, event: impl FnOnce() -> FlowEvent) {
        let Some(counter) = EVENT_COUNTS.get_ptr_mut(0) else { return };
        // SAFETY: as in `count`.
        let counter = unsafe { &mut *counter };
        let Some(mut room) = EVENTS.reserve::<FlowEvent>(0) else {
            counter.lost += 1;
            return;
        };
        room.write(event());
        counter.sent += 1;
        let now = KernelClock.coarse();
        let wakes = now - counter.woken >= limits::WAKE_INTERVAL;
        if wakes {
            counter.woken = now;
        }
        room.submit(if wakes { BPF_RB_FORCE_WAKEUP } else { BPF_RB_NO_WAKEUP } as u64);
    }
}

/// Counts a packet in one counter.
#[inline(always)]
fn add(counter: Option<*mut RuleCounter>, outcome: &Outcome, bytes: u32, opened: bool) {
    let Some(counter) = counter else { return };
    // SAFETY: this CPU's own slot; programs on one CPU don't interrupt each other.
    let counter: &mut RuleCounter = unsafe { &mut *counter };
    counter.packets += 1;
    counter.bytes += bytes as u64;
    if opened {
        counter.flows += 1;
    }
    if outcome.word as u8 == Word::Audited as u8 {
        counter.audited += 1;
    }
}

macro_rules! family_tables {
    ($words:literal, $flows:ident, $embryonic:ident, $addresses:ident, $prefixes:ident, $fragments:ident) => {
        impl FamilyTables<$words> for Kernel {
            #[inline(always)]
            fn flow(&mut self, tier: Tier, key: &FlowKey<$words>) -> Option<&mut FlowEntry> {
                let entry = match tier {
                    Tier::Established => $flows.get_ptr_mut(key),
                    Tier::Embryonic => $embryonic.get_ptr_mut(key),
                };
                // SAFETY: map memory outlives the program's run. Other CPUs may write to it as well: each field is
                // read and written whole, and the epoch, written last, tells whether the verdict beside it is today's.
                entry.map(|entry| unsafe { &mut *entry })
            }

            #[inline(always)]
            fn insert_flow(&mut self, tier: Tier, key: &FlowKey<$words>, entry: &FlowEntry) -> bool {
                let flags = BPF_ANY as u64;
                match tier {
                    Tier::Established => $flows.insert(key, entry, flags).is_ok(),
                    Tier::Embryonic => $embryonic.insert(key, entry, flags).is_ok(),
                }
            }

            #[inline(always)]
            fn promote_flow(&mut self, key: &FlowKey<$words>) {
                let Some(entry) = $embryonic.get_ptr_mut(key) else { return };
                // SAFETY: as in `flow`; the kernel copies the entry from one map to the other.
                let entry: &FlowEntry = unsafe { &*entry };
                if $flows.insert(key, entry, BPF_ANY as u64).is_ok() {
                    let _ = $embryonic.remove(key);
                }
            }

            #[inline(always)]
            fn remove_flow(&mut self, tier: Tier, key: &FlowKey<$words>) {
                // Absent already is as good.
                let _ = match tier {
                    Tier::Established => $flows.remove(key),
                    Tier::Embryonic => $embryonic.remove(key),
                };
            }

            #[inline(always)]
            fn address(&self, bank: u32, address: &Address<$words>) -> Option<Endpoint> {
                // SAFETY: copied at once.
                unsafe { $addresses.get(AddressKey { bank, address: *address }).copied() }
            }

            #[inline(always)]
            fn prefix(&self, bank: u32, address: &Address<$words>) -> Option<Endpoint> {
                let data = AddressKey { bank, address: *address };
                $prefixes.get(&Key::new(32 + 32 * $words, data)).copied()
            }

            #[inline(always)]
            fn fragment(&mut self, key: &FragmentKey<$words>) -> Option<&mut FragmentEntry> {
                // SAFETY: as in `flow`.
                $fragments.get_ptr_mut(key).map(|entry| unsafe { &mut *entry })
            }

            #[inline(always)]
            fn insert_fragment(&mut self, key: &FragmentKey<$words>, entry: &FragmentEntry) -> bool {
                $fragments.insert(key, entry, BPF_ANY as u64).is_ok()
            }

            #[inline(always)]
            fn remove_fragment(&mut self, key: &FragmentKey<$words>) {
                let _ = $fragments.remove(key);
            }
        }
    };
}

family_tables!(1, FLOWS4, EMBRYONIC4, ADDRESSES4, PREFIXES4, FRAGMENTS4);
family_tables!(4, FLOWS6, EMBRYONIC6, ADDRESSES6, PREFIXES6, FRAGMENTS6);
