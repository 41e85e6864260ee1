//! Whoever changes what is in force is stopped and killed at it, again and again: one whole generation is in force each time.

use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use enforcer_agent::datapath::Datapath;
use enforcer_agent::kernel::Runner;
use enforcer_common::maps::Direction;
use enforcer_tests::etherparse::PacketBuilder;
use enforcer_tests::foreign::Object;
use enforcer_tests::images::{PEERS, allows, contradicting, contradicting_subject, owned, peer, sized};
use enforcer_tests::{World, world};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use rustix::process::{Pid, Signal, kill_process};

/// Always there, in every network namespace.
const LOOPBACK: u32 = 1;
const SUBJECT: [u8; 4] = [10, 0, 0, 1];

fn frame(n: u32) -> Vec<u8> {
    let mut frame = Vec::new();
    let builder = PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4(SUBJECT, peer(n), 64).udp(999, 53);
    builder.write(&mut frame, b"question").unwrap();
    frame
}

/// A process that makes processes that change what is in force.
struct Updaters {
    child: Child,
    wanted: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Updaters {
    fn start(world: &World) -> Self {
        let mut command = world.host().command(env!("CARGO_BIN_EXE_install-forever"));
        let command = command.arg(world.pins()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (wanted, told) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self { child, wanted, lines: BufReader::new(told).lines() }
    }

    fn line(&mut self) -> String {
        self.lines.next().expect("it goes on").unwrap()
    }

    /// A process that has just begun, to put this set in force first.
    fn next(&mut self, second: bool) -> Pid {
        writeln!(self.wanted, "{}", u8::from(second)).unwrap();
        Pid::from_raw(self.line().parse().unwrap()).expect("a process' number")
    }

    fn kill(&mut self, updater: Pid) {
        kill_process(updater, Signal::KILL).unwrap();
        assert_eq!(self.line(), "over");
    }
}

impl Drop for Updaters {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The word that says what is in force, as others see it.
struct ControlWord(Object);

impl ControlWord {
    fn of(world: &World) -> Self {
        Self(Object::open(&world.pinned("maps/CONTROL")).unwrap())
    }

    fn epoch(&self) -> u32 {
        self.0.control().unwrap().epoch()
    }

    fn wait_for_a_change(&self) {
        let (before, began) = (self.epoch(), Instant::now());
        while self.epoch() == before {
            assert!(began.elapsed() < Duration::from_secs(10), "nothing is put in force");
            thread::sleep(Duration::from_micros(200));
        }
    }
}

/// Which set is in force, by what becomes of a packet to each peer. Panics where it is neither, or some of both.
fn in_force(program: &Runner, what: &str) -> bool {
    // Always the same flows: what earlier sets thought of them is no help.
    let seen: Vec<bool> = (0..PEERS).map(|n| program.run(LOOPBACK, &frame(n), 1).unwrap().passes()).collect();
    let of = |second| (0..PEERS).map(|n| allows(second, n)).collect::<Vec<_>>();
    match [false, true].into_iter().find(|second| of(*second) == seen) {
        Some(second) => second,
        None => panic!("{what}: neither set is in force: {seen:?}"),
    }
}

#[test]
fn e98_whoever_changes_a_generation_may_be_stopped_and_killed_at_any_moment() {
    const KILLS: u32 = 200;
    let world = world!();
    let mut kernel = world.open_kernel().unwrap();
    kernel.install(&contradicting(false), &[(LOOPBACK, contradicting_subject(SUBJECT, false))]).unwrap();
    let program = kernel.runner(Direction::Egress).unwrap();
    drop(kernel);
    let seed =
        std::env::var("ENFORCER_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand_seed);
    println!("ENFORCER_SEED={seed}");
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&u64::to_le_bytes(seed));
    let mut runner =
        TestRunner::new_with_rng(Config::default(), TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let mut random = |most: u64| {
        use proptest::strategy::{Strategy, ValueTree};
        (0..most).new_tree(&mut runner).unwrap().current()
    };
    let control = ControlWord::of(&world);
    let mut updaters = Updaters::start(&world);
    let (mut both, mut began) = ([0; 2], Instant::now());
    for kill in 0..KILLS {
        let what = format!("kill {kill} of seed {seed}");
        let updater = updaters.next(random(2) == 1);
        if kill == 0 {
            began = Instant::now();
        }
        // Some while it reads what is there, most when it has begun to write.
        if random(4) > 0 {
            control.wait_for_a_change();
        }
        thread::sleep(Duration::from_micros(random(30_000)));
        kill_process(updater, Signal::STOP).unwrap();
        // Nobody waits for a stopped process: packets are judged as before.
        let stopped = in_force(&program, &format!("{what}, stopped"));
        assert_eq!(in_force(&program, &format!("{what}, still stopped")), stopped);
        if random(2) == 0 {
            kill_process(updater, Signal::CONT).unwrap();
            thread::sleep(Duration::from_micros(random(5_000)));
        }
        updaters.kill(updater);
        both[usize::from(in_force(&program, &what))] += 1;
    }
    eprintln!("{KILLS} kills in {:?}; the sets were in force {both:?} times", began.elapsed());
    assert!(both.iter().all(|times| *times > 10), "{both:?}");
    drop(updaters);

    // The next daemon's first generation is whole, whatever the last one left.
    let mut kernel = world.open_kernel().unwrap();
    let before = kernel.current().expect("a generation is in force");
    assert_eq!(kernel.install(&sized(2), &[]).unwrap(), before + 1);
    assert_eq!(owned(&kernel.usage().unwrap()), [2_000, 2_000, 200, 200, 100, 1]);
    let found = world.host().enter(|| kernel.inspect());
    assert!(found.faults.is_empty() && found.errors.is_empty(), "{found:?}");
}

fn rand_seed() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().subsec_nanos().into()
}
