//! Ways for packets that no hook sees: told, for they can't be judged.

use super::machine::Machine;
use super::unseen;
use crate::links::{Link, XdpSocket, xdp_sockets};
use crate::protocol::DoctorCheck;
use enforcer_policy::diagnostic::shown;
use std::fs;
use std::io;
use std::path::Path;

pub(super) fn checks(machine: &Machine, devices: &io::Result<Vec<Link>>) -> Vec<DoctorCheck> {
    let known = devices.as_deref().unwrap_or_default();
    vec![xdp(xdp_sockets(), machine, known), vsock(machine), rdma(machine), tunnels(machine)]
}

fn xdp(sockets: io::Result<Option<Vec<XdpSocket>>>, machine: &Machine, devices: &[Link]) -> DoctorCheck {
    const CHECK: &str = "af-xdp";
    let sockets = match sockets {
        Ok(Some(sockets)) => sockets,
        Ok(None) => return counted(machine),
        Err(error) => return unseen(CHECK, "AF_XDP sockets", &error),
    };
    if sockets.is_empty() {
        return DoctorCheck::ok(CHECK, "no AF_XDP sockets");
    }
    let line = |socket: &XdpSocket| {
        let device = devices.iter().find(|device| device.index == socket.ifindex);
        let device = device.map_or_else(|| "no device".to_owned(), |device| shown(&device.name));
        format!("{device}, queue {}{}", socket.queue, if socket.zero_copy { ", zero-copy" } else { "" })
    };
    let each: Vec<String> = sockets.iter().map(line).collect();
    if sockets.iter().any(|socket| socket.zero_copy) {
        let found = "AF_XDP sockets in zero-copy mode send and receive past every hook of their devices";
        return DoctorCheck::missing(
            CHECK,
            found,
            "end what has them (`ss --xdp -p`), or bind them in copy mode",
        )
        .each(each);
    }
    DoctorCheck::note(CHECK, "AF_XDP sockets take what an XDP program gives them before it is judged; what they send is judged by the device's other end").each(each)
}

/// Where the kernel doesn't list them, it counts them all the same.
fn counted(machine: &Machine) -> DoctorCheck {
    const CHECK: &str = "af-xdp";
    let protocols = match machine.proc("thread-self/net/protocols") {
        Ok(protocols) => protocols,
        Err(error) => return unseen(CHECK, "the kernel's protocols", &error),
    };
    let mut lines = protocols.lines().map(str::split_whitespace);
    let count = lines.find_map(|mut words| (words.next()? == "XDP").then(|| words.nth(1)).flatten());
    match count {
        None | Some("0") => DoctorCheck::ok(CHECK, "no AF_XDP sockets"),
        Some(count) => DoctorCheck::note(
            CHECK,
            format!("{count} AF_XDP sockets; this kernel doesn't tell which are in zero-copy mode, which go past every hook"),
        )
        .mend("look for them with `lsof`, or run a kernel with CONFIG_XDP_SOCKETS_DIAG"),
    }
}

/// Between a machine and its guests; no device, no packet.
fn vsock(machine: &Machine) -> DoctorCheck {
    let there = |name: &str| machine.dev.join(name).exists();
    match ["vsock", "vhost-vsock"].into_iter().find(|name| there(name)) {
        Some(name) => DoctorCheck::note(
            "vsock",
            format!("`/dev/{name}`: sockets between host and guests (AF_VSOCK) are not judged"),
        )
        .mend("where they aren't needed: rmmod vhost_vsock vsock"),
        None => DoctorCheck::ok("vsock", "no sockets between host and guests"),
    }
}

fn rdma(machine: &Machine) -> DoctorCheck {
    let each: Vec<String> =
        names(&machine.sys.join("class/infiniband")).iter().map(|name| shown(name)).collect();
    if each.is_empty() {
        return DoctorCheck::ok("rdma", "no RDMA devices");
    }
    DoctorCheck::note("rdma", "what goes through RDMA devices is not judged")
        .mend("give none to a workload")
        .each(each)
}

fn tunnels(machine: &Machine) -> DoctorCheck {
    let class = machine.sys.join("class/net");
    let is_tunnel = |name: &&String| class.join(name).join("tun_flags").exists();
    let each: Vec<String> = names(&class).iter().filter(is_tunnel).map(|name| shown(name)).collect();
    if each.is_empty() {
        return DoctorCheck::ok("tun", "no devices of /dev/net/tun");
    }
    DoctorCheck::note("tun", "processes carry packets through /dev/net/tun: behind these devices only a workload that claims one is judged").each(each)
}

/// What a directory holds, as it is; nothing where there is none.
fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::super::machine::made::machine;
    use super::*;
    use crate::protocol::Word;

    #[test]
    fn e87_zero_copy_sockets_are_to_be_mended_and_others_told() {
        let (_dir, silent) = machine(&[]);
        let socket = |zero_copy| XdpSocket { ifindex: 7, queue: 3, zero_copy };
        let judge = |sockets| xdp(Ok(Some(sockets)), &silent, &[]);
        assert_eq!(judge(Vec::new()).word, Word::Ok);
        assert_eq!(judge(vec![socket(false)]).word, Word::Note);
        let found = judge(vec![socket(false), socket(true)]);
        assert_eq!(found.word, Word::Missing);
        assert_eq!(found.each, ["no device, queue 3", "no device, queue 3, zero-copy"]);
        assert_eq!(xdp(Err(io::ErrorKind::PermissionDenied.into()), &silent, &[]).word, Word::Unknown);
        for (count, word) in [("0", Word::Ok), ("2", Word::Note)] {
            let table = format!("protocol  size sockets  memory\nXDP  1088  {count}  -1\nTCP  1  7  1\n");
            let (_dir, counting) = machine(&[("proc/thread-self/net/protocols", &table)]);
            assert_eq!(xdp(Ok(None), &counting, &[]).word, word, "{count}");
        }
    }

    #[test]
    fn e88_what_no_hook_sees_is_told() {
        let (_dir, none) = machine(&[("sys/class/net/eth0/mtu", "1500")]);
        assert!([vsock(&none), rdma(&none), tunnels(&none)].iter().all(|check| check.word == Word::Ok));
        let (_dir, all) = machine(&[
            ("dev/vhost-vsock", ""),
            ("sys/class/infiniband/mlx5_0/node_type", "1"),
            ("sys/class/net/tap\u{7}/tun_flags", "0x1002"),
            ("sys/class/net/eth0/mtu", "1500"),
        ]);
        let found = [vsock(&all), rdma(&all), tunnels(&all)];
        assert!(found.iter().all(|check| check.word == Word::Note), "{found:#?}");
        assert_eq!(found[1].each, ["mlx5_0"]);
    }
}
