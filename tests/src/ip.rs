//! The program `ip`, in batches.

use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// Runs lines of `ip`'s own batch language, in a network namespace or in ours.
pub(crate) fn batch(namespace: Option<&str>, lines: &[String]) -> Result<()> {
    let mut command = Command::new("ip");
    if let Some(namespace) = namespace {
        command.args(["-netns", namespace]);
    }
    command.args(["-batch", "-"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().context("cannot run `ip` (Debian's `iproute2`)")?;
    let mut stdin = child.stdin.take().context("`ip` has no stdin")?;
    stdin.write_all(lines.join("\n").as_bytes()).context("cannot write to `ip`")?;
    drop(stdin);
    let output = child.wait_with_output().context("cannot wait for `ip`")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("`ip` refused: {} (of: {})", said.trim(), lines.join("; "));
    }
    Ok(())
}
