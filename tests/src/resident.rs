//! Processes in cgroups of a world's own: services, as systemd would start them.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use anyhow::{Context, Result, bail};

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
        let program = std::env::current_exe().context("cannot tell where the tests are")?;
        let program = program.ancestors().nth(2).context("the tests are nowhere")?.join("resident");
        let mut command = namespace.command("sh");
        // The shell moves itself, and becomes the program: every socket is made inside.
        command.args(["-c", "echo $$ > \"$0/cgroup.procs\" && exec \"$1\""]).arg(cgroup).arg(&program);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("cannot run `{}`", program.display()))?;
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
        let mut answer = String::new();
        self.stdout.read_line(&mut answer).expect("the process answers");
        match answer.trim() {
            "yes" => true,
            "no" => false,
            other => panic!("`{line}`: {other}"),
        }
    }

    /// Answers what comes to this address, over TCP and UDP.
    pub fn serve(&mut self, at: SocketAddr) {
        assert!(self.ask(&format!("serve-tcp {at}")) && self.ask(&format!("serve-udp {at}")));
    }

    /// Whether a connection to `to` opens and carries data both ways.
    pub fn tcp(&mut self, to: SocketAddr) -> bool {
        self.ask(&format!("tcp {to}"))
    }

    /// The same, from an address of one's choice.
    pub fn tcp_from(&mut self, from: SocketAddr, to: SocketAddr) -> bool {
        self.ask(&format!("tcp-from {from} {to}"))
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

/// Makes a cgroup below another one.
pub(crate) fn make(root: &Path, path: &str) -> Result<std::path::PathBuf> {
    let cgroup = root.join(path.trim_start_matches('/'));
    fs::create_dir_all(&cgroup).with_context(|| format!("cannot make the cgroup `{}`", cgroup.display()))?;
    Ok(cgroup)
}
