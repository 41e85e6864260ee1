//! Captured packets: each is judged at the hooks on its path, among the packets before it, and counted to its flow.

use crate::audit::Audit;
use crate::flows::{Flow, Key, idle_limit};
use crate::judge::{Path, Ruling};
use crate::quoted::Quoted;
use crate::wire::{ARP, Captured, IPV4, IPV6};
use enforcer_common::Reason;
use enforcer_common::dissect::{Dissected, dissect};
use enforcer_common::packet::{Frame, Packet as _, flags};
use enforcer_flows::{Packet, Time};
use enforcer_policy::memory::frame;
use rustc_hash::FxHashMap;
use std::net::IpAddr;

const TCP: u8 = 6;
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;

/// Ports of datagrams that came in parts, of which only the first part has them.
#[derive(Default)]
pub(crate) struct Parts {
    first: FxHashMap<(u32, u32, u32, u8), (u16, u16)>,
}

impl Parts {
    const MOST: usize = 1 << 16;

    fn ports(&mut self, source: u32, destination: u32, read: &Dissected) -> (u16, u16) {
        let Some(part) = read.part else { return read.ports.unwrap_or_default() };
        let key = (source, destination, part.id, read.protocol);
        match read.ports {
            Some(ports) => {
                if self.first.len() >= Self::MOST {
                    self.first.clear();
                }
                self.first.insert(key, ports);
                ports
            }
            None => self.first.get(&key).copied().unwrap_or_default(),
        }
    }
}

/// A packet that was read, on its way.
struct Sent {
    source: u32,
    destination: u32,
    protocol: u8,
    ports: (u16, u16),
    /// TCP flags.
    flags: u8,
    /// It can only answer something.
    answers: bool,
    path: Path,
    bytes: u64,
    time: Option<Time>,
}

impl Sent {
    fn forward(&self) -> Key {
        Key::new(self.source, self.destination, self.protocol, self.ports)
    }

    fn backward(&self) -> Key {
        Key::new(self.destination, self.source, self.protocol, (self.ports.1, self.ports.0))
    }

    fn opens_tcp(&self) -> bool {
        self.protocol == TCP && self.flags & (flags::SYN | flags::ACK) == flags::SYN
    }
}

/// Which flow a packet belongs to.
enum Way {
    /// It opens this one, or goes the way of the packet that did.
    Forward(Option<Flow>),
    /// It goes the other way.
    Backward(Flow),
    /// Of a flow that was opened before the recording began: by its receiver, or by its sender.
    Unopened { by_receiver: bool },
}

impl Audit {
    /// Judges a packet and counts it. What the verdict function says of this packet, whatever becomes of its flow; `None` where it isn't judged.
    pub fn packet(&mut self, packet: &Packet<'_>) -> Option<Ruling> {
        self.totals.packets += 1;
        self.totals.packet_bytes += u64::from(packet.length);
        self.widen(packet.time.map(|time| (time, time)));
        let cut = (packet.bytes.len() as u32) < packet.length;
        let unread = |audit: &mut Self| {
            *(if cut { &mut audit.totals.truncated } else { &mut audit.totals.unreadable }) += 1;
            None
        };
        let Some(captured) = Captured::new(packet, self.setting.untag) else { return unread(self) };
        self.totals.tagged += u64::from(captured.tags > 0);
        if !matches!(captured.ethertype, IPV4 | IPV6 | ARP) {
            self.totals.not_ip += 1;
            return None;
        }
        let Some((source, destination)) = captured.addresses() else { return unread(self) };
        self.tick(packet.time);
        let timed = packet.time.is_some() && !self.setting.keep_repeats;
        if timed && self.repeats.is_repeat(&captured, self.now) {
            self.totals.repeated += 1;
            return None;
        }
        let source = self.ends.at(source, packet.time, None, &mut self.ground);
        let destination = self.ends.at(destination, packet.time, None, &mut self.ground);
        let path = self.path(source, destination);
        if captured.ethertype == ARP {
            return self.neighbour(&captured, path);
        }
        let read = dissect(&captured, false);
        if captured.missed() {
            self.totals.truncated += 1;
            return None;
        }
        let bytes = u64::from(packet.length);
        let Ok(read) = read else {
            return self.faulty(&captured, source, destination, path, bytes, packet.time);
        };
        let message = message(&captured, &read);
        if read.protocol == ICMPV6 && message.is_some_and(|kind| (133..=136).contains(&kind)) {
            return self.neighbour(&captured, path);
        }
        let ports = self.parts.ports(source, destination, &read);
        let answers =
            matches!((read.protocol, message), (ICMP, Some(0 | 14 | 16 | 18)) | (ICMPV6, Some(129)));
        let (protocol, flags, time) = (read.protocol, read.flags, packet.time);
        let sent = Sent { source, destination, protocol, ports, flags, answers, path, bytes, time };
        self.of_flow(&captured, &sent)
    }

    /// Judges a packet with its flow in mind.
    fn of_flow(&mut self, captured: &Captured<'_>, sent: &Sent) -> Option<Ruling> {
        if sent.protocol == TCP && sent.flags & (flags::SYN | flags::ACK) == flags::SYN | flags::ACK {
            self.listeners.add(sent.source, TCP, sent.ports.0);
        }
        let way = self.way(sent);
        let opening = match way {
            Way::Unopened { by_receiver } => self.open(sent, by_receiver),
            Way::Forward(_) | Way::Backward(_) => None,
        };
        let mut ruling = self.ground.judge.packet(captured, sent.path);
        if captured.missed() {
            self.totals.truncated += 1;
            return None;
        }
        let stands = |audit: &Self, flow: Flow| audit.groups.all()[flow.group as usize].key.ruling;
        let lost = ruling.is_some_and(Ruling::is_out_of_state) && !self.setting.from_start;
        if lost && opening.is_none() {
            // The tables have forgotten what they let pass, for want of room: they are told again.
            let by_receiver = match way {
                Way::Forward(Some(flow)) if passes(stands(self, flow)) => Some(false),
                Way::Backward(flow) if passes(stands(self, flow)) => Some(true),
                _ => None,
            };
            if let Some(by_receiver) = by_receiver {
                self.open(sent, by_receiver);
                ruling = self.ground.judge.packet(captured, sent.path);
            }
        }
        let said = ruling;
        if ruling.is_some_and(|ruling| ruling.cause.as_reason() == Some(Reason::RelatedUnknown)) {
            return self.about(captured, sent, ruling);
        }
        let (key, flags) = match way {
            Way::Forward(flow) => {
                // What follows a denied opening wouldn't have come.
                if let Some(flow) = flow
                    && ruling.is_some_and(Ruling::is_out_of_state)
                {
                    ruling = stands(self, flow);
                }
                (sent.forward(), if flow.is_none() || sent.opens_tcp() { Flow::OPENED } else { 0 })
            }
            Way::Backward(flow) => {
                let stands = stands(self, flow);
                if !passes(stands) || ruling.is_some_and(Ruling::is_out_of_state) {
                    ruling = stands;
                }
                (sent.backward(), Flow::REPLIED)
            }
            Way::Unopened { by_receiver } => {
                if !passes(ruling) {
                    ruling = opening.or(ruling);
                }
                let replied = if by_receiver { Flow::REPLIED } else { 0 };
                (if by_receiver { sent.backward() } else { sent.forward() }, replied)
            }
        };
        if sent.path.is_unhooked() {
            self.totals.unjudged += 1;
        } else {
            self.totals.judged += 1;
        }
        self.count(key, ruling, flags | Flow::CAPTURED, 1, sent.bytes, sent.time.map(|time| (time, time)));
        said
    }

    /// An ICMP error about no flow that is open. Of a denied one, it wouldn't have come; of one that nobody has seen, it comes as if that were open.
    fn about(&mut self, captured: &Captured<'_>, sent: &Sent, said: Option<Ruling>) -> Option<Ruling> {
        let mut counted = (sent.forward(), said, Flow::OPENED);
        if !self.setting.from_start
            && let Some(quoted) = captured.behind_icmp().and_then(Quoted::read)
        {
            let Quoted { source, destination, protocol, ports } = quoted;
            let from = self.ends.at(source, sent.time, None, &mut self.ground);
            let to = self.ends.at(destination, sent.time, None, &mut self.ground);
            let key = Key::new(from, to, protocol, ports);
            let back = Key::new(to, from, protocol, (ports.1, ports.0));
            let known = [key, back].into_iter().find_map(|key| Some((key, *self.flows.get(key)?)));
            if let Some((key, flow)) = known {
                let stands = self.groups.all()[flow.group as usize].key.ruling;
                counted = if passes(stands) { counted } else { (key, stands, 0) };
            } else if let Some(frame) = opening(source, destination, protocol, ports) {
                let path = self.path(from, to);
                self.ground.judge.packet(&Frame::new(&frame), path);
                if self.assumed.len() < ASSUMED {
                    self.assumed.insert(key);
                }
                let path = self.path(sent.source, sent.destination);
                counted = (sent.forward(), self.ground.judge.packet(captured, path), 0);
            }
        }
        let (key, ruling, flags) = counted;
        self.totals.judged += 1;
        self.count(key, ruling, flags | Flow::CAPTURED, 1, sent.bytes, sent.time.map(|time| (time, time)));
        said
    }

    /// Which flow a packet belongs to.
    fn way(&self, sent: &Sent) -> Way {
        let alive = |key: Key| {
            let flow = self.flows.get(key)?;
            (!flow.is_over(self.now, sent.protocol)).then_some(*flow)
        };
        if sent.opens_tcp() {
            return Way::Forward(None);
        }
        if let Some(flow) = alive(sent.forward()) {
            return Way::Forward(Some(flow));
        }
        if let Some(flow) = alive(sent.backward()) {
            return Way::Backward(flow);
        }
        if self.setting.from_start {
            return Way::Forward(None);
        }
        let began = self.began().unwrap_or(self.now);
        let early = self.now - began <= idle_limit(sent.protocol, true);
        let ends = (sent.source, sent.destination);
        match sent.protocol {
            // The answer to a SYN says who sent that.
            TCP if sent.flags & flags::SYN != 0 => Way::Unopened { by_receiver: true },
            TCP => {
                Way::Unopened { by_receiver: self.listeners.receiver_likely_opened(ends, TCP, sent.ports) }
            }
            ICMP | ICMPV6 if sent.answers && early => Way::Unopened { by_receiver: true },
            // After a while, whatever is still answered was asked within the recording.
            17 | 132 if early && self.listeners.receiver_likely_opened(ends, sent.protocol, sent.ports) => {
                Way::Unopened { by_receiver: true }
            }
            _ => Way::Forward(None),
        }
    }

    /// Lets the packet come that opened the flow of this one. What is said of it.
    fn open(&mut self, sent: &Sent, by_receiver: bool) -> Option<Ruling> {
        let (source, destination) =
            (self.ends.get(sent.source).address, self.ends.get(sent.destination).address);
        let (frame, path) = if by_receiver {
            (opening(destination, source, sent.protocol, (sent.ports.1, sent.ports.0))?, sent.path.reversed())
        } else {
            (opening(source, destination, sent.protocol, sent.ports)?, sent.path)
        };
        self.ground.judge.packet(&Frame::new(&frame), path)
    }

    /// A packet that can't be read as far as its ports, judged as it is.
    fn faulty(
        &mut self,
        captured: &Captured<'_>,
        source: u32,
        destination: u32,
        path: Path,
        bytes: u64,
        time: Option<Time>,
    ) -> Option<Ruling> {
        let ruling = self.ground.judge.packet(captured, path);
        if path.is_unhooked() {
            self.totals.unjudged += 1;
        } else {
            self.totals.judged += 1;
        }
        let header = captured.datagram();
        let protocol = header.get(if captured.ethertype == IPV4 { 9 } else { 6 }).copied().unwrap_or(0);
        let key = Key::new(source, destination, protocol, (0, 0));
        self.count(key, ruling, Flow::OPENED | Flow::CAPTURED, 1, bytes, time.map(|time| (time, time)));
        ruling
    }

    /// Address resolution and neighbour discovery: judged and counted, but no flows.
    fn neighbour(&mut self, captured: &Captured<'_>, path: Path) -> Option<Ruling> {
        let ruling = self.ground.judge.packet(captured, path);
        if captured.missed() {
            self.totals.truncated += 1;
            return None;
        }
        let neighbours = &mut self.totals.neighbours;
        match ruling {
            None => neighbours.unjudged += 1,
            Some(ruling) if ruling.passes => neighbours.passed += 1,
            Some(ruling) => {
                let word = ruling.cause.as_reason().map_or("rule", |reason| reason.word());
                *neighbours.denied.entry(word).or_default() += 1;
            }
        }
        ruling
    }

    /// Lets the clocks follow the capture's.
    fn tick(&mut self, time: Option<Time>) {
        if let Some(time) = time {
            self.now = time;
            let source = self.source();
            source.began = Some(source.began.map_or(time, |began| began.min(time)));
            self.set_boot(time);
            self.ground.judge.set_time(u64::try_from(time).unwrap_or(0));
        }
        self.unswept += 1;
        if self.unswept >= SWEEP.max(self.flows.len() / 4) {
            self.unswept = 0;
            self.ground.judge.sweep();
        }
    }
}

/// Flows known by errors about them alone that are remembered.
const ASSUMED: usize = 1 << 20;

/// Packets between two looks for flows that are over, at the least.
const SWEEP: usize = 1 << 17;

fn passes(ruling: Option<Ruling>) -> bool {
    ruling.is_none_or(|ruling| ruling.passes)
}

/// Type of an ICMP message.
fn message(captured: &Captured<'_>, read: &Dissected) -> Option<u8> {
    let icmp = matches!(read.protocol, ICMP | ICMPV6) && read.ports.is_some();
    if icmp { captured.at(read.transport) } else { None }
}

/// The packet that opens a flow with these ports.
pub(crate) fn opening(
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    ports: (u16, u16),
) -> Option<Vec<u8>> {
    let [kind, code] = ports.1.to_be_bytes();
    let payload = match protocol {
        TCP => frame::tcp(ports.0, ports.1, flags::SYN),
        17 | 132 => frame::ports(protocol, ports.0, ports.1),
        ICMP | ICMPV6 => frame::icmp(kind, code, ports.0, &[]),
        _ => vec![0; 8],
    };
    frame::ip(source, destination, protocol, &payload)
}
