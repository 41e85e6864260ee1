//! Level 2 against level 1: the kernel programs and the verdict function in memory, given the same generations and the
//! same frames, say the same of every one, and count it in the same place.

use std::cell::RefCell;
use std::collections::BTreeMap;

use enforcer_agent::datapath::Datapath;
use enforcer_agent::kernel::{Kernel, KernelConfig};
use enforcer_common::maps::{Direction, ReasonCounter, RuleCounter, Subject};
use enforcer_common::packet::Frame;
use enforcer_common::{Hook, Outcome, Reason, judge};
use enforcer_policy::compile::{Clock, Compiled, Inputs, Numbers, compile};
use enforcer_policy::memory::MemoryTables;
use enforcer_policy::model::PolicySet;
use enforcer_policy::reference;
use enforcer_policy::testing::{NOW, Scene, Step, frame, hold, scene_and_steps};
use enforcer_tests::frames::{Spoiling, spoiling};
use enforcer_tests::{World, world};
use proptest::prelude::*;
use rustix::time::{ClockId, clock_gettime};

/// Sequences, of 40 steps each, unless `ENFORCER_SEQUENCES` says otherwise: kernels under emulation take their time.
const SEQUENCES: u32 = 500;
const STEPS: usize = 40;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn clock(id: ClockId) -> u64 {
    let time = clock_gettime(id);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Both homes of the verdict function.
struct Both {
    kernel: Kernel,
    memory: MemoryTables,
    /// Devices that exist, for workloads to be behind.
    devices: Vec<u32>,
    judged: u64,
    /// Frames that `BPF_PROG_TEST_RUN` itself refuses.
    refused: u64,
    words: BTreeMap<String, u64>,
}

/// Everything that is counted.
#[derive(PartialEq, Debug, Clone)]
struct Counts {
    rules: Vec<RuleCounter>,
    /// By mode, direction, word and reason.
    verdicts: Vec<ReasonCounter>,
}

impl Both {
    fn counts(&self, rules: u32) -> Counts {
        let (rules, verdicts) = (self.kernel.rule_counters(rules), self.kernel.verdict_counters());
        Counts { rules: rules.unwrap(), verdicts: verdicts.unwrap() }
    }

    fn put(&mut self, scene: &Scene, set: &PolicySet, numbers: &mut Numbers) -> Compiled {
        let clock = Clock { now: NOW, boot_ns: clock(ClockId::Boottime) };
        let inputs = Inputs { set, host: &scene.hosts, default_mode: scene.default_mode, clock };
        let compiled = compile(&inputs, numbers).unwrap();
        let subjects: Vec<(u32, Subject)> =
            self.devices.iter().copied().zip(compiled.subjects.iter().map(|plan| plan.subject)).collect();
        self.kernel.install(&compiled.image, &subjects).unwrap();
        self.memory.switch(&compiled.image, &subjects);
        compiled
    }

    fn judge(
        &mut self,
        compiled: &Compiled,
        packet: &reference::Packet,
        spoiling: &Spoiling,
    ) -> Result<(), TestCaseError> {
        let Some(place) = compiled.subjects.iter().position(|plan| plan.workload == packet.subject) else {
            return Ok(());
        };
        let subject = self.devices[place];
        let direction = match packet.direction {
            reference::Direction::Egress => Direction::Egress,
            reference::Direction::Ingress => Direction::Ingress,
        };
        let bytes = spoiling.spoil(frame(packet));
        let rules = compiled.rules.iter().map(|rule| rule.number + 1).max().unwrap_or(0);
        let before = self.counts(rules);
        let Ok(run) = self.kernel.run_test(direction, subject, &bytes, 1) else {
            // The kernel makes a packet of it before the program sees it, and is particular about its length.
            prop_assert!(!matches!(spoiling, Spoiling::None), "refused by the kernel: {:?}", bytes);
            self.refused += 1;
            return Ok(());
        };
        self.memory.set_clock(clock(ClockId::Boottime), clock(ClockId::MonotonicCoarse));
        let (opened, tallied) = (self.flows_opened(), self.memory.verdict_counters().to_vec());
        let outcome = judge(&Frame::new(&bytes), Hook { subject, direction }, &mut self.memory);
        let opened = self.flows_opened() - opened;
        let mut expected = before;
        count(&mut expected, &outcome, bytes.len(), opened);
        let now = self.memory.verdict_counters();
        let moved: Vec<usize> = (0..now.len()).filter(|slot| tallied[*slot] != now[*slot]).collect();
        prop_assert_eq!(moved.len(), 1, "{:?}", outcome);
        expected.verdicts[moved[0]] = add(expected.verdicts[moved[0]], &outcome, bytes.len(), opened);
        let seen = self.counts(rules);
        prop_assert_eq!(run.passes(), outcome.passes, "{:?} of {:?} {:?}", outcome, packet, spoiling);
        prop_assert_eq!(&seen, &expected, "{:?} of {:?} {:?}", outcome, packet, spoiling);
        self.judged += 1;
        *self.words.entry(word(&outcome)).or_default() += 1;
        Ok(())
    }

    fn flows_opened(&self) -> u64 {
        let rules: u64 = self.memory.rule_counters().map(|(_, counter)| counter.flows).sum();
        rules + Reason::ALL.iter().map(|reason| self.memory.reason_counter(*reason).flows).sum::<u64>()
    }
}

fn count(counts: &mut Counts, outcome: &Outcome, bytes: usize, opened: u64) {
    if let Some(rule) = outcome.cause.as_rule() {
        counts.rules[rule as usize] = add(counts.rules[rule as usize], outcome, bytes, opened);
    }
}

fn add(mut counter: RuleCounter, outcome: &Outcome, bytes: usize, opened: u64) -> RuleCounter {
    let audited = u64::from(outcome.word == enforcer_common::Word::Audited);
    counter.add(&RuleCounter { packets: 1, bytes: bytes as u64, flows: opened, audited });
    counter
}

fn word(outcome: &Outcome) -> String {
    let cause = outcome.cause.as_reason().map_or("rule", Reason::detail);
    format!("{} {cause}", outcome.word.word())
}

/// Four devices and loopback.
fn devices(world: &World) -> Vec<u32> {
    world.ip(&["link add a0 type veth peer name a1", "link add b0 type veth peer name b1"]).unwrap();
    let indexes = world.host().enter(|| {
        let socket =
            rustix::net::socket(rustix::net::AddressFamily::UNIX, rustix::net::SocketType::DGRAM, None)
                .unwrap();
        ["lo", "a0", "a1", "b0", "b1"]
            .map(|name| rustix::net::netdevice::name_to_index(&socket, name).unwrap())
    });
    indexes.to_vec()
}

#[test]
fn e110_the_kernel_judges_as_memory_does() {
    let world = world!();
    let config = KernelConfig { bpffs: world.pins(), ..KernelConfig::default() };
    let devices = devices(&world);
    let seed = number("ENFORCER_SEED").unwrap_or_else(|| clock(ClockId::Realtime));
    let sequences = number("ENFORCER_SEQUENCES").map_or(SEQUENCES, |number| number as u32);
    println!("ENFORCER_SEED={seed}");
    let both = world.host().enter(|| {
        let kernel = Kernel::open(&config).unwrap_or_else(|error| panic!("{error}: {error:?}"));
        let memory = MemoryTables::new(&enforcer_policy::compile::Image::default());
        let both = Both { kernel, memory, devices, judged: 0, refused: 0, words: BTreeMap::new() };
        let both = RefCell::new(both);
        let cases = scene_and_steps(STEPS).prop_flat_map(|(scene, steps)| {
            let count = steps.len();
            (Just(scene), Just(steps), prop::collection::vec(spoiling(), count))
        });
        hold(seed, sequences, &cases, |(scene, steps, spoilings)| {
            let both = &mut *both.borrow_mut();
            let mut numbers = Numbers::default();
            let mut compiled = both.put(&scene, &scene.set, &mut numbers);
            for (step, spoiling) in steps.iter().zip(&spoilings) {
                match step {
                    Step::Packet(packet) => both.judge(&compiled, packet, spoiling)?,
                    Step::Replace(set) => compiled = both.put(&scene, set, &mut numbers),
                }
            }
            Ok(())
        });
        both.into_inner()
    });
    println!(
        "{} frames judged twice, {} refused by the kernel, by verdict: {:#?}",
        both.judged, both.refused, both.words
    );
    assert!(both.judged >= 20 * u64::from(sequences), "only {} frames", both.judged);
    assert!(both.refused * 10 < both.judged, "{} frames refused", both.refused);
    assert!(both.words.len() >= 15, "too few kinds of verdicts: {:?}", both.words);
}
