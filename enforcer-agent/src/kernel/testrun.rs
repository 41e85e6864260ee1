//! Running a program on one frame without any device, for tests and benches.

use std::io;
use std::path::Path;
use std::time::Duration;

use aya::programs::SchedClassifier;
use aya::{TestRun, TestRunOptions};

use super::sys;
use crate::datapath::DatapathError;

/// `__sk_buff` as linux/bpf.h has it, as far as it can be set here.
const CONTEXT_BYTES: usize = 192;
const IFINDEX_OFFSET: usize = 40;

/// What came of a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Run {
    /// What the program returned: -1 (`TC_ACT_UNSPEC`) lets the packet on, 2 (`TC_ACT_SHOT`) drops it.
    pub action: i32,
    /// Mean time of one run.
    pub time: Duration,
}

impl Run {
    /// Whether the packet goes on.
    #[must_use]
    pub const fn passes(&self) -> bool {
        self.action == -1
    }
}

/// A program to run on frames, on any thread and beside whoever installs generations meanwhile.
#[derive(Debug)]
pub struct Runner {
    program: SchedClassifier,
}

impl Runner {
    pub(super) fn open(pin: &Path) -> Result<Self, DatapathError> {
        let program = SchedClassifier::from_pin(pin);
        let program =
            program.map_err(|error| DatapathError::caused("cannot open the pinned program", error))?;
        Ok(Self { program })
    }

    /// A program that does nothing, to measure others against.
    pub(super) fn empty(pin: &Path) -> Result<Self, DatapathError> {
        let failed = |error: io::Error| DatapathError::caused("cannot load an empty program", error);
        // aya runs what it has loaded from an object or found pinned.
        sys::pin(sys::load_empty_classifier().map_err(failed)?, pin).map_err(failed)?;
        let runner = Self::open(pin);
        std::fs::remove_file(pin).map_err(failed)?;
        runner
    }

    /// Runs it `repeat` times on `frame`, as if that had met device `ifindex`, which has to exist in this network namespace
    /// (1, loopback, always does).
    pub fn run(&self, ifindex: u32, frame: &[u8], repeat: u32) -> Result<Run, DatapathError> {
        run(&self.program, ifindex, frame, repeat)
    }
}

/// Runs a program on a frame.
pub(super) fn run(
    program: &SchedClassifier,
    ifindex: u32,
    frame: &[u8],
    repeat: u32,
) -> Result<Run, DatapathError> {
    let mut context = [0_u8; CONTEXT_BYTES];
    context[IFINDEX_OFFSET..IFINDEX_OFFSET + 4].copy_from_slice(&ifindex.to_ne_bytes());
    let options =
        TestRunOptions { data_in: Some(frame), ctx_in: Some(&context), repeat, ..TestRunOptions::default() };
    let result = program.test_run(options);
    let result = result.map_err(|error| DatapathError::caused("cannot run the program on a frame", error))?;
    Ok(Run { action: result.return_value as i32, time: result.duration })
}
