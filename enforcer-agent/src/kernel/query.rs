//! What the kernel says of programs: which run on a device and in which order, and what one is made of.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use super::sys::{Command, Side, bpf, new_fd, object_info};

/// The kernel's `BPF_MPROG_MAX`: no chain is longer.
const LONGEST_CHAIN: usize = 64;

/// A program in the chain of a tcx hook.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct InChain {
    /// The program's id.
    pub(super) program: u32,
    /// The link's id, 0 where it was attached without one.
    pub(super) link: u32,
}

#[repr(C)]
#[derive(Default)]
struct QueryAttr {
    target_ifindex: u32,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    prog_ids: u64,
    count: u32,
    padding: u32,
    prog_attach_flags: u64,
    link_ids: u64,
    link_attach_flags: u64,
    revision: u64,
}

/// The programs of a tcx hook, in the order in which they run.
pub(super) fn chain(ifindex: u32, side: Side) -> io::Result<Vec<InChain>> {
    let (mut programs, mut links) = ([0_u32; LONGEST_CHAIN], [0_u32; LONGEST_CHAIN]);
    let mut attr = QueryAttr {
        target_ifindex: ifindex,
        attach_type: side as u32,
        prog_ids: programs.as_mut_ptr() as u64,
        count: LONGEST_CHAIN as u32,
        link_ids: links.as_mut_ptr() as u64,
        ..QueryAttr::default()
    };
    match bpf(Command::ProgQuery, &mut attr) {
        // Nothing was ever attached there.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        result => result?,
    };
    let found = programs.into_iter().zip(links).take(attr.count as usize);
    Ok(found.map(|(program, link)| InChain { program, link }).collect())
}

/// The programs of a cgroup's hook. No packet that one of them drops passes, in whatever order they run.
pub(super) fn of_cgroup(cgroup: BorrowedFd<'_>, attach_type: u32) -> io::Result<Vec<u32>> {
    /// Those of the cgroups above count too.
    const BPF_F_QUERY_EFFECTIVE: u32 = 1;
    let mut programs = [0_u32; LONGEST_CHAIN];
    let mut attr = QueryAttr {
        // A union: for cgroups it is a descriptor.
        target_ifindex: cgroup.as_raw_fd().cast_unsigned(),
        attach_type,
        query_flags: BPF_F_QUERY_EFFECTIVE,
        prog_ids: programs.as_mut_ptr() as u64,
        count: LONGEST_CHAIN as u32,
        ..QueryAttr::default()
    };
    bpf(Command::ProgQuery, &mut attr)?;
    Ok(programs.into_iter().take(attr.count as usize).collect())
}

/// Opens a program by its id.
pub(super) fn program(id: u32) -> io::Result<OwnedFd> {
    // The id, and two fields that are zero for programs.
    let mut attr = [id, 0, 0];
    bpf(Command::ProgGetFdById, &mut attr).map(new_fd)
}

/// The first link in the kernel whose id is above `after`.
pub(super) fn next_link(after: u32) -> io::Result<Option<u32>> {
    // The id to begin behind, the one found, and flags.
    let mut attr = [after, 0, 0];
    match bpf(Command::LinkGetNextId, &mut attr) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        result => result.map(|_| Some(attr[1])),
    }
}

/// A program that runs in place of a function of another one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Extension {
    /// Its id.
    pub(super) program: u32,
    /// The id of the program that it changes.
    pub(super) target: u32,
}

/// The head of `struct bpf_link_info`, with what it has for links of tracing. Kernels before 5.13 don't tell the target.
#[repr(C)]
#[derive(Default)]
struct TracingInfo {
    kind: u32,
    id: u32,
    program: u32,
    padding: u32,
    attach_type: u32,
    target: u32,
    rest: [u64; 8],
}

/// What a link does to another program; `None` for links of any other kind, and where it has gone.
pub(super) fn extension(link: u32) -> io::Result<Option<Extension>> {
    const BPF_LINK_TYPE_TRACING: u32 = 2;
    const BPF_PROG_TYPE_EXT: u32 = 28;
    let mut id = [link, 0, 0];
    let link = match bpf(Command::LinkGetFdById, &mut id) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        link => new_fd(link?),
    };
    let mut told = TracingInfo::default();
    object_info(link.as_fd(), &mut told)?;
    if told.kind != BPF_LINK_TYPE_TRACING || told.target == 0 {
        return Ok(None);
    }
    // Most links of tracing only watch.
    let changes = info(program(told.program)?.as_fd())?.kind == BPF_PROG_TYPE_EXT;
    Ok(changes.then_some(Extension { program: told.program, target: told.target }))
}

/// The head of `struct bpf_prog_info`.
#[repr(C)]
#[derive(Default)]
struct ProgInfo {
    kind: u32,
    id: u32,
    tag: [u8; 8],
    jited_len: u32,
    xlated_len: u32,
    jited: u64,
    xlated: u64,
    load_time: u64,
    created_by_uid: u32,
    nr_map_ids: u32,
    map_ids: u64,
    name: [u8; 16],
}

fn info(program: BorrowedFd<'_>) -> io::Result<ProgInfo> {
    let mut found = ProgInfo::default();
    object_info(program, &mut found)?;
    Ok(found)
}

/// A program's id.
pub(super) fn id(program: BorrowedFd<'_>) -> io::Result<u32> {
    Ok(info(program)?.id)
}

/// What a program is known by: the same for the same instructions.
pub(super) type Tag = [u8; 8];

/// A program's tag.
pub(super) fn tag(program: BorrowedFd<'_>) -> io::Result<Tag> {
    Ok(info(program)?.tag)
}

/// A program's name, as it was given when it was loaded.
pub(super) fn name(program: BorrowedFd<'_>) -> io::Result<String> {
    let found = info(program)?;
    let name = CStr::from_bytes_until_nul(&found.name).unwrap_or_default();
    Ok(name.to_string_lossy().into_owned())
}

/// The ids of the maps that a program reads or writes.
pub(super) fn maps(program: BorrowedFd<'_>) -> io::Result<Vec<u32>> {
    let mut ids = vec![0_u32; info(program)?.nr_map_ids as usize];
    let mut filled =
        ProgInfo { nr_map_ids: ids.len() as u32, map_ids: ids.as_mut_ptr() as u64, ..ProgInfo::default() };
    object_info(program, &mut filled)?;
    Ok(ids)
}

/// A program's instructions as the verifier left them; none where the kernel won't show them.
pub(super) fn instructions(program: BorrowedFd<'_>) -> io::Result<Vec<[u8; 8]>> {
    let found = info(program)?;
    let mut instructions = vec![[0_u8; 8]; found.xlated_len as usize / 8];
    let mut filled = ProgInfo {
        xlated_len: found.xlated_len,
        xlated: instructions.as_mut_ptr() as u64,
        ..ProgInfo::default()
    };
    object_info(program, &mut filled)?;
    // A pointer that comes back as 0 says that nothing was written.
    if filled.xlated == 0 {
        instructions.clear();
    }
    Ok(instructions)
}
