//! Processes in cgroups of a world's own: services, as systemd would start them.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

use crate::Namespace;

/// A process in a cgroup, which does with sockets what it is told. Ends with this.
#[derive(Debug)]
pub struct Resident {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Resident {
    /// Starts one in `cgroup`, which has to be there.
    pub(crate) fn start(namespace: &Namespace, cgroup: &Path) -> Result<Self> {
        let mut command = command(namespace, cgroup)?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("cannot start a process in a cgroup")?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let (Some(stdin), Some(stdout)) = (stdin, stdout) else { bail!("a process without pipes") };
        Ok(Self { child, stdin, stdout: BufReader::new(stdout) })
    }

    /// Moves it into another cgroup, with all that it has open.
    pub fn move_to(&self, cgroup: &Path) {
        fs::write(cgroup.join("cgroup.procs"), self.child.id().to_string()).expect("the cgroup takes it");
    }

    /// Says a line, and whether the answer is yes.
    fn ask(&mut self, line: &str) -> bool {
        self.say(line);
        self.answer(line)
    }

    /// Says a line; the answer is to be taken later.
    pub fn say(&mut self, line: &str) {
        writeln!(self.stdin, "{line}").and_then(|()| self.stdin.flush()).expect("the process takes a line");
    }

    /// The answer to what was said.
    pub fn answer(&mut self, line: &str) -> bool {
        match self.line().as_str() {
            "yes" => true,
            "no" => false,
            other => panic!("`{line}`: {other}"),
        }
    }

    fn line(&mut self) -> String {
        let mut answer = String::new();
        self.stdout.read_line(&mut answer).expect("the process answers");
        answer.trim().to_owned()
    }

    fn number<T: std::str::FromStr>(&mut self, line: &str) -> T {
        self.say(line);
        let answer = self.line();
        answer.parse().unwrap_or_else(|_| panic!("`{line}`: {answer}"))
    }

    /// A socket that the process has made and this one uses: to the kernel it stays that process'.
    #[must_use]
    pub fn udp_socket(&mut self, at: SocketAddr) -> UdpSocket {
        let number = self.number(&format!("socket {at}"));
        let take = || {
            let process = Pid::from_child(&self.child);
            pidfd_getfd(pidfd_open(process, PidfdFlags::empty())?, number, PidfdGetfdFlags::empty())
        };
        take().expect("the process' socket is there").into()
    }

    /// Sends back what comes to this address over TCP, byte by byte.
    pub fn serve_exchanges(&mut self, at: SocketAddr) {
        assert!(self.ask(&format!("serve-exchanges {at}")));
    }

    /// How many bytes went to and fro over one connection, one at a time, in so long.
    #[must_use]
    pub fn exchanges(&mut self, to: SocketAddr, during: Duration) -> u64 {
        self.number(&format!("exchange {to} {}", during.as_millis()))
    }

    /// Has it run on one CPU.
    pub fn stay_on(&mut self, cpu: usize) {
        assert!(self.ask(&format!("cpu {cpu}")));
    }

    /// Answers what comes to this address, over TCP and UDP.
    pub fn serve(&mut self, at: SocketAddr) {
        assert!(self.ask(&format!("serve-tcp {at}")) && self.ask(&format!("serve-udp {at}")));
    }

    /// Answers what comes to this address over TCP, by a socket for multipath TCP; whether this kernel has those.
    pub fn serve_multipath(&mut self, at: SocketAddr) -> bool {
        self.say(&format!("serve-mptcp {at}"));
        self.line() == "yes"
    }

    /// Answers each connection to this address once, and closes it.
    pub fn serve_briefly(&mut self, at: SocketAddr) {
        assert!(self.ask(&format!("serve-briefly {at}")));
    }

    /// Whether a connection to `to` opens and carries data both ways.
    pub fn tcp(&mut self, to: SocketAddr) -> bool {
        self.ask(&format!("tcp {to}"))
    }

    /// The same, from an address of one's choice.
    pub fn tcp_from(&mut self, from: SocketAddr, to: SocketAddr) -> bool {
        self.ask(&format!("tcp-from {from} {to}"))
    }

    /// The same, where the other end has to be the first to close.
    pub fn tcp_to_end(&mut self, from: SocketAddr, to: SocketAddr) -> bool {
        self.ask(&format!("tcp-to-end {from} {to}"))
    }

    /// Whether a datagram to `to` is answered.
    pub fn udp(&mut self, to: SocketAddr) -> bool {
        self.ask(&format!("udp {to}"))
    }

    /// Opens a connection and keeps it under a name; whether it opened.
    pub fn open(&mut self, name: &str, to: SocketAddr) -> bool {
        self.ask(&format!("open {name} {to}"))
    }

    /// Whether a kept connection carries data both ways.
    pub fn talk(&mut self, name: &str) -> bool {
        self.ask(&format!("talk {name}"))
    }
}

impl Drop for Resident {
    fn drop(&mut self) {
        // It ends with its input as well; a cgroup can only be removed once it has gone.
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

/// Runs the program of a resident's in `cgroup`, which has to be there.
pub(crate) fn command(namespace: &Namespace, cgroup: &Path) -> Result<Command> {
    let program = std::env::current_exe().context("cannot tell where the tests are")?;
    let beside = |dir: &Path| Some(dir.join("resident")).filter(|program| program.is_file());
    let program = program.ancestors().skip(1).take(2).find_map(beside);
    let program = program.context("the program `resident` isn't built")?;
    let mut command = namespace.command("sh");
    // The shell moves itself, and becomes the program: every socket is made inside.
    command.args(["-c", "echo $$ > \"$0/cgroup.procs\" && exec \"$@\""]).arg(cgroup).arg(&program);
    Ok(command)
}

/// Makes a cgroup below another one.
pub(crate) fn make(root: &Path, path: &str) -> Result<std::path::PathBuf> {
    let cgroup = root.join(path.trim_start_matches('/'));
    fs::create_dir_all(&cgroup).with_context(|| format!("cannot make the cgroup `{}`", cgroup.display()))?;
    Ok(cgroup)
}
