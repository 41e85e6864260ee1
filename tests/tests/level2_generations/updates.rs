//! One generation at a time, whole, under traffic from every CPU.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use enforcer_agent::datapath::Datapath;
use enforcer_agent::kernel::Kernel;
use enforcer_common::event::FlowEvent;
use enforcer_common::maps::Direction;
use enforcer_common::{Cause, Word};
use enforcer_tests::etherparse::PacketBuilder;
use enforcer_tests::images::{PEERS, allows, contradicting, contradicting_subject, peer};
use enforcer_tests::{World, world};
use rustix::thread::{CpuSet, sched_setaffinity};

/// Always there, in every network namespace.
const LOOPBACK: u32 = 1;
const SUBJECT: [u8; 4] = [10, 0, 0, 1];

fn frame(n: u32, source_port: u16) -> Vec<u8> {
    let mut frame = Vec::new();
    let builder = PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4(SUBJECT, peer(n), 64).udp(source_port, 53);
    builder.write(&mut frame, b"question").unwrap();
    frame
}

fn put(kernel: &mut Kernel, second: bool) -> u32 {
    let subjects = [(LOOPBACK, contradicting_subject(SUBJECT, second))];
    kernel.install(&contradicting(second), &subjects).unwrap()
}

/// Whether everything that a record says is of the set that was in force under its epoch.
fn check(event: &FlowEvent, second: bool) {
    let n = event.destination[0].to_ne_bytes()[3].into();
    let base = if second { 2_000 } else { 1_000 };
    let word = if allows(second, n) { Word::Allowed } else { Word::Denied };
    // Of a flow that is denied again without the rules being asked, the peer isn't told.
    let peer = if event.peer == 0 && event.flags == 0 { 0 } else { base + n };
    assert_eq!(
        (Cause(event.cause).as_rule(), event.peer, event.identity, event.word, event.passes != 0),
        (Some(base + n), peer, base / 1_000, word as u8, allows(second, n)),
        "under epoch {} everything is of the {} set: {event:?}",
        event.epoch,
        if second { "second" } else { "first" }
    );
}

#[test]
fn e105_every_verdict_is_of_the_generation_whose_epoch_it_carries() {
    /// Sets put in force, by both together.
    const SWITCHES: u32 = 2_000;
    // Each switch waits for the kernel, which lets two wait as long as one.
    let worlds = [world!(), world!()];
    thread::scope(|scope| {
        for world in &worlds {
            scope.spawn(|| hammer(world, SWITCHES / 2));
        }
    });
}

/// Puts sets in force while packets come on every CPU.
fn hammer(world: &World, switches: u32) {
    let mut kernel = world.open_kernel().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (sender, events) = std::sync::mpsc::channel();
    // Whoever reads has gone only where it failed, and says so.
    let sink = move |events: &[FlowEvent]| drop(sender.send(events.to_vec()));
    runtime.block_on(async { kernel.events(Box::new(sink)) }).unwrap();
    // The first set under odd epochs, the second under even ones.
    assert_eq!(put(&mut kernel, false), 1);
    let stop = AtomicBool::new(false);
    let cpus = thread::available_parallelism().unwrap().get().min(4);
    let began = Instant::now();
    let (packets, records) = thread::scope(|scope| {
        let senders: Vec<_> = (0..cpus)
            .map(|cpu| {
                let (program, stop) = (kernel.runner(Direction::Egress).unwrap(), &stop);
                scope.spawn(move || {
                    let mut only = CpuSet::new();
                    only.set(cpu);
                    // Where it may not choose, it runs wherever it may.
                    let _ = sched_setaffinity(None, &only);
                    let mut packets = 0_u64;
                    // Flows are new at first, then known and judged anew by each set.
                    for port in (1_024 + cpu as u16 * 32..).take(24).cycle() {
                        for n in 0..PEERS {
                            let _ = program.run(LOOPBACK, &frame(n, port), 1).unwrap();
                        }
                        packets += u64::from(PEERS);
                        // Leaves whoever puts sets in force some of the CPU.
                        thread::sleep(Duration::from_micros(500));
                        if stop.load(Ordering::Relaxed) {
                            return packets;
                        }
                    }
                    packets
                })
            })
            .collect();
        let reader = scope.spawn(move || {
            let mut seen = [0_u64; 2];
            for event in events.into_iter().flatten() {
                let second = event.epoch % 2 == 0;
                check(&event, second);
                seen[usize::from(second)] += 1;
            }
            seen
        });
        for switch in 1..=switches {
            assert_eq!(put(&mut kernel, switch % 2 == 1), switch + 1);
        }
        stop.store(true, Ordering::Relaxed);
        let packets = senders.into_iter().map(|sender| sender.join().unwrap()).sum::<u64>();
        let took = began.elapsed();
        let rules = kernel.rule_counters(3_000).unwrap();
        let of =
            |from: usize| rules[from..from + PEERS as usize].iter().map(|rule| rule.packets).sum::<u64>();
        let counted = [of(1_000), of(2_000)];
        let reasons = kernel.reason_counters().unwrap().iter().map(|reason| reason.packets).sum::<u64>();
        assert_eq!(counted.iter().sum::<u64>(), packets, "every packet was decided by a rule of either set");
        assert_eq!((rules.iter().map(|rule| rule.packets).sum::<u64>(), reasons), (packets, 0));
        assert!(counted.iter().all(|counted| *counted > 1_000), "{counted:?}");
        // Its end ends the reader.
        drop(kernel);
        runtime.shutdown_timeout(Duration::from_secs(5));
        let records = reader.join().unwrap();
        eprintln!("{switches} switches in {took:?}, {packets} packets on {cpus} CPUs, {records:?} records");
        (packets, records)
    });
    assert!(packets > 10_000, "{packets} packets are too few to tell");
    assert!(records.iter().all(|records| *records > 500), "{records:?}");
}
