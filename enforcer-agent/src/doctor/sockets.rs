//! Connections that are older than the hooks: no packet of theirs passes, for nobody saw them begin.

use super::machine::Machine;
use super::unseen;
use crate::kernel::{TrackedPair, tracked};
use crate::protocol::DoctorCheck;
use crate::tcp_table::{ESTABLISHED, line};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::Path;

/// More aren't listed one by one.
const LISTED: usize = 20;

/// `addresses` are those of workloads whose devices are here, as a daemon tells.
pub(super) fn check(machine: &Machine, bpffs: &Path, addresses: &Option<BTreeSet<IpAddr>>) -> DoctorCheck {
    const CHECK: &str = "older-connections";
    let Some(addresses) = addresses else {
        return DoctorCheck::note(
            CHECK,
            "without a daemon there is no telling which connections it would cut: those that are open when a device is hooked",
        );
    };
    match connections(machine).and_then(|open| Ok((open, tracked(bpffs)?))) {
        Err(error) => unseen(CHECK, "open connections", &error),
        Ok((open, known)) => judge(&open, &known, addresses),
    }
}

fn judge(
    open: &BTreeSet<TrackedPair>,
    known: &HashSet<TrackedPair>,
    addresses: &BTreeSet<IpAddr>,
) -> DoctorCheck {
    const CHECK: &str = "older-connections";
    let concerns = |(local, remote): &&TrackedPair| {
        local.ip() != remote.ip() && (addresses.contains(&local.ip()) || addresses.contains(&remote.ip()))
    };
    let is_known = |(local, remote): &TrackedPair| {
        known.contains(&(*local, *remote)) || known.contains(&(*remote, *local))
    };
    // Both ends may be here.
    let unknown: BTreeSet<TrackedPair> = open
        .iter()
        .filter(concerns)
        .filter(|pair| !is_known(pair))
        .map(|(local, remote)| if local < remote { (*local, *remote) } else { (*remote, *local) })
        .collect();
    if unknown.is_empty() {
        return DoctorCheck::ok(CHECK, "every open connection of the workloads here is known");
    }
    let mut each: Vec<String> =
        unknown.iter().take(LISTED).map(|(one, other)| format!("{one} - {other}")).collect();
    if unknown.len() > LISTED {
        each.push(format!("… and {} more", unknown.len() - LISTED));
    }
    DoctorCheck::note(
        CHECK,
        "connections that are older than the hooks, or idle for too long: their packets are denied (`state`)",
    )
    .mend("have their programs connect anew")
    .each(each)
}

/// Established TCP connections in every network namespace that some process is in.
fn connections(machine: &Machine) -> io::Result<BTreeSet<TrackedPair>> {
    let mut namespaces: BTreeMap<String, u32> = BTreeMap::new();
    for entry in fs::read_dir(&machine.proc)?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // Processes come and go.
        let Ok(namespace) = fs::read_link(entry.path().join("ns/net")) else { continue };
        namespaces.entry(namespace.to_string_lossy().into_owned()).or_insert(pid);
    }
    let mut found = BTreeSet::new();
    for pid in namespaces.values() {
        for file in ["tcp", "tcp6"] {
            let table = machine.proc(&format!("{pid}/net/{file}")).unwrap_or_default();
            found.extend(table.lines().skip(1).filter_map(established));
        }
    }
    Ok(found)
}

/// Both ends of a line of `/proc/net/tcp`, where they are connected.
fn established(text: &str) -> Option<TrackedPair> {
    let line = line(text).filter(|line| line.state == ESTABLISHED)?;
    Some((line.local, line.remote))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Word;
    use std::net::SocketAddr;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn established_connections_are_read() {
        let line =
            "   1: 0A004D0A:01BB 14004D0A:C350 01 00000000:00000000 00:00000000 00000000     0        0 1 1";
        assert_eq!(established(line), Some((at("10.77.0.10:443"), at("10.77.0.20:50000"))));
        assert_eq!(established(&line.replace(" 01 ", " 0A ")), None, "listening");
        let six = line.replace("0A004D0A", "000077FD000000000000000010000000");
        assert_eq!(established(&six).map(|(local, _)| local), Some(at("[fd77::10]:443")));
        let mapped = line.replace("0A004D0A", "0000000000000000FFFF00000A004D0A");
        assert_eq!(established(&mapped), established(line));
    }

    #[test]
    fn e74_connections_that_no_table_knows_are_listed_once() {
        let (one, other, third) = (at("10.77.0.10:50000"), at("10.77.0.20:443"), at("10.77.0.20:444"));
        let open = BTreeSet::from([
            (one, other),
            (other, one),
            (one, third),
            (at("127.0.0.1:1"), at("127.0.0.1:2")),
        ]);
        let mine = BTreeSet::from([one.ip()]);
        let found = judge(&open, &HashSet::from([(third, one)]), &mine);
        assert_eq!(
            (found.word, found.each),
            (Word::Note, vec!["10.77.0.10:50000 - 10.77.0.20:443".to_owned()])
        );
        assert_eq!(judge(&open, &HashSet::new(), &BTreeSet::new()).word, Word::Ok, "nobody's here");
        assert_eq!(judge(&open, &HashSet::from([(one, other), (one, third)]), &mine).word, Word::Ok);
    }
}
