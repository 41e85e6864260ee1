//! What the programs are given: a policy set of some size, and frames that meet it.

use std::fmt::Write as _;
use std::net::IpAddr;

use anyhow::{Result, anyhow};
use enforcer_common::maps::Subject;
use enforcer_common::packet::flags::{ACK, SYN};
use enforcer_policy::check;
use enforcer_policy::compile::{Clock, Compiled, Inputs, Numbers, compile};
use enforcer_policy::memory::frame::{ip, ports, tcp};
use enforcer_policy::model::SegmentMode;
use enforcer_policy::source::Source;
use jiff::Timestamp;

/// The port that the first workload may reach on the second.
const ALLOWED: u16 = 1024;
const SYN_ACK: u8 = SYN | ACK;

/// So many workloads in a ring, each allowed to reach the next.
pub(crate) fn ring(workloads: usize, addresses: usize) -> Result<Compiled> {
    let mut text = String::new();
    for n in 0..workloads {
        let own = (0..addresses / workloads).map(|k| address(n, k / 2, k % 2 == 1).to_string());
        let own = own.collect::<Vec<_>>().join(", ");
        write!(
            text,
            "apiVersion: enforcer.dev/v1alpha1\nkind: Workload\nmetadata: {{name: w{n}}}\nspec:\n  \
             labels: {{app: a{n}}}\n  match: [{{interface: ve{n}}}]\n  addresses: [{own}]\n---\n\
             apiVersion: enforcer.dev/v1alpha1\nkind: FlowPolicy\nmetadata: {{name: p{n}}}\nspec:\n  flows:\n    \
             - from: [{{labels: {{app: a{n}}}}}]\n      to: [{{labels: {{app: a{}}}}}]\n      \
             ports: [tcp/{ALLOWED}, udp/{ALLOWED}]\n      why: the bench\n---\n",
            (n + 1) % workloads
        )?;
    }
    let now = Timestamp::UNIX_EPOCH;
    let checked = check::parse(&[Source::new("bench.yaml", text)], now).into_result();
    let (set, _) =
        checked.map_err(|invalid| anyhow!("the bench's documents are wrong: {:?}", invalid.0.first()))?;
    let inputs =
        Inputs { set: &set, host: &[], default_mode: SegmentMode::Enforce, clock: Clock { now, boot_ns: 0 } };
    Ok(compile(&inputs, &mut Numbers::default())?)
}

fn address(workload: usize, which: usize, v6: bool) -> IpAddr {
    let number = (which * 10_000 + workload + 1) as u32;
    if v6 {
        [0xfd00, 0, 0, 0, 0, 0, (number >> 16) as u16, number as u16].into()
    } else {
        (0x0a00_0000 + number).to_be_bytes().into()
    }
}

/// The first workload's entry.
pub(crate) fn subject(compiled: &Compiled) -> Result<Subject> {
    Ok(compiled.subject("w0").ok_or_else(|| anyhow!("the first workload has no hook"))?.subject)
}

/// The same as somebody known by a cgroup, with its number.
pub(crate) fn hosted(subject: Subject) -> (u32, Subject) {
    let flags = Subject::HOSTED | Subject::NO_LINK_HEADER;
    (Subject::hosted(subject.identity), Subject { flags, address4: [0], address6: [0; 4], ..subject })
}

/// Frames between the first workload and the second.
#[derive(Clone, Copy)]
pub(crate) struct Frames {
    pub(crate) v6: bool,
}

impl Frames {
    fn out(self, protocol: u8, payload: &[u8]) -> Vec<u8> {
        ip(address(0, 0, self.v6), address(1, 0, self.v6), protocol, payload).expect("one family")
    }

    fn back(self, protocol: u8, payload: &[u8]) -> Vec<u8> {
        ip(address(1, 0, self.v6), address(0, 0, self.v6), protocol, payload).expect("one family")
    }

    /// What opens a TCP flow: the workload's, the answer, the workload's.
    pub(crate) fn handshake(self) -> [Vec<u8>; 3] {
        [self.out(6, &tcp(7, ALLOWED, SYN)), self.back(6, &tcp(ALLOWED, 7, SYN_ACK)), self.sends()]
    }

    /// A segment of that flow.
    pub(crate) fn sends(self) -> Vec<u8> {
        self.out(6, &tcp(7, ALLOWED, ACK))
    }

    /// A segment of that flow, the other way.
    pub(crate) fn receives(self) -> Vec<u8> {
        self.back(6, &tcp(ALLOWED, 7, ACK))
    }

    /// What no rule allows.
    pub(crate) fn denied(self) -> Vec<u8> {
        self.out(17, &ports(17, 7, ALLOWED + 1))
    }

    /// What opens a flow that is allowed, another one for each port.
    pub(crate) fn opening(self, port: u16) -> Vec<u8> {
        self.out(17, &ports(17, port, ALLOWED))
    }
}
