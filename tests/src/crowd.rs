//! Many flows at once, driven by one thread, so that a small machine can keep a thousand of them alive.
//!
//! Every message carries its number and when it was sent: what is missing is told apart from what is late, and when the last one that passed was
//! sent doesn't depend on how busy its receiver was.

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use enforcer_agent::daemon::clock::Instants;
use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::fd::OwnedFd;
use socket2::{Domain, SockRef, Socket, Type};

use crate::{Namespace, StreamKind, Workload};

/// How long what has to come is waited for.
const PATIENCE: Duration = Duration::from_secs(20);
/// A message: its number, and when it was sent.
const MESSAGE: usize = 16;
/// Flows that are served in one go, before what has arrived is looked at.
const TURN: usize = 64;

/// Flows to open: `count` of one kind from one workload to another.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    /// Who opens them.
    pub client: &'a Workload,
    /// To whom.
    pub server: &'a Workload,
    /// Over IPv6.
    pub v6: bool,
    /// Connections or datagrams.
    pub kind: StreamKind,
    /// The server's port; for datagrams the first of `count`.
    pub port: u16,
    /// How many.
    pub count: u16,
}

/// One end, so far.
#[derive(Debug, Clone, Copy, Default)]
pub struct End {
    /// Messages it has sent.
    pub sent: u64,
    /// Messages that came to it.
    pub received: u64,
    /// Messages that others overtook.
    pub lost: u64,
    /// When the last message that came to it was sent, by the boot-time clock; 0 for none.
    pub last: u64,
    /// What it was told instead.
    pub told: Option<ErrorKind>,
}

/// One flow, so far.
#[derive(Debug, Clone, Copy)]
pub struct FlowState {
    /// Connection or datagrams.
    pub kind: StreamKind,
    /// The client's address.
    pub client: SocketAddr,
    /// The server's.
    pub server: SocketAddr,
    /// The client's end and the server's.
    pub ends: [End; 2],
}

/// Flows that send in both directions, each end a message every so often. They end on drop.
#[derive(Debug)]
pub struct Crowd {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    flows: Mutex<Vec<Option<Flow>>>,
    epoll: OwnedFd,
    pace: Duration,
    quiet: AtomicBool,
    stop: AtomicBool,
}

#[derive(Debug)]
struct Flow {
    state: FlowState,
    sockets: [Socket; 2],
    /// What a stream holds of a message under way: what came of it, and what is still to be sent.
    halves: [(Vec<u8>, Vec<u8>); 2],
}

impl Crowd {
    /// Nobody yet. Each end sends once in `pace`, if the machine can keep up.
    pub fn new(pace: Duration) -> Result<Self> {
        let shared = Arc::new(Shared {
            flows: Mutex::default(),
            epoll: epoll::create(CreateFlags::CLOEXEC).context("cannot wait for sockets")?,
            pace,
            quiet: AtomicBool::new(false),
            stop: AtomicBool::new(false),
        });
        let driver = shared.clone();
        Ok(Self { shared, thread: Some(thread::spawn(move || driver.drive())) })
    }

    /// Opens flows, and gives their numbers.
    pub fn open(&self, batch: &Batch<'_>) -> Result<Vec<usize>> {
        let pairs = match batch.kind {
            StreamKind::Tcp => connect(batch),
            StreamKind::Udp => exchange_ports(batch),
        }
        .with_context(|| format!("cannot open {} flows to port {}", batch.count, batch.port))?;
        let mut flows = self.shared.lock();
        let mut numbers = Vec::new();
        for sockets in pairs {
            let number = flows.iter().position(Option::is_none).unwrap_or(flows.len());
            for (end, socket) in sockets.iter().enumerate() {
                socket.set_nonblocking(true).context("cannot set a socket to non-blocking")?;
                let data = EventData::new_u64((number * 2 + end) as u64);
                epoll::add(&self.shared.epoll, socket, data, EventFlags::IN)
                    .context("cannot wait for a socket")?;
            }
            let address = |socket: &Socket| {
                socket.local_addr()?.as_socket().ok_or_else(|| io::Error::from(ErrorKind::AddrNotAvailable))
            };
            let (client, server) = (address(&sockets[0])?, address(&sockets[1])?);
            let state = FlowState { kind: batch.kind, client, server, ends: Default::default() };
            let flow = Some(Flow { state, sockets, halves: Default::default() });
            match flows.get_mut(number) {
                Some(place) => *place = flow,
                None => flows.push(flow),
            }
            numbers.push(number);
        }
        Ok(numbers)
    }

    /// How these flows are.
    #[must_use]
    pub fn states(&self, numbers: &[usize]) -> Vec<FlowState> {
        let flows = self.shared.lock();
        numbers.iter().filter_map(|number| flows.get(*number)?.as_ref()).map(|flow| flow.state).collect()
    }

    /// Waits until all of these flows are as `wanted`. Panics where they don't get so.
    #[track_caller]
    pub fn wait(&self, numbers: &[usize], what: &str, wanted: impl Fn(&FlowState) -> bool) {
        let start = Instant::now();
        loop {
            let states = self.states(numbers);
            let Some(other) = states.iter().find(|state| !wanted(state)) else { return };
            let others = states.iter().filter(|state| !wanted(state)).count();
            assert!(start.elapsed() < PATIENCE, "{what}: not so of {others} flows, {other:?} for one");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Holds that these flows have lost nothing: nobody sends for a moment, so that what is under way arrives.
    #[track_caller]
    pub fn expect_whole(&self, numbers: &[usize], what: &str) {
        self.shared.quiet.store(true, Ordering::Relaxed);
        let whole = |state: &FlowState| {
            let [client, server] = &state.ends;
            (client.sent, server.sent) == (server.received, client.received)
        };
        self.wait(numbers, what, whole);
        for state in self.states(numbers) {
            let fine = state.ends.iter().all(|end| end.lost == 0 && end.told.is_none());
            assert!(fine, "{what}: {state:?}");
        }
        self.shared.quiet.store(false, Ordering::Relaxed);
    }

    /// Ends these flows. Connections are reset, so that nothing of them lingers.
    pub fn close(&self, numbers: &[usize]) {
        let mut flows = self.shared.lock();
        for number in numbers {
            let Some(flow) = flows.get_mut(*number).and_then(Option::take) else { continue };
            for socket in &flow.sockets {
                if flow.state.kind == StreamKind::Tcp {
                    // One that is reset already is as well.
                    let _ = socket.set_linger(Some(Duration::ZERO));
                }
            }
        }
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // One that panicked has said so.
            let _said = thread.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Vec<Option<Flow>>> {
        self.flows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn drive(&self) {
        let (mut next, mut due, mut then) = (0, 0.0, Instant::now());
        let mut ready = Vec::with_capacity(512);
        while !self.stop.load(Ordering::Relaxed) {
            let turn = Timespec { tv_sec: 0, tv_nsec: 1_000_000 };
            // An interruption is a turn without news.
            let _ = epoll::wait(&self.epoll, spare_capacity(&mut ready), Some(&turn));
            let mut flows = self.lock();
            for event in ready.drain(..) {
                let place = event.data.u64() as usize;
                if let Some(Some(flow)) = flows.get_mut(place / 2) {
                    self.receive(flow, place % 2);
                }
            }
            let count = flows.len() as f64;
            due = (due + then.elapsed().as_secs_f64() / self.pace.as_secs_f64() * count).min(count);
            then = Instant::now();
            if self.quiet.load(Ordering::Relaxed) {
                due = 0.0;
            }
            for _ in 0..TURN {
                if due < 1.0 || flows.is_empty() {
                    break;
                }
                due -= 1.0;
                next = (next + 1) % flows.len();
                if let Some(flow) = &mut flows[next] {
                    send(flow, 0);
                    // A datagram that the server sent first would open a flow of its own.
                    if flow.state.ends[1].received > 0 {
                        send(flow, 1);
                    }
                }
            }
        }
    }

    fn receive(&self, flow: &mut Flow, end: usize) {
        let stream = flow.state.kind == StreamKind::Tcp;
        let mut buffer = [0; 4096];
        loop {
            let told = match (&flow.sockets[end]).read(&mut buffer) {
                Ok(0) if stream => ErrorKind::UnexpectedEof,
                Ok(count) => {
                    let (came, _) = &mut flow.halves[end];
                    came.extend_from_slice(&buffer[..count]);
                    let whole = came.len() / MESSAGE * MESSAGE;
                    came.drain(..whole).as_slice().chunks_exact(MESSAGE).for_each(|message| {
                        note(&mut flow.state.ends[end], message);
                    });
                    continue;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => error.kind(),
            };
            flow.state.ends[end].told.get_or_insert(told);
            if stream {
                // It would be reported again and again.
                let _ = epoll::delete(&self.epoll, &flow.sockets[end]);
                return;
            }
        }
    }
}

fn note(end: &mut End, message: &[u8]) {
    let word = |at: usize| u64::from_ne_bytes(std::array::from_fn(|byte| message[at + byte]));
    let number = word(0);
    end.lost += number.saturating_sub(end.received + end.lost);
    end.received += 1;
    end.last = end.last.max(word(8));
}

fn send(flow: &mut Flow, end: usize) {
    let (_, rest) = &mut flow.halves[end];
    let state = &mut flow.state.ends[end];
    let begun = !rest.is_empty();
    if !begun {
        rest.extend_from_slice(&state.sent.to_ne_bytes());
        rest.extend_from_slice(&Instants::now().boot.to_ne_bytes());
    }
    match (&flow.sockets[end]).write(rest) {
        Ok(count) => {
            rest.drain(..count);
            state.sent += u64::from(!begun);
        }
        Err(error) => {
            if !begun {
                rest.clear();
            }
            if error.kind() != ErrorKind::WouldBlock {
                state.told.get_or_insert(error.kind());
            }
        }
    }
}

fn connect(batch: &Batch<'_>) -> Result<Vec<[Socket; 2]>> {
    let to = SocketAddr::new(batch.server.address(batch.v6), batch.port);
    let listener = batch.server.enter(|| -> io::Result<Socket> {
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.bind(&to.into())?;
        socket.listen(1024)?;
        Ok(socket)
    })?;
    batch.client.enter(|| {
        let mut pairs = Vec::new();
        for _ in 0..batch.count {
            let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
            socket.connect_timeout(&to.into(), PATIENCE).context("cannot connect")?;
            let (accepted, from) = listener.accept().context("cannot accept")?;
            ensure!(from.as_socket() == socket.local_addr()?.as_socket(), "somebody else has connected");
            for socket in [&socket, &accepted] {
                SockRef::from(socket).set_tcp_nodelay(true)?;
            }
            pairs.push([socket, accepted]);
        }
        Ok(pairs)
    })
}

fn exchange_ports(batch: &Batch<'_>) -> Result<Vec<[Socket; 2]>> {
    let bound = |at: SocketAddr| -> io::Result<Socket> {
        let socket = Socket::new(Domain::for_address(at), Type::DGRAM, None)?;
        socket.bind(&at.into())?;
        Ok(socket)
    };
    let open = |place: &Workload, ports: &[u16]| -> io::Result<Vec<Socket>> {
        let here = place.address(batch.v6);
        place.enter(|| ports.iter().map(|port| bound(SocketAddr::new(here, *port))).collect())
    };
    let ports: Vec<u16> = (batch.port..batch.port + batch.count).collect();
    let near = open(batch.client, &vec![0; ports.len()])?;
    let far = open(batch.server, &ports)?;
    let mut pairs = Vec::new();
    for (near, far) in near.into_iter().zip(far) {
        // Neither takes what anybody else sends.
        near.connect(&far.local_addr()?)?;
        far.connect(&near.local_addr()?)?;
        pairs.push([near, far]);
    }
    Ok(pairs)
}

/// How many segments each connection of a namespace has lost on the way, by its own and the other end's address, as `ss` tells: those that its
/// kernel sent again, but for those that the other end had already (RFC 2883), which only says that this machine was slow. Empty where
/// `ss` is missing.
#[must_use]
pub fn lost_segments(namespace: &Namespace) -> HashMap<(SocketAddr, SocketAddr), u32> {
    let Ok(output) = namespace.command("ss").args(["-tinHO"]).output() else { return HashMap::new() };
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines()
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let ends = (fields.get(3)?.parse().ok()?, fields.get(4)?.parse().ok()?);
            // Absent while they are zero.
            let value = |name: &str| fields.iter().find_map(|field| field.strip_prefix(name));
            // `retrans:<outstanding>/<total>`.
            let again = value("retrans:").and_then(|counts| counts.split('/').nth(1)).unwrap_or("0");
            let needless = value("dsack_dups:").unwrap_or("0");
            Some((ends, again.parse::<u32>().ok()?.saturating_sub(needless.parse().ok()?)))
        })
        .collect()
}
