//! Other systems' inventories and rules, as documents.
//!
//! An input's first byte says what the rules are and how they are read; then come up to four files with a byte 0x1c between them: the first
//! holds rules, the others what runs, or more rules where the first byte says so.

use crate::documents::inside;
use enforcer_import::inventory::{Hooks, Inventory};
use enforcer_import::rules::{Imported, network_policies, security_groups};
use enforcer_import::write;
use enforcer_policy::check::parse;
use enforcer_policy::compile::{Clock, Inputs, Numbers, compile};
use enforcer_policy::diagnostic::{Colour, Diagnostic};
use enforcer_policy::model::{PolicySet, SegmentMode};
use enforcer_policy::source::Source;
use jiff::Timestamp;

const NOW: Timestamp = Timestamp::constant(1_767_225_600, 0);
/// Longest text of a problem, a note or a finding.
const TOLD: usize = 8192;
/// How much may be said about an input: findings per byte.
const FINDINGS: usize = 2;

pub(crate) fn run(bytes: &[u8]) {
    let Some((first, rest)) = bytes.split_first() else { return };
    let texts = rest.splitn(4, |byte| *byte == 0x1c).map(String::from_utf8_lossy);
    let sources: Vec<Source> = texts
        .enumerate()
        .map(|(index, text)| Source::new(format!("pl-{index}.json"), text.as_ref()))
        .collect();
    let rules = if first & 2 == 0 { 1 } else { sources.len() };
    let inventory = Inventory::read(if first & 2 == 0 { &sources[1..] } else { &sources });
    if let Err(error) = &inventory {
        shown(&error.to_string());
    }
    let inventory = inventory.ok().filter(|_| sources.len() > 1);
    if let Some(inventory) = &inventory {
        inventory.problems.iter().for_each(|problem| shown(&problem.to_string()));
        identities(inventory);
    }
    let import = if first & 1 == 0 { network_policies } else { security_groups };
    match import(&sources[..rules], inventory.as_ref()) {
        Ok(imported) => documents(&imported, inventory.as_ref(), &sources, bytes.len()),
        Err(errors) => {
            assert!(!errors.is_empty(), "refused without a word");
            findings(&errors, &sources, bytes.len());
        }
    }
}

/// What was read of an inventory can be read again as documents, without a finding.
fn identities(inventory: &Inventory) {
    let mut set = PolicySet::default();
    for problem in inventory.merge(&mut set, None, Hooks::None).problems {
        shown(&problem.to_string());
    }
    let text = write::identities(&set);
    let checked = parse(&[Source::new("identities.yaml", text.clone())], NOW);
    let error = checked.diagnostics.iter().find(|finding| finding.is_error());
    assert!(error.is_none(), "{error:?}\n{text}");
    assert_eq!(checked.set.workloads.len(), set.workloads.len());
    assert_eq!(checked.set.groups.len(), set.groups.len());
}

/// What comes out is valid, and compiles unless it is too large.
fn documents(imported: &Imported, inventory: Option<&Inventory>, sources: &[Source], length: usize) {
    findings(&imported.losses, sources, length);
    imported.notes.iter().for_each(|note| shown(note));
    let text = imported.to_yaml("Imported.");
    assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text:?}");
    let checked = parse(&[Source::new("imported.yaml", text.clone())], NOW);
    let error = checked.diagnostics.iter().find(|finding| finding.is_error());
    assert!(error.is_none(), "{error:?}\n{text}");
    let mut set = checked.set;
    let policies = imported.policies.iter().map(|(_, policy)| policy);
    for (read, meant) in set.policies.iter().zip(policies.clone()) {
        assert_eq!(read.flows.len(), meant.flows.len(), "{text}");
    }
    assert_eq!(set.policies.len(), policies.count());
    if let Some(inventory) = inventory {
        inventory.merge(&mut set, None, Hooks::StandIn);
    }
    let clock = Clock { now: NOW, boot_ns: 0 };
    let inputs = Inputs { set: &set, host: &[], default_mode: SegmentMode::Enforce, clock };
    let _ = compile(&inputs, &mut Numbers::default());
}

fn findings(all: &[Diagnostic], sources: &[Source], length: usize) {
    assert!(all.len() <= FINDINGS * (length + 1), "too many findings");
    for diagnostic in all {
        inside(&diagnostic.primary, sources);
        let plain = diagnostic.render(Colour::Never);
        assert!(plain.len() <= TOLD, "{} bytes are drawn for one finding", plain.len());
        assert!(!plain.contains(|c: char| c.is_control() && c != '\n'), "{plain:?}");
    }
}

fn shown(text: &str) {
    assert!(text.len() <= TOLD, "{} bytes", text.len());
    assert!(!text.contains(char::is_control), "{text:?}");
}
