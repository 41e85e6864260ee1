//! How much memory distinct flows take, as records, as captured SYNs to a managed workload, or as records that don't say who opened them:
//! `cargo run --profile bench -p enforcer-audit --example distinct -- 10000000 [packets|unsure]`.

use enforcer_audit::{Audit, Setting};
use enforcer_flows::{End, Flow, Format, Item, Link, Opener, Packet, Packing, Sink, Summary};
use enforcer_policy::check;
use enforcer_policy::memory::frame::opening;
use enforcer_policy::source::Source;
use jiff::Timestamp;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

/// Who is reached, by anybody.
const SERVER: &str = "\
apiVersion: enforcer.dev/v1alpha1
kind: Workload
metadata: {name: server}
spec: {labels: {app: server}, match: [{interface: veth-server}], addresses: [10.0.0.1]}
---
apiVersion: enforcer.dev/v1alpha1
kind: FlowPolicy
metadata: {name: open}
spec: {flows: [{from: [{entity: world}], to: [{labels: {app: server}}], ports: [tcp/443]}]}
";

fn peak() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("VmHWM: unknown").to_owned()
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let count: u32 = std::env::args().nth(1).map_or(Ok(1_000_000), |text| text.parse())?;
    let what = std::env::args().nth(2).unwrap_or_default();
    let packets = what == "packets";
    let set = check::parse(&[Source::new("distinct.yaml", SERVER)], Timestamp::now()).into_result()?.0;
    let mut audit = Audit::new(Setting::new(set, Timestamp::now()))?;
    let start = Instant::now();
    let end = |address: u32, port| End { address: IpAddr::V4(Ipv4Addr::from(address)), port, who: None };
    let mut flow = Flow {
        start: Some(0),
        end: Some(0),
        protocol: 6,
        source: end(0, 0),
        destination: end(0x0a00_0001, 443),
        icmp: None,
        opener: Opener::Source,
        packets: 10,
        bytes: 1_000,
        recorded: None,
        seen: None,
    };
    if what == "unsure" {
        (flow.opener, flow.destination.port) = (Opener::Unknown, 50_051);
    }
    for n in 0..count {
        // A client each, from the world: the most that a flow can take.
        flow.source = end(0x2000_0000 + n, 40_000);
        if packets {
            let bytes = opening(flow.source.address, flow.destination.address, 6, 443).ok_or("one family")?;
            let (time, length) = (Some(i64::from(n) * 200_000), bytes.len() as u32);
            audit.take(Item::Packet(Packet { time, link: Link::Ethernet, bytes: &bytes, length }));
            continue;
        }
        audit.take(Item::Flow(&flow));
    }
    audit.end(&Summary {
        format: Format::Vpc,
        packing: Packing::None,
        bytes: 0,
        packets: 0,
        cut: 0,
        flows: u64::from(count),
        gaps: 0,
        damaged: 0,
        skipped: 0,
        notes: Vec::new(),
    });
    let took = start.elapsed();
    let report = audit.report()?;
    println!(
        "{} flows of {} addresses in {took:.1?}; {}",
        report.totals.flows,
        report.totals.addresses,
        peak()
    );
    Ok(())
}
