//! The programs, loaded: two for devices, five for sockets, and two that go over the sockets that there are.

use std::error::Error;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::thread;

use aya::programs::{Program, ProgramError, ProgramFd, SchedClassifier};
use aya::{Btf, Ebpf};
use enforcer_common::maps::Direction;

use super::pins::Pins;
use super::socket_hook::SocketHook;
use super::{query, sys};
use tracing::debug;

use crate::datapath::DatapathError;

/// The programs, each by its pin.
#[derive(Debug)]
pub(super) struct Programs {
    /// By direction, as in [`BOTH`].
    devices: [SchedClassifier; 2],
    /// In the order of [`SocketHook::ALL`], where the kernel takes them.
    sockets: Option<[OwnedFd; SocketHook::ALL.len()]>,
    /// In the order of [`ITERATORS`]; none where the kernel doesn't take them.
    iterators: Vec<OwnedFd>,
    /// Whether they stand beside their predecessors still.
    staged: bool,
}

/// A program's descriptor, for calls that aya has no form for.
pub(super) struct Fd<'a>(BorrowedFd<'a>);

impl AsFd for Fd<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0
    }
}

/// As the object, the pins and `bpftool` have it.
pub(super) const fn name(direction: Direction) -> &'static str {
    match direction {
        Direction::Egress => "enforcer_egress",
        Direction::Ingress => "enforcer_ingress",
    }
}

/// Those that go over sockets, and which.
pub(super) const ITERATORS: [(&str, &str); 2] =
    [("enforcer_earlier_tcp", "tcp"), ("enforcer_earlier_udp", "udp")];

/// Whether the kernel tells its types, which iterators are loaded with (`CONFIG_DEBUG_INFO_BTF`).
fn has_types() -> bool {
    Path::new("/sys/kernel/btf/vmlinux").exists()
}

const BOTH: [Direction; 2] = [Direction::Egress, Direction::Ingress];

/// Its place in [`BOTH`].
const fn place(direction: Direction) -> usize {
    match direction {
        Direction::Egress => 0,
        Direction::Ingress => 1,
    }
}

/// The names of all, in the order of [`Programs::all`].
pub(super) fn names(sockets: bool) -> Vec<&'static str> {
    let at_sockets = SocketHook::ALL.into_iter().filter(|_| sockets).map(SocketHook::program);
    BOTH.into_iter().map(name).chain(at_sockets).chain(iterators(sockets)).collect()
}

fn iterators(sockets: bool) -> impl Iterator<Item = &'static str> {
    let taken = sockets && has_types();
    ITERATORS.into_iter().filter(move |_| taken).map(|(name, _)| name)
}

impl Programs {
    /// Hands them to the kernel, which checks them, and pins them beside their predecessors.
    pub(super) fn load(mut ebpf: Ebpf, pins: &Pins, sockets: bool) -> Result<Self, DatapathError> {
        let names = names(sockets);
        verify(&mut ebpf, &names)?;
        for name in names {
            let loaded = ebpf.program(name).ok_or_else(|| missing(name))?;
            let fd = loaded.fd().map_err(|error| DatapathError::caused(missing(name), error))?;
            pins.stage_program(name, fd).map_err(|error| unpinned(name, error))?;
        }
        Ok(Self { staged: true, ..Self::open(sockets, |name| pins.staged(name))? })
    }

    /// Takes those that are pinned. Whether they are what would be loaded is for [`super::made`] to say.
    pub(super) fn adopt(pins: &Pins, sockets: bool) -> Result<Self, DatapathError> {
        Self::open(sockets, |name| pins.program(name))
    }

    fn open(sockets: bool, pin: impl Fn(&str) -> PathBuf) -> Result<Self, DatapathError> {
        let device = |direction| {
            let name = name(direction);
            SchedClassifier::from_pin(pin(name)).map_err(|error| unopened(name, error))
        };
        let other = |name: &str| sys::open_pin(&pin(name)).map_err(|error| unopened(name, error));
        let [out, into] = BOTH;
        let devices = [device(out)?, device(into)?];
        let [a, b, c, d, e] = SocketHook::ALL.map(SocketHook::program);
        let at_sockets = || Ok([other(a)?, other(b)?, other(c)?, other(d)?, other(e)?]);
        let iterators = iterators(sockets).map(other).collect::<Result<_, _>>()?;
        let sockets = if sockets { Some(at_sockets()?) } else { None };
        Ok(Self { devices, sockets, iterators, staged: false })
    }

    /// They run where their predecessors did: they take their places among the pins too, where they aren't the same. Whether they did.
    pub(super) fn settle(&mut self, pins: &Pins) -> Result<bool, DatapathError> {
        let staged = std::mem::take(&mut self.staged);
        let names = if staged { names(self.has_sockets()) } else { Vec::new() };
        let settled = names
            .into_iter()
            .try_for_each(|name| pins.commit_program(name).map_err(|error| unpinned(name, error)));
        settled.map(|()| staged)
    }

    /// All of them, by name.
    pub(super) fn all(&self) -> Result<Vec<(&'static str, Fd<'_>)>, DatapathError> {
        let mut all = Vec::new();
        for direction in BOTH {
            all.push((name(direction), self.fd(direction)?));
        }
        let at_sockets = SocketHook::ALL.into_iter().zip(self.sockets.iter().flatten());
        all.extend(at_sockets.map(|(hook, program)| (hook.program(), Fd(program.as_fd()))));
        let iterators = ITERATORS.into_iter().zip(&self.iterators);
        all.extend(iterators.map(|((name, _), program)| (name, Fd(program.as_fd()))));
        Ok(all)
    }

    /// Whether packets can be judged at sockets.
    pub(super) const fn has_sockets(&self) -> bool {
        self.sockets.is_some()
    }

    /// The descriptor of one for sockets.
    pub(super) fn socket_fd(&self, hook: SocketHook) -> Result<Fd<'_>, DatapathError> {
        let mut all = SocketHook::ALL.into_iter().zip(self.sockets.iter().flatten());
        let found = all.find(|(known, _)| *known == hook).map(|(_, program)| Fd(program.as_fd()));
        found.ok_or_else(|| {
            DatapathError::new("this kernel doesn't take programs for sockets")
                .with_help("units, cgroups and the host itself can be held from Linux 5.15 on")
        })
    }

    /// The number in the kernel of one for sockets.
    pub(super) fn socket_id(&self, hook: SocketHook) -> Result<u32, DatapathError> {
        number(&self.socket_fd(hook)?)
    }

    /// Goes over every socket of this network namespace, once.
    pub(super) fn visit_sockets(&self) -> Result<(), DatapathError> {
        if self.iterators.is_empty() {
            return Err(DatapathError::new("this kernel doesn't tell its types (CONFIG_DEBUG_INFO_BTF)"));
        }
        for ((name, _), program) in ITERATORS.into_iter().zip(&self.iterators) {
            sys::run_iterator(program.as_fd())
                .map_err(|error| DatapathError::caused(format_args!("cannot run `{name}`"), error))?;
        }
        Ok(())
    }

    /// Its number in the kernel.
    pub(super) fn id(&self, direction: Direction) -> Result<u32, DatapathError> {
        number(&self.fd(direction)?)
    }

    /// One of them, to attach.
    pub(super) const fn classifier(&mut self, direction: Direction) -> &mut SchedClassifier {
        &mut self.devices[place(direction)]
    }

    /// One of them, to look at or to run.
    pub(super) const fn shared(&self, direction: Direction) -> &SchedClassifier {
        &self.devices[place(direction)]
    }

    /// Its descriptor.
    pub(super) fn fd(&self, direction: Direction) -> Result<Fd<'_>, DatapathError> {
        descriptor(self.shared(direction).fd(), name(direction))
    }
}

fn descriptor<'a>(fd: Result<&'a ProgramFd, ProgramError>, name: &str) -> Result<Fd<'a>, DatapathError> {
    fd.map(|fd| Fd(fd.as_fd())).map_err(|error| unopened(name, error))
}

/// The kernel's check takes some 100 ms for each, which is most of the daemon's first start: it does several at once.
fn verify(ebpf: &mut Ebpf, wanted: &[&str]) -> Result<(), DatapathError> {
    let found: Vec<_> = ebpf.programs_mut().filter(|(name, _)| wanted.contains(name)).collect();
    if let Some(name) = wanted.iter().find(|name| found.iter().all(|(found, _)| found != *name)) {
        return Err(missing(name));
    }
    let needs_types = found.iter().any(|(_, program)| matches!(program, Program::Iter(_)));
    let types = needs_types.then(Btf::from_sys_fs);
    let load = |name: &str, program: &mut Program| match program {
        Program::SchedClassifier(program) => program.load().map_err(|error| refused(name, error)),
        Program::CgroupSkb(program) => program.load().map_err(|error| refused(name, error)),
        Program::CgroupSock(program) => program.load().map_err(|error| refused(name, error)),
        Program::Iter(program) => match (ITERATORS.iter().find(|(known, _)| *known == name), &types) {
            (Some((_, sockets)), Some(Ok(types))) => {
                program.load(sockets, types).map_err(|error| refused(name, error))
            }
            (_, Some(Err(error))) => {
                Err(DatapathError::caused("cannot read the kernel's types", error.to_string()))
            }
            _ => Err(missing(name)),
        },
        _ => Err(missing(name)),
    };
    thread::scope(|scope| {
        let loading: Vec<_> =
            found.into_iter().map(|(name, program)| scope.spawn(move || load(name, program))).collect();
        let loaded = loading.into_iter().map(|one| one.join().unwrap_or_else(|panic| resume_unwind(panic)));
        // All of them end before any of their errors is told.
        loaded.collect::<Vec<_>>().into_iter().collect()
    })
}

/// The verifier tells its whole way through the program; the end of it says why.
fn refused(name: &str, error: ProgramError) -> DatapathError {
    const LINES: usize = 4;
    let message = format!("the kernel refuses `{name}`");
    let ProgramError::LoadError { io_error, verifier_log } = error else {
        return DatapathError::caused(message, error);
    };
    let log = verifier_log.to_string();
    debug!(program = name, %log, "the verifier's log");
    let lines: Vec<&str> = log.lines().filter(|line| !line.trim().is_empty()).collect();
    let end = lines[lines.len().saturating_sub(LINES)..].join("; ");
    if end.is_empty() {
        return DatapathError::caused(message, io_error);
    }
    // Without the error's number: the verifier's EACCES has nothing to do with privileges.
    DatapathError::new(format_args!("{message}: {end}"))
        .with_help("please report this, with the kernel's version")
}

fn number(program: &Fd<'_>) -> Result<u32, DatapathError> {
    let id = query::id(program.as_fd());
    id.map_err(|error| DatapathError::caused("cannot ask for a program's number", error))
}

fn unpinned(name: &str, error: std::io::Error) -> DatapathError {
    DatapathError::caused(format_args!("cannot pin `{name}`"), error)
}

fn unopened(name: &str, error: impl Into<Box<dyn Error + Send + Sync>>) -> DatapathError {
    DatapathError::caused(format_args!("cannot open the pin of `{name}`"), error)
}

fn missing(name: &str) -> DatapathError {
    DatapathError::new(format_args!("the object has no program `{name}`"))
}
