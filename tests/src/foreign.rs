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
const OBJ_GET: libc::c_int = 7;
const MAP_FREEZE: libc::c_int = 22;
const LINK_CREATE: libc::c_int = 28;
const LINK_UPDATE: libc::c_int = 29;
const LINK_DETACH: libc::c_int = 34;

const TCX_INGRESS: u32 = 46;
const TCX_EGRESS: u32 = 47;
const BEFORE: u32 = 1 << 3;
const SCHED_CLS: u32 = 3;

fn bpf<T>(command: libc::c_int, mut attributes: T) -> io::Result<libc::c_long> {
    // SAFETY: the callers below lay the attributes out as linux/bpf.h has them, and what they point to outlives the call.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut attributes, size_of::<T>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
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

    /// A classifier that returns this and does nothing else.
    pub fn classifier(returns: i32, name: &str) -> io::Result<Self> {
        #[repr(C)]
        struct Load {
            kind: u32,
            count: u32,
            instructions: u64,
            license: u64,
            log: [u64; 2],
            kernel: [u32; 2],
            name: [u8; 16],
        }
        let [a, b, c, d] = returns.to_ne_bytes();
        // r0 = returns; exit
        let instructions = [[0xb7, 0, 0, 0, a, b, c, d], [0x95, 0, 0, 0, 0, 0, 0, 0]];
        let mut padded = [0; 16];
        padded[..name.len()].copy_from_slice(name.as_bytes());
        let load = Load {
            kind: SCHED_CLS,
            count: 2,
            instructions: instructions.as_ptr() as u64,
            license: c"GPL".as_ptr() as u64,
            log: [0; 2],
            kernel: [0; 2],
            name: padded,
        };
        Self::of(bpf(PROG_LOAD, load))
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

    /// Forbids all further writes to a map from userspace.
    pub fn freeze(&self) -> io::Result<()> {
        bpf(MAP_FREEZE, self.fd()).map(drop)
    }

    fn fd(&self) -> u32 {
        self.0.as_raw_fd().cast_unsigned()
    }
}
