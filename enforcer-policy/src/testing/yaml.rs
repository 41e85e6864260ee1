//! From a policy set back to the documents a person would write.

use crate::model::{
    Action, AddressGroup, Endpoint, Entity, Expectation, FlowCase, FlowEntry, FlowPolicy, FlowTest, Labels,
    OnDeny, Operator, PolicyMode, PolicySet, PortSpec, Segment, SegmentMode, Selector, Tier, Workload,
    WorkloadMatch,
};
use std::fmt::Display;

/// All Workload, AddressGroup, FlowPolicy, Segment and FlowTest documents of `set` as YAML, in this order.
/// `AgentConfig`s, which are a daemon's and not a set's, are left out.
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
    text += &format!("  labels: {}\n", labels(&workload.labels));
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
    let tier = match policy.tier {
        Tier::Guardrail => "guardrail",
        Tier::Application => "application",
        Tier::Baseline => "baseline",
    };
    let mode = match policy.mode {
        PolicyMode::Enforce => "enforce",
        PolicyMode::Audit => "audit",
    };
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
    let action = match entry.action {
        Action::Allow => "allow",
        Action::Deny => "deny",
    };
    let mut text = format!("    - action: {action}\n");
    text += &format!("      from: {}\n", list(&entry.from, selector));
    text += &format!("      to: {}\n", list(&entry.to, selector));
    text += &format!("      ports: {}\n", list(&entry.ports, |spec| quote(&port(spec))));
    if let Some(why) = &entry.why {
        text += &format!("      why: {}\n", quote(why));
    }
    text
}

fn selector(selector: &Selector) -> String {
    let fields = match selector {
        Selector::Entity(entity) => vec![format!("entity: {}", entity_name(*entity))],
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

fn entity_name(entity: Entity) -> &'static str {
    match entity {
        Entity::Host => "host",
        Entity::World => "world",
        Entity::Workloads => "workloads",
        Entity::All => "all",
    }
}

fn port(spec: &PortSpec) -> String {
    let name = |protocol: u8| match protocol {
        1 => "icmp".to_owned(),
        6 => "tcp".to_owned(),
        17 => "udp".to_owned(),
        58 => "icmpv6".to_owned(),
        132 => "sctp".to_owned(),
        number => format!("proto/{number}"),
    };
    match *spec {
        PortSpec::Any => "any".to_owned(),
        PortSpec::Protocol(protocol) => name(protocol),
        PortSpec::Ports { protocol, first, last } if first == last => format!("{}/{first}", name(protocol)),
        PortSpec::Ports { protocol, first, last } => format!("{}/{first}-{last}", name(protocol)),
        PortSpec::Icmp { protocol, kind, code: None } => format!("{}/{kind}", name(protocol)),
        PortSpec::Icmp { protocol, kind, code: Some(code) } => format!("{}/{kind}/{code}", name(protocol)),
    }
}

fn segment(segment: &Segment) -> String {
    let mode = match segment.mode {
        SegmentMode::Off => "off",
        SegmentMode::Audit => "audit",
        SegmentMode::Enforce => "enforce",
    };
    let head = head("Segment", &segment.name);
    let on_deny = match segment.on_deny {
        OnDeny::Drop => "",
        OnDeny::Reset => "  onDeny: reset\n",
    };
    format!("{head}  select: {}\n  mode: {mode}\n{on_deny}", list(&segment.select, selector))
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
        Endpoint::Entity(entity) => format!("{{entity: {}}}", entity_name(*entity)),
        Endpoint::Workload(name) => format!("{{workload: {}}}", quote(name)),
    };
    let expect = match case.expect {
        Expectation::Allow => "allow",
        Expectation::Deny => "deny",
        Expectation::Audit => "audit",
    };
    let (from, to, port) = (end(&case.from), end(&case.to), quote(&port(&case.port)));
    format!("{{from: {from}, to: {to}, port: {port}, expect: {expect}}}")
}
