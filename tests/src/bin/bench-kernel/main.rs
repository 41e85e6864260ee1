//! The kernel part of `cargo xtask bench`: nanoseconds a packet through `BPF_PROG_TEST_RUN` beside an empty program in the same
//! run, and what it takes to fill the maps. `bench-kernel [DIRECTORY [OBJECT]]` writes `kernel.md` and `kernel.json` there; with an `OBJECT` it measures
//! other kernel programs than those of its own build.

mod measure;
mod report;
mod scene;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, anyhow};
use enforcer_agent::datapath::{Datapath, DatapathError};
use enforcer_agent::kernel::{Kernel, KernelConfig, Runner};
use enforcer_common::maps::Direction;
use enforcer_policy::compile::{Compiled, Delta, Image};

use enforcer_common::maps::Cgroup;
use enforcer_tests::own_cgroup;
use measure::{DEVICE, hot, median, on_cpu, single};
use report::{Change, Packet, Report};
use scene::{Frames, hosted, ring, subject};

/// Rounds of everything, of which the median counts.
const ROUNDS: u16 = 9;

fn main() -> Result<()> {
    let directory = std::env::args().nth(1).map(PathBuf::from);
    let pins = PathBuf::from(format!("/sys/fs/bpf/enforcer-bench-{}", std::process::id()));
    let object = std::env::args().nth(2).map(std::fs::read).transpose().context("cannot read the object")?;
    let report = run(&pins, object);
    enforcer_agent::kernel::remove_pins(&pins).map_err(|errors| anyhow!("{errors:?}"))?;
    let report = report?;
    print!("{}", report.markdown());
    if let Some(directory) = directory {
        std::fs::create_dir_all(&directory).context("cannot make the directory for the results")?;
        std::fs::write(directory.join("kernel.md"), report.markdown()).context("cannot write `kernel.md`")?;
        std::fs::write(directory.join("kernel.json"), report.json()).context("cannot write `kernel.json`")?;
    }
    Ok(())
}

fn explained(error: DatapathError) -> anyhow::Error {
    let help = error.help().unwrap_or_default().to_owned();
    anyhow::Error::new(error).context(help)
}

fn run(pins: &std::path::Path, object: Option<Vec<u8>>) -> Result<Report> {
    let small = ring(10, 20)?;
    let large = ring(10_000, 100_000)?;
    let mut report = Report::default();
    let object = object.map(Into::into);
    let config = KernelConfig { bpffs: pins.to_owned(), object, ..KernelConfig::default() };
    let mut kernel = Kernel::open(&config).map_err(explained)?;
    maps(&mut kernel, &large.image, &mut report)?;
    for (name, compiled) in [("10", &small), ("10,000", &large)] {
        report.packets.extend(packets(&mut kernel, name, compiled)?);
    }
    Ok(report)
}

/// What changing generations takes.
fn maps(kernel: &mut Kernel, image: &Image, report: &mut Report) -> Result<()> {
    let mut timed = |what: &'static str, act: &mut dyn FnMut() -> Result<(), DatapathError>| -> Result<()> {
        let (start, busy) = (Instant::now(), on_cpu());
        act().map_err(explained)?;
        let (wall, busy) = (start.elapsed().as_secs_f64() * 1_000.0, (on_cpu() - busy) / 1e6);
        report.maps.push(Change { what, wall, busy });
        Ok(())
    };
    let addresses = Image {
        addresses4: image.addresses4.clone(),
        addresses6: image.addresses6.clone(),
        ..Image::default()
    };
    timed("100,000 addresses into empty maps", &mut || kernel.install(&addresses, &[]).map(drop))?;
    timed("10,000 policies with them, into the other bank", &mut || kernel.install(image, &[]).map(drop))?;
    timed("the same generation again, first into a bank with another", &mut || {
        kernel.install(image, &[]).map(drop)
    })?;
    timed("a generation that changes nothing", &mut || kernel.install(image, &[]).map(drop))?;
    let (_, endpoint) = image.addresses4[0];
    let mut times = Vec::new();
    for n in 0..100_u32 {
        let delta = Delta { addresses4: vec![([0xfffe_0000 + n], Some(endpoint))], ..Delta::default() };
        let start = (Instant::now(), on_cpu());
        kernel.apply_delta(&delta, &[(DEVICE, None)]).map_err(explained)?;
        times.push((start.0.elapsed().as_secs_f64() * 1_000.0, (on_cpu() - start.1) / 1e6));
    }
    let (wall, busy) = times.into_iter().unzip();
    let what = "one address added to 100,000 (median of 100)";
    report.maps.push(Change { what, wall: median(wall), busy: median(busy) });
    Ok(())
}

/// Times of packets with one policy set in force.
fn packets(kernel: &mut Kernel, policies: &'static str, compiled: &Compiled) -> Result<Vec<Packet>> {
    let subject = subject(compiled)?;
    let (number, resident) = hosted(subject);
    let whose = Cgroup { number, below: number };
    let subjects = [(DEVICE, subject), (number, resident)];
    kernel.install_whole(&compiled.image, &subjects, &[(own_cgroup()?, whose)]).map_err(explained)?;
    let (egress, ingress) = (runner(kernel, Direction::Egress)?, runner(kernel, Direction::Ingress)?);
    let empty = kernel.empty_runner().map_err(explained)?;
    let at_socket = |direction| kernel.socket_runner(direction).map_err(explained);
    let sockets = (at_socket(Direction::Egress)?, at_socket(Direction::Ingress)?);
    let empty_socket = kernel.empty_socket_runner().map_err(explained)?;
    let mut rounds: Vec<Vec<(String, f64, f64)>> = Vec::new();
    for round in 0..ROUNDS {
        let mut times = Vec::new();
        for v6 in [false, true] {
            let frames = Frames { v6 };
            let family = if v6 { "IPv6" } else { "IPv4" };
            let [syn, syn_ack, ack] = frames.handshake();
            for (program, frame) in [(&egress, &syn), (&ingress, &syn_ack), (&egress, &ack)] {
                program.run(DEVICE, frame, 1).map_err(explained)?;
            }
            let nothing = hot(&empty, &frames.sends(), true)?;
            let mut hot_case = |what: &str, program: &Runner, frame: &[u8], passes: bool| -> Result<()> {
                times.push((format!("{what}, {family}"), hot(program, frame, passes)?, nothing));
                Ok(())
            };
            hot_case("established, sent", &egress, &frames.sends(), true)?;
            hot_case("established, received", &ingress, &frames.receives(), true)?;
            hot_case("denied", &egress, &frames.denied(), false)?;
            let (sends, receives) = (&sockets.0, &sockets.1);
            for (program, frame) in [(sends, &syn), (receives, &syn_ack), (sends, &ack)] {
                program.run(DEVICE, frame, 1).map_err(explained)?;
            }
            let beside = hot(&empty_socket, &frames.sends(), true)?;
            let mut socket_case = |what: &str, program: &Runner, frame: &[u8], passes: bool| -> Result<()> {
                times.push((format!("{what} at a socket, {family}"), hot(program, frame, passes)?, beside));
                Ok(())
            };
            socket_case("established, sent", sends, &frames.sends(), true)?;
            socket_case("established, received", receives, &frames.receives(), true)?;
            socket_case("denied", sends, &frames.denied(), false)?;
            let first = 1_024 + round * 4_000;
            let clock = single(&empty, |port| frames.opening(port), first)?;
            let opening = single(&egress, |port| frames.opening(port), first)?;
            times.push((format!("new flow, allowed, {family}"), opening - clock + nothing, nothing));
        }
        rounds.push(times);
    }
    let cases = rounds[0].len();
    let of = |case: usize, value: fn(&(String, f64, f64)) -> f64| {
        median(rounds.iter().map(|round| value(&round[case])).collect())
    };
    Ok((0..cases)
        .map(|case| Packet {
            what: rounds[0][case].0.clone(),
            policies,
            nanoseconds: of(case, |(_, time, _)| *time),
            empty: of(case, |(_, _, empty)| *empty),
            ratio: of(case, |(_, time, empty)| time / empty),
        })
        .collect())
}

fn runner(kernel: &Kernel, direction: Direction) -> Result<Runner> {
    kernel.runner(direction).map_err(explained)
}
