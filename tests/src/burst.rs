//! Services that come, send at once to where they may and to where they may not, and go.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::World;
use crate::resident::{self, Resident};

/// Datagrams of each kind that a service sends, and how far apart.
const DATAGRAMS: u32 = 100;
const PACE: Duration = Duration::from_millis(5);
/// Patience with a service that doesn't end.
const PATIENCE: Duration = Duration::from_secs(60);

/// Services under way.
#[derive(Debug)]
pub struct Burst {
    allowed: UdpSocket,
    forbidden: UdpSocket,
    running: Vec<(Child, PathBuf)>,
    seen: Sent,
}

/// What came of them.
#[derive(Debug, Clone, Default)]
pub struct Sent {
    /// For each service: how long after its first datagram the first one passed that it may send. `None` where none did.
    pub delays: Vec<Option<Duration>>,
    /// Datagrams that were sent to where they may not go.
    pub forbidden: u64,
    /// Of these passed.
    pub slipped: u64,
}

impl Burst {
    /// Sends to this service's `port`, which is allowed, and to the next one, which isn't.
    pub fn open(server: &mut Resident, port: u16) -> Result<Self> {
        let mut bound = |port| -> Result<UdpSocket> {
            let socket = server.udp_socket(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
            socket.set_nonblocking(true).context("cannot set a socket to non-blocking")?;
            Ok(socket)
        };
        Ok(Self {
            allowed: bound(port)?,
            forbidden: bound(port + 1)?,
            running: Vec::new(),
            seen: Sent::default(),
        })
    }

    /// Starts one in a cgroup that isn't there yet.
    pub fn start(&mut self, world: &World, cgroup: &str, number: usize) -> Result<()> {
        let [allowed, forbidden] = [&self.allowed, &self.forbidden].map(UdpSocket::local_addr);
        let dir = resident::make(world.cgroup(), cgroup)?;
        let mut command: Command = resident::command(world.host(), &dir)?;
        command.args(["burst", &allowed?.to_string(), &forbidden?.to_string(), &number.to_string()]);
        command.args([DATAGRAMS.to_string(), PACE.as_millis().to_string()]);
        let child = command.stdin(Stdio::null()).spawn().context("cannot start a service")?;
        self.running.push((child, dir));
        self.seen.forbidden += u64::from(DATAGRAMS);
        self.seen.delays.resize(self.seen.delays.len().max(number + 1), None);
        self.look()
    }

    /// Takes what has arrived, and takes away who has ended.
    fn look(&mut self) -> Result<()> {
        let mut message = [0; 16];
        while self.forbidden.recv(&mut message).is_ok() {
            self.seen.slipped += 1;
        }
        while self.allowed.recv(&mut message).is_ok_and(|length| length == message.len()) {
            let [number, after] =
                [0, 8].map(|at| u64::from_ne_bytes(std::array::from_fn(|byte| message[at + byte])));
            let place = self.seen.delays.get_mut(number as usize).context("a datagram of nobody's")?;
            place.get_or_insert(Duration::from_nanos(after));
        }
        let mut failed = None;
        self.running.retain_mut(|(child, dir)| match child.try_wait() {
            Ok(None) => true,
            Ok(Some(status)) => {
                if !status.success() {
                    failed = Some(status);
                }
                // One that isn't quite gone yet goes with the world.
                let _ = std::fs::remove_dir(dir);
                false
            }
            Err(_) => false,
        });
        match failed {
            Some(status) => bail!("a service ended: {status}"),
            None => Ok(()),
        }
    }

    /// Waits until all have ended, and tells.
    pub fn end(mut self) -> Result<Sent> {
        let start = Instant::now();
        while !self.running.is_empty() {
            if start.elapsed() > PATIENCE {
                bail!("{} services don't end", self.running.len());
            }
            self.look()?;
            thread::sleep(Duration::from_millis(5));
        }
        self.look()?;
        Ok(std::mem::take(&mut self.seen))
    }
}

impl Drop for Burst {
    fn drop(&mut self) {
        for (child, _) in &mut self.running {
            let _gone = child.kill();
            let _gone = child.wait();
        }
    }
}
