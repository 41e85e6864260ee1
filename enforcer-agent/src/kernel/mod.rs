//! The kernel boundary: everything that loads, attaches, pins or reads the kernel programs and their maps.
//!
//! Architecture Invariant: nothing outside this module knows aya, and nothing in here knows documents, only what they
//! were compiled to.

mod attach;
mod bank;
mod batch;
mod birthplaces;
mod bpffs;
mod carry;
mod clsact;
mod config;
mod control;
mod counters;
#[cfg(feature = "kernel-log")]
mod debug_lines;
mod events;
mod failsafe;
mod flows;
mod guard;
mod install;
mod keys;
mod layout;
mod load;
mod made;
pub mod object;
mod others;
mod peek;
mod peer;
mod pins;
mod programs;
mod query;
mod socket_hook;
mod sockets;
mod sys;
mod tables;
mod testrun;
mod usage;
mod verifier;

use std::path::Path;
use std::time::Duration;

use aya::maps::{MapData, RingBuf};
use enforcer_common::flow::{FlowEntry, FlowKey, Tier};
use enforcer_common::maps::{Cgroup, Direction, EventCounter, Failsafe, ReasonCounter, RuleCounter, Subject};
use enforcer_policy::compile::{Delta, Image};
use ipnet::IpNet;
use tracing::error;

use crate::datapath::{
    Attachment, Datapath, DatapathError, Epoch, Inspection, OpenConnection, Sink, Sweep, Usage,
};

pub use bpffs::on_bpffs;
pub use config::KernelConfig;
pub use others::{Chain, Other, cgroup_programs, others};
pub use peek::{TrackedPair, tracked};
pub use peer::peer_groups;
pub use testrun::{Run, Runner};
pub use verifier::{Complexity, complexity};

/// The packet path in the kernel: pinned programs on devices, reading pinned maps. Dropping this changes nothing there.
pub struct Kernel {
    pins: pins::Pins,
    programs: programs::Programs,
    tables: tables::Tables,
    banks: install::Banks,
    shares: Option<flows::Shares>,
    guard: guard::Guard,
    failsafe: failsafe::Paths,
    ring: Option<RingBuf<MapData>>,
    tcx: bool,
    /// The hooks of this layout run earlier programs still, until there is a generation for these.
    behind: bool,
}

impl std::fmt::Debug for Kernel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kernel").field("pins", &self.pins).field("tcx", &self.tcx).finish_non_exhaustive()
    }
}

impl Kernel {
    /// Loads the programs, adopts the maps and links that are pinned, and puts the programs into those links.
    /// What was enforced goes on being enforced, by the new programs.
    pub fn open(config: &KernelConfig) -> Result<Self, DatapathError> {
        load::open(config)
    }

    /// Where the pins are.
    #[must_use]
    pub fn pins(&self) -> &Path {
        self.pins.root()
    }

    /// Runs the program of a direction `repeat` times on `frame`, as if it had met device `ifindex`, which has to exist
    /// in this network namespace (1, loopback, always does).
    pub fn run_test(
        &self,
        direction: Direction,
        ifindex: u32,
        frame: &[u8],
        repeat: u32,
    ) -> Result<Run, DatapathError> {
        testrun::run(self.programs.shared(direction), ifindex, frame, repeat)
    }

    /// The program of a direction as a handle of its own, for other threads.
    pub fn runner(&self, direction: Direction) -> Result<Runner, DatapathError> {
        Runner::open(&self.pins.program(programs::name(direction)))
    }

    /// A program that does nothing, to measure the others against.
    pub fn empty_runner(&self) -> Result<Runner, DatapathError> {
        Runner::empty(&self.pins.program("empty"), false)
    }

    /// As [`Kernel::runner`], of the program for sockets. What it is run on belongs to the cgroup of the calling process.
    pub fn socket_runner(&self, direction: Direction) -> Result<Runner, DatapathError> {
        let name = socket_hook::SocketHook::Packets(direction).program();
        Runner::open_socket(&self.pins.program(name))
    }

    /// As [`Kernel::empty_runner`], for sockets.
    pub fn empty_socket_runner(&self) -> Result<Runner, DatapathError> {
        Runner::empty(&self.pins.program("empty"), true)
    }

    /// All tracked IPv4 flows, unanswered ones last.
    pub fn flows4(&self) -> Result<Vec<(FlowKey<1>, FlowEntry)>, DatapathError> {
        flows::all(&self.tables.v4)
    }

    /// Tracked IPv4 flows of one tier.
    pub fn flows4_in(&self, tier: Tier) -> Result<Vec<(FlowKey<1>, FlowEntry)>, DatapathError> {
        flows::of(&self.tables.v4, tier)
    }

    /// As [`Datapath::sweep_flows`] would if `later` had passed without a packet.
    pub fn sweep_flows_early(&mut self, later: Duration) -> Result<Sweep, DatapathError> {
        flows::sweep(&mut self.tables, &mut self.shares, later)
    }

    /// All tracked IPv6 flows, unanswered ones last.
    pub fn flows6(&self) -> Result<Vec<(FlowKey<4>, FlowEntry)>, DatapathError> {
        flows::all(&self.tables.v6)
    }

    fn switch(
        &mut self,
        image: &Image,
        subjects: &[(u32, Subject)],
        cgroups: &[(u64, Cgroup)],
        until: Option<u64>,
    ) -> Result<Epoch, DatapathError> {
        self.guard.contents.before_writing(&mut self.tables, &mut self.guard.pending);
        let installed = install::install(&mut self.tables, &mut self.banks, image, subjects, cgroups, until);
        self.guard.contents.written(&self.tables, installed.is_ok());
        let epoch = installed?;
        // Only now: before, these programs would have denied everything that an earlier release's let through.
        // The generation is in force whatever comes of it, and the next one tries again.
        let Self { pins, guard, programs, .. } = self;
        let taken = if self.behind { attach::upgrade(pins, &mut guard.hooks, programs) } else { Ok(()) };
        let taken = taken.and_then(|()| pins.remove_left_of_others());
        let taken = taken.and_then(|()| guard.sockets.take_over(pins, programs));
        self.behind = taken.is_err();
        if let Err(error) = taken.and_then(|()| attach::take_over(pins, &mut guard.hooks, programs)) {
            error!(error = &error as &dyn std::error::Error, "some hooks still run earlier programs");
        }
        Ok(epoch)
    }

    fn change(
        &mut self,
        which: install::Which,
        delta: &Delta,
        subjects: &[(u32, Option<Subject>)],
    ) -> Result<Epoch, DatapathError> {
        self.guard.contents.before_writing(&mut self.tables, &mut self.guard.pending);
        let applied = install::apply(&mut self.tables, &mut self.banks, which, delta, subjects);
        self.guard.contents.written(&self.tables, false);
        applied
    }
}

/// Takes everything off that any daemon left below `bpffs`, without loading anything. All errors, not just the first.
pub fn remove_pins(bpffs: &Path) -> Result<(), Vec<DatapathError>> {
    let errors = pins::lock_and_remove(bpffs);
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

impl Datapath for Kernel {
    fn current(&self) -> Option<Epoch> {
        self.tables.control.read().ok().map(|control| control.epoch()).filter(|epoch| *epoch != 0)
    }

    fn install_whole(
        &mut self,
        image: &Image,
        subjects: &[(u32, Subject)],
        cgroups: &[(u64, Cgroup)],
    ) -> Result<Epoch, DatapathError> {
        self.switch(image, subjects, cgroups, None)
    }

    fn try_out(
        &mut self,
        image: &Image,
        subjects: &[(u32, Subject)],
        cgroups: &[(u64, Cgroup)],
        until: u64,
    ) -> Result<Epoch, DatapathError> {
        self.switch(image, subjects, cgroups, Some(until))
    }

    fn end_trial(&mut self, confirmed: bool) -> Result<Epoch, DatapathError> {
        self.guard.contents.before_writing(&mut self.tables, &mut self.guard.pending);
        let control = self.tables.control.read()?;
        if !control.is_unconfirmed() {
            return Err(DatapathError::new("no generation is on trial"));
        }
        let bank = if confirmed { control.bank() } else { control.bank() ^ 1 };
        let ended = self.tables.control.end_trial(bank);
        self.guard.contents.written(&self.tables, true);
        ended
    }

    fn take_up(&mut self, connections: &[OpenConnection]) -> Result<usize, DatapathError> {
        flows::take_up(&mut self.tables, connections)
    }

    fn set_failsafe(&mut self, blocks: &[(IpNet, Failsafe)]) -> Result<(), DatapathError> {
        self.failsafe.set(&mut self.tables, blocks)?;
        self.guard.contents.written(&self.tables, false);
        Ok(())
    }

    fn is_on_trial(&self) -> bool {
        self.tables.control.read().is_ok_and(|control| control.is_unconfirmed())
    }

    fn apply_behind(
        &mut self,
        delta: &Delta,
        subjects: &[(u32, Option<Subject>)],
    ) -> Result<Epoch, DatapathError> {
        self.change(install::Which::Behind, delta, subjects)
    }

    fn apply_delta(
        &mut self,
        delta: &Delta,
        subjects: &[(u32, Option<Subject>)],
    ) -> Result<Epoch, DatapathError> {
        self.change(install::Which::InForce, delta, subjects)
    }

    fn set_cgroups(&mut self, cgroups: &[(u64, Option<Cgroup>)]) -> Result<(), DatapathError> {
        self.guard.contents.before_writing(&mut self.tables, &mut self.guard.pending);
        let set = install::set_cgroups(&mut self.tables, &mut self.banks, cgroups);
        self.guard.contents.written(&self.tables, false);
        set
    }

    fn attach_cgroup(&mut self, root: &Path) -> Result<(), DatapathError> {
        let Self { pins, guard, programs, .. } = self;
        if guard.sockets.is_elsewhere(root) {
            guard.left.forget_sockets(pins, &guard.sockets);
        }
        let attached = guard.sockets.attach(pins, programs, root);
        guard.hooks_changed(pins);
        attached
    }

    fn detach_cgroup(&mut self) -> Result<bool, DatapathError> {
        self.guard.left.forget_sockets(&self.pins, &self.guard.sockets);
        let detached = self.guard.sockets.detach(&self.pins);
        self.guard.hooks_changed(&self.pins);
        detached
    }

    fn judges_sockets(&self) -> bool {
        self.programs.has_sockets()
    }

    fn attach(&mut self, ifindex: u32, name: &str) -> Result<Attachment, DatapathError> {
        let Self { pins, guard, programs, .. } = self;
        let attached = attach::attach(pins, &mut guard.hooks, programs, self.tcx, ifindex, name);
        guard.hooks_changed(pins);
        attached
    }

    fn detach(&mut self, ifindex: u32) -> Result<bool, DatapathError> {
        self.guard.left.forget(&self.pins, ifindex);
        let detached = attach::detach(&self.pins, &mut self.guard.hooks, ifindex);
        self.guard.hooks_changed(&self.pins);
        detached
    }

    fn attached(&mut self) -> Result<Vec<Attachment>, DatapathError> {
        let gone = attach::forget_gone(&self.pins, &mut self.guard.hooks);
        // Pins that nothing of ours touched are still known by their numbers.
        if !matches!(gone, Ok(false)) {
            self.guard.hooks_changed(&self.pins);
        }
        gone.map(|_| attach::attached(&self.guard.hooks))
    }

    fn rule_counters(&self, rules: u32) -> Result<Vec<RuleCounter>, DatapathError> {
        counters::rules(&self.tables, rules)
    }

    fn verdict_counters(&self) -> Result<Vec<ReasonCounter>, DatapathError> {
        counters::verdicts(&self.tables)
    }

    fn event_counters(&self) -> Result<EventCounter, DatapathError> {
        counters::events(&self.tables)
    }

    fn events(&mut self, sink: Sink) -> Result<(), DatapathError> {
        let ring = self
            .ring
            .take()
            .ok_or_else(|| DatapathError::new("the ring of verdicts is being read already"))?;
        events::start(ring, sink)
            .map_err(|error| DatapathError::caused("cannot read the map `EVENTS`", error))
    }

    fn sweep_flows(&mut self) -> Result<Sweep, DatapathError> {
        flows::sweep(&mut self.tables, &mut self.shares, Duration::ZERO)
    }

    fn inspect(&mut self) -> Inspection {
        guard::inspect(self)
    }

    fn reset_rule_counters(&mut self, rules: &[u32]) -> Result<(), DatapathError> {
        counters::reset(&mut self.tables, rules)
    }

    fn usage(&self) -> Result<Vec<Usage>, DatapathError> {
        usage::read(&self.tables)
    }

    fn remove_all(&mut self) -> Result<(), Vec<DatapathError>> {
        let mut errors = self.guard.hooks.take_off();
        errors.extend(self.guard.sockets.detach(&self.pins).err());
        errors.extend(pins::remove_everything(self.pins.root()));
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }
}
