//! What rewrites addresses between two hooks, and what a workload may tell the host about its network.

use super::machine::Machine;
use super::unseen;
use crate::links::nat_chains;
use crate::protocol::DoctorCheck;
use enforcer_policy::diagnostic::shown;
use std::io;

pub(super) fn nat(machine: &Machine) -> DoctorCheck {
    judge_nat(nat_chains(), machine)
}

fn judge_nat(chains: io::Result<Vec<String>>, machine: &Machine) -> DoctorCheck {
    const CHECK: &str = "nat";
    let mut each = match chains {
        Ok(chains) => chains.iter().map(|chain| format!("nftables: {}", shown(chain))).collect::<Vec<_>>(),
        Err(error) => return unseen(CHECK, "nftables", &error),
    };
    // The old iptables; the file is there where its modules are loaded.
    for file in ["net/ip_tables_names", "net/ip6_tables_names"] {
        if machine.proc(file).is_ok_and(|tables| tables.lines().any(|table| table == "nat")) {
            each.push(format!("iptables: the table nat ({file})"));
        }
    }
    if each.is_empty() {
        return DoctorCheck::ok(CHECK, "nothing rewrites addresses");
    }
    DoctorCheck::note(CHECK, "addresses may be rewritten between two devices: each hook judges what it sees there, so a peer may be known by another address")
        .mend("list the address that peers see in `addresses`, or exempt traffic between workloads from it")
        .each(each)
}

/// A host that forwards, and one that takes advertisements all the same, can be told by a workload where its router is.
pub(super) fn advertisements(machine: &Machine, claimed: &[String]) -> DoctorCheck {
    const CHECK: &str = "router-advertisements";
    let setting = |device: &str, name: &str| {
        let path = format!("sys/net/ipv6/conf/{device}/{name}");
        machine.proc(&path).ok().and_then(|value| value.parse::<u8>().ok()).unwrap_or(0)
    };
    let takes = |device: &str| match setting(device, "accept_ra") {
        0 => false,
        1 => setting(device, "forwarding") == 0,
        _ => true,
    };
    let each: Vec<String> =
        claimed.iter().filter(|device| takes(device)).map(|device| shown(device)).collect();
    if each.is_empty() {
        return DoctorCheck::ok(CHECK, "the host takes none from any workload's device");
    }
    DoctorCheck::note(
        CHECK,
        "the host takes router advertisements from workloads' devices, where a rule lets them pass",
    )
    .mend(format!("sysctl -w net.ipv6.conf.{}.accept_ra=0", each[0]))
    .each(each)
}

#[cfg(test)]
mod tests {
    use super::super::machine::made::machine;
    use super::*;
    use crate::protocol::Word;

    #[test]
    fn either_kind_of_nat_is_told() {
        let (_dir, none) = machine(&[]);
        assert_eq!(judge_nat(Ok(Vec::new()), &none).word, Word::Ok);
        let nft = judge_nat(Ok(vec!["ip shop\u{7}".to_owned()]), &none);
        assert_eq!((nft.word, &*nft.each), (Word::Note, &["nftables: ip shop\\u{7}".to_owned()][..]));
        let (_dir, legacy) = machine(&[("proc/net/ip_tables_names", "filter\nnat\n")]);
        assert_eq!(judge_nat(Ok(Vec::new()), &legacy).word, Word::Note);
        assert_eq!(judge_nat(Err(io::ErrorKind::PermissionDenied.into()), &none).word, Word::Unknown);
    }

    #[test]
    fn advertisements_are_taken_by_who_does_not_forward_or_insists() {
        let conf = |device: &str, name: &str| format!("proc/sys/net/ipv6/conf/{device}/{name}");
        let files = [
            ("a", "accept_ra", "1"),
            ("a", "forwarding", "1"),
            ("b", "accept_ra", "1"),
            ("b", "forwarding", "0"),
            ("c", "accept_ra", "2"),
            ("c", "forwarding", "1"),
            ("d", "accept_ra", "0"),
        ];
        let files: Vec<_> = files.iter().map(|(device, name, value)| (conf(device, name), *value)).collect();
        let files: Vec<_> = files.iter().map(|(path, value)| (&**path, *value)).collect();
        let (_dir, machine) = machine(&files);
        let found = advertisements(&machine, &["a", "b", "c", "d", "e"].map(str::to_owned));
        assert_eq!((found.word, found.each), (Word::Note, vec!["b".to_owned(), "c".to_owned()]));
    }
}
