//! Whom a workload behind a device speaks with at the machine's addresses: who has the socket there, in memory as in the kernel.

use std::net::IpAddr;

use enforcer_common::maps::{Direction, Subject};
use enforcer_common::packet::Frame;
use enforcer_common::packet::flags::{ACK, SYN};
use enforcer_common::{Hook, judge};
use enforcer_policy::check;
use enforcer_policy::compile::{Clock, Compiled, Inputs, Numbers, compile};
use enforcer_policy::memory::MemoryTables;
use enforcer_policy::memory::frame::{ip, tcp};
use enforcer_policy::model::SegmentMode;
use enforcer_policy::source::Source;
use jiff::Timestamp;

const WORKLOADS: &str = r#"
apiVersion: enforcer.dev/v1alpha1
kind: Workload
metadata: {name: web}
spec: {labels: {app: web}, match: [{interface: veth-web}], addresses: [10.1.0.2, "fd01::2"]}
---
apiVersion: enforcer.dev/v1alpha1
kind: FlowPolicy
metadata: {name: out}
spec:
  flows:
    - {from: [{labels: {app: web}}], to: [{labels: {app: db}}], ports: [tcp/5000-5999]}
    - {from: [{labels: {app: web}}], to: [{entity: host}], ports: [tcp/22]}
"#;
const DB: &str = r#"
---
apiVersion: enforcer.dev/v1alpha1
kind: Workload
metadata: {name: db}
spec: {labels: {app: db}, match: [{unit: db.service}]}
"#;
const DEVICE: u32 = 7;
const ENDS: [[&str; 2]; 2] = [["10.1.0.2", "10.1.0.1"], ["fd01::2", "fd01::1"]];

fn set(text: &str, numbers: &mut Numbers) -> (Compiled, Vec<(u32, Subject)>) {
    let now = Timestamp::UNIX_EPOCH;
    let checked = check::parse(&[Source::new("set.yaml", text)], now).into_result();
    let (set, _) = checked.unwrap_or_else(|invalid| panic!("{:?}", invalid.0));
    let host: Vec<IpAddr> = ENDS.map(|[_, gateway]| gateway.parse().unwrap()).to_vec();
    let clock = Clock { now, boot_ns: 0 };
    let inputs = Inputs { set: &set, host: &host, default_mode: SegmentMode::Enforce, clock };
    let compiled = compile(&inputs, numbers).unwrap();
    let web = compiled.subject("web").unwrap().subject;
    let hosted = compiled.subjects.iter().flat_map(|plan| &plan.hosted).chain(&compiled.host.hosted);
    let subjects = hosted.copied().chain([(DEVICE, web)]).collect();
    (compiled, subjects)
}

/// What the device's hook says of a packet of the workload's to each family's gateway.
fn sent(tables: &mut MemoryTables, port: u16, flags: u8) -> [bool; 2] {
    let hook = Hook { subject: DEVICE, direction: Direction::Egress };
    ENDS.map(|[from, to]| {
        let segment = tcp(4000, port, flags);
        let frame = ip(from.parse().unwrap(), to.parse().unwrap(), 6, &segment).unwrap();
        let outcome = judge(&Frame::new(&frame), hook, tables);
        assert!(outcome.passes || outcome.cause.as_rule().is_none(), "{outcome:?}");
        outcome.passes
    })
}

#[test]
fn a_device_knows_who_has_the_socket_for_as_long_as_the_flow_lasts() {
    let mut numbers = Numbers::default();
    let (compiled, subjects) = set(&format!("{WORKLOADS}{DB}"), &mut numbers);
    let db = Subject::hosted(compiled.subject("db").unwrap().identity);
    let mut tables = MemoryTables::new(&compiled.image);
    tables.switch(&compiled.image, &subjects);
    for [_, gateway] in ENDS {
        tables.house(db, 6, gateway.parse().unwrap(), 5432);
        tables.house(db, 6, gateway.parse().unwrap(), 22);
    }
    assert_eq!(sent(&mut tables, 5432, SYN), [true; 2], "it is db's");
    assert_eq!(sent(&mut tables, 5433, SYN), [false; 2], "nobody has it, so it is the host's");
    assert_eq!(sent(&mut tables, 22, SYN), [false; 2], "db isn't the host");
    assert_eq!(sent(&mut tables, 5432, ACK), [true; 2], "it is a flow's");
    // There is no db any more, and the flow was with db.
    let (compiled, subjects) = set(WORKLOADS, &mut numbers);
    tables.switch(&compiled.image, &subjects);
    assert_eq!(sent(&mut tables, 5432, ACK), [false; 2]);
}
