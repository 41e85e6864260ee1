//! What checking each program costs the running kernel's verifier.
//!
//! The kernel tells that for a loaded program since 5.16 only; its log tells it since 5.2, also of a program that it refuses. aya
//! shows the log of refused programs alone, so the programs are loaded here once more, beside aya.

use std::collections::HashSet;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use aya_obj::btf::{Btf, BtfKind};
use aya_obj::programs::CgroupSkbAttachType;
use aya_obj::{EbpfSectionKind, Function, Map, Object, ProgramSection};

use super::config::KernelConfig;
use super::load::{SOCKETS_SINCE, constants, lift_limits, object_of, running};
use super::programs::ITERATORS;
use super::socket_hook::SocketHook;
use super::sys::{Command, bpf, new_fd};
use crate::datapath::DatapathError;

/// Nothing is kept in these maps: what is looked at is their shape.
const ENTRIES: u32 = 64;
const BPF_PROG_TYPE_SCHED_CLS: u32 = 3;
const BPF_PROG_TYPE_CGROUP_SKB: u32 = 8;
const BPF_PROG_TYPE_CGROUP_SOCK: u32 = 9;
const BPF_PROG_TYPE_TRACING: u32 = 26;
const BPF_TRACE_ITER: u32 = 28;
const BPF_MAP_TYPE_RINGBUF: u32 = 27;
/// `BPF_LOG_STATS`: the sums, and nothing else but errors.
const SUMS: u32 = 4;
const LOG_BYTES: usize = 1 << 20;

/// What the verifier says of a program.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Complexity {
    /// The program's name.
    pub program: String,
    /// Instructions that the verifier went through; the kernel allows a million.
    pub instructions: u64,
    /// Why it was refused, if it was.
    pub refused: Option<String>,
}

/// Has the kernel check every program of the object, and asks what that took.
pub fn complexity(config: &KernelConfig) -> Result<Vec<Complexity>, DatapathError> {
    let version = running()?;
    lift_limits(version);
    let bytes = object_of(config)?;
    let damaged = |error: Box<dyn std::error::Error + Send + Sync>| {
        DatapathError::caused("the object with the kernel programs is damaged", error)
    };
    let mut object = Object::parse(&bytes).map_err(|error| damaged(error.into()))?;
    let sockets = version >= SOCKETS_SINCE;
    let constants = constants(version)?;
    let values = constants.iter().map(|(name, value)| (*name, (&value[..], true)));
    object.patch_map_data(values.collect()).map_err(|error| damaged(error.into()))?;
    let features = aya::features();
    let mut types = None;
    if let Some(known) = features.btf()
        && let Some(found) = object.fixup_and_sanitize_btf(known).map_err(|error| damaged(error.into()))?
    {
        types = Some(load_btf(&found.to_bytes())?);
    }
    let mut maps = Vec::new();
    for (name, map) in object.maps.drain() {
        let fd = make_map(&map, types.as_ref())
            .map_err(|error| DatapathError::caused(format_args!("cannot make the map `{name}`"), error))?;
        maps.push((name, fd, map));
    }
    let kernel = Btf::from_sys_fs().ok();
    let sections: HashSet<usize> = object.functions.keys().map(|(section, _)| *section).collect();
    let relocated = object
        .relocate_maps(maps.iter().map(|(name, fd, map)| (name.as_str(), fd.as_raw_fd(), map)), &sections)
        .and_then(|()| object.relocate_calls(&sections));
    relocated.map_err(|error| damaged(error.into()))?;
    object.sanitize_functions(features);
    let mut found: Vec<_> = object
        .programs
        .iter()
        .filter(|(_, program)| sockets || matches!(program.section, ProgramSection::SchedClassifier))
        .filter_map(|(name, program)| {
            let kind = kind(name, &program.section, kernel.as_ref())?;
            Some(check(name, kind, &object.functions[&program.function_key()], types.as_ref()))
        })
        .collect();
    found.sort_by(|a, b| a.program.cmp(&b.program));
    Ok(found)
}

#[repr(C)]
#[derive(Default)]
struct LoadAttr {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; 16],
    prog_ifindex: u32,
    expected_attach_type: u32,
    prog_btf_fd: u32,
    func_info_rec_size: u32,
    func_info: u64,
    func_info_cnt: u32,
    line_info_rec_size: u32,
    line_info: u64,
    line_info_cnt: u32,
    attach_btf_id: u32,
}

/// What a program is to the kernel.
#[derive(Clone, Copy, Default)]
struct Kind {
    program: u32,
    attach: u32,
    /// The type of the kernel's own that an iterator has for a hook.
    target: u32,
}

/// `None` for a program that this kernel can't have.
fn kind(name: &str, section: &ProgramSection, kernel: Option<&Btf>) -> Option<Kind> {
    Some(match section {
        ProgramSection::CgroupSkb { attach_type } => {
            let egress = matches!(attach_type, Some(CgroupSkbAttachType::Egress));
            Kind { program: BPF_PROG_TYPE_CGROUP_SKB, attach: u32::from(egress), target: 0 }
        }
        ProgramSection::CgroupSock { .. } => {
            let hook = SocketHook::ALL.into_iter().find(|hook| hook.program() == name)?;
            Kind { program: BPF_PROG_TYPE_CGROUP_SOCK, attach: hook.attach_type(), target: 0 }
        }
        ProgramSection::Iter { .. } => {
            let (_, sockets) = ITERATORS.into_iter().find(|(known, _)| *known == name)?;
            let target = kernel?.id_by_type_name_kind(&format!("bpf_iter_{sockets}"), BtfKind::Func).ok()?;
            Kind { program: BPF_PROG_TYPE_TRACING, attach: BPF_TRACE_ITER, target }
        }
        _ => Kind { program: BPF_PROG_TYPE_SCHED_CLS, ..Kind::default() },
    })
}

fn check(name: &str, kind: Kind, function: &Function, types: Option<&OwnedFd>) -> Complexity {
    let mut log = vec![0_u8; LOG_BYTES];
    let (functions, lines) = (function.func_info.func_info_bytes(), function.line_info.line_info_bytes());
    let mut attr = LoadAttr {
        prog_type: kind.program,
        expected_attach_type: kind.attach,
        attach_btf_id: kind.target,
        insn_cnt: function.instructions.len() as u32,
        insns: function.instructions.as_ptr() as u64,
        license: c"Dual MIT/GPL".as_ptr() as u64,
        log_level: SUMS,
        log_size: log.len() as u32,
        log_buf: log.as_mut_ptr() as u64,
        ..LoadAttr::default()
    };
    if let Some(types) = types {
        attr.prog_btf_fd = types.as_raw_fd() as u32;
        attr.func_info_rec_size = function.func_info_rec_size as u32;
        attr.func_info = functions.as_ptr() as u64;
        attr.func_info_cnt = function.func_info.num_info;
        attr.line_info_rec_size = function.line_info_rec_size as u32;
        attr.line_info = lines.as_ptr() as u64;
        attr.line_info_cnt = function.line_info.num_info;
    }
    let loaded = bpf(Command::ProgLoad, &mut attr).map(new_fd);
    let log = text(&log);
    Complexity {
        program: name.to_owned(),
        instructions: processed(&log),
        refused: loaded.err().map(|error| last_lines(&log).unwrap_or_else(|| error.to_string())),
    }
}

/// The figure of `processed 4130 insns (limit 1000000) …`; each global function has a line of its own, and all count.
fn processed(log: &str) -> u64 {
    let of_line = |line: &str| line.strip_prefix("processed ")?.split(' ').next()?.parse::<u64>().ok();
    log.lines().filter_map(of_line).sum()
}

/// The last lines that aren't sums.
fn last_lines(log: &str) -> Option<String> {
    const SUMS: [&str; 4] = ["processed ", "verification time", "stack depth", "peak_states"];
    let is_sum = |line: &&str| SUMS.iter().any(|sum| line.starts_with(sum));
    let lines: Vec<_> = log.lines().filter(|line| !line.trim().is_empty() && !is_sum(line)).collect();
    let end = lines[lines.len().saturating_sub(4)..].join("; ");
    if end.is_empty() { None } else { Some(end) }
}

#[repr(C)]
#[derive(Default)]
struct MapAttr {
    map_type: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    map_flags: u32,
    inner_map_fd: u32,
    numa_node: u32,
    map_name: [u8; 16],
    map_ifindex: u32,
    btf_fd: u32,
    btf_key_type_id: u32,
    btf_value_type_id: u32,
}

#[repr(C)]
#[derive(Default)]
struct ElementAttr {
    map_fd: u32,
    padding: u32,
    key: u64,
    value: u64,
    flags: u64,
}

fn make_map(map: &Map, types: Option<&OwnedFd>) -> io::Result<OwnedFd> {
    let entries = map.max_entries();
    let entries = if map.map_type() == BPF_MAP_TYPE_RINGBUF { entries } else { entries.min(ENTRIES) };
    let mut attr = MapAttr {
        map_type: map.map_type(),
        key_size: map.key_size(),
        value_size: map.value_size(),
        max_entries: entries,
        map_flags: map.map_flags(),
        ..MapAttr::default()
    };
    if let (Map::Btf(map), Some(types)) = (map, types) {
        attr.btf_fd = types.as_raw_fd() as u32;
        (attr.btf_key_type_id, attr.btf_value_type_id) = (map.def.btf_key_type_id, map.def.btf_value_type_id);
    }
    let fd = bpf(Command::MapCreate, &mut attr).map(new_fd)?;
    if !map.data().is_empty() {
        let key = 0_u32;
        let mut attr = ElementAttr {
            map_fd: fd.as_raw_fd() as u32,
            key: (&raw const key) as u64,
            value: map.data().as_ptr() as u64,
            ..ElementAttr::default()
        };
        bpf(Command::MapUpdate, &mut attr)?;
    }
    if map.section_kind() == EbpfSectionKind::Rodata {
        // The verifier then takes what it holds for constants.
        let mut attr = fd.as_raw_fd() as u32;
        bpf(Command::MapFreeze, &mut attr)?;
    }
    Ok(fd)
}

#[repr(C)]
#[derive(Default)]
struct BtfAttr {
    btf: u64,
    log_buf: u64,
    btf_size: u32,
    log_size: u32,
    log_level: u32,
    /// The kernel refuses what it doesn't know unless it is zero.
    reserved: u32,
}

fn load_btf(btf: &[u8]) -> Result<OwnedFd, DatapathError> {
    let mut log = vec![0_u8; LOG_BYTES];
    let mut attr = BtfAttr {
        btf: btf.as_ptr() as u64,
        log_buf: log.as_mut_ptr() as u64,
        btf_size: btf.len() as u32,
        log_size: log.len() as u32,
        log_level: 1,
        reserved: 0,
    };
    bpf(Command::BtfLoad, &mut attr).map(new_fd).map_err(|error| {
        // The whole of a long log doesn't fit, and is of no use here.
        let why = last_lines(&text(&log)).unwrap_or_else(|| error.to_string());
        DatapathError::caused("cannot load the programs' types", why)
    })
}

/// What the kernel wrote into a buffer.
fn text(log: &[u8]) -> String {
    let end = log.iter().position(|byte| *byte == 0).unwrap_or(log.len());
    String::from_utf8_lossy(&log[..end]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_added_up_and_told_from_reasons() {
        let log = "verification time 93 usec\nstack depth 0+0\nprocessed 22 insns (limit 1000000) max_states_per_insn 1 total_states 2\n\
                   R1 invalid mem access 'inv'\nprocessed 20 insns (limit 1000000) max_states_per_insn 0";
        assert_eq!(processed(log), 42);
        assert_eq!(last_lines(log).as_deref(), Some("R1 invalid mem access 'inv'"));
        assert_eq!(last_lines("processed 1 insns (limit 1000000)"), None);
    }
}
