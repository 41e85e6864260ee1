//! How recorded traffic is judged.

use clap::Args;
use enforcer_audit::{At, Managed, Setting};
use jiff::Timestamp;

/// When, where, and from which state on.
#[derive(Debug, Args)]
pub(in crate::command) struct Judging {
    /// When policies are held against their expiry: a time (RFC 3339), or `packet` for each packet's and record's own [default: now]
    #[arg(long, value_name = "TIME", value_parser = instant, requires = "flows")]
    at: Option<At>,
    /// Judge as if the enforcer ran wherever a workload does, not only where this build finds one by its interface
    #[arg(long, requires = "flows")]
    pub(super) all_managed: bool,
    /// The recording holds every flow's first packet: what isn't opened in it is denied (`state`)
    #[arg(long, requires = "flows")]
    from_start: bool,
}

impl Judging {
    /// Puts it into a setting.
    pub(in crate::command) fn put_into(&self, setting: &mut Setting, now: Timestamp) {
        setting.at = self.at.unwrap_or(At::Instant(now));
        setting.managed = if self.all_managed { Managed::All } else { Managed::AsDeployed };
        setting.from_start = self.from_start;
    }
}

fn instant(text: &str) -> Result<At, String> {
    if text == "packet" {
        return Ok(At::Own);
    }
    text.parse::<Timestamp>()
        .map(At::Instant)
        .map_err(|_| "a time looks like `2027-01-31T18:00:00Z`; or `packet`".to_owned())
}
