//! What the kernel says of programs: which run on a device and in which order, and what one is made of.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use super::sys::{Command, InfoAttr, Side, bpf, new_fd};

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

/// Opens a program by its id.
pub(super) fn program(id: u32) -> io::Result<OwnedFd> {
    // The id, and two fields that are zero for programs.
    let mut attr = [id, 0, 0];
    bpf(Command::ProgGetFdById, &mut attr).map(new_fd)
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

fn info(program: BorrowedFd<'_>, info: &mut ProgInfo) -> io::Result<()> {
    let mut attr = InfoAttr {
        bpf_fd: program.as_raw_fd() as u32,
        info_len: size_of::<ProgInfo>() as u32,
        info: std::ptr::from_mut(info) as u64,
    };
    bpf(Command::ObjGetInfo, &mut attr).map(drop)
}

/// A program's id.
pub(super) fn id(program: BorrowedFd<'_>) -> io::Result<u32> {
    let mut found = ProgInfo::default();
    info(program, &mut found)?;
    Ok(found.id)
}

/// A program's name, as it was given when it was loaded.
pub(super) fn name(program: BorrowedFd<'_>) -> io::Result<String> {
    let mut found = ProgInfo::default();
    info(program, &mut found)?;
    let name = CStr::from_bytes_until_nul(&found.name).unwrap_or_default();
    Ok(name.to_string_lossy().into_owned())
}

/// A program's instructions as the verifier left them; none where the kernel won't show them.
pub(super) fn instructions(program: BorrowedFd<'_>) -> io::Result<Vec<[u8; 8]>> {
    let mut found = ProgInfo::default();
    info(program, &mut found)?;
    let mut instructions = vec![[0_u8; 8]; found.xlated_len as usize / 8];
    let mut filled = ProgInfo {
        xlated_len: found.xlated_len,
        xlated: instructions.as_mut_ptr() as u64,
        ..ProgInfo::default()
    };
    info(program, &mut filled)?;
    // A pointer that comes back as 0 says that nothing was written.
    if filled.xlated == 0 {
        instructions.clear();
    }
    Ok(instructions)
}
