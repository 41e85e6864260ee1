//! Times of captures: units since 1970, of a length that the file says.

use crate::item::Time;

const BILLION: u64 = 1_000_000_000;

/// How an interface counts time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Clock {
    /// Units per second; `None` where there are more than fit.
    pub(super) units: Option<u64>,
    /// Seconds to be added.
    pub(super) offset: i64,
}

impl Clock {
    /// Units by pcapng's `if_tsresol`: a negative power of ten, or of two where the highest bit is set.
    pub(super) const fn units(resolution: u8) -> Option<u64> {
        match resolution & 0x80 {
            0 => 10_u64.checked_pow(resolution as u32),
            _ => 1_u64.checked_shl((resolution & 0x7f) as u32),
        }
    }

    /// The time after `count` units.
    pub(super) fn time(self, count: u64) -> Option<Time> {
        let units = self.units?;
        let (seconds, rest) = (count / units, count % units);
        let rest = match BILLION.checked_rem(units) {
            Some(0) => rest * (BILLION / units),
            _ => u64::try_from(u128::from(rest) * u128::from(BILLION) / u128::from(units)).ok()?,
        };
        let seconds = i64::try_from(seconds).ok()?.checked_add(self.offset)?;
        seconds.checked_mul(BILLION as i64)?.checked_add(i64::try_from(rest).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_become_nanoseconds() {
        let clock = |resolution, offset| Clock { units: Clock::units(resolution), offset };
        assert_eq!(clock(6, 0).time(1_340_954_905_298_858), Some(1_340_954_905_298_858_000));
        assert_eq!(clock(9, 0).time(1_340_954_905_298_858_123), Some(1_340_954_905_298_858_123));
        assert_eq!(clock(0x80 | 10, 0).time(5 * 1024 + 512), Some(5_500_000_000));
        assert_eq!(clock(0, -7).time(10), Some(3_000_000_000));
        assert_eq!(clock(12, 0).time(1_999), Some(1));
    }

    #[test]
    fn what_fits_nowhere_is_no_time() {
        assert_eq!(Clock { units: Clock::units(20), offset: 0 }.time(1), None);
        assert_eq!(Clock { units: Clock::units(0xff), offset: 0 }.time(1), None);
        assert_eq!(Clock { units: Some(1), offset: i64::MAX }.time(1), None);
        assert_eq!(Clock { units: Some(1), offset: 0 }.time(u64::MAX), None);
        assert_eq!(Clock { units: Some(1), offset: 0 }.time(i64::MAX as u64 / 2), None);
    }
}
