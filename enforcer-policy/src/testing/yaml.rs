//! From a policy set back to the documents a person would write.

use crate::model::{
    AddressGroup, Endpoint, FlowCase, FlowEntry, FlowPolicy, FlowTest, Labels, OnDeny, OnStaleIdentity,
    Operator, PolicySet, Segment, Selector, Workload, WorkloadMatch,
};
use std::fmt::Display;

/// All Workload, AddressGroup, FlowPolicy, Segment and FlowTest documents of `set` as YAML, in this order.
/// `AgentConfig`s, which are a daemon's and not a set's, are left out, and labels that are leased.
pub fn to_yaml(set: &PolicySet) -> String {
    let mut documents = Vec::new();
    documents.extend(set.workloads.iter().map(workload));
    documents.extend(set.groups.iter().map(group));
    documents.extend(set.policies.iter().map(policy));
    documents.extend(set.segments.iter().map(segment));
    documents.extend(set.tests.iter().map(test));
    documents.join("---\n")
}

fn head(kind: &str, name: &str) -> String {
    let name = quote(name);
    format!("apiVersion: enforcer.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec:\n")
}

/// A double-quoted scalar: nothing in it can mean something to YAML.
fn quote(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            control if control.is_control() => quoted.push_str(&format!("\\U{:08x}", u32::from(control))),
            _ => quoted.push(character),
        }
    }
    quoted + "\""
}

fn list<T>(items: &[T], show: impl Fn(&T) -> String) -> String {
    format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(", "))
}

fn quoted<T: Display>(items: &[T]) -> String {
    list(items, |item| quote(&item.to_string()))
}

fn labels(labels: &Labels) -> String {
    let pairs: Vec<_> =
        labels.iter().map(|(key, value)| format!("{}: {}", quote(key), quote(value))).collect();
    format!("{{{}}}", pairs.join(", "))
}

fn workload(workload: &Workload) -> String {
    let mut text = head("Workload", &workload.name);
    text += &format!("  labels: {}\n", labels(&workload.labels_after()));
    if !workload.matches.is_empty() {
        text += "  match:\n";
    }
    for entry in &workload.matches {
        let entry = match entry {
            WorkloadMatch::Unit(unit) => format!("unit: {}", quote(unit)),
            WorkloadMatch::Cgroup { path, descendants } => {
                format!("cgroup: {}", quote(&format!("{path}{}", if *descendants { "/**" } else { "" })))
            }
            WorkloadMatch::Container { labels: wanted } => {
                format!("container: {{labels: {}}}", labels(wanted))
            }
            WorkloadMatch::Interface(pattern) => {
                let star = if pattern.glob { "*" } else { "" };
                format!("interface: {}", quote(&format!("{}{star}", pattern.text)))
            }
        };
        text += &format!("    - {entry}\n");
    }
    if !workload.addresses.is_empty() {
        text += &format!("  addresses: {}\n", quoted(&workload.addresses));
    }
    text
}

fn group(group: &AddressGroup) -> String {
    let head = head("AddressGroup", &group.name);
    format!("{head}  labels: {}\n  cidrs: {}\n", labels(&group.labels), quoted(&group.cidrs))
}

fn policy(policy: &FlowPolicy) -> String {
    let (tier, mode) = (policy.tier.word(), policy.mode.word());
    let mut text = head("FlowPolicy", &policy.name);
    text += &format!("  tier: {tier}\n  mode: {mode}\n");
    if let Some(expires) = policy.expires {
        text += &format!("  expires: {expires}\n");
    }
    text += "  flows:\n";
    for entry in &policy.flows {
        text += &flow_entry(entry);
    }
    text
}

fn flow_entry(entry: &FlowEntry) -> String {
    let mut text = format!("    - action: {}\n", entry.action.word());
    text += &format!("      from: {}\n", list(&entry.from, selector));
    text += &format!("      to: {}\n", list(&entry.to, selector));
    text += &format!("      ports: {}\n", list(&entry.ports, |spec| quote(&spec.to_string())));
    if let Some(why) = &entry.why {
        text += &format!("      why: {}\n", quote(why));
    }
    text
}

fn selector(selector: &Selector) -> String {
    let fields = match selector {
        Selector::Entity(entity) => vec![format!("entity: {}", entity.word())],
        Selector::Cidr { cidrs, except } => {
            let mut fields = vec![format!("cidr: {}", quoted(cidrs))];
            if !except.is_empty() {
                fields.push(format!("except: {}", quoted(except)));
            }
            fields
        }
        Selector::Labels(selector) => {
            let mut fields = Vec::new();
            if !selector.labels.is_empty() {
                fields.push(format!("labels: {}", labels(&selector.labels)));
            }
            if !selector.expressions.is_empty() {
                let expressions = list(&selector.expressions, |expression| {
                    let operator = match &expression.operator {
                        Operator::In(values) => format!("in: {}", quoted(values)),
                        Operator::NotIn(values) => format!("notIn: {}", quoted(values)),
                        Operator::Exists(wanted) => format!("exists: {wanted}"),
                    };
                    format!("{{key: {}, {operator}}}", quote(&expression.key))
                });
                fields.push(format!("expressions: {expressions}"));
            }
            fields
        }
    };
    format!("{{{}}}", fields.join(", "))
}

fn segment(segment: &Segment) -> String {
    let mode = segment.mode.word();
    let head = head("Segment", &segment.name);
    let on_deny = match segment.on_deny {
        OnDeny::Drop => "",
        OnDeny::Reset => "  onDeny: reset\n",
    };
    let on_stale = match segment.on_stale_identity {
        OnStaleIdentity::Keep => String::new(),
        other => format!("  onStaleIdentity: {}\n", other.word()),
    };
    format!("{head}  select: {}\n  mode: {mode}\n{on_deny}{on_stale}", list(&segment.select, selector))
}

fn test(test: &FlowTest) -> String {
    let mut text = head("FlowTest", &test.name) + "  cases:\n";
    for case in &test.cases {
        text += &format!("    - {}\n", flow_case(case));
    }
    text
}

fn flow_case(case: &FlowCase) -> String {
    let end = |end: &Endpoint| match end {
        Endpoint::Labels(of) => format!("{{labels: {}}}", labels(of)),
        Endpoint::Address(address) => format!("{{address: {}}}", quote(&address.to_string())),
        Endpoint::Entity(entity) => format!("{{entity: {}}}", entity.word()),
        Endpoint::Workload(name) => format!("{{workload: {}}}", quote(name)),
    };
    let expect = case.expect.word();
    let (from, to, port) = (end(&case.from), end(&case.to), quote(&case.port.to_string()));
    format!("{{from: {from}, to: {to}, port: {port}, expect: {expect}}}")
}
