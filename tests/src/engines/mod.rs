//! Real container engines on a world's host: with directories of their own, in its network namespace, and seeing the cgroup v2 hierarchy alone.
//!
//! Programs in containers are Debian's static busybox. What an engine leaves behind goes with its world ([`sweep`]).

mod containerd;
mod docker;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::{Namespace, World};

pub use containerd::Containerd;
pub use docker::Docker;

/// The static busybox that containers are made of.
const BUSYBOX: &str = "/bin/busybox";
/// An engine is there within a second or two; this is for machines that are busy.
const READY: Duration = Duration::from_secs(60);
/// Where a world says which directories its engines have.
const NOTES: &str = "engine";

/// What is missing of the programs that engines need, in one line.
#[must_use]
pub fn missing() -> Option<String> {
    let found = |name: &&str| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|dir| dir.join(name).is_file())
    };
    let programs = ["dockerd", "docker", "containerd", "ctr", "runc"];
    let mut missing: Vec<&str> = programs.into_iter().filter(|name| !found(name)).collect();
    if !Path::new(BUSYBOX).is_file() {
        missing.push(BUSYBOX);
    }
    (!missing.is_empty()).then(|| {
        format!("there is no {} (apt-get install docker.io docker-cli busybox-static)", missing.join(", no "))
    })
}

/// An engine's process, and where it keeps everything.
#[derive(Debug)]
struct Process {
    /// Short, because paths of sockets are.
    root: PathBuf,
    host: Namespace,
    /// Keeps the mount namespace, which outlives the engine as its containers do.
    mounts: Child,
    child: Option<Child>,
}

impl Process {
    /// The world's cgroup, as engines name it.
    fn cgroup(world: &World) -> Result<String> {
        let name = world.cgroup().file_name().context("the world has no cgroup of its own")?;
        Ok(format!("/{}", name.to_string_lossy()))
    }

    fn new(world: &World) -> Result<Self> {
        static SERIAL: AtomicU32 = AtomicU32::new(0);
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let root = PathBuf::from(format!("/run/enf-{}-{serial}", std::process::id()));
        // Written down before it is there, so that nothing is left of it.
        fs::write(world.dir().join(format!("{NOTES}-{serial}")), root.to_string_lossy().as_bytes())
            .context("cannot note the engine's directory")?;
        fs::create_dir_all(&root).with_context(|| format!("cannot create `{}`", root.display()))?;
        let mounts = mount_namespace(&root)?;
        Ok(Self { root, host: world.host().clone(), mounts, child: None })
    }

    /// Runs the engine on the host, in its mount namespace.
    fn start(&mut self, program: &str, arguments: &[String]) -> Result<()> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.root.join("log"))
            .context("cannot open its log")?;
        let mut command = self.host.command("nsenter");
        command
            .arg(format!("--mount=/proc/{}/ns/mnt", self.mounts.id()))
            .arg("--")
            .arg(program)
            .args(arguments);
        command.stdin(Stdio::null()).stdout(log.try_clone().context("cannot share its log")?).stderr(log);
        self.child = Some(command.spawn().with_context(|| format!("cannot run `{program}`"))?);
        Ok(())
    }

    /// Waits until a command succeeds against it.
    fn wait_until(&mut self, ready: impl Fn() -> Command) -> Result<()> {
        let start = Instant::now();
        while start.elapsed() < READY {
            if let Some(ended) = self.child.as_mut().and_then(|child| child.try_wait().ok().flatten()) {
                bail!("the engine ended: {ended}\n{}", self.log());
            }
            if ready().output().is_ok_and(|output| output.status.success()) {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(20));
        }
        bail!("the engine isn't ready after {READY:?}\n{}", self.log())
    }

    fn log(&self) -> String {
        let log = fs::read_to_string(self.root.join("log")).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    /// Kills the engine at once. Its containers go on.
    fn kill(&mut self) -> Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        child.kill().context("cannot kill the engine")?;
        child.wait().context("cannot wait for the engine")?;
        Ok(())
    }

    /// Waits until no process is left that was started with this file of the engine's.
    fn wait_for_the_end_of(&self, file: &str) -> Result<()> {
        let root = self.root.to_string_lossy();
        let start = Instant::now();
        while processes().any(|pid| names(pid, &root) && command_line(pid).contains(file)) {
            if start.elapsed() > READY {
                bail!("what was started with `{file}` doesn't end");
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Stops it as a debugger would, or lets it go on.
    fn signal(&self, signal: Signal) -> Result<()> {
        let child = self.child.as_ref().context("the engine isn't running")?;
        let pid = Pid::from_raw(child.id().cast_signed()).context("no process has this id")?;
        kill_process(pid, signal).context("cannot signal the engine")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let ended = self.kill().and_then(|()| self.mounts.kill().context("cannot end who keeps its mounts"));
        if let Err(error) = ended.and_then(|()| self.mounts.wait().context("cannot wait for it")) {
            eprintln!("{error:#}");
        }
    }
}

/// A process in a mount namespace of its own, in which `/sys/fs/cgroup` is the v2 hierarchy and nothing else.
fn mount_namespace(root: &Path) -> Result<Child> {
    const ALONE: &str =
        "[ \"$(stat -f -c %T /sys/fs/cgroup)\" = cgroup2fs ] || mount -t cgroup2 none /sys/fs/cgroup
                         touch \"$1\"; while :; do sleep 600 & wait; done";
    let ready = root.join("mounted");
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-ec", ALONE, "sh"]).arg(&ready);
    let mut child = command.stdin(Stdio::null()).spawn().context("cannot run `unshare`")?;
    let start = Instant::now();
    while !ready.exists() {
        if start.elapsed() > READY || child.try_wait().is_ok_and(|ended| ended.is_some()) {
            // It has no children yet that matter.
            let _ended = child.kill();
            bail!("cannot make a mount namespace with the cgroup v2 hierarchy alone");
        }
        thread::sleep(Duration::from_millis(5));
    }
    Ok(child)
}

/// What a command said, or why it failed.
fn output(mut command: Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot run {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?} failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// A directory that holds busybox under the names of a few of its programs.
fn root_of_containers(dir: &Path) -> Result<()> {
    let programs = dir.join("bin");
    fs::create_dir_all(&programs).context("cannot make a container's root")?;
    fs::copy(BUSYBOX, programs.join("busybox")).context("cannot copy busybox")?;
    for name in ["sh", "sleep", "nc", "ping", "cat", "timeout"] {
        std::os::unix::fs::symlink("busybox", programs.join(name)).context("cannot name busybox")?;
    }
    Ok(())
}

/// Ends what runs of a world's engines and takes away what they keep. Whatever goes wrong is found again by whoever looks for leftovers.
pub(crate) fn sweep(world: &Path, cgroup: Option<&Path>) {
    let Ok(entries) = world.read_dir() else { return };
    let is_note = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&format!("{NOTES}-")))
    };
    for note in entries.flatten().map(|entry| entry.path()).filter(is_note) {
        let Ok(root) = fs::read_to_string(&note) else { continue };
        // Only what an engine of ours can have been given.
        if !root.starts_with("/run/enf-") || root.contains("..") {
            continue;
        }
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(10) {
            let running: Vec<Pid> =
                processes().filter(|pid| names(*pid, &root)).chain(members(cgroup)).collect();
            if running.is_empty() {
                break;
            }
            for pid in running {
                // Gone in between is what is wanted.
                let _gone = kill_process(pid, Signal::KILL);
            }
            thread::sleep(Duration::from_millis(10));
        }
        let _kept = fs::remove_dir_all(&root);
    }
}

fn processes() -> impl Iterator<Item = Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?))
}

/// Whether a process was started with this directory in its command line. Nothing else knows it.
fn names(pid: Pid, root: &str) -> bool {
    command_line(pid).contains(&format!("{root}/"))
}

fn command_line(pid: Pid) -> String {
    let line = fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())).unwrap_or_default();
    String::from_utf8_lossy(&line).into_owned()
}

/// Everything that runs in a cgroup or below.
fn members(cgroup: Option<&Path>) -> Vec<Pid> {
    let Some(cgroup) = cgroup else { return Vec::new() };
    let text = fs::read_to_string(cgroup.join("cgroup.procs")).unwrap_or_default();
    let mut found: Vec<Pid> = text.lines().filter_map(|line| Pid::from_raw(line.parse().ok()?)).collect();
    for entry in cgroup.read_dir().into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(members(Some(&entry.path())));
        }
    }
    found
}
