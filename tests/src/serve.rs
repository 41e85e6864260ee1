//! The other end of probes: echoes whatever comes.

use std::io::{self, Read, Write};
use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use crate::{Namespace, Protocol};

/// How often a waiting server looks whether it should end.
const TICK: Duration = Duration::from_millis(50);

/// Echo servers in one namespace, on both families. They end on drop.
#[derive(Debug)]
pub struct Servers {
    stop: Arc<AtomicBool>,
    received: Arc<AtomicU64>,
    threads: Vec<JoinHandle<()>>,
}

impl Servers {
    /// How many connections and datagrams have arrived so far, answered or not.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // A server that panicked has said so.
            let _said = thread.join();
        }
    }
}

impl Namespace {
    /// Answers on these ports. Pings are the kernel's to answer.
    #[must_use]
    pub fn serve(&self, ports: &[Protocol]) -> Servers {
        let mut servers = Servers { stop: Arc::default(), received: Arc::default(), threads: Vec::new() };
        for port in ports {
            let thread = self.echo(*port, &servers);
            let thread =
                thread.unwrap_or_else(|error| panic!("cannot serve {port} in `{}`: {error}", self.name()));
            servers.threads.extend(thread);
        }
        servers
    }

    fn echo(&self, port: Protocol, servers: &Servers) -> io::Result<Option<JoinHandle<()>>> {
        let (stop, received) = (servers.stop.clone(), servers.received.clone());
        Ok(match port {
            Protocol::Tcp(port) => {
                let listener = self.listen(port, socket2::Protocol::TCP, TICK)?;
                Some(thread::spawn(move || echo_streams(&listener, &stop, &received)))
            }
            Protocol::Sctp(port) => {
                let listener = self.listen(port, socket2::Protocol::from(132), TICK)?;
                Some(thread::spawn(move || echo_streams(&listener, &stop, &received)))
            }
            Protocol::Udp(port) => {
                let socket = self.enter(|| UdpSocket::bind((Ipv6Addr::UNSPECIFIED, port)))?;
                socket.set_read_timeout(Some(TICK))?;
                Some(thread::spawn(move || echo_datagrams(&socket, &stop, &received)))
            }
            Protocol::Ping => None,
        })
    }

    /// A listener on both families. Accepting gives up after `patience`.
    pub(crate) fn listen(
        &self,
        port: u16,
        protocol: socket2::Protocol,
        patience: Duration,
    ) -> io::Result<TcpListener> {
        let socket = self.enter(|| Socket::new(Domain::IPV6, Type::STREAM, Some(protocol)))?;
        socket.set_only_v6(false)?;
        socket.set_reuse_address(true)?;
        socket.bind(&SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)).into())?;
        socket.listen(1024)?;
        socket.set_read_timeout(Some(patience))?;
        Ok(socket.into())
    }
}

fn echo_streams(listener: &TcpListener, stop: &Arc<AtomicBool>, received: &AtomicU64) {
    while !stop.load(Ordering::Relaxed) {
        if let Ok((stream, _)) = listener.accept() {
            received.fetch_add(1, Ordering::Relaxed);
            let stop = stop.clone();
            thread::spawn(move || echo_stream(stream, &stop));
        }
    }
}

fn echo_stream(mut stream: TcpStream, stop: &AtomicBool) {
    if stream.set_read_timeout(Some(TICK)).is_err() || stream.set_write_timeout(Some(TICK)).is_err() {
        return;
    }
    let mut buffer = [0; 65536];
    while !stop.load(Ordering::Relaxed) {
        match stream.read(&mut buffer) {
            Ok(0) => return,
            Ok(count) => {
                if stream.write_all(&buffer[..count]).is_err() {
                    return;
                }
            }
            Err(error) if is_pause(&error) => {}
            Err(_) => return,
        }
    }
}

fn echo_datagrams(socket: &UdpSocket, stop: &AtomicBool, received: &AtomicU64) {
    let mut buffer = [0; 65536];
    while !stop.load(Ordering::Relaxed) {
        // Errors are pauses, or ICMP errors for earlier replies: neither ends a server.
        if let Ok((count, from)) = socket.recv_from(&mut buffer) {
            received.fetch_add(1, Ordering::Relaxed);
            let _lost = socket.send_to(&buffer[..count], from);
        }
    }
}

/// Whether an error only says that a timeout passed.
pub(crate) fn is_pause(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}
