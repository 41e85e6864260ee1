//! What the numbers in records and counters stand for.
//!
//! Numbers are not given out again while they are remembered, so names are only ever added to what is known: a record that
//! comes after its rule has gone still has its cause.

use crate::protocol::{CauseRecord, End};
use enforcer_common::Cause;
use enforcer_policy::compile::{IdentityInfo, IdentityKind, RuleInfo};
use enforcer_policy::model::PolicySet;
use ipnet::IpNet;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, PoisonError, RwLock};

#[derive(Debug, Default)]
struct Tables {
    identities: HashMap<u32, Arc<IdentityInfo>>,
    rules: HashMap<u32, Arc<RuleInfo>>,
    places: Places,
    /// Identities that have a hook on this host.
    hooked: HashSet<u32>,
}

/// Who is where, for records of flows whose peer the kernel no longer names.
#[derive(Debug, Default)]
struct Places {
    addresses: HashMap<IpAddr, u32>,
    blocks: HashMap<IpNet, u32>,
    /// Lengths of blocks, longest first.
    lengths: Vec<u8>,
}

impl Places {
    fn identity(&self, at: IpAddr) -> Option<u32> {
        let in_block = || {
            self.lengths.iter().find_map(|length| {
                let block = IpNet::new(at, *length).ok()?.trunc();
                self.blocks.get(&block).copied()
            })
        };
        self.addresses.get(&at).copied().or_else(in_block)
    }
}

/// Shared by the engine, which adds, and by whoever shows records.
#[derive(Debug, Default, Clone)]
pub struct Names {
    tables: Arc<RwLock<Tables>>,
}

impl Names {
    /// Adds what a generation or a change of one has.
    pub fn learn<'a>(
        &self,
        identities: impl IntoIterator<Item = &'a Arc<IdentityInfo>>,
        rules: impl IntoIterator<Item = &'a RuleInfo>,
    ) {
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        for identity in identities {
            tables.identities.insert(identity.number, Arc::clone(identity));
        }
        for rule in rules {
            tables.rules.insert(rule.number, Arc::new(rule.clone()));
        }
    }

    /// Forgets who is where, and learns it anew.
    pub(crate) fn locate(
        &self,
        set: &PolicySet,
        host: &[IpAddr],
        identities: &BTreeMap<u32, Arc<IdentityInfo>>,
    ) {
        let numbers: HashMap<(IdentityKind, &str), u32> =
            identities.values().map(|info| ((info.kind, info.name.as_str()), info.number)).collect();
        let number = |kind, name: &str| numbers.get(&(kind, name)).copied();
        let mut places = Places::default();
        if let Some(number) = number(IdentityKind::Host, "host") {
            places.addresses.extend(host.iter().map(|address| (*address, number)));
        }
        for workload in &set.workloads {
            let Some(number) = number(IdentityKind::Workload, &workload.name) else { continue };
            places.addresses.extend(workload.addresses.iter().map(|address| (*address, number)));
        }
        for group in &set.groups {
            let Some(number) = number(IdentityKind::Group, &group.name) else { continue };
            places.blocks.extend(group.cidrs.iter().map(|block| (block.trunc(), number)));
        }
        if let Some(number) = number(IdentityKind::Host, "host") {
            let loopback = [(IpAddr::from(Ipv4Addr::LOCALHOST), 8), (Ipv6Addr::LOCALHOST.into(), 128)];
            let loopback = loopback.into_iter().filter_map(|(at, length)| IpNet::new(at, length).ok());
            places.blocks.extend(loopback.map(|block| (block.trunc(), number)));
        }
        places.lengths = places.blocks.keys().map(IpNet::prefix_len).collect();
        places.lengths.sort_unstable_by(|a, b| b.cmp(a));
        places.lengths.dedup();
        self.tables.write().unwrap_or_else(PoisonError::into_inner).places = places;
    }

    /// Learns of one workload that came, changed or went.
    pub(crate) fn relocate(&self, before: &[IpAddr], after: &[IpAddr], identity: Option<u32>) {
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        for address in before {
            tables.places.addresses.remove(address);
        }
        if let Some(identity) = identity {
            tables.places.addresses.extend(after.iter().map(|address| (*address, identity)));
        }
    }

    /// These workloads have a hook on this host, and no others.
    pub(crate) fn hooked(&self, identities: HashSet<u32>) {
        self.tables.write().unwrap_or_else(PoisonError::into_inner).hooked = identities;
    }

    /// Whether an end has a hook on this host, which makes records of its own.
    #[must_use]
    pub fn has_hook(&self, identity: u32, ip: Option<IpAddr>) -> bool {
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        let placed = || ip.and_then(|ip| tables.places.identity(ip));
        let number = Some(identity).filter(|identity| *identity != 0).or_else(placed);
        number.is_some_and(|number| tables.hooked.contains(&number))
    }

    /// One end of a flow.
    #[must_use]
    pub fn end(&self, identity: u32, ip: Option<IpAddr>, port: Option<u16>) -> End {
        let known = {
            let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
            // Packets of a flow that was denied before are reported without their peer's number.
            let placed = || ip.and_then(|ip| tables.places.identity(ip));
            let number = Some(identity).filter(|identity| *identity != 0).or_else(placed);
            number.and_then(|number| tables.identities.get(&number).cloned())
        };
        let mut end = End { ip, port, ..End::default() };
        match known {
            Some(info) => {
                end.labels.clone_from(&info.labels);
                match info.kind {
                    IdentityKind::Workload => end.workload = Some(info.name.clone()),
                    IdentityKind::Group => end.group = Some(info.name.clone()),
                    IdentityKind::Host => end.entity = Some("host".to_owned()),
                }
            }
            None if ip.is_some_and(|ip| is_group_address(&ip)) => end.entity = Some("multicast".to_owned()),
            None if ip.is_some() => end.entity = Some("world".to_owned()),
            None => {}
        }
        end
    }

    /// Why a packet met its verdict.
    #[must_use]
    pub fn cause(&self, cause: Cause) -> CauseRecord {
        let Some(number) = cause.as_rule() else {
            // A reason that this version doesn't know comes from kernel programs of a later one.
            let Some(reason) = cause.as_reason() else {
                return CauseRecord { reason: Some("unknown".to_owned()), ..CauseRecord::default() };
            };
            return CauseRecord::from(reason);
        };
        match self.rule(number) {
            Some(rule) => CauseRecord::from(&*rule),
            None => CauseRecord { rule: Some(format!("rule-{number}")), ..CauseRecord::default() },
        }
    }

    /// The rules that are known, by number.
    #[must_use]
    pub fn rule(&self, number: u32) -> Option<Arc<RuleInfo>> {
        self.tables.read().unwrap_or_else(PoisonError::into_inner).rules.get(&number).cloned()
    }
}

fn is_group_address(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_multicast() || ip.is_broadcast(),
        IpAddr::V6(ip) => ip.is_multicast(),
    }
}
