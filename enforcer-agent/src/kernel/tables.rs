//! The maps by name and type.

use aya::Ebpf;
use aya::Pod;
use aya::maps::{Array, HashMap, LpmTrie, Map, MapData, PerCpuArray};
use enforcer_common::flow::{FlowEntry, FlowKey};
use enforcer_common::maps::{
    AddressKey, Cgroup, CgroupKey, Control, Endpoint, EventCounter, Failsafe, Generation, PairKey,
    PrefixData, Quarantine, QuarantineKey, ReasonCounter, RuleCounter, Subject, SubjectKey,
};
use enforcer_common::{Decision, Interval, PortSet};

use super::control::ControlWord;
use crate::datapath::DatapathError;

/// The maps that exist once per address family.
pub(super) struct Family<const N: usize>
where
    AddressKey<N>: Pod,
    FlowKey<N>: Pod,
{
    pub(super) addresses: HashMap<MapData, AddressKey<N>, Endpoint>,
    pub(super) prefixes: LpmTrie<MapData, PrefixData<N>, Endpoint>,
    pub(super) failsafe: LpmTrie<MapData, PrefixData<N>, Failsafe>,
    pub(super) flows: HashMap<MapData, FlowKey<N>, FlowEntry>,
    pub(super) embryonic: HashMap<MapData, FlowKey<N>, FlowEntry>,
}

/// All maps that userspace reads or writes, but the ring.
pub(super) struct Tables {
    pub(super) control: ControlWord,
    pub(super) generations: Array<MapData, Generation>,
    pub(super) subjects: Array<MapData, Subject>,
    pub(super) subjects_high: HashMap<MapData, SubjectKey, Subject>,
    pub(super) residents: Array<MapData, Subject>,
    pub(super) cgroups: HashMap<MapData, CgroupKey, Cgroup>,
    pub(super) quarantines: HashMap<MapData, QuarantineKey, Quarantine>,
    pub(super) pairs: HashMap<MapData, PairKey, PortSet>,
    pub(super) intervals: Array<MapData, Interval>,
    pub(super) decisions: Array<MapData, Decision>,
    pub(super) v4: Family<1>,
    pub(super) v6: Family<4>,
    pub(super) shares: Array<MapData, u32>,
    pub(super) rules: PerCpuArray<MapData, RuleCounter>,
    pub(super) reasons: PerCpuArray<MapData, ReasonCounter>,
    pub(super) event_counts: PerCpuArray<MapData, EventCounter>,
}

impl Tables {
    /// Takes them out of the loaded object.
    pub(super) fn take(ebpf: &mut Ebpf) -> Result<Self, DatapathError> {
        Ok(Self {
            control: ControlWord::new(take::<Array<MapData, Control>>(ebpf, "CONTROL")?)?,
            generations: take(ebpf, "GENERATIONS")?,
            subjects: take(ebpf, "SUBJECTS")?,
            subjects_high: take(ebpf, "SUBJECTS_HIGH")?,
            residents: take(ebpf, "RESIDENTS")?,
            cgroups: take(ebpf, "CGROUPS")?,
            quarantines: take(ebpf, "QUARANTINES")?,
            pairs: take(ebpf, "PAIRS")?,
            intervals: take(ebpf, "INTERVALS")?,
            decisions: take(ebpf, "DECISIONS")?,
            v4: Family {
                addresses: take(ebpf, "ADDRESSES4")?,
                prefixes: take(ebpf, "PREFIXES4")?,
                failsafe: take(ebpf, "FAILSAFE4")?,
                flows: take(ebpf, "FLOWS4")?,
                embryonic: take(ebpf, "EMBRYONIC4")?,
            },
            v6: Family {
                addresses: take(ebpf, "ADDRESSES6")?,
                prefixes: take(ebpf, "PREFIXES6")?,
                failsafe: take(ebpf, "FAILSAFE6")?,
                flows: take(ebpf, "FLOWS6")?,
                embryonic: take(ebpf, "EMBRYONIC6")?,
            },
            shares: take(ebpf, "SHARES")?,
            rules: take(ebpf, "RULES")?,
            reasons: take(ebpf, "REASONS")?,
            event_counts: take(ebpf, "EVENT_COUNTS")?,
        })
    }
}

/// One map, as what it should be.
pub(super) fn take<M>(ebpf: &mut Ebpf, name: &str) -> Result<M, DatapathError>
where
    M: TryFrom<Map, Error = aya::maps::MapError>,
{
    let map = ebpf
        .take_map(name)
        .ok_or_else(|| DatapathError::new(format_args!("the object has no map `{name}`")))?;
    M::try_from(map).map_err(|error| {
        DatapathError::caused(format_args!("the object's map `{name}` isn't what this build expects"), error)
    })
}
