//! A small shop in network namespaces, the real daemon on `policies/demo`, and what real packets saw of it.
//!
//! Everything printed was measured in this run. `cargo xtask demo` builds what this needs and runs it.

mod causes;
mod expect;
mod matrix;
mod open;
mod print;
mod revoke;
mod shop;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Parser;
use enforcer_tests::{DaemonOptions, World};

use crate::expect::Oracle;
use crate::matrix::Patience;
use crate::shop::Shop;

/// Worlds of this kind are swept by the next demo once their process is gone, kept ones included.
const KIND: &str = "enforcer-demo";

/// Shows a small shop being enforced.
#[derive(Debug, Parser)]
#[command(name = "enforcer-demo")]
struct Args {
    /// The built `enforcer`
    #[arg(long)]
    enforcer: Option<PathBuf>,
    /// The shop's documents
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../policies/demo"))]
    policies: PathBuf,
    /// Leave the network namespaces and the daemon up, and say how to enter them
    #[arg(long)]
    keep: bool,
    /// Open a busy shop without any policy, and a shell on its host, for docs/WALKTHROUGH.md
    #[arg(long, conflicts_with = "keep")]
    open: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let ran = if args.open { open::run(KIND, args.enforcer).map(|()| 0) } else { run(&args) };
    match ran {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// How many things weren't as they should be.
fn run(args: &Args) -> Result<usize> {
    let start = Instant::now();
    let set = expect::read(&args.policies)?;
    let oracle = Oracle::new(&set);
    let mut world = World::new(KIND, "shop").context("cannot make the shop's world")?;
    let shop = Shop::open(&mut world, &set)?;
    print::step(&format!(
        "{} workloads, each in a network namespace of its own ({:.1?})",
        shop.workloads.len(),
        start.elapsed()
    ));
    if args.keep {
        world.keep();
    }

    let cases = shop.cases();
    let servers = shop.serve();
    print::step(&format!(
        "without the enforcer: {} attempts, 5 kinds between all pairs, over IPv4 and IPv6",
        cases.len()
    ));
    let control = matrix::drive(&shop, &cases, |_| Patience::Long);
    let mut wrong = print::control(&cases, &control);

    let started = Instant::now();
    let options = DaemonOptions {
        program: args.enforcer.clone(),
        copy_from: Some(args.policies.clone()),
        ..DaemonOptions::default()
    };
    world.start_daemon(options).context("cannot start the daemon")?;
    print::step(&format!(
        "the daemon enforces {} ({:.1?} after its start)",
        args.policies.display(),
        started.elapsed()
    ));

    let watcher = causes::Watcher::start(world.daemon())?;
    let patience =
        |case: &shop::Case| if oracle.expects(&shop, case).passes { Patience::Long } else { Patience::Short };
    let seen = matrix::drive(&shop, &cases, patience);
    let causes = watcher.finish(world.daemon(), &shop, &cases)?;
    wrong += print::matrix(&shop, &cases, &oracle, &seen, &causes);
    drop(servers);

    print::step("live: 20-checkout-to-ledger.yaml is removed while data streams");
    let revocation = revoke::run(&mut world, &shop)?;
    wrong += print::revocation(&revocation);

    print::verdict(wrong, start.elapsed().max(Duration::from_millis(1)));
    Ok(wrong)
}
