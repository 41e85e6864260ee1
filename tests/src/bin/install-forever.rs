//! Installs two generations in turn until it is killed: `install-forever PINS`.

use anyhow::{Context, Result};
use enforcer_agent::datapath::Datapath;
use enforcer_agent::kernel::{Kernel, KernelConfig};
use enforcer_tests::images::sized;

fn main() -> Result<()> {
    let pins = std::env::args().nth(1).context("no directory for pins was given")?;
    let mut kernel = Kernel::open(&KernelConfig { bpffs: pins.into(), ..KernelConfig::default() })?;
    for round in 0.. {
        kernel.install(&sized(if round % 2 == 0 { 1 } else { 4 }), &[])?;
        println!("{round}");
    }
    Ok(())
}
