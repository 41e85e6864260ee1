//! Whether narrower rules keep every verdict and open nothing.

use super::uses::{RuleAt, Uses, verdict};
use super::{Advice, Narrowing};
use crate::audit::{Audit, AuditError};
use enforcer_policy::diff::connectivity;
use rustc_hash::FxHashMap;
use std::collections::BTreeSet;

/// Rules that have to stay as they are; none where all is well.
pub(super) fn wrong(
    audit: &Audit,
    uses: &Uses,
    narrowing: &Narrowing,
) -> Result<BTreeSet<RuleAt>, AuditError> {
    let numbers: FxHashMap<&str, usize> = audit
        .ground
        .set
        .policies
        .iter()
        .zip(0..)
        .map(|(policy, number)| (policy.name.as_str(), number))
        .collect();
    let mut policies = audit.ground.set.policies.clone();
    // By name of a rule as it would be: the rule as it is.
    let mut origin: FxHashMap<String, RuleAt> = FxHashMap::default();
    let mut narrowed = BTreeSet::new();
    for advice in narrowing.policies.iter().filter(|policy| policy.is_narrowed()) {
        let number = numbers[advice.policy.name.as_str()];
        let mut next = 0;
        for rule in &advice.rules {
            let Advice::Narrow(entries) = &rule.advice else {
                next += 1;
                continue;
            };
            narrowed.insert((number, rule.index));
            for _ in entries {
                origin.insert(format!("{}#{next}", advice.policy.name), (number, rule.index));
                next += 1;
            }
        }
        policies[number] = advice.narrowed();
    }
    let mut wrong = BTreeSet::new();
    if narrowed.is_empty() {
        return Ok(wrong);
    }
    let mut ground = audit.ground.with_policies(policies)?;
    let difference = connectivity(Some(&audit.ground.as_it_is()?), &ground.compiled, ground.clock.boot_ns);
    for change in difference.changes.iter().filter(|change| change.opens()) {
        match change.rule_after.as_ref().and_then(|rule| origin.get(rule)) {
            Some(rule) => _ = wrong.insert(*rule),
            // Whose it is can't be told: nothing is narrowed.
            None => return Ok(narrowed),
        }
    }
    // Where not all pairs could be compared, nothing is promised.
    if !difference.complete {
        return Ok(narrowed);
    }
    let says = |ruling: Option<crate::Ruling>| ruling.map(|ruling| (ruling.word, ruling.passes));
    let mut changed = BTreeSet::new();
    for (number, (used, stands)) in uses.all.iter().enumerate() {
        if says(verdict(audit, &mut ground, used)?) != says(*stands) {
            changed.insert(number);
        }
    }
    if changed.is_empty() {
        return Ok(wrong);
    }
    let key = |used: &super::uses::Used| (used.source, used.destination, used.protocol, used.port);
    let keys: BTreeSet<_> = changed.into_iter().map(|number| key(&uses.all[number].0)).collect();
    let deciding = uses
        .rules()
        .filter(|(rule, used)| narrowed.contains(rule) && used.iter().any(|used| keys.contains(&key(used))));
    let before = wrong.len();
    wrong.extend(deciding.map(|(rule, _)| rule));
    Ok(if wrong.len() == before { narrowed } else { wrong })
}
