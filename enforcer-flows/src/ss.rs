//! `ss -tunap`: sockets, and with them who is connected to whom at this moment.
//!
//! A socket doesn't tell who opened its connection, but listening ones do, for all others with their port: so connections wait until the
//! table's end, as far as they are not too many.

use crate::error::ReadError;
use crate::item::{End, Flow, Opener, Recorded};
use crate::opener::by_ports;
use crate::read::Lines;
use crate::report::Report;
use crate::text::{address, number, small, words};
use std::collections::HashSet;
use std::net::IpAddr;

/// Connections that wait, and listening sockets that are remembered.
const WAITING: usize = 1 << 16;
const TCP: u8 = 6;
const UDP: u8 = 17;

/// Kinds of sockets, and their protocols. Others have no traffic of IP, or none that ports tell apart.
const KINDS: [(&[u8], Option<u8>); 19] = [
    (b"tcp", Some(TCP)),
    (b"udp", Some(UDP)),
    (b"mptcp", Some(TCP)),
    (b"sctp", Some(132)),
    (b"dccp", Some(33)),
    (b"udplite", Some(136)),
    (b"u_str", None),
    (b"u_dgr", None),
    (b"u_seq", None),
    (b"nl", None),
    (b"p_raw", None),
    (b"p_dgr", None),
    (b"raw", None),
    (b"icmp", None),
    (b"icmp6", None),
    (b"v_str", None),
    (b"v_dgr", None),
    (b"xdp", None),
    (b"ti_st", None),
];

/// A socket's state, as far as it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It sent a SYN, and no answer came yet.
    Asking,
    /// It got a SYN, and answered.
    Asked,
    /// Packets went both ways.
    Connected,
    /// It waits for others to begin.
    Waiting,
    /// It does nothing.
    Closed,
}

const STATES: [(&[u8], State); 13] = [
    (b"ESTAB", State::Connected),
    (b"SYN-SENT", State::Asking),
    (b"SYN-RECV", State::Asked),
    (b"FIN-WAIT-1", State::Connected),
    (b"FIN-WAIT-2", State::Connected),
    (b"TIME-WAIT", State::Connected),
    (b"CLOSE-WAIT", State::Connected),
    (b"LAST-ACK", State::Connected),
    (b"CLOSING", State::Connected),
    (b"LISTEN", State::Waiting),
    (b"UNCONN", State::Waiting),
    (b"CLOSED", State::Closed),
    (b"CLOSE", State::Closed),
];

/// Reads tables of sockets.
#[derive(Default)]
pub(crate) struct Reader {
    /// Protocol and port of sockets that wait for others to begin.
    listening: HashSet<(u8, u16)>,
    waiting: Vec<(State, Flow)>,
}

/// What a line says.
#[derive(Debug, PartialEq)]
enum Row {
    Waiting(u8, u16),
    Connected(u8, State, End, End),
    Other,
}

impl Lines for Reader {
    fn line(&mut self, place: u64, line: &[u8], report: &mut Report<'_>) -> Result<(), ReadError> {
        // What `-i`, `-m` and `-e` add stands on indented lines.
        if is_header(line) || line.first().is_some_and(u8::is_ascii_whitespace) {
            return Ok(());
        }
        match row(line) {
            Ok(Row::Connected(protocol, state, local, peer)) => {
                self.connected(protocol, state, local, peer, report)
            }
            Ok(Row::Waiting(protocol, port)) => {
                report.skipped();
                if self.listening.len() < WAITING {
                    self.listening.insert((protocol, port));
                }
            }
            Ok(Row::Other) => report.skipped(),
            Err(what) => report.damaged_text(place, what, line)?,
        }
        Ok(())
    }

    fn end(&mut self, report: &mut Report<'_>) -> Result<(), ReadError> {
        for (state, flow) in std::mem::take(&mut self.waiting) {
            self.hand_on(state, flow, report);
        }
        Ok(())
    }
}

impl Reader {
    fn connected(&mut self, protocol: u8, state: State, local: End, peer: End, report: &mut Report<'_>) {
        let flow = Flow {
            start: None,
            end: None,
            protocol,
            source: local,
            destination: peer,
            icmp: None,
            opener: Opener::Unknown,
            packets: 0,
            bytes: 0,
            recorded: (state != State::Asking).then_some(Recorded::Passed),
            seen: None,
        };
        if self.waiting.len() < WAITING {
            self.waiting.push((state, flow));
        } else {
            self.hand_on(state, flow, report);
        }
    }

    fn hand_on(&self, state: State, mut flow: Flow, report: &mut Report<'_>) {
        let (protocol, port) = (flow.protocol, flow.source.port);
        flow.opener = match state {
            State::Asking => Opener::Source,
            State::Asked => Opener::Destination,
            _ if self.listening.contains(&(protocol, port)) => Opener::Destination,
            // Without `-a` there are none, and nothing follows from that. Nor does it for UDP, where a server may turn the one socket that
            // it has to a client.
            _ if protocol != UDP && self.listening.iter().any(|(other, _)| *other == protocol) => {
                Opener::Source
            }
            _ => by_ports(port, flow.destination.port),
        };
        report.flow(&flow);
    }
}

/// Whether a line may be of a table of sockets.
pub(crate) fn recognises(line: &[u8]) -> bool {
    is_header(line) || kind(line).is_some() && row(line).is_ok()
}

fn is_header(line: &[u8]) -> bool {
    let mut words = words(line);
    words.any(|word| word == b"Recv-Q") && words.next() == Some(b"Send-Q")
}

fn kind(line: &[u8]) -> Option<Option<u8>> {
    let first = words(line).next()?;
    KINDS.iter().find(|(word, _)| *word == first).map(|(_, protocol)| *protocol)
}

/// Columns that all sockets have in common are left out by `ss`: the kind where only one was asked for, and the state likewise.
fn row(line: &[u8]) -> Result<Row, &'static str> {
    let mut words = words(line).peekable();
    let protocol = match kind(line) {
        Some(None) => return Ok(Row::Other),
        Some(Some(protocol)) => {
            words.next();
            protocol
        }
        None => TCP,
    };
    let state = match words.peek().and_then(|word| STATES.iter().find(|(name, _)| name == word)) {
        Some((_, state)) => {
            words.next();
            *state
        }
        None => State::Connected,
    };
    for _queue in 0..2 {
        words.next().and_then(number).ok_or("no state or no queues are in the line")?;
    }
    let missing = "no address with a port is in the line";
    let (local, peer) = (end(words.next().ok_or(missing)?)?, end(words.next().ok_or(missing)?)?);
    Ok(match (state, local, peer) {
        (State::Closed, ..) => Row::Other,
        (State::Waiting, (_, Some(port)), _) => Row::Waiting(protocol, port),
        (_, (Some(local), Some(local_port)), (Some(peer), Some(peer_port))) => {
            let end = |address, port| End { address, port, who: None };
            Row::Connected(protocol, state, end(local, local_port), end(peer, peer_port))
        }
        _ => Row::Other,
    })
}

/// `address%interface:port`, with `*` for any.
fn end(word: &[u8]) -> Result<(Option<IpAddr>, Option<u16>), &'static str> {
    let at = memchr::memrchr(b':', word).ok_or("no port is in the line")?;
    let (host, port) = (&word[..at], &word[at + 1..]);
    let port = match port {
        b"*" => None,
        port => Some(small(port).ok_or("a port isn't a number (`ss -n` leaves them numbers) in the line")?),
    };
    // The interface stands inside the brackets in some versions, behind them in others.
    let bare: Vec<u8> = host.iter().copied().filter(|byte| !matches!(byte, b'[' | b']')).collect();
    let bare = bare.split(|byte| *byte == b'%').next().unwrap_or_default();
    let host = match bare {
        b"*" | b"" => None,
        bare => Some(address(bare).ok_or("an address doesn't make sense in the line")?),
    };
    Ok((host, port))
}
