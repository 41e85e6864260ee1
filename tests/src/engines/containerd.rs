//! A containerd.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::{Process, output, root_of_containers};
use crate::{Workload, World};

/// A containerd on a world's host.
#[derive(Debug)]
pub struct Containerd {
    process: Process,
    cgroup: String,
}

impl Containerd {
    /// One that runs.
    pub fn start(world: &World) -> Result<Self> {
        let mut process = Process::new(world)?;
        let root = process.root.clone();
        root_of_containers(&root.join("files"))?;
        let place = |name: &str| root.join(name).to_string_lossy().into_owned();
        let plugins = "disabled_plugins = [\"io.containerd.grpc.v1.cri\", \"io.containerd.internal.v1.opt\"]";
        let config = format!(
            "version = 2\nroot = {:?}\nstate = {:?}\n{plugins}\n[grpc]\naddress = {:?}\n",
            place("data"),
            place("state"),
            place("c.sock"),
        );
        fs::write(root.join("config.toml"), config).context("cannot write containerd's configuration")?;
        process.start("containerd", &["--config".to_owned(), place("config.toml")])?;
        let socket = root.join("c.sock");
        process.wait_until(|| client(&socket, &["version"]))?;
        Ok(Self { process, cgroup: format!("{}/containerd", Process::cgroup(world)?) })
    }

    /// Where it listens.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.process.root.join("c.sock")
    }

    /// What a command of `ctr`'s says.
    pub fn ctr(&self, arguments: &[&str]) -> Result<String> {
        output(client(&self.socket(), arguments))
    }

    /// Starts a container that sleeps, in a workload's network namespace.
    pub fn run(&self, id: &str, labels: &[&str], inside: &Workload) -> Result<()> {
        let (namespace, cgroup) =
            (format!("network:{}", inside.namespace().path().display()), format!("{}/{id}", self.cgroup));
        let mut arguments = vec!["run", "--detach", "--rootfs", "--with-ns", &namespace, "--cgroup", &cgroup];
        // Where the v2 hierarchy has no controllers, as in the hybrid layout, none can be set.
        arguments.extend(["--cpu-shares", "0"]);
        // Otherwise the same for every containerd of the machine.
        let runtime = self.process.root.join("runc").to_string_lossy().into_owned();
        arguments.extend(["--runc-root", &runtime]);
        for label in labels {
            arguments.extend(["--label", label]);
        }
        let files = self.process.root.join("files");
        let files = files.to_string_lossy();
        arguments.extend([&*files, id, "/bin/sleep", "600"]);
        self.ctr(&arguments).map(drop)
    }

    /// Ends a container.
    pub fn end(&self, id: &str) -> Result<()> {
        self.ctr(&["tasks", "kill", "--signal", "SIGKILL", id])?;
        // It is over once the process is; asking again until then is what `ctr` leaves to whoever asks.
        for _ in 0..200 {
            if self.ctr(&["tasks", "delete", id]).is_ok() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        self.ctr(&["containers", "delete", id]).map(drop)
    }

    /// Kills it at once.
    pub fn kill_engine(&mut self) -> Result<()> {
        self.process.kill()
    }
}

fn client(socket: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("ctr");
    command.arg("--address").arg(socket).args(arguments);
    command
}
