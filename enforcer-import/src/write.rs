//! Documents as a person would write them.

use enforcer_policy::diagnostic::shown;
use enforcer_policy::model::{
    Action, AddressGroup, Entity, FlowEntry, FlowPolicy, Labels, Operator, PolicyMode, PolicySet, Selector,
    Tier, Workload,
};
use std::fmt::Display;

/// Longer lists of selectors are broken, one entry a line.
const LINE: usize = 100;

/// Comment lines. Whatever could end one or act on a terminal is escaped.
pub fn comment(lines: &[String]) -> String {
    let mut text = String::new();
    for line in lines {
        let safe: String = line.split(' ').map(shown_whole).collect::<Vec<_>>().join(" ");
        text += &format!("# {safe}\n");
    }
    text
}

/// Escaped as by [`shown`], without its bound.
fn shown_whole(word: &str) -> String {
    let characters: Vec<char> = word.chars().collect();
    characters.chunks(64).map(|part| shown(&part.iter().collect::<String>())).collect()
}

/// The Workloads and AddressGroups of a set.
pub fn identities(set: &PolicySet) -> String {
    let mut documents: Vec<String> = set.workloads.iter().map(workload).collect();
    documents.extend(set.groups.iter().map(group));
    documents.join("---\n")
}

/// A Workload that runs elsewhere: how it is found on a host isn't written.
fn workload(workload: &Workload) -> String {
    let head = head("Workload", &workload.name);
    let addresses = list(&workload.addresses, |address| scalar(&address.to_string()));
    format!("{head}  labels: {}\n  addresses: {addresses}\n", labels(&workload.labels))
}

fn group(group: &AddressGroup) -> String {
    let head = head("AddressGroup", &group.name);
    let cidrs = list(&group.cidrs, |block| scalar(&block.to_string()));
    format!("{head}  labels: {}\n  cidrs: {cidrs}\n", labels(&group.labels))
}

/// A FlowPolicy.
pub fn flow_policy(policy: &FlowPolicy) -> String {
    let mut text = head("FlowPolicy", &policy.name);
    match policy.tier {
        Tier::Guardrail => text += "  tier: guardrail\n",
        Tier::Application => {}
        Tier::Baseline => text += "  tier: baseline\n",
    }
    if policy.mode == PolicyMode::Audit {
        text += "  mode: audit\n";
    }
    if let Some(expires) = policy.expires {
        text += &format!("  expires: {expires}\n");
    }
    text += "  flows:\n";
    for entry in &policy.flows {
        text += &flow(entry);
    }
    text
}

fn flow(entry: &FlowEntry) -> String {
    let mut fields = Vec::new();
    if entry.action == Action::Deny {
        fields.push("action: deny\n".to_owned());
    }
    fields.push(format!("from:{}", selectors(&entry.from)));
    fields.push(format!("to:{}", selectors(&entry.to)));
    fields.push(format!("ports: {}\n", list(&entry.ports, |port| scalar(&port.to_string()))));
    if let Some(why) = &entry.why {
        fields.push(format!("why: {}\n", scalar(why)));
    }
    format!("    - {}", fields.join("      "))
}

fn head(kind: &str, name: &str) -> String {
    format!("apiVersion: enforcer.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: {}}}\nspec:\n", scalar(name))
}

fn selectors(selectors: &[Selector]) -> String {
    let line = list(selectors, selector);
    if line.len() <= LINE || selectors.len() < 2 {
        return format!(" {line}\n");
    }
    selectors.iter().fold("\n".to_owned(), |text, one| text + &format!("        - {}\n", selector(one)))
}

fn selector(selector: &Selector) -> String {
    let fields = match selector {
        Selector::Entity(entity) => vec![format!("entity: {}", entity_name(*entity))],
        Selector::Cidr { cidrs, except } => {
            let blocks = |blocks: &[ipnet::IpNet]| list(blocks, |block| scalar(&block.to_string()));
            let mut fields = vec![format!("cidr: {}", blocks(cidrs))];
            if !except.is_empty() {
                fields.push(format!("except: {}", blocks(except)));
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
                    let values = |values: &[String]| list(values, scalar);
                    let operator = match &expression.operator {
                        Operator::In(of) => format!("in: {}", values(of)),
                        Operator::NotIn(of) => format!("notIn: {}", values(of)),
                        Operator::Exists(wanted) => format!("exists: {wanted}"),
                    };
                    format!("{{key: {}, {operator}}}", scalar(&expression.key))
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

fn labels(labels: &Labels) -> String {
    let pairs: Vec<String> =
        labels.iter().map(|(key, value)| format!("{}: {}", scalar(key), scalar(value))).collect();
    format!("{{{}}}", pairs.join(", "))
}

fn list<T>(items: &[T], show: impl Fn(&T) -> String) -> String {
    format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(", "))
}

/// Text without quotes where nobody could read it as anything else, else double-quoted.
pub fn scalar(text: &(impl Display + ?Sized)) -> String {
    const WORDS: [&str; 11] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n", "nan", "inf"];
    let text = text.to_string();
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.ends_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'/'))
        && !WORDS.contains(&text.to_ascii_lowercase().as_str());
    if plain || is_plain_block(&text) {
        return text;
    }
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            odd if shown(&odd.to_string()) != odd.to_string() => {
                quoted += &format!("\\U{:08x}", u32::from(odd))
            }
            _ => quoted.push(character),
        }
    }
    quoted + "\""
}

/// IPv4 addresses and blocks: three dots keep them from being numbers.
fn is_plain_block(text: &str) -> bool {
    text.bytes().filter(|b| *b == b'.').count() == 3
        && text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'/'))
        && text.starts_with(|c: char| c.is_ascii_digit())
}
