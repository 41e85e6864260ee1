//! A process of a service's: does with sockets what its standard input says, line by line, and answers each line with one.
//!
//! Sockets belong to the cgroup of the process that makes them, so tests can't make them themselves.

use std::collections::HashMap;
use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::IntoRawFd;
use std::thread;
use std::time::{Duration, Instant};

use rustix::thread::{CpuSet, sched_setaffinity};

/// What an allowed exchange takes is far below it, on an emulated machine as well.
const PATIENCE: Duration = Duration::from_millis(700);
const ATTEMPTS: usize = 3;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [what, rest @ ..] = arguments.as_slice() {
        assert_eq!(what, "burst");
        return burst(rest).expect("a service sends");
    }
    let mut kept = HashMap::new();
    for line in io::stdin().lines() {
        let Ok(line) = line else { return };
        let words: Vec<&str> = line.split_whitespace().collect();
        let answer = match obey(&words, &mut kept) {
            Ok(answer) => answer.to_string(),
            Err(error) => format!("error {error}"),
        };
        println!("{answer}");
    }
}

enum Answer {
    Yes,
    No,
    Number(u64),
}

impl From<bool> for Answer {
    fn from(yes: bool) -> Self {
        if yes { Self::Yes } else { Self::No }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Yes => f.write_str("yes"),
            Self::No => f.write_str("no"),
            Self::Number(number) => number.fmt(f),
        }
    }
}

fn obey(words: &[&str], kept: &mut HashMap<String, TcpStream>) -> io::Result<Answer> {
    let at = |text: &str| text.parse::<SocketAddr>().map_err(io::Error::other);
    match words {
        ["socket", address] => Ok(Answer::Number(UdpSocket::bind(at(address)?)?.into_raw_fd() as u64)),
        ["exchange", address, milliseconds] => {
            let during = milliseconds.parse().map_err(io::Error::other)?;
            exchanges(at(address)?, Duration::from_millis(during)).map(Answer::Number)
        }
        _ => yes_or_no(words, kept).map(Answer::from),
    }
}

fn yes_or_no(words: &[&str], kept: &mut HashMap<String, TcpStream>) -> io::Result<bool> {
    let at = |text: &str| text.parse::<SocketAddr>().map_err(io::Error::other);
    match words {
        ["cpu", number] => {
            let mut set = CpuSet::new();
            set.set(number.parse().map_err(io::Error::other)?);
            // Of this thread, and so of those that it makes.
            sched_setaffinity(None, &set)?;
            Ok(true)
        }
        ["serve-exchanges", address] => serve_exchanges(TcpListener::bind(at(address)?)?),
        ["serve-tcp", address] => serve_tcp(TcpListener::bind(at(address)?)?),
        ["serve-mptcp", address] => serve_tcp(multipath(at(address)?)?),
        ["serve-briefly", address] => serve_briefly(TcpListener::bind(at(address)?)?),
        ["serve-udp", address] => serve_udp(UdpSocket::bind(at(address)?)?),
        ["tcp", address] => Ok(TcpStream::connect_timeout(&at(address)?, PATIENCE).is_ok_and(exchange)),
        ["tcp-to-end", from, address] => tcp_to_end(at(from)?, at(address)?),
        ["tcp-from", from, address] => tcp_from(at(from)?, at(address)?),
        ["udp", address] => udp(at(address)?),
        ["open", name, address] => match TcpStream::connect_timeout(&at(address)?, PATIENCE) {
            Ok(stream) => {
                kept.insert((*name).to_owned(), stream);
                Ok(true)
            }
            Err(_) => Ok(false),
        },
        ["talk", name] => match kept.get(*name) {
            Some(stream) => Ok(exchange(stream.try_clone()?)),
            None => Err(io::ErrorKind::NotFound.into()),
        },
        _ => Err(io::ErrorKind::InvalidInput.into()),
    }
}

fn serve_tcp(listener: TcpListener) -> io::Result<bool> {
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || io::copy(&mut &stream, &mut &stream));
        }
    });
    Ok(true)
}

/// As many languages' libraries listen unless told otherwise; the kernel makes a socket of its own inside.
fn multipath(at: SocketAddr) -> io::Result<TcpListener> {
    const IPPROTO_MPTCP: i32 = 262;
    let domain = socket2::Domain::for_address(at);
    let socket = socket2::Socket::new(domain, socket2::Type::STREAM, Some(IPPROTO_MPTCP.into()))?;
    socket.bind(&at.into())?;
    socket.listen(16)?;
    Ok(socket.into())
}

/// Answers once, and is the first to close: so the connection is remembered here for a while.
fn serve_briefly(listener: TcpListener) -> io::Result<bool> {
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut message = [0; 4];
            // Whoever asked may not be answered: that is what is tested.
            let _denied = stream.read_exact(&mut message).and_then(|()| stream.write_all(&message));
        }
    });
    Ok(true)
}

fn serve_udp(socket: UdpSocket) -> io::Result<bool> {
    thread::spawn(move || {
        let mut buffer = [0; 1500];
        while let Ok((len, from)) = socket.recv_from(&mut buffer) {
            // Whoever asked may not be answered: that is what is tested.
            let _denied = socket.send_to(&buffer[..len], from);
        }
    });
    Ok(true)
}

/// Sends without waiting for anything: to where it may and to where it may not, each datagram with this service's number and how long after the
/// first it was sent.
fn burst(arguments: &[String]) -> io::Result<()> {
    let [allowed, forbidden, number, count, pace] = arguments else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let parse = |text: &String| text.parse::<u64>().map_err(io::Error::other);
    let (number, count, pace) = (parse(number)?, parse(count)?, Duration::from_millis(parse(pace)?));
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    let start = Instant::now();
    for n in 0..count {
        let after = start.elapsed().as_nanos() as u64;
        let message = [number.to_ne_bytes(), after.to_ne_bytes()].concat();
        for to in [forbidden, allowed] {
            // What isn't allowed out is an error here.
            let _denied = socket.send_to(&message, to.as_str());
        }
        thread::sleep((pace * (n + 1) as u32).saturating_sub(start.elapsed()));
    }
    Ok(())
}

/// One connection at a time, and not a copy more than it takes.
fn serve_exchanges(listener: TcpListener) -> io::Result<bool> {
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut byte = [0];
            while stream.read_exact(&mut byte).is_ok() && stream.write_all(&byte).is_ok() {}
        }
    });
    Ok(true)
}

fn exchanges(to: SocketAddr, during: Duration) -> io::Result<u64> {
    let mut stream = TcpStream::connect_timeout(&to, PATIENCE)?;
    stream.set_nodelay(true)?;
    let (mut byte, mut count, start) = ([0], 0, Instant::now());
    while start.elapsed() < during {
        stream.write_all(&byte)?;
        stream.read_exact(&mut byte)?;
        count += 1;
    }
    Ok(count)
}

/// Whether four bytes come back.
fn exchange(mut stream: TcpStream) -> bool {
    let mut answer = [0; 4];
    stream.set_read_timeout(Some(PATIENCE)).is_ok()
        && stream.write_all(b"ping").is_ok()
        && stream.read_exact(&mut answer).is_ok()
        && answer == *b"ping"
}

fn tcp_from(from: SocketAddr, to: SocketAddr) -> io::Result<bool> {
    let socket = bound_to(from)?;
    Ok(socket.connect_timeout(&to.into(), PATIENCE).is_ok() && exchange(socket.into()))
}

fn bound_to(from: SocketAddr) -> io::Result<socket2::Socket> {
    let socket = socket2::Socket::new(socket2::Domain::for_address(from), socket2::Type::STREAM, None)?;
    socket.bind(&from.into())?;
    Ok(socket)
}

/// The other end closes first. Whoever had the port before may take a moment to let go of it.
fn tcp_to_end(from: SocketAddr, to: SocketAddr) -> io::Result<bool> {
    let start = Instant::now();
    let socket = loop {
        match bound_to(from) {
            Err(error) if error.kind() == ErrorKind::AddrInUse && start.elapsed() < PATIENCE => {}
            bound => break bound?,
        }
        thread::sleep(Duration::from_millis(1));
    };
    if socket.connect_timeout(&to.into(), PATIENCE).is_err() {
        return Ok(false);
    }
    let mut stream: TcpStream = socket.into();
    Ok(exchange(stream.try_clone()?) && stream.read(&mut [0])? == 0)
}

fn udp(to: SocketAddr) -> io::Result<bool> {
    let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any)?;
    socket.set_read_timeout(Some(PATIENCE / ATTEMPTS as u32))?;
    let mut buffer = [0; 16];
    for _ in 0..ATTEMPTS {
        // What isn't allowed out is an error here.
        if socket.send_to(b"ping", to).is_ok()
            && socket.recv_from(&mut buffer).is_ok_and(|(len, from)| len == 4 && from == to)
        {
            return Ok(true);
        }
    }
    Ok(false)
}
