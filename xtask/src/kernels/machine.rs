//! A machine to boot a kernel in: qemu, always by emulation, so that it is the same wherever it runs and touches no `/dev/kvm`.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::shell::find;

/// The program, and Debian's package of it.
pub(crate) const QEMU: (&str, &str) = ("qemu-system-x86_64", "qemu-system-x86");
const MEMORY: &str = "1536M";

/// What became of a machine.
#[derive(Debug)]
pub(super) struct Boot {
    /// Everything it wrote on its console.
    pub(super) lines: Vec<String>,
    pub(super) took: Duration,
    pub(super) timed_out: bool,
}

/// Boots a kernel and waits until the machine is off, handing each line on as it comes. Ends it when the time is over.
pub(super) fn boot(
    kernel: &Path,
    initramfs: &Path,
    within: Duration,
    mut see: impl FnMut(&str),
) -> Result<Boot> {
    let program = find(QEMU.0).with_context(|| format!("`{}` (Debian's `{}`) is missing", QEMU.0, QEMU.1))?;
    let start = Instant::now();
    let mut command = Command::new(program);
    command
        .args(["-M", "pc", "-accel", "tcg", "-cpu", "max", "-smp", "1", "-m", MEMORY])
        .args(["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-serial", "stdio"])
        .arg("-kernel")
        .arg(kernel)
        .arg("-initrd")
        .arg(initramfs)
        // A fault ends the machine, as `-no-reboot` has it.
        .args(["-append", "console=ttyS0 quiet loglevel=4 oops=panic panic=-1"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    let mut child = command.spawn().context("cannot start qemu")?;
    let stdout = child.stdout.take().context("qemu has no stdout")?;
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned();
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    let mut boot = Boot { lines: Vec::new(), took: Duration::ZERO, timed_out: false };
    loop {
        match receiver.recv_timeout(within.saturating_sub(start.elapsed())) {
            Ok(line) => {
                see(&line);
                boot.lines.push(line);
            }
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                boot.timed_out = true;
                child.kill().context("cannot end qemu")?;
                break;
            }
        }
    }
    child.wait().context("cannot wait for qemu")?;
    boot.took = start.elapsed();
    Ok(boot)
}
