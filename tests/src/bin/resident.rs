//! A process of a service's: does with sockets what its standard input says, line by line, and answers each line with one.
//!
//! Sockets belong to the cgroup of the process that makes them, so tests can't make them themselves.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::Duration;

/// What an allowed exchange takes is far below it, on an emulated machine as well.
const PATIENCE: Duration = Duration::from_millis(700);
const ATTEMPTS: usize = 3;

fn main() {
    let mut kept = HashMap::new();
    for line in io::stdin().lines() {
        let Ok(line) = line else { return };
        let words: Vec<&str> = line.split_whitespace().collect();
        let answer = match obey(&words, &mut kept) {
            Ok(true) => "yes".to_owned(),
            Ok(false) => "no".to_owned(),
            Err(error) => format!("error {error}"),
        };
        println!("{answer}");
    }
}

fn obey(words: &[&str], kept: &mut HashMap<String, TcpStream>) -> io::Result<bool> {
    let at = |text: &str| text.parse::<SocketAddr>().map_err(io::Error::other);
    match words {
        ["serve-tcp", address] => serve_tcp(TcpListener::bind(at(address)?)?),
        ["serve-udp", address] => serve_udp(UdpSocket::bind(at(address)?)?),
        ["tcp", address] => Ok(TcpStream::connect_timeout(&at(address)?, PATIENCE).is_ok_and(exchange)),
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

/// Whether four bytes come back.
fn exchange(mut stream: TcpStream) -> bool {
    let mut answer = [0; 4];
    stream.set_read_timeout(Some(PATIENCE)).is_ok()
        && stream.write_all(b"ping").is_ok()
        && stream.read_exact(&mut answer).is_ok()
        && answer == *b"ping"
}

fn tcp_from(from: SocketAddr, to: SocketAddr) -> io::Result<bool> {
    let socket = socket2::Socket::new(socket2::Domain::for_address(to), socket2::Type::STREAM, None)?;
    socket.bind(&from.into())?;
    Ok(socket.connect_timeout(&to.into(), PATIENCE).is_ok() && exchange(socket.into()))
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
