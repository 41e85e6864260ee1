//! Who in the shop goes to whom, for what, and how often.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use socket2::{Domain, Socket, Type};

use super::INTERNET;
use crate::{Probe, Protocol, Workload, ip};

const TICK: Duration = Duration::from_millis(25);
const CONNECT: Duration = Duration::from_secs(1);
/// Ends out there.
const CUSTOMERS: u8 = 12;
const SCANNER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 66);
/// What the scanner tries, and how long it waits for each.
const SCANNED: std::ops::Range<u16> = 1..41;
const GLANCE: Duration = Duration::from_millis(20);

/// One habit.
#[derive(Debug)]
pub(super) struct Errand {
    pub(super) from: &'static str,
    pub(super) to: &'static str,
    talk: Talk,
    every: Duration,
}

#[derive(Debug, Clone, Copy)]
enum Talk {
    /// A page from this port, over both families by turns.
    Page(u16, &'static str),
    /// A page, from an address of a customer's.
    Visit(u16),
    /// A line for the ledger.
    Booking(u16),
    /// A counter, from a socket that is kept.
    Counter(u16),
    Ping,
    /// Many ports, one after the other.
    Scan,
}

const fn errand(from: &'static str, to: &'static str, talk: Talk, millis: u64) -> Errand {
    Errand { from, to, talk, every: Duration::from_millis(millis) }
}

pub(super) const ERRANDS: [Errand; 14] = [
    errand(INTERNET, "web", Talk::Visit(80), 150),
    errand(INTERNET, "web", Talk::Scan, 4000),
    errand("web", "checkout", Talk::Page(8080, "/cart"), 200),
    errand("checkout", "ledger", Talk::Booking(5432), 300),
    errand("web", "metrics", Talk::Counter(8125), 250),
    errand("checkout", "metrics", Talk::Counter(8125), 250),
    errand("metrics", "web", Talk::Page(9100, "/metrics"), 1000),
    errand("metrics", "checkout", Talk::Page(9100, "/metrics"), 1000),
    errand("metrics", "ledger", Talk::Page(9100, "/metrics"), 1000),
    errand("metrics", "batch", Talk::Page(9100, "/metrics"), 1000),
    errand("metrics", "web", Talk::Ping, 1000),
    errand("metrics", "checkout", Talk::Ping, 1000),
    errand("metrics", "ledger", Talk::Ping, 1000),
    errand("metrics", "batch", Talk::Ping, 1000),
];

/// Gives the internet the addresses that errands come from.
pub(super) fn move_in(internet: &Workload) -> Result<()> {
    let customers = (0..CUSTOMERS).map(customer);
    let lines: Vec<_> =
        customers.chain([SCANNER]).map(|address| format!("address add {address}/32 dev eth0")).collect();
    ip::batch(Some(internet.namespace().name()), &lines)
}

fn customer(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(198, 51, 100, 20 + number)
}

impl Errand {
    /// Goes again and again, until `stop`. Whether it succeeds is not its business: policies may say no.
    pub(super) fn run(&self, from: &Workload, to: &Workload, stop: &AtomicBool) {
        let mut counters = None;
        for turn in 0_u64.. {
            let begun = Instant::now();
            let _outcome = self.go(from, to, turn, &mut counters);
            while begun.elapsed() < self.every {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                thread::sleep(TICK);
            }
            if stop.load(Ordering::Relaxed) {
                return;
            }
        }
    }

    fn go(
        &self,
        from: &Workload,
        to: &Workload,
        turn: u64,
        counters: &mut Option<UdpSocket>,
    ) -> io::Result<()> {
        let address = to.address(turn % 2 == 1);
        match self.talk {
            Talk::Page(port, path) => page(connect(from, None, address, port, CONNECT)?, path),
            Talk::Visit(port) => {
                let customer = customer((turn % u64::from(CUSTOMERS)) as u8);
                page(connect(from, Some(customer.into()), to.v4(), port, CONNECT)?, "/")
            }
            Talk::Booking(port) => {
                let mut stream = connect(from, None, address, port, CONNECT)?;
                writeln!(stream, "order {turn}")?;
                BufReader::new(stream).read_line(&mut String::new()).map(drop)
            }
            Talk::Counter(port) => {
                let socket = match counters {
                    Some(socket) => socket,
                    None => {
                        let socket = from.enter(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)))?;
                        socket.connect((to.v4(), port))?;
                        counters.insert(socket)
                    }
                };
                socket.send(b"shop.orders:1|c").map(drop)
            }
            Talk::Ping => {
                // What comes of it is told by the kernel's own answer, and to nobody.
                let _seen = Probe::new(from, address, Protocol::Ping).timeout(CONNECT).run();
                Ok(())
            }
            Talk::Scan => {
                for port in SCANNED {
                    let _found = connect(from, Some(SCANNER.into()), to.v4(), port, GLANCE);
                }
                Ok(())
            }
        }
    }
}

fn connect(
    from: &Workload,
    source: Option<IpAddr>,
    to: IpAddr,
    port: u16,
    patience: Duration,
) -> io::Result<TcpStream> {
    let to = SocketAddr::new(to, port);
    let socket = from.enter(|| Socket::new(Domain::for_address(to), Type::STREAM, None))?;
    if let Some(source) = source {
        socket.bind(&SocketAddr::new(source, 0).into())?;
    }
    socket.connect_timeout(&to.into(), patience)?;
    let stream = TcpStream::from(socket);
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(CONNECT))?;
    Ok(stream)
}

fn page(mut stream: TcpStream, path: &str) -> io::Result<()> {
    write!(stream, "GET {path} HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n")?;
    stream.read_to_end(&mut Vec::new()).map(drop)
}
