//! The programs, loaded: two for devices, two for sockets.

use std::os::fd::{AsFd, BorrowedFd};
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::thread;

use aya::Ebpf;
use aya::programs::{CgroupSkb, CgroupSkbAttachType, Program, ProgramError, ProgramFd, SchedClassifier};
use enforcer_common::maps::Direction;

use super::pins::Pins;
use super::query;
use tracing::debug;

use crate::datapath::DatapathError;

/// The programs, each by its pin.
#[derive(Debug)]
pub(super) struct Programs {
    /// By direction, as in [`BOTH`].
    devices: [SchedClassifier; 2],
    /// The same at sockets, where the kernel takes them.
    sockets: Option<[CgroupSkb; 2]>,
    /// Whether they stand beside their predecessors still.
    staged: bool,
}

/// A program's descriptor, for calls that aya has no form for.
pub(super) struct Fd<'a>(&'a ProgramFd);

impl AsFd for Fd<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// As the object, the pins and `bpftool` have it.
pub(super) const fn name(direction: Direction) -> &'static str {
    match direction {
        Direction::Egress => "enforcer_egress",
        Direction::Ingress => "enforcer_ingress",
    }
}

/// The one for sockets.
pub(super) const fn socket_name(direction: Direction) -> &'static str {
    match direction {
        Direction::Egress => "enforcer_socket_egress",
        Direction::Ingress => "enforcer_socket_ingress",
    }
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
    let both = |direction| [Some(name(direction)), sockets.then(|| socket_name(direction))];
    BOTH.into_iter().flat_map(both).flatten().collect()
}

impl Programs {
    /// Hands them to the kernel, which checks them, and pins them beside their predecessors.
    pub(super) fn load(mut ebpf: Ebpf, pins: &Pins, sockets: bool) -> Result<Self, DatapathError> {
        let names = names(sockets);
        verify(&mut ebpf, &names)?;
        for name in names {
            let loaded = ebpf.program(name).ok_or_else(|| missing(name))?;
            let fd = loaded.fd().map_err(|error| DatapathError::caused(missing(name), error))?;
            pins.stage_program(name, Fd(fd)).map_err(|error| unpinned(name, error))?;
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
        let socket = |direction| {
            let name = socket_name(direction);
            let side = match direction {
                Direction::Egress => CgroupSkbAttachType::Egress,
                Direction::Ingress => CgroupSkbAttachType::Ingress,
            };
            CgroupSkb::from_pin(pin(name), side).map_err(|error| unopened(name, error))
        };
        let [out, into] = BOTH;
        let devices = [device(out)?, device(into)?];
        let sockets = if sockets { Some([socket(out)?, socket(into)?]) } else { None };
        Ok(Self { devices, sockets, staged: false })
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
            if self.has_sockets() {
                all.push((socket_name(direction), self.socket_fd(direction)?));
            }
        }
        Ok(all)
    }

    /// Whether packets can be judged at sockets.
    pub(super) const fn has_sockets(&self) -> bool {
        self.sockets.is_some()
    }

    /// The descriptor of one for sockets.
    pub(super) fn socket_fd(&self, direction: Direction) -> Result<Fd<'_>, DatapathError> {
        let Some(sockets) = &self.sockets else {
            return Err(DatapathError::new("this kernel doesn't take programs for sockets")
                .with_help("units, cgroups and the host itself can be held from Linux 5.15 on"));
        };
        descriptor(sockets[place(direction)].fd(), socket_name(direction))
    }

    /// The number in the kernel of one for sockets.
    pub(super) fn socket_id(&self, direction: Direction) -> Result<u32, DatapathError> {
        number(&self.socket_fd(direction)?)
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
    fd.map(Fd).map_err(|error| unopened(name, error))
}

/// The kernel's check takes some 100 ms for each, which is most of the daemon's first start: it does several at once.
fn verify(ebpf: &mut Ebpf, wanted: &[&str]) -> Result<(), DatapathError> {
    let found: Vec<_> = ebpf.programs_mut().filter(|(name, _)| wanted.contains(name)).collect();
    if let Some(name) = wanted.iter().find(|name| found.iter().all(|(found, _)| found != *name)) {
        return Err(missing(name));
    }
    let load = |name: &str, program: &mut Program| match program {
        Program::SchedClassifier(program) => program.load().map_err(|error| refused(name, error)),
        Program::CgroupSkb(program) => program.load().map_err(|error| refused(name, error)),
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

fn unopened(name: &str, error: ProgramError) -> DatapathError {
    DatapathError::caused(format_args!("cannot open the pin of `{name}`"), error)
}

fn missing(name: &str) -> DatapathError {
    DatapathError::new(format_args!("the object has no program `{name}`"))
}
