//! Wall clock and boot-time clock, and word of a wall clock that was set.

use anyhow::{Context, Result};
use enforcer_policy::compile::Clock;
use jiff::Timestamp;
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime,
    timerfd_create, timerfd_settime,
};

/// Both clocks at one instant. The kernel programs know only boot time, documents only wall time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instants {
    /// Wall clock.
    pub wall: Timestamp,
    /// Boot-time clock, nanoseconds.
    pub boot: u64,
}

impl Instants {
    /// Now.
    #[must_use]
    pub fn now() -> Self {
        let boot = clock_gettime(ClockId::Boottime);
        let seconds = u64::try_from(boot.tv_sec).unwrap_or_default();
        let nanoseconds = u64::try_from(boot.tv_nsec).unwrap_or_default();
        Self { wall: Timestamp::now(), boot: seconds * 1_000_000_000 + nanoseconds }
    }

    /// As the compiler takes it.
    #[must_use]
    pub fn clock(&self) -> Clock {
        Clock { now: self.wall, boot_ns: self.boot }
    }

    /// The wall time of an instant of the boot-time clock.
    #[must_use]
    pub fn wall_of(&self, boot: u64) -> Timestamp {
        let offset = i128::from(boot) - i128::from(self.boot);
        let nanoseconds = self.wall.as_nanosecond() + offset;
        Timestamp::from_nanosecond(nanoseconds).unwrap_or(self.wall)
    }

    /// The instant of the boot-time clock at some wall time; the machine's start for anything before.
    #[must_use]
    pub fn boot_of(&self, wall: Timestamp) -> u64 {
        let offset = wall.as_nanosecond() - self.wall.as_nanosecond();
        u64::try_from(i128::from(self.boot) + offset).unwrap_or(if offset < 0 { 0 } else { u64::MAX })
    }
}

/// Tells when somebody sets the wall clock.
#[derive(Debug)]
pub struct Steps {
    timer: OwnedFd,
}

impl Steps {
    /// Starts listening.
    pub fn new() -> Result<Self> {
        let timer = timerfd_create(TimerfdClockId::Realtime, TimerfdFlags::CLOEXEC)
            .context("could not make a timer")?;
        arm(&timer)?;
        Ok(Self { timer })
    }

    /// Waits until the wall clock has been set.
    pub fn next(&self) -> Result<()> {
        let mut expirations = [0; 8];
        loop {
            match rustix::io::read(&self.timer, &mut expirations) {
                Err(Errno::INTR) => {}
                // Being set past the far end is being set as well.
                Err(Errno::CANCELED) | Ok(_) => return arm(&self.timer),
                Err(error) => return Err(error).context("could not read the timer"),
            }
        }
    }
}

/// A timer so far away that it only ever ends by the clock being set.
fn arm(timer: &OwnedFd) -> Result<()> {
    let never = Timespec { tv_sec: i64::from(u32::MAX) * 4, tv_nsec: 0 };
    let spec = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: never };
    timerfd_settime(timer, TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET, &spec)
        .context("could not set the timer")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boot_time_becomes_wall_time_in_both_directions() {
        let now = Instants { wall: "2026-01-01T00:00:10Z".parse().unwrap(), boot: 5_000_000_000 };
        assert_eq!(now.wall_of(4_500_000_000).to_string(), "2026-01-01T00:00:09.5Z");
        assert_eq!(now.wall_of(6_000_000_000).to_string(), "2026-01-01T00:00:11Z");
        assert_eq!(now.boot_of(now.wall_of(4_500_000_000)), 4_500_000_000);
        assert_eq!(now.boot_of("2025-01-01T00:00:00Z".parse().unwrap()), 0);
    }

    #[test]
    fn a_clock_that_is_left_alone_makes_no_steps() {
        let steps = Steps::new().unwrap();
        let mut waits = [rustix::event::PollFd::new(&steps.timer, rustix::event::PollFlags::IN)];
        let timeout = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
        assert_eq!(rustix::event::poll(&mut waits, Some(&timeout)).unwrap(), 0);
    }
}
