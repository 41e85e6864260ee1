//! The two programs, loaded.

use std::os::fd::{AsFd, BorrowedFd};

use aya::Ebpf;
use aya::programs::{ProgramError, ProgramFd, SchedClassifier};
use enforcer_common::maps::Direction;

use super::pins::Pins;
use super::query;
use tracing::debug;

use crate::datapath::DatapathError;

/// The two programs, and through them the maps.
#[derive(Debug)]
pub(super) struct Programs {
    ebpf: Ebpf,
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

impl Programs {
    /// Hands both to the kernel, which checks them, and pins them beside their predecessors.
    pub(super) fn load(ebpf: Ebpf, pins: &Pins) -> Result<Self, DatapathError> {
        let mut programs = Self { ebpf };
        for direction in [Direction::Egress, Direction::Ingress] {
            programs.classifier(direction)?.load().map_err(|error| refused(direction, error))?;
            let fd = programs.fd(direction)?;
            pins.stage_program(name(direction), fd).map_err(|error| unpinned(direction, error))?;
        }
        Ok(programs)
    }

    /// They run where their predecessors did: they take their places among the pins too.
    pub(super) fn settle(pins: &Pins) -> Result<(), DatapathError> {
        [Direction::Egress, Direction::Ingress].into_iter().try_for_each(|direction| {
            pins.commit_program(name(direction)).map_err(|error| unpinned(direction, error))
        })
    }

    /// Its number in the kernel.
    pub(super) fn id(&self, direction: Direction) -> Result<u32, DatapathError> {
        let id = query::id(self.fd(direction)?.as_fd());
        id.map_err(|error| DatapathError::caused("cannot ask for a program's number", error))
    }

    /// One of them, as aya has it.
    pub(super) fn classifier(&mut self, direction: Direction) -> Result<&mut SchedClassifier, DatapathError> {
        let program = self.ebpf.program_mut(name(direction)).ok_or_else(|| missing(direction))?;
        program.try_into().map_err(|error| DatapathError::caused(missing(direction), error))
    }

    /// One of them, to look at or to run.
    pub(super) fn shared(&self, direction: Direction) -> Result<&SchedClassifier, DatapathError> {
        let program = self.ebpf.program(name(direction)).ok_or_else(|| missing(direction))?;
        program.try_into().map_err(|error| DatapathError::caused(missing(direction), error))
    }

    /// Its descriptor.
    pub(super) fn fd(&self, direction: Direction) -> Result<Fd<'_>, DatapathError> {
        let fd = self.shared(direction)?.fd();
        fd.map(Fd).map_err(|error| DatapathError::caused(missing(direction), error))
    }
}

/// The verifier tells its whole way through the program; the end of it says why.
fn refused(direction: Direction, error: ProgramError) -> DatapathError {
    const LINES: usize = 4;
    let message = format!("the kernel refuses `{}`", name(direction));
    let ProgramError::LoadError { io_error, verifier_log } = error else {
        return DatapathError::caused(message, error);
    };
    let log = verifier_log.to_string();
    debug!(program = name(direction), %log, "the verifier's log");
    let lines: Vec<&str> = log.lines().filter(|line| !line.trim().is_empty()).collect();
    let end = lines[lines.len().saturating_sub(LINES)..].join("; ");
    if end.is_empty() {
        return DatapathError::caused(message, io_error);
    }
    // Without the error's number: the verifier's EACCES has nothing to do with privileges.
    DatapathError::new(format_args!("{message}: {end}"))
        .with_help("please report this, with the kernel's version")
}

fn unpinned(direction: Direction, error: std::io::Error) -> DatapathError {
    DatapathError::caused(format_args!("cannot pin `{}`", name(direction)), error)
}

fn missing(direction: Direction) -> DatapathError {
    DatapathError::new(format_args!("the object has no program `{}`", name(direction)))
}
