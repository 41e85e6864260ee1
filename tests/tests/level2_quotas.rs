//! Floods, and what they leave of other workloads' room.

use enforcer_agent::datapath::Datapath;
use enforcer_agent::kernel::Kernel;
use enforcer_common::Reason;
use enforcer_common::flow::Tier;
use enforcer_common::maps::{Direction, Subject, limits};
use enforcer_common::packet::flags::{ACK, SYN};
use enforcer_tests::forge::{part, udp};
use enforcer_tests::images::{allowing, subject_of};
use enforcer_tests::{World, forge, world};

/// Always there, in every network namespace: the flooder's device.
const FLOODER: u32 = 1;
const OWN: &str = "10.0.0.1";
const PEER: &str = "10.0.0.2";
const RULE: u32 = 5;
const SYN_ACK: u8 = SYN | ACK;
/// Attempts of each kind.
const ATTEMPTS: u32 = 500_000;
const LIVE: u16 = 10_000;

/// Two workloads that may reach one peer: the one who floods, and another on the device with the returned index.
fn two(world: &mut World) -> (Kernel, u32) {
    let other = world.workload("other", 30);
    let index = world.host().index_of(other.interface()).unwrap();
    let mut kernel = world.open_kernel().unwrap();
    let subjects = [
        (FLOODER, subject_of([10, 0, 0, 1], RULE)),
        (index, Subject { identity: 3, ..subject_of([10, 0, 0, 3], RULE) }),
    ];
    kernel.install(&allowing([10, 0, 0, 2], RULE), &subjects).unwrap();
    (kernel, index)
}

fn passes(kernel: &Kernel, direction: Direction, device: u32, frame: &[u8]) -> bool {
    kernel.run_test(direction, device, frame, 1).unwrap().passes()
}

fn segment(kernel: &Kernel, device: u32, direction: Direction, ports: (u16, u16), flags: u8) -> bool {
    let own = if device == FLOODER { OWN } else { "10.0.0.3" };
    let frame = match direction {
        Direction::Egress => forge::tcp(own, PEER, ports, flags),
        Direction::Ingress => forge::tcp(PEER, own, (ports.1, ports.0), flags),
    };
    passes(kernel, direction, device, &frame)
}

fn connect(kernel: &Kernel, device: u32, port: u16) {
    assert!(segment(kernel, device, Direction::Egress, (port, 443), SYN), "SYN from {port}");
    assert!(segment(kernel, device, Direction::Ingress, (port, 443), SYN_ACK), "answer to {port}");
    assert!(segment(kernel, device, Direction::Egress, (port, 443), ACK), "ACK from {port}");
}

fn denied(kernel: &Kernel, reason: Reason) -> u64 {
    kernel.reason_counters().unwrap()[reason as usize].packets
}

/// Sends a frame from very many ports; how many passed.
fn flood(kernel: &Kernel, mut frame: Vec<u8>) -> u64 {
    let mut passed = 0;
    for n in 0..ATTEMPTS {
        // Behind Ethernet and an IPv4 header without options: source port, destination port.
        frame[34..38].copy_from_slice(&(0x0400_0001 + n * 7).to_be_bytes());
        passed += u64::from(passes(kernel, Direction::Egress, FLOODER, &frame));
    }
    passed
}

#[test]
fn e91_e92_a_flood_of_new_flows_costs_nobody_else_a_flow() {
    let mut world = world!();
    let (mut kernel, other) = two(&mut world);
    (0..LIVE).for_each(|n| connect(&kernel, other, 1_024 + n));
    // On its way while the flood comes.
    assert!(segment(&kernel, other, Direction::Egress, (900, 443), SYN));
    let began = std::time::Instant::now();
    let syn = flood(&kernel, forge::tcp(OWN, PEER, (0, 0), SYN));
    assert!(segment(&kernel, other, Direction::Ingress, (900, 443), SYN_ACK), "its flow was pushed out");
    let datagrams = flood(&kernel, udp(OWN, PEER, (0, 0), b"spray"));
    let windows = began.elapsed().as_secs() / 2 + 2;

    assert_eq!(syn + datagrams + denied(&kernel, Reason::FlowQuota), 2 * u64::from(ATTEMPTS));
    assert!(
        syn > 0 && syn + datagrams <= windows * u64::from(limits::QUOTA_UNANSWERED),
        "{syn} + {datagrams}"
    );
    assert_eq!(Reason::FlowQuota.word(), "flow-quota");
    connect(&kernel, other, 901);
    let (established, _) = tiers(&kernel, other);
    assert_eq!(established, usize::from(LIVE) + 1);
    for n in 0..LIVE {
        assert!(
            segment(&kernel, other, Direction::Ingress, (1_024 + n, 443), ACK),
            "the flow of {n} has gone"
        );
    }
    assert_eq!(denied(&kernel, Reason::State), 0);
    // What has its answer doesn't count: one window bears more flows than a quota has places.
    kernel.sweep_flows().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(2_100));
    (0..limits::QUOTA_UNANSWERED as u16 + 500).for_each(|n| connect(&kernel, FLOODER, 1_024 + n));
}

/// Established flows of a subject, and others.
fn tiers(kernel: &Kernel, subject: u32) -> (usize, usize) {
    let of = |tier: Tier| {
        let flows = kernel.flows4_in(tier).unwrap();
        flows.iter().filter(|(key, _)| key.subject == subject).count()
    };
    (of(Tier::Established), of(Tier::Embryonic))
}

#[test]
fn e23_a_flood_of_datagrams_in_parts_costs_nobody_else_a_datagram() {
    let mut world = world!();
    let (kernel, other) = two(&mut world);
    let theirs = udp("10.0.0.3", PEER, (7, 53), &[1; 3_000]);
    let parts = |id| [part(&theirs, id, 0, 1_480), part(&theirs, id, 1_480, 3_008)];
    let [first, last] = parts(1);
    assert!(passes(&kernel, Direction::Egress, other, &first));
    let mut passed = 0;
    for n in 0..60_000_u32 {
        let whole = udp(OWN, PEER, (9, 53), &[2; 1_600]);
        let mut begun = part(&whole, n as u16, 0, 1_480);
        // One flow, so that only datagrams are many.
        begun.truncate(14 + 20 + 1_480);
        passed += u64::from(passes(&kernel, Direction::Egress, FLOODER, &begun));
    }
    assert_eq!(passed + denied(&kernel, Reason::FragmentFull), 60_000);
    assert!(passed >= u64::from(limits::QUOTA_FRAGMENTS) && passed < 40_000, "{passed}");
    assert!(passes(&kernel, Direction::Egress, other, &last), "the datagram under way was pushed out");
    assert!(
        passes(&kernel, Direction::Egress, FLOODER, &udp(OWN, PEER, (9, 53), b"whole")),
        "whole datagrams"
    );
    // Datagrams that become whole don't count, and give their identification back.
    for id in 0..limits::QUOTA_FRAGMENTS as u16 + 500 {
        for frame in parts(id % 100) {
            assert!(passes(&kernel, Direction::Egress, other, &frame), "datagram {id}");
        }
    }
}
