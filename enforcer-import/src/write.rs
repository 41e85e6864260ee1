//! Documents as a person would write them.

use enforcer_policy::diagnostic::shown_within;
use enforcer_policy::model::{
    Action, AddressGroup, FlowEntry, FlowPolicy, PolicyMode, PolicySet, Selector, Tier, Workload,
};
use enforcer_policy::write::{labels, list, scalar, selector};

/// Longer lists of selectors are broken, one entry a line.
const LINE: usize = 100;

/// Comment lines. Whatever could end one or act on a terminal is escaped.
pub fn comment(lines: &[String]) -> String {
    let mut text = String::new();
    for line in lines {
        text += &format!("# {}\n", shown_within(line, usize::MAX));
    }
    text
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
