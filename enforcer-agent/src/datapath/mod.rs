//! What the daemon asks of the packet path. [`crate::kernel::Kernel`] answers with kernel programs,
//! [`memory::Memory`] with ordinary collections, for tests on machines without root.

mod error;
mod inspection;
pub mod memory;

pub use error::DatapathError;
pub use inspection::{Damage, Fault, Inspection, Place, Unreachable};

use enforcer_common::Reason;
use enforcer_common::event::FlowEvent;
use enforcer_common::maps::{Cgroup, Direction, EventCounter, Failsafe, ReasonCounter, RuleCounter, Subject};
use enforcer_policy::compile::{Delta, Image};
use ipnet::IpNet;
use std::net::SocketAddr;
use std::path::Path;

/// Counts changes of what is enforced; 0 is never the epoch of anything.
pub type Epoch = u32;

/// Where packets of a device meet the programs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, PartialOrd, Ord)]
pub enum Hook {
    /// A tcx link (Linux 6.6 and later), which stays while the daemon is away.
    Tcx,
    /// A classifier of the clsact qdisc, on older kernels.
    Clsact,
}

impl Hook {
    /// As `status` shows it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Tcx => "tcx",
            Self::Clsact => "clsact",
        }
    }
}

/// A device whose packets are judged in both directions.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, PartialOrd, Ord)]
pub struct Attachment {
    /// Interface index.
    pub ifindex: u32,
    /// How.
    pub hook: Hook,
}

/// What a sweep of the flow tables found.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sweep {
    /// Tracked flows left.
    pub live: u64,
    /// Flows forgotten because they were over.
    pub removed: u64,
}

/// How full a table is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Usage {
    /// What stands in it, as `status` names it.
    pub table: &'static str,
    /// Entries in use.
    pub used: u64,
    /// Entries it can hold.
    pub limit: u64,
}

/// Takes records of verdicts, some at a time.
pub type Sink = Box<dyn FnMut(&[FlowEvent]) + Send>;

/// A TCP connection of a subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenConnection {
    /// Whose it is: an interface index, or [`Subject::hosted`].
    pub subject: u32,
    /// The subject's end.
    pub local: SocketAddr,
    /// The other end, of the same family.
    pub remote: SocketAddr,
    /// Which way it was opened.
    pub opened: Direction,
    /// Who has the other end, where that is a socket of this machine's as well; else 0.
    pub resident: u32,
}

/// The packet path. Every method returns when the change is in force; none waits for packets. Calls take
/// from microseconds to 100 ms, so they belong on a thread that may block.
pub trait Datapath: Send {
    /// The epoch in force, `None` before the first [`Datapath::install`]. A restarted daemon finds here what it adopted.
    fn current(&self) -> Option<Epoch>;

    /// Puts a whole generation in force with one write, or leaves the old one untouched. `subjects` are all subjects by the numbers of
    /// their hooks; attached devices that aren't among them deny everything. `cgroups` says whose cgroups are.
    fn install_whole(
        &mut self,
        image: &Image,
        subjects: &[(u32, Subject)],
        cgroups: &[(u64, Cgroup)],
    ) -> Result<Epoch, DatapathError>;

    /// As [`Datapath::install_whole`], where nobody is known by a cgroup.
    fn install(&mut self, image: &Image, subjects: &[(u32, Subject)]) -> Result<Epoch, DatapathError> {
        self.install_whole(image, subjects, &[])
    }

    /// Says whose cgroups are, or that they are gone, in the generation in force. Begins no epoch: a cgroup has no flows before it is known.
    fn set_cgroups(&mut self, cgroups: &[(u64, Option<Cgroup>)]) -> Result<(), DatapathError>;

    /// Whether packets can be judged at sockets here.
    fn judges_sockets(&self) -> bool;

    /// Hooks both directions of all sockets of a cgroup and its descendants. Whose they are has to be in force before: unknown is denied. Attaching twice
    /// is no error; attaching elsewhere takes the hooks along.
    fn attach_cgroup(&mut self, root: &Path) -> Result<(), DatapathError>;

    /// Takes the programs off sockets; whether there were any.
    fn detach_cgroup(&mut self) -> Result<bool, DatapathError>;

    /// As [`Datapath::install`], until `until` by the boot-time clock, nanoseconds: past that the generation before is in force again, daemon or no
    /// daemon, unless [`Datapath::end_trial`] came first. Any other generation that is put in force ends the trial as if it were not confirmed.
    fn try_out(
        &mut self,
        image: &Image,
        subjects: &[(u32, Subject)],
        cgroups: &[(u64, Cgroup)],
        until: u64,
    ) -> Result<Epoch, DatapathError>;

    /// Ends a trial: the generation on trial is in force for good, or the one before it.
    fn end_trial(&mut self, confirmed: bool) -> Result<Epoch, DatapathError>;

    /// Takes up connections that were open before anybody looked, where they aren't tracked: each is judged at its next packet, as the flow that it is.
    /// How many were taken up.
    fn take_up(&mut self, connections: &[OpenConnection]) -> Result<usize, DatapathError>;

    /// Says which paths of the machine itself stay open, and no others, by block.
    fn set_failsafe(&mut self, blocks: &[(IpNet, Failsafe)]) -> Result<(), DatapathError>;

    /// Whether a generation is on trial, or was when its time passed.
    fn is_on_trial(&self) -> bool;

    /// During a trial: as [`Datapath::apply_delta`], to the generation that may come in force again.
    fn apply_behind(
        &mut self,
        delta: &Delta,
        subjects: &[(u32, Option<Subject>)],
    ) -> Result<Epoch, DatapathError>;

    /// Changes the generation in force in place: what is added first, then subjects, then what is removed.
    fn apply_delta(
        &mut self,
        delta: &Delta,
        subjects: &[(u32, Option<Subject>)],
    ) -> Result<Epoch, DatapathError>;

    /// Says whose device this is, in the generation in force; `None`: nobody's, and it denies everything.
    fn set_subject(&mut self, ifindex: u32, subject: Option<Subject>) -> Result<Epoch, DatapathError> {
        self.apply_delta(&Delta::default(), &[(ifindex, subject)])
    }

    /// Hooks both directions of a device, before all other programs there. Until [`Datapath::set_subject`] has said whose it is,
    /// everything on it is denied. Attaching twice is no error. `name` is only used where the kernel lacks tcx.
    fn attach(&mut self, ifindex: u32, name: &str) -> Result<Attachment, DatapathError>;

    /// Takes the programs off a device; whether there were any. The device may be gone.
    fn detach(&mut self, ifindex: u32) -> Result<bool, DatapathError>;

    /// Every device hooked now, adopted ones included. Forgets those whose device has gone.
    fn attached(&mut self) -> Result<Vec<Attachment>, DatapathError>;

    /// Counters of the first `rules` rules, summed over CPUs.
    fn rule_counters(&self, rules: u32) -> Result<Vec<RuleCounter>, DatapathError>;

    /// Counters of all reasons, and of the rules together, by [`enforcer_common::maps::Tally::slot`], summed over CPUs.
    fn verdict_counters(&self) -> Result<Vec<ReasonCounter>, DatapathError>;

    /// Counters of all reasons by [`Reason`] code.
    fn reason_counters(&self) -> Result<Vec<ReasonCounter>, DatapathError> {
        let verdicts = self.verdict_counters()?;
        Ok(Reason::ALL.iter().map(|reason| ReasonCounter::of_reason(&verdicts, *reason)).collect())
    }

    /// What became of events, summed over CPUs. Only the first three mean something here.
    fn event_counters(&self) -> Result<EventCounter, DatapathError>;

    /// Hands records of verdicts to `sink` from now on, in batches, within some 20 ms of the packets. Can be asked for once, inside a
    /// tokio runtime. `sink` holds up the records that follow, never a packet.
    fn events(&mut self, sink: Sink) -> Result<(), DatapathError>;

    /// Forgets tracked flows that are over. Wants to be called every few seconds.
    fn sweep_flows(&mut self) -> Result<Sweep, DatapathError>;

    /// Looks whether everything is as it was left, and puts right what isn't. Wants to be called twice a second; costs
    /// milliseconds, whatever the size of the set in force.
    fn inspect(&mut self) -> Inspection;

    /// Sets the counters of these rules to nothing: their numbers are given to other rules.
    fn reset_rule_counters(&mut self, rules: &[u32]) -> Result<(), DatapathError>;

    /// How full the tables are, the generation's and the flow tables. Counts entries, which takes milliseconds: for `status`.
    fn usage(&self) -> Result<Vec<Usage>, DatapathError>;

    /// Takes all programs off all devices and forgets every map: nothing is enforced afterwards. All errors, not just the first.
    fn remove_all(&mut self) -> Result<(), Vec<DatapathError>>;
}
