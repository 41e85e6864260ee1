//! What another tool with root's rights can do to what the enforcer made: calls of bpf(2) of its own.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use enforcer_common::maps::Control;

const MAP_LOOKUP: libc::c_int = 1;
const MAP_UPDATE: libc::c_int = 2;
const MAP_DELETE: libc::c_int = 3;
const MAP_NEXT_KEY: libc::c_int = 4;
const PROG_LOAD: libc::c_int = 5;
const OBJ_PIN: libc::c_int = 6;
const OBJ_GET: libc::c_int = 7;
const PROG_BY_ID: libc::c_int = 13;
const MAP_BY_ID: libc::c_int = 14;
const OBJ_INFO: libc::c_int = 15;
const PROG_QUERY: libc::c_int = 16;
const RAW_TRACEPOINT_OPEN: libc::c_int = 17;
const BTF_LOAD: libc::c_int = 18;
const MAP_FREEZE: libc::c_int = 22;
const LINK_CREATE: libc::c_int = 28;
const LINK_UPDATE: libc::c_int = 29;
const LINK_BY_ID: libc::c_int = 30;
const LINK_DETACH: libc::c_int = 34;

const TCX_INGRESS: u32 = 46;
const TCX_EGRESS: u32 = 47;
const XDP: u32 = 37;
const BEFORE: u32 = 1 << 3;
/// Behind the driver, where every device has XDP.
const XDP_SKB_MODE: u32 = 1 << 1;
const SCHED_CLS: u32 = 3;
const XDP_PROGRAM: u32 = 6;
const CGROUP_SKB: u32 = 8;
const EXTENSION: u32 = 28;

/// As linux/bpf.h has it for loading programs.
#[repr(C)]
#[derive(Default)]
struct Load {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log: [u64; 2],
    kernel: [u32; 2],
    name: [u8; 16],
    ifindex: u32,
    attach_type: u32,
    btf: u32,
    function_size: u32,
    functions: u64,
    function_count: u32,
    line_size: u32,
    lines: u64,
    line_count: u32,
    target_function: u32,
    target: u32,
    padding: u32,
}

fn bpf<T>(command: libc::c_int, mut attributes: T) -> io::Result<libc::c_long> {
    // SAFETY: the callers below lay the attributes out as linux/bpf.h has them, and what they point to outlives the call.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut attributes, size_of::<T>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// How many programs judge what a cgroup's sockets send, or receive.
pub fn programs_at(cgroup: &Path, egress: bool) -> io::Result<u32> {
    let cgroup = std::fs::File::open(cgroup)?;
    count(cgroup.as_raw_fd().cast_unsigned(), egress.into())
}

/// How many programs are run when a cgroup's sockets are made, and when they are bound to an address of either family.
pub fn programs_at_birth(cgroup: &Path) -> io::Result<[u32; 3]> {
    // `enum bpf_attach_type` of linux/bpf.h.
    const MADE: u32 = 2;
    const BOUND4: u32 = 12;
    const BOUND6: u32 = 13;
    let cgroup = std::fs::File::open(cgroup)?;
    let count = |hook| count(cgroup.as_raw_fd().cast_unsigned(), hook);
    Ok([count(MADE)?, count(BOUND4)?, count(BOUND6)?])
}

/// How many programs a device has on what it hands to the host, or on what is handed to it; filters of its qdiscs aside.
pub fn programs_on(ifindex: u32, ingress: bool) -> io::Result<u32> {
    count(ifindex, if ingress { TCX_INGRESS } else { TCX_EGRESS })
}

fn count(target: u32, attach_type: u32) -> io::Result<u32> {
    /// As linux/bpf.h has it for a query, which leaves the number of programs in it.
    #[repr(C)]
    #[derive(Default)]
    struct Query {
        target: u32,
        attach_type: u32,
        flags: [u32; 2],
        programs: u64,
        count: u32,
        padding: u32,
        more: [u64; 4],
    }
    let mut query = Query { target, attach_type, ..Query::default() };
    // SAFETY: the attributes are laid out as the kernel wants them, and it is given no room for programs' numbers.
    let result = unsafe { libc::syscall(libc::SYS_bpf, PROG_QUERY, &raw mut query, size_of::<Query>()) };
    match io::Error::last_os_error() {
        _ if result >= 0 => Ok(query.count),
        // Nothing was ever attached there.
        error if error.kind() == io::ErrorKind::NotFound => Ok(0),
        error => Err(error),
    }
}

/// What the kernel gives numbers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A program.
    Program,
    /// A map.
    Map,
    /// A link between a program and where it runs.
    Link,
}

impl Kind {
    /// Whether there is one of this number.
    pub fn has(self, number: u32) -> io::Result<bool> {
        let command = match self {
            Self::Program => PROG_BY_ID,
            Self::Map => MAP_BY_ID,
            Self::Link => LINK_BY_ID,
        };
        match Object::of(bpf(command, [number, 0, 0, 0])) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// A map, program or link, held open.
#[derive(Debug)]
pub struct Object(OwnedFd);

impl Object {
    fn of(result: io::Result<libc::c_long>) -> io::Result<Self> {
        // SAFETY: the kernel has just made this descriptor for us.
        result.map(|fd| Self(unsafe { OwnedFd::from_raw_fd(fd as i32) }))
    }

    /// What is pinned there.
    pub fn open(pin: &Path) -> io::Result<Self> {
        let path = CString::new(pin.as_os_str().as_bytes())?;
        Self::of(bpf(OBJ_GET, (path.as_ptr() as u64, 0_u64)))
    }

    /// Pins it there as well.
    pub fn pin(&self, at: &Path) -> io::Result<()> {
        let path = CString::new(at.as_os_str().as_bytes())?;
        bpf(OBJ_PIN, (path.as_ptr() as u64, self.fd(), 0_u32)).map(drop)
    }

    /// Its number in the kernel.
    pub fn id(&self) -> io::Result<u32> {
        // Of programs, maps and links alike: what it is, and its number.
        let mut info = [0_u32; 64];
        let attributes = (self.fd(), size_of_val(&info) as u32, info.as_mut_ptr() as u64);
        bpf(OBJ_INFO, attributes).map(|_| info[1])
    }

    /// A classifier that returns this and does nothing else.
    pub fn classifier(returns: i32, name: &str) -> io::Result<Self> {
        Self::program(returns, name, Load { kind: SCHED_CLS, ..Load::default() })
    }

    /// The same for XDP.
    pub fn xdp(returns: i32, name: &str) -> io::Result<Self> {
        Self::program(returns, name, Load { kind: XDP_PROGRAM, ..Load::default() })
    }

    /// A program for sockets that returns this: 1 lets packets pass.
    pub fn at_sockets(returns: i32, name: &str) -> io::Result<Self> {
        Self::program(returns, name, Load { kind: CGROUP_SKB, ..Load::default() })
    }

    /// A program in place of a function of `target` that takes four numbers and returns one, running at once.
    pub fn extension(target: &Self, returns: i32, name: &str) -> io::Result<Self> {
        let types = four_numbers();
        let types = Self::of(bpf(BTF_LOAD, (types.as_ptr() as u64, 0_u64, types.len() as u32, 0_u32)))?;
        let function = [0_u32, FUNCTION];
        let mut made = Err(io::Error::other("the target has no functions"));
        // Which of the target's functions that is, the kernel tells by refusing all others.
        for target_function in target.functions()? {
            let load = Load {
                kind: EXTENSION,
                btf: types.fd(),
                function_size: size_of_val(&function) as u32,
                functions: function.as_ptr() as u64,
                function_count: 1,
                target_function,
                target: target.fd(),
                ..Load::default()
            };
            made = Self::program(returns, name, load);
            if made.is_ok() {
                break;
            }
        }
        let made = made?;
        Self::of(bpf(RAW_TRACEPOINT_OPEN, (0_u64, made.fd(), 0_u32)))
    }

    fn program(returns: i32, name: &str, load: Load) -> io::Result<Self> {
        let [a, b, c, d] = returns.to_ne_bytes();
        // r0 = returns; exit
        let instructions = [[0xb7, 0, 0, 0, a, b, c, d], [0x95, 0, 0, 0, 0, 0, 0, 0]];
        let mut padded = [0; 16];
        padded[..name.len()].copy_from_slice(name.as_bytes());
        let (instructions, license) = (&instructions, c"GPL".as_ptr() as u64);
        Self::of(bpf(
            PROG_LOAD,
            Load { count: 2, instructions: instructions.as_ptr() as u64, license, name: padded, ..load },
        ))
    }

    /// The numbers that a program's type information has for its functions.
    fn functions(&self) -> io::Result<Vec<u32>> {
        /// Of `struct bpf_prog_info`, in words of 8 bytes: where the functions' records are to go, and how many there are.
        const RECORDS: usize = 17;
        const COUNT: usize = 18;
        let ask = |info: &mut [u64; 32]| {
            bpf(OBJ_INFO, (self.fd(), size_of_val(info) as u32, info.as_mut_ptr() as u64)).map(drop)
        };
        let mut info = [0; 32];
        ask(&mut info)?;
        let size = info[RECORDS - 1] >> 32;
        let count = info[COUNT] & 0xffff_ffff;
        let mut records = vec![0_u32; (count * size) as usize / 4];
        let mut info = [0; 32];
        info[RECORDS - 1] = size << 32;
        info[RECORDS] = records.as_mut_ptr() as u64;
        info[COUNT] = count;
        ask(&mut info)?;
        // Each begins with the instruction, then the type.
        Ok(records.chunks(size as usize / 4).map(|record| record[1]).collect())
    }

    /// Puts an XDP program on a device.
    pub fn run_xdp(&self, ifindex: u32) -> io::Result<Self> {
        Self::of(bpf(LINK_CREATE, [self.fd(), ifindex, XDP, XDP_SKB_MODE, 0, 0, 0, 0]))
    }

    /// Puts a program before all others on a device. Which end of it: what it hands to the host, or what is handed to it.
    pub fn run_first(&self, ifindex: u32, ingress: bool) -> io::Result<Self> {
        let side = if ingress { TCX_INGRESS } else { TCX_EGRESS };
        Self::of(bpf(LINK_CREATE, [self.fd(), ifindex, side, BEFORE, 0, 0, 0, 0]))
    }

    /// Takes a link off its device.
    pub fn detach(&self) -> io::Result<()> {
        bpf(LINK_DETACH, self.fd()).map(drop)
    }

    /// Puts another program into a link.
    pub fn put(&self, program: &Self) -> io::Result<()> {
        bpf(LINK_UPDATE, [self.fd(), program.fd(), 0, 0]).map(drop)
    }

    /// Writes an entry of a map. Key and value have to be as long as the map's.
    pub fn write(&self, key: &[u8], value: &[u8]) -> io::Result<()> {
        bpf(MAP_UPDATE, [u64::from(self.fd()), key.as_ptr() as u64, value.as_ptr() as u64, 0]).map(drop)
    }

    /// An entry of a map whose values are this long.
    pub fn read(&self, key: &[u8], length: usize) -> io::Result<Vec<u8>> {
        let mut value = vec![0; length];
        bpf(MAP_LOOKUP, [u64::from(self.fd()), key.as_ptr() as u64, value.as_mut_ptr() as u64, 0])?;
        Ok(value)
    }

    /// What the control word says, of the map that holds it.
    pub fn control(&self) -> io::Result<Control> {
        let word = self.read(&0_u32.to_ne_bytes(), size_of::<u64>())?;
        Ok(Control(word.try_into().map_or(0, u64::from_ne_bytes)))
    }

    /// Takes an entry out of a map.
    pub fn delete(&self, key: &[u8]) -> io::Result<()> {
        bpf(MAP_DELETE, [u64::from(self.fd()), key.as_ptr() as u64, 0, 0]).map(drop)
    }

    /// The first key of a map whose keys are this long.
    pub fn first_key(&self, length: usize) -> io::Result<Vec<u8>> {
        let mut key = vec![0; length];
        bpf(MAP_NEXT_KEY, [u64::from(self.fd()), 0, key.as_mut_ptr() as u64, 0])?;
        Ok(key)
    }

    /// Every key of a map whose keys are this long.
    pub fn keys(&self, length: usize) -> io::Result<Vec<Vec<u8>>> {
        let mut keys: Vec<Vec<u8>> = Vec::new();
        loop {
            let (mut next, before) = (vec![0; length], keys.last().map_or(0, |key| key.as_ptr() as u64));
            match bpf(MAP_NEXT_KEY, [u64::from(self.fd()), before, next.as_mut_ptr() as u64, 0]) {
                Ok(_) => keys.push(next),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(keys),
                Err(error) => return Err(error),
            }
        }
    }

    /// Forbids all further writes to a map from userspace.
    pub fn freeze(&self) -> io::Result<()> {
        bpf(MAP_FREEZE, self.fd()).map(drop)
    }

    fn fd(&self) -> u32 {
        self.0.as_raw_fd().cast_unsigned()
    }
}

/// The number of the function in [`four_numbers`].
const FUNCTION: u32 = 3;

/// Type information (BTF) of one function: `u32 f(u32 a, u32 a, u32 a, u32 a)`.
fn four_numbers() -> Vec<u8> {
    const MAGIC: u32 = 0x1_eb9f;
    let (number, prototype, function) = (1 << 24, 13 << 24, 12 << 24);
    let names = b"\0u32\0a\0f\0";
    let [u32_name, argument, function_name] = [1_u32, 5, 7];
    let mut types = vec![u32_name, number, 4, 32, 0, prototype | 4, 1];
    types.extend([argument, 1].repeat(4));
    types.extend([function_name, function | 1, 2]);
    let length = size_of_val(&types[..]) as u32;
    let header = [MAGIC, 24, 0, length, length, names.len() as u32];
    header.iter().chain(&types).flat_map(|word| word.to_ne_bytes()).chain(*names).collect()
}
