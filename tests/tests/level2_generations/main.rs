//! Generations in the kernel's maps: whole or not there, whatever happens in between.
//!
//! The two that take long wait for the kernel most of the time. In one executable they do so side by side.

mod kills;
mod updates;

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use enforcer_agent::datapath::Datapath;
use enforcer_agent::kernel::Kernel;
use enforcer_common::Reason;
use enforcer_common::maps::Direction;
use enforcer_policy::compile::Delta;
use enforcer_tests::etherparse::PacketBuilder;
use enforcer_tests::images::{allowing, free, owned, sized, subject_of};
use enforcer_tests::{World, world};

/// Always there, in every network namespace.
const LOOPBACK: u32 = 1;
const SUBJECT: [u8; 4] = [10, 0, 0, 1];
const PEER: [u8; 4] = [10, 0, 0, 2];

fn open(world: &World) -> Kernel {
    world.open_kernel().unwrap_or_else(|error| panic!("{error}: {error:?}"))
}

fn udp(source_port: u16) -> Vec<u8> {
    let mut frame = Vec::new();
    let builder = PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4(SUBJECT, PEER, 64).udp(source_port, 53);
    builder.write(&mut frame, b"question").unwrap();
    frame
}

#[test]
fn what_is_installed_is_there_and_nothing_else() {
    let world = world!();
    let mut kernel = open(&world);
    assert_eq!(kernel.current(), None);
    for (round, thousands) in [1, 4, 2, 2, 1].into_iter().enumerate() {
        assert_eq!(kernel.install(&sized(thousands), &[]).unwrap(), round as u32 + 1);
        let n = u64::from(thousands) * 1_000;
        assert_eq!(owned(&kernel.usage().unwrap()), [n, n, n / 10, n / 10, n / 20, 1]);
    }
    let (first, endpoint) = sized(1).addresses4[7];
    let delta = Delta {
        addresses4: vec![(first, None), ([77], Some(endpoint)), ([78], Some(endpoint))],
        prefixes6: vec![("2001:db8:1::/48".parse().unwrap(), None)],
        ..Delta::default()
    };
    assert_eq!(kernel.apply_delta(&delta, &[]).unwrap(), 6);
    assert_eq!(owned(&kernel.usage().unwrap()), [1_001, 1_000, 100, 99, 50, 1]);
    // The bank that the delta went into comes up again two generations later.
    kernel.install(&sized(2), &[]).unwrap();
    kernel.install(&sized(1), &[]).unwrap();
    assert_eq!(owned(&kernel.usage().unwrap()), [1_000, 1_000, 100, 100, 50, 1]);
}

#[test]
fn e105_packets_never_see_two_generations_at_once() {
    let world = world!();
    let mut kernel = open(&world);
    let generations = [101, 202].map(|rule| (allowing(PEER, rule), subject_of(SUBJECT, rule)));
    kernel.install(&generations[0].0, &[(LOOPBACK, generations[0].1)]).unwrap();
    // A second handle on the same pinned programs: what packets see doesn't go through the one that installs.
    let program = kernel.runner(Direction::Egress).unwrap();
    let stop = AtomicBool::new(false);
    let rounds = 60;
    let packets = thread::scope(|scope| {
        let packets = scope.spawn(|| {
            let mut packets = 0_u64;
            while !stop.load(Ordering::Relaxed) {
                // New flows and known ones.
                let frame = udp(1024 + (packets / 3 % 50_000) as u16);
                let run = program.run(LOOPBACK, &frame, 20).unwrap();
                assert!(run.passes(), "{run:?} after {packets} packets");
                packets += 20;
            }
            packets
        });
        for round in 1..=rounds {
            let (image, subject) = &generations[round % 2];
            kernel.install(image, &[(LOOPBACK, *subject)]).unwrap();
            thread::sleep(Duration::from_millis(3));
        }
        stop.store(true, Ordering::Relaxed);
        packets.join().unwrap()
    });
    let rules = kernel.rule_counters(203).unwrap();
    assert!(rules[101].packets > 0 && rules[202].packets > 0);
    assert_eq!(rules.iter().map(|rule| rule.packets).sum::<u64>(), packets);
    let reasons = kernel.reason_counters().unwrap();
    assert_eq!(reasons.iter().map(|reason| reason.packets).sum::<u64>(), 0, "{reasons:?}");
}

#[test]
fn e70_a_subject_nobody_knows_is_denied_and_one_that_is_let_off_passes() {
    let world = world!();
    let mut kernel = open(&world);
    let judge = |kernel: &Kernel| kernel.run_test(Direction::Ingress, LOOPBACK, &udp(9), 1).unwrap().passes();
    assert!(!judge(&kernel), "nothing is loaded");
    assert!(kernel.set_subject(LOOPBACK, Some(free())).is_err(), "into what?");
    kernel.install(&allowing(PEER, 1), &[]).unwrap();
    assert!(!judge(&kernel), "nobody knows it");
    assert_eq!(kernel.set_subject(LOOPBACK, Some(free())).unwrap(), 2);
    assert!(judge(&kernel));
    assert_eq!(kernel.set_subject(LOOPBACK, None).unwrap(), 3);
    assert!(!judge(&kernel));
    let unknown = kernel.reason_counters().unwrap()[Reason::UnknownSubject as usize];
    assert_eq!(unknown.packets, 3);
}

#[test]
fn a_restart_adopts_what_is_pinned() {
    let world = world!();
    let mut kernel = open(&world);
    kernel.install(&allowing(PEER, 5), &[(LOOPBACK, subject_of(SUBJECT, 5))]).unwrap();
    for port in 0..10 {
        assert!(kernel.run_test(Direction::Egress, LOOPBACK, &udp(2_000 + port), 3).unwrap().passes());
    }
    let second = world.open_kernel().unwrap_err();
    assert!(second.to_string().starts_with("another daemon has the pins"), "{second}");
    drop(kernel);

    let mut kernel = open(&world);
    assert_eq!(kernel.current(), Some(1));
    assert_eq!(kernel.rule_counters(6).unwrap()[5].packets, 30);
    assert_eq!(kernel.flows4().unwrap().len(), 10);
    assert!(kernel.run_test(Direction::Egress, LOOPBACK, &udp(2_000), 1).unwrap().passes());
    assert_eq!(kernel.install(&allowing(PEER, 6), &[(LOOPBACK, subject_of(SUBJECT, 6))]).unwrap(), 2);
    kernel.remove_all().unwrap();
    assert!(!world.pins().exists());
}

#[test]
fn e95_every_event_is_received_or_counted() {
    let world = world!();
    let mut kernel = open(&world);
    kernel.install(&allowing(PEER, 5), &[(LOOPBACK, subject_of(SUBJECT, 5))]).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        assert_eq!(kernel.event_counters().unwrap().sent, 0);
        let (sender, mut events) = tokio::sync::mpsc::unbounded_channel();
        let sink = move |batch: &[_]| batch.iter().for_each(|event| sender.send(*event).unwrap());
        kernel.events(Box::new(sink)).unwrap();
        for port in 0..500_u16 {
            assert!(kernel.run_test(Direction::Egress, LOOPBACK, &udp(3_000 + port), 1).unwrap().passes());
        }
        let counted = kernel.event_counters().unwrap();
        assert_eq!((counted.sent, counted.lost), (500, 0));
        for port in 0..500 {
            let event = tokio::time::timeout(Duration::from_secs(5), events.recv()).await.unwrap().unwrap();
            assert_eq!(
                (event.source_port, event.destination_port, event.subject),
                (3_000 + port, 53, LOOPBACK)
            );
        }
    });
}
