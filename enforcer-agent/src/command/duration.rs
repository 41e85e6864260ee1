//! Lengths of time as they are typed.

use jiff::SignedDuration;

/// Reads `60s`, `10m` or `1h30m` as seconds.
pub(super) fn seconds(text: &str) -> Result<u64, String> {
    let wrong = || "a time is a number with a unit, for example `60s`, `10m` or `1h`".to_owned();
    let duration = text.parse::<SignedDuration>().map_err(|_| wrong())?;
    u64::try_from(duration.as_secs()).ok().filter(|seconds| *seconds > 0).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::seconds;

    #[test]
    fn times_have_units() {
        assert_eq!(["60s", "10m", "1h", "1h30m"].map(|text| seconds(text).unwrap()), [60, 600, 3600, 5400]);
        for wrong in ["", "60", "0s", "-1h", "soon"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }
}
