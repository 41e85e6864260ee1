//! The verdict function's tables over BPF maps.

use crate::atomic;
use crate::maps::*;
use crate::resident::{behind4, behind6, of_flow4, of_flow6, owner};
use crate::stages;
use aya_ebpf::Global;
use aya_ebpf::bindings::{__sk_buff, BPF_ANY, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP};
use aya_ebpf::helpers::{bpf_ktime_get_boot_ns, bpf_ktime_get_coarse_ns, bpf_ktime_get_ns};
use aya_ebpf::maps::lpm_trie::Key;
use enforcer_common::address::Address;
use enforcer_common::event::FlowEvent;
use enforcer_common::flow::{FlowEntry, FlowKey, FragmentEntry, FragmentKey, Tier};
use enforcer_common::judge::{Context, Ends, Sight, Step, in_force, port_decision, stays_open};
use enforcer_common::maps::{
    AddressKey, Control, Direction, Endpoint, Failsafe, Generation, PairKey, Quarantine, QuarantineKey,
    Quota, RuleCounter, Subject, SubjectKey, Tally, limits,
};
use enforcer_common::packet::Packet;
use enforcer_common::tables::{Clock, FamilyTables, Tables};
use enforcer_common::{Decision, Interval, Outcome, PortSet, Word};

/// Whether the kernel has a coarse clock for programs (5.11 and later), which costs a quarter of the exact one. Set before loading: the
/// verifier takes it for a constant and leaves out the branch that isn't taken.
#[unsafe(no_mangle)]
static COARSE_CLOCK: Global<u8> = Global::new(1);

/// Where a program runs.
pub(crate) mod hook {
    /// At a device.
    pub(crate) const DEVICE: u8 = 0;
    /// At a socket that receives.
    pub(crate) const SOCKET_INGRESS: u8 = 1;
    /// At a socket that sends: in the middle of a process, where packets that come in, and other processes, may interrupt.
    pub(crate) const SOCKET_EGRESS: u8 = 2;
}

/// The maps, all of them static, and the packet in hand.
pub(crate) struct Kernel<const HOOK: u8> {
    pub(crate) skb: *mut __sk_buff,
    /// Read once.
    pub(crate) control: Control,
    /// Which of the rooms this packet's [`Scratch`](enforcer_common::judge::Scratch) is in: see `claim`.
    pub(crate) room: u32,
}

impl<const HOOK: u8> Kernel<HOOK> {
    #[inline(always)]
    pub(crate) fn new(skb: *mut __sk_buff) -> Self {
        let mut tables = Self { skb, control: CONTROL.get(0).copied().unwrap_or_default(), room: 0 };
        tables.control = in_force(&tables);
        tables
    }

    /// 0 for the host, whom a device knows by its addresses: a flow may outlive the tables of those who are known by a cgroup.
    #[inline(always)]
    fn beside_host(&self, bank: u32, number: u32) -> u32 {
        let is_host = number != 0
            && self.subject_entry(bank, number).is_some_and(|subject| subject.flags & Subject::IS_HOST != 0);
        if is_host { 0 } else { number }
    }
}

/// Adds to a counter of this CPU's. Where the program can be interrupted by another that counts, in one instruction.
#[inline(always)]
fn add<const HOOK: u8>(counter: &mut u64, more: u64) {
    if HOOK == hook::SOCKET_EGRESS {
        atomic::add(counter, more);
    } else {
        *counter += more;
    }
}

/// The search through a port set. A global function: the verifier walks its loops once, by themselves, instead of
/// once for every path that leads here (kernel 5.6 and later).
#[inline(never)]
#[unsafe(no_mangle)]
pub extern "C" fn enforcer_port_decision(bank: u32, first: u32, len: u32, key: u32) -> u32 {
    let (skb, control) = (core::ptr::null_mut(), Control::default());
    let tables = Kernel::<{ hook::DEVICE }> { skb, control, room: 0 };
    port_decision(bank & 1, PortSet { first, len }, key, &tables)
}

/// Whether a path of the machine itself stays open: the other end's address, both ports, `protocol << 8 | ways`. A global function, as above.
#[inline(never)]
#[unsafe(no_mangle)]
pub extern "C" fn enforcer_stays_open4(address: u32, ports: u32, how: u32) -> u32 {
    let data = AddressKey { bank: 0, address: [address] };
    open_to(FAILSAFE4.get(Key::new(64, data)), ports, how)
}

/// The same of an IPv6 address, in halves.
#[inline(never)]
#[unsafe(no_mangle)]
pub extern "C" fn enforcer_stays_open6(first: u64, second: u64, ports: u32, how: u32) -> u32 {
    let address = [(first >> 32) as u32, first as u32, (second >> 32) as u32, second as u32];
    let data = AddressKey { bank: 0, address };
    open_to(FAILSAFE6.get(Key::new(160, data)), ports, how)
}

#[inline(always)]
fn open_to(paths: Option<&Failsafe>, ports: u32, how: u32) -> u32 {
    let ends = Ends { local: (ports >> 16) as u16, remote: ports as u16, protocol: (how >> 8) as u8 };
    paths.is_some_and(|paths| stays_open(paths, ends, how as u8)) as u32
}

#[inline(always)]
fn open_to4([address]: Address<1>, ports: u32, how: u32) -> u32 {
    enforcer_stays_open4(address, ports, how)
}

#[inline(always)]
fn open_to6([a, b, c, d]: Address<4>, ports: u32, how: u32) -> u32 {
    enforcer_stays_open6((a as u64) << 32 | b as u64, (c as u64) << 32 | d as u64, ports, how)
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

impl<const HOOK: u8> Tables for Kernel<HOOK> {
    type Clock = KernelClock;

    const HOSTED: Option<bool> = Some(HOOK != hook::DEVICE);

    #[inline(always)]
    fn control(&self) -> Control {
        self.control
    }

    #[inline(always)]
    fn generation(&self, bank: u32) -> Option<&Generation> {
        GENERATIONS.get(bank)
    }

    #[inline(always)]
    fn subject_entry(&self, bank: u32, number: u32) -> Option<&Subject> {
        if number < Subject::DIRECT {
            return SUBJECTS.get(number << 1 | bank);
        }
        let resident = number ^ Subject::CGROUP;
        if resident < Subject::DIRECT {
            return RESIDENTS.get(resident << 1 | bank);
        }
        // SAFETY: map memory outlives the program's run; a torn entry can only be an older subject of the same number.
        unsafe { SUBJECTS_HIGH.get(SubjectKey { bank, number }) }
    }

    #[inline(always)]
    fn quarantine(&self, bank: u32, identity: u32) -> Option<&Quarantine> {
        // SAFETY: map memory outlives the program's run, and an entry is only ever replaced by another.
        unsafe { QUARANTINES.get(QuarantineKey { bank, identity }) }
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
                tally_up::<HOOK>(RULES.get_ptr_mut(rule), outcome, bytes, opened);
                None
            }
            None => Some(outcome.cause.reason_code()),
        };
        tally_up::<HOOK>(REASONS.get_ptr_mut(tally.slot(reason)), outcome, bytes, opened);
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
            add::<HOOK>(&mut counter.suppressed, 1);
        }
        told
    }

    #[inline(always)]
    fn report(&mut self, event: impl FnOnce() -> FlowEvent) {
        let Some(counter) = EVENT_COUNTS.get_ptr_mut(0) else { return };
        // SAFETY: as in `count`.
        let counter = unsafe { &mut *counter };
        let Some(mut room) = EVENTS.reserve::<FlowEvent>(0) else {
            add::<HOOK>(&mut counter.lost, 1);
            return;
        };
        room.write(event());
        add::<HOOK>(&mut counter.sent, 1);
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
fn tally_up<const HOOK: u8>(counter: Option<*mut RuleCounter>, outcome: &Outcome, bytes: u32, opened: bool) {
    let Some(counter) = counter else { return };
    // SAFETY: this CPU's own slot; see `add`.
    let counter: &mut RuleCounter = unsafe { &mut *counter };
    add::<HOOK>(&mut counter.packets, 1);
    add::<HOOK>(&mut counter.bytes, bytes as u64);
    if opened {
        add::<HOOK>(&mut counter.flows, 1);
    }
    if outcome.word as u8 == Word::Audited as u8 {
        add::<HOOK>(&mut counter.audited, 1);
    }
}

macro_rules! family_tables {
    ($words:literal, $flows:ident, $embryonic:ident, $addresses:ident, $prefixes:ident, $fragments:ident, $resident:ident, $behind:ident, $stays_open:ident, $related:ident, $ask:ident, $tell:ident) => {
        impl<const HOOK: u8> FamilyTables<$words> for Kernel<HOOK> {
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
            fn address(&self, bank: u32, address: &Address<$words>) -> Option<&Endpoint> {
                // SAFETY: map memory outlives the program's run, and an entry is only ever replaced by another.
                unsafe { $addresses.get(AddressKey { bank, address: *address }) }
            }

            #[inline(always)]
            fn resident(&self, bank: u32, key: &FlowKey<$words>, opened: Direction) -> u32 {
                match (HOOK, opened) {
                    // The machine's own packet to a device has its socket with it. What a device hands to the machine has none yet.
                    (hook::DEVICE, Direction::Ingress) => self.beside_host(bank, owner(self.skb, bank)),
                    (hook::DEVICE, Direction::Egress) => self.beside_host(bank, $behind(self.skb, bank, key)),
                    _ => $resident(self.skb, bank, key),
                }
            }

            #[inline(always)]
            fn prefix(&self, bank: u32, address: &Address<$words>) -> Option<&Endpoint> {
                let data = AddressKey { bank, address: *address };
                $prefixes.get(&Key::new(32 + 32 * $words, data))
            }

            #[inline(always)]
            fn stays_open(&self, key: &FlowKey<$words>, ways: u8) -> bool {
                // No device is the machine itself.
                if HOOK == hook::DEVICE {
                    return false;
                }
                let Ends { local, remote, protocol } = Ends::of(key);
                let ports = (local as u32) << 16 | remote as u32;
                $stays_open(key.remote, ports, (protocol as u32) << 8 | ways as u32) != 0
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

            #[inline(always)]
            fn related<P: Packet>(&mut self, _: &P, _: &Context, _: &mut Sight<$words>) -> Step {
                let step = stages::$related::<HOOK>(self.skb, self.room);
                if step == Step::Ask as u32 { Step::Ask } else { Step::Done }
            }

            #[inline(always)]
            fn tell(&mut self, _: &Context, _: &Sight<$words>, family: u8) {
                stages::$tell::<HOOK>(self.room, family.into());
            }

            #[inline(always)]
            fn ask(&mut self, _: &Context, _: &mut Sight<$words>) {
                stages::$ask::<HOOK>(self.skb, self.room);
            }
        }
    };
}

family_tables!(
    1, FLOWS4, EMBRYONIC4, ADDRESSES4, PREFIXES4, FRAGMENTS4, of_flow4, behind4, open_to4, related4, ask4,
    tell4
);
family_tables!(
    4, FLOWS6, EMBRYONIC6, ADDRESSES6, PREFIXES6, FRAGMENTS6, of_flow6, behind6, open_to6, related6, ask6,
    tell6
);
