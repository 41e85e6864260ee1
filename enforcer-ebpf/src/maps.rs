//! The maps. Jobs and layouts are in `enforcer_common::maps` and `enforcer_common::flow`.
//!
//! What a generation owns is not preallocated: it is as large as the policy set. What packets fill is preallocated, so that
//! no packet waits for memory, and the established flows are no LRU: new flows can't push them out.

use crate::claim::{Claimed, Room};
use aya_ebpf::bindings::{BPF_F_MMAPABLE, BPF_F_NO_PREALLOC};
use aya_ebpf::btf_maps::SkStorage;
use aya_ebpf::macros::{btf_map, map};
use aya_ebpf::maps::{Array, HashMap, LpmTrie, LruHashMap, PerCpuArray, RingBuf};
use core::ffi::c_void;
use enforcer_common::flow::{FlowEntry, FlowKey, FragmentEntry, FragmentKey};
use enforcer_common::maps::{
    AddressKey, Birthplace, Cgroup, CgroupKey, Control, Endpoint, EventCounter, Failsafe, Generation,
    PairKey, PrefixData, Quarantine, QuarantineKey, Quota, ReasonCounter, RuleCounter, Subject, SubjectKey,
    Tally, limits,
};
use enforcer_common::{Decision, Interval, PortSet};

/// Mapped into the daemon, so that a switch is one store.
#[map]
pub(crate) static CONTROL: Array<Control> = Array::with_max_entries(1, BPF_F_MMAPABLE);
#[map]
pub(crate) static GENERATIONS: Array<Generation> = Array::with_max_entries(2, 0);

#[map]
pub(crate) static SUBJECTS: Array<Subject> = Array::with_max_entries(2 * Subject::DIRECT, 0);
#[map]
pub(crate) static SUBJECTS_HIGH: HashMap<SubjectKey, Subject> =
    HashMap::with_max_entries(2 * Subject::DIRECT, BPF_F_NO_PREALLOC);

/// Who is known by a cgroup, by [`Subject::hosted`] number without its top bit; two banks.
#[map]
pub(crate) static RESIDENTS: Array<Subject> = Array::with_max_entries(2 * Subject::DIRECT, 0);
#[map]
pub(crate) static CGROUPS: HashMap<CgroupKey, Cgroup> =
    HashMap::with_max_entries(limits::CGROUPS, BPF_F_NO_PREALLOC);

/// Kept with each socket that a program saw made or bound, or that was there before.
#[btf_map]
pub(crate) static BIRTHPLACES: SkStorage<Birthplace> = SkStorage::new();
/// By a socket's cookie: where those were made that are older than the hooks. Filled and emptied by the daemon, when these are attached.
#[map]
pub(crate) static EARLIER: HashMap<u64, Birthplace> =
    HashMap::with_max_entries(limits::EARLIER, BPF_F_NO_PREALLOC);

#[map]
pub(crate) static QUARANTINES: HashMap<QuarantineKey, Quarantine> =
    HashMap::with_max_entries(2 * limits::QUARANTINES, BPF_F_NO_PREALLOC);

#[map]
pub(crate) static ADDRESSES4: HashMap<AddressKey<1>, Endpoint> =
    HashMap::with_max_entries(2 * limits::ADDRESSES, BPF_F_NO_PREALLOC);
#[map]
pub(crate) static ADDRESSES6: HashMap<AddressKey<4>, Endpoint> =
    HashMap::with_max_entries(2 * limits::ADDRESSES, BPF_F_NO_PREALLOC);
#[map]
pub(crate) static PREFIXES4: LpmTrie<PrefixData<1>, Endpoint> =
    LpmTrie::with_max_entries(limits::PREFIXES, 0);
#[map]
pub(crate) static PREFIXES6: LpmTrie<PrefixData<4>, Endpoint> =
    LpmTrie::with_max_entries(limits::PREFIXES, 0);

#[map]
pub(crate) static FAILSAFE4: LpmTrie<PrefixData<1>, Failsafe> =
    LpmTrie::with_max_entries(limits::FAILSAFES, 0);
#[map]
pub(crate) static FAILSAFE6: LpmTrie<PrefixData<4>, Failsafe> =
    LpmTrie::with_max_entries(limits::FAILSAFES, 0);

#[map]
pub(crate) static PAIRS: HashMap<PairKey, PortSet> =
    HashMap::with_max_entries(2 * limits::PAIRS, BPF_F_NO_PREALLOC);
#[map]
pub(crate) static INTERVALS: Array<Interval> = Array::with_max_entries(2 * limits::INTERVALS, 0);
#[map]
pub(crate) static DECISIONS: Array<Decision> = Array::with_max_entries(2 * limits::DECISIONS, 0);

#[map]
pub(crate) static FLOWS4: HashMap<FlowKey<1>, FlowEntry> = HashMap::with_max_entries(limits::FLOWS, 0);
#[map]
pub(crate) static FLOWS6: HashMap<FlowKey<4>, FlowEntry> = HashMap::with_max_entries(limits::FLOWS, 0);
#[map]
pub(crate) static EMBRYONIC4: LruHashMap<FlowKey<1>, FlowEntry> =
    LruHashMap::with_max_entries(limits::EMBRYONIC, 0);
#[map]
pub(crate) static EMBRYONIC6: LruHashMap<FlowKey<4>, FlowEntry> =
    LruHashMap::with_max_entries(limits::EMBRYONIC, 0);
#[map]
pub(crate) static FRAGMENTS4: LruHashMap<FragmentKey<1>, FragmentEntry> =
    LruHashMap::with_max_entries(limits::FRAGMENTS, 0);
#[map]
pub(crate) static FRAGMENTS6: LruHashMap<FragmentKey<4>, FragmentEntry> =
    LruHashMap::with_max_entries(limits::FRAGMENTS, 0);

#[map]
pub(crate) static QUOTAS: Array<Quota> = Array::with_max_entries(Quota::SLOTS, 0);
/// Corrected by the daemon whenever it sweeps.
#[map]
pub(crate) static SHARES: Array<u32> = Array::with_max_entries(Quota::SLOTS, 0);

#[map]
pub(crate) static RULES: PerCpuArray<RuleCounter> = PerCpuArray::with_max_entries(limits::RULES, 0);
/// By [`Tally::slot`].
#[map]
pub(crate) static REASONS: PerCpuArray<ReasonCounter> = PerCpuArray::with_max_entries(Tally::COUNT, 0);
#[map]
pub(crate) static EVENTS: RingBuf = RingBuf::with_byte_size(1 << 20, 0);
#[map]
pub(crate) static EVENT_COUNTS: PerCpuArray<EventCounter> = PerCpuArray::with_max_entries(1, 0);
#[map]
pub(crate) static SCRATCH: PerCpuArray<Room> = PerCpuArray::with_max_entries(1, 0);
/// For what processes send: see `claim`.
#[map]
pub(crate) static CLAIMED: PerCpuArray<Claimed> = PerCpuArray::with_max_entries(Claimed::SLOTS, 0);

/// A map as helpers want it that have no form of their own in aya.
#[inline(always)]
pub(crate) fn raw<T>(map: &'static T) -> *mut c_void {
    core::ptr::from_ref(map).cast_mut().cast()
}
