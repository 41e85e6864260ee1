//! `failsafe` of the settings: paths of the machine itself that stay open, as the packet path takes them.

use super::session::Session;
use anyhow::{Result, bail};
use enforcer_common::maps::Failsafe as Ports;
use enforcer_common::maps::{FailsafeRange, limits};
use enforcer_policy::diagnostic::shown;
use enforcer_policy::explain::port_ranges;
use enforcer_policy::model::Failsafe;
use ipnet::IpNet;
use std::collections::BTreeSet;

/// What is open to which block. The longest prefix counts, so each block has what wider ones have as well.
pub(crate) fn rows(entries: &[Failsafe]) -> Result<Vec<(IpNet, Ports)>> {
    let blocks: BTreeSet<IpNet> = entries.iter().flat_map(|entry| &entry.cidr).map(IpNet::trunc).collect();
    let family = |v4: bool| blocks.iter().filter(|block| block.addr().is_ipv4() == v4).count();
    if family(true).max(family(false)) > limits::FAILSAFES as usize {
        bail!("`failsafe` names more than {} blocks", limits::FAILSAFES);
    }
    let row = |block: IpNet| {
        let here = entries.iter().filter(|entry| entry.cidr.iter().any(|wide| wide.contains(&block)));
        let ranges: BTreeSet<(u32, u32, u32)> = here
            .flat_map(|entry| {
                let ingress = u32::from(entry.ingress);
                port_ranges(&entry.ports).into_iter().map(move |(first, last)| (first, last, ingress))
            })
            .collect();
        if ranges.len() > Ports::RANGES {
            bail!("`failsafe` has more than {} ranges of ports for `{block}`", Ports::RANGES);
        }
        let mut ports = Ports::NONE;
        for (place, (first, last, ingress)) in ports.ranges.iter_mut().zip(ranges) {
            *place = FailsafeRange { first, last, ingress, reserved: 0 };
        }
        Ok((block, ports))
    };
    blocks.into_iter().map(row).collect()
}

/// An entry as `status` shows it.
pub(super) fn told(entry: &Failsafe) -> String {
    let list = |all: Vec<String>| all.join(",");
    let ports = list(entry.ports.iter().map(|port| shown(&port.to_string())).collect());
    let blocks = list(entry.cidr.iter().map(ToString::to_string).collect());
    match entry.ingress {
        true => format!("ingress {ports} from {blocks}"),
        false => format!("egress {ports} to {blocks}"),
    }
}

/// Whether a session with the machine itself goes on by one of these, as its server or its client.
pub(super) fn keeps(entries: &[Failsafe], session: &Session) -> bool {
    const TCP: u32 = 6;
    let port = TCP << 16 | u32::from(session.server.port());
    entries.iter().any(|entry| {
        let other = if entry.ingress { session.client.ip() } else { session.server.ip() };
        entry.cidr.iter().any(|block| block.contains(&other))
            && port_ranges(&entry.ports).iter().any(|(first, last)| (*first..=*last).contains(&port))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(ingress: bool, ports: &str, cidr: &str) -> Failsafe {
        Failsafe { ingress, ports: vec![ports.parse().unwrap()], cidr: vec![cidr.parse().unwrap()] }
    }

    #[test]
    fn a_narrow_block_has_what_wider_ones_have() {
        let entries = [entry(true, "tcp/22", "10.0.0.0/8"), entry(true, "tcp/8443", "10.1.0.0/16")];
        let rows = rows(&entries).unwrap();
        let open = |at: usize| -> Vec<u32> {
            rows[at]
                .1
                .ranges
                .iter()
                .filter(|range| range.first <= range.last)
                .map(|range| range.first)
                .collect()
        };
        assert_eq!(
            rows.iter().map(|(block, _)| block.to_string()).collect::<Vec<_>>(),
            ["10.0.0.0/8", "10.1.0.0/16"]
        );
        assert_eq!((open(0), open(1)), (vec![6 << 16 | 22], vec![6 << 16 | 22, 6 << 16 | 8443]));
        assert_eq!(told(&entries[0]), "ingress tcp/22 from 10.0.0.0/8");
        let many: Vec<Failsafe> =
            (1..=17).map(|port| entry(true, &format!("tcp/{}", port * 2), "::/0")).collect();
        assert!(super::rows(&many).is_err());
    }

    #[test]
    fn sessions_that_stay_open_are_known() {
        let entries = [entry(true, "tcp/22", "192.0.2.0/24")];
        let session = |client: &str, server: &str| Session {
            client: client.parse().unwrap(),
            server: server.parse().unwrap(),
        };
        assert!(keeps(&entries, &session("192.0.2.9:40000", "10.0.0.1:22")));
        assert!(!keeps(&entries, &session("192.0.3.9:40000", "10.0.0.1:22")));
        assert!(!keeps(&entries, &session("192.0.2.9:40000", "10.0.0.1:23")));
    }
}
