//! `cargo xtask test-kernels`: boots old and new kernels under emulation and runs tests inside.

mod archive;
mod initramfs;
mod lines;
mod machine;
mod plan;
mod table;

use std::fs;
use std::panic::resume_unwind;
use std::path::Path;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::runner::built;
use crate::setup::{self, Scope};
use crate::shell::{find, target_dir};
use crate::tally::Report;
use archive::{Archive, Kernel};
use initramfs::Initramfs;
pub(crate) use lines::Line;
pub(crate) use machine::QEMU;
use plan::{BUDGET, Outcome, PARTS};
use table::Row;

/// What attaching, joining namespaces and listing sockets takes; each brings what it depends on.
const MODULES: [&str; 5] = ["veth", "sch_ingress", "cls_bpf", "tcp_diag", "udp_diag"];
/// Programs of this machine's that the tests call.
const TOOLS: [&str; 3] = ["ip", "nsenter", "sh"];
/// A test of the agent's package.
const AGENTS_TEST: &str = "cli";
/// For booting, beside the tests' own time.
const BOOT: Duration = Duration::from_secs(120);
/// Lines of a console that are shown where something went wrong.
const LAST_WORDS: usize = 40;

/// Tests these lines of kernels, all where none is named, and prints what came of each. `write` puts the table into the README.
pub(crate) fn run(lines: &[Line], write: bool) -> Result<ExitCode> {
    if write && !lines.is_empty() {
        bail!("the README's table is of all kernels: `--write` goes without `--kernel`");
    }
    let lines = if lines.is_empty() { lines::all() } else { lines.to_vec() };
    setup::run(Scope::Kernels)?;
    let rows = test(&lines)?;
    println!("\n{}", table::render(&rows));
    if write {
        table::write(&rows)?;
    }
    let mut report = Report::default();
    for row in &rows {
        report.add(name(&row.line), row.outcome.tally());
    }
    report.print();
    Ok(report.total().exit_code())
}

/// As part of CI: the oldest and the newest.
pub(crate) fn ends(report: &mut Report) -> Result<()> {
    let all = lines::all();
    let ends: Vec<_> = [all.first(), all.last()].into_iter().flatten().cloned().collect();
    for row in test(&ends)? {
        report.add(name(&row.line), row.outcome.tally());
    }
    Ok(())
}

fn name(line: &Line) -> String {
    format!("kernel {line}, emulated")
}

fn test(lines: &[Line]) -> Result<Vec<Row>> {
    let (programs, dir) = (&build()?, &target_dir().join("kernels"));
    let archive = Archive::open(dir)?;
    // One after the other: they come through the package manager.
    let unpack = |line| archive.unpack(&archive.newest(line)?, &MODULES);
    let kernels: Vec<(&Line, Result<Kernel>)> = lines.iter().map(|line| (line, unpack(line))).collect();
    // A machine has one processor, and is emulated.
    let at_once = thread::available_parallelism().map_or(1, usize::from);
    let mut rows = Vec::new();
    let mut waiting = kernels.into_iter().peekable();
    while waiting.peek().is_some() {
        let some: Vec<_> = waiting.by_ref().take(at_once).collect();
        rows.extend(thread::scope(|scope| {
            let try_one = |(line, kernel)| scope.spawn(move || try_line(line, kernel, programs, dir));
            let running: Vec<_> = some.into_iter().map(try_one).collect();
            let row = |one: thread::ScopedJoinHandle<'_, Row>| {
                one.join().unwrap_or_else(|panic| resume_unwind(panic))
            };
            running.into_iter().map(row).collect::<Vec<_>>()
        }));
    }
    Ok(rows)
}

/// Whatever goes wrong is this kernel's result; the others go on.
fn try_line(line: &Line, kernel: Result<Kernel>, programs: &Initramfs, dir: &Path) -> Row {
    println!("\n=== {}", name(line));
    let mut version = "–".to_owned();
    let work = || -> Result<Outcome> {
        let kernel = kernel?;
        version.clone_from(&kernel.version);
        boot(line, &kernel, programs, dir)
    };
    let outcome =
        work().unwrap_or_else(|error| Outcome { faults: vec![format!("{error:#}")], ..Outcome::default() });
    for (program, checked) in &outcome.programs {
        let said = checked.refused.as_deref().unwrap_or("loads");
        println!("{program}: {} of {BUDGET} verified instructions, {said}", checked.instructions);
    }
    outcome.faults.iter().for_each(|fault| println!("FAILED: {fault}"));
    println!("=== {} ({version}): {}", name(line), outcome.tally());
    Row { line: line.clone(), version, outcome }
}

fn boot(line: &Line, kernel: &Kernel, programs: &Initramfs, dir: &Path) -> Result<Outcome> {
    let mut files = programs.clone();
    let mut names = Vec::new();
    for module in &kernel.modules {
        let name = module.file_name().context("a module without a name")?.to_string_lossy().into_owned();
        let bytes = fs::read(module).with_context(|| format!("cannot read `{}`", module.display()))?;
        files.put(Path::new("/modules").join(&name), bytes);
        names.push(name);
    }
    files.put("/plan", plan::text(&names, &files.library_path()).into_bytes());
    let initramfs = dir.join(format!("initramfs-{}", kernel.version));
    fs::write(&initramfs, files.pack()?)
        .with_context(|| format!("cannot write `{}`", initramfs.display()))?;
    let within = BOOT + PARTS.iter().map(|part| Duration::from_secs(part.seconds.into())).sum();
    let boot = machine::boot(&kernel.image, &initramfs, within, |said| show(line, said))?;
    // Large, and another one for each kernel.
    fs::remove_file(&initramfs).with_context(|| format!("cannot remove `{}`", initramfs.display()))?;
    let console = dir.join(format!("console-{}.log", kernel.version));
    fs::write(&console, boot.lines.join("\n"))
        .with_context(|| format!("cannot write `{}`", console.display()))?;
    let outcome = Outcome::of(&boot);
    println!("the machine ran for {:.0?}; its console is in `{}`", boot.took, console.display());
    if outcome.tally().failed > 0 {
        println!("the end of its console:");
        let end = boot.lines.len().saturating_sub(LAST_WORDS);
        boot.lines[end..].iter().for_each(|line| println!("    {line}"));
    }
    Ok(outcome)
}

/// Of a running machine: what tests say of themselves. Others may run beside it.
fn show(kernel: &Line, said: &str) {
    if said.starts_with("test ") || said.starts_with("ENFORCER_SEED=") {
        println!("{kernel}: {said}");
    }
}

/// What the machines boot with, whatever their kernel.
fn build() -> Result<Initramfs> {
    // As every other run of tests builds them, so that nothing is built twice. A package's tests bring its programs.
    let mut arguments = vec!["--workspace", "--test", AGENTS_TEST];
    arguments.extend(PARTS.iter().flat_map(|part| ["--test", part.target]));
    let tests = built(&arguments)?;
    let aside = target_dir().join("kernels");
    fs::create_dir_all(&aside).with_context(|| format!("cannot make `{}`", aside.display()))?;
    let mut files = Initramfs::default();
    files.put_program("/init", &target_dir().join("debug/guest"), &aside)?;
    files.put_program("/bin/enforcer", &target_dir().join("debug/enforcer"), &aside)?;
    // Tests look for it beside themselves.
    files.put_program("/tests/resident", &target_dir().join("debug/resident"), &aside)?;
    for tool in TOOLS {
        let path = find(tool).with_context(|| format!("`{tool}` is missing"))?;
        files.put_program(Path::new("/bin").join(tool), &path, &aside)?;
    }
    let parts = tests.into_iter().filter(|(artifact, _)| artifact.target.name != AGENTS_TEST);
    for (artifact, path) in parts {
        files.put_program(Path::new("/tests").join(artifact.target.name), &path, &aside)?;
    }
    Ok(files)
}
