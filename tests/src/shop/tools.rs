//! What a person finds in the shell on the shop's host.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::World;

/// Runs a command in a workload's network namespace.
const ON: &str = r#"#!/bin/bash
# on WORKLOAD COMMAND...: run a command as that workload would
case "$1" in
MEMBERS
*) echo "usage: on WORKLOAD COMMAND...; workloads are NAMES" >&2; exit 2 ;;
esac
shift
exec nsenter --net="$net" -- "$@"
"#;

/// Says whether a TCP port answers. bash alone: nothing has to be installed for it.
const TRY: &str = r#"#!/bin/bash
# try ADDRESS PORT: whether a TCP connection can be opened
[ $# = 2 ] || { echo "usage: try ADDRESS PORT" >&2; exit 2; }
timeout 1 bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$1" "$2" 2>/dev/null
case $? in
0) echo "$1 port $2: connected" ;;
124) echo "$1 port $2: no answer in 1 s"; exit 1 ;;
*) echo "$1 port $2: refused"; exit 1 ;;
esac
"#;

const GREETING: &str = r#"PS1='shop$ '
cat <<'END'
This shell is on the shop's host: its workloads are web, checkout, ledger, batch and metrics, each behind a device of its own.
They are at work, and nothing judges their packets yet. docs/WALKTHROUGH.md says what to do next.
  enforcer ...              is this build; its daemon runs, without any policy
  on WORKLOAD COMMAND...    runs a command as that workload:  on web try 10.77.0.20 8080
  exit                      ends the shop, and takes away everything, this directory too
END
"#;

pub(super) fn bin(dir: &Path) -> PathBuf {
    dir.join("bin")
}

pub(super) fn desk(dir: &Path) -> PathBuf {
    dir.join("shop")
}

pub(super) fn greeting(dir: &Path) -> PathBuf {
    dir.join("greeting")
}

/// Writes the tools, and the directory to work in.
pub(super) fn install(world: &mut World) -> Result<()> {
    let dir = world.dir();
    let (mut members, mut names) = (String::new(), Vec::new());
    for workload in world.workloads() {
        let (name, net) = (workload.name(), workload.namespace().path());
        // Writing to a string doesn't fail.
        let _ = writeln!(members, "{name}) net={} ;;", net.display());
        names.push(name.to_owned());
    }
    let on = ON.replace("MEMBERS\n", &members).replace("NAMES", &names.join(", "));
    fs::create_dir_all(bin(&dir)).context("cannot make the tools' directory")?;
    fs::create_dir_all(desk(&dir)).context("cannot make the directory to work in")?;
    for (name, text) in [("on", on.as_str()), ("try", TRY)] {
        let path = bin(&dir).join(name);
        fs::write(&path, text).with_context(|| format!("cannot write `{}`", path.display()))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
            .with_context(|| format!("cannot make `{}` a program", path.display()))?;
    }
    let program = world.daemon().program().canonicalize().context("the enforcer has no path")?;
    symlink(program, bin(&dir).join("enforcer")).context("cannot link the enforcer")?;
    fs::write(greeting(&dir), GREETING).context("cannot write the greeting")
}
