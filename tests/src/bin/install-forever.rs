//! Changes what is in force without end, to be killed at it: `install-forever PINS`.
//!
//! Installs two contradicting sets in turn, each with an in-place change behind it. For each line on its standard input, the number of the set
//! to begin with, it makes a process that does so, says its number, and says `over` once that has been killed: one load of the programs serves
//! all of them, and each starts without knowing what stands in the maps, as a daemon does.

use std::io::{BufRead, Write};

use anyhow::{Context, Result, ensure};
use enforcer_agent::datapath::Datapath;
use enforcer_agent::kernel::{Kernel, KernelConfig};
use enforcer_policy::compile::{Delta, Image};
use enforcer_tests::images::{contradicting, contradicting_subject, sized};
use rustix::process::{Pid, WaitOptions, waitpid};

const LOOPBACK: u32 = 1;
const SUBJECT: [u8; 4] = [10, 0, 0, 1];

/// With company, so that writing it takes a while.
fn set(second: bool) -> Image {
    let mut image = contradicting(second);
    let company = sized(if second { 1 } else { 2 });
    // The company's addresses are 10.0.0.0 and on: the subject's own is among them, and no peer's.
    image.addresses4.extend(company.addresses4);
    image.addresses6 = company.addresses6;
    image.pairs.extend(company.pairs);
    image
}

fn change(kernel: &mut Kernel, round: u32) -> Result<()> {
    let (_, endpoint) = sized(1).addresses4[1];
    let address = |n: u32| [(0x0a02_0000 + round % 7 * 100 + n).to_be()];
    let delta = Delta {
        addresses4: (0..100).map(|n| (address(n), (n % 2 == 0).then_some(endpoint))).collect(),
        ..Delta::default()
    };
    kernel.apply_delta(&delta, &[]).context("cannot change in place")?;
    Ok(())
}

fn work(kernel: &mut Kernel, first: u32) -> Result<()> {
    let sets = [set(false), set(true)];
    for round in first.. {
        let second = round % 2 == 1;
        kernel.install(&sets[usize::from(second)], &[(LOOPBACK, contradicting_subject(SUBJECT, second))])?;
        change(kernel, round)?;
    }
    Ok(())
}

fn main() -> Result<()> {
    let pins = std::env::args().nth(1).context("no directory for pins was given")?;
    let mut kernel = Kernel::open(&KernelConfig { bpffs: pins.into(), ..KernelConfig::default() })?;
    let mut out = std::io::stdout();
    for line in std::io::stdin().lock().lines() {
        let first = line.context("cannot read what is wanted")?;
        let first = first.parse().context("a set is wanted by its number")?;
        // SAFETY: this process has one thread, so the child finds nothing locked.
        let child = unsafe { libc::fork() };
        ensure!(child >= 0, "cannot make a process: {}", std::io::Error::last_os_error());
        if child == 0 {
            work(&mut kernel, first)?;
        }
        writeln!(out, "{child}").and_then(|()| out.flush()).context("cannot answer")?;
        waitpid(Pid::from_raw(child), WaitOptions::empty()).context("cannot wait")?;
        writeln!(out, "over").and_then(|()| out.flush()).context("cannot answer")?;
    }
    Ok(())
}
