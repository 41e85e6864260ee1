//! From an object and what is pinned to a running packet path.

use std::borrow::Cow;
use std::error::Error;
use std::io;

use aya::EbpfLoader;
use aya::maps::RingBuf;
use aya::util::KernelVersion;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

use super::birthplaces::Birthplaces;
use super::config::KernelConfig;
use super::failsafe::Paths;
use super::guard::Guard;
use super::guard::hooks::Hooks;
use super::guard::left::Found;
use super::install::Banks;
use super::made::{self, Origin};
use super::pins::Pins;
use super::programs::Programs;
use super::sockets::Sockets;
use super::tables::{Tables, take};
use super::{Kernel, attach, carry, layout, object};
use crate::datapath::DatapathError;

/// The first kernel with tcx.
const TCX_SINCE: KernelVersion = KernelVersion::new(6, 6, 0);
/// The first kernel in which a socket's cgroup is its own whatever cgroup v1 does with it (before, the use of `net_cls` takes it away). Since 5.12
/// programs can exchange two values in one instruction, which those at sockets have to.
pub(super) const SOCKETS_SINCE: KernelVersion = KernelVersion::new(5, 15, 0);
/// The first kernel that accounts maps to memory cgroups rather than to `RLIMIT_MEMLOCK`.
const NO_MEMLOCK_SINCE: KernelVersion = KernelVersion::new(5, 11, 0);
/// The first kernel that lets programs read the coarse clock.
const COARSE_CLOCK_SINCE: KernelVersion = KernelVersion::new(5, 11, 0);

pub(super) fn open(config: &KernelConfig) -> Result<Kernel, DatapathError> {
    let object = object_of(config)?;
    let shapes = layout::shapes(&object, config)?;
    let pins = Pins::open(&config.bpffs, layout::version(&shapes)).map_err(explain)?;
    let version = running()?;
    lift_limits(version);
    let constants = constants(version)?;
    // Every hook is held open, two for each device. Where there is no more to be had, attaching says so.
    let files = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: files.maximum, ..files });
    let sockets_judge = version >= SOCKETS_SINCE;
    let mut loader = EbpfLoader::new();
    for (name, value) in &constants {
        loader.override_global(name, &value[..], true);
    }
    let names: Vec<String> = shapes.iter().map(|(name, _)| name.clone()).collect();
    for name in &names {
        loader.map_pin_path(name, pins.map(name));
        if let Some(entries) = config.entries(name) {
            loader.map_max_entries(name, entries);
        }
    }
    let left = Found::of(&pins, &names).unwrap_or_else(untold);
    let banks = if pins.has_no_maps()? { Banks::empty() } else { Banks::default() };
    carry::share(&pins, &shapes)?;
    let loaded = loader.load(&object);
    let mut ebpf =
        loaded.map_err(|error| explain(DatapathError::caused("cannot load the kernel programs", error)))?;
    #[cfg(feature = "kernel-log")]
    super::debug_lines::forward(&mut ebpf)?;
    let mut tables = Tables::take(&mut ebpf)?;
    tables.control.begin_above(carry::highest_epoch(&pins)?);
    // The last daemon may have been killed when it had changed whose cgroups are, and hadn't said so.
    tables.control.reown()?;
    let ring = take::<RingBuf<_>>(&mut ebpf, "EVENTS")?;
    let birthplaces = Birthplaces::new(take(&mut ebpf, "EARLIER")?);
    let origin = Origin::of(&object, &[u8::from(version >= COARSE_CLOCK_SINCE)], sockets_judge);
    let mut programs = match origin.find(&pins, &names) {
        Some(programs) => programs,
        None => {
            made::strike(&pins);
            Programs::load(ebpf, &pins, sockets_judge).map_err(explain)?
        }
    };
    let mut sockets = Sockets::new(birthplaces);
    let mut hooks = Hooks::default();
    // Programs that would read tables which were only just made wait for the first generation in them.
    let behind = tables.control.read()?.epoch() == 0 || !left.missing.is_empty();
    let pending = left.faults(&tables, &programs).unwrap_or_else(untold);
    if !behind {
        attach::upgrade(&pins, &mut hooks, &mut programs)?;
        sockets.upgrade(&pins, &programs)?;
    }
    if programs.settle(&pins)? {
        origin.settle(&pins, &programs)?;
    }
    let guard = Guard::new(hooks, sockets, &pins, names, pending)?;
    let tcx = config.tcx.unwrap_or(version >= TCX_SINCE);
    if tables.control.read()?.is_changing() {
        warn!(
            "the last daemon was stopped while it changed the tables in place: part of that change is in force until the next generation"
        );
    }
    Ok(Kernel {
        pins,
        programs,
        tables,
        banks,
        guard,
        shares: None,
        failsafe: Paths::new(),
        ring: Some(ring),
        tcx,
        behind,
    })
}

/// Not to know what was changed while no daemon ran is no reason not to run.
fn untold<T: Default>(error: DatapathError) -> T {
    warn!(error = &error as &dyn Error, "cannot tell what was changed while no daemon ran");
    T::default()
}

/// What the programs are told before they are loaded, by the names of their constants.
pub(super) fn constants(version: KernelVersion) -> Result<[(&'static str, Vec<u8>); 2], DatapathError> {
    let coarse_clock = u8::from(version >= COARSE_CLOCK_SINCE);
    Ok([("COARSE_CLOCK", vec![coarse_clock]), ("MARK", mark()?.to_ne_bytes().to_vec())])
}

/// What the programs mark their own answers with; nobody else should know, because what carries it isn't judged.
fn mark() -> Result<u32, DatapathError> {
    let mut bytes = [0; 4];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        .map_err(|error| DatapathError::caused("cannot draw a number", error))?;
    // 0 would be the mark of every packet.
    Ok(u32::from_ne_bytes(bytes).max(1))
}

/// The running kernel.
pub(super) fn running() -> Result<KernelVersion, DatapathError> {
    KernelVersion::current()
        .map_err(|error| DatapathError::caused("cannot tell the kernel's version", error.to_string()))
}

/// Makes room for maps on kernels that count them to the process.
pub(super) fn lift_limits(version: KernelVersion) {
    if version < NO_MEMLOCK_SINCE {
        // Where even root may not, loading says so.
        let _ = setrlimit(Resource::Memlock, Rlimit { current: None, maximum: None });
    }
}

pub(super) fn object_of(config: &KernelConfig) -> Result<Cow<'_, [u8]>, DatapathError> {
    match &config.object {
        Some(object) => Ok(Cow::Borrowed(object)),
        None => match object::object() {
            Ok(object) => Ok(Cow::Borrowed(object)),
            Err(error) => Err(DatapathError::new(error).with_help(error.help())),
        },
    }
}

/// Adds what to do about the errors that the surroundings cause.
fn explain(error: DatapathError) -> DatapathError {
    if error.help().is_some() {
        return error;
    }
    match system_error(&error) {
        Some(libc::EPERM | libc::EACCES) => error.with_help(
            "run as root, or with the capabilities CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON and CAP_SYS_ADMIN",
        ),
        Some(libc::ENOSYS) => error.with_help("this kernel was built without BPF (CONFIG_BPF_SYSCALL)"),
        Some(libc::ENOMEM) => error.with_help("the maps need about 500 MiB; fewer `flows` need less"),
        _ => error,
    }
}

/// The number of the system error at the bottom, if that is what it is.
fn system_error(error: &DatapathError) -> Option<i32> {
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(number) = error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error) {
            return Some(number);
        }
        next = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lack_of_privilege_says_what_is_needed() {
        let denied = io::Error::from_raw_os_error(libc::EPERM);
        let error = explain(DatapathError::caused("cannot load the kernel programs", denied));
        assert!(error.help().unwrap().contains("CAP_BPF"));
        let other = explain(DatapathError::new("no").with_help("as it was"));
        assert_eq!(other.help(), Some("as it was"));
    }
}
