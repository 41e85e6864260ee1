//! Suggestions for programs: `enforcer.suggest/v1`. Fields are only ever added.

use super::narrow::{Advice, Narrower, Narrowing, PolicyAdvice, RuleAdvice};
use super::{Apart, Entry, Evidence, Policy, Suggestion, Why};
use crate::report::Window;
use enforcer_policy::model::{FlowPolicy, Operator, PortSpec, Selector};
use serde_json::{Map, Value, json};

/// A selector as documents write it.
fn selector(selector: &Selector) -> Value {
    match selector {
        Selector::Entity(entity) => json!({"entity": entity.word()}),
        Selector::Cidr { cidrs, except } if except.is_empty() => json!({"cidr": cidrs}),
        Selector::Cidr { cidrs, except } => json!({"cidr": cidrs, "except": except}),
        Selector::Labels(selector) => {
            let mut fields = Map::new();
            if !selector.labels.is_empty() {
                fields.insert("labels".to_owned(), json!(selector.labels));
            }
            if !selector.expressions.is_empty() {
                let expressions = selector.expressions.iter().map(|expression| match &expression.operator {
                    Operator::In(values) => json!({"key": expression.key, "in": values}),
                    Operator::NotIn(values) => json!({"key": expression.key, "notIn": values}),
                    Operator::Exists(wanted) => json!({"key": expression.key, "exists": wanted}),
                });
                fields.insert("expressions".to_owned(), expressions.collect());
            }
            Value::Object(fields)
        }
    }
}

fn selectors(list: &[Selector]) -> Vec<Value> {
    list.iter().map(selector).collect()
}

fn ports(list: &[PortSpec]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}

fn evidence(evidence: &Evidence) -> Value {
    json!({"flows": evidence.flows, "packets": evidence.packets, "seen": Window::of(evidence.seen)})
}

fn by_port(list: &[(PortSpec, Evidence)]) -> Vec<Value> {
    let line = |(port, seen): &(PortSpec, Evidence)| json!({"port": port.to_string(), "flows": seen.flows, "packets": seen.packets, "seen": Window::of(seen.seen)});
    list.iter().map(line).collect()
}

fn entry(entry: &Entry) -> Value {
    let by_source = entry.by_source.iter().map(|(source, seen)| {
        json!({"from": selectors(source), "flows": seen.flows, "packets": seen.packets, "seen": Window::of(seen.seen)})
    });
    json!({
        "from": selectors(&entry.from), "to": selectors(&entry.to), "ports": ports(&entry.ports),
        "evidence": evidence(&entry.total), "by_port": by_port(&entry.by_port), "by_source": by_source.collect::<Vec<_>>(),
        "unused_ports": entry.unseen,
    })
}

impl Policy {
    /// A suggested policy.
    #[must_use]
    pub fn json(&self) -> Value {
        json!({"name": self.name, "flows": self.entries.iter().map(entry).collect::<Vec<_>>()})
    }
}

impl Apart {
    /// Flows that no rule was made for.
    #[must_use]
    pub fn json(&self) -> Value {
        let rule = self.entry.as_ref();
        json!({
            "why": self.why.word(), "text": self.why.text(), "open": self.why.is_open(),
            "from": self.from, "to": self.to, "ports": ports(&self.ports), "evidence": evidence(&self.evidence),
            "entry": rule.map(|(from, to)| json!({"from": selectors(from), "to": selectors(to), "ports": ports(&self.ports)})),
        })
    }
}

impl Why {
    /// One stable word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Scan => "scan",
            Self::Unanswered => "unanswered",
            Self::ClientPort => "client-port",
            Self::Refused => "refused",
            Self::Forbidden => "forbidden",
            Self::Labels => "labels",
            Self::NoRuleHelps(_) => "no-rule-helps",
            Self::NoHook => "no-hook",
        }
    }
}

impl Suggestion {
    /// All of it but the policies and what is set apart.
    #[must_use]
    pub fn head(&self) -> Value {
        json!({
            "schema": "enforcer.suggest/v1", "mode": "suggest", "sources": self.sources, "window": Window::of(self.window),
            "covered": evidence(&self.covered), "allowed_before": evidence(&self.allowed_before),
        })
    }

    /// The whole of it.
    #[must_use]
    pub fn json(&self) -> Value {
        let mut value = self.head();
        value["policies"] = self.policies.iter().map(Policy::json).collect();
        value["apart"] = self.apart.iter().map(Apart::json).collect();
        value
    }
}

impl Narrower {
    fn json(&self) -> Value {
        json!({
            "from": selectors(&self.from), "to": selectors(&self.to), "ports": ports(&self.ports),
            "evidence": evidence(&self.total), "by_port": by_port(&self.by_port), "unanswered": self.unanswered,
            "unused_ports": self.unseen,
        })
    }
}

impl RuleAdvice {
    /// A rule, and what is to be done with it.
    #[must_use]
    pub fn json(&self, policy: &FlowPolicy) -> Value {
        let (advice, why, flows) = match &self.advice {
            Advice::Narrow(list) => ("narrow", None, list.iter().map(Narrower::json).collect()),
            Advice::Unused => ("unused", None, Vec::new()),
            Advice::Fits => ("fits", None, Vec::new()),
            Advice::Left(why) => ("left", Some(*why), Vec::new()),
        };
        json!({
            "rule": format!("{}#{}", policy.name, self.index), "file": self.entry.origin.file.to_string(),
            "line": self.entry.origin.line, "advice": advice, "why": why,
            "from": selectors(&self.entry.from), "to": selectors(&self.entry.to), "ports": ports(&self.entry.ports),
            "evidence": evidence(&self.used), "used_ports": self.ports, "flows": flows,
        })
    }
}

impl PolicyAdvice {
    /// Each of its rules.
    pub fn json(&self) -> impl Iterator<Item = Value> {
        self.rules.iter().map(|rule| rule.json(&self.policy))
    }
}

impl Narrowing {
    /// All of it but the rules.
    #[must_use]
    pub fn head(&self) -> Value {
        json!({
            "schema": "enforcer.suggest/v1", "mode": "narrow", "sources": self.sources, "window": Window::of(self.window),
            "span": self.span(),
        })
    }

    /// The whole of it.
    #[must_use]
    pub fn json(&self) -> Value {
        let mut value = self.head();
        value["rules"] = self.policies.iter().flat_map(PolicyAdvice::json).collect();
        value
    }
}
