//! The rule that would allow a flow, ready to be pasted into a FlowPolicy.

use super::{Identity, Sample};
use enforcer_policy::write::{label_selector, labels};
use std::net::IpAddr;

/// Addresses of the world that are named one by one.
const NAMED: usize = 4;

/// An entry of `flows`. `samples` are the addresses of ends that have no labels; `more` says that there are others.
pub(crate) fn entry(
    source: &Identity,
    destination: &Identity,
    port: &str,
    samples: &[Sample],
    more: bool,
) -> Option<String> {
    let addresses = |of: fn(&Sample) -> IpAddr| {
        let mut addresses: Vec<IpAddr> = samples.iter().map(of).collect();
        addresses.sort_unstable();
        addresses.dedup();
        addresses
    };
    let from = side(source, &addresses(|sample| sample.source), more)?;
    let to = side(destination, &addresses(|sample| sample.destination), more)?;
    Some(format!("- {{from: [{from}], to: [{to}], ports: [{port}]}}"))
}

/// A selector that means an identity.
fn side(identity: &Identity, addresses: &[IpAddr], more: bool) -> Option<String> {
    if !identity.labels.is_empty() {
        return Some(match &identity.selector {
            Some(selector) => label_selector(selector),
            None => format!("{{labels: {}}}", labels(&identity.labels)),
        });
    }
    match identity.kind {
        "host" => Some("{entity: host}".to_owned()),
        "world" if more || addresses.len() > NAMED => Some("{entity: world}".to_owned()),
        "world" | "multicast" if !addresses.is_empty() => {
            let blocks: Vec<String> = addresses
                .iter()
                .map(|at| format!("\"{at}/{}\"", if at.is_ipv4() { 32 } else { 128 }))
                .collect();
            Some(format!("{{cidr: [{}]}}", blocks.join(", ")))
        }
        _ => None,
    }
}
