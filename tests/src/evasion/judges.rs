//! What judges the cases' packets: the verdict function in memory, or the kernel programs.

use std::time::Duration;

use enforcer_agent::datapath::Datapath;
use enforcer_agent::kernel::Kernel;
use enforcer_common::maps::{Direction, Subject};
use enforcer_common::packet::Frame;
use enforcer_common::tables::{Clock as _, Tables as _};
use enforcer_common::{Hook, Reason, judge};
use enforcer_policy::check;
use enforcer_policy::compile::{Clock, Compiled, Image, Inputs, Numbers, Quarantine, compile};
use enforcer_policy::memory::MemoryTables;
use enforcer_policy::model::{Lease, SegmentMode};
use enforcer_policy::source::Source;
use jiff::Timestamp;
use rustix::time::{ClockId, clock_gettime};

use super::scene::{HOST, Place, Seen};
use crate::World;

/// The clocks as a scene in memory begins.
const START: u64 = 1_000_000_000_000;
/// Workloads of a scene.
const HOOKS: usize = 3;

/// Judges packets in one scene after the other.
pub(super) trait Judge: Send {
    /// Plays a scene where packets can be judged.
    fn play(&mut self, act: &mut (dyn FnMut(&mut dyn Judge) + Send));
    /// Starts a scene that knows nothing of those before.
    fn begin(&mut self);
    /// Puts documents in force.
    fn install(&mut self, text: &str);
    /// Cuts these workloads off, and no others.
    fn hold(&mut self, held: &[Quarantine]);
    /// Has these labels attested of workloads, and no others.
    fn attest(&mut self, attested: &[Attested]);
    /// Lets time pass by the clock of deadlines.
    fn wait(&mut self, time: Duration);
    /// Lets time pass without a packet.
    fn idle(&mut self, time: Duration);
    /// Gives every hook this hardware address to check.
    fn know_hardware(&mut self, mac: [u8; 6]);
    /// Judges a packet that web sends, and looks no further; for thousands of them.
    fn flood(&mut self, frame: &[u8]);
    /// `None` where no such packet can be made here.
    fn judge(&mut self, place: Place, frame: &[u8]) -> Option<Seen>;
}

fn direction(place: Place) -> Direction {
    if place.sends { Direction::Egress } else { Direction::Ingress }
}

/// A label that a workload has until an instant of the boot-time clock, nanoseconds.
#[derive(Clone, Debug)]
pub(super) struct Attested {
    pub(super) workload: String,
    pub(super) label: (String, String),
    /// From now.
    pub(super) term: Duration,
    until: u64,
}

impl Attested {
    pub(super) fn new(workload: &str, (key, value): (&str, &str), term: Duration) -> Self {
        let label = (key.to_owned(), value.to_owned());
        Self { workload: workload.to_owned(), label, term, until: 0 }
    }

    fn from(self, boot_ns: u64) -> Self {
        Self { until: boot_ns + self.term.as_nanos() as u64, ..self }
    }
}

/// Documents as tables; what they mean doesn't depend on when this is.
fn compiled(text: &str, attested: &[Attested], numbers: &mut Numbers, boot_ns: u64) -> Compiled {
    let now = Timestamp::UNIX_EPOCH;
    let checked = check::parse(&[Source::new("case.yaml", text.to_owned())], now);
    let faults = checked.render(enforcer_policy::diagnostic::Colour::Never);
    let (mut set, _) = checked.into_result().unwrap_or_else(|_| panic!("{faults}"));
    for Attested { workload, label, until, .. } in attested.iter().filter(|one| one.until > boot_ns) {
        let known = set.workloads.iter_mut().find(|one| one.name == *workload).expect("it is there");
        let until = now + Duration::from_nanos(until - boot_ns);
        known.set_lease(Some(Lease { labels: [label.clone()].into(), until }));
    }
    let host = HOST.map(|address| address.parse().expect("an address"));
    let inputs =
        Inputs { set: &set, host: &host, default_mode: SegmentMode::Enforce, clock: Clock { now, boot_ns } };
    compile(&inputs, numbers).expect("a small set fits")
}

/// Who is behind which device: the scene's workloads in order, those that the documents still have.
fn subjects(compiled: &Compiled, devices: &[u32; HOOKS], mac: Option<[u8; 6]>) -> Vec<(u32, Subject)> {
    let with_mac = |subject: Subject| match mac {
        Some(mac) => Subject { mac, flags: subject.flags | Subject::HAS_MAC, ..subject },
        None => subject,
    };
    ["web", "checkout", "ledger"]
        .iter()
        .zip(devices)
        .filter_map(|(name, device)| Some((*device, with_mac(compiled.subject(name)?.subject))))
        .collect()
}

/// Level 1.
pub(super) struct Memory {
    tables: MemoryTables,
    numbers: Numbers,
    text: String,
    mac: Option<[u8; 6]>,
    held: Vec<Quarantine>,
    attested: Vec<Attested>,
}

impl Memory {
    pub(super) fn new() -> Self {
        Self {
            tables: MemoryTables::new(&Image::default()),
            numbers: Numbers::default(),
            text: String::new(),
            mac: None,
            held: Vec::new(),
            attested: Vec::new(),
        }
    }
}

impl Judge for Memory {
    fn play(&mut self, act: &mut (dyn FnMut(&mut dyn Judge) + Send)) {
        act(self);
    }

    fn begin(&mut self) {
        *self = Self::new();
        self.tables.set_clock(START, START);
    }

    fn install(&mut self, text: &str) {
        let now = self.tables.clock().boot();
        let mut compiled = compiled(text, &self.attested, &mut self.numbers, now);
        let _ = compiled.set_quarantines(&self.held);
        self.tables.switch(&compiled.image, &subjects(&compiled, &[1, 2, 3], self.mac));
        self.text = text.to_owned();
    }

    fn hold(&mut self, held: &[Quarantine]) {
        self.held = held.to_vec();
        self.install(&self.text.clone());
    }

    fn attest(&mut self, attested: &[Attested]) {
        let now = self.tables.clock().boot();
        self.attested = attested.iter().cloned().map(|one| one.from(now)).collect();
        self.install(&self.text.clone());
    }

    fn wait(&mut self, time: Duration) {
        let clock = self.tables.clock();
        self.tables.set_clock(clock.boot() + time.as_nanos() as u64, clock.coarse());
    }

    fn idle(&mut self, time: Duration) {
        self.tables.advance(time.as_nanos() as u64);
    }

    fn know_hardware(&mut self, mac: [u8; 6]) {
        self.mac = Some(mac);
        self.install(&self.text.clone());
    }

    fn flood(&mut self, frame: &[u8]) {
        self.judge(Place { who: 0, sends: true }, frame);
    }

    fn judge(&mut self, place: Place, frame: &[u8]) -> Option<Seen> {
        let hook = Hook { subject: place.who as u32 + 1, direction: direction(place) };
        let outcome = judge(&Frame::new(frame), hook, &mut self.tables);
        Some(Seen { passes: outcome.passes, reason: outcome.cause.as_reason().map(Reason::detail) })
    }
}

/// The kernel's clock of deadlines.
fn boot() -> u64 {
    let time = clock_gettime(ClockId::Boottime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Level 2. Each scene has devices that no scene had before, so that nothing is remembered from those.
pub(super) struct Programs {
    kernel: Kernel,
    world: World,
    scene: usize,
    devices: [u32; HOOKS],
    rules: u32,
    text: String,
    mac: Option<[u8; 6]>,
    held: Vec<Quarantine>,
    attested: Vec<Attested>,
}

impl Programs {
    pub(super) fn new(world: World) -> Self {
        let kernel = world.open_kernel().unwrap_or_else(|error| panic!("{error}: {error:?}"));
        Self {
            kernel,
            world,
            scene: 0,
            devices: [0; HOOKS],
            rules: 0,
            text: String::new(),
            mac: None,
            held: Vec::new(),
            attested: Vec::new(),
        }
    }

    fn name(&self, hook: usize) -> String {
        format!("case{}-{hook}", self.scene)
    }

    /// Packets that rules decided, and packets by reason.
    fn counted(&self) -> (u64, Vec<u64>) {
        let rules = self.kernel.rule_counters(self.rules).expect("counters can be read");
        let reasons = self.kernel.reason_counters().expect("counters can be read");
        (rules.iter().map(|rule| rule.packets).sum(), reasons.iter().map(|reason| reason.packets).collect())
    }
}

impl Judge for Programs {
    fn play(&mut self, act: &mut (dyn FnMut(&mut dyn Judge) + Send)) {
        let host = self.world.host().clone();
        host.enter(|| act(self));
    }

    fn begin(&mut self) {
        self.scene += 1;
        self.mac = None;
        self.held.clear();
        self.attested.clear();
        // Those of earlier scenes go with the world: taking them away one by one would wait for the kernel each time.
        let fresh = [0, 2]
            .map(|hook| format!("link add {} type veth peer name {}", self.name(hook), self.name(hook + 1)));
        self.batch(&fresh);
        let index = |hook| self.world.host().index_of(&self.name(hook)).expect("it was just made");
        self.devices = std::array::from_fn(index);
    }

    fn install(&mut self, text: &str) {
        let mut compiled = compiled(text, &self.attested, &mut Numbers::default(), boot());
        let _ = compiled.set_quarantines(&self.held);
        self.rules = compiled.rules.iter().map(|rule| rule.number + 1).max().unwrap_or(0);
        let subjects = subjects(&compiled, &self.devices, self.mac);
        self.kernel.install(&compiled.image, &subjects).expect("a small set fits");
        self.text = text.to_owned();
    }

    fn hold(&mut self, held: &[Quarantine]) {
        self.held = held.to_vec();
        self.install(&self.text.clone());
    }

    fn attest(&mut self, attested: &[Attested]) {
        self.attested = attested.iter().cloned().map(|one| one.from(boot())).collect();
        self.install(&self.text.clone());
    }

    fn wait(&mut self, time: Duration) {
        std::thread::sleep(time);
    }

    fn idle(&mut self, time: Duration) {
        self.kernel.sweep_flows_early(time).expect("the flow tables can be swept");
    }

    fn know_hardware(&mut self, mac: [u8; 6]) {
        self.mac = Some(mac);
        self.install(&self.text.clone());
    }

    fn flood(&mut self, frame: &[u8]) {
        self.kernel.run_test(Direction::Egress, self.devices[0], frame, 1).expect("a whole frame can be run");
    }

    fn judge(&mut self, place: Place, frame: &[u8]) -> Option<Seen> {
        let device = self.devices[place.who];
        let before = self.counted();
        let run = self.kernel.run_test(direction(place), device, frame, 1).ok()?;
        let after = self.counted();
        let moved = |reason: &&Reason| after.1[**reason as usize] != before.1[**reason as usize];
        let reasons: Vec<_> = Reason::ALL.iter().filter(moved).collect();
        let decided = after.0 - before.0;
        assert_eq!(
            decided + reasons.len() as u64,
            1,
            "each packet is counted once: {decided} and {reasons:?}"
        );
        Some(Seen { passes: run.passes(), reason: reasons.first().map(|reason| reason.detail()) })
    }
}

impl Programs {
    fn batch(&self, lines: &[String]) {
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        self.world.ip(&lines).unwrap_or_else(|error| panic!("{error:#}"));
    }
}
