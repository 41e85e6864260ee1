//! The kernel: its version, what it was built with, how it is set, and what this process may ask of it.

use super::machine::Machine;
use super::unseen;
use crate::protocol::DoctorCheck;
use rustix::process::{Resource, getrlimit};

/// The oldest kernel that is tested.
const OLDEST: (u32, u32) = (5, 10);
/// The first with tcx.
const TCX: (u32, u32) = (6, 6);
/// The first that doesn't count maps against `RLIMIT_MEMLOCK`.
const NO_MEMLOCK: (u32, u32) = (5, 11);
/// Capabilities that the daemon needs, by their bits.
const CAPABILITIES: [(&str, u32); 4] =
    [("CAP_NET_ADMIN", 12), ("CAP_SYS_ADMIN", 21), ("CAP_PERFMON", 38), ("CAP_BPF", 39)];
const SYS_RESOURCE: u32 = 24;
/// The daemon holds two descriptors for each device.
const FEW_FILES: u64 = 4096;

pub(super) fn checks(machine: &Machine) -> Vec<DoctorCheck> {
    vec![
        version(machine),
        types(machine),
        bpf(machine),
        jit(machine),
        lsm(machine),
        lockdown(machine),
        unprivileged(machine),
        capabilities(machine),
        limits(machine),
    ]
}

fn version(machine: &Machine) -> DoctorCheck {
    const CHECK: &str = "kernel";
    match machine.kernel() {
        Err(error) => unseen(CHECK, "the kernel's version", &error),
        Ok((release, version)) if version < OLDEST => DoctorCheck::missing(
            CHECK,
            format!("{release} is older than 5.10"),
            "run a kernel of 5.10 or later",
        ),
        Ok((release, version)) => {
            let hooks =
                if version < TCX { "classifiers of clsact (tcx comes with 6.6)" } else { "tcx links" };
            let found = format!("{release} on {}: hooks are {hooks}", std::env::consts::ARCH);
            if std::env::consts::ARCH == "x86_64" {
                DoctorCheck::ok(CHECK, found)
            } else {
                DoctorCheck::note(CHECK, format!("{found}; only x86_64 is tested"))
            }
        }
    }
}

fn types(machine: &Machine) -> DoctorCheck {
    if machine.sys.join("kernel/btf/vmlinux").exists() {
        DoctorCheck::ok("btf", "the kernel describes its types")
    } else {
        DoctorCheck::note(
            "btf",
            "the kernel doesn't describe its types: the enforcer doesn't need it, tools that trace it do",
        )
        .mend("a kernel built with CONFIG_DEBUG_INFO_BTF")
    }
}

fn bpf(machine: &Machine) -> DoctorCheck {
    match machine.proc("filesystems") {
        Err(error) => unseen("bpf", "the kernel's file systems", &error),
        Ok(known) if known.lines().any(|line| line.split_whitespace().last() == Some("bpf")) => {
            DoctorCheck::ok("bpf", "the kernel has the bpf call")
        }
        Ok(_) => DoctorCheck::missing(
            "bpf",
            "the kernel has no bpf call",
            "a kernel built with CONFIG_BPF_SYSCALL",
        ),
    }
}

fn jit(machine: &Machine) -> DoctorCheck {
    match machine.proc("sys/net/core/bpf_jit_enable").as_deref() {
        Ok("0") => DoctorCheck::note("jit", "programs are interpreted: each packet costs many times more")
            .mend("sysctl -w net.core.bpf_jit_enable=1"),
        Ok(_) => DoctorCheck::ok("jit", "programs are compiled"),
        // The setting is shown in the first network namespace alone.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            DoctorCheck::note("jit", "this network namespace doesn't show whether programs are compiled")
        }
        Err(error) => unseen("jit", "whether programs are compiled", error),
    }
}

fn lsm(machine: &Machine) -> DoctorCheck {
    match machine.sys("kernel/security/lsm") {
        Ok(all) if all.split(',').any(|one| one == "bpf") => {
            DoctorCheck::ok("lsm", "BPF is among the security modules")
        }
        Ok(_) => {
            DoctorCheck::note("lsm", "BPF isn't among the security modules: nothing of the enforcer needs it")
        }
        Err(_) => DoctorCheck::note(
            "lsm",
            "the security modules aren't shown here: nothing of the enforcer needs BPF among them",
        ),
    }
}

fn lockdown(machine: &Machine) -> DoctorCheck {
    match machine.sys("kernel/security/lockdown") {
        Ok(mode) if mode.contains("[confidentiality]") => DoctorCheck::missing(
            "lockdown",
            "the kernel is locked down for confidentiality: programs may be refused",
            "boot with lockdown=integrity",
        ),
        Ok(_) | Err(_) => DoctorCheck::ok("lockdown", "the kernel isn't locked down for confidentiality"),
    }
}

fn unprivileged(machine: &Machine) -> DoctorCheck {
    const CHECK: &str = "unprivileged-bpf";
    match machine.proc("sys/kernel/unprivileged_bpf_disabled").as_deref() {
        Ok("0") => DoctorCheck::note(CHECK, "any user may load programs")
            .mend("sysctl -w kernel.unprivileged_bpf_disabled=2"),
        Ok(_) => DoctorCheck::ok(CHECK, "only privileged processes may load programs"),
        Err(error) => unseen(CHECK, "who may load programs", error),
    }
}

fn capabilities(machine: &Machine) -> DoctorCheck {
    let lacking: Vec<&str> =
        CAPABILITIES.iter().filter(|(_, bit)| !machine.has_capability(*bit)).map(|(name, _)| *name).collect();
    if lacking.is_empty() {
        return DoctorCheck::ok("capabilities", "this process may load and attach programs");
    }
    let found = format!("this process lacks {}: what needs them couldn't be looked at", lacking.join(", "));
    DoctorCheck::unknown("capabilities", found).mend("run it as root; a container needs them as well")
}

fn limits(machine: &Machine) -> DoctorCheck {
    let version = machine.kernel().map(|(_, version)| version).unwrap_or(NO_MEMLOCK);
    let memory = getrlimit(Resource::Memlock).maximum;
    if version < NO_MEMLOCK && memory.is_some() && !machine.has_capability(SYS_RESOURCE) {
        let found = format!(
            "this kernel counts maps as locked memory, of which {} bytes are allowed",
            memory.unwrap_or(0)
        );
        return DoctorCheck::missing(
            "limits",
            found,
            "LimitMEMLOCK=infinity in the unit, or ulimit -l unlimited",
        );
    }
    match getrlimit(Resource::Nofile).maximum {
        Some(files) if files < FEW_FILES => DoctorCheck::note(
            "limits",
            format!("{files} files may be open: enough for {} devices", files.saturating_sub(64) / 2),
        )
        .mend("LimitNOFILE=1048576 in the unit, or ulimit -n"),
        Some(_) | None => DoctorCheck::ok("limits", "of locked memory and open files there is enough"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::machine::made::machine;
    use super::*;
    use crate::protocol::Word;

    const ALL: &str = "CapEff:\t000001ffffffffff\n";

    #[test]
    fn what_is_fit_is_ok_and_what_is_not_says_how_it_is_mended() {
        let (_fit, fit) = machine(&[
            ("proc/sys/kernel/osrelease", "6.12.1-amd64\n"),
            ("proc/filesystems", "nodev\tsysfs\nnodev\tbpf\n"),
            ("proc/sys/net/core/bpf_jit_enable", "1\n"),
            ("proc/sys/kernel/unprivileged_bpf_disabled", "2\n"),
            ("proc/self/status", ALL),
            ("sys/kernel/btf/vmlinux", ""),
            ("sys/kernel/security/lsm", "lockdown,capability,bpf"),
            ("sys/kernel/security/lockdown", "[none] integrity confidentiality"),
        ]);
        let found = checks(&fit);
        assert!(found.iter().all(|check| check.word == Word::Ok || check.check == "limits"), "{found:#?}");
        assert_eq!(
            found[0].found,
            format!("6.12.1-amd64 on {}: hooks are tcx links", std::env::consts::ARCH)
        );

        let (_unfit, unfit) = machine(&[
            ("proc/sys/kernel/osrelease", "4.19.0-27-amd64\n"),
            ("proc/filesystems", "nodev\tsysfs\nnodev\tbpfs\n"),
            ("proc/sys/net/core/bpf_jit_enable", "0\n"),
            ("proc/sys/kernel/unprivileged_bpf_disabled", "0\n"),
            ("proc/self/status", "CapEff:\t0000000000001000\n"),
            ("sys/kernel/security/lsm", "lockdown,capability"),
            ("sys/kernel/security/lockdown", "none integrity [confidentiality]"),
        ]);
        let words: Vec<_> =
            checks(&unfit).into_iter().map(|check| (check.check, check.word, check.mend)).collect();
        let word = |name: &str| words.iter().find(|(check, ..)| check == name).unwrap();
        for (name, expected) in [
            ("kernel", Word::Missing),
            ("btf", Word::Note),
            ("bpf", Word::Missing),
            ("jit", Word::Note),
            ("lsm", Word::Note),
            ("lockdown", Word::Missing),
            ("unprivileged-bpf", Word::Note),
            ("capabilities", Word::Unknown),
        ] {
            let (_, found, mend) = word(name);
            assert_eq!(*found, expected, "{name}");
            assert_eq!(mend.is_some(), name != "lsm", "{name}");
        }
        let lacking = &checks(&unfit)[7].found;
        assert!(lacking.contains("lacks CAP_SYS_ADMIN, CAP_PERFMON, CAP_BPF:"), "{lacking}");
    }

    #[test]
    fn older_kernels_are_hooked_by_classifiers() {
        let (_dir, machine) = machine(&[("proc/sys/kernel/osrelease", "5.10.0-30-amd64\n")]);
        let found = version(&machine);
        assert!(found.word != Word::Missing && found.found.contains("clsact"), "{found:?}");
        assert_eq!(jit(&machine).word, Word::Note, "another network namespace");
    }
}
