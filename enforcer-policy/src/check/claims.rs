//! Two Workloads that claim the same thing, and two AddressGroups with the same block.

use super::Placed;
use super::overlap::{Pattern, overlaps};
use crate::diagnostic::{Diagnostic, shown};
use crate::document::{Document, Mention};
use crate::model::{InterfacePattern, Labels, WorkloadMatch};
use crate::source::Span;
use ipnet::IpNet;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;

/// Who claims something, and where it says so.
#[derive(Clone, Copy)]
struct Claim<'a> {
    document: usize,
    placed: Placed<'a>,
    mention: Mention,
    span: Span,
}

/// What can be claimed by equality alone.
#[derive(PartialEq, Eq, Hash)]
enum Exact<'a> {
    Address(IpAddr),
    Prefix(IpNet),
    Unit(&'a str),
    Container(&'a Labels),
}

pub(super) fn check(documents: &[Placed<'_>], diagnostics: &mut Vec<Diagnostic>) {
    let before = diagnostics.len();
    let mut exact = HashMap::with_capacity(documents.len());
    let mut interfaces = Vec::new();
    let mut cgroups = Vec::new();
    for (index, placed) in documents.iter().enumerate() {
        for (mention, span) in placed.mentions() {
            let claim = Claim { document: index, placed: *placed, mention, span };
            let key = match (mention, placed.document()) {
                (Mention::Address(at), Some(Document::Workload(workload))) => {
                    Exact::Address(workload.addresses[at])
                }
                (Mention::Prefix(at), Some(Document::AddressGroup(group))) => Exact::Prefix(group.cidrs[at]),
                (Mention::Match(at), Some(Document::Workload(workload))) => match &workload.matches[at] {
                    WorkloadMatch::Unit(unit) => Exact::Unit(unit),
                    WorkloadMatch::Container { labels } => Exact::Container(labels),
                    WorkloadMatch::Interface(InterfacePattern { text, glob }) => {
                        interfaces.push((Pattern { text: text.clone(), exact: !glob }, claim));
                        continue;
                    }
                    WorkloadMatch::Cgroup { path, descendants } => {
                        // With the separator at its end, a path is a prefix of its descendants and of nothing else.
                        cgroups.push((Pattern { text: format!("{path}/"), exact: !descendants }, claim));
                        continue;
                    }
                },
                _ => continue,
            };
            same(&mut exact, key, claim, diagnostics);
        }
    }
    for (first, second) in overlaps(interfaces, |claim| claim.document) {
        diagnostics.push(conflict(&described(first), &described(second), first, second));
    }
    for (first, second) in overlaps(cgroups, |claim| claim.document) {
        diagnostics.push(conflict(&described(first), &described(second), first, second));
    }
    diagnostics[before..].sort_by(|a, b| {
        (&a.primary.source.name, a.primary.span).cmp(&(&b.primary.source.name, b.primary.span))
    });
}

fn same<'a>(
    seen: &mut HashMap<Exact<'a>, Claim<'a>>,
    key: Exact<'a>,
    claim: Claim<'a>,
    diagnostics: &mut Vec<Diagnostic>,
) {
    match seen.entry(key) {
        Entry::Vacant(vacant) => {
            vacant.insert(claim);
        }
        Entry::Occupied(first) if first.get().document == claim.document => {}
        Entry::Occupied(first) => {
            let what = described(claim);
            diagnostics.push(conflict(&what, &what, *first.get(), claim));
        }
    }
}

/// What a claim is about, in the words of the document.
fn described(claim: Claim<'_>) -> String {
    let Some(document) = claim.placed.document() else { return String::new() };
    match (claim.mention, document) {
        (Mention::Address(at), Document::Workload(workload)) => {
            format!("the address `{}`", workload.addresses[at])
        }
        (Mention::Prefix(at), Document::AddressGroup(group)) => format!("the block `{}`", group.cidrs[at]),
        (Mention::Match(at), Document::Workload(workload)) => match &workload.matches[at] {
            WorkloadMatch::Unit(unit) => format!("the unit `{}`", shown(unit)),
            WorkloadMatch::Container { .. } => "the same containers".to_owned(),
            WorkloadMatch::Interface(InterfacePattern { text, glob }) => {
                format!("the interface `{}{}`", shown(text), if *glob { "*" } else { "" })
            }
            WorkloadMatch::Cgroup { path, descendants } => {
                format!("the cgroup `{}{}`", shown(path), if *descendants { "/**" } else { "" })
            }
        },
        _ => String::new(),
    }
}

/// Points at the claim that comes later in reading order.
fn conflict(first_what: &str, second_what: &str, first: Claim<'_>, second: Claim<'_>) -> Diagnostic {
    let (early, late, early_what, late_what) = if first.document <= second.document {
        (first, second, first_what, second_what)
    } else {
        (second, first, second_what, first_what)
    };
    let kind = late.placed.parsed.kind;
    let (early_name, late_name) = (early.placed.name(), late.placed.name());
    let message = if early_what == late_what {
        format!("{kind}s `{early_name}` and `{late_name}` both claim {late_what}")
    } else {
        format!("{kind} `{late_name}` claims {late_what}, which overlaps with {early_what} of `{early_name}`")
    };
    Diagnostic::error(late.placed.source, late.span, message)
        .related(early.placed.source, early.span, "first claimed here")
        .help(format!("one thing is one {kind}: take it away from one of them"))
}
