//! The first process of a machine that `cargo xtask test-kernels` boots: makes the machine usable, asks the verifier what the programs
//! cost, runs the tests that `/plan` lists, and turns the machine off. The other end is `xtask/src/kernels/plan.rs`.

use std::ffi::CString;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use enforcer_agent::kernel::{KernelConfig, complexity};
use rustix::mount::{MountFlags, mount};
use rustix::system::{RebootCommand, init_module, reboot};

const FILE_SYSTEMS: [(&str, &str); 7] = [
    ("proc", "/proc"),
    ("sysfs", "/sys"),
    ("devtmpfs", "/dev"),
    ("tmpfs", "/run"),
    ("tmpfs", "/tmp"),
    ("bpf", "/sys/fs/bpf"),
    ("cgroup2", "/sys/fs/cgroup"),
];

fn main() -> ExitCode {
    if std::process::id() != 1 {
        eprintln!("error: this is the first process of a virtual machine; run `cargo xtask test-kernels`");
        return ExitCode::from(2);
    }
    match run() {
        Ok(()) => println!("@@ done"),
        Err(error) => println!("@@ fault {error:#}"),
    }
    let error = reboot(RebootCommand::PowerOff);
    println!("@@ fault the machine doesn't turn off: {error:?}");
    // Ending the first process is a panic, which ends the machine too.
    ExitCode::FAILURE
}

fn run() -> Result<()> {
    for (kind, at) in FILE_SYSTEMS {
        fs::create_dir_all(at).with_context(|| format!("cannot make `{at}`"))?;
        mount(kind, at, kind, MountFlags::empty(), None).with_context(|| format!("cannot mount `{at}`"))?;
    }
    let plan = fs::read_to_string("/plan").context("cannot read `/plan`")?;
    let mut variables = Vec::new();
    let mut asked = false;
    for line in plan.lines() {
        let words: Vec<_> = line.split('\t').collect();
        match words[..] {
            ["env", name, value] => variables.push((name, value)),
            ["module", name] => load(name)?,
            ["run", name, seconds, program, ref arguments @ ..] => {
                if !std::mem::replace(&mut asked, true) {
                    ask_the_verifier();
                }
                let within = Duration::from_secs(seconds.parse().context("a time-out that is no number")?);
                let mut command = Command::new(program);
                command.args(arguments).envs(variables.iter().copied()).current_dir("/tmp");
                println!("@@ begin {name}");
                let end = watch(&mut command, within).unwrap_or_else(|error| format!("{error:#}"));
                println!("\n@@ end {name} {end}");
            }
            _ => bail!("`/plan` says `{line}`"),
        }
    }
    Ok(())
}

fn load(name: &str) -> Result<()> {
    let module = fs::read(Path::new("/modules").join(name));
    let module = module.with_context(|| format!("cannot read the module `{name}`"))?;
    init_module(&module, &CString::default()).with_context(|| format!("cannot load the module `{name}`"))
}

fn ask_the_verifier() {
    match complexity(&KernelConfig::default()) {
        Ok(programs) => {
            for program in programs {
                let refused = program.refused.map_or_else(|| "ok".to_owned(), |why| why.replace('\n', " "));
                println!("@@ verifier {} {} {refused}", program.program, program.instructions);
            }
        }
        Err(error) => {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
            println!("@@ fault {error}{}", cause.unwrap_or_default());
        }
    }
}

/// Runs a program and says how it ended: with its exit code, or in words.
fn watch(command: &mut Command, within: Duration) -> Result<String> {
    let start = Instant::now();
    let mut child = command.spawn().context("cannot run it")?;
    loop {
        if let Some(status) = child.try_wait().context("cannot wait for it")? {
            return Ok(status.code().map_or_else(|| status.to_string(), |code| code.to_string()));
        }
        if start.elapsed() > within {
            child.kill().context("cannot end it")?;
            return Ok(format!("nothing after {within:?}"));
        }
        thread::sleep(Duration::from_millis(50));
    }
}
