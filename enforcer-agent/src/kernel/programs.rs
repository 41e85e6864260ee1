//! The programs, loaded: two for devices, two for sockets.

use std::os::fd::{AsFd, BorrowedFd};
use std::panic::resume_unwind;
use std::thread;

use aya::Ebpf;
use aya::programs::{CgroupSkb, Program, ProgramError, ProgramFd, SchedClassifier};
use enforcer_common::maps::Direction;

use super::pins::Pins;
use super::query;
use tracing::debug;

use crate::datapath::DatapathError;

/// The programs, and through them the maps.
#[derive(Debug)]
pub(super) struct Programs {
    ebpf: Ebpf,
    /// Whether the kernel takes those for sockets.
    sockets: bool,
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

impl Programs {
    /// Hands them to the kernel, which checks them, and pins them beside their predecessors.
    pub(super) fn load(ebpf: Ebpf, pins: &Pins, sockets: bool) -> Result<Self, DatapathError> {
        let mut programs = Self { ebpf, sockets };
        programs.verify()?;
        for (name, fd) in programs.all()? {
            pins.stage_program(name, fd).map_err(|error| unpinned(name, error))?;
        }
        Ok(programs)
    }

    /// The kernel's check takes some 100 ms for each, which is most of the daemon's start: it does several at once.
    fn verify(&mut self) -> Result<(), DatapathError> {
        let wanted: Vec<&str> = BOTH
            .into_iter()
            .flat_map(|direction| {
                [Some(name(direction)), self.sockets.then_some(socket_name(direction))].into_iter().flatten()
            })
            .collect();
        let found: Vec<_> = self.ebpf.programs_mut().filter(|(name, _)| wanted.contains(name)).collect();
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
            let loaded =
                loading.into_iter().map(|one| one.join().unwrap_or_else(|panic| resume_unwind(panic)));
            // All of them end before any of their errors is told.
            loaded.collect::<Vec<_>>().into_iter().collect()
        })
    }

    /// They run where their predecessors did: they take their places among the pins too.
    pub(super) fn settle(&self, pins: &Pins) -> Result<(), DatapathError> {
        let all = self.all()?;
        all.iter().try_for_each(|(name, _)| pins.commit_program(name).map_err(|error| unpinned(name, error)))
    }

    /// All of them, by name.
    pub(super) fn all(&self) -> Result<Vec<(&'static str, Fd<'_>)>, DatapathError> {
        let mut all = Vec::new();
        for direction in BOTH {
            all.push((name(direction), self.fd(direction)?));
            if self.sockets {
                all.push((socket_name(direction), self.socket_fd(direction)?));
            }
        }
        Ok(all)
    }

    /// Whether packets can be judged at sockets.
    pub(super) const fn has_sockets(&self) -> bool {
        self.sockets
    }

    /// The descriptor of one for sockets.
    pub(super) fn socket_fd(&self, direction: Direction) -> Result<Fd<'_>, DatapathError> {
        if !self.sockets {
            return Err(DatapathError::new("this kernel doesn't take programs for sockets")
                .with_help("units, cgroups and the host itself can be held from Linux 5.15 on"));
        }
        let name = socket_name(direction);
        let program: &CgroupSkb = self
            .ebpf
            .program(name)
            .ok_or_else(|| missing(name))?
            .try_into()
            .map_err(|error| DatapathError::caused(missing(name), error))?;
        program.fd().map(Fd).map_err(|error| DatapathError::caused(missing(name), error))
    }

    /// The number in the kernel of one for sockets.
    pub(super) fn socket_id(&self, direction: Direction) -> Result<u32, DatapathError> {
        number(&self.socket_fd(direction)?)
    }

    /// Its number in the kernel.
    pub(super) fn id(&self, direction: Direction) -> Result<u32, DatapathError> {
        number(&self.fd(direction)?)
    }

    /// One of them, as aya has it.
    pub(super) fn classifier(&mut self, direction: Direction) -> Result<&mut SchedClassifier, DatapathError> {
        let program = self.ebpf.program_mut(name(direction)).ok_or_else(|| missing(name(direction)))?;
        program.try_into().map_err(|error| DatapathError::caused(missing(name(direction)), error))
    }

    /// One of them, to look at or to run.
    pub(super) fn shared(&self, direction: Direction) -> Result<&SchedClassifier, DatapathError> {
        let program = self.ebpf.program(name(direction)).ok_or_else(|| missing(name(direction)))?;
        program.try_into().map_err(|error| DatapathError::caused(missing(name(direction)), error))
    }

    /// Its descriptor.
    pub(super) fn fd(&self, direction: Direction) -> Result<Fd<'_>, DatapathError> {
        let fd = self.shared(direction)?.fd();
        fd.map(Fd).map_err(|error| DatapathError::caused(missing(name(direction)), error))
    }
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

fn missing(name: &str) -> DatapathError {
    DatapathError::new(format_args!("the object has no program `{name}`"))
}
