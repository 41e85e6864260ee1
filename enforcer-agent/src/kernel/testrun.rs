//! Running a program on one frame without any device, for tests and benches.

use std::io;
use std::path::Path;
use std::time::Duration;

use aya::programs::{CgroupSkb, CgroupSkbAttachType, SchedClassifier};
use aya::{TestRun, TestRunOptions, TestRunResult};

use super::sys;
use crate::datapath::DatapathError;

/// `__sk_buff` as linux/bpf.h has it, as far as it can be set here.
const CONTEXT_BYTES: usize = 192;
const IFINDEX_OFFSET: usize = 40;

/// What came of a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Run {
    /// What the program returned: at a device -1 (`TC_ACT_UNSPEC`) lets the packet on and 2 (`TC_ACT_SHOT`) drops it, at a socket 1
    /// and 0.
    pub action: i32,
    /// What lets packets on there.
    on: i32,
    /// Mean time of one run.
    pub time: Duration,
}

impl Run {
    /// Whether the packet goes on.
    #[must_use]
    pub const fn passes(&self) -> bool {
        self.action == self.on
    }
}

/// A program to run on frames, on any thread and beside whoever installs generations meanwhile.
#[derive(Debug)]
pub struct Runner(Program);

#[derive(Debug)]
enum Program {
    Device(SchedClassifier),
    /// Its packets belong to the cgroup of the calling process.
    Socket(CgroupSkb),
}

const AT_DEVICE: i32 = -1;
const AT_SOCKET: i32 = 1;

impl Runner {
    pub(super) fn open(pin: &Path) -> Result<Self, DatapathError> {
        let program = SchedClassifier::from_pin(pin).map(Program::Device);
        program.map(Self).map_err(|error| DatapathError::caused("cannot open the pinned program", error))
    }

    pub(super) fn open_socket(pin: &Path) -> Result<Self, DatapathError> {
        // Which way it is attached doesn't matter to a run.
        let program = CgroupSkb::from_pin(pin, CgroupSkbAttachType::Egress).map(Program::Socket);
        program.map(Self).map_err(|error| DatapathError::caused("cannot open the pinned program", error))
    }

    /// A program that does nothing, to measure others against.
    pub(super) fn empty(pin: &Path, socket: bool) -> Result<Self, DatapathError> {
        let failed = |error: io::Error| DatapathError::caused("cannot load an empty program", error);
        // aya runs what it has loaded from an object or found pinned.
        sys::pin(sys::load_empty(socket).map_err(failed)?, pin).map_err(failed)?;
        let runner = if socket { Self::open_socket(pin) } else { Self::open(pin) };
        std::fs::remove_file(pin).map_err(failed)?;
        runner
    }

    /// Runs it `repeat` times on `frame`, as if that had met device `ifindex`, which has to exist in this network namespace
    /// (1, loopback, always does).
    pub fn run(&self, ifindex: u32, frame: &[u8], repeat: u32) -> Result<Run, DatapathError> {
        match &self.0 {
            Program::Device(program) => run(program, ifindex, frame, repeat),
            Program::Socket(program) => {
                finish(program.test_run(options(&context(ifindex), frame, repeat)), AT_SOCKET)
            }
        }
    }
}

fn context(ifindex: u32) -> [u8; CONTEXT_BYTES] {
    let mut context = [0_u8; CONTEXT_BYTES];
    context[IFINDEX_OFFSET..IFINDEX_OFFSET + 4].copy_from_slice(&ifindex.to_ne_bytes());
    context
}

fn options<'a>(context: &'a [u8], frame: &'a [u8], repeat: u32) -> TestRunOptions<'a> {
    TestRunOptions { data_in: Some(frame), ctx_in: Some(context), repeat, ..TestRunOptions::default() }
}

fn finish<E: std::error::Error + Send + Sync + 'static>(
    result: Result<TestRunResult, E>,
    on: i32,
) -> Result<Run, DatapathError> {
    let result = result.map_err(|error| DatapathError::caused("cannot run the program on a frame", error))?;
    Ok(Run { action: result.return_value as i32, on, time: result.duration })
}

/// Runs a program on a frame.
pub(super) fn run(
    program: &SchedClassifier,
    ifindex: u32,
    frame: &[u8],
    repeat: u32,
) -> Result<Run, DatapathError> {
    finish(program.test_run(options(&context(ifindex), frame, repeat)), AT_DEVICE)
}
