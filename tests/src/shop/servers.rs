//! What the shop's workloads offer: pages over HTTP, a ledger that books a line at a time, and an ear for statsd.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv6Addr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::Workload;

const TICK: Duration = Duration::from_millis(50);
/// A client that says nothing for so long is left.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Debug, Clone, Copy)]
enum Offer {
    /// HTTP/1.1, one request a connection.
    Pages(u16),
    /// A line for each line.
    Bookings(u16),
    /// Datagrams, never answered.
    Counters(u16),
}

/// `batch` has no exporter: what scrapes it there is refused, as happens in every real network.
const OFFERS: [(&str, Offer); 7] = [
    ("web", Offer::Pages(80)),
    ("web", Offer::Pages(9100)),
    ("checkout", Offer::Pages(8080)),
    ("checkout", Offer::Pages(9100)),
    ("ledger", Offer::Bookings(5432)),
    ("ledger", Offer::Pages(9100)),
    ("metrics", Offer::Counters(8125)),
];

/// Starts what this workload offers, until `stop`.
pub(super) fn serve(workload: &Workload, stop: &Arc<AtomicBool>) -> Result<Vec<JoinHandle<()>>> {
    let mut threads = Vec::new();
    for (_, offer) in OFFERS.iter().filter(|(name, _)| *name == workload.name()) {
        let stop = stop.clone();
        let cannot = || format!("cannot serve {offer:?} in `{}`", workload.name());
        threads.push(match *offer {
            Offer::Pages(port) => {
                let listener = workload.listen(port, socket2::Protocol::TCP, TICK).with_context(cannot)?;
                thread::spawn(move || accept(&listener, &stop, page))
            }
            Offer::Bookings(port) => {
                let listener = workload.listen(port, socket2::Protocol::TCP, TICK).with_context(cannot)?;
                thread::spawn(move || accept(&listener, &stop, book))
            }
            Offer::Counters(port) => {
                let socket = workload.enter(|| UdpSocket::bind((Ipv6Addr::UNSPECIFIED, port)));
                let socket = socket.with_context(cannot)?;
                socket.set_read_timeout(Some(TICK)).with_context(cannot)?;
                thread::spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        let _heard = socket.recv(&mut [0; 1024]);
                    }
                })
            }
        });
    }
    Ok(threads)
}

fn accept(listener: &TcpListener, stop: &AtomicBool, talk: fn(TcpStream) -> io::Result<()>) {
    while !stop.load(Ordering::Relaxed) {
        if let Ok((stream, _)) = listener.accept() {
            // A client that went away is no matter.
            thread::spawn(move || stream.set_read_timeout(Some(PATIENCE)).and_then(|()| talk(stream)));
        }
    }
}

fn page(stream: TcpStream) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        line.clear();
    }
    let body = "welcome\n";
    let length = body.len();
    reader.into_inner().write_all(
        format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
            .as_bytes(),
    )
}

fn book(stream: TcpStream) -> io::Result<()> {
    let mut writer = stream.try_clone()?;
    BufReader::new(stream).lines().try_for_each(|line| writeln!(writer, "booked: {}", line?))
}
