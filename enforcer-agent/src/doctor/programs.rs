//! Others' programs on the hooks that the enforcer uses, and others' pins beside its own.

use super::machine::Machine;
use super::mounts::mounted;
use super::unseen;
use crate::kernel::{Chain, Other, cgroup_programs, others};
use crate::links::Link;
use crate::protocol::DoctorCheck;
use enforcer_common::maps::Direction;
use enforcer_policy::diagnostic::shown;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

pub(super) fn checks(machine: &Machine, bpffs: &Path, devices: &io::Result<Vec<Link>>) -> Vec<DoctorCheck> {
    let mut checks = match devices {
        Err(error) => vec![unseen("hooks", "the network devices", error)],
        Ok(devices) => {
            let indexes: Vec<u32> = devices.iter().map(|device| device.index).collect();
            match others(bpffs, &indexes) {
                Err(error) => vec![unseen("hooks", "the programs on devices", &error)],
                Ok(found) => of_devices(&found, devices),
            }
        }
    };
    checks.push(of_cgroups(machine, bpffs));
    checks.push(others_pins(bpffs));
    checks
}

fn of_devices(found: &[Other], devices: &[Link]) -> Vec<DoctorCheck> {
    let lines = |chosen: &dyn Fn(&&Other) -> bool| -> Vec<String> {
        found.iter().filter(chosen).map(|other| line(other, devices)).collect()
    };
    let is_xdp = |other: &&Other| other.chain == Chain::Xdp;
    let hooks =
        match (lines(&|other| !is_xdp(other) && other.ahead && other.ends), lines(&|other| !is_xdp(other))) {
            (_, all) if all.is_empty() => {
                DoctorCheck::ok("hooks", "no other programs or filters on any device")
            }
            (ahead, _) if !ahead.is_empty() => DoctorCheck::missing(
                "hooks",
                "others run before the enforcer and may end the chain: what they pass isn't judged",
                "take them off, or have them attached behind it (tc filter del …; bpftool link detach id …)",
            )
            .each(ahead),
            (_, all) => DoctorCheck::note("hooks", "others share devices, and none is in the way").each(all),
        };
    let xdp = match (lines(&|other| is_xdp(other) && other.ends), lines(&is_xdp)) {
        (_, all) if all.is_empty() => DoctorCheck::ok("xdp", "no XDP programs on any device"),
        (ends, _) if !ends.is_empty() => DoctorCheck::note(
            "xdp",
            "XDP programs meet packets before the enforcer, and may send or drop them by themselves",
        )
        .mend("on a workload's device: ip link set dev … xdp off")
        .each(ends),
        (_, all) => DoctorCheck::note("xdp", "XDP programs hand every packet on").each(all),
    };
    vec![hooks, xdp]
}

fn line(other: &Other, devices: &[Link]) -> String {
    let device = devices.iter().find(|device| device.index == other.ifindex);
    let device = device.map_or_else(|| other.ifindex.to_string(), |device| shown(&device.name));
    let place = match other.chain {
        Chain::Xdp => "xdp",
        // As the workload behind the device sees it.
        Chain::Tc(Direction::Egress) => "egress",
        Chain::Tc(Direction::Ingress) => "ingress",
    };
    let what = match other.program {
        Some(id) => format!("program {id} `{}`", shown(&other.name)),
        None => format!("filter `{}`", shown(&other.name)),
    };
    let ends = if other.ends { "may end the chain" } else { "hands every packet on" };
    format!("{device} {place}: {what}, {ends}")
}

fn of_cgroups(machine: &Machine, bpffs: &Path) -> DoctorCheck {
    const CHECK: &str = "cgroup-hooks";
    let mounts = machine.proc("self/mounts").unwrap_or_default();
    let Some(root) = mounted(&mounts, "cgroup2").map(PathBuf::from) else {
        return DoctorCheck::note(CHECK, "there is no cgroup v2 tree to look at");
    };
    match cgroup_programs(&root, bpffs) {
        Err(error) => unseen(CHECK, "the programs on the root cgroup", &error),
        Ok(found) if found.is_empty() => DoctorCheck::ok(CHECK, "no other programs on the root cgroup"),
        Ok(found) => {
            let each = found.iter().map(|(name, id)| format!("program {id} `{}`", shown(name))).collect();
            DoctorCheck::note(
                CHECK,
                "others' programs on the root cgroup judge as well: what any of them drops is dropped",
            )
            .each(each)
        }
    }
}

/// Another daemon's pins may be of another network namespace, or forgotten.
fn others_pins(bpffs: &Path) -> DoctorCheck {
    const CHECK: &str = "other-daemons";
    let Some(above) = bpffs.parent() else { return DoctorCheck::ok(CHECK, "none") };
    let entries = match fs::read_dir(above) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return DoctorCheck::ok(CHECK, "no pins of other daemons");
        }
        Err(error) => return unseen(CHECK, &format!("`{}`", above.display()), &error),
        Ok(entries) => entries,
    };
    let is_layout = |path: &Path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.len() == 17 && name.starts_with('v') && path.join("maps").is_dir()
    };
    let is_daemons = |path: &Path| {
        fs::read_dir(path).into_iter().flatten().flatten().any(|entry| is_layout(&entry.path()))
    };
    let found = entries.flatten().map(|entry| entry.path()).filter(|path| path != bpffs && is_daemons(path));
    let found: Vec<String> =
        found.map(|path| path.display().to_string().escape_debug().to_string()).collect();
    if found.is_empty() {
        return DoctorCheck::ok(CHECK, "no pins of other daemons");
    }
    DoctorCheck::note(CHECK, "other daemons' pins: each judges by its own set")
        .mend("of one that is forgotten: enforcer stop --detach --socket none --bpffs DIR")
        .each(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Word;

    fn other(chain: Chain, ahead: bool, ends: bool) -> Other {
        Other { ifindex: 7, chain, name: "lb\u{1b}".to_owned(), program: Some(9), ahead, ends }
    }

    #[test]
    fn only_what_comes_first_and_may_end_the_chain_is_in_the_way() {
        const TC: Chain = Chain::Tc(Direction::Egress);
        let words =
            |found: &[Other]| of_devices(found, &[]).iter().map(|check| check.word).collect::<Vec<_>>();
        assert_eq!(words(&[]), [Word::Ok, Word::Ok]);
        assert_eq!(words(&[other(TC, true, true)]), [Word::Missing, Word::Ok]);
        assert_eq!(words(&[other(TC, true, false)]), [Word::Note, Word::Ok]);
        assert_eq!(words(&[other(TC, false, true)]), [Word::Note, Word::Ok]);
        assert_eq!(words(&[other(Chain::Xdp, true, true)]), [Word::Ok, Word::Note]);
        let told = of_devices(&[other(TC, true, true)], &[]);
        assert_eq!(told[0].each, ["7 egress: program 9 `lb\\u{1b}`, may end the chain"]);
    }

    #[test]
    fn pins_of_other_daemons_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let ours = dir.path().join("enforcer");
        fs::create_dir_all(ours.join("v0123456789abcdef/maps")).unwrap();
        fs::create_dir_all(dir.path().join("cilium/maps")).unwrap();
        assert_eq!(others_pins(&ours).word, Word::Ok);
        fs::create_dir_all(dir.path().join("second/v0123456789abcdef/maps")).unwrap();
        let found = others_pins(&ours);
        assert_eq!((found.word, found.each.len()), (Word::Note, 1));
        assert!(found.each[0].ends_with("/second"), "{found:?}");
    }
}
