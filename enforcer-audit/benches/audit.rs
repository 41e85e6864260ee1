//! Whole dry runs from files: VPC flow logs and captures, reading included.
#![allow(missing_docs, reason = "criterion's macros make public functions without documentation")]

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use enforcer_audit::{Audit, Setting};
use enforcer_flows::{Options, read};
use enforcer_policy::check;
use enforcer_policy::memory::frame::{ip, tcp};
use enforcer_policy::model::PolicySet;
use enforcer_policy::source::Source;
use jiff::Timestamp;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::hint::black_box;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

const WORKLOADS: u32 = 1_000;
const ITEMS: u32 = 200_000;

fn now() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().expect("an instant")
}

fn address(workload: u32) -> Ipv4Addr {
    Ipv4Addr::new(10, 7, (workload / 250) as u8, (workload % 250 + 1) as u8)
}

/// Every workload has a rule that lets the one before it in.
fn set() -> PolicySet {
    let mut text = String::new();
    for n in 0..WORKLOADS {
        let before = (n + WORKLOADS - 1) % WORKLOADS;
        let _ = write!(
            text,
            "---\napiVersion: enforcer.dev/v1alpha1\nkind: Workload\nmetadata: {{name: w{n}}}\nspec: {{labels: {{app: app-{n}, env: prod}}, \
             match: [{{interface: veth-{n}}}], addresses: [{}]}}\n---\napiVersion: enforcer.dev/v1alpha1\nkind: FlowPolicy\n\
             metadata: {{name: p{n}}}\nspec: {{flows: [{{from: [{{labels: {{app: app-{before}}}}}], to: [{{labels: {{app: app-{n}}}}}], ports: [tcp/443]}}]}}\n",
            address(n)
        );
    }
    let checked = check::parse(&[Source::new("bench.yaml", text)], now());
    checked.into_result().expect("the set is right").0
}

/// Client, server and client port of flow `n`: two in three are allowed.
fn ends(n: u32) -> (Ipv4Addr, Ipv4Addr, u16) {
    let client = n % WORKLOADS;
    let server = if n.is_multiple_of(3) { client + 2 } else { client + 1 };
    (address(client), address(server % WORKLOADS), (32_768 + n / WORKLOADS % 28_000) as u16)
}

/// Two records for each flow.
fn flow_log(path: &Path) {
    let mut text = String::new();
    for n in 0..ITEMS {
        let (client, server, port) = ends(n / 2);
        let start = 1_700_000_000 + n / 1_000;
        let (ends, ports) = if n % 2 == 0 {
            (format!("{client} {server}"), format!("{port} 443"))
        } else {
            (format!("{server} {client}"), format!("443 {port}"))
        };
        let _ = writeln!(
            text,
            "2 123456789010 eni-1235b8ca123456789 {ends} {ports} 6 20 4249 {start} {} ACCEPT OK",
            start + 60
        );
    }
    fs::write(path, text).expect("the log can be written");
}

/// Connections of ten packets each, a hundred of them at a time.
fn capture(path: &Path) {
    let mut file = Vec::new();
    for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, 1] {
        file.extend(word.to_le_bytes());
    }
    for n in 0..ITEMS {
        let (batch, step, within) = (n / 1_000, n / 100 % 10, n % 100);
        let (client, server, port) = ends(batch * 100 + within);
        let (from, to, ports, flags) = match step {
            0 => (client, server, (port, 443), 2),
            1 => (server, client, (443, port), 18),
            odd if odd % 2 == 1 => (server, client, (443, port), 16),
            _ => (client, server, (port, 443), 16),
        };
        let mut payload = tcp(ports.0, ports.1, flags);
        payload[4..8].copy_from_slice(&n.to_be_bytes());
        payload.extend([0; 200]);
        let frame = ip(from.into(), to.into(), 6, &payload).expect("one family");
        let (micros, length) = (u64::from(n) * 5, frame.len() as u32);
        let second = 1_700_000_000 + (micros / 1_000_000) as u32;
        for word in [second, (micros % 1_000_000) as u32, length, length] {
            file.extend(word.to_le_bytes());
        }
        file.extend(frame);
    }
    fs::write(path, file).expect("the capture can be written");
}

fn recordings(c: &mut Criterion) {
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let set = set();
    let mut group = c.benchmark_group("audit");
    group.sample_size(10);
    group.throughput(Throughput::Elements(ITEMS.into()));
    let (log, packets) = (dir.join("vpc_records"), dir.join("pcap_packets"));
    flow_log(&log);
    capture(&packets);
    for (name, path) in [("vpc_records", log), ("pcap_packets", packets)] {
        group.bench_function(name, |b| {
            b.iter_batched(
                || Audit::new(Setting::new(set.clone(), now())).expect("the set compiles"),
                |mut audit| {
                    let file = File::open(&path).expect("it was written");
                    let summary = read(file, &Options::default(), &mut audit).expect("it can be read");
                    assert_eq!((summary.packets + summary.flows, summary.damaged), (ITEMS.into(), 0));
                    black_box(audit)
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, recordings);
criterion_main!(benches);
