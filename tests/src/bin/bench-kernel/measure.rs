//! Times of programs on frames.

use anyhow::{Result, ensure};
use enforcer_agent::kernel::Runner;
use rustix::time::{ClockId, clock_gettime};

/// Always there.
pub(crate) const DEVICE: u32 = 1;
/// Runs in one call. The call itself takes microseconds.
const REPEAT: u32 = 400_000;
/// Flows opened in one go. The rounds of two seconds together have to stay below what one workload may open in that time
/// (`QUOTA_UNANSWERED`), or the rest is denied.
const FLOWS: u16 = 800;

/// Time this thread has had on a CPU, nanoseconds: what others take of the machine meanwhile doesn't count.
pub(crate) fn on_cpu() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

/// Mean time of a run, nanoseconds, over many on one frame. Whole nanoseconds, as the kernel tells them, are too coarse.
pub(crate) fn hot(program: &Runner, frame: &[u8], passes: bool) -> Result<f64> {
    let start = on_cpu();
    let run = program.run(DEVICE, frame, REPEAT)?;
    let time = on_cpu() - start;
    ensure!(run.passes() == passes, "the program answered {run:?}");
    Ok(time / f64::from(REPEAT))
}

/// Mean time of a single run, nanoseconds, over frames that differ. Includes reading the clock.
pub(crate) fn single(program: &Runner, frame: impl Fn(u16) -> Vec<u8>, first: u16) -> Result<f64> {
    let mut sum = 0.0;
    for n in 0..FLOWS {
        let run = program.run(DEVICE, &frame(first.wrapping_add(n)), 1)?;
        ensure!(run.passes(), "the program answered {run:?}");
        sum += run.time.as_nanos() as f64;
    }
    Ok(sum / f64::from(FLOWS))
}

/// The middle one.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
