//! One attempt to reach somebody, with a real socket.

mod icmp;
mod stream;
mod udp;

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use crate::Namespace;

/// What is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// A connection to this port, and an exchange on it.
    Tcp(u16),
    /// A request to this port, and its reply.
    Udp(u16),
    /// An association with this port, and an exchange on it.
    Sctp(u16),
    /// An echo request of the address's own family, and its reply.
    Ping,
}

impl Protocol {
    /// Whether this kernel has sockets for it. SCTP is often left out.
    #[must_use]
    pub fn is_available(self) -> bool {
        let socket = |number: i32| Socket::new(Domain::IPV4, Type::STREAM, Some(number.into()));
        !matches!(self, Self::Sctp(_)) || socket(132).is_ok()
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(port) => write!(f, "tcp/{port}"),
            Self::Udp(port) => write!(f, "udp/{port}"),
            Self::Sctp(port) => write!(f, "sctp/{port}"),
            Self::Ping => f.write_str("ping"),
        }
    }
}

/// What came of an attempt.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// What was sent came back whole, after this long.
    Passed(Duration),
    /// Nothing came back in time.
    Silence,
    /// Something on the way or the other end said no.
    Refused(io::ErrorKind),
}

impl Seen {
    /// Whether what was sent came back.
    #[must_use]
    pub fn passed(self) -> bool {
        matches!(self, Self::Passed(_))
    }

    /// Whether nothing came back at all, as when every packet is dropped.
    #[must_use]
    pub fn silent(self) -> bool {
        self == Self::Silence
    }

    fn of(result: io::Result<()>, start: Instant) -> Self {
        match result {
            Ok(()) => Self::Passed(start.elapsed()),
            Err(error) if matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock) => {
                Self::Silence
            }
            Err(error) => Self::Refused(error.kind()),
        }
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passed(after) => write!(f, "passed after {after:.1?}"),
            Self::Silence => f.write_str("silence"),
            Self::Refused(kind) => write!(f, "refused: {kind}"),
        }
    }
}

/// An attempt to reach somebody. Both ends are told apart by what they send: only an answer to this very attempt counts.
#[derive(Debug, Clone)]
pub struct Probe {
    from: Namespace,
    source: Option<SocketAddr>,
    to: IpAddr,
    protocol: Protocol,
    timeout: Duration,
    payload: usize,
}

impl Probe {
    /// An attempt from inside a namespace. Gives up after 400 ms.
    #[must_use]
    pub fn new(from: &Namespace, to: IpAddr, protocol: Protocol) -> Self {
        let timeout = Duration::from_millis(400);
        Self { from: from.clone(), source: None, to, protocol, timeout, payload: 32 }
    }

    /// Gives up after this long.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sends from this address and port (0: any). The address has to be one of the namespace's own.
    #[must_use]
    pub fn source(mut self, source: SocketAddr) -> Self {
        self.source = Some(source);
        self
    }

    /// Sends this many bytes, 16 at least.
    #[must_use]
    pub fn payload(mut self, bytes: usize) -> Self {
        self.payload = bytes.max(16);
        self
    }

    /// Tries. Panics where the attempt itself is impossible, for instance without SCTP in the kernel.
    pub fn run(&self) -> Seen {
        let start = Instant::now();
        let result = match self.protocol {
            Protocol::Tcp(port) => {
                stream::exchange(self, SocketAddr::new(self.to, port), socket2::Protocol::TCP)
            }
            Protocol::Sctp(port) => {
                stream::exchange(self, SocketAddr::new(self.to, port), socket2::Protocol::from(132))
            }
            Protocol::Udp(port) => udp::exchange(self, SocketAddr::new(self.to, port)),
            Protocol::Ping => icmp::exchange(self),
        };
        let result = result.unwrap_or_else(|error| {
            panic!("cannot try {} from `{}`: {error}", self.protocol, self.from.name())
        });
        Seen::of(result, start)
    }

    /// Bytes that no other attempt sends.
    fn token(&self) -> Vec<u8> {
        use std::hash::{BuildHasher, RandomState};
        let seed = RandomState::new().hash_one(self.to);
        let mut bytes: Vec<u8> = seed.to_be_bytes().to_vec();
        bytes.extend((8..self.payload).map(|i| (seed >> (i % 57)) as u8));
        bytes
    }
}
