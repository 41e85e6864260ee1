//! The real daemon, on a world's host, with directories of its own.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::Namespace;
use crate::leftovers::Traces;

/// Loading the kernel programs takes most of it: less than a second, but many under emulation.
const READY: Duration = Duration::from_secs(90);
const COMMAND: Duration = Duration::from_secs(60);

/// How to start the daemon.
#[derive(Debug, Clone, Default)]
pub struct DaemonOptions {
    /// The binary; by default `ENFORCER_BIN`, else the one beside the test executable.
    pub program: Option<PathBuf>,
    /// Documents to start with: file name and text.
    pub documents: Vec<(String, String)>,
    /// A directory whose files are copied in as documents as well.
    pub copy_from: Option<PathBuf>,
    /// More fields for `AgentConfig.spec`, for instance `("defaultMode", "audit".into())`; null takes one away.
    pub settings: Vec<(String, serde_yaml::Value)>,
    /// Environment variables, for instance `RUST_LOG`.
    pub environment: Vec<(String, String)>,
}

impl DaemonOptions {
    /// With one file of documents.
    #[must_use]
    pub fn with_policy(text: &str) -> Self {
        Self { documents: vec![("policy.yaml".to_owned(), text.to_owned())], ..Self::default() }
    }
}

/// A running daemon. Killed on drop; what it pinned goes with the world.
#[derive(Debug)]
pub struct Daemon {
    program: PathBuf,
    host: Namespace,
    dir: PathBuf,
    pid_file: PathBuf,
    environment: Vec<(String, String)>,
    child: Option<Child>,
}

/// What a command of the command line's said.
#[must_use]
#[derive(Debug, Clone)]
pub struct CommandOutput {
    /// Its exit code; none where a signal ended it.
    pub code: Option<i32>,
    /// Results.
    pub stdout: String,
    /// Diagnostics.
    pub stderr: String,
}

impl CommandOutput {
    /// Its results as JSON.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.stdout)
            .with_context(|| format!("not JSON: `{}` ({})", self.stdout.trim(), self.stderr.trim()))
    }
}

impl Daemon {
    pub(crate) fn start(
        traces: &Traces,
        host: &Namespace,
        cgroup: &Path,
        options: DaemonOptions,
    ) -> Result<Self> {
        let program = options.program.clone().map_or_else(find_program, Ok)?;
        let dir = traces.dir();
        let mut daemon = Self {
            program,
            host: host.clone(),
            pid_file: traces.pid_file(),
            environment: options.environment,
            child: None,
            dir,
        };
        fs::create_dir_all(daemon.policies()).context("cannot make the policies' directory")?;
        if let Some(source) = &options.copy_from {
            copy_files(source, &daemon.policies())?;
        }
        for (name, text) in &options.documents {
            daemon.write_policy(name, text)?;
        }
        let config = config(&daemon, &traces.pins(), cgroup, &options.settings)?;
        fs::write(daemon.config(), config).context("cannot write the daemon's configuration")?;
        daemon.spawn()?;
        Ok(daemon)
    }

    fn spawn(&mut self) -> Result<()> {
        let log =
            File::options().create(true).append(true).open(self.log_path()).context("cannot open the log")?;
        let mut command = self.host.command(&self.program);
        command
            .args([OsStr::new("run"), OsStr::new("--config"), self.config().as_os_str()])
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("cannot share the log")?)
            .stderr(log);
        let child = command.spawn().with_context(|| format!("cannot run `{}`", self.program.display()))?;
        // nsenter becomes the daemon: its id stays.
        fs::write(&self.pid_file, child.id().to_string()).context("cannot write the daemon's id")?;
        self.child = Some(child);
        Ok(())
    }

    /// Waits until `status` says that it enforces.
    pub fn wait_until_ready(&mut self) -> Result<()> {
        let start = Instant::now();
        let mut said = String::from("nothing");
        while start.elapsed() < READY {
            if let Some(status) = self.exit_status()? {
                bail!("the daemon ended: {status}\n{}", self.log_tail(40));
            }
            if self.socket().exists() {
                let status = self.enforcer(&["status", "-o", "json"])?;
                match status.json() {
                    Ok(json) if matches!(json["state"].as_str(), Some("enforcing" | "degraded")) => {
                        return Ok(());
                    }
                    _ => said = format!("`{}` {}", status.stdout.trim(), status.stderr.trim()),
                }
            }
            thread::sleep(Duration::from_millis(20));
        }
        bail!("the daemon isn't ready after {READY:?}; `status` says {said}\n{}", self.log_tail(40))
    }

    /// Runs the command line against this daemon, on the host. An exit code other than 0 isn't an error here.
    pub fn enforcer(&self, arguments: &[&str]) -> Result<CommandOutput> {
        let mut command = self.command(arguments);
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let child = child.with_context(|| format!("cannot run `{}`", self.program.display()))?;
        let pid = Pid::from_raw(child.id().cast_signed());
        let (done, over) = std::sync::mpsc::channel::<()>();
        let watchdog = thread::spawn(move || {
            let late = over
                .recv_timeout(COMMAND)
                .is_err_and(|error| error == std::sync::mpsc::RecvTimeoutError::Timeout);
            late && pid.is_some_and(|pid| kill_process(pid, Signal::KILL).is_ok())
        });
        let output = child.wait_with_output().context("cannot wait for the command")?;
        drop(done);
        if watchdog.join().unwrap_or(false) {
            bail!("`enforcer {}` took longer than {COMMAND:?}", arguments.join(" "));
        }
        Ok(CommandOutput {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// The command line against this daemon, for commands that run on (`observe -f`).
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.host.command(&self.program);
        command.args(arguments).env("ENFORCER_SOCKET", self.socket());
        command
    }

    /// The same where the test is, without another program before it.
    #[must_use]
    pub fn command_here(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments).env("ENFORCER_SOCKET", self.socket());
        command
    }

    /// Writes a file of documents; the daemon sees either the old one or the new one, whole.
    pub fn write_policy(&self, name: &str, text: &str) -> Result<()> {
        let aside = self.dir.join(format!("{name}.new"));
        fs::write(&aside, text).with_context(|| format!("cannot write `{}`", aside.display()))?;
        let path = self.policies().join(name);
        fs::rename(&aside, &path).with_context(|| format!("cannot write `{}`", path.display()))
    }

    /// Takes a file of documents away.
    pub fn remove_policy(&self, name: &str) -> Result<()> {
        let path = self.policies().join(name);
        fs::remove_file(&path).with_context(|| format!("cannot remove `{}`", path.display()))
    }

    /// Kills it at once, as a crash would. What it pinned stays.
    pub fn kill(&mut self) -> Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        child.kill().context("cannot kill the daemon")?;
        child.wait().context("cannot wait for the daemon")?;
        Ok(())
    }

    /// Asks it to end, as an init system does, and waits.
    pub fn terminate(&mut self) -> Result<()> {
        let Some(child) = &self.child else { return Ok(()) };
        let pid = Pid::from_raw(child.id().cast_signed()).context("the daemon has no id")?;
        kill_process(pid, Signal::TERM).context("cannot signal the daemon")?;
        let start = Instant::now();
        while self.exit_status()?.is_none() {
            if start.elapsed() > Duration::from_secs(5) {
                bail!("the daemon doesn't end\n{}", self.log_tail(40));
            }
            thread::sleep(Duration::from_millis(5));
        }
        self.child = None;
        Ok(())
    }

    /// Starts it again on the same directories, and waits until it enforces.
    pub fn restart(&mut self) -> Result<()> {
        self.kill()?;
        self.spawn()?;
        self.wait_until_ready()
    }

    /// Starts it again, or another release's binary, without waiting for it.
    pub fn start_again(&mut self, program: &Path) -> Result<()> {
        self.kill()?;
        self.program = program.to_owned();
        self.spawn()
    }

    /// How it ended, if it has.
    pub fn exit_status(&mut self) -> Result<Option<std::process::ExitStatus>> {
        let Some(child) = &mut self.child else { return Ok(None) };
        child.try_wait().context("cannot ask for the daemon")
    }

    /// The directory of documents that it watches.
    #[must_use]
    pub fn policies(&self) -> PathBuf {
        self.dir.join("policies")
    }

    /// Its control socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.dir.join("enforcer.sock")
    }

    /// Its configuration.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.dir.join("enforcer.yaml")
    }

    /// What it logs.
    #[must_use]
    pub fn log_path(&self) -> PathBuf {
        self.dir.join("daemon.log")
    }

    /// The binary.
    #[must_use]
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// The last lines of its log.
    #[must_use]
    pub fn log_tail(&self, lines: usize) -> String {
        let log = fs::read_to_string(self.log_path()).unwrap_or_default();
        let all: Vec<_> = log.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }

    /// Lets it outlive this process.
    pub(crate) fn leave_running(mut self) {
        self.child = None;
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Err(error) = self.kill() {
            eprintln!("{error:#}");
        }
    }
}

/// The binary that was built along with this executable: `<target>/<profile>/[deps/]<executable>`.
fn find_program() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("ENFORCER_BIN") {
        return Ok(path.into());
    }
    let executable = std::env::current_exe().context("cannot tell this executable's path")?;
    let found =
        executable.ancestors().skip(1).take(2).map(|dir| dir.join("enforcer")).find(|path| path.is_file());
    found.context(
        "the binary `enforcer` isn't built: run `cargo build -p enforcer-agent`, or set ENFORCER_BIN",
    )
}

fn copy_files(from: &Path, to: &Path) -> Result<()> {
    for entry in from.read_dir().with_context(|| format!("cannot read `{}`", from.display()))? {
        let path = entry.with_context(|| format!("cannot read `{}`", from.display()))?.path();
        if path.is_file() {
            let name = path.file_name().context("a file without a name")?;
            fs::copy(&path, to.join(name)).with_context(|| format!("cannot copy `{}`", path.display()))?;
        }
    }
    Ok(())
}

/// The daemon's configuration document.
fn config(
    daemon: &Daemon,
    pins: &Path,
    cgroup: &Path,
    settings: &[(String, serde_yaml::Value)],
) -> Result<String> {
    let path = |path: &Path| serde_yaml::Value::from(path.to_string_lossy().into_owned());
    let mut spec = serde_yaml::Mapping::new();
    spec.insert("policies".into(), serde_yaml::Value::Sequence(vec![path(&daemon.policies())]));
    spec.insert("socket".into(), path(&daemon.socket()));
    spec.insert("bpffs".into(), path(pins));
    spec.insert("cgroupRoot".into(), path(cgroup));
    spec.insert("state".into(), path(&daemon.dir.join("state")));
    for (name, value) in settings {
        if value.is_null() {
            spec.remove(name.as_str());
        } else {
            spec.insert(name.as_str().into(), value.clone());
        }
    }
    let mut metadata = serde_yaml::Mapping::new();
    metadata.insert("name".into(), "agent".into());
    let mut document = serde_yaml::Mapping::new();
    document.insert("apiVersion".into(), "enforcer.dev/v1alpha1".into());
    document.insert("kind".into(), "AgentConfig".into());
    document.insert("metadata".into(), metadata.into());
    document.insert("spec".into(), spec.into());
    serde_yaml::to_string(&document).context("cannot write the configuration as YAML")
}
