//! A shop, and recordings of what goes on in it.
#![allow(dead_code, reason = "each test file is a program of its own and uses some of it")]

pub(crate) mod pages;

use enforcer_audit::{Audit, Report, Setting};
use enforcer_flows::{End, Flow, Format, Item, Link, Opener, Packet, Packing, Sink, Summary, Time};
use enforcer_policy::check;
use enforcer_policy::memory::frame::ip;
use enforcer_policy::model::PolicySet;
use enforcer_policy::source::Source;
use enforcer_policy::testing::NOW;

/// Web may reach db on tcp/443 and udp/53.
pub(crate) const SHOP: &str = "\
apiVersion: enforcer.dev/v1alpha1
kind: Workload
metadata: {name: web}
spec: {labels: {app: web}, match: [{interface: veth-web}], addresses: [10.0.0.1, 'fd00::1']}
---
apiVersion: enforcer.dev/v1alpha1
kind: Workload
metadata: {name: db}
spec: {labels: {app: db}, match: [{interface: veth-db}], addresses: [10.0.0.2, 'fd00::2']}
---
apiVersion: enforcer.dev/v1alpha1
kind: Workload
metadata: {name: elsewhere}
spec: {labels: {app: elsewhere}, addresses: [10.0.0.3]}
---
apiVersion: enforcer.dev/v1alpha1
kind: Workload
metadata: {name: idle}
spec: {labels: {app: idle}, match: [{interface: veth-idle}], addresses: [10.0.0.4]}
---
apiVersion: enforcer.dev/v1alpha1
kind: FlowPolicy
metadata: {name: shop}
spec:
  flows:
    - {from: [{labels: {app: web}}], to: [{labels: {app: db}}], ports: [tcp/443], why: orders}
    - {from: [{labels: {app: web}}], to: [{labels: {app: db}}], ports: [udp/53]}
";

pub(crate) fn parsed(text: &str) -> PolicySet {
    let checked = check::parse(&[Source::new("shop.yaml", text)], NOW);
    checked.into_result().map(|(set, _)| set).unwrap_or_else(|invalid| panic!("{invalid}: {:?}", invalid.0))
}

pub(crate) fn audit(text: &str) -> Audit {
    Audit::new(Setting::new(parsed(text), NOW)).unwrap()
}

/// Ten packets of 1,000 bytes.
pub(crate) fn flow(from: &str, sport: u16, to: &str, dport: u16, opener: Opener) -> Flow {
    let end = |address: &str, port| End { address: address.parse().unwrap(), port, who: None };
    Flow {
        start: None,
        end: None,
        protocol: if dport == 5_353 { 17 } else { 6 },
        source: end(from, sport),
        destination: end(to, dport),
        icmp: None,
        opener,
        packets: 10,
        bytes: 1_000,
        recorded: None,
        seen: None,
    }
}

pub(crate) fn packet(from: &str, to: &str, protocol: u8, payload: &[u8]) -> Vec<u8> {
    ip(from.parse().unwrap(), to.parse().unwrap(), protocol, payload).unwrap()
}

/// What a reader counts that has handed everything on.
pub(crate) fn read_to_its_end() -> Summary {
    Summary {
        format: Format::Vpc,
        packing: Packing::None,
        bytes: 0,
        packets: 0,
        cut: 0,
        flows: 0,
        gaps: 0,
        damaged: 0,
        skipped: 0,
        notes: Vec::new(),
    }
}

/// Captured frames with their times and lengths.
pub(crate) struct Recording {
    now: Time,
    packets: Vec<(Time, Vec<u8>, u32)>,
}

impl Recording {
    pub(crate) fn new() -> Self {
        Self { now: 1_700_000_000_000_000_000, packets: Vec::new() }
    }

    /// Lets seconds pass.
    pub(crate) fn wait(&mut self, seconds: i64) {
        self.now += seconds * 1_000_000_000;
    }

    /// A frame, three milliseconds after the one before.
    pub(crate) fn frame(&mut self, bytes: &[u8], length: usize) {
        self.now += 3_000_000;
        self.packets.push((self.now, bytes.to_vec(), length as u32));
    }

    pub(crate) fn send(&mut self, from: &str, to: &str, protocol: u8, payload: &[u8]) {
        let frame = packet(from, to, protocol, payload);
        self.frame(&frame, frame.len());
    }

    /// The frame before once more, a millisecond later.
    pub(crate) fn again(&mut self) {
        let mut last = self.packets.last().unwrap().clone();
        last.0 += 1_000_000;
        self.packets.push(last);
    }

    pub(crate) fn report(&self, text: &str) -> Report {
        self.report_with(text, |_| {})
    }

    pub(crate) fn report_with(&self, text: &str, change: impl FnOnce(&mut Setting)) -> Report {
        let mut setting = Setting::new(parsed(text), NOW);
        change(&mut setting);
        let mut audit = Audit::new(setting).unwrap();
        self.play(&mut audit);
        audit.report().unwrap()
    }

    pub(crate) fn play(&self, audit: &mut dyn Sink) {
        for (time, bytes, length) in &self.packets {
            audit.take(Item::Packet(Packet {
                time: Some(*time),
                link: Link::Ethernet,
                bytes,
                length: *length,
            }));
        }
    }
}
