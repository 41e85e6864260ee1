//! Data that flows both ways for as long as it is let, with a meter at each end.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use crate::serve::is_pause;
use crate::{Meter, Namespace, Workload, lost_segments};

/// A chunk every so often: fine enough to time a cut by, coarse enough for a small machine.
const PACE: Duration = Duration::from_micros(250);
const CHUNK: usize = 512;
const CONNECT: Duration = Duration::from_secs(3);
/// How often a blocked end looks whether it should stop.
const TICK: Duration = Duration::from_millis(20);

/// How the data travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamKind {
    /// One connection.
    Tcp,
    /// Datagrams from one port to another, and back.
    Udp,
}

/// A running exchange. Ends on drop.
#[derive(Debug)]
pub struct Stream {
    client: Namespace,
    local: SocketAddr,
    forward: Arc<Meter>,
    backward: Arc<Meter>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Stream {
    /// Begins to send from `client` to a port of `server`'s, and back. Nothing else may listen there.
    pub fn open(
        client: &Workload,
        server: &Workload,
        v6: bool,
        kind: StreamKind,
        port: u16,
    ) -> io::Result<Self> {
        let to = SocketAddr::new(server.address(v6), port);
        let ends = match kind {
            StreamKind::Tcp => connect(client, server, to).map(|(a, b)| (End::Tcp(a), End::Tcp(b))),
            StreamKind::Udp => exchange_ports(client, server, to).map(|(a, b)| (End::Udp(a), End::Udp(b))),
        }?;
        let local = ends.0.local()?;
        let (forward, backward) = (Arc::<Meter>::default(), Arc::<Meter>::default());
        let stop = Arc::<AtomicBool>::default();
        let mut threads = Vec::new();
        for (end, meter) in [(ends.0, &backward), (ends.1, &forward)] {
            end.set_timeouts()?;
            let receiver = end.try_clone()?;
            let (meter, over) = (meter.clone(), stop.clone());
            threads.push(thread::spawn(move || receive(receiver, &meter, &over)));
            let over = stop.clone();
            threads.push(thread::spawn(move || send(end, &over)));
        }
        Ok(Self { client: client.namespace().clone(), local, forward, backward, stop, threads })
    }

    /// The client's own end.
    #[must_use]
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// What the server receives.
    #[must_use]
    pub fn forward(&self) -> &Meter {
        &self.forward
    }

    /// What the client receives.
    #[must_use]
    pub fn backward(&self) -> &Meter {
        &self.backward
    }

    /// Both directions: what the server receives, and what the client does.
    #[must_use]
    pub fn meters(&self) -> [&Meter; 2] {
        [&self.forward, &self.backward]
    }

    /// Waits until data comes in both directions of each of these, or until none has for a while; 20 s at most.
    ///
    /// # Panics
    ///
    /// Where that doesn't come about.
    #[track_caller]
    pub fn wait(streams: &[Self], flows: bool, what: &str) {
        const PATIENCE: Duration = Duration::from_secs(20);
        let start = Instant::now();
        for meter in streams.iter().flat_map(Self::meters) {
            meter.reset();
            loop {
                thread::sleep(Duration::from_millis(300));
                let came = meter.reset().bytes > 0;
                if came == flows {
                    break;
                }
                let still = if came { "comes" } else { "stays away" };
                assert!(start.elapsed() < PATIENCE, "{what}: data still {still}");
            }
        }
    }

    /// How many of the client's segments were [lost](lost_segments) on the way. None for UDP or where `ss` is missing.
    #[must_use]
    pub fn lost(&self) -> Option<u32> {
        let all = lost_segments(&self.client);
        all.into_iter().find(|((local, _), _)| local.port() == self.local.port()).map(|(_, lost)| lost)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // An end that panicked has said so.
            let _said = thread.join();
        }
    }
}

/// One end of an exchange.
#[derive(Debug)]
enum End {
    Tcp(TcpStream),
    Udp(UdpSocket),
}

impl End {
    fn local(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Tcp(stream) => stream.local_addr(),
            Self::Udp(socket) => socket.local_addr(),
        }
    }

    fn try_clone(&self) -> io::Result<Self> {
        Ok(match self {
            Self::Tcp(stream) => Self::Tcp(stream.try_clone()?),
            Self::Udp(socket) => Self::Udp(socket.try_clone()?),
        })
    }

    fn set_timeouts(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => {
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(TICK))?;
                stream.set_write_timeout(Some(TICK))
            }
            Self::Udp(socket) => {
                socket.set_read_timeout(Some(TICK))?;
                socket.set_write_timeout(Some(TICK))
            }
        }
    }
}

fn connect(client: &Workload, server: &Workload, to: SocketAddr) -> io::Result<(TcpStream, TcpStream)> {
    let listener = server.listen(to.port(), socket2::Protocol::TCP, CONNECT)?;
    let socket = client.enter(|| Socket::new(Domain::for_address(to), Type::STREAM, None))?;
    socket.connect_timeout(&to.into(), CONNECT)?;
    socket.set_nonblocking(false)?;
    let (accepted, _) = listener.accept()?;
    Ok((socket.into(), accepted))
}

fn exchange_ports(
    client: &Workload,
    server: &Workload,
    to: SocketAddr,
) -> io::Result<(UdpSocket, UdpSocket)> {
    let any = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let near = client.enter(|| UdpSocket::bind(SocketAddr::new(any, 0)))?;
    near.connect(to)?;
    let far = server.enter(|| UdpSocket::bind(to))?;
    far.set_read_timeout(Some(CONNECT))?;
    // The first datagram goes the client's way: the other way round it would be a flow of its own.
    near.send(&[0; CHUNK])?;
    let (_, from) = far.recv_from(&mut [0; CHUNK])?;
    far.connect(from)?;
    Ok((near, far))
}

fn send(mut end: End, stop: &AtomicBool) {
    let chunk = [0x5a; CHUNK];
    while !stop.load(Ordering::Relaxed) {
        let sent = match &mut end {
            End::Tcp(stream) => stream.write(&chunk),
            End::Udp(socket) => socket.send(&chunk),
        };
        match sent {
            Ok(_) => thread::sleep(PACE),
            // A full buffer; or, for UDP, what the other side's kernel said about an earlier datagram.
            Err(error) if is_pause(&error) => {}
            Err(_) if matches!(end, End::Udp(_)) => thread::sleep(PACE),
            Err(_) => return,
        }
    }
}

fn receive(mut end: End, meter: &Meter, stop: &AtomicBool) {
    let mut buffer = [0; 65536];
    while !stop.load(Ordering::Relaxed) {
        let received = match &mut end {
            End::Tcp(stream) => stream.read(&mut buffer),
            End::Udp(socket) => socket.recv(&mut buffer),
        };
        match received {
            Ok(0) if matches!(end, End::Tcp(_)) => return,
            Ok(count) => meter.note(count),
            Err(error) if is_pause(&error) || matches!(end, End::Udp(_)) => {}
            Err(_) => return,
        }
    }
}
