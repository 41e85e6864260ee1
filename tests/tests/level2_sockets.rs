//! The programs at sockets and the verdict function in memory, given the same generations and the same packets, say the same.

use std::net::IpAddr;

use enforcer_agent::datapath::Datapath;
use enforcer_agent::kernel::Kernel;
use enforcer_common::maps::{Cgroup, Direction, Failsafe, FailsafeRange, Subject};
use enforcer_common::packet::Frame;
use enforcer_common::packet::flags::{ACK, FIN, RST, SYN};
use enforcer_common::{Hook, judge};
use enforcer_policy::check;
use enforcer_policy::compile::{Clock, Compiled, Inputs, Numbers, compile};
use enforcer_policy::memory::MemoryTables;
use enforcer_policy::memory::frame::{icmp, ip, ports, tcp};
use enforcer_policy::model::SegmentMode;
use enforcer_policy::source::Source;
use enforcer_tests::{own_cgroup, world};
use ipnet::IpNet;
use jiff::Timestamp;

const SET: &str = r#"
apiVersion: enforcer.dev/v1alpha1
kind: Workload
metadata: {name: own}
spec: {labels: {app: own}, match: [{unit: own.service}]}
---
apiVersion: enforcer.dev/v1alpha1
kind: Workload
metadata: {name: far}
spec: {labels: {app: far}, addresses: [10.9.0.1, "fd09::1"]}
---
apiVersion: enforcer.dev/v1alpha1
kind: Workload
metadata: {name: other}
spec: {labels: {app: other}, match: [{cgroup: /other}], addresses: [10.1.0.2]}
---
apiVersion: enforcer.dev/v1alpha1
kind: FlowPolicy
metadata: {name: out}
spec:
  flows:
    - {from: [{labels: {app: own}}], to: [{labels: {app: far}}], ports: [tcp/443, udp/53, icmp/echo-request, icmpv6/echo-request]}
    - {from: [{labels: {app: own}}], to: [{cidr: [127.0.0.53/32]}], ports: [udp/53]}
    - {from: [{labels: {app: own}}], to: [{entity: host}], ports: [tcp/22]}
    - {from: [{cidr: [10.1.0.0/24]}], to: [{labels: {app: far}}], ports: [tcp/80]}
    - {from: [{labels: {app: far}}], to: [{labels: {app: own}}], ports: [tcp/8080]}
---
apiVersion: enforcer.dev/v1alpha1
kind: Segment
metadata: {name: host}
spec: {select: [{entity: host}]}
"#;

/// Two of the machine's addresses are told apart by a rule; one belongs to somebody else.
const HOST: [&str; 5] = ["10.1.0.1", "10.1.0.2", "10.2.0.1", "fd01::1", "fd02::1"];

fn set() -> Compiled {
    let now = Timestamp::UNIX_EPOCH;
    let checked = check::parse(&[Source::new("set.yaml", SET)], now).into_result();
    let (set, _) = checked.unwrap_or_else(|invalid| panic!("{:?}", invalid.0));
    let host: Vec<IpAddr> = HOST.iter().map(|address| address.parse().unwrap()).collect();
    let clock = Clock { now, boot_ns: 0 };
    let inputs = Inputs { set: &set, host: &host, default_mode: SegmentMode::Enforce, clock };
    compile(&inputs, &mut Numbers::default()).unwrap()
}

/// What is sent from each of some addresses to each of some others.
fn packets() -> Vec<(String, Vec<u8>)> {
    let ends = [
        "10.1.0.1",
        "10.1.0.2",
        "10.2.0.1",
        "10.9.0.1",
        "10.9.0.9",
        "127.0.0.1",
        "127.0.0.53",
        "224.0.0.251",
        "0.0.0.0",
        "fd01::1",
        "fd02::1",
        "fd09::1",
        "::1",
        "ff02::fb",
        "fe80::1",
    ];
    let payloads: Vec<(&str, u8, Vec<u8>)> = vec![
        ("syn 443", 6, tcp(4000, 443, SYN)),
        ("syn 80", 6, tcp(4000, 80, SYN)),
        ("syn 22", 6, tcp(4000, 22, SYN)),
        ("syn 8080", 6, tcp(4000, 8080, SYN)),
        ("ack 443", 6, tcp(4000, 443, ACK)),
        ("back 443", 6, tcp(443, 4000, SYN | ACK)),
        ("ack 443 again", 6, tcp(4000, 443, ACK)),
        ("fin 443", 6, tcp(4000, 443, FIN | ACK)),
        ("rst", 6, tcp(9, 4000, RST)),
        ("christmas", 6, tcp(4000, 443, SYN | FIN)),
        ("dns", 17, ports(17, 4000, 53)),
        ("dns back", 17, ports(17, 53, 4000)),
        ("dhcp server", 17, ports(17, 67, 68)),
        ("ping", 1, icmp(8, 0, 7, b"ping")),
        ("pong", 1, icmp(0, 0, 7, b"ping")),
        ("redirect", 1, icmp(5, 0, 0, &[0; 28])),
        ("ping6", 58, icmp(128, 0, 7, b"ping")),
        ("router", 58, icmp(134, 0, 0, &[0; 16])),
        ("neighbour", 58, icmp(136, 0, 0, &[0; 16])),
        ("gre", 47, vec![0; 8]),
    ];
    let mut packets = Vec::new();
    for (from, to) in ends.iter().flat_map(|from| ends.iter().map(move |to| (from, to))) {
        for (what, protocol, payload) in &payloads {
            let frame = ip(from.parse().unwrap(), to.parse().unwrap(), *protocol, payload);
            packets.extend(frame.map(|frame| (format!("{what} from {from} to {to}"), frame)));
        }
    }
    packets
}

/// Paths that stay open at the machine itself, the inner block with what the outer one has.
fn paths() -> Vec<(IpNet, Failsafe)> {
    let range = |protocol: u32, ports: [u32; 2], ingress| FailsafeRange {
        first: protocol << 16 | ports[0],
        last: protocol << 16 | ports[1],
        ingress,
        reserved: 0,
    };
    let open = |ranges: &[FailsafeRange]| {
        let mut open = Failsafe::NONE;
        open.ranges[..ranges.len()].copy_from_slice(ranges);
        open
    };
    let ranges = [range(6, [22, 22], 1), range(6, [443, 443], 0), range(17, [50, 60], 0)];
    let block = |text: &str| text.parse::<IpNet>().unwrap();
    vec![
        (block("10.9.0.0/16"), open(&ranges[..1])),
        (block("10.9.0.0/29"), open(&ranges)),
        (block("fd09::/64"), open(&ranges)),
        (block("127.0.0.0/8"), open(&ranges[..1])),
    ]
}

/// Everybody who is known by a cgroup.
fn subjects(compiled: &Compiled) -> Vec<(u32, Subject)> {
    let services = compiled.subjects.iter().flat_map(|plan| &plan.hosted);
    services.chain(&compiled.host.hosted).copied().collect()
}

/// `number` has every socket of this process; both homes judge every packet both ways.
fn agree(kernel: &mut Kernel, compiled: &Compiled, number: u32, paths: &[(IpNet, Failsafe)]) -> [u32; 2] {
    let subjects = subjects(compiled);
    let whose = Cgroup { number, below: number };
    kernel.install_whole(&compiled.image, &subjects, &[(own_cgroup().unwrap(), whose)]).unwrap();
    let mut memory = MemoryTables::new(&compiled.image);
    memory.switch(&compiled.image, &subjects);
    memory.keep_open(paths);
    kernel.set_failsafe(paths).unwrap();
    memory.be_quiet();
    let runners =
        [Direction::Egress, Direction::Ingress].map(|way| (way, kernel.socket_runner(way).unwrap()));
    let mut counts = [0, 0];
    for (what, frame) in packets() {
        for (direction, runner) in &runners {
            // The kernel takes a frame, and hands the program the packet in it.
            let seen = runner.run(1, &frame, 1).unwrap();
            let hook = Hook { subject: number, direction: *direction };
            let outcome = judge(&Frame::new(&frame[14..]), hook, &mut memory);
            assert_eq!(seen.passes(), outcome.passes, "{what}, {direction:?}, as {number:#x}: {outcome:?}");
            counts[usize::from(outcome.passes)] += 1;
        }
    }
    // Each was counted, under the same causes.
    let (there, here) = (kernel.verdict_counters().unwrap(), memory.verdict_counters().to_vec());
    let packets = |counters: &[enforcer_common::maps::ReasonCounter]| {
        counters.iter().map(|one| one.packets).collect::<Vec<_>>()
    };
    let moved = packets(&there);
    assert!(moved.iter().sum::<u64>() >= u64::from(counts[0] + counts[1]));
    assert!(packets(&here).iter().zip(&moved).all(|(here, there)| here <= there));
    counts
}

/// What each of these has denied and let pass.
fn judged(of: impl Fn(&Compiled) -> Vec<u32> + Sync, paths: &[(IpNet, Failsafe)]) -> Vec<[u32; 2]> {
    let world = world!();
    world.host().enter(|| {
        let mut kernel = Kernel::open(&world.kernel_config()).unwrap();
        assert!(kernel.judges_sockets(), "this kernel takes programs for sockets");
        let compiled = set();
        of(&compiled).into_iter().map(|number| agree(&mut kernel, &compiled, number, paths)).collect()
    })
}

#[test]
fn sockets_are_judged_as_memory_does() {
    let service = |compiled: &Compiled| {
        let own = compiled.subject("own").unwrap();
        assert!(own.hosted.len() > 2, "rules tell the machine's addresses apart: {:?}", own.hosted.len());
        Subject::hosted(own.identity)
    };
    let machine = |compiled: &Compiled| Subject::hosted(compiled.host.identity);
    let seen = judged(|compiled| vec![service(compiled), machine(compiled), Subject::UNKNOWN], &[]);
    let [own, host, unknown] = seen[..] else { panic!("{seen:?}") };
    assert!(own[0] > 1_000 && own[1] > 20, "{own:?}");
    assert!(host[0] > 1_000 && host[1] > 20, "{host:?}");
    assert_eq!(unknown[1], 0, "nobody knows it");
    // What stays open at the machine itself is nobody else's.
    let seen = judged(|compiled| vec![service(compiled), machine(compiled)], &paths());
    assert_eq!(seen[0], own);
    assert!(seen[1][1] > host[1] + 20, "{seen:?} beside {host:?}");
}

#[test]
fn a_cgroup_is_its_new_owners_from_the_next_packet_on() {
    let world = world!();
    world.host().enter(|| {
        let mut kernel = Kernel::open(&world.kernel_config()).unwrap();
        let compiled = set();
        let own = Subject::hosted(compiled.subject("own").unwrap().identity);
        let cgroup = own_cgroup().unwrap();
        let given_to = |number| Cgroup { number, below: number };
        kernel.install_whole(&compiled.image, &subjects(&compiled), &[(cgroup, given_to(own))]).unwrap();
        let epoch = kernel.current();
        let runner = kernel.socket_runner(Direction::Egress).unwrap();
        let ends = ["10.1.0.1", "10.9.0.1"].map(|end| end.parse().unwrap());
        let opens = ip(ends[0], ends[1], 6, &tcp(4000, 443, SYN)).unwrap();
        for _ in 0..3 {
            for (owner, passes) in [
                (Some(given_to(own)), true),
                (Some(given_to(Subject::UNKNOWN)), false),
                (Some(given_to(own)), true),
                (None, false),
            ] {
                kernel.set_cgroups(&[(cgroup, owner)]).unwrap();
                // More than one, on whatever processor: the programs remember whose cgroups are.
                for _ in 0..16 {
                    assert_eq!(runner.run(1, &opens, 1).unwrap().passes(), passes, "{owner:?}");
                }
            }
        }
        assert_eq!(kernel.current(), epoch, "no flow is judged anew for that");
    });
}
