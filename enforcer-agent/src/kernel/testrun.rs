//! Running a program on one frame without any device, for tests and benches.

use std::time::Duration;

use aya::{TestRun, TestRunOptions};
use enforcer_common::maps::Direction;

use super::programs::Programs;
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

/// Runs the program of a direction `repeat` times on `frame`, as if it had met device `ifindex`, which has to exist in this
/// network namespace (1, loopback, always does).
pub(super) fn run(
    programs: &Programs,
    direction: Direction,
    ifindex: u32,
    frame: &[u8],
    repeat: u32,
) -> Result<Run, DatapathError> {
    let mut context = [0_u8; CONTEXT_BYTES];
    context[IFINDEX_OFFSET..IFINDEX_OFFSET + 4].copy_from_slice(&ifindex.to_ne_bytes());
    let options =
        TestRunOptions { data_in: Some(frame), ctx_in: Some(&context), repeat, ..TestRunOptions::default() };
    let result = programs.shared(direction)?.test_run(options);
    let result = result.map_err(|error| DatapathError::caused("cannot run the program on a frame", error))?;
    Ok(Run { action: result.return_value as i32, time: result.duration })
}
