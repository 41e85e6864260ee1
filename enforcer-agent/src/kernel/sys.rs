//! The calls of bpf(2) that aya has no form for: batches of map entries, and links by interface index.
//!
//! aya attaches by interface name only. A name can change hands between looking it up and attaching, an index can't.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use aya::Pod;

/// The kernel's `ENOTSUPP`, which libc doesn't know: this map type has no batches.
const ENOTSUPP: i32 = 524;

/// Commands of bpf(2).
#[derive(Clone, Copy)]
pub(super) enum Command {
    MapCreate = 0,
    MapUpdate = 2,
    ProgLoad = 5,
    ObjPin = 6,
    ObjGet = 7,
    ProgGetFdById = 13,
    ObjGetInfo = 15,
    ProgQuery = 16,
    BtfLoad = 18,
    MapFreeze = 22,
    LookupBatch = 24,
    UpdateBatch = 26,
    DeleteBatch = 27,
    LinkCreate = 28,
    LinkUpdate = 29,
    LinkGetFdById = 30,
    LinkGetNextId = 31,
    IterCreate = 33,
    LinkDetach = 34,
}

/// `attr` must be laid out as the kernel's `union bpf_attr` has it for `command`, and what it points at must live.
pub(super) fn bpf<T>(command: Command, attr: &mut T) -> io::Result<i32> {
    // SAFETY: the callers, here and in `query`, pass the structures of linux/bpf.h with pointers into buffers they hold for the call.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command as libc::c_int, attr, size_of::<T>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as i32) }
}

pub(super) fn new_fd(fd: i32) -> OwnedFd {
    // SAFETY: the kernel has just made this descriptor for us; nobody else has it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

#[repr(C)]
#[derive(Default)]
struct BatchAttr {
    in_batch: u64,
    out_batch: u64,
    keys: u64,
    values: u64,
    count: u32,
    map_fd: u32,
    elem_flags: u64,
    flags: u64,
}

/// Whether the kernel has batches for this map, going by the error of one.
pub(super) fn lacks_batches(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(ENOTSUPP | libc::EINVAL | libc::EOPNOTSUPP))
}

/// Writes `keys[i] = values[i]` for all.
pub(super) fn update_batch<K: Pod, V: Pod>(map: BorrowedFd<'_>, keys: &[K], values: &[V]) -> io::Result<()> {
    assert_eq!(keys.len(), values.len(), "one value for each key");
    let mut attr = BatchAttr {
        keys: keys.as_ptr() as u64,
        values: values.as_ptr() as u64,
        count: keys.len() as u32,
        map_fd: map.as_raw_fd() as u32,
        ..BatchAttr::default()
    };
    bpf(Command::UpdateBatch, &mut attr).map(drop)
}

/// Deletes all of `keys`. Stops with `NotFound` at one that isn't there, and says how many it did.
pub(super) fn delete_batch<K: Pod>(map: BorrowedFd<'_>, keys: &[K]) -> (usize, io::Result<()>) {
    let mut attr = BatchAttr {
        keys: keys.as_ptr() as u64,
        count: keys.len() as u32,
        map_fd: map.as_raw_fd() as u32,
        ..BatchAttr::default()
    };
    let result = bpf(Command::DeleteBatch, &mut attr).map(drop);
    (attr.count as usize, result)
}

/// Where a dump stands. Opaque: a bucket number or a key, depending on the map.
#[derive(Default)]
pub(super) struct Cursor {
    position: [u64; 8],
    started: bool,
}

impl Cursor {
    /// A dump of an array that begins at this index.
    pub(super) fn at(index: u32) -> Self {
        let mut cursor = Self::default();
        if let Some(before) = index.checked_sub(1) {
            let mut bytes = [0; 8];
            bytes[..4].copy_from_slice(&before.to_ne_bytes());
            cursor.position[0] = u64::from_ne_bytes(bytes);
            cursor.started = true;
        }
        cursor
    }
}

/// Reads up to `keys.len()` entries on from `cursor`: how many it got, and whether that was the end. `value_bytes` is
/// for `keys.len()` values, as large as the kernel writes them.
pub(super) fn lookup_batch<K: Pod>(
    map: BorrowedFd<'_>,
    cursor: &mut Cursor,
    keys: &mut [K],
    values: *mut u8,
) -> io::Result<(usize, bool)> {
    assert!(size_of::<K>() <= size_of_val(&cursor.position), "a cursor holds any key");
    let position = cursor.position.as_mut_ptr() as u64;
    let mut attr = BatchAttr {
        in_batch: if cursor.started { position } else { 0 },
        out_batch: position,
        keys: keys.as_mut_ptr() as u64,
        values: values as u64,
        count: keys.len() as u32,
        map_fd: map.as_raw_fd() as u32,
        ..BatchAttr::default()
    };
    cursor.started = true;
    match bpf(Command::LookupBatch, &mut attr) {
        Ok(_) => Ok((attr.count as usize, false)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok((attr.count as usize, true)),
        Err(error) => Err(error),
    }
}

#[repr(C)]
#[derive(Default)]
struct PathAttr {
    pathname: u64,
    bpf_fd: u32,
    file_flags: u32,
}

fn c_path(path: &Path) -> io::Result<CString> {
    Ok(CString::new(path.as_os_str().as_bytes())?)
}

/// Opens what is pinned at `path`.
pub(super) fn open_pin(path: &Path) -> io::Result<OwnedFd> {
    let path = c_path(path)?;
    let mut attr = PathAttr { pathname: path.as_ptr() as u64, ..PathAttr::default() };
    bpf(Command::ObjGet, &mut attr).map(new_fd)
}

/// Pins `object` at `path`, which must not exist yet.
pub(super) fn pin(object: impl AsFd, path: &Path) -> io::Result<()> {
    let path = c_path(path)?;
    let bpf_fd = object.as_fd().as_raw_fd() as u32;
    let mut attr = PathAttr { pathname: path.as_ptr() as u64, bpf_fd, file_flags: 0 };
    bpf(Command::ObjPin, &mut attr).map(drop)
}

/// Where on a device a tcx link sits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub(super) enum Side {
    /// What the device hands to the host.
    Ingress = 46,
    /// What the host hands to the device.
    Egress = 47,
}

/// Makes a link on a cgroup, beside all that are on it. Each of them has to let a packet pass, and a process have its socket.
pub(super) fn create_cgroup_link(
    program: BorrowedFd<'_>,
    cgroup: BorrowedFd<'_>,
    attach_type: u32,
) -> io::Result<OwnedFd> {
    create_link(program, cgroup.as_raw_fd() as u32, attach_type, 0)
}

/// Runs an iterator's program once over everything it goes over. It writes nothing into its file.
pub(super) fn run_iterator(program: BorrowedFd<'_>) -> io::Result<()> {
    const BPF_TRACE_ITER: u32 = 28;
    #[repr(C)]
    struct IterAttr {
        link_fd: u32,
        flags: u32,
    }
    let link = create_link(program, 0, BPF_TRACE_ITER, 0)?;
    let mut attr = IterAttr { link_fd: link.as_raw_fd() as u32, flags: 0 };
    let mut file = File::from(bpf(Command::IterCreate, &mut attr).map(new_fd)?);
    io::copy(&mut file, &mut io::sink()).map(drop)
}

/// What the kernel says of a link on a cgroup.
#[repr(C)]
#[derive(Default, Debug)]
pub(super) struct CgroupLinkInfo {
    kind: u32,
    pub(super) id: u32,
    pub(super) program: u32,
    padding: u32,
    /// The cgroup it is on, 0 once that has gone or somebody took it off.
    pub(super) cgroup: u64,
    attach_type: u32,
    padding2: u32,
    rest: [u64; 7],
}

/// Asks the kernel about a link on a cgroup.
pub(super) fn cgroup_link_info(link: BorrowedFd<'_>) -> io::Result<CgroupLinkInfo> {
    const BPF_LINK_TYPE_CGROUP: u32 = 3;
    let mut info = CgroupLinkInfo::default();
    object_info(link, &mut info)?;
    if info.kind == BPF_LINK_TYPE_CGROUP { Ok(info) } else { Err(io::ErrorKind::InvalidData.into()) }
}

const BPF_F_BEFORE: u32 = 1 << 3;

#[repr(C)]
#[derive(Default)]
struct LinkCreateAttr {
    prog_fd: u32,
    target: u32,
    attach_type: u32,
    flags: u32,
    relative_fd: u32,
    padding: u32,
    expected_revision: u64,
}

/// Makes a tcx link that runs before all that are on the device now.
pub(super) fn create_tcx_link(program: BorrowedFd<'_>, ifindex: u32, side: Side) -> io::Result<OwnedFd> {
    create_link(program, ifindex, side as u32, BPF_F_BEFORE)
}

/// `target` is an interface index or a descriptor, as the kind of attachment wants it.
fn create_link(program: BorrowedFd<'_>, target: u32, attach_type: u32, flags: u32) -> io::Result<OwnedFd> {
    let prog_fd = program.as_raw_fd() as u32;
    let mut attr = LinkCreateAttr { prog_fd, target, attach_type, flags, ..LinkCreateAttr::default() };
    bpf(Command::LinkCreate, &mut attr).map(new_fd)
}

#[repr(C)]
#[derive(Default)]
struct LinkUpdateAttr {
    link_fd: u32,
    new_prog_fd: u32,
    flags: u32,
    old_prog_fd: u32,
}

/// Puts another program into a link, between two packets.
pub(super) fn update_link(link: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    let mut attr = LinkUpdateAttr {
        link_fd: link.as_raw_fd() as u32,
        new_prog_fd: program.as_raw_fd() as u32,
        ..LinkUpdateAttr::default()
    };
    bpf(Command::LinkUpdate, &mut attr).map(drop)
}

/// Takes a link off what it is on, at once; closing its last descriptor does so only some time later. It may be off already.
pub(super) fn detach_link(link: BorrowedFd<'_>) -> io::Result<()> {
    let mut attr = link.as_raw_fd() as u32;
    match bpf(Command::LinkDetach, &mut attr) {
        Err(error) if error.raw_os_error() != Some(libc::ENOLINK) => Err(error),
        _ => Ok(()),
    }
}

/// The same of a link that is held, or else of the one that is pinned there, whose pin goes as well.
pub(super) fn detach_pinned(pin: &Path, held: Option<BorrowedFd<'_>>) -> io::Result<()> {
    match held {
        Some(held) => detach_link(held)?,
        None => detach_link(open_pin(pin)?.as_fd())?,
    }
    std::fs::remove_file(pin)
}

/// What the kernel says of a link: the head of `struct bpf_link_info`, with what it has for tcx.
#[repr(C)]
#[derive(Default, Debug)]
pub(super) struct LinkInfo {
    kind: u32,
    /// Its own number.
    pub(super) id: u32,
    /// The program in it.
    pub(super) program: u32,
    padding: u32,
    /// The device it is on, 0 once that has gone.
    pub(super) ifindex: u32,
    attach_type: u32,
    rest: [u64; 8],
}

#[repr(C)]
struct InfoAttr {
    bpf_fd: u32,
    info_len: u32,
    info: u64,
}

/// Asks the kernel about a program or link. `T` is the head of the `struct bpf_…_info` of its kind: plain data, as long as the kernel may fill.
pub(super) fn object_info<T>(object: BorrowedFd<'_>, info: &mut T) -> io::Result<()> {
    let mut attr = InfoAttr {
        bpf_fd: object.as_raw_fd() as u32,
        info_len: size_of::<T>() as u32,
        info: std::ptr::from_mut(info) as u64,
    };
    bpf(Command::ObjGetInfo, &mut attr).map(drop)
}

/// Asks the kernel about a tcx link.
pub(super) fn link_info(link: BorrowedFd<'_>) -> io::Result<LinkInfo> {
    const BPF_LINK_TYPE_TCX: u32 = 11;
    let mut info = LinkInfo::default();
    object_info(link, &mut info)?;
    if info.kind == BPF_LINK_TYPE_TCX { Ok(info) } else { Err(io::ErrorKind::InvalidData.into()) }
}

#[repr(C)]
#[derive(Default)]
struct ProgLoadAttr {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    rest: [u64; 8],
}

/// Loads a program for devices, or for sockets, that lets everything on and does nothing else.
pub(super) fn load_empty(socket: bool) -> io::Result<OwnedFd> {
    const BPF_PROG_TYPE_SCHED_CLS: u32 = 3;
    const BPF_PROG_TYPE_CGROUP_SKB: u32 = 8;
    // r0 = TC_ACT_UNSPEC, or 1; exit
    let answer: u64 = if socket { 1 } else { 0xffff_ffff };
    let instructions: [u64; 2] = if cfg!(target_endian = "little") {
        [answer << 32 | 0xb7, 0x95]
    } else {
        [0xb7 << 56 | answer, 0x95 << 56]
    };
    let mut attr = ProgLoadAttr {
        prog_type: if socket { BPF_PROG_TYPE_CGROUP_SKB } else { BPF_PROG_TYPE_SCHED_CLS },
        insn_cnt: instructions.len() as u32,
        insns: instructions.as_ptr() as u64,
        license: c"GPL".as_ptr() as u64,
        ..ProgLoadAttr::default()
    };
    bpf(Command::ProgLoad, &mut attr).map(new_fd)
}

/// Waits until no packet that was under way when it was called still is; `false` where the kernel won't say.
pub(super) fn wait_for_packets() -> bool {
    const MEMBARRIER_CMD_GLOBAL: libc::c_int = 1;
    // The kernel implements it as an RCU grace period, and programs run inside RCU read sections.
    // SAFETY: takes no pointers.
    unsafe { libc::syscall(libc::SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) == 0 }
}
