//! `enforcer import host`: a first inventory, from this host's devices.

use crate::links::Tenant;
use enforcer_policy::diagnostic::shown;
use enforcer_policy::write::{list, scalar, unique};
use std::collections::HashSet;
use std::fmt::Write as _;

/// A name for a document is at most as long as a device's anyway.
const NAMELESS: &str = "workload";

/// Workload documents, and in comments what was left out.
pub(super) struct HostInventory {
    pub(super) yaml: String,
    pub(super) workloads: usize,
    pub(super) notes: Vec<String>,
}

pub(super) fn inventory(tenants: &[Tenant]) -> HostInventory {
    let (chosen, left): (Vec<&Tenant>, Vec<&Tenant>) =
        tenants.iter().partition(|tenant| why_not(tenant).is_none());
    let prefix = common_prefix(&chosen);
    let mut yaml = String::from(
        "# Who runs behind this host's devices: `enforcer import host`. Names and labels are made from the devices' names:\n\
         # let them say what the workloads are, for policies speak of labels. `addresses` are those seen so far: a workload\n\
         # sends from no other.\n",
    );
    let mut names = HashSet::new();
    for tenant in &chosen {
        let name = unique(&name(&tenant.device[prefix..]), &mut names);
        let addresses: Vec<String> = tenant.addresses.iter().map(ToString::to_string).collect();
        // Writing to a string doesn't fail.
        let _ = write!(
            yaml,
            "---\napiVersion: enforcer.dev/v1alpha1\nkind: Workload\nmetadata: {{name: {name}}}\nspec:\n  labels: {{app: {name}}}\n  \
             match: [{{interface: {}}}]\n  addresses: {}\n",
            scalar(&tenant.device),
            list(&addresses, scalar),
            name = scalar(&name),
        );
    }
    let notes: Vec<String> = left
        .iter()
        .filter_map(|tenant| Some(format!("left out: {}  {}", shown(&tenant.device), why_not(tenant)?)))
        .collect();
    notes.iter().for_each(|note| {
        let _ = writeln!(yaml, "# {note}");
    });
    HostInventory { yaml, workloads: chosen.len(), notes }
}

/// Why no document is made for it.
fn why_not(tenant: &Tenant) -> Option<&'static str> {
    // The kernel lets almost anything be a name; a document doesn't, and a `*` in it would mean other devices as well.
    let odd = |c: char| c.is_control() || c.is_whitespace() || matches!(c, '/' | ':' | '*');
    if tenant.device.contains(odd) {
        Some("has a name that no document can say")
    } else if tenant.leads_on {
        Some("leads on to other networks: the way out rather than a workload")
    } else if tenant.addresses.is_empty() {
        Some("has no address that was seen so far")
    } else {
        None
    }
}

/// How much all names begin with, up to a separator: `enf-` of `enf-web` and `enf-db`, `veth` of `veth1a` alone is kept.
fn common_prefix(tenants: &[&Tenant]) -> usize {
    let Some(first) = tenants.first() else { return 0 };
    let end = first.device.find(['-', '_', '.']).map_or(0, |at| at + 1);
    let all = tenants
        .iter()
        .all(|tenant| tenant.device.starts_with(&first.device[..end]) && tenant.device.len() > end);
    if all { end } else { 0 }
}

/// What a document may be called.
fn name(device: &str) -> String {
    let plain: String = device
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
        .collect();
    let plain = plain.trim_matches('-');
    if plain.is_empty() { NAMELESS.to_owned() } else { plain.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use enforcer_policy::check;
    use enforcer_policy::diagnostic::Colour;
    use enforcer_policy::source::Source;
    use jiff::Timestamp;

    fn tenant(device: &str, addresses: &[&str], leads_on: bool) -> Tenant {
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        Tenant { device: device.to_owned(), addresses, leads_on }
    }

    #[test]
    fn what_is_written_passes_the_check_whatever_devices_are_called() {
        let odd = "veth-[2J\"#y";
        let tenants = [
            tenant("veth-web", &["10.0.0.1", "fd00::1"], false),
            tenant("veth-WEB", &["10.0.0.2"], false),
            tenant(odd, &["10.0.0.3"], false),
            tenant("veth-out", &["10.0.0.4"], true),
            tenant("veth-quiet", &[], false),
            tenant("veth-\u{1b}[2J", &["10.0.0.5"], false),
            tenant("veth-*", &["10.0.0.6"], false),
        ];
        let found = inventory(&tenants);
        let checked = check::parse(&[Source::new("host.yaml", found.yaml.clone())], Timestamp::UNIX_EPOCH);
        assert!(!checked.has_errors(), "{}\n{}", found.yaml, checked.render(Colour::Never));
        let names: Vec<&str> = checked.set.workloads.iter().map(|workload| workload.name.as_str()).collect();
        assert_eq!(names, ["web", "web-2", "2j--y"], "{}", found.yaml);
        assert!(!found.yaml.contains('\u{1b}'));
        assert_eq!((found.workloads, found.notes.len()), (3, 4));
        assert!(
            found.notes[0].contains("the way out") && found.notes[1].contains("no address"),
            "{:?}",
            found.notes
        );
    }

    #[test]
    fn what_all_devices_begin_with_says_nothing() {
        let with = |devices: &[&str]| {
            let tenants: Vec<Tenant> =
                devices.iter().map(|device| tenant(device, &["10.0.0.1"], false)).collect();
            common_prefix(&tenants.iter().collect::<Vec<_>>())
        };
        assert_eq!(with(&["enf-web", "enf-db"]), 4);
        assert_eq!(with(&["enf-web", "tap-db"]), 0);
        assert_eq!(with(&["enf-web", "enf-"]), 0);
        assert_eq!(with(&["veth1a", "veth2b"]), 0);
    }
}
