//! The file systems that programs are pinned in and that name cgroups.

use super::machine::Machine;
use super::unseen;
use crate::kernel::on_bpffs;
use crate::protocol::DoctorCheck;
use enforcer_policy::diagnostic::shown;
use std::path::Path;

pub(super) fn checks(machine: &Machine, bpffs: &Path) -> Vec<DoctorCheck> {
    vec![cgroups(machine), pins(bpffs)]
}

/// Where cgroup v2 is: alone, or beside v1.
fn cgroups(machine: &Machine) -> DoctorCheck {
    const CHECK: &str = "cgroup";
    const USUAL: &str = "/sys/fs/cgroup";
    let mounts = match machine.proc("self/mounts") {
        Ok(mounts) => mounts,
        Err(error) => return unseen(CHECK, "what is mounted", &error),
    };
    match (mounted(&mounts, "cgroup2"), mounted(&mounts, "cgroup")) {
        (Some(USUAL), _) => DoctorCheck::ok(CHECK, format!("v2 alone, at `{USUAL}`")),
        (Some(place), Some(_)) => {
            DoctorCheck::ok(CHECK, format!("v2 beside v1 (hybrid), at `{}`", shown(place)))
        }
        (Some(place), None) => DoctorCheck::ok(CHECK, format!("v2, at `{}`", shown(place))),
        (None, _) => DoctorCheck::missing(
            CHECK,
            "no cgroup v2 tree is mounted: workloads behind devices are judged, services and processes aren't",
            "boot with systemd.unified_cgroup_hierarchy=1, or: mount -t cgroup2 none /sys/fs/cgroup/unified",
        ),
    }
}

/// Where a file system of this kind is mounted, by the lines of proc(5)'s `mounts`.
pub(super) fn mounted<'a>(mounts: &'a str, kind: &str) -> Option<&'a str> {
    let mut places = mounts.lines().map(|line| line.split(' ').skip(1));
    let found =
        places.find_map(|mut words| Some((words.next()?, words.next()?)).filter(|(_, of)| *of == kind));
    found.map(|(place, _)| place)
}

fn pins(bpffs: &Path) -> DoctorCheck {
    let place = bpffs.display().to_string();
    let place = place.escape_debug();
    if on_bpffs(bpffs) {
        DoctorCheck::ok("bpffs", format!("`{place}` is on a bpf file system"))
    } else {
        DoctorCheck::missing(
            "bpffs",
            format!("`{place}` isn't on a bpf file system"),
            "mount -t bpf bpf /sys/fs/bpf",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::machine::made::machine;
    use super::*;
    use crate::protocol::Word;

    #[test]
    fn cgroup_v2_is_found_where_it_is() {
        let found = |mounts: &str| {
            let (_dir, machine) = machine(&[("proc/self/mounts", mounts)]);
            cgroups(&machine)
        };
        let alone = found("proc /proc proc rw 0 0\ncgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n");
        assert_eq!((alone.word, &*alone.found), (Word::Ok, "v2 alone, at `/sys/fs/cgroup`"));
        let both = found(
            "cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\ncgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n",
        );
        assert_eq!(both.found, "v2 beside v1 (hybrid), at `/sys/fs/cgroup/unified`");
        assert_eq!(found("cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n").word, Word::Missing);
    }

    #[test]
    fn an_ordinary_directory_takes_no_pins() {
        let dir = tempfile::tempdir().unwrap();
        let found = pins(&dir.path().join("enforcer"));
        assert_eq!(
            (found.word, found.mend.as_deref()),
            (Word::Missing, Some("mount -t bpf bpf /sys/fs/bpf"))
        );
    }
}
