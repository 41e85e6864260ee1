//! Packet sockets (AF_PACKET) of services: what goes through them meets a device, and no socket's hook.

use super::machine::Machine;
use super::unseen;
use crate::protocol::DoctorCheck;
use enforcer_policy::diagnostic::shown;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;

/// More aren't listed one by one.
const LISTED: usize = 20;

/// Workloads that are known by a cgroup, by its path below the mount.
pub(super) type Services = BTreeMap<String, String>;

/// A process with a packet socket.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Holder {
    workload: Option<String>,
    pid: u32,
    name: String,
    cgroup: String,
}

/// `services` are as a daemon tells; without one, nobody can say whose a process is.
pub(super) fn check(machine: &Machine, services: Option<&Services>) -> DoctorCheck {
    const CHECK: &str = "packet-sockets";
    match holders(machine, services.unwrap_or(&Services::new())) {
        Err(error) => unseen(CHECK, "packet sockets", &error),
        Ok(holders) => judge(CHECK, &holders, services.is_some()),
    }
}

fn judge(check: &str, holders: &BTreeSet<Holder>, asked: bool) -> DoctorCheck {
    let of_services = || holders.iter().filter_map(|holder| Some((holder.workload.as_deref()?, holder)));
    let count = of_services().count();
    if count == 0 {
        let others = holders.len();
        let found = match (asked, others) {
            (_, 0) => "no process has one".to_owned(),
            (true, 1) => "one process has one, which belongs to no workload".to_owned(),
            (true, _) => format!("{others} processes have one, none of a workload"),
            (false, _) => format!("{others} processes have one; without a daemon there is no telling whose"),
        };
        return if asked || others == 0 {
            DoctorCheck::ok(check, found)
        } else {
            DoctorCheck::note(check, found)
        };
    }
    let line = |(workload, holder): (&str, &Holder)| {
        format!(
            "{}: process {} `{}` in {}",
            shown(workload),
            holder.pid,
            shown(&holder.name),
            shown(&holder.cgroup)
        )
    };
    let mut each: Vec<String> = of_services().take(LISTED).map(line).collect();
    if count > LISTED {
        each.push(format!("… and {} more", count - LISTED));
    }
    DoctorCheck::missing(
        check,
        "what workloads send and see through these isn't judged at their sockets",
        "take the right to open them from the unit: `RestrictAddressFamilies=~AF_PACKET`, or `CapabilityBoundingSet=~CAP_NET_RAW`",
    )
    .each(each)
}

/// Every process that has one of this network namespace's.
fn holders(machine: &Machine, services: &Services) -> io::Result<BTreeSet<Holder>> {
    let table = machine.proc("self/net/packet")?;
    let sockets: BTreeSet<String> = table.lines().skip(1).filter_map(socket).collect();
    let mut found = BTreeSet::new();
    if sockets.is_empty() {
        return Ok(found);
    }
    for entry in fs::read_dir(&machine.proc)?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // Processes come and go.
        let Ok(files) = fs::read_dir(entry.path().join("fd")) else { continue };
        let has = files.flatten().any(|file| {
            fs::read_link(file.path()).is_ok_and(|target| sockets.contains(&*target.to_string_lossy()))
        });
        if !has {
            continue;
        }
        let said = |file: &str| machine.proc(&format!("{pid}/{file}")).unwrap_or_default();
        let cgroup = unified(&said("cgroup")).unwrap_or_default().to_owned();
        let workload = owner(services, &cgroup).map(str::to_owned);
        found.insert(Holder { workload, pid, name: said("comm"), cgroup });
    }
    Ok(found)
}

/// What a descriptor of the socket in a line of `/proc/net/packet` links to.
fn socket(line: &str) -> Option<String> {
    let inode: u64 = line.split_whitespace().nth(8)?.parse().ok()?;
    Some(format!("socket:[{inode}]"))
}

/// The cgroup of the one hierarchy that has all controllers, or none (cgroup v2).
fn unified(text: &str) -> Option<&str> {
    text.lines().find_map(|line| line.strip_prefix("0::"))
}

/// Whose a cgroup is: that of the innermost one above it, or of itself, which is somebody's.
fn owner<'a>(services: &'a Services, cgroup: &str) -> Option<&'a str> {
    let mut path = cgroup;
    loop {
        if let Some(workload) = services.get(path) {
            return Some(workload);
        }
        path = path.rsplit_once('/')?.0;
    }
}

#[cfg(test)]
mod tests {
    use super::super::machine::made::machine;
    use super::*;
    use crate::protocol::Word;
    use std::os::unix::fs::symlink;

    const HEAD: &str = "sk               RefCnt Type Proto  Iface R Rmem   User   Inode\n";
    const LINE: &str = "0000000000000000 3      3    0003   2     1 0      0      4711\n";

    #[test]
    fn e87_packet_sockets_of_services_are_told_with_whose_they_are() {
        let services = Services::from([("/system.slice/web.service".to_owned(), "web".to_owned())]);
        let table = format!("{HEAD}{LINE}");
        let (_dir, machine) = machine(&[
            ("proc/self/net/packet", &table),
            ("proc/12/comm", "tcpdump\n"),
            ("proc/12/cgroup", "4:memory:/x\n0::/system.slice/web.service/worker\n"),
            ("proc/13/comm", "dhclient\n"),
            ("proc/13/cgroup", "0::/system.slice/web.service.other\n"),
            ("proc/13/fd/note", ""),
        ]);
        fs::create_dir_all(machine.proc.join("12/fd")).unwrap();
        symlink("socket:[4711]", machine.proc.join("12/fd/7")).unwrap();
        let found = check(&machine, Some(&services));
        assert_eq!(found.word, Word::Missing);
        assert_eq!(found.each, ["web: process 12 `tcpdump` in /system.slice/web.service/worker"]);
        assert!(found.mend.unwrap().contains("AF_PACKET"));

        symlink("socket:[4711]", machine.proc.join("13/fd/3")).unwrap();
        assert_eq!(check(&machine, Some(&services)).each.len(), 1, "one whose name only begins alike");
        assert_eq!(check(&machine, Some(&Services::new())).word, Word::Ok);
        assert_eq!(check(&machine, None).word, Word::Note);
        fs::write(machine.proc.join("self/net/packet"), HEAD).unwrap();
        assert_eq!(check(&machine, None).word, Word::Ok);
    }
}
