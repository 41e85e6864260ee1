//! systemd's own opinion of the units: nothing to complain of, and how much of the system they leave within reach.

use anyhow::{Context, Result, bail};

use super::roots::FreshRoot;

/// Each unit and its exposure as `systemd-analyze security` counts it, in tenths: 0 is sealed off, 10.0 unconfined. What is left is what the daemon
/// is for: capabilities over BPF and the network, and being root.
const EXPOSURE: [(&str, u32); 2] = [("enforcer.service", 34), ("enforcer-early.service", 27)];

/// Fails where systemd complains of a unit, or one is more exposed than it was.
pub(super) fn check(root: &FreshRoot) -> Result<()> {
    for (unit, limit) in EXPOSURE {
        let path = format!("/lib/systemd/system/{unit}");
        let verify = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=one", &path];
        let output = root.try_inside(&verify)?;
        let said = [output.stdout, output.stderr].concat();
        if !output.status.success() || !said.is_empty() {
            bail!("systemd complains of `{unit}`:\n{}", String::from_utf8_lossy(&said));
        }
        let threshold = format!("--threshold={limit}");
        let security = root.try_inside(&[
            "systemd-analyze",
            "security",
            "--offline=true",
            "--no-pager",
            &threshold,
            &path,
        ])?;
        let table = String::from_utf8_lossy(&security.stdout).into_owned();
        let overall = table.lines().rev().find(|line| line.contains("exposure level"));
        let overall = overall.with_context(|| format!("systemd tells no exposure of `{unit}`: {table}"))?;
        println!("{}", overall.trim_start_matches(|c: char| !c.is_ascii_alphanumeric()));
        if !security.status.success() {
            bail!("`{unit}` is more exposed than {:.1}:\n{table}", f64::from(limit) / 10.0);
        }
    }
    Ok(())
}
