//! What the numbers in records and counters stand for.
//!
//! Numbers are not given out again while they are remembered, so names are only ever added to what is known: a record that
//! comes after its rule has gone still has its cause.

use crate::protocol::{CauseRecord, End};
use enforcer_common::Cause;
use enforcer_policy::compile::{IdentityInfo, IdentityKind, RuleInfo};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};

#[derive(Debug, Default)]
struct Tables {
    identities: HashMap<u32, Arc<IdentityInfo>>,
    rules: HashMap<u32, Arc<RuleInfo>>,
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
        identities: impl IntoIterator<Item = &'a IdentityInfo>,
        rules: impl IntoIterator<Item = &'a RuleInfo>,
    ) {
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        for identity in identities {
            tables.identities.insert(identity.number, Arc::new(identity.clone()));
        }
        for rule in rules {
            tables.rules.insert(rule.number, Arc::new(rule.clone()));
        }
    }

    /// One end of a flow.
    #[must_use]
    pub fn end(&self, identity: u32, ip: Option<IpAddr>, port: Option<u16>) -> End {
        let known =
            self.tables.read().unwrap_or_else(PoisonError::into_inner).identities.get(&identity).cloned();
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
            let detail = (reason.detail() != reason.word()).then(|| reason.detail().to_owned());
            return CauseRecord { reason: Some(reason.word().to_owned()), detail, ..CauseRecord::default() };
        };
        let known = self.tables.read().unwrap_or_else(PoisonError::into_inner).rules.get(&number).cloned();
        match known {
            Some(rule) => CauseRecord {
                rule: Some(rule.name()),
                file: Some(rule.origin.file.to_string()),
                line: Some(rule.origin.line),
                why: rule.why.clone(),
                ..CauseRecord::default()
            },
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
