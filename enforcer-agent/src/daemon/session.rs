//! The session somebody sits in who asks for a change: the connections that the requesting process and its ancestors hold, such as sshd's.
//!
//! What a terminal multiplexer started has no such ancestor; there, `SSH_CONNECTION` in a process' environment names the session, if such a connection is
//! still open.

use crate::tcp_table::{ESTABLISHED, LISTENS, Line, line};
use std::collections::HashSet;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Ancestors that are looked at.
const ANCESTORS: usize = 64;
/// Connections that count: one session has few.
const MOST: usize = 64;

/// A TCP connection that somebody sits behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Session {
    /// Who opened it.
    pub client: SocketAddr,
    /// To whom.
    pub server: SocketAddr,
}

/// The sessions behind a process, from the processes that `proc` shows.
#[must_use]
pub fn behind(proc: &Path, pid: i32) -> Vec<Session> {
    let mut found: Vec<Session> = Vec::new();
    let mut tables: Vec<(u64, String)> = Vec::new();
    let mut next = Some(pid);
    for _ in 0..ANCESTORS {
        // The first process is nobody's shell.
        let Some(pid) = next.filter(|pid| *pid > 1) else { break };
        let process = proc.join(pid.to_string());
        next = parent(&process);
        let Ok(namespace) = fs::metadata(process.join("ns/net")).map(|meta| meta.ino()) else { continue };
        if !tables.iter().any(|(known, _)| *known == namespace) {
            let read = |name| fs::read_to_string(process.join("net").join(name)).unwrap_or_default();
            tables.push((namespace, read("tcp") + &read("tcp6")));
        }
        let Some((_, table)) = tables.iter().find(|(known, _)| *known == namespace) else { continue };
        let (sockets, told) = (sockets(&process), told(&process));
        found.extend(open(table, |line| {
            sockets.contains(&line.inode) || told == Some((line.remote, line.local))
        }));
    }
    found.sort_unstable();
    found.dedup();
    found.truncate(MOST);
    found
}

/// The connections of a table that `ours` are, with who opened each.
fn open<'a>(table: &'a str, ours: impl Fn(&Line<'a>) -> bool) -> Vec<Session> {
    let lines: Vec<Line<'a>> = table.lines().filter_map(line).collect();
    let listened: HashSet<u16> =
        lines.iter().filter(|line| line.state == LISTENS).map(|line| line.local.port()).collect();
    let session = |line: &Line<'_>| match listened.contains(&line.local.port()) {
        true => Session { client: line.remote, server: line.local },
        false => Session { client: line.local, server: line.remote },
    };
    lines.iter().filter(|line| line.state == ESTABLISHED && ours(line)).map(session).collect()
}

fn parent(process: &Path) -> Option<i32> {
    let status = fs::read_to_string(process.join("status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()
}

/// Numbers of the sockets that a process holds.
fn sockets(process: &Path) -> HashSet<u64> {
    let Ok(all) = fs::read_dir(process.join("fd")) else { return HashSet::new() };
    let number = |path: &Path| -> Option<u64> {
        let target = fs::read_link(path).ok()?;
        target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
    };
    all.flatten().filter_map(|entry| number(&entry.path())).collect()
}

/// What `SSH_CONNECTION` says: client and server.
fn told(process: &Path) -> Option<(SocketAddr, SocketAddr)> {
    let environment = fs::read(process.join("environ")).ok()?;
    let value = environment.split(|byte| *byte == 0).find_map(|one| one.strip_prefix(b"SSH_CONNECTION="))?;
    let words: Vec<&str> = std::str::from_utf8(value).ok()?.split(' ').collect();
    let &[client, client_port, server, server_port] = words.as_slice() else { return None };
    let end = |ip: &str, port: &str| Some(SocketAddr::new(ip.parse().ok()?, port.parse().ok()?));
    Some((end(client, client_port)?, end(server, server_port)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    const TABLE: &str = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 100 1 0 100 0 0 10 0
   1: 0100000A:0016 0200000A:D431 01 00000000:00000000 02:000A7214 00000000     0        0 101 2 0 20 4 30 10 -1
   2: 0100000A:D432 0300000A:01BB 01 00000000:00000000 02:000A7214 00000000     0        0 102 2 0 20 4 30 10 -1
   3: 0000000000000000FFFF00000100000A:0016 0000000000000000FFFF00000400000A:D433 01 00000000:00000000 00:00000000 00000000 0 0 103 1 0
";

    #[test]
    fn tables_are_read_with_who_opened_what() {
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        let of = |inode: u64| open(TABLE, |line| line.inode == inode);
        assert_eq!(of(100), []);
        assert_eq!(of(101), [Session { client: at("10.0.0.2:54321"), server: at("10.0.0.1:22") }]);
        assert_eq!(of(102), [Session { client: at("10.0.0.1:54322"), server: at("10.0.0.3:443") }]);
        assert_eq!(of(103), [Session { client: at("10.0.0.4:54323"), server: at("10.0.0.1:22") }]);
    }

    #[test]
    fn a_process_is_found_behind_its_own_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        client.write_all(b"x").unwrap();
        server.read_exact(&mut [0]).unwrap();
        let ours = std::process::id().cast_signed();
        let session =
            Session { client: client.local_addr().unwrap(), server: listener.local_addr().unwrap() };
        let found = behind(Path::new("/proc"), ours);
        assert!(found.contains(&session), "{session:?} isn't in {found:?}");
    }
}
