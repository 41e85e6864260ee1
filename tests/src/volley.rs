//! Datagrams at a steady pace, of which some may pass and some may not, and what became of each.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::net::sockopt::set_socket_recv_buffer_size_force;

use crate::Workload;

/// Of each kind, each second.
const RATE: u128 = 10_000;
const PACE: Duration = Duration::from_millis(1);
const TICK: Duration = Duration::from_millis(20);
/// What is under way arrives within this.
const ARRIVAL: Duration = Duration::from_millis(500);
/// Seconds of datagrams, in case nobody gets to read for so long.
const BUFFER: usize = 64 << 20;

/// A running volley: 10,000 datagrams a second to where they may go, which are echoed there, and as many to where they may not.
#[derive(Debug)]
pub struct Volley {
    counts: Arc<[AtomicU64; 6]>,
    sending: Arc<AtomicBool>,
    receiving: Arc<AtomicBool>,
    sender: Option<JoinHandle<()>>,
    receivers: Vec<JoinHandle<()>>,
    began: Instant,
}

/// Where a volley is sent from and to. What sends is connected already.
#[derive(Debug)]
pub struct Ends {
    /// Sends what is allowed.
    pub may: UdpSocket,
    /// Send what isn't, by turns.
    pub must_not: Vec<UdpSocket>,
    /// Gets what is allowed, and sends it back.
    pub echo: UdpSocket,
    /// Gets what slips through.
    pub trap: UdpSocket,
}

/// What was sent, and what arrived of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fate {
    /// Sent to the port that is allowed.
    pub allowed: u64,
    /// Of these arrived.
    pub arrived: u64,
    /// Echoes sent.
    pub echoed: u64,
    /// Of these arrived.
    pub returned: u64,
    /// Sent to the port that isn't.
    pub forbidden: u64,
    /// Of these arrived.
    pub slipped: u64,
    /// How long it took.
    pub took: Duration,
}

impl Fate {
    /// Holds that nothing slipped through and that nothing that was allowed was lost.
    #[track_caller]
    pub fn assert_whole(self, note: &str) {
        let Self { allowed, arrived, echoed, returned, forbidden, slipped, took } = self;
        println!("{note}: {self:?}");
        assert_eq!(slipped, 0, "{note}: of {forbidden} that are forbidden, in {took:?}");
        assert_eq!((arrived, echoed, returned), (allowed, allowed, allowed), "{note}: in {took:?}");
        assert!(allowed > 5_000 && forbidden > 5_000, "{note}: too few to tell");
    }
}

const ALLOWED: usize = 0;
const ARRIVED: usize = 1;
const ECHOED: usize = 2;
const RETURNED: usize = 3;
const FORBIDDEN: usize = 4;
const SLIPPED: usize = 5;

impl Volley {
    /// Begins to send from one workload to a port of another, and to one that is forbidden.
    pub fn begin(
        from: &Workload,
        allowed: (&Workload, u16),
        forbidden: (&Workload, u16),
    ) -> io::Result<Self> {
        let near = |(to, port): (&Workload, u16)| -> io::Result<UdpSocket> {
            let socket = from.enter(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)))?;
            socket.connect(SocketAddr::new(to.v4(), port))?;
            Ok(socket)
        };
        let far = |(to, port): (&Workload, u16)| to.enter(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)));
        let ends = Ends {
            may: near(allowed)?,
            must_not: vec![near(forbidden)?],
            echo: far(allowed)?,
            trap: far(forbidden)?,
        };
        Self::between(ends)
    }

    /// The same, between sockets of one's own.
    pub fn between(ends: Ends) -> io::Result<Self> {
        let Ends { may, must_not, echo, trap } = ends;
        for socket in must_not.iter().chain([&may, &echo, &trap]) {
            prepare(socket)?;
        }
        let counts = Arc::<[AtomicU64; 6]>::default();
        let receiving = Arc::new(AtomicBool::new(true));
        let mut receivers = Vec::new();
        let back = may.try_clone()?;
        for (socket, counter, answers) in
            [(echo, ARRIVED, true), (trap, SLIPPED, false), (back, RETURNED, false)]
        {
            let (counts, receiving) = (counts.clone(), receiving.clone());
            receivers.push(thread::spawn(move || receive(&socket, &counts, counter, answers, &receiving)));
        }
        let sending = Arc::new(AtomicBool::new(true));
        let (tally, on) = (counts.clone(), sending.clone());
        let began = Instant::now();
        let sender = thread::spawn(move || {
            let mut sent: u128 = 0;
            while on.load(Ordering::Relaxed) {
                // Where the machine was busy elsewhere, it catches up.
                let due = began.elapsed().as_millis() * RATE / 1_000;
                while sent < due {
                    let other = &must_not[sent as usize % must_not.len()];
                    for (socket, counter) in [(&may, ALLOWED), (other, FORBIDDEN)] {
                        let told = socket.send(&sent.to_ne_bytes());
                        // Denied at the socket itself, or sent. Any other error is what a kernel said about an earlier datagram.
                        if told.map_or_else(|error| error.kind() == io::ErrorKind::PermissionDenied, |_| true)
                        {
                            tally[counter].fetch_add(1, Ordering::Relaxed);
                        }
                    }
                    sent += 1;
                }
                thread::sleep(PACE);
            }
        });
        Ok(Self { counts, sending, receiving, sender: Some(sender), receivers, began })
    }

    /// Stops sending, waits for what is under way, and tells.
    #[must_use]
    pub fn end(mut self) -> Fate {
        self.sending.store(false, Ordering::Relaxed);
        let sender = self.sender.take().map(JoinHandle::join);
        assert!(sender.is_some_and(|sender| sender.is_ok()), "the sender panicked");
        let took = self.began.elapsed();
        let mut before = self.fate(took);
        loop {
            thread::sleep(ARRIVAL);
            let now = self.fate(took);
            if now == before {
                return now;
            }
            before = now;
        }
    }

    fn fate(&self, took: Duration) -> Fate {
        let [allowed, arrived, echoed, returned, forbidden, slipped] =
            [ALLOWED, ARRIVED, ECHOED, RETURNED, FORBIDDEN, SLIPPED]
                .map(|counter| self.counts[counter].load(Ordering::Relaxed));
        Fate { allowed, arrived, echoed, returned, forbidden, slipped, took }
    }
}

impl Drop for Volley {
    fn drop(&mut self) {
        self.sending.store(false, Ordering::Relaxed);
        self.receiving.store(false, Ordering::Relaxed);
        for thread in self.sender.take().into_iter().chain(self.receivers.drain(..)) {
            // One that panicked has said so.
            let _said = thread.join();
        }
    }
}

fn prepare(socket: &UdpSocket) -> io::Result<()> {
    set_socket_recv_buffer_size_force(socket, BUFFER)?;
    socket.set_read_timeout(Some(TICK))
}

fn receive(socket: &UdpSocket, counts: &[AtomicU64; 6], counter: usize, answers: bool, on: &AtomicBool) {
    let mut buffer = [0; 64];
    while on.load(Ordering::Relaxed) {
        let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
        counts[counter].fetch_add(1, Ordering::Relaxed);
        if answers && socket.send_to(&buffer[..length], from).is_ok() {
            counts[ECHOED].fetch_add(1, Ordering::Relaxed);
        }
    }
}
