//! A Docker engine.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use rustix::process::Signal;

use super::{Process, output, root_of_containers};
use crate::{Namespace, World};

/// The one image there is.
const IMAGE: &str = "box:1";

/// A Docker engine on a world's host. Its containers are at 10.88.0.0/24 and fd88::/64 unless they are told otherwise.
#[derive(Debug)]
pub struct Docker {
    process: Process,
    cgroup: String,
}

impl Docker {
    /// An engine that doesn't run yet: nobody listens on its socket.
    pub fn absent(world: &World) -> Result<Self> {
        Ok(Self { process: Process::new(world)?, cgroup: format!("{}/docker", Process::cgroup(world)?) })
    }

    /// One that runs, with an image.
    pub fn start(world: &World) -> Result<Self> {
        let mut docker = Self::absent(world)?;
        docker.run_engine()?;
        Ok(docker)
    }

    /// Starts the engine, for the first time or again. Containers that run go on.
    pub fn run_engine(&mut self) -> Result<()> {
        let root = self.process.root.clone();
        let place = |name: &str| root.join(name).to_string_lossy().into_owned();
        let mut arguments: Vec<String> = [
            ("--data-root", place("data")),
            ("--exec-root", place("exec")),
            ("--pidfile", place("pid")),
            ("--host", format!("unix://{}", place("docker.sock"))),
            ("--exec-opt", "native.cgroupdriver=cgroupfs".to_owned()),
            ("--cgroup-parent", self.cgroup.clone()),
            ("--storage-driver", "vfs".to_owned()),
            ("--bip", "10.88.0.1/24".to_owned()),
            ("--fixed-cidr-v6", "fd88::/64".to_owned()),
        ]
        .into_iter()
        .flat_map(|(name, value)| [name.to_owned(), value])
        .collect();
        let alone =
            ["--ipv6", "--live-restore", "--iptables=false", "--ip-masq=false", "--userland-proxy=false"];
        arguments.extend(alone.map(str::to_owned));
        self.process.start("dockerd", &arguments)?;
        let socket = self.socket();
        self.process.wait_until(|| client(&socket, &["version"]))?;
        if output(self.client(&["image", "inspect", IMAGE])).is_err() {
            let files = self.process.root.join("files");
            if !files.exists() {
                root_of_containers(&files)?;
            }
            let archive = self.process.root.join("files.tar");
            let mut tar = Command::new("tar");
            tar.arg("-C").arg(&files).arg("-cf").arg(&archive).arg(".");
            output(tar)?;
            output(self.client(&["import", &archive.to_string_lossy(), IMAGE]))?;
        }
        Ok(())
    }

    /// Where it listens.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.process.root.join("docker.sock")
    }

    fn client(&self, arguments: &[&str]) -> Command {
        client(&self.socket(), arguments)
    }

    /// What a command of Docker's says.
    pub fn docker(&self, arguments: &[&str]) -> Result<String> {
        output(self.client(arguments))
    }

    /// Starts a container with these options that sleeps; its id.
    pub fn run(&self, name: &str, options: &[&str]) -> Result<String> {
        self.run_program(name, options, &["sleep", "600"])
    }

    /// Starts a container that runs a program; its id.
    pub fn run_program(&self, name: &str, options: &[&str], program: &[&str]) -> Result<String> {
        let start: &[&str] = &["run", "--detach", "--init=false", "--name", name];
        self.docker(&[start, options, &[IMAGE], program].concat())
    }

    /// What a template says of a container.
    pub fn inspect(&self, name: &str, template: &str) -> Result<String> {
        self.docker(&["inspect", "--format", template, name])
    }

    /// The network namespace of a container, until it ends.
    pub fn enter(&self, world: &World, name: &str) -> Result<Namespace> {
        let pid = self.inspect(name, "{{.State.Pid}}")?;
        world.adopt(&format!("in-{name}-{pid}"), pid.parse().context("a container without a process")?)
    }

    /// Kills the engine at once. Its containerd goes along, a moment later: an engine that starts before that takes it for its own.
    pub fn kill_engine(&mut self) -> Result<()> {
        self.process.kill()?;
        self.process.wait_for_the_end_of("containerd.toml")?;
        // Whoever inherited it may not have reaped it yet, and an engine that finds its id in use waits for it.
        match fs::remove_file(self.process.root.join("exec/containerd/containerd.pid")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).context("cannot forget the engine's containerd")
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Stops the engine's process, or lets it go on: it doesn't answer, and its socket stays open.
    pub fn freeze_engine(&self, frozen: bool) -> Result<()> {
        self.process.signal(if frozen { Signal::STOP } else { Signal::CONT })
    }
}

fn client(socket: &std::path::Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("docker");
    command.arg("--host").arg(format!("unix://{}", socket.display())).args(arguments);
    command.env_remove("DOCKER_HOST").env_remove("DOCKER_CONTEXT");
    command
}
