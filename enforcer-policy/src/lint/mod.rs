//! What is valid and probably not meant, beyond what single documents tell: rules that never decide, rules that open too much,
//! policies that end soon or that nobody tests.

mod shadow;
#[cfg(test)]
mod tests;

use crate::compile::{Clock, Compiled};
use crate::diagnostic::shown;
use crate::model::{
    Action, Entity, FlowEntry, FlowPolicy, Origin, PolicyMode, PolicySet, PortSpec, Selector,
};
use crate::write::labels;
use jiff::SignedDuration;
use std::collections::HashSet;

/// A policy that ends within this time is worth a look.
const SOON: SignedDuration = SignedDuration::from_hours(14 * 24);

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lint {
    /// The document or rule it is about.
    pub origin: Origin,
    /// What was found.
    pub message: String,
    /// What may be done about it.
    pub help: String,
}

/// Everything that was found about a set. `tested` are the names of policies that decide some case of its FlowTests.
pub fn lint(set: &PolicySet, compiled: &Compiled, clock: Clock, tested: &HashSet<String>) -> Vec<Lint> {
    let mut lints = shadow::shadowed(set, compiled, clock.boot_ns);
    lints.extend(wide(set));
    lints.extend(ending(set, clock));
    lints.extend(untested(set, tested));
    lints.sort_by(|a, b| {
        let place = |lint: &Lint| (lint.origin.file.clone(), lint.origin.line, lint.origin.column);
        place(a).cmp(&place(b))
    });
    lints
}

/// Allow rules that leave nothing to choose at one end.
fn wide(set: &PolicySet) -> impl Iterator<Item = Lint> {
    set.policies.iter().flat_map(|policy| {
        let rules = policy.flows.iter().enumerate().filter(|(_, entry)| entry.action == Action::Allow);
        rules.filter_map(|(index, entry)| {
            let what = width(entry)?;
            let message = format!("`{}#{index}` is wide: it allows {what}", shown(&policy.name));
            let help = "name the ports that are needed, or who needs them; `enforcer audit --flows` shows what is used";
            Some(Lint { origin: entry.origin.clone(), message, help: help.to_owned() })
        })
    })
}

fn width(entry: &FlowEntry) -> Option<&'static str> {
    let every_port = entry.ports.iter().any(|port| matches!(port, PortSpec::Any | PortSpec::Protocol(6)));
    if !every_port {
        return None;
    }
    let anybody = |selectors: &[Selector]| {
        selectors.iter().any(|selector| match selector {
            Selector::Entity(entity) => matches!(entity, Entity::All | Entity::World),
            Selector::Cidr { cidrs, .. } => cidrs.iter().any(|block| block.prefix_len() == 0),
            Selector::Labels(_) => false,
        })
    };
    let everybody = |selectors: &[Selector]| {
        anybody(selectors)
            || selectors.iter().any(|selector| matches!(selector, Selector::Entity(Entity::Workloads)))
    };
    match (anybody(&entry.from), anybody(&entry.to)) {
        (true, _) => Some("every port from anywhere"),
        (_, true) => Some("every port to anywhere"),
        _ if everybody(&entry.from) && everybody(&entry.to) => Some("every port between all workloads"),
        _ => None,
    }
}

fn ending(set: &PolicySet, clock: Clock) -> impl Iterator<Item = Lint> {
    set.policies.iter().filter_map(move |policy| {
        let left = policy.expires?.duration_since(clock.now);
        if !left.is_positive() || left > SOON {
            return None;
        }
        let hours = left.as_hours();
        let when = if hours < 48 { format!("{hours} hours") } else { format!("{} days", hours / 24) };
        let message = format!("the policy `{}` expires in {when}", shown(&policy.name));
        let help = "past it, flows that only it allows are cut; give it a later instant or take it away";
        Some(Lint { origin: policy.origin.clone(), message, help: help.to_owned() })
    })
}

/// A case that the rule makes true, where its ends and ports are plain.
fn case(entry: &FlowEntry) -> Option<String> {
    let end = |selectors: &[Selector]| match selectors.first()? {
        Selector::Labels(selector) if selector.expressions.is_empty() => {
            Some(format!("{{labels: {}}}", labels(&selector.labels)))
        }
        Selector::Entity(entity @ (Entity::Host | Entity::World)) => {
            Some(format!("{{entity: {}}}", entity.word()))
        }
        _ => None,
    };
    let port = entry.ports.iter().find(|port| match port {
        PortSpec::Ports { first, last, .. } => first == last,
        PortSpec::Icmp { .. } => true,
        PortSpec::Any | PortSpec::Protocol(_) => false,
    })?;
    let expect = entry.action.word();
    Some(format!("{{from: {}, to: {}, port: {port}, expect: {expect}}}", end(&entry.from)?, end(&entry.to)?))
}

fn untested(set: &PolicySet, tested: &HashSet<String>) -> Vec<Lint> {
    if set.tests.is_empty() {
        let Some(first) = set.policies.first() else { return Vec::new() };
        let message = match set.policies.len() {
            1 => format!("no FlowTest says what the policy `{}` must do", shown(&first.name)),
            more => format!("no FlowTest says what these {more} policies must do"),
        };
        let lasting = |policy: &&FlowPolicy| policy.mode == PolicyMode::Enforce && policy.expires.is_none();
        let case = set.policies.iter().filter(lasting).flat_map(|policy| &policy.flows).find_map(case);
        let such = case.map(|case| format!(", with cases such as `{case}`")).unwrap_or_default();
        let help = format!("add one{such}: `enforcer check` and `apply` then refuse what breaks it");
        return vec![Lint { origin: first.origin.clone(), message, help }];
    }
    let policies = set.policies.iter().filter(|policy| !tested.contains(&policy.name));
    let lint = |policy: &FlowPolicy| Lint {
        origin: policy.origin.clone(),
        message: format!("no FlowTest case is decided by the policy `{}`", shown(&policy.name)),
        help: "add a case of what it allows, and one of what it keeps out".to_owned(),
    };
    policies.map(lint).collect()
}
