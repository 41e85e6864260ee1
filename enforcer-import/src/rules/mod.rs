//! Other systems' rules as documents: what is read, what can't be carried over, and what comes out.

mod admin;
mod cluster;
mod kubernetes;
mod lower;
mod model;
mod network_policy;
mod pairs;
mod parts;
mod reader;
mod security_groups;
mod selector;
mod universe;

use crate::inventory::Inventory;
use crate::write;
use enforcer_policy::diagnostic::Diagnostic;
use enforcer_policy::model::FlowPolicy;
use enforcer_policy::source::Source;

/// Rules as documents.
#[derive(Clone, Debug, Default)]
pub struct Imported {
    /// The documents, each with lines on where it comes from, safe to show.
    pub policies: Vec<(Vec<String>, FlowPolicy)>,
    /// What isn't carried over, each with its place. Empty: the verdicts are the same.
    pub losses: Vec<Diagnostic>,
    /// What was taken for granted, safe to show.
    pub notes: Vec<String>,
}

impl Imported {
    /// All documents as one YAML text. What isn't carried over stands at its top.
    pub fn to_yaml(&self, title: &str) -> String {
        let mut head = vec![title.to_owned()];
        if !self.losses.is_empty() {
            head.push("NOT carried over:".to_owned());
        }
        for loss in &self.losses {
            let (label, span) = (&loss.primary, loss.primary.span);
            let file = enforcer_policy::diagnostic::shown(&label.source.name);
            head.push(format!("  {file}:{}:{}: {}", span.line, span.column, loss.message));
        }
        head.extend(self.notes.iter().map(|note| format!("Note: {note}")));
        let mut text = write::comment(&head);
        for (lines, policy) in &self.policies {
            text += &format!("---\n{}{}", write::comment(lines), write::flow_policy(policy));
        }
        text
    }
}

/// Kubernetes' `NetworkPolicy`, `AdminNetworkPolicy`, `BaselineAdminNetworkPolicy` and `ClusterNetworkPolicy` objects, taken
/// together as one cluster's. `Err` holds everything that makes the input unreadable.
pub fn network_policies(
    sources: &[Source],
    inventory: Option<&Inventory>,
) -> Result<Imported, Vec<Diagnostic>> {
    kubernetes::import(sources, inventory)
}

/// AWS security groups, from `describe-security-groups`, with the prefix lists that are given beside them.
pub fn security_groups(
    sources: &[Source],
    inventory: Option<&Inventory>,
) -> Result<Imported, Vec<Diagnostic>> {
    security_groups::import(sources, inventory)
}
