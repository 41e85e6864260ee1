//! Running other programs, shown before they run.

use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus, Stdio};

use anyhow::{Context, Result, bail};

/// The root of the checkout.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies inside the workspace")
}

/// The cargo that runs this xtask.
pub(crate) fn cargo_path() -> PathBuf {
    std::env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from)
}

/// Cargo at the root of the checkout.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(cargo_path());
    command.current_dir(root());
    command
}

/// Where cargo puts what it builds.
pub(crate) fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |dir| root().join(dir))
}

/// A program on PATH, or in the directories of system programs that a user's PATH often lacks.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path: OsString = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(system).map(|dir| dir.join(program)).find(|path| path.is_file())
}

/// Shows a command and runs it; anything but success is an error.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let shown = show(command);
    eprintln!("$ {shown}");
    let status = command.status().with_context(|| format!("cannot run `{shown}`"))?;
    if !status.success() {
        bail!("`{shown}` failed: {status}");
    }
    Ok(())
}

/// What a command prints on stdout, if it runs and succeeds.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let shown = show(command);
    let output =
        command.stderr(Stdio::inherit()).output().with_context(|| format!("cannot run `{shown}`"))?;
    if !output.status.success() {
        bail!("`{shown}` failed: {}", output.status);
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{shown}` printed something that isn't UTF-8"))
}

fn show(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

/// How to run something as root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Root {
    /// We are root.
    Already,
    /// Through sudo, which asks for no password or has a terminal to ask on.
    Sudo,
}

impl Root {
    /// How this process can run something as root, if at all.
    pub(crate) fn detect() -> Option<Self> {
        if effective_uid() == Some(0) {
            return Some(Self::Already);
        }
        let sudo = find("sudo")?;
        let silent = Command::new(sudo).args(["-n", "true"]).stderr(Stdio::null()).status();
        (silent.is_ok_and(|status| status.success()) || std::io::stdin().is_terminal()).then_some(Self::Sudo)
    }

    /// A command that runs `program` as root, in this environment.
    pub(crate) fn command(self, program: &Path) -> Command {
        match self {
            Self::Already => Command::new(program),
            Self::Sudo => {
                let mut command = Command::new("sudo");
                command.arg("--preserve-env").arg(program);
                command
            }
        }
    }
}

/// This process's effective user id.
pub(crate) fn effective_uid() -> Option<u32> {
    status_field("Uid:")?.split_whitespace().nth(1)?.parse().ok()
}

/// A field of `/proc/self/status`.
pub(crate) fn status_field(name: &str) -> Option<String> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    Some(status.lines().find_map(|line| line.strip_prefix(name))?.trim().to_owned())
}

/// Another program's exit code as our own; death by a signal is a 2.
pub(crate) fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    ExitCode::from(code.unwrap_or(2))
}
